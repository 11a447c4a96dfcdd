"""Which points no other beats in every figure at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lpspec.errors import unknown_name
from lpspec.explore.evaluate import METRICS

_BLOCK = 512
"""Points compared with all others at once."""


@dataclass(frozen=True)
class Cloud:
    """Points over some figures.

    Attributes:
        rows: Points by column.
        metrics: Names of the figures.
        front: Those that no other beats.
    """

    rows: Sequence[Mapping[str, Any]]
    metrics: tuple[str, ...]
    front: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Self:
        """Find the front.

        Raises:
            InputError: An unknown figure, or one of which neither way is better.
        """
        kept = front(rows, metrics)
        return cls(rows, tuple(metrics), [row for row, on_front in zip(rows, kept, strict=True) if on_front])


def front(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row is on the Pareto front: no row is at least as good in all figures and better in one.

    Args:
        rows: Points by column; those without a figure are on no front.
        metrics: Names of the figures, each with a way that is better.

    Returns:
        bool [rows].

    Raises:
        InputError: An unknown figure, or one of which neither way is better.
    """
    for name in metrics:
        better(name)
    values = np.array([[_lower_is_better(row[name], name) for name in metrics] for row in rows], np.float64)
    values = values.reshape(len(rows), len(metrics))
    on_front: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(values), axis=1)
    order = np.flatnonzero(on_front)
    order = order[np.lexsort(values[order].T[::-1])]
    kept = np.empty((0, len(metrics)))
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        others = np.concatenate([kept, values[block]])
        beaten = _beaten(values[block], others)
        on_front[block[beaten]] = False
        kept = np.concatenate([kept, values[block[~beaten]]])
    return on_front


def _beaten(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of ``values`` is no better than one of ``others`` anywhere, and worse somewhere."""
    no_better = np.logical_and.reduce(others[None] <= values[:, None], axis=2)
    worse = np.logical_or.reduce(others[None] < values[:, None], axis=2)
    beaten: NDArray[np.bool_] = np.logical_or.reduce(no_better & worse, axis=1)
    return beaten


def _lower_is_better(value: float | None, name: str) -> float:
    if value is None:
        return np.inf
    return -value if better(name) == "higher" else value


def better(name: str) -> str:
    """Which way of a figure is better.

    Raises:
        InputError: Unknown, or neither is better.
    """
    known = [each for each, metric in METRICS.items() if metric.better]
    if name not in known:
        raise unknown_name("figure to optimise", name, known)
    return str(METRICS[name].better)
