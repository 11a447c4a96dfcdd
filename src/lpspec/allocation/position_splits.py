"""The DAU's split of attention by positions: PIM takes the first ones of every head, the NPU the others.

QK^T and PV are divided each for itself: what comes back of QK^T is a score for each query and key, and of PV a result
for each query alone, so the bus lets PIM do less of the one than of the other. All scores are the NPU's before softmax,
so nothing has to be scaled: it adds what both sides sum up over values.
"""

from collections.abc import Callable

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost, Real, off_chip_read
from lpspec.devices.kv_share import Heads, KeyShare
from lpspec.devices.npu import Npu
from lpspec.devices.pim import LpddrPim
from lpspec.devices.pim_work import PimWork
from lpspec.llm.counts import ceil_div
from lpspec.llm.operators import Attention

STEPS = 16
"""Parts of the positions that are tried on PIM: none, one, two, ... or all of so many."""

Weight = Callable[[Attention, Cost], FloatArray]
"""What a split of one layer minimises."""


def divisible(op: Attention) -> bool:
    """Whether positions of QK^T and of PV may be divided apart: not where values are part of the keys."""
    return not op.latent


def best_by_positions(npu: Npu, pim: LpddrPim, op: Attention, weight: Weight) -> KeyShare:
    """The positions of both halves that PIM takes of all heads, least by a weight; halves add up, so each by itself."""
    share, keys = pim.kv_share(op), np.asarray(op.keys)
    together = pim.row_columns * share.spread * share.parts
    step = np.arange(STEPS + 1).reshape(-1, *[1] * np.broadcast(op.keys, op.tokens).ndim)
    tried = np.minimum(ceil_div(ceil_div(keys * step, STEPS), together) * together, keys)
    best = []
    for half in (scores_cost, values_cost):
        weights = weight(op, half(npu, pim, op, KeyShare(op.kv_heads, tried, tried)))
        chosen = np.argmin(weights[::-1], axis=0)  # of equals, the most positions on PIM
        found: IntArray = np.take_along_axis(np.broadcast_to(tried, weights.shape)[::-1], chosen[None], 0)[0]
        best.append(found)
    return KeyShare(op.kv_heads, *best)


def scores_cost(npu: Npu, pim: LpddrPim, op: Attention, share: KeyShare) -> Cost:
    """QK^T of one layer: as long as the slowest of PIM, arrays and bus."""
    heads = Heads(share.heads * (share.scores_keys > 0), pim.kv_share(op), op.queries, share.scores_keys)
    left = npu.scores_left(op, share)
    read_bytes = left.read_bytes + op.scale_bytes * heads.pim * heads.keys
    return _beside(pim, pim.scores_of(heads), read_bytes, left.busy_ns, left.activity)


def values_cost(npu: Npu, pim: LpddrPim, op: Attention, share: KeyShare) -> Cost:
    """PV of one layer, likewise."""
    heads = Heads(share.heads * (share.values_keys > 0), pim.kv_share(op), op.queries, share.values_keys)
    left = npu.values_left(op, share)
    read_bytes = left.read_bytes + op.scale_bytes * heads.pim * heads.keys
    return _beside(pim, pim.values_of(heads), read_bytes, left.busy_ns, left.activity)


def _beside(pim: LpddrPim, work: PimWork, read_bytes: Real, busy_ns: Real, on_chip: Activity) -> Cost:
    latency_ns = np.maximum(np.maximum(pim.busy_ns(work), pim.bus_ns(work, read_bytes)), busy_ns)
    return Cost(latency_ns, pim.activity(work) + off_chip_read(read_bytes) + on_chip)
