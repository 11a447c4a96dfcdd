"""Compiled inner loops of the draft token pruner: accuracy updates, and growth with choice of the best size.

Plain functions over arrays, so that they read the same with compilation switched off (``NUMBA_DISABLE_JIT=1``).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native

BOUND_EVERY = 4
"""Nodes between two tests whether a larger tree can still win: often enough to stop early, yet cheap."""

ROUNDING = 1.0 + 1e-12
"""Keeps a bound above what it bounds where sums are rounded in another order."""

LEAST_RATE = 1e-300
"""Below any expected length per price, yet not 0, which times the infinite price of what is forbidden is no number."""


class Heap(NamedTuple):
    """Nodes that may come next, the likeliest at place 0."""

    probability: FloatArray
    parent: IntArray
    slot: IntArray


class Growth(NamedTuple):
    """Working memory of the explorer, reused from step to step; the first fields hold the tree that it grew."""

    parent: NDArray[np.int16]
    depth: NDArray[np.int8]
    rank: NDArray[np.int8]
    path_probability: FloatArray
    order: IntArray
    node_parent: IntArray
    node_depth: IntArray
    node_rank: IntArray
    node_probability: FloatArray
    place: IntArray
    heap: Heap
    nodes: IntArray
    length: FloatArray
    ahead: FloatArray
    levels: IntArray  # [1], how deep the tree could be: as many heads as run, or all where the last row serves it
    listed: IntArray  # [1], nodes of the list that the last decision left behind; the root alone at first
    gain: FloatArray  # [rows], likeliest node that is not listed


def make_growth(heads: int, top_k: int, max_size: int) -> Growth:
    """Allocate working memory for trees of up to ``max_size`` tokens, the root included."""
    listed = 1 + max(heads, 1) * (max_size + BOUND_EVERY)  # every depth limit adds less than a tree to the list
    frontier = 2 * listed  # each node puts at most a sibling and a child on the frontier
    return Growth(
        parent=np.zeros(max_size, np.int16),
        depth=np.zeros(max_size, np.int8),
        rank=np.zeros(max_size, np.int8),
        path_probability=np.zeros(max_size),
        order=np.tile(np.arange(top_k), (heads, 1)),
        node_parent=np.zeros(listed, np.int64),
        node_depth=np.zeros(listed, np.int64),
        node_rank=np.zeros(listed, np.int64),
        node_probability=np.zeros(listed),
        place=np.zeros(listed, np.int64),
        heap=Heap(np.zeros(frontier), np.zeros(frontier, np.int64), np.zeros(frontier, np.int64)),
        nodes=np.zeros(heads + 1, np.int64),
        length=np.zeros(heads + 1),
        ahead=np.arange(1.0, max_size + 1.0),
        levels=np.zeros(1, np.int64),
        listed=np.zeros(1, np.int64),
        gain=np.zeros(heads + 1),
    )


@native()
def learn_rank(accuracy: FloatArray, weight: FloatArray, head: int, rank: int, memory: float) -> None:
    """Average an observed rank (-1: outside the list) into one head's accuracies.

    Args:
        accuracy: float64 [heads, top_k], changed in place.
        weight: float64 [heads, top_k], observations behind each accuracy; grows up to ``memory``, in place.
        head: Which head.
        rank: Rank of the true token in its list.
        memory: Observations after which earlier ones begin to be forgotten.
    """
    accuracies, weights = accuracy[head], weight[head]  # rows of their own become vector instructions
    for k in range(accuracies.shape[0]):
        weights[k] = observed = min(weights[k] + 1.0, memory)
        target = 1.0 if k == rank else 0.0
        accuracies[k] += (target - accuracies[k]) / observed


@native()
def learn_node(accuracy: FloatArray, weight: FloatArray, head: int, rank: int, correct: bool, memory: float) -> None:
    """Average the outcome of one prediction into its accuracy; arguments are as for ``learn_rank``."""
    weight[head, rank] = min(weight[head, rank] + 1.0, memory)
    target = 1.0 if correct else 0.0
    accuracy[head, rank] += (target - accuracy[head, rank]) / weight[head, rank]


@native()
def first_guesses_right(ranks: NDArray[np.int8], heads: int) -> bool:
    """Whether the true tokens were the first guesses of as many heads: all of ``ranks[:heads]`` are 0."""
    right = 0
    while right < heads and ranks[right] == 0:
        right += 1
    return right == heads


@native()
def learn_verified(
    accuracy: FloatArray,
    weight: FloatArray,
    growth: Growth,
    size: int,
    ranks: NDArray[np.int8],
    accepted: int,
    memory: float,
) -> None:
    """LP-Spec's rule: every verified child of an accepted node was right or wrong; no other node says anything.

    ``ranks`` ends where the turn does: what a node guessed beyond the end was neither.
    """
    node = 0
    for head in range(min(accepted + 1, ranks.shape[0])):
        next_node = node
        for i in range(1, size):
            if growth.parent[i] == node:
                correct = growth.rank[i] == ranks[head]
                learn_node(accuracy, weight, head, growth.rank[i], correct, memory)
                if correct:
                    next_node = i
        node = next_node


@native()
def accepted_in(growth: Growth, size: int, ranks: NDArray[np.int8]) -> tuple[int, int]:
    """Draft tokens accepted from the grown tree, and how many of these lie out of place: one sweep in growth order.

    Keys and values lie in growth order after the root's, so the j-th accepted draft is in place if it is node j.
    """
    node = 0
    accepted = 0
    moved = 0
    for i in range(1, size):
        if accepted < ranks.shape[0] and growth.parent[i] == node and growth.rank[i] == ranks[accepted]:
            node = i
            accepted += 1
            moved += i != accepted
    return accepted, moved


@native()
def _sort_ranks(accuracy: FloatArray, order: IntArray) -> None:
    """Order every head's predictions by accuracy, best first, and equals by rank.

    The order is that of the decision before, so hardly any changes places.
    """
    for head in range(accuracy.shape[0]):
        accuracies, ranks = accuracy[head], order[head]
        before, above = ranks[0], accuracies[ranks[0]]
        for k in range(1, len(ranks)):
            rank = ranks[k]
            own = accuracies[rank]
            if above > own or (above == own and before < rank):
                before, above = rank, own
                continue
            slot = k
            while slot > 0 and not _comes_first(accuracies, ranks[slot - 1], rank):
                ranks[slot] = ranks[slot - 1]
                slot -= 1
            ranks[slot] = rank
            before, above = ranks[k], accuracies[ranks[k]]


@native()
def _comes_first(accuracies: FloatArray, one: int, other: int) -> bool:
    """Whether a rank of a head comes before another one."""
    return accuracies[one] > accuracies[other] or (accuracies[one] == accuracies[other] and one < other)


@native()
def _push(heap: Heap, count: int, probability: float, parent: int, slot: int) -> int:
    """Put a candidate on the frontier, a max-heap by path probability."""
    i = count
    while i > 0:
        above = (i - 1) // 2
        if heap.probability[above] >= probability:
            break
        heap.probability[i] = heap.probability[above]
        heap.parent[i] = heap.parent[above]
        heap.slot[i] = heap.slot[above]
        i = above
    heap.probability[i] = probability
    heap.parent[i] = parent
    heap.slot[i] = slot
    return count + 1


@native()
def _pop(heap: Heap, count: int) -> int:
    """Remove the best candidate, which the caller has read from place 0."""
    count -= 1
    probability = heap.probability[count]
    parent = heap.parent[count]
    slot = heap.slot[count]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and heap.probability[child + 1] > heap.probability[child]:
            child += 1
        if heap.probability[child] <= probability:
            break
        heap.probability[i] = heap.probability[child]
        heap.parent[i] = heap.parent[child]
        heap.slot[i] = heap.slot[child]
        i = child
    heap.probability[i] = probability
    heap.parent[i] = parent
    heap.slot[i] = slot
    return count


@native()
def _larger_can_win(price: FloatArray, growth: Growth, row: int, gain: float, best: float) -> bool:
    """Whether any larger tree could beat ``best``, every further node bringing at most ``gain``.

    Greedy growth takes nodes in falling order of probability, so this bound prices all sizes without growing them. The
    loop has no way out, so that it is computed several sizes at a time.

    Args:
        price: As for ``grow_best_tree``.
        growth: Holds how many nodes of each row are listed, and how long the tree of these is expected to be.
        row: Of the price list.
        gain: Probability of the likeliest node that is not listed.
        best: Expected length per price to beat.
    """
    size = growth.nodes[row]
    left = price.shape[1] - size
    if left < 1:
        return False
    gain *= ROUNDING
    length = growth.length[row] * ROUNDING
    if length + gain > best * price[row, size]:
        return True
    wins = 0
    for i in range(left):
        wins += length + gain * growth.ahead[i] > best * price[row, size + i]
    return wins > 0


@native()
def _keep(growth: Growth, size: int, depth: int) -> None:
    """Write the first ``size`` listed nodes that are at most ``depth`` deep into the tree."""
    growth.levels[0] = depth
    node = 0
    kept = 0
    while kept < size:
        if growth.node_depth[node] <= depth:
            growth.place[node] = kept
            growth.parent[kept] = growth.place[growth.node_parent[node]]
            growth.depth[kept] = growth.node_depth[node]
            growth.rank[kept] = growth.node_rank[node]
            growth.path_probability[kept] = growth.node_probability[node]
            kept += 1
        node += 1
    growth.parent[0] = -1


@native()
def grow_best_tree(accuracy: FloatArray, price: FloatArray, growth: Growth) -> int:
    """Grow token trees greedily within every depth and return the size (root included) with most tokens per price.

    Accuracies change little from decision to decision, so the nodes that were listed before are looked at first.

    Args:
        accuracy: float64 [heads, top_k], the probability that head h's k-th prediction is right.
        price: float64 [heads + 1, max_size], what running 0, 1, ... heads and verifying 1, 2, ... tokens costs;
            infinite forbids that. With fewer rows, the last one serves all further heads.
        growth: Working memory; its first ``size`` nodes are the tree afterwards.

    Returns:
        The best size. Among equals the smallest wins.
    """
    _sort_ranks(accuracy, growth.order)
    if _list_again(accuracy, price.shape[0] - 1, growth):
        size = _best_listed(accuracy.shape[0], price, growth)
        if size > 0:
            return size
    return _grow_anew(accuracy, price, growth)


@native()
def _list_again(accuracy: FloatArray, last: int, growth: Growth) -> bool:
    """Whether the nodes of the last list come in the same order at other accuracies; finds how likely these are then.

    Finds, too, how likely the best node is that is not listed, of every row of prices up to the last.
    """
    heads, top_k = accuracy.shape
    listed = growth.listed[0]
    if listed < 2:
        return False
    likely, children = growth.node_probability, growth.place
    growth.gain[: last + 1] = 0.0
    children[0] = 0
    for node in range(1, listed):
        parent, level = growth.node_parent[node], growth.node_depth[node] - 1
        slot, rank = children[parent], growth.node_rank[node]
        likely[node] = likely[parent] * accuracy[level, rank]
        if rank != growth.order[level, slot] or (node > 1 and likely[node] >= likely[node - 1]):
            return False
        children[parent] = slot + 1
        children[node] = 0
    for node in range(listed):
        level, slot = growth.node_depth[node], children[node]
        if level < heads and slot < top_k:
            row = min(level + 1, last)
            growth.gain[row] = max(growth.gain[row], likely[node] * accuracy[level, growth.order[level, slot]])
    for row in range(1, last + 1):
        growth.gain[row] = max(growth.gain[row], growth.gain[row - 1])
    return True


@native()
def _best_listed(heads: int, price: FloatArray, growth: Growth) -> int:
    """The best size of those that the list holds; 0 where another one may be better."""
    last, most = price.shape[0] - 1, price.shape[1]
    growth.nodes[: last + 1] = 1
    growth.length[: last + 1] = 1.0
    best = max(1.0 / price[0, 0], LEAST_RATE)
    best_size = 1
    best_row = 0
    for node in range(1, growth.listed[0]):
        gain = growth.node_probability[node]
        for row in range(min(growth.node_depth[node], last), last + 1):
            size = growth.nodes[row]
            if size < most and gain > growth.gain[row]:
                length = growth.length[row] + gain
                growth.nodes[row] = size + 1
                growth.length[row] = length
                if length > best * price[row, size]:
                    best = length / price[row, size]
                    best_size = size + 1
                    best_row = row
    for row in range(min(1, last), last + 1):
        if _larger_can_win(price, growth, row, growth.gain[row], best):
            return 0
    _keep(growth, best_size, heads if best_row == last else best_row)
    return best_size


@native()
def _grow_anew(accuracy: FloatArray, price: FloatArray, growth: Growth) -> int:
    """Decide as ``grow_best_tree`` does, and leave a list of nodes behind.

    One list serves all depths: the greedy tree of so many levels at most holds the likeliest nodes that are not deeper,
    and these are in the order in which the deepest tree takes them. A depth is followed while it can still win.
    """
    heads, top_k = accuracy.shape
    last, most = price.shape[0] - 1, price.shape[1]
    growth.node_parent[0] = 0
    growth.node_depth[0] = 0
    growth.node_rank[0] = -1
    growth.node_probability[0] = 1.0
    growth.nodes[: last + 1] = 1
    growth.length[: last + 1] = 1.0
    best = max(1.0 / price[0, 0], LEAST_RATE)
    best_size = 1
    best_row = 0
    low, high = min(1, last), last  # rows that can still win
    limit = heads
    listed = 1
    frontier = 0
    if heads > 0:
        frontier = _push(growth.heap, frontier, accuracy[0, growth.order[0, 0]], 0, 0)
    while frontier > 0:
        gain = growth.heap.probability[0]
        if listed % BOUND_EVERY == 0:
            while low <= high and not _larger_can_win(price, growth, low, gain, best):
                low += 1
            if low > high:
                break
            while high > low and not _larger_can_win(price, growth, high, gain, best):
                high -= 1
            limit = heads if high == last else high
        parent = growth.heap.parent[0]
        slot = growth.heap.slot[0]
        frontier = _pop(growth.heap, frontier)
        depth = growth.node_depth[parent] + 1
        if depth > limit:
            continue
        growth.node_parent[listed] = parent
        growth.node_depth[listed] = depth
        growth.node_rank[listed] = growth.order[depth - 1, slot]
        growth.node_probability[listed] = gain
        if slot + 1 < top_k:
            sibling = growth.node_probability[parent] * accuracy[depth - 1, growth.order[depth - 1, slot + 1]]
            frontier = _push(growth.heap, frontier, sibling, parent, slot + 1)
        if depth < limit:
            frontier = _push(growth.heap, frontier, gain * accuracy[depth, growth.order[depth, 0]], listed, 0)
        listed += 1
        for row in range(min(depth, last), high + 1):
            size = growth.nodes[row]
            if size < most:
                length = growth.length[row] + gain
                growth.nodes[row] = size + 1
                growth.length[row] = length
                if length > best * price[row, size]:
                    best = length / price[row, size]
                    best_size = size + 1
                    best_row = row
    growth.listed[0] = listed
    _keep(growth, best_size, heads if best_row == last else best_row)
    return best_size


@native()
def grow_to(accuracy: FloatArray, size: int, limit: int, growth: Growth) -> bool:
    """Grow the tree of one size that is at most so deep; False where two nodes are equally likely, or too few.

    Equals come in no certain order, so the tree may then be another than that of ``grow_best_tree``.
    """
    _sort_ranks(accuracy, growth.order)
    growth.parent[0], growth.depth[0], growth.rank[0] = -1, 0, -1
    growth.path_probability[0] = 1.0
    frontier = 0
    if limit > 0:
        frontier = _push(growth.heap, frontier, accuracy[0, growth.order[0, 0]], 0, 0)
    gain = 2.0
    for node in range(1, size):
        if frontier == 0 or growth.heap.probability[0] == gain:
            return False
        gain = growth.heap.probability[0]
        parent, slot = growth.heap.parent[0], growth.heap.slot[0]
        frontier = _pop(growth.heap, frontier)
        depth = growth.depth[parent] + 1
        growth.parent[node] = parent
        growth.depth[node] = depth
        growth.rank[node] = growth.order[depth - 1, slot]
        growth.path_probability[node] = gain
        if slot + 1 < accuracy.shape[1]:
            sibling = growth.path_probability[parent] * accuracy[depth - 1, growth.order[depth - 1, slot + 1]]
            frontier = _push(growth.heap, frontier, sibling, parent, slot + 1)
        if depth < limit:
            frontier = _push(growth.heap, frontier, gain * accuracy[depth, growth.order[depth, 0]], node, 0)
    return frontier == 0 or growth.heap.probability[0] != gain


@native()
def depth_of(growth: Growth, size: int) -> int:
    """Levels below the root that the first ``size`` nodes of a grown tree have."""
    deepest = 0
    for node in range(size):
        deepest = max(deepest, growth.depth[node])
    return deepest


@native()
def heads_to_run(price: FloatArray, depth: int, heads: int) -> int:
    """Draft heads that a step runs, of so many: as many as its tree is deep, or all where the last row is for all.

    ``price`` is float64 [rows, max_size], as for ``grow_best_tree``.
    """
    return heads if depth >= price.shape[0] - 1 else depth


@native()
def expected_length(growth: Growth, size: int) -> float:
    """Expected acceptance length of the first ``size`` nodes of a grown tree, the root counting one."""
    length = 0.0
    for node in range(size):
        length += growth.path_probability[node]
    return length
