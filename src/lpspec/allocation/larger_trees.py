"""No tree is verified in a way that costs more than a larger one.

The split that takes least time may jump from NPU to PIM as trees grow, and energy would fall with it. Either smaller
trees move earlier, which costs them time, or larger ones later, which costs those: what loses least is taken.
"""

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native


def no_dearer_than_larger(best: IntArray, latency_ns: FloatArray, energy_pj: FloatArray) -> IntArray:
    """The choice for every size, so that neither time nor energy falls as trees grow, and least time is lost.

    What counts is the sum over sizes of the time that each loses, relative to its own best. There always is a way: any
    one choice for all sizes.

    Args:
        best: int64 [..., sizes], the choice that takes each size least time; sizes are 1, 2, 3 and so on.
        latency_ns: float64 [choices, ..., sizes], which no choice lets fall with the size.
        energy_pj: float64 [choices, ..., sizes], likewise.
    """
    own_ns, own_pj = (np.take_along_axis(cost, best[None], 0)[0] for cost in (latency_ns, energy_pj))
    falls = (own_ns[..., :-1] > own_ns[..., 1:]) | (own_pj[..., :-1] > own_pj[..., 1:])
    rows = falls.any(axis=-1)
    chosen = best.copy()
    if rows.any():
        costs = (np.ascontiguousarray(np.moveaxis(cost, 0, -1)[rows]) for cost in (latency_ns, energy_pj))
        chosen[rows] = _least_lost(best[rows], *costs)
    return chosen


def _least_lost(best: IntArray, latency_ns: FloatArray, energy_pj: FloatArray) -> IntArray:
    """The same for int64 [rows, sizes] and float64 [rows, sizes, choices]: a shortest path from size to size."""
    choices = latency_ns.shape[-1]
    own_ns = np.take_along_axis(latency_ns, best[..., None], -1)
    lost = latency_ns / own_ns - 1.0 + (np.arange(choices) != best[..., None]) * 1e-12  # of equals, the own choice
    chosen = np.empty_like(best)
    before = np.empty(latency_ns.shape[1:], np.int64)
    for row in range(len(best)):
        follow_least(latency_ns[row], energy_pj[row], lost[row], before, chosen[row])
    return chosen


@native()
def follow_least(
    latency_ns: FloatArray, energy_pj: FloatArray, lost: FloatArray, before: IntArray, chosen: IntArray
) -> None:
    """Find the path over which least is lost, neither cost falling; of equals, over the first choices.

    Args:
        latency_ns: float64 [sizes, choices].
        energy_pj: float64 [sizes, choices].
        lost: float64 [sizes, choices]; holds sums over the least path to there afterwards.
        before: int64 [sizes, choices], working memory.
        chosen: int64 [sizes] out.
    """
    sizes, choices = lost.shape
    for size in range(1, sizes):
        for goal in range(choices):
            least, through = np.inf, 0
            for start in range(choices):
                falls = latency_ns[size - 1, start] > latency_ns[size, goal]
                falls |= energy_pj[size - 1, start] > energy_pj[size, goal]
                if not falls and lost[size - 1, start] < least:
                    least, through = lost[size - 1, start], start
            lost[size, goal] += least
            before[size, goal] = through
    last = 0
    for choice in range(1, choices):
        if lost[sizes - 1, choice] < lost[sizes - 1, last]:
            last = choice
    for size in range(sizes - 1, -1, -1):
        chosen[size] = last
        last = before[size, last]
