"""What it costs to put keys and values of accepted tokens in place after a pass, and which drafts wait for that.

A tree waits in the scratchpad where that pays: a pass and what is then written have no larger product of time and
energy than a pass in place, at the level that trees are chosen by. One request alone comes to every place in a
block of positions alike, and so does every request where all that is accepted waits for a block that fills: their costs
are the mean over these places. Else few of several requests have a tree, so it waits if it pays at every place.
"""

from dataclasses import replace

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.llm.operators import verify_operators
from lpspec.simulation.draft_cache import (
    IN_PLACE,
    KEY_BLOCK,
    LEAST_TREE,
    DraftCache,
    draft_cache_of,
    put_in_place_cost,
    waiting,
)
from lpspec.simulation.price_grid import priced
from lpspec.simulation.workload import MAX_TREE_SIZE, System


def put_in_place_prices(
    system: System, allocator: Allocator, sizes: int, waits: bool, block: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Prices of what is put in place after a pass: float64 [entries], and [components, entries].

    Entries are those of ``DraftCache.put_in_place``: all but those that are moved up only where any tree waits.
    """
    sizes = MAX_TREE_SIZE if waits else sizes
    moved = put_in_place_cost(system, allocator, np.maximum(np.arange(sizes), 1), read_first=True)
    ns, pj = priced(system, moved, (1, sizes))
    ns[:, 0] = pj[..., 0] = 0.0
    if waits:
        tokens = np.arange(1, sizes + 1)
        written_ns, written_pj = priced(system, put_in_place_cost(system, allocator, tokens, False), (1, sizes))
        if block == 1:
            cost = put_in_place_cost(system, allocator, tokens, read_first=False, later=True)
            last_ns, last_pj = priced(system, cost, (1, sizes))
        else:
            last_ns, last_pj = ns + written_ns[:, block - 1 : block], pj + written_pj[..., block - 1 : block]
        ns = np.concatenate([ns, written_ns, last_ns], axis=-1)
        pj = np.concatenate([pj, written_pj, last_pj], axis=-1)
    return ns[0], pj[:, 0]


def settled_cache(system: System, allocator: Allocator, first_context: int, requests: int = 1) -> DraftCache:
    """Which drafts wait in the scratchpad of a system: of those that have room, those that it serves.

    Larger trees cost the vector lanes more with each token, and small ones may save less than writing what they had
    accepted costs. Blocks are kept where a root alone is served by them and every tree up to one of ``LEAST_TREE``
    tokens at least; else each pass writes what it accepts, and the longest row of sizes waits that are all served.

    Args:
        system: The model on its machine.
        allocator: Knows where keys and values lie.
        first_context: Tokens of the shortest prompt; costs are those over a block of positions behind it.
        requests: How many share a pass at most.
    """
    room = draft_cache_of(system.platform, system.model, requests)
    if not room.most:
        return room
    if room.block > 1:
        first, last = _longest_row(_served(system, allocator, first_context, room, in_mean=True))
        if first == 1 and last >= LEAST_TREE:
            return replace(room, most=last)
    beside = room.block - 1 if room.block > 1 else 0
    each = DraftCache(min(room.most + beside, MAX_TREE_SIZE), least=2)
    served = _served(system, allocator, first_context, each, in_mean=requests == 1)
    served[0] = False
    first, last = _longest_row(served)
    return replace(each, least=first, most=last) if last else IN_PLACE


def _longest_row(served: BoolArray) -> tuple[int, int]:
    """The first and the last of the most neighbouring sizes, 1 and more, that are served; both 0 where none is."""
    ends = np.flatnonzero(np.diff(np.concatenate([[False], served, [False]]))).reshape(-1, 2)
    if not len(ends):
        return 0, 0
    first, behind = ends[np.argmax(ends[:, 1] - ends[:, 0])].tolist()
    return first + 1, behind


def _served(system: System, allocator: Allocator, first_context: int, cache: DraftCache, in_mean: bool) -> BoolArray:
    """Whether passes over 1, 2, ... tokens have no larger product of time and energy where these wait: bool [most].

    In the mean over a block of positions, or at each of them.
    """
    prices = put_in_place_prices(system, allocator, MAX_TREE_SIZE, waits=True, block=cache.block)
    put_ns, put_pj = prices[0], prices[1].sum(axis=0)
    context = np.arange(first_context, first_context + KEY_BLOCK)
    before = _passes(system, allocator, context, cache.most, None)
    after = _passes(system, allocator, context, cache.most, cache)
    if cache.block == 1:
        after += np.stack([cache.planned(put, cache.most, context) for put in (put_ns, put_pj)])
    else:
        share = np.minimum(np.arange(1, cache.most + 1), 2) / cache.block
        after += np.stack([put[MAX_TREE_SIZE - 1 + cache.block] * share[None] for put in (put_ns, put_pj)])
    if in_mean:
        before, after = before.mean(axis=1, keepdims=True), after.mean(axis=1, keepdims=True)
    return np.asarray((after.prod(axis=0) <= before.prod(axis=0)).all(axis=0))


def _passes(
    system: System, allocator: Allocator, contexts: IntArray, sizes: int, cache: DraftCache | None
) -> FloatArray:
    """Time and energy of verify passes whose tokens wait or not: float64 [2, contexts, sizes]."""
    context = contexts[:, None]
    operators = verify_operators(system.model, system.charged(np.arange(1, sizes + 1)[None, :]), context)
    if cache is not None:
        operators = waiting(operators, held=cache.held(context), beside=cache.beside)
    ns, pj = priced(system, allocator.decode_cost(operators), (len(contexts), sizes))
    return np.stack([ns, pj.sum(axis=0)])
