"""Several drafters of one text: fused ranks against every tree path one by one, and who a router sends requests to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lpspec.errors import InputError
from lpspec.speculation.cooperation import Router, fused

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


@pytest.mark.parametrize("cooperating", [0, 3])
def test_more_drafters_than_there_are_are_refused(cooperating: int) -> None:
    with pytest.raises(InputError, match="allowed are 1 to 2"):
        Router(2, cooperating, 0.5, 0.1, np.random.default_rng(0))
