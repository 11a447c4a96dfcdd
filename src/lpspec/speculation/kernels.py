"""Compiled inner loops of the draft token pruner: accuracy updates, and growth with choice of the best size.

Plain functions over arrays, so that they read the same with compilation switched off (``NUMBA_DISABLE_JIT=1``).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BOUND_EVERY = 4
"""Nodes between two tests whether a larger tree can still win: often enough to stop early, yet cheap."""


class Growth(NamedTuple):
    """Working memory of the explorer, reused from step to step; the first fields hold the tree that it grew."""

    parent: NDArray[np.int16]
    depth: NDArray[np.int8]
    rank: NDArray[np.int8]
    path_probability: FloatArray
    order: IntArray
    heap_probability: FloatArray
    heap_parent: IntArray
    heap_slot: IntArray


def make_growth(heads: int, top_k: int, max_size: int) -> Growth:
    """Allocate working memory for trees of up to ``max_size`` tokens, the root included."""
    frontier = 2 * max_size + 2  # each node puts at most a sibling and a child on the frontier
    return Growth(
        parent=np.zeros(max_size, np.int16),
        depth=np.zeros(max_size, np.int8),
        rank=np.zeros(max_size, np.int8),
        path_probability=np.zeros(max_size),
        order=np.zeros((heads, top_k), np.int64),
        heap_probability=np.zeros(frontier),
        heap_parent=np.zeros(frontier, np.int64),
        heap_slot=np.zeros(frontier, np.int64),
    )


@cached_njit()
def learn_rank(accuracy: FloatArray, weight: FloatArray, head: int, rank: int, memory: float) -> None:
    """Average an observed rank (-1: outside the list) into one head's accuracies.

    Args:
        accuracy: float64 [heads, top_k], changed in place.
        weight: float64 [heads, top_k], observations behind each accuracy; grows up to ``memory``, in place.
        head: Which head.
        rank: Rank of the true token in its list.
        memory: Observations after which earlier ones begin to be forgotten.
    """
    for k in range(accuracy.shape[1]):
        learn_node(accuracy, weight, head, k, k == rank, memory)


@cached_njit()
def learn_node(accuracy: FloatArray, weight: FloatArray, head: int, rank: int, correct: bool, memory: float) -> None:
    """Average the outcome of one prediction into its accuracy; arguments are as for ``learn_rank``."""
    weight[head, rank] = min(weight[head, rank] + 1.0, memory)
    target = 1.0 if correct else 0.0
    accuracy[head, rank] += (target - accuracy[head, rank]) / weight[head, rank]


@cached_njit()
def first_guesses_right(ranks: NDArray[np.int8], heads: int) -> bool:
    """Whether the true tokens were the first guesses of as many heads: all of ``ranks[:heads]`` are 0."""
    right = 0
    while right < heads and ranks[right] == 0:
        right += 1
    return right == heads


@cached_njit()
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


@cached_njit()
def accepted_in(growth: Growth, size: int, ranks: NDArray[np.int8]) -> int:
    """Draft tokens accepted from the grown tree: growth order lets one sweep walk down the true path."""
    node = 0
    accepted = 0
    for i in range(1, size):
        if accepted < ranks.shape[0] and growth.parent[i] == node and growth.rank[i] == ranks[accepted]:
            node = i
            accepted += 1
    return accepted


@cached_njit()
def _sort_ranks(accuracy: FloatArray, order: IntArray) -> None:
    """Order every head's predictions by accuracy, best first; nearly sorted already, so by insertion."""
    for head in range(accuracy.shape[0]):
        for k in range(accuracy.shape[1]):
            slot = k
            while slot > 0 and accuracy[head, order[head, slot - 1]] < accuracy[head, k]:
                order[head, slot] = order[head, slot - 1]
                slot -= 1
            order[head, slot] = k


@cached_njit()
def _push(growth: Growth, count: int, probability: float, parent: int, slot: int) -> int:
    """Put a candidate on the frontier, a max-heap by path probability."""
    i = count
    while i > 0:
        above = (i - 1) // 2
        if growth.heap_probability[above] >= probability:
            break
        growth.heap_probability[i] = growth.heap_probability[above]
        growth.heap_parent[i] = growth.heap_parent[above]
        growth.heap_slot[i] = growth.heap_slot[above]
        i = above
    growth.heap_probability[i] = probability
    growth.heap_parent[i] = parent
    growth.heap_slot[i] = slot
    return count + 1


@cached_njit()
def _pop(growth: Growth, count: int) -> int:
    """Remove the best candidate, which the caller has read from place 0."""
    count -= 1
    probability = growth.heap_probability[count]
    parent = growth.heap_parent[count]
    slot = growth.heap_slot[count]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and growth.heap_probability[child + 1] > growth.heap_probability[child]:
            child += 1
        if growth.heap_probability[child] <= probability:
            break
        growth.heap_probability[i] = growth.heap_probability[child]
        growth.heap_parent[i] = growth.heap_parent[child]
        growth.heap_slot[i] = growth.heap_slot[child]
        i = child
    growth.heap_probability[i] = probability
    growth.heap_parent[i] = parent
    growth.heap_slot[i] = slot
    return count


@cached_njit()
def _larger_can_win(price: FloatArray, size: int, length: float, gain: float, best: float) -> bool:
    """Whether any larger tree could beat ``best``, every further node bringing at most ``gain``.

    Greedy growth takes nodes in falling order of probability, so this bound prices all sizes without growing them.
    """
    for tokens in range(size + 1, price.shape[0] + 1):
        length += gain
        if length / price[tokens - 1] > best:
            return True
    return False


@cached_njit()
def grow_best_tree(accuracy: FloatArray, price: FloatArray, growth: Growth) -> int:
    """Grow the token tree greedily and return the size (root included) with the most expected length per price.

    Args:
        accuracy: float64 [heads, top_k], the probability that head h's k-th prediction is right.
        price: float64 [max_size], what verifying a tree of 1, 2, ... tokens costs; infinite forbids a size.
        growth: Working memory; its first ``size`` nodes are the tree afterwards.

    Returns:
        The best size. Among equals the smallest wins.
    """
    heads, top_k = accuracy.shape
    _sort_ranks(accuracy, growth.order)
    growth.parent[0] = -1
    growth.depth[0] = 0
    growth.rank[0] = -1
    growth.path_probability[0] = 1.0
    length = 1.0
    best_size = 1
    best = length / price[0]
    frontier = 0
    if heads > 0:
        frontier = _push(growth, frontier, accuracy[0, growth.order[0, 0]], 0, 0)
    size = 1
    while size < price.shape[0] and frontier > 0:
        gain = growth.heap_probability[0]
        if size % BOUND_EVERY == 0 and not _larger_can_win(price, size, length, gain, best):
            break
        parent = growth.heap_parent[0]
        slot = growth.heap_slot[0]
        frontier = _pop(growth, frontier)
        head = growth.depth[parent]
        growth.parent[size] = parent
        growth.depth[size] = head + 1
        growth.rank[size] = growth.order[head, slot]
        growth.path_probability[size] = gain
        if slot + 1 < top_k:
            sibling = growth.path_probability[parent] * accuracy[head, growth.order[head, slot + 1]]
            frontier = _push(growth, frontier, sibling, parent, slot + 1)
        if head + 1 < heads:
            frontier = _push(growth, frontier, gain * accuracy[head + 1, growth.order[head + 1, 0]], size, 0)
        size += 1
        length += gain
        value = length / price[size - 1]
        if value > best:
            best = value
            best_size = size
    return best_size


@cached_njit()
def expected_length(growth: Growth, size: int) -> float:
    """Expected acceptance length of the first ``size`` nodes of a grown tree, the root counting one."""
    length = 0.0
    for node in range(size):
        length += growth.path_probability[node]
    return length


def expected_lengths(growth: Growth, size: int) -> FloatArray:
    """Expected acceptance length of every prefix of a grown tree, the root counting one: float64 [size]."""
    return np.cumsum(growth.path_probability[:size])
