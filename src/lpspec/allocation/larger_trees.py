"""No tree is verified in a way that costs more than a larger one.

The split that takes least time may jump from NPU to PIM as trees grow, and energy would fall with it. Either smaller
trees move earlier, which costs them time, or larger ones later, which costs those: what loses least is taken.
"""

import numpy as np

from lpspec.arrays import FloatArray, IntArray


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
        chosen[rows] = _least_lost(best[rows], *(np.moveaxis(cost, 0, -1)[rows] for cost in (latency_ns, energy_pj)))
    return chosen


def _least_lost(best: IntArray, latency_ns: FloatArray, energy_pj: FloatArray) -> IntArray:
    """The same for int64 [rows, sizes] and float64 [rows, sizes, choices]: a shortest path from size to size."""
    _, sizes, choices = latency_ns.shape
    own_ns = np.take_along_axis(latency_ns, best[..., None], -1)
    lost = latency_ns / own_ns - 1.0 + (np.arange(choices) != best[..., None]) * 1e-12  # of equals, the own choice
    total = lost[:, 0]
    before = np.zeros(latency_ns.shape, np.int64)
    for size in range(1, sizes):
        falls = np.zeros((len(best), choices, choices), np.bool_)  # from a choice (row) to another
        for cost in (latency_ns, energy_pj):
            falls |= cost[:, size - 1, :, None] > cost[:, size, None, :]
        through = np.where(falls, np.inf, total[:, :, None])
        before[:, size] = through.argmin(axis=1)
        total = through.min(axis=1) + lost[:, size]
    chosen = np.empty_like(best)
    chosen[:, -1] = total.argmin(axis=-1)
    for size in range(sizes - 1, 0, -1):
        chosen[:, size - 1] = np.take_along_axis(before[:, size], chosen[:, size, None], -1)[:, 0]
    return chosen
