"""Costs of a grid of passes in parts, each on as few rows as differ, so that a grid is filled once, with prices."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost, each_count
from lpspec.devices.memory_timing import MemoryTiming


@dataclass(frozen=True)
class Part:
    """What some operators of every pass cost.

    Attributes:
        cost: Numbers, or arrays that broadcast to ``shape``.
        shape: Rows that differ, and tree sizes.
        row: int64 [contexts, sizes] or [contexts, 1], which of them a pass has; None where each context has its own.
    """

    cost: Cost
    shape: tuple[int, int]
    row: IntArray | None = None

    @cached_property
    def place(self) -> IntArray | None:
        """int64 [contexts, sizes], the place of a pass in those rows, counted through both axes."""
        return None if self.row is None else self.row * self.shape[1] + np.arange(self.shape[1])

    def over_grid(self, value: Any) -> Any:
        """A count or price of its rows for every pass, float64 [contexts, sizes]; as it is where it has no rows."""
        if np.ndim(value) < 2 or self.place is None:
            return value
        return np.take(np.broadcast_to(value, self.shape), self.place)

    @property
    def whole(self) -> Cost:
        """Its cost on the whole grid."""
        return Cost(self.over_grid(self.cost.latency_ns), each_count(self.cost.activity, self.over_grid))


class CostInParts(Cost):
    """A cost that is the sum of its parts and of what all dies do meanwhile; it adds and scales like any other.

    Attributes:
        beside: What lies on the grid, or has no rows.
        parts: What has few rows.
        timing: Says what dies do meanwhile.
    """

    beside: Cost
    parts: tuple[Part, ...]
    timing: MemoryTiming

    def __init__(self, beside: Cost, parts: Iterable[Part], timing: MemoryTiming) -> None:
        """Take the parts."""
        for name, value in (("beside", beside), ("parts", tuple(parts)), ("timing", timing)):
            object.__setattr__(self, name, value)

    @property
    def adds_up(self) -> bool:
        """Whether what dies do meanwhile adds up over parts: not where they wake up from power-down for a while."""
        return not self.timing.power_down

    @cached_property
    def _whole(self) -> Cost:
        return self.timing.standing_by(reduce(add, (part.whole for part in self.parts), self.beside))

    @property
    def latency_ns(self) -> FloatArray:
        """Time of every pass."""
        return np.asarray(self._whole.latency_ns)

    @property
    def activity(self) -> Activity:
        """Events of every pass."""
        return self._whole.activity


def in_parts(found: Iterable[Part | Cost], timing: MemoryTiming) -> Cost:
    """The sum of parts and of other costs, and what all dies do meanwhile; what has no rows is added up first."""
    parts: list[Part] = []
    beside, with_rows = Cost(), Cost()
    for one in found:
        if isinstance(one, Part):
            parts.append(one)
        elif _has_rows(one):
            with_rows += one
        else:
            beside += one
    if not parts:
        return timing.standing_by(beside + with_rows)
    if _has_rows(with_rows):
        parts.append(Part(with_rows, np.shape(with_rows.latency_ns)))
    return CostInParts(beside, parts, timing)


def _has_rows(cost: Cost) -> bool:
    """Whether its time differs from context to context."""
    return np.ndim(cost.latency_ns) > 1 and np.shape(cost.latency_ns)[0] > 1
