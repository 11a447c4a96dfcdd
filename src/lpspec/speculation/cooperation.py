"""Several drafters for one text: who drafts for a request, and what their drafts are worth together (CoSine).

Each drafter has a rank trace over the same text. Fused, they are worth the best rank that any of them gives the true
token: an upper bound, since a fusion by confidence also takes wrong drafts that their drafter was surer of.

A trace has the ranks of one drafter. Others are drawn from it, turn by turn: at some positions they guess as it does,
at the others as it does at another position of the turn. Each is tuned on one of as many domains as there are drafters,
which turns have in their order; over all domains each alone is as good as the one of the trace.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import BoolArray, FloatArray
from lpspec.errors import InputError
from lpspec.speculation.rank_trace import RankTrace

SEED = 2503


def fused(ranks: Sequence[NDArray[np.int8]]) -> NDArray[np.int8]:
    """The best rank of any drafter.

    Args:
        ranks: int8 [positions, heads] of each, -1 where the true token is not in its list.

    Raises:
        InputError: There is none, or they are of different texts.
    """
    if not ranks or len({one.shape for one in ranks}) > 1:
        raise InputError("drafters to fuse: at least one is needed, all with ranks of the same positions and heads")
    best: NDArray[np.int8] = np.stack(ranks).view(np.uint8).min(axis=0).view(np.int8)  # -1 is 255 there
    return best


class Router:
    """Sends a request to the drafters of whose drafts most were accepted lately, and sometimes to another one."""

    def __init__(
        self, drafters: int, cooperating: int, memory: float, exploration: float, generator: np.random.Generator
    ) -> None:
        """Begin without knowing any of them.

        Args:
            drafters: How many there are.
            cooperating: How many draft for a request at a time.
            memory: Share of what is known that is kept at each step.
            exploration: Chance that the last of them is any other drafter.
            generator: Of what is drawn.

        Raises:
            InputError: More are to cooperate than there are.
        """
        if not 1 <= cooperating <= drafters:
            raise InputError(f"{cooperating} of {drafters} drafters cannot cooperate: allowed are 1 to {drafters}")
        self.cooperating, self.memory, self.exploration = cooperating, memory, exploration
        self.mean: FloatArray = np.full(drafters, np.inf)  # nobody is left out before it was tried
        self._generator = generator

    def choose(self) -> list[int]:
        """Those that draft in the next step, the best first."""
        tied = self._generator.permutation(len(self.mean))
        order: list[int] = tied[np.argsort(-self.mean[tied], kind="stable")].tolist()
        chosen, others = order[: self.cooperating], order[self.cooperating :]
        if others and self._generator.random() < self.exploration:
            chosen[-1] = others[int(self._generator.integers(len(others)))]
        return chosen

    def observe(self, drafter: int, accepted: int) -> None:
        """Learn how many drafts of one of them were right in a step, whether or not it drafted for the request."""
        known = self.mean[drafter]
        self.mean[drafter] = accepted if np.isinf(known) else self.memory * known + (1 - self.memory) * accepted


class Cooperation(NamedTuple):
    """How several drafters draft for one text."""

    drafters: int
    cooperating: int  # of them, for one request at a time
    elsewhere: float  # chance of a right guess outside a drafter's domain, over that inside
    common: float  # share of positions at which they guess alike
    kept: float  # of a router's knowledge, at each step
    exploration: float  # chance that a router tries another one


@lru_cache(8)
def cooperating(trace: RankTrace, how: Cooperation) -> RankTrace:
    """The trace of several drafters, those that a router sends each pass to, fused.

    Args:
        trace: Of one drafter.
        how: How many there are, and what is assumed of them.

    Raises:
        InputError: More are to cooperate than there are.
    """
    generator, ranks = np.random.default_rng(SEED), np.empty_like(trace.ranks)
    for turn, (start, length) in enumerate(zip(trace.turn_starts, trace.turn_lengths, strict=True)):
        mine = slice(start, start + length)
        drafters = drawn_drafters(trace.ranks[mine], trace.within_turn[mine], turn % how.drafters, how, generator)
        ranks[mine] = _routed(drafters, how, generator)
    said = f"{trace.description} Of {how.drafters} drafters that are drawn from it, {how.cooperating} draft at a time."
    return replace(trace, ranks=ranks, kind="synthetic", description=said, seed=SEED)


def drawn_drafters(
    ranks: NDArray[np.int8], within: BoolArray, domain: int, how: Cooperation, generator: np.random.Generator
) -> list[NDArray[np.int8]]:
    """Ranks of all drafters over one turn, int8 [positions, heads] each.

    Args:
        ranks: int8 [positions, heads], of the trace's drafter.
        within: bool [positions, heads], where the token that is guessed is in the turn.
        domain: Which drafter was tuned on such texts.
        how: What is assumed of them.
        generator: Of what is drawn.
    """
    length, heads = ranks.shape
    alike = generator.random((length, 1)) < how.common
    right = ((ranks == 0) & within).sum(axis=0) / np.maximum(within.sum(axis=0), 1)
    mean = (1 + (how.drafters - 1) * how.elsewhere) / how.drafters
    found = []
    for drafter in range(how.drafters):
        other = ranks[generator.integers(0, max(length - heads, 1), length)]
        own = np.where(alike, ranks, other)
        factor = (1.0 if drafter == domain else how.elsewhere) / mean
        wanted = np.minimum(right * factor, 1.0)
        chance = generator.random(ranks.shape)
        if factor < 1:
            own = np.where(chance < factor, own, -1)
        else:
            own = np.where(chance * np.maximum(1 - right, 1e-9) < wanted - right, 0, own)
        found.append(np.where(within, own, -1).astype(np.int8))
    return found


def _routed(drafters: Sequence[NDArray[np.int8]], how: Cooperation, generator: np.random.Generator) -> NDArray[np.int8]:
    """Ranks of those that each pass over a turn asks, passes as long as chains of first guesses are right."""
    router = Router(how.drafters, how.cooperating, how.kept, how.exploration, generator)
    first_right = [np.cumprod(own == 0, axis=1).sum(axis=1) for own in drafters]
    ranks, position, how_far = np.full_like(drafters[0], -1), 0, drafters[0].shape[1] + 1
    while position < len(ranks):
        chosen = router.choose()
        for one in chosen:
            router.observe(one, int(first_right[one][position]))
        best = fused([drafters[one][position : position + how_far] for one in chosen])
        end = 1 + int(np.cumprod(best[0] == 0).sum())
        ranks[position : position + end] = best[:end]
        position += end
    return ranks
