"""The paper's scheduler figure as a loop: draft, prune, allocate, verify, accept.

It runs any pruner, one step at a time; ``kernels.py`` is the same loop compiled for the pruner that ships.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lpspec.simulation.step_cost import FloatArray
from lpspec.speculation.pruner import Pruner
from lpspec.speculation.rank_trace import RankTrace
from lpspec.speculation.token_tree import accepted_length


@dataclass(frozen=True, slots=True)
class Step:
    """One verify pass.

    Attributes:
        position: Tokens of the turn committed before the step.
        l_spec: Tokens verified, the root included.
        committed: Tokens committed, the root included.
    """

    position: int
    l_spec: int
    committed: int


def decode(trace: RankTrace, pruner: Pruner, price: FloatArray, new_tokens: int | None = None) -> Iterator[Step]:
    """Decode every turn of a trace.

    Args:
        trace: What the heads would have predicted at every position.
        pruner: Chooses the tree of each step.
        price: float64 [positions, sizes]; row i prices steps whose root is token i of a turn.
        new_tokens: Tokens to generate per turn at most; None for the whole turn.
    """
    for start, length in zip(trace.turn_starts.tolist(), trace.turn_lengths.tolist(), strict=True):
        wanted = length if new_tokens is None else min(length, new_tokens)
        position = 0
        while position < wanted:
            ranks = trace.ranks[start + position, : wanted - position - 1]  # draft: the lists, as ranks of the truth
            tree = pruner.choose(price[position])  # prune; the price list holds the allocation of every size
            committed = 1 + accepted_length(tree, ranks)  # verify, accept
            pruner.observe(position, ranks, tree, committed)
            yield Step(position, tree.size, committed)
            position += committed
