"""Chains of first guesses: how far they are right at each position, counted in a trace or drawn to fit figures.

Survival by depth is the share of positions at which the first d guesses are all right; vLLM's per-position acceptance
rate is the same over passes. Tokens per pass count the root too, as vLLM's and SGLang's mean acceptance length do.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.speculation.rank_trace import RankTrace, beyond_turn

PASSAGE_TOKENS = 32
"""Mean length of a passage that is alike in difficulty. Assumed, range 10 to 100."""


class Difficulty(NamedTuple):
    """How unevenly right guesses lie over a text: shares of the variance of a hidden normal score.

    ``of_turn`` is the same for a whole turn, ``of_passage`` for a passage; the rest is drawn anew at every position.
    """

    of_turn: float = 0.0
    of_passage: float = 0.0


EVEN = Difficulty()
"""No position is harder than another."""


@dataclass(frozen=True)
class ChainStatistics:
    """What chains of first guesses come to in a trace.

    Attributes:
        survival: By depth, share of positions whose first guesses are right so far; positions whose turn ends before
            that depth do not count.
        accepted: Likewise of verify passes of the longest chain: where easy text is passed over in few passes, less.
        tokens_per_pass: Of chains of 1, 2, ... drafts, the root included.
        turn_sd: Standard deviation over turns of the tokens per pass of the longest chain.
        lag_1: Correlation of its tokens per pass with those of the next pass of the turn; 0 where none differ.
    """

    survival: tuple[float, ...]
    accepted: tuple[float, ...]
    tokens_per_pass: tuple[float, ...]
    turn_sd: float
    lag_1: float


def chain_statistics(trace: RankTrace) -> ChainStatistics:
    """Count how far chains of first guesses are right."""
    right, heads = first_guesses(trace.ranks), trace.heads
    survival = [float((right[there] > d).mean()) if there.any() else 0.0 for d, there in enumerate(trace.within_turn.T)]
    longest = [_passes(np.minimum(right, depth), trace.turn_lengths) for depth in range(1, heads + 1)]
    lengths = [float(trace.positions / sum(map(len, turns))) for turns in longest]
    spread, lag_1 = spread_and_lag(right, trace.turn_lengths)
    accepted = accepted_by_depth(right, trace.turn_lengths, heads)
    return ChainStatistics(tuple(survival), tuple(accepted.tolist()), tuple(lengths), spread, lag_1)


def accepted_by_depth(right: IntArray, turn_lengths: NDArray[np.int32], heads: int) -> FloatArray:
    """Share of verify passes whose first guesses are accepted so far: float64 [heads], vLLM's per-position rate."""
    passes = np.concatenate(_passes(right, turn_lengths))
    return np.array([float((passes > depth).mean()) for depth in range(1, heads + 1)])


def first_guesses(ranks: NDArray[np.int8]) -> IntArray:
    """How many first guesses are right one after the other: int64 [positions] of int8 [positions, heads]."""
    right: IntArray = np.cumprod(ranks == 0, axis=1).sum(axis=1, dtype=np.int64)
    return right


def spread_and_lag(right: IntArray, turn_lengths: NDArray[np.int32]) -> tuple[float, float]:
    """Standard deviation over turns of tokens per pass, and its correlation from pass to pass; -1 has no part in it."""
    turns = _passes(right, turn_lengths)
    means = np.array([np.mean(passes) for passes in turns])
    before = np.concatenate([passes[:-1] for passes in turns])
    after = np.concatenate([passes[1:] for passes in turns])
    even = len(before) < 2 or before.std() == 0 or after.std() == 0
    return float(means.std()), 0.0 if even else float(np.corrcoef(before, after)[0, 1])


def _passes(right: IntArray, turn_lengths: NDArray[np.int32]) -> list[IntArray]:
    """Tokens of every verify pass of each turn, where so many first guesses are verified and right."""
    lengths, start, turns = right.tolist(), 0, []
    for tokens in turn_lengths.tolist():
        position, passes = start, []
        while position < start + tokens:
            passes.append(min(lengths[position] + 1, start + tokens - position))
            position += passes[-1]
        turns.append(np.array(passes, np.int64))
        start += tokens
    return turns


def draw_first_guesses(
    survival: FloatArray, turn_lengths: NDArray[np.int32], generator: np.random.Generator, uneven: Difficulty = EVEN
) -> IntArray:
    """Draw how many first guesses are right at each position: int64 [positions].

    A hidden normal score is drawn for each position and replaced by its place among all, so that survival over all
    positions is as given, to one position, however uneven the text is.

    Args:
        survival: float64 [heads], by depth, never rising.
        turn_lengths: int32 [turns].
        generator: Draws.
        uneven: How positions hang together.
    """
    positions = int(turn_lengths.sum())
    turn_starts = np.zeros(positions, np.bool_)
    turn_starts[np.cumsum(turn_lengths) - turn_lengths] = True
    begins = turn_starts | (generator.random(positions) < 1 / PASSAGE_TOKENS)
    turn, passage = np.cumsum(turn_starts) - 1, np.cumsum(begins) - 1
    alone = max(0.0, 1.0 - uneven.of_turn - uneven.of_passage)
    score = np.sqrt(uneven.of_turn) * generator.standard_normal(positions)[turn]
    score += np.sqrt(uneven.of_passage) * generator.standard_normal(positions)[passage]
    score += np.sqrt(alone) * generator.standard_normal(positions)
    place = (np.argsort(np.argsort(score)) + 0.5) / positions
    right: IntArray = (place[:, None] < survival).sum(axis=1, dtype=np.int64)
    return right


def conditional_rates(survival: FloatArray) -> FloatArray:
    """Chance that a guess is right where all before it were: float64 [heads]; 0 where none ever comes so far."""
    before = np.concatenate([[1.0], survival[:-1]])
    rates: FloatArray = np.divide(survival, before, out=np.zeros_like(survival), where=before > 0)
    return rates


def chain_ranks(
    right: IntArray, rates: FloatArray, turn_lengths: NDArray[np.int32], generator: np.random.Generator
) -> NDArray[np.int8]:
    """Ranks of lists of one guess: int8 [positions, heads].

    What lies behind the first wrong guess changes no chain; it is drawn by the same rates, so that a pruner that looks
    at one head alone finds them.

    Args:
        right: int64 [positions], first guesses that are right.
        rates: float64 [heads], chance that a guess is right where all before it were.
        turn_lengths: int32 [turns].
        generator: Draws.
    """
    heads = np.arange(len(rates))
    drawn = generator.random((len(right), len(rates))) < rates
    is_right = (heads < right[:, None]) | (drawn & (heads > right[:, None]))
    ranks = np.where(is_right, 0, -1).astype(np.int8)
    ranks[beyond_turn(turn_lengths, len(rates))] = -1
    return ranks
