"""Several drafters of one text: fused ranks against every tree path one by one, and who a router sends requests to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lpspec.errors import InputError
from lpspec.speculation.cooperation import Cooperation, Router, cooperating, drawn_drafters, fused
from lpspec.speculation.rank_trace import load_trace

RANKS = hnp.arrays(np.int8, (3, 4, 2), elements=st.integers(-1, 5))


@given(RANKS)
def test_fused_is_the_best_of_those_who_have_the_token(ranks: np.ndarray) -> None:
    found = fused(list(ranks))
    for position in range(4):
        for head in range(2):
            there = [int(rank) for rank in ranks[:, position, head] if rank >= 0]
            assert found[position, head] == (min(there) if there else -1)


@given(RANKS)
def test_a_further_drafter_never_makes_a_draft_worse(ranks: np.ndarray) -> None:
    fewer, more = fused(list(ranks[:2])), fused(list(ranks))
    assert ((more >= 0) | (fewer < 0)).all()
    assert (more[fewer >= 0] <= fewer[fewer >= 0]).all()


@pytest.mark.parametrize("shapes", [[], [(2, 3), (2, 4)]])
def test_drafters_of_other_texts_are_refused(shapes: list[tuple[int, int]]) -> None:
    with pytest.raises(InputError, match="drafters to fuse"):
        fused([np.zeros(shape, np.int8) for shape in shapes])


def test_a_router_tries_everybody_and_stays_with_the_best() -> None:
    router = Router(4, 1, 0.5, 0.0, np.random.default_rng(0))
    chosen = []
    for _ in range(50):
        (one,) = router.choose()
        router.observe(one, 3 if one == 2 else 1)
        chosen.append(one)
    assert set(chosen[:4]) == {0, 1, 2, 3}
    assert set(chosen[4:]) == {2}


def test_it_forgets_and_explores() -> None:
    router = Router(3, 2, 0.5, 1.0, np.random.default_rng(0))
    router.observe(0, 4)
    router.observe(1, 2)
    router.observe(2, 0)
    assert router.choose() == [0, 2]  # the last of two makes room for the third
    router.observe(0, 0)
    assert router.mean.tolist() == [2.0, 2.0, 0.0]


ALIKE = Cooperation(1, 1, elsewhere=0.8, common=1.0, kept=0.8, exploration=0.1)
SEVERAL = Cooperation(5, 2, elsewhere=0.8, common=0.5, kept=0.8, exploration=0.1)
TRACE = load_trace("llama3.1-8b-eagle3")


def first_right(ranks: np.ndarray) -> float:
    return float((ranks[:, 0] == 0).mean())


def test_one_drafter_that_guesses_as_the_traces_own_has_its_ranks() -> None:
    assert np.array_equal(cooperating(TRACE, ALIKE).ranks, TRACE.ranks)


def test_drawn_drafters_are_as_good_as_the_traces_over_all_domains_and_better_in_their_own() -> None:
    generator, parts = np.random.default_rng(1), []
    for domain in range(5):
        drafters = drawn_drafters(TRACE.ranks, TRACE.within_turn, domain, SEVERAL, generator)
        parts.append([first_right(own) for own in drafters])
        assert all(((own >= 0) <= TRACE.within_turn).all() for own in drafters)
    rates, mean = np.array(parts), first_right(TRACE.ranks)
    assert rates.mean(axis=0) == pytest.approx(np.full(5, mean), rel=0.03)
    inside, outside = np.diag(rates), rates[~np.eye(5, dtype=bool)]
    assert inside == pytest.approx(np.full(5, mean / 0.84), rel=0.03)
    assert outside == pytest.approx(np.full(20, 0.8 * mean / 0.84), rel=0.03)


def test_more_of_them_are_right_more_often_and_turns_end_where_they_did() -> None:
    one, two, four = (cooperating(TRACE, SEVERAL._replace(cooperating=n)) for n in (1, 2, 4))
    assert first_right(TRACE.ranks) < first_right(two.ranks) < first_right(four.ranks)
    assert first_right(one.ranks) < first_right(two.ranks)
    for made in (one, two, four):
        assert made.turn_lengths.tolist() == TRACE.turn_lengths.tolist()
        assert not ((made.ranks >= 0) & ~TRACE.within_turn).any()
    assert cooperating(TRACE, SEVERAL).content_hash == two.content_hash


@pytest.mark.parametrize("together", [0, 3])
def test_more_drafters_than_there_are_are_refused(together: int) -> None:
    with pytest.raises(InputError, match="allowed are 1 to 2"):
        Router(2, together, 0.5, 0.1, np.random.default_rng(0))
