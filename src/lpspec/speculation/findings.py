"""What others measured of acceptance, in the three forms in which it is published, and the trace drawn from each."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.speculation.chains import chain_ranks, conditional_rates, draw_first_guesses
from lpspec.speculation.rank_trace import RankTrace, beyond_turn

TURNS, TURN_TOKENS = 160, 256
"""Text that is drawn where nobody says what was decoded: as many turns as MT-bench has."""

SEED = 1


@dataclass(frozen=True)
class Origin:
    """Whose acceptance was measured, for a reader of the trace.

    Attributes:
        name: Of the trace.
        source: The file.
        model: The model.
        drafter: The kind of its drafter.
        temperature: Of the sampling; 0 is greedy.
    """

    name: str
    source: str
    model: str
    drafter: str
    temperature: float


class Finding(Protocol):
    """Something that was measured."""

    def trace(self, origin: Origin) -> RankTrace:
        """A trace that comes to the same."""
        ...


@dataclass(frozen=True)
class Survival:
    """By depth, the share of passes whose drafts were all accepted so far: float64 [depths], never rising."""

    survival: FloatArray

    def trace(self, origin: Origin) -> RankTrace:
        """Chains that come to it; how turns differ was not measured."""
        generator, turn_lengths = np.random.default_rng(SEED), np.full(TURNS, TURN_TOKENS, np.int32)
        right = draw_first_guesses(self.survival, turn_lengths, generator)
        ranks = chain_ranks(right, conditional_rates(self.survival), turn_lengths, generator)
        said = ", ".join(f"{share:.3g}" for share in self.survival)
        description = (
            f"Synthesised, fitted to measured survival by depth: {said}. {TURNS} turns of {TURN_TOKENS} tokens, none "
            "harder than another; no second guess is known, so trees are chains."
        )
        fitted = vars(origin) | {"kind": "synthetic", "description": description, "seed": SEED}
        return RankTrace(ranks, turn_lengths, 1, ("",) * TURNS, **fitted)


@dataclass(frozen=True)
class StepLengths:
    """Drafts accepted by every verify pass of every request, of so many that could be.

    Attributes:
        labels: One per request.
        accepted: int64 [passes] each.
        drafts: Depth of the chains that were verified.
    """

    labels: tuple[str, ...]
    accepted: tuple[IntArray, ...]
    drafts: int

    def trace(self, origin: Origin) -> RankTrace:
        """Turns that chains of so many drafts decode in the very passes that were measured.

        Where no pass began, what a pass would have accepted is drawn from those of the same request.
        """
        generator = np.random.default_rng(SEED)
        turn_lengths = np.array([int((passes + 1).sum()) for passes in self.accepted], np.int32)
        right = np.concatenate([_everywhere(passes, generator) for passes in self.accepted])
        passes = np.concatenate(self.accepted)
        survival = np.array([(passes > depth).mean() for depth in range(self.drafts)])
        ranks = chain_ranks(right, conditional_rates(survival), turn_lengths, generator)
        description = (
            f"Accepted drafts of {len(passes)} measured passes, which chains of {self.drafts} drafts take again; "
            "between their roots, lengths drawn from the same request. No second guess is known, so trees are chains."
        )
        counted = vars(origin) | {"kind": "measured", "description": description, "seed": SEED}
        return RankTrace(ranks, turn_lengths, 1, self.labels, **counted)


@dataclass(frozen=True)
class Lists:
    """How often the true token has each rank in the list of each head: float64 [heads, top_k]."""

    probability: FloatArray

    def trace(self, origin: Origin) -> RankTrace:
        """Ranks drawn head by head, each by itself."""
        generator, turn_lengths = np.random.default_rng(SEED), np.full(TURNS, TURN_TOKENS, np.int32)
        heads, top_k = self.probability.shape
        drawn = generator.random((TURNS * TURN_TOKENS, heads))
        ranks = (drawn[:, :, None] >= np.cumsum(self.probability, axis=1)).sum(axis=2)
        ranks = np.where(ranks < top_k, ranks, -1).astype(np.int8)
        ranks[beyond_turn(turn_lengths, heads)] = -1
        description = (
            f"Synthesised, fitted to measured accuracies of {heads} heads, {top_k} guesses each. {TURNS} turns of "
            f"{TURN_TOKENS} tokens; heads and positions are drawn independently."
        )
        fitted = vars(origin) | {"kind": "synthetic", "description": description, "seed": SEED}
        return RankTrace(ranks, turn_lengths, top_k, ("",) * TURNS, **fitted)


def _everywhere(accepted: IntArray, generator: np.random.Generator) -> IntArray:
    """Drafts that a pass would accept at every position of a request: as measured where one began."""
    right = generator.choice(accepted, int((accepted + 1).sum()))
    right[np.cumsum(accepted + 1) - accepted - 1] = accepted
    return right
