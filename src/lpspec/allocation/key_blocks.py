"""Attention over whole blocks of keys: a cache grows in the lanes of a column, and is computed block by block.

So costs change only where another block begins, and a grid of contexts has few that differ.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from lpspec.devices.cost import Activity, Cost
from lpspec.llm.counts import ceil_div, plain
from lpspec.llm.operators import Attention


def in_whole_blocks(op: Attention, lanes: int) -> Attention:
    """The same attention over as many keys as the lanes of whole blocks hold, those beyond masked.

    A window that has left the first token behind begins inside a block, at any lane: then it may touch one more.
    """
    inside = op.keys < op.context + op.tokens
    blocks = plain(ceil_div(op.keys - inside, lanes) + inside)
    return replace(op, context=blocks * lanes - op.tokens, pairs=op.tokens * (blocks * lanes), window=None)


def over_blocks(op: Attention, lanes: int, cost: Callable[[Attention], Cost]) -> Cost:
    """What attention costs, each number of blocks priced once.

    Args:
        op: Attention, on a grid whose first axis is the context, and whose second is the tokens, or any other.
        lanes: Positions of a block.
        cost: Prices attention over whole blocks.
    """
    whole = in_whole_blocks(op, lanes)
    keys = np.asarray(whole.keys)
    if keys.ndim < 2 or np.ndim(op.context) < 2 or np.shape(op.context)[1] != 1:
        return cost(whole)
    first, last = int(keys.min()) // lanes, int(keys.max()) // lanes
    blocks = np.arange(first, last + 1)[:, None] * lanes
    few = cost(replace(whole, context=blocks - op.tokens, pairs=op.tokens * blocks))
    row = keys // lanes - first
    size = np.broadcast_to(np.arange(keys.shape[1]), keys.shape)

    def spread(value: Any) -> Any:
        if np.ndim(value) < 2:
            return value
        return np.broadcast_to(value, (len(blocks), keys.shape[1]))[row, size]

    activity = Activity(*(spread(getattr(few.activity, f.name)) for f in fields(Activity)))
    return Cost(spread(few.latency_ns), activity)
