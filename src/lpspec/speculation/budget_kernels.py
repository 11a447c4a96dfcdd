"""Compiled loops that divide the tokens of one pass over the trees of several requests.

Each request has a list of drafts in the order in which its tree takes them, likeliest first, so what a tree of n tokens
is expected to commit is concave in n. Lists are merged by expected tokens per price, and every sum is priced: the best
division where prices depend on the sum alone, and where every request's own price is linear in its tokens.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native
from lpspec.speculation.kernels import ROUNDING, Growth, _pop, _push, _sort_ranks
from lpspec.speculation.pass_prices import (
    ENERGY,
    THROUGHPUT,
    PassPrices,
    drafting,
    drafts_by_network,
    own_levels,
    pass_price,
    put_levels,
    shared_levels,
)

LOCAL = 8
"""Tokens over which a slope is taken that weighs one request's drafts against another's."""

LEAST_WEIGHT = 1e-12

EIGHTHS = 8
"""Of more requests than so many, trees are tried with all and with each eighth less; roots alone with any number."""

STRIDE = 8
"""Divisions are ruled out in stretches, of which each is this part of the tokens before it."""


class Lists(NamedTuple):
    """The likeliest drafts for each table of accuracies and each limit of depth, after the root, which is node 0."""

    parent: NDArray[np.int16]  # [tables, limits, nodes]
    depth: NDArray[np.int8]
    rank: NDArray[np.int8]
    gain: FloatArray  # [tables, limits, nodes], probability that the node is accepted
    size: IntArray  # [tables, limits], nodes that there are


class Division(NamedTuple):
    """Working memory, and the division that was found: the trees of the first requests."""

    size: IntArray  # [requests], tokens of each tree
    limit: IntArray  # [requests], whose list each takes
    taken: IntArray  # [requests], while trying
    deep: IntArray  # [requests]
    weight: FloatArray  # [requests]
    at_depth: IntArray  # [heads + 2], requests whose trees are so deep at least
    level: IntArray  # [2, heads + 2], tokens that each pass of a network reads, from 1 on, and guesses behind
    best: FloatArray  # [1], expected tokens per price
    length: FloatArray  # [limits, nodes], no tree of so many tokens is expected to commit more


def make_lists(tables: int, heads: int, nodes: int) -> Lists:
    """Allocate lists of trees of up to ``nodes`` tokens."""
    shape = tables, heads + 1, nodes
    return Lists(
        np.zeros(shape, np.int16),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.int8),
        np.zeros(shape),
        np.ones(shape[:2], np.int64),
    )


def make_division(requests: int, heads: int, lists: Lists) -> Division:
    """Allocate working memory for so many requests, so many draft heads, and trees from such lists."""
    return Division(
        size=np.zeros(requests, np.int64),
        limit=np.zeros(requests, np.int64),
        taken=np.zeros(requests, np.int64),
        deep=np.zeros(requests, np.int64),
        weight=np.zeros(requests),
        at_depth=np.zeros(heads + 2, np.int64),
        level=np.zeros((2, heads + 2), np.int64),
        best=np.zeros(1),
        length=np.zeros(lists.gain.shape[1:]),
    )


@native()
def list_drafts(accuracy: FloatArray, table: int, nodes: int, growth: Growth, lists: Lists) -> None:
    """Fill the lists of one table, float64 [heads, top_k], for every limit of depth."""
    _sort_ranks(accuracy, growth.order)
    for limit in range(accuracy.shape[0] + 1):
        parent, depth, rank = lists.parent[table, limit], lists.depth[table, limit], lists.rank[table, limit]
        gain = lists.gain[table, limit]
        parent[0], depth[0], rank[0], gain[0] = -1, 0, -1, 1.0
        frontier = 0
        if limit > 0:
            frontier = _push(growth.heap, 0, accuracy[0, growth.order[0, 0]], 0, 0)
        node = 1
        while node < nodes and frontier > 0:
            likely, above, slot = growth.heap.probability[0], growth.heap.parent[0], growth.heap.slot[0]
            frontier = _pop(growth.heap, frontier)
            level = depth[above] + 1
            parent[node], depth[node], gain[node] = above, level, likely
            rank[node] = growth.order[level - 1, slot]
            if slot + 1 < accuracy.shape[1]:
                sibling = gain[above] * accuracy[level - 1, growth.order[level - 1, slot + 1]]
                frontier = _push(growth.heap, frontier, sibling, above, slot + 1)
            if level < limit:
                child = likely * accuracy[level, growth.order[level, 0]]
                frontier = _push(growth.heap, frontier, child, node, 0)
            node += 1
        lists.size[table, limit] = node


@native()
def _weigh(prices: PassPrices, context: IntArray, requests: int, weight: FloatArray) -> None:
    """Price of a further token of each request, to first order: float64 [requests] out."""
    last, ns, pj = prices.own_ns.shape[1] - 1, 0.0, 0.0
    for i in range(requests):
        ns += prices.own_ns[context[i], 0]
        pj += prices.own_pj[context[i], 0]
    tokens = requests * prices.charged[1]
    end, reach = min(tokens + LOCAL, len(prices.shared_ns) - 1), min(LOCAL, last)
    ns, pj = ns + prices.shared_ns[tokens], pj + prices.shared_pj[tokens]
    shared_ns = (prices.shared_ns[end] - prices.shared_ns[tokens]) / max(end - tokens, 1)
    shared_pj = (prices.shared_pj[end] - prices.shared_pj[tokens]) / max(end - tokens, 1)
    counted = prices.energy_share * pj + prices.idle_pj_per_ns * ns
    for i in range(requests):
        own_ns, own_pj = prices.own_ns[context[i]], prices.own_pj[context[i]]
        more_ns = shared_ns + (own_ns[reach] - own_ns[0]) / max(reach, 1)
        more_pj = shared_pj + (own_pj[reach] - own_pj[0]) / max(reach, 1)
        more = prices.energy_share * more_pj + prices.idle_pj_per_ns * more_ns
        by_time, by_energy = more_ns / ns, more / max(counted, LEAST_WEIGHT)
        if prices.objective == THROUGHPUT:
            found = by_time
        elif prices.objective == ENERGY:
            found = by_energy
        else:
            found = (by_time + by_energy) / 2
        weight[i] = max(found, LEAST_WEIGHT)


@native()
def _regrown(
    prices: PassPrices, context: int, old: tuple[int, int], new: tuple[int, int], room: Division
) -> tuple[float, float]:
    """Let one request have another tree, tokens and depth, in the passes of a network; its own more time and energy."""
    reads = prices.reads[old[1]]
    put_levels(prices, room.level, reads, old, -1)
    more_ns = -own_levels(prices, prices.level_ns, context, reads, old)
    more_pj = -own_levels(prices, prices.level_pj, context, reads, old)
    reads = prices.reads[new[1]]
    put_levels(prices, room.level, reads, new, 1)
    more_ns += own_levels(prices, prices.level_ns, context, reads, new)
    more_pj += own_levels(prices, prices.level_pj, context, reads, new)
    return more_ns, more_pj


@native()
def _deepen(room: Division, request: int, depth: int) -> None:
    """Let as many heads run for a request, or as many levels be drafted, as its tree is deep now."""
    for head in range(room.deep[request] + 1, depth + 1):
        room.at_depth[head] += 1
    room.deep[request] = max(room.deep[request], depth)


@native()
def _whole_price(prices: PassPrices, room: Division, ns: float, pj: float, tokens: int) -> float:
    """Price of a pass of so many tokens, of which this is what requests have of their own."""
    ns = ns + prices.shared_ns[tokens] + drafting(prices.draft_ns, room.at_depth)
    pj = pj + prices.shared_pj[tokens] + drafting(prices.draft_pj, room.at_depth)
    if drafts_by_network(prices):
        ns += shared_levels(prices, prices.level_ns, room.level, room.at_depth)
        pj += shared_levels(prices, prices.level_pj, room.level, room.at_depth)
    return pass_price(prices, ns, pj)


@native()
def try_division(
    prices: PassPrices,
    lists: Lists,
    table: IntArray,
    context: IntArray,
    deepest: IntArray,
    requests: int,
    level: int,
    sizes: tuple[int, int],
    all_heads: bool,
    room: Division,
    stop_at: int,
) -> int:
    """Give tokens to the trees of the first requests, one by one, and remember with how many in all they are best.

    Args:
        prices: Of the pass.
        lists: Drafts of every table.
        table: int64 [requests], whose accuracies each has.
        context: int64 [requests], its tokens before, as a row of the prices.
        deepest: int64 [requests], how deep its tree may be.
        requests: How many take part.
        level: How deep every tree may be.
        sizes: Least and most tokens of a tree.
        all_heads: Whether all draft heads run wherever there is a tree.
        room: Working memory; ``best`` rises where a division is better.
        stop_at: Nodes after which to stop, which leaves the trees in ``taken``; -1 to try all.

    Returns:
        Nodes given beside the roots when it was best; -1 where it was not better than ``best``.
    """
    least, most = sizes
    charged, heads = prices.charged, prices.draft_ns.shape[0] - 1
    network = drafts_by_network(prices)
    room.at_depth[:] = 0
    room.at_depth[0] = requests
    room.level[:] = 0
    ns, pj, length, tokens, small = 0.0, 0.0, float(requests), 0, 0
    for i in range(requests):
        room.taken[i], room.deep[i], room.limit[i] = 1, 0, min(level, deepest[i])
        ns += prices.own_ns[context[i], 0]
        pj += prices.own_pj[context[i], 0]
        tokens += charged[1]
        small += least > 1
    given, found = 0, -1
    while True:
        if stop_at < 0 and small == 0 and tokens < len(prices.shared_ns):
            price = _whole_price(prices, room, ns, pj, tokens)
            if length > room.best[0] * price:
                room.best[0], found = length / price, given
        if given == stop_at:
            break
        chosen, key, gain = -1, -1.0, 0.0
        for i in range(requests):
            size = room.taken[i]
            if size < most and size < lists.size[table[i], room.limit[i]]:
                likely = lists.gain[table[i], room.limit[i], size]
                gain = max(gain, likely)
                mine = 2.0 * likely / LEAST_WEIGHT if size < least else likely / room.weight[i]
                if mine > key:
                    chosen, key = i, mine
        if chosen < 0 or tokens + 1 >= len(prices.shared_ns):
            break
        if stop_at < 0 and small == 0:
            least_price = pass_price(prices, prices.least_ns[tokens], prices.least_pj[tokens])
            if gain <= room.best[0] * least_price:
                break
        size = room.taken[chosen]
        own_ns, own_pj = prices.own_ns[context[chosen]], prices.own_pj[context[chosen]]
        ns, pj = ns + (own_ns[size] - own_ns[size - 1]), pj + (own_pj[size] - own_pj[size - 1])
        tokens += charged[size + 1] - charged[size]
        depth, before = lists.depth[table[chosen], room.limit[chosen], size], room.deep[chosen]
        _deepen(room, chosen, heads if all_heads else depth)
        if network:
            more_ns, more_pj = _regrown(prices, context[chosen], (size, before), (size + 1, room.deep[chosen]), room)
            ns, pj = ns + more_ns, pj + more_pj
        length += lists.gain[table[chosen], room.limit[chosen], size]
        room.taken[chosen] = size + 1
        small -= size + 1 == least
        given += 1
    return found


@native()
def _longest(lists: Lists, length: FloatArray) -> None:
    """What trees of each size are expected to commit at most, whichever table they come from: [limits, nodes] out."""
    tables, limits, nodes = lists.gain.shape
    for limit in range(limits):
        total = 0.0
        for node in range(nodes):
            most = 0.0
            for table in range(tables):
                if node < lists.size[table, limit]:
                    most = max(most, lists.gain[table, limit, node])
            total += most
            length[limit, node] = total


@native()
def _committed(length: FloatArray, requests: int, drafts: int) -> float:
    """What so many requests are expected to commit at most with so many drafts together."""
    whole = drafts // requests
    each: float = length[whole]
    if whole + 1 < len(length):
        each += (length[whole + 1] - length[whole]) * (drafts / requests - whole)
    return requests * each * ROUNDING


@native()
def _can_win(
    prices: PassPrices,
    length: FloatArray,
    requests: int,
    own: tuple[float, float],
    level: int,
    sizes: tuple[int, int],
    best: float,
) -> bool:
    """Whether a division over so many requests may beat ``best``.

    What trees commit is concave in their tokens, so no division commits more than an equal one; attention costs at
    least what it costs for the roots, and the deepest head runs for one request at least.
    """
    least, most = sizes
    free = requests * (1 - (prices.charged[min(2, most)] - prices.charged[1]) if most > 1 else 0)
    ns, pj = own[0] + prices.draft_ns[level, min(level, 1)], own[1] + prices.draft_pj[level, min(level, 1)]
    ns, pj = ns + prices.level_ns.floor[level], pj + prices.level_pj.floor[level]
    last = requests * (most - 1)
    begin = requests * (least - 1)
    while begin <= last:
        end = min(begin + begin // STRIDE, last)
        tokens = requests * prices.charged[1] + max(begin - free, 0)
        if tokens >= len(prices.shared_ns):
            break
        floor = pass_price(prices, ns + prices.floor_ns[tokens], pj + prices.floor_pj[tokens])
        if requests * length[most - 1] <= best * floor:
            break
        if _committed(length, requests, end) > best * floor:
            for drafts in range(begin, end + 1):
                tokens = requests * prices.charged[1] + max(drafts - free, 0)
                if tokens < len(prices.shared_ns):
                    price = pass_price(prices, ns + prices.shared_ns[tokens], pj + prices.shared_pj[tokens])
                    if _committed(length, requests, drafts) > best * price:
                        return True
        begin = end + 1
    return False


@native()
def divide(
    prices: PassPrices,
    lists: Lists,
    table: IntArray,
    context: IntArray,
    deepest: IntArray,
    running: int,
    sizes: tuple[int, int],
    all_heads: bool,
    room: Division,
) -> int:
    """Choose how many requests take part, the first ones, and all their trees: most expected tokens per price.

    Where fewer requests are as good, as where every price is a multiple of one request's, the most take part: the last
    bit of a sum never decides. Arguments are as for ``try_division``. Returns how many take part; their sizes and
    limits are in ``room``.
    """
    best, best_requests, best_level, best_given = 0.0, 0, 0, 0
    levels = lists.size.shape[1]
    _longest(lists, room.length)
    for fewer in range(running):
        requests = running - fewer
        room.best[0] = best * ROUNDING
        own_ns, own_pj = 0.0, 0.0
        for i in range(requests):
            own_ns += prices.own_ns[context[i], 0]
            own_pj += prices.own_pj[context[i], 0]
        _weigh(prices, context, requests, room.weight)
        for level in range(levels):
            if all_heads and 0 < level < levels - 1:
                continue
            if level > 0 and running > EIGHTHS and -(-running * (requests * EIGHTHS // running) // EIGHTHS) != requests:
                continue
            if not _can_win(prices, room.length[level], requests, (own_ns, own_pj), level, sizes, room.best[0]):
                continue
            given = try_division(prices, lists, table, context, deepest, requests, level, sizes, all_heads, room, -1)
            if given >= 0:
                best, best_requests, best_level, best_given = room.best[0], requests, level, given
    room.best[0] = best
    if best_requests == 0:
        return 0
    _weigh(prices, context, best_requests, room.weight)
    try_division(prices, lists, table, context, deepest, best_requests, best_level, sizes, all_heads, room, best_given)
    for i in range(best_requests):
        room.size[i] = room.taken[i]
    return best_requests
