"""Acceptance by one number: closed forms, and the trace drawn from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.speculation.chains import chain_statistics
from lpspec.speculation.geometric import Geometric, geometric_trace, rate_of_mean, read_acceptance


def series(rate: float, drafts: int) -> float:
    """(1 - p^(K + 1)) / (1 - p), the closed form of Leviathan and others (arXiv 2211.17192, equation 1)."""
    return drafts + 1.0 if rate == 1 else (1 - rate ** (drafts + 1)) / (1 - rate)


@given(st.floats(0, 1), st.integers(1, 63))
def test_the_mean_length_is_the_geometric_series(rate: float, drafts: int) -> None:
    assert Geometric(rate, drafts).mean_length == pytest.approx(series(rate, drafts), rel=1e-6)


@given(st.floats(0, 1), st.integers(1, 63))
def test_the_rate_of_a_mean_gives_the_mean_again(share: float, drafts: int) -> None:
    length = 1 + share * drafts
    assert series(rate_of_mean(length, drafts), drafts) == pytest.approx(length, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "rate", "drafts"),
    [("0.72", 0.72, 16), (".5@3", 0.5, 3), ("1@4", 0.0, 4), ("5@4", 1.0, 4), ("1.75@2", 0.5, 2), ("1", 1.0, 16)],
)
def test_what_a_text_means(text: str, rate: float, drafts: int) -> None:
    meant = read_acceptance(text)
    assert meant.rate == pytest.approx(rate, abs=1e-12)
    assert meant.drafts == drafts


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("often", "neither a mean length"),
        ("3.24", "needs the drafts of a pass, such as 3.24@7"),
        ("9@7", "7 drafts give 1 to 8"),
        ("2@0", "allowed are 1 to 63"),
        ("2@64", "allowed are 1 to 63"),
        ("-0.5", "neither"),
        ("nan", "neither"),
        ("", "neither"),
        ("1" * 400, "needs the drafts"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(text: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint) as refused:
        read_acceptance(text)
    assert len(str(refused.value)) <= 190


@pytest.mark.parametrize("text", ["3.24@7", "0.72", "2@1", "4.2@5"])
def test_a_trace_has_the_survival_asked_for(text: str) -> None:
    """To one position over all; positions whose turn ends before a depth are left out, hence the tolerance."""
    trace, meant = geometric_trace(text), read_acceptance(text)
    found = chain_statistics(trace)
    assert np.array(found.survival) == pytest.approx(meant.survival, abs=0.003)
    for drafts, tokens in enumerate(found.tokens_per_pass, 1):
        of_chain = series(meant.rate, drafts)
        cut_short = 1 - drafts / 256  # the last pass of a turn of 256 tokens has no more to accept than is left
        assert 0.99 * cut_short * of_chain < tokens < 1.01 * of_chain
    assert abs(found.lag_1) < 0.03


def test_a_trace_is_the_same_every_time_and_says_what_it_is() -> None:
    trace = geometric_trace("3.24@7")
    assert trace.content_hash == geometric_trace(" 3.24@7 ").content_hash != geometric_trace("3.25@7").content_hash
    assert (trace.name, trace.kind, trace.drafter, trace.top_k, trace.heads) == ("3.24@7", "synthetic", "any", 1, 7)
    assert "3.24 tokens per pass with chains of 7 drafts" in trace.description
