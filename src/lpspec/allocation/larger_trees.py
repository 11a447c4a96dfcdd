"""No tree is verified in a way that costs more than the next larger one.

The split that takes least time may jump from NPU to PIM as trees grow, and its energy may fall with it. Whatever split
a larger tree has takes a smaller one no more time and no more energy: so it is taken, wherever the best of the
smaller tree would cost more.
"""

import numpy as np

from lpspec.arrays import FloatArray, IntArray


def no_dearer_than_larger(best: IntArray, latency_ns: FloatArray, energy_pj: FloatArray) -> IntArray:
    """The choice for every size, so that neither time nor energy falls as trees grow.

    Args:
        best: int64 [..., sizes], the choice that each size would make by itself; sizes are 1, 2, 3 and so on.
        latency_ns: float64 [choices, ..., sizes], which no choice lets fall with the size.
        energy_pj: float64 [choices, ..., sizes], likewise.
    """
    chosen = best.copy()
    own_ns, own_pj = (np.take_along_axis(cost, best[None], 0)[0] for cost in (latency_ns, energy_pj))
    falls = (own_ns[..., :-1] > own_ns[..., 1:]) | (own_pj[..., :-1] > own_pj[..., 1:])
    sizes_that_fall = np.flatnonzero(falls.any(axis=tuple(range(falls.ndim - 1))))
    last = int(sizes_that_fall[-1]) if sizes_that_fall.size else -1  # all from the next size on keep their own
    for size in range(last, -1, -1):
        after = chosen[..., size + 1]
        after_ns, after_pj = (
            np.take_along_axis(cost[..., size + 1], after[None], 0)[0] for cost in (latency_ns, energy_pj)
        )
        dearer = (own_ns[..., size] > after_ns) | (own_pj[..., size] > after_pj)
        chosen[..., size] = np.where(dearer, after, best[..., size])
    return chosen
