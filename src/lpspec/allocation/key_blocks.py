"""Attention over whole blocks of keys: a cache grows in the lanes of a column, and is computed block by block.

So costs change only where another block begins, and a grid of contexts has few that differ.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lpspec.allocation.parts import Part
from lpspec.devices.cost import Cost
from lpspec.llm.counts import Count, ceil_div, plain
from lpspec.llm.operators import Attention


def in_whole_blocks(op: Attention, lanes: int) -> Attention:
    """The same attention over as many keys as the lanes of whole blocks hold, those beyond masked.

    A window that has left the first token behind begins inside a block, at any lane: then it may touch one more.
    """
    return op.over(_blocks_of(op, lanes) * lanes)


def _blocks_of(op: Attention, lanes: int) -> Count:
    """How many blocks its keys touch."""
    keys = op.keys
    if op.window is None:
        return ceil_div(keys, lanes)
    inside = keys < op.context + op.tokens
    blocks: Count = plain(ceil_div(keys - inside, lanes) + inside)
    return blocks


def by_blocks(op: Attention, lanes: int, cost: Callable[[Attention], Cost]) -> Part | Cost:
    """What attention costs, each number of blocks priced once.

    Args:
        op: Attention, on a grid whose first axis is the context, and whose second is the tokens, or any other.
        lanes: Positions of a block.
        cost: Prices attention over whole blocks.
    """
    if not _on_grid(op):
        return cost(in_whole_blocks(op, lanes))
    touched = np.asarray(_blocks_of(op, lanes))
    first, last = int(touched.min()), int(touched.max())
    blocks = np.arange(first, last + 1)[:, None] * lanes
    few = cost(op.over(blocks))
    return Part(few, (len(blocks), touched.shape[1]), touched - first)


def by_lanes(op: Attention, lanes: int, cost: Callable[[Attention], Cost]) -> Part | Cost:
    """What new keys and values cost, each lane that the first of them may have priced once; as ``by_blocks``."""
    if not _on_grid(op) or np.size(op.context) < lanes:
        return cost(op)
    first = np.arange(lanes)[:, None]
    few = cost(replace(op, context=first, pairs=op.tokens * (first + op.tokens)))
    return Part(few, (lanes, np.broadcast(op.context, op.tokens).shape[1]), np.asarray(op.context) % lanes)


def _on_grid(op: Attention) -> bool:
    """Whether contexts are the first of two axes, and nothing else is."""
    return np.ndim(op.context) == 2 and np.shape(op.context)[1] == 1 and np.ndim(op.tokens) <= 2
