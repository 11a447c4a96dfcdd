"""What the steps of a run take by a price list."""

from functools import reduce
from operator import add

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.simulation.step_cost import StepCosts
from lpspec.simulation.steps import Steps

_Sums = tuple[FloatArray, FloatArray, FloatArray]
"""Time and energy of each step, float64 [steps], and float64 [components], the energy of all."""


def looked_up(costs: StepCosts, steps: Steps) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Time, ns, and energy, pJ, of every step, float64 [steps]; float64 [components] of all; and time of moves, ns."""
    size, sizes = steps.l_spec - 1, costs.latency_ns.shape[1]
    place = steps.position * sizes + size
    found = [
        (costs.latency_ns.reshape(-1)[place], costs.energy.total_pj.reshape(-1)[place], costs.energy.summed(place)),
        _at(costs.compaction_ns, costs.compaction_pj, steps.moved),
        _drafting(costs, steps),
    ]
    migration_ns = 0.0
    if (placed := costs.placements) is not None:
        found.append(_at(placed.latency_ns, placed.energy_pj, steps.placement * sizes + size))
        before = np.concatenate([steps.placement[:1], steps.placement[:-1]])
        moves = ~np.eye(len(placed.move_ns), dtype=np.bool_)
        moved = before * len(moves) + steps.placement
        found.append(_at(placed.move_ns * moves, placed.move_pj * moves, moved))
        migration_ns = float(found[-1][0].sum())
    step_ns, step_pj, total_pj = (reduce(add, parts) for parts in zip(*found, strict=True))
    return step_ns, step_pj, total_pj, migration_ns


def _at(latency_ns: FloatArray, energy_pj: FloatArray, place: IntArray) -> _Sums:
    """What steps take of a list, each component read as often as steps have it.

    Args:
        latency_ns: float64 [...].
        energy_pj: float64 [components, ...].
        place: int64 [steps], the place of each in the list, counted through all axes.
    """
    by_place = energy_pj.reshape(len(energy_pj), -1)
    often = np.bincount(place)
    met = np.flatnonzero(often)
    return latency_ns.reshape(-1)[place], by_place.sum(axis=0)[place], (by_place[:, met] * often[met]).sum(axis=1)


def _drafting(costs: StepCosts, steps: Steps) -> _Sums:
    if costs.levels is None:
        return _at(costs.draft_ns, costs.draft_pj, np.minimum(steps.heads, len(costs.draft_ns) - 1))
    step_ns, step_pj = costs.drafted(steps.position, steps.l_spec, steps.committed, steps.heads)
    return step_ns, step_pj.sum(axis=0), step_pj.sum(axis=1)
