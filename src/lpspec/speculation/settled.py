"""Decisions of the pruner that stand while little has changed, so that a replay decides anew only where it must.

A decision is the tree with most expected tokens per price. It was made at some position, with some accuracies. It holds
for all positions of a window, or for all positions whatever where these decide alike for a while, and until accuracies
have moved so far, if no other size or depth comes up to it even with the best that these changes can do for it and the
worst that they can do for the tree chosen, and if no node of that tree changes places with another one.

How far accuracies have moved is the sum over heads of the largest change of any rank. A path has one rank of each head,
all accuracies are at most 1, so no path's probability changes by more; no tree of n tokens is expected to be longer or
shorter by more than n - 1 times as much; and trees of one depth limit share all nodes but those that one has more.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native
from lpspec.speculation.kernels import Growth, expected_length, grow_best_tree, grow_to

BLOCK = 32
"""Positions whose keys begin in one block of lanes: in the long run the price of a size goes up from block to block."""

CROSSING = 7
"""Last positions of a block, after which small trees begin another one: which sizes do differs from one to the next."""

MOST_REACH = 1 / 32
"""Movement of accuracies beyond which every decision is made anew."""

FIRST_REACH = 1 / 256
"""Movement that is tried first: a quarter more once that holds, half of it where it does not."""

LEAST_REACH = 1 / 65536
LONGEST_WAIT, LONGEST_WAIT_EVERYWHERE = 64, 1024
"""Decisions, after several in vain, until it is tried again whether the next one stands."""

FREE_TRIES, STEPS_PER_TRY, DECISIONS_PER_TRY = 32, 1, 128
"""Tries whether a decision stands cost as much as a few decisions: some are free, others are earned by steps for which
one stood, and now and then there is one more."""

ALIKE = 4
"""Decisions for one size and depth in turn, until it is tried whether the next one stands at all positions."""

ROUNDING = 1 + 1e-6
"""Keeps bounds outside of what they bound, however sums are rounded."""


class Settled(NamedTuple):
    """What was decided last in each window of positions, and how far accuracies may move while it stands.

    The last window is that of all positions.
    """

    window: IntArray  # [positions], which share a decision
    price: FloatArray  # [positions, rows, sizes]
    least: FloatArray  # [windows, rows, sizes], least price over that of the window's tree at the same position
    least_for: IntArray  # [windows], row and size of that tree, as a number; -1 for none
    within: FloatArray  # [windows], movement up to which the decision stands; 0 where it does not
    firm: FloatArray  # [windows], movement up to which its nodes keep their order
    reach: FloatArray  # [windows], movement to be tried next
    wait: IntArray  # [2, windows], decisions until it is tried next, and how many that were last time
    accuracy: FloatArray  # [windows, heads, top_k], when it was decided
    size: IntArray  # [windows], of the tree
    levels: IntArray  # [windows], how deep it could be
    parent: NDArray[np.int16]  # [windows, sizes], the tree
    depth: NDArray[np.int8]
    rank: NDArray[np.int8]
    lowered: FloatArray  # [rows, sizes], working memory
    made: IntArray  # [1], decisions made
    tried: IntArray  # [2], how often it was tried whether one stands, and for how many steps one stood
    alike: IntArray  # [2], row and size of the last tree, as a number, and how many decisions in turn had them


def windows_of(first_context: int, positions: int) -> IntArray:
    """Which positions have prices so much alike that they share a decision: int64 [positions], numbers from 0.

    It decides only how fast a replay is, not what comes of it.
    """
    block, place = np.divmod(np.arange(first_context, first_context + positions), BLOCK)
    _, window = np.unique(2 * block + (place >= BLOCK - CROSSING), return_inverse=True)
    return window.astype(np.int64)


def nothing_settled(price: FloatArray, heads: int, top_k: int, first_context: int = 0) -> Settled:
    """Begin without a decision.

    Args:
        price: float64 [placements, positions, rows, sizes], as for a replay; with several placements nothing settles.
        heads: Heads of the trees.
        top_k: Length of their lists.
        first_context: Tokens before the first position.
    """
    _, positions, rows, sizes = price.shape
    window = windows_of(first_context, positions)
    windows = int(window.max(initial=0)) + 2
    return Settled(
        window=window,
        price=price[0],
        least=np.zeros((windows, rows, sizes)),
        least_for=np.full(windows, -1),
        within=np.zeros(windows),
        firm=np.zeros(windows),
        reach=np.full(windows, FIRST_REACH),
        wait=np.zeros((2, windows), np.int64),
        accuracy=np.zeros((windows, heads, top_k)),
        size=np.zeros(windows, np.int64),
        levels=np.zeros(windows, np.int64),
        parent=np.zeros((windows, sizes), np.int16),
        depth=np.zeros((windows, sizes), np.int8),
        rank=np.zeros((windows, sizes), np.int8),
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
def standing_at(settled: Settled, position: int, accuracy: FloatArray) -> tuple[int, float]:
    """The window whose decision stands at a position, -1 for none, and how far accuracies have moved since."""
    everywhere = settled.within.shape[0] - 1
    for place in (everywhere, settled.window[position]):
        if settled.within[place] > 0.0:
            moved = movement(accuracy, settled.accuracy[place])
            if moved < settled.within[place]:
                settled.tried[1] += 1
                return place, moved
    return -1, 0.0


@native()
def decide(settled: Settled, window: int, accuracy: FloatArray, price: FloatArray, growth: Growth, only: bool) -> int:
    """Decide as ``grow_best_tree`` does, and find out whether that stands for a while.

    Args:
        settled: What was decided before.
        window: Of the position.
        accuracy: float64 [heads, top_k].
        price: float64 [rows, sizes], of the position.
        growth: Holds the tree afterwards.
        only: Whether prices are of the one placement that ``settled`` knows.
    """
    settled.made[0] += 1
    if not only:
        return grow_best_tree(accuracy, price, growth)
    everywhere = settled.within.shape[0] - 1
    earned = settled.tried[1] // STEPS_PER_TRY + settled.made[0] // DECISIONS_PER_TRY
    if settled.tried[0] > FREE_TRIES + earned:
        settled.within[everywhere] = settled.within[window] = 0.0
        return grow_best_tree(accuracy, price, growth)
    for place in (everywhere, window):
        if settled.within[place] > 0.0 and _stands_again(settled, place, accuracy, growth):
            return int(settled.size[place])
    size = grow_best_tree(accuracy, price, growth)
    tree = min(growth.levels[0], price.shape[0] - 1) * price.shape[1] + size
    settled.alike[1] = settled.alike[1] + 1 if tree == settled.alike[0] else 0
    settled.alike[0] = tree
    for place in (everywhere, window):
        settled.within[place] = 0.0
        if place == everywhere and settled.alike[1] < ALIKE:
            continue
        if settled.wait[0, place] > 0:
            settled.wait[0, place] -= 1
            continue
        _remember(settled, place, growth, size)
        if _stands_again(settled, place, accuracy, growth):
            return size
        longest = LONGEST_WAIT if place == window else LONGEST_WAIT_EVERYWHERE
        settled.wait[0, place] = settled.wait[1, place] = min(2 * settled.wait[1, place] + 1, longest)
        recall(settled, place, growth)
    return size


@native()
def _stands_again(settled: Settled, window: int, accuracy: FloatArray, growth: Growth) -> bool:
    """Whether the tree of a window is the best one at these accuracies too, and stands; the explorer then holds it."""
    settled.tried[0] += 1
    size, reach = settled.size[window], settled.reach[window]
    if not _wins(settled, window, accuracy, growth):
        settled.reach[window] = reach / 2 if reach > LEAST_REACH else FIRST_REACH
        return False
    settled.within[window] = reach
    settled.firm[window] = min(reach, _firmness(growth, size, accuracy))
    _remember(settled, window, growth, size)
    settled.reach[window] = min(1.25 * reach, MOST_REACH)
    settled.wait[0, window] = settled.wait[1, window] = 0
    for head in range(accuracy.shape[0]):
        for k in range(accuracy.shape[1]):
            settled.accuracy[window, head, k] = accuracy[head, k]
    return True


@native()
def _remember(settled: Settled, window: int, growth: Growth, size: int) -> None:
    """Keep a tree that was just grown."""
    settled.size[window] = size
    settled.levels[window] = growth.levels[0]
    for node in range(size):
        settled.parent[window, node] = growth.parent[node]
        settled.depth[window, node] = growth.depth[node]
        settled.rank[window, node] = growth.rank[node]


@native()
def recall(settled: Settled, window: int, growth: Growth) -> int:
    """Put the tree of a window where the explorer puts it."""
    size = int(settled.size[window])
    for node in range(size):
        growth.parent[node] = settled.parent[window, node]
        growth.depth[node] = settled.depth[window, node]
        growth.rank[node] = settled.rank[window, node]
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
def _wins(settled: Settled, window: int, accuracy: FloatArray, growth: Growth) -> bool:
    """Whether a tree of the window's size and depth stays the best one wherever the window and its reach lead.

    The explorer itself looks for a better one, at prices that have for each the best that can come of it.
    """
    size, limit, last = settled.size[window], settled.levels[window], settled.lowered.shape[0] - 1
    row = min(limit, last)
    _compare(settled, window, row, size)
    reach = settled.reach[window] * ROUNDING
    if not grow_to(accuracy, size, limit, growth):
        return False
    length = expected_length(growth, size)
    shortest = length - (size - 1) * reach
    if shortest <= 0:
        return False
    worst, forbidden = reach / shortest, 0
    for other in range(last + 1):
        for extra in range(settled.lowered.shape[1]):
            lowered = settled.least[window, other, extra] - extra * worst
            settled.lowered[other, extra] = lowered
            forbidden += not lowered > 0.0
    for extra in range(settled.lowered.shape[1]):  # these share nodes, which move together
        cheap = settled.least[window, row, extra]
        nodes = abs(1.0 - cheap) * (size - 1) + abs(extra + 1 - size)
        settled.lowered[row, extra] = (cheap * length - nodes * reach) / shortest
        forbidden += not settled.lowered[row, extra] > 0.0
    if forbidden:
        return False
    settled.lowered[row, size - 1] = length / shortest * ROUNDING
    best = grow_best_tree(accuracy, settled.lowered, growth)
    return bool(best == size and growth.levels[0] == limit)


@native()
def _compare(settled: Settled, window: int, row: int, size: int) -> None:
    """Find how cheap others are at best beside one size in one row; 0 where that has no price somewhere."""
    rows, sizes = settled.lowered.shape
    if settled.least_for[window] == row * sizes + size:
        return
    settled.least_for[window] = row * sizes + size
    least = settled.least[window]
    least[:] = np.inf
    everywhere = window == settled.within.shape[0] - 1
    for position in range(settled.price.shape[0]):
        if settled.window[position] != window and not everywhere:
            continue
        own = settled.price[position, row, size - 1]
        for other in range(rows):
            for one in range(sizes):
                least[other, one] = min(least[other, one], settled.price[position, other, one] / own)
        if not own < np.inf:
            least[0, 0] = 0.0
            return
