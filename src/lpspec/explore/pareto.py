"""Which points no other beats in every figure at once."""

from collections.abc import Iterable, Mapping, Sequence
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
    on_front: NDArray[np.bool_] = np.equal(fronts(values.reshape(len(rows), len(metrics)), 1), 0)
    return on_front


def front_keys(rows: Iterable[tuple[Any, ...]], metrics: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """The keys of rows on the front, and the figures of all, of as many rows as there may be.

    Args:
        rows: The key of each, then its figures; None where it has none.
        metrics: Names of the figures.

    Returns:
        Keys in the order of the rows, and float64 [rows, figures], nan where there is none.

    Raises:
        InputError: As for ``front``.
    """
    signs = np.array([-1.0 if better(name) == "higher" else 1.0 for name in metrics])
    fields = [("key", "S64"), *((str(i), "f8") for i in range(len(metrics)))]
    plain = ((key, *(np.nan if value is None else value for value in values)) for key, *values in rows)
    table = np.fromiter(plain, dtype=fields)
    figures = np.stack([table[str(i)] for i in range(len(metrics))], axis=1)
    on_front = np.equal(fronts(figures * signs, 1), 0)
    return [key.decode() for key in table["key"][on_front].tolist()], figures


def fronts(losses: NDArray[np.float64], most: int | None = None) -> NDArray[np.int64]:
    """The number of the front that each point is on: 0 where none beats it, 1 where only those of 0 do, and so on.

    Args:
        losses: float64 [points, figures], lower is better; a point with one that is not finite is on no front.
        most: Fronts to find; None for all.

    Returns:
        int64 [points]; the number of points for those on no front, or on one that was not looked for.
    """
    number = np.full(len(losses), len(losses), np.int64)
    left = np.flatnonzero(np.logical_and.reduce(np.isfinite(losses), axis=1))
    left = left[np.lexsort(losses[left].T[::-1])]
    front = 0
    while len(left) and (most is None or front < most):
        beaten = _front_of(losses[left])
        number[left[~beaten]] = front
        left, front = left[beaten], front + 1
    return number


def _front_of(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether another beats each of these points, which are in the order of their first figure."""
    beaten = np.zeros(len(losses), np.bool_)
    kept = np.empty((0, losses.shape[1]))
    for start in range(0, len(losses), _BLOCK):
        block = losses[start : start + _BLOCK]
        worse = _beaten(block, np.concatenate([kept, block]))
        beaten[start : start + _BLOCK] = worse
        kept = np.concatenate([kept, block[~worse]])
    return beaten


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
