"""Prices of a grid of passes, kept in the parts that they are sums of: few rows of each differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import NamedTuple

import numpy as np

from lpspec.allocation.parts import CostInParts, Part
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS, Cost
from lpspec.simulation.workload import System

STATIC = COMPONENTS.index("static")


class PartEnergy(NamedTuple):
    """Energy of what some operators of every pass do.

    Attributes:
        shape: Rows that differ, and sizes.
        by_component: float64 [rows, sizes], or what broadcasts to it, of each component that takes any, by number.
        place: int64 [contexts, sizes], the place of a pass in those rows, counted through both axes; None where there
            is one row, or one for each context.
    """

    shape: tuple[int, int]
    by_component: Mapping[int, FloatArray]
    place: IntArray | None = None

    def rows(self, contexts: slice, of_grid: int) -> "PartEnergy":
        """The same of some contexts of a grid of so many, with the rows that these have, from the first to the last."""
        count, sizes = self.shape
        if self.place is None:
            if count != of_grid or count == 1:
                return self
            kept, place = contexts, None
        else:
            place = self.place[contexts]
            kept = slice(int(place.min()) // sizes, int(place.max()) // sizes + 1)
            place = place - kept.start * sizes
        some = {c: pj[kept] if len(np.atleast_2d(pj)) == count else pj for c, pj in self.by_component.items()}
        return PartEnergy((len(range(count)[kept]), sizes), some, place)

    def over_grid(self, pj: FloatArray) -> FloatArray:
        """What broadcasts to the rows, for every pass: float64 that broadcasts to [contexts, sizes]."""
        return pj if self.place is None else np.take(np.broadcast_to(pj, self.shape), self.place)


@dataclass(frozen=True)
class GridEnergy:
    """Energy of memory and MACs of every pass of a grid.

    Attributes:
        shape: Contexts and sizes.
        parts: What it is the sum of.
        components: How many there are.
    """

    shape: tuple[int, int]
    parts: tuple[PartEnergy, ...]
    components: int = len(COMPONENTS)

    @classmethod
    def of(cls, energy_pj: FloatArray) -> "GridEnergy":
        """Of float64 [components, contexts, sizes]."""
        components, *shape = energy_pj.shape
        contexts, sizes = shape
        part = PartEnergy((contexts, sizes), dict(enumerate(energy_pj)))
        return cls(part.shape, (part,), components)

    @cached_property
    def total_pj(self) -> FloatArray:
        """float64 [contexts, sizes], all components together."""
        total = np.zeros(self.shape)
        for part in self.parts:
            if part.by_component:
                total += part.over_grid(reduce(add, part.by_component.values()))
        return total

    @cached_property
    def whole_pj(self) -> FloatArray:
        """float64 [components, contexts, sizes]."""
        whole = np.zeros((self.components, *self.shape))
        for part in self.parts:
            for component, pj in part.by_component.items():
                whole[component] += part.over_grid(pj)
        return whole

    def rows(self, contexts: slice) -> "GridEnergy":
        """Of some of the contexts."""
        count = self.shape[0]
        parts = tuple(part.rows(contexts, count) for part in self.parts)
        found = GridEnergy((len(range(count)[contexts]), self.shape[1]), parts, self.components)
        found.__dict__["total_pj"] = self.total_pj[contexts]  # which all rows have in common
        return found

    def summed(self, place: IntArray) -> FloatArray:
        """float64 [components], the energy of passes, int64 [passes], their places in the grid through both axes."""
        often = np.bincount(place)
        met = np.flatnonzero(often)
        total = np.zeros(self.components)
        for part in self.parts:
            count, sizes = part.shape
            cell = met % (count * sizes) if part.place is None else part.place.reshape(-1)[met]
            of_part = np.bincount(cell, often[met], count * sizes).reshape(count, sizes)
            for component, pj in part.by_component.items():
                total[component] += (pj * of_part).sum()
        return total

    def beside(self, other: "GridEnergy") -> "GridEnergy":
        """The passes of this grid, and those of another one as further sizes."""
        return GridEnergy.of(np.concatenate([self.whole_pj, other.whole_pj], axis=-1))


def grid_prices(system: System, cost: Cost, shape: tuple[int, int]) -> tuple[FloatArray, GridEnergy]:
    """Latency, float64 [contexts, sizes], and energy of memory and MACs on a grid, static power included."""
    latency_ns, parts = np.zeros(shape), []
    for part_cost, part_shape, place in _in_parts(cost, shape, system.profile.has_standby):
        energy = PartEnergy(part_shape, _by_component_pj(system, part_cost), place)
        latency_ns += energy.over_grid(np.asarray(part_cost.latency_ns, np.float64))
        parts.append(energy)
    return latency_ns, GridEnergy(shape, tuple(parts))


def _in_parts(
    cost: Cost, shape: tuple[int, int], has_standby: bool
) -> Iterator[tuple[Cost, tuple[int, int], IntArray | None]]:
    """The parts of a cost, each with what all dies do meanwhile where that costs anything."""
    if not isinstance(cost, CostInParts) or not cost.adds_up:
        yield cost, shape, None
        return
    for part in (Part(cost.beside, (1, shape[1])), *cost.parts):
        yield cost.timing.standing_by(part.cost) if has_standby else part.cost, part.shape, part.place


def priced(system: System, cost: Cost, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Latency and energy of memory and MACs by component on a full grid, static power included."""
    latency_ns, energy = grid_prices(system, cost, shape)
    return latency_ns, energy.whole_pj


def _by_component_pj(system: System, cost: Cost) -> dict[int, FloatArray]:
    """Energy by the number of its component, of those that take any."""
    found = cost.activity.energy_pj(system.profile)
    energy_pj = {
        component: np.asarray(pj, np.float64)
        for component, pj in enumerate(map(found.__getitem__, COMPONENTS))
        if np.ndim(pj) or pj
    }
    static_pj_per_ns = system.platform.static_power.watts * 1e3  # 1 W is 1000 pJ per ns
    if static_pj_per_ns:
        energy_pj[STATIC] = energy_pj.get(STATIC, 0.0) + np.asarray(cost.latency_ns) * static_pj_per_ns
    return energy_pj
