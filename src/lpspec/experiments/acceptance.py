"""How drafts fared at every place after the root, each over the steps that reached it.

A pass that the end of the text cuts short counts at the places that the text still has, and at no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lpspec.decoding.generate import Step


@dataclass(frozen=True)
class PositionAcceptance:
    """How drafts at one depth fared.

    Attributes:
        position: Places after the root, from 1.
        reached: Steps whose path came to this place, within the text, and found drafts there.
        accepted: Steps that accepted one of them.
        by_rank: Of those, how many accepted the k-th guess.
    """

    position: int
    reached: int
    accepted: int
    by_rank: tuple[int, ...]

    @property
    def rate(self) -> float | None:
        """Share accepted of those that reached it; None where no step did."""
        return self.accepted / self.reached if self.reached else None


def count_acceptance(texts: Sequence[Sequence[Step]]) -> tuple[PositionAcceptance, ...]:
    """Count over the steps of all texts, up to the deepest place that any step reached."""
    steps = [step for text in texts for step in text]
    deepest = max((step.tested for step in steps), default=0)
    return tuple(_at(position, steps) for position in range(1, deepest + 1))


def _at(position: int, steps: Sequence[Step]) -> PositionAcceptance:
    ranks = [int(step.tree.rank[step.right[position - 1]]) for step in steps if len(step.right) >= position]
    by_rank = tuple(ranks.count(rank) for rank in range(max(ranks, default=-1) + 1))
    return PositionAcceptance(position, sum(step.tested >= position for step in steps), len(ranks), by_rank)
