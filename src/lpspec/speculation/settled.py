"""Decisions of the pruner that stand while little has changed, so that a replay decides anew only where it must.

A decision is the tree with most expected tokens per price. It was made at some position, with some accuracies. It holds
for all positions, and until accuracies have moved so far, if no other size or depth comes up to it even with the best
that these changes can do for it and the worst that they can do for the tree chosen, and if no node of that tree changes
places with another one. Where trees of one depth and of a few sizes come up to each other, one of these is the best,
and each step looks which.

How far accuracies have moved is the sum over heads of the largest change of any rank. A path has one rank of each head,
all accuracies are at most 1, so no path's probability changes by more; no tree of n tokens is expected to be longer or
shorter by more than n - 1 times as much; and trees of one depth limit share all nodes but those that one has more.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native
from lpspec.speculation.kernels import LEAST_RATE, Growth, expected_length, grow_best_tree, grow_to

MOST_REACH = 1 / 32
"""Movement of accuracies beyond which every decision is made anew."""

FIRST_REACH = 1 / 256
"""Movement that is tried first: a quarter more once that holds, half of it where it does not."""

LEAST_REACH = 1 / 65536
LONGEST_WAIT = 1024
"""Decisions, after several in vain, until it is tried again whether the next one stands."""

FREE_TRIES, STEPS_PER_TRY, DECISIONS_PER_TRY = 32, 4, 128
"""Tries whether a decision stands cost as much as a few decisions: some are free, others are earned by steps for which
one stood, and now and then there is one more."""

ALIKE = 4
"""Decisions for one size and depth in turn, until it is tried whether the next one stands."""

MOST_RIVALS = 3
"""Trees that may come up to the one decided, of sizes beyond those that are looked at anyway."""

TREES_KEPT = 8
"""Trees whose prices are kept beside those of all others, which takes as long as some hundred decisions."""

ROUNDING = 1 + 1e-6
"""Keeps bounds outside of what they bound, however sums are rounded."""


class Settled(NamedTuple):
    """What was decided last, and how far accuracies may move while it stands."""

    price: FloatArray  # [positions, rows, sizes]
    least: FloatArray  # [trees, rows, sizes], least price over that of a tree at the same position, of the last trees
    least_for: IntArray  # [trees], row and size of these trees, as numbers; -1 for none
    compared: IntArray  # [1], how many trees were compared with all others
    within: FloatArray  # [1], movement up to which the decision stands; 0 where it does not
    firm: FloatArray  # [1], movement up to which its nodes keep their order
    reach: FloatArray  # [1], movement to be tried next
    wait: IntArray  # [2], decisions until it is tried next, and how many that were last time
    accuracy: FloatArray  # [heads, top_k], when it was decided
    size: IntArray  # [1], of the tree
    rivals: IntArray  # [2], least and largest size, of trees as deep, of which one is best
    levels: IntArray  # [1], how deep it could be
    kept: IntArray  # [1], nodes of a tree that are kept
    parent: NDArray[np.int16]  # [sizes], the largest of these trees, whose first nodes the others have
    depth: NDArray[np.int8]
    rank: NDArray[np.int8]
    lowered: FloatArray  # [rows, sizes], working memory
    made: IntArray  # [1], decisions made
    tried: IntArray  # [2], how often it was tried whether one stands, and for how many steps one stood
    alike: IntArray  # [2], row and size of the last tree, as a number, and how many decisions in turn had them


def nothing_settled(price: FloatArray, heads: int, top_k: int) -> Settled:
    """Begin without a decision.

    Args:
        price: float64 [placements, positions, rows, sizes], as for a replay; with several placements nothing settles.
        heads: Heads of the trees.
        top_k: Length of their lists.
    """
    rows, sizes = price.shape[2:]
    return Settled(
        price=price[0],
        least=np.zeros((TREES_KEPT, rows, sizes)),
        least_for=np.full(TREES_KEPT, -1),
        compared=np.zeros(1, np.int64),
        within=np.zeros(1),
        firm=np.zeros(1),
        reach=np.full(1, FIRST_REACH),
        wait=np.zeros(2, np.int64),
        accuracy=np.zeros((heads, top_k)),
        size=np.zeros(1, np.int64),
        rivals=np.zeros(2, np.int64),
        levels=np.zeros(1, np.int64),
        kept=np.zeros(1, np.int64),
        parent=np.zeros(sizes, np.int16),
        depth=np.zeros(sizes, np.int8),
        rank=np.zeros(sizes, np.int8),
        lowered=np.zeros((rows, sizes)),
        made=np.zeros(1, np.int64),
        tried=np.zeros(2, np.int64),
        alike=np.zeros(2, np.int64),
    )


@native()
def movement(accuracy: FloatArray, before: FloatArray) -> float:
    """How far accuracies have moved: float64 [heads, top_k] each."""
    moved = 0.0
    for head in range(accuracy.shape[0]):
        now, then = accuracy[head], before[head]
        most = 0.0
        for k in range(now.shape[0]):
            most = max(most, abs(now[k] - then[k]))
        moved += most
    return moved


@native()
def still_stands(settled: Settled, accuracy: FloatArray) -> tuple[bool, float]:
    """Whether the last decision stands, and how far accuracies have moved since."""
    if settled.within[0] > 0.0:
        moved = movement(accuracy, settled.accuracy)
        if moved < settled.within[0]:
            settled.tried[1] += 1
            return True, moved
    return False, 0.0


@native()
def decide(settled: Settled, accuracy: FloatArray, price: FloatArray, growth: Growth, only: bool) -> int:
    """Decide as ``grow_best_tree`` does, and find out whether that stands for a while.

    Args:
        settled: What was decided before.
        accuracy: float64 [heads, top_k].
        price: float64 [rows, sizes], of the position.
        growth: Holds the tree afterwards.
        only: Whether prices are of the one placement that ``settled`` knows.
    """
    settled.made[0] += 1
    if not only:
        return grow_best_tree(accuracy, price, growth)
    earned = settled.tried[1] // STEPS_PER_TRY + settled.made[0] // DECISIONS_PER_TRY
    may_try = settled.tried[0] <= FREE_TRIES + earned
    if may_try and settled.within[0] > 0.0 and _stands_again(settled, accuracy, growth):
        return best_rival(settled, accuracy, price, growth)
    settled.within[0] = 0.0
    size = grow_best_tree(accuracy, price, growth)
    tree = min(growth.levels[0], price.shape[0] - 1) * price.shape[1] + size
    settled.alike[1] = settled.alike[1] + 1 if tree == settled.alike[0] else 0
    settled.alike[0] = tree
    if not may_try or settled.alike[1] < ALIKE:
        return size
    if settled.wait[0] > 0:
        settled.wait[0] -= 1
        return size
    settled.size[0] = size
    _remember(settled, growth, size)
    if not _stands_again(settled, accuracy, growth):
        settled.wait[0] = settled.wait[1] = min(2 * settled.wait[1] + 1, LONGEST_WAIT)
        recall(settled, growth)
    return size


@native()
def _stands_again(settled: Settled, accuracy: FloatArray, growth: Growth) -> bool:
    """Whether the tree is the best one at these accuracies too, and stands; the explorer then holds it."""
    settled.tried[0] += 1
    limit, reach = settled.levels[0], settled.reach[0]
    if not _one_wins(settled, accuracy, growth) or not grow_to(accuracy, settled.rivals[1], limit, growth):
        settled.reach[0] = reach / 2 if reach > LEAST_REACH else FIRST_REACH
        return False
    settled.within[0] = reach
    settled.firm[0] = min(reach, _firmness(growth, settled.rivals[1], accuracy))
    _remember(settled, growth, settled.rivals[1])
    settled.reach[0] = min(1.25 * reach, MOST_REACH)
    settled.wait[0] = settled.wait[1] = 0
    for head in range(accuracy.shape[0]):
        for k in range(accuracy.shape[1]):
            settled.accuracy[head, k] = accuracy[head, k]
    return True


@native()
def best_rival(settled: Settled, accuracy: FloatArray, price: FloatArray, growth: Growth) -> int:
    """Size of the best of the trees of which one is, the explorer holding the largest; arguments as for ``decide``."""
    least, most = settled.rivals[0], settled.rivals[1]
    if least == most:
        return int(most)
    likely, prices = growth.path_probability, price[min(settled.levels[0], price.shape[0] - 1)]
    likely[0] = length = 1.0
    best, size = LEAST_RATE, least
    if least == 1:
        best = max(1.0 / prices[0], best)
    for node in range(1, most):
        likely[node] = likely[growth.parent[node]] * accuracy[growth.depth[node] - 1, growth.rank[node]]
        length += likely[node]
        if node + 1 >= least and length > best * prices[node]:
            best = length / prices[node]
            size = node + 1
    return int(size)


@native()
def _remember(settled: Settled, growth: Growth, size: int) -> None:
    """Keep so many nodes of a tree that was just grown."""
    settled.kept[0] = size
    settled.levels[0] = growth.levels[0]
    for node in range(size):
        settled.parent[node] = growth.parent[node]
        settled.depth[node] = growth.depth[node]
        settled.rank[node] = growth.rank[node]


@native()
def recall(settled: Settled, growth: Growth) -> int:
    """Put the nodes that were kept where the explorer puts them."""
    size = int(settled.kept[0])
    for node in range(size):
        growth.parent[node] = settled.parent[node]
        growth.depth[node] = settled.depth[node]
        growth.rank[node] = settled.rank[node]
    return size


@native()
def _firmness(growth: Growth, size: int, accuracy: FloatArray) -> float:
    """Movement up to which nodes of the tree just grown stay in their order, and all others behind them."""
    likely, children = growth.path_probability, growth.place
    least = 1.0
    for node in range(2, size):
        least = min(least, likely[node - 1] - likely[node])
    children[:size] = 0
    for node in range(1, size):
        children[growth.parent[node]] += 1
    for node in range(size):
        level, slot = growth.depth[node], children[node]
        if size > 1 and level < growth.levels[0] and slot < accuracy.shape[1]:
            least = min(least, likely[size - 1] - likely[node] * accuracy[level, growth.order[level, slot]])
    return least / 2 / ROUNDING


@native()
def _one_wins(settled: Settled, accuracy: FloatArray, growth: Growth) -> bool:
    """Whether the tree that was decided or a rival wins: where not it, a rival is held against all others."""
    size = settled.size[0]
    if _wins(settled, accuracy, growth):
        return True
    settled.size[0] = settled.rivals[0] if settled.rivals[0] < size else settled.rivals[1]
    return settled.size[0] != size and _wins(settled, accuracy, growth)


@native()
def _wins(settled: Settled, accuracy: FloatArray, growth: Growth) -> bool:
    """Whether a tree of the size and depth that were decided, or a rival, stays the best one wherever the reach leads.

    The explorer itself looks for a better one, at prices that have for each the best that can come of it; what it finds
    as deep is a rival.
    """
    size, limit, last = settled.size[0], settled.levels[0], settled.lowered.shape[0] - 1
    settled.rivals[:] = size
    row = min(limit, last)
    least_of, reach = settled.least[_compare(settled, row, size)], settled.reach[0] * ROUNDING
    if not grow_to(accuracy, size, limit, growth):
        return False
    length = expected_length(growth, size)
    shortest = length - (size - 1) * reach
    if shortest <= 0:
        return False
    worst, forbidden = reach / shortest, 0
    for other in range(last + 1):
        for extra in range(settled.lowered.shape[1]):
            lowered = least_of[other, extra] - extra * worst
            settled.lowered[other, extra] = lowered
            forbidden += not lowered > 0.0
    for extra in range(settled.lowered.shape[1]):  # these share nodes, which move together
        cheap = least_of[row, extra]
        if cheap < np.inf:
            nodes = abs(1.0 - cheap) * (size - 1) + abs(extra + 1 - size)
            settled.lowered[row, extra] = (cheap * length - nodes * reach) / shortest
        forbidden += not settled.lowered[row, extra] > 0.0
    if forbidden:
        return False
    settled.lowered[row, size - 1] = length / shortest * ROUNDING
    least = most = size
    for _ in range(MOST_RIVALS + 1):
        best = grow_best_tree(accuracy, settled.lowered, growth)
        if growth.levels[0] != limit:
            return False
        if best == size:
            return True
        least, most = min(least, best), max(most, best)
        settled.rivals[0], settled.rivals[1] = least, most
        for other in range(least, most + 1):
            if other != size:
                settled.lowered[row, other - 1] = np.inf
    return False


@native()
def _compare(settled: Settled, row: int, size: int) -> int:
    """Find how cheap others are at best beside one size in one row, and where that is kept.

    It is 0 where that size has no price somewhere.
    """
    rows, sizes = settled.lowered.shape
    tree = row * sizes + size
    for place in range(TREES_KEPT):
        if settled.least_for[place] == tree:
            return place
    place = settled.compared[0] % TREES_KEPT
    settled.compared[0] += 1
    settled.least_for[place] = tree
    least_of = settled.least[place]
    least_of[:] = np.inf
    for position in range(settled.price.shape[0]):
        own = settled.price[position, row, size - 1]
        if not own < np.inf:
            least_of[0, 0] = 0.0
            return int(place)
        for other in range(rows):
            least, prices = least_of[other], settled.price[position, other]
            for one in range(sizes):
                least[one] = min(least[one], prices[one] / own)
    return int(place)
