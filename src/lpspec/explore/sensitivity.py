"""What a figure depends on: one axis at a time from a point, and shares of the variance over a whole grid."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = Mapping[str, Any]


@dataclass(frozen=True)
class OneAtATime:
    """A figure along one axis, all others as at a point.

    Attributes:
        axis: Name of what varies.
        values: Of the axis, in order.
        outcomes: The figure at each.
    """

    axis: str
    values: tuple[Any, ...]
    outcomes: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Largest over smallest outcome."""
        return max(self.outcomes) / min(self.outcomes) if min(self.outcomes) > 0 else math.inf


@dataclass(frozen=True)
class Share:
    """How much of the variance of a figure over a grid comes from an axis.

    Attributes:
        axis: Its name.
        alone: First-order Sobol index: what is due to the axis by itself.
        total: Total-order Sobol index: the same with all that it does together with others.
    """

    axis: str
    alone: float
    total: float


def independent_axes(rows: Sequence[Row], names: Sequence[str]) -> tuple[str, ...]:
    """Of names in order, those that the ones before them do not determine: derived values are left out."""
    kept: list[str] = []
    known: set[tuple[str, ...]] = {()} if rows else set()
    for name in names:
        tuples = {tuple(repr(row[each]) for each in (*kept, name)) for row in rows}
        if len(tuples) > len(known):
            kept, known = [*kept, name], tuples
    return tuple(kept)


def one_at_a_time(rows: Sequence[Row], axes: Sequence[str], metric: str, at: Row) -> tuple[OneAtATime, ...]:
    """A figure along each axis through a point, widest spread first; axes without a second value there are left out."""
    found = []
    for axis in axes:
        others = [name for name in axes if name != axis]
        line = [row for row in rows if row[metric] is not None and all(row[name] == at[name] for name in others)]
        line.sort(key=lambda row: _order(row[axis]))
        if len(line) > 1:
            values = tuple(row[axis] for row in line)
            found.append(OneAtATime(axis, values, tuple(float(row[metric]) for row in line)))
    return tuple(sorted(found, key=lambda each: each.spread, reverse=True))


def variance_shares(rows: Sequence[Row], axes: Sequence[str], metric: str) -> tuple[Share, ...]:
    """Sobol indices over a whole grid, every value of an axis as likely as the others.

    On all of a grid they are sums, not estimates. Where points are missing, axes are not independent and indices say
    nothing: there are none. Nor are there any where the figure is the same everywhere.

    Args:
        rows: Points by column.
        axes: Names that span the grid.
        metric: Name of the figure.

    Returns:
        A share for each axis, largest total first; empty where it cannot be said.
    """
    levels = [sorted({repr(row[axis]) for row in rows}) for axis in axes]
    shape = [len(level) for level in levels]
    if not axes or math.prod(shape) != len(rows) or any(row[metric] is None for row in rows):
        return ()
    place = [{value: i for i, value in enumerate(level)} for level in levels]
    grid = np.full(shape, np.nan)
    for row in rows:
        grid[tuple(place[i][repr(row[axis])] for i, axis in enumerate(axes))] = row[metric]
    variance = float(grid.var())
    if not np.isfinite(variance) or variance <= 1e-18 * float(np.mean(grid)) ** 2:
        return ()
    shares = []
    for i, axis in enumerate(axes):
        others = tuple(j for j in range(len(axes)) if j != i)
        alone = float(grid.mean(axis=others).var()) / variance
        total = float(grid.var(axis=i).mean()) / variance
        shares.append(Share(axis, alone, total))
    return tuple(sorted(shares, key=lambda share: share.total, reverse=True))


def _order(value: Any) -> tuple[bool, float, str]:
    is_text = not isinstance(value, int | float)
    return is_text, 0.0 if is_text else float(value), str(value)
