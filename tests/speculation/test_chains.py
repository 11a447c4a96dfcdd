"""Chains of first guesses: counted as a naive loop counts them, drawn so that survival is what was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.speculation.chains import (
    Difficulty,
    chain_ranks,
    chain_statistics,
    conditional_rates,
    draw_first_guesses,
    first_guesses,
    spread_and_lag,
)
from lpspec.speculation.rank_trace import RankTrace, beyond_turn, load_trace, verify_passes
from lpspec.speculation.token_tree import TokenTree

survivals = st.lists(st.floats(0, 1), min_size=1, max_size=6).map(lambda shares: np.array(sorted(shares, reverse=True)))
turns = st.lists(st.integers(1, 40), min_size=1, max_size=5).map(lambda lengths: np.array(lengths, np.int32))


def drawn(survival: np.ndarray, lengths: np.ndarray, seed: int, uneven: Difficulty = Difficulty()) -> RankTrace:  # noqa: B008
    generator = np.random.default_rng(seed)
    right = draw_first_guesses(survival, lengths, generator, uneven)
    ranks = chain_ranks(right, conditional_rates(survival), lengths, generator)
    said = {"name": "drawn", "model": "none", "description": "", "source": ""}
    return RankTrace(ranks, lengths, 1, ("",) * len(lengths), kind="synthetic", **said)  # type: ignore[arg-type]


@given(survivals, turns, st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1))
def test_survival_over_all_positions_is_exact_to_one_position(
    survival: np.ndarray, lengths: np.ndarray, seed: int, of_turn: float, of_passage: float
) -> None:
    """However uneven the text: a place among all positions is uniform whatever the score was."""
    uneven = Difficulty(of_turn * (1 - of_passage), of_passage)
    right = draw_first_guesses(survival, lengths, np.random.default_rng(seed), uneven)
    for depth, share in enumerate(survival):
        assert abs((right > depth).sum() - share * len(right)) <= 0.5 + 1e-9


@given(survivals, turns, st.integers(0, 2**32))
def test_a_trace_replays_what_was_drawn(survival: np.ndarray, lengths: np.ndarray, seed: int) -> None:
    trace = drawn(survival, lengths, seed)
    right = draw_first_guesses(survival, lengths, np.random.default_rng(seed))
    left = np.concatenate([np.arange(length - 1, -1, -1) for length in lengths])
    assert np.array_equal(first_guesses(trace.ranks), np.minimum(right, left))


@given(survivals, turns, st.integers(0, 2**32))
def test_tokens_per_pass_are_those_of_verified_chains(survival: np.ndarray, lengths: np.ndarray, seed: int) -> None:
    trace = drawn(survival, lengths, seed)
    found = chain_statistics(trace)
    for depth, tokens in enumerate(found.tokens_per_pass, 1):
        chain = TokenTree.from_paths([(0,) * level for level in range(1, depth + 1)])
        assert tokens == trace.positions / verify_passes(trace, chain).sum()


def test_statistics_of_four_tokens_by_hand() -> None:
    ranks = np.array([[0, 0], [-1, 0], [0, -1], [-1, -1], [-1, -1]], np.int8)
    lengths = np.array([4, 1], np.int32)
    said = {"name": "small", "model": "", "description": "", "source": ""}
    found = chain_statistics(RankTrace(ranks, lengths, 1, ("", ""), kind="measured", **said))  # type: ignore[arg-type]
    assert found.survival == (2 / 3, 1 / 2)  # three positions have a token behind them, two have two
    assert found.tokens_per_pass == (5 / 3, 5 / 3)  # 2 + 2 + 1; then 3 + 1 + 1
    assert found.turn_sd == 0.5  # turns of two passes and of one: 2 and 1 tokens per pass
    assert found.lag_1 == 0.0


def test_spread_and_lag_are_the_standard_deviation_and_pearsons_correlation() -> None:
    right = np.array([1, 0, 1, 0, 0, 0, 2, 0, 0])
    lengths = np.array([4, 5], np.int32)
    passes = [[2, 2], [1, 1, 3]]  # roots 0, 2; then 4, 5, 6
    spread, lag_1 = spread_and_lag(right, lengths)
    assert spread == pytest.approx(np.std([np.mean(turn) for turn in passes]))
    assert lag_1 == pytest.approx(np.corrcoef([2, 1, 1], [2, 1, 3])[0, 1])


def test_hard_turns_spread_and_hard_passages_hang_together() -> None:
    survival, lengths = 0.7 ** np.arange(1.0, 6.0), np.full(100, 200, np.int32)
    even = chain_statistics(drawn(survival, lengths, 1))
    by_turn = chain_statistics(drawn(survival, lengths, 1, Difficulty(of_turn=0.3)))
    by_passage = chain_statistics(drawn(survival, lengths, 1, Difficulty(of_passage=0.3)))
    assert by_turn.turn_sd > 2 * even.turn_sd
    assert by_passage.lag_1 > 0.1 > abs(even.lag_1)
    assert by_passage.turn_sd < by_turn.turn_sd


def test_behind_the_first_wrong_guess_heads_are_as_good_as_before() -> None:
    """What a pruner learns of each head by itself is the chance of a draft whose ancestors are right."""
    survival, lengths = np.array([0.7, 0.35, 0.28]), np.full(50, 400, np.int32)
    trace = drawn(survival, lengths, 3)
    for head, rate in enumerate((0.7, 0.5, 0.8)):
        ranks = trace.ranks[~beyond_turn(lengths, 3)[:, head], head]
        assert (ranks == 0).mean() == pytest.approx(rate, abs=4 * np.sqrt(0.25 / len(ranks)))


def test_rates_after_a_depth_that_is_never_reached_are_nothing() -> None:
    assert conditional_rates(np.array([0.5, 0.0, 0.0])).tolist() == [0.5, 0.0, 0.0]


def test_medusas_heads_are_counted_as_its_source_has_them() -> None:
    """The first head of Vicuna-7B is right in 56 % of the training text, and MT-bench is a little easier."""
    assert chain_statistics(load_trace("vicuna-7b")).survival[0] == pytest.approx(0.56, abs=0.02)
