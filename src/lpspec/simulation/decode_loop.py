"""The paper's scheduler figure as a loop: draft, prune, allocate, verify, accept.

It runs any pruner, one step at a time; ``kernels.py`` is the same loop compiled for the pruner that ships.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lpspec.allocation.migration import ColumnMover
from lpspec.arrays import FloatArray
from lpspec.errors import InputError
from lpspec.speculation.pruner import Pruner, heads_run
from lpspec.speculation.rank_trace import RankTrace
from lpspec.speculation.token_tree import TokenTree, accepted_length

STAY: FloatArray = np.zeros((1, 1))
"""The moves of weights that have one placement."""


@dataclass(frozen=True, slots=True)
class Step:
    """One verify pass.

    Attributes:
        position: Tokens of the turn committed before the step.
        l_spec: Tokens verified, the root included.
        committed: Tokens committed, the root included.
        placement: Where the weights lay, as a number.
        heads: Draft heads that ran.
        moved: Accepted drafts out of place, whose keys and values move up.
    """

    position: int
    l_spec: int
    committed: int
    placement: int
    heads: int
    moved: int


def decode(
    trace: RankTrace, pruner: Pruner, price: FloatArray, new_tokens: int | None = None, move: FloatArray = STAY
) -> Iterator[Step]:
    """Decode every turn of a trace.

    Args:
        trace: What the heads would have predicted at every position.
        pruner: Chooses the tree of each step.
        price: float64 [placements, positions, rows, sizes]; [:, i] prices steps whose root is token i of a turn, each a
            price list as for ``Pruner.choose``.
        new_tokens: Tokens to generate per turn at most; None for the whole turn.
        move: float64 [placements, placements], price of moving the weights from one placement (row) to another.
    """
    mover = ColumnMover(move)
    for start, length in zip(trace.turn_starts.tolist(), trace.turn_lengths.tolist(), strict=True):
        wanted = length if new_tokens is None else min(length, new_tokens)
        position = 0
        while position < wanted:
            placement, prices = mover.placement, price[:, position]
            tree = pruner.choose(prices[placement])  # prune; the price list holds the split of every size
            heads = heads_run(pruner, tree, prices[placement], trace.heads)
            ranks = trace.ranks[start + position, : min(wanted - position - 1, heads)]  # draft: ranks of the truth
            mover.account(same_work(pruner, prices, placement, tree))  # allocate: move columns for what is to come
            committed = 1 + accepted_length(tree, ranks)  # verify, accept
            moved = committed - 1 - accepted_length(tree.trunk(), ranks)
            pruner.observe(position, ranks, tree, committed)
            yield Step(position, tree.size, committed, placement, heads, moved)
            position += committed


def same_work(pruner: Pruner, prices: FloatArray, placement: int, tree: TokenTree) -> FloatArray:
    """What the tokens that a step can expect would have cost under each placement, each with its own best tree.

    A pruner that does not say what it expects is taken to verify the same tree everywhere. Raises InputError for a tree
    that has no price.
    """
    _, rows, sizes = prices.shape
    if tree.size > sizes:
        raise InputError(f"the pruner chose a tree of {tree.size} tokens: allowed is 1 to {sizes}")
    of_tree = prices[:, min(tree.max_depth, rows - 1), tree.size - 1]
    if not np.isfinite(of_tree[placement]):  # nobody wants what it is deep for, yet it is verified; heads do not move
        of_tree = prices[:, 0, tree.size - 1]
    best_rate: Callable[[FloatArray], float] | None = getattr(pruner, "best_rate", None)
    if best_rate is None:
        return of_tree
    present = of_tree[placement]
    rates = [best_rate(price) for price in prices]
    return np.array([present * (rates[placement] / rate) for rate in rates])
