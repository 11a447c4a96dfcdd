"""The front of a cloud of points, beside a comparison of every pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.explore.pareto import better, front

METRICS = ("tokens_per_s", "edp_s_mj", "time_to_first_token_ms")
few = st.one_of(st.none(), st.integers(0, 4))


@given(st.lists(st.tuples(few, few, few), max_size=40))
def test_no_pair_beats_the_front(values: list[tuple[int | None, ...]]) -> None:
    rows = [dict(zip(METRICS, each, strict=True)) for each in values]

    def beats(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
        gains = [(b or 0) - (a or 0) for a, b in zip(one, other, strict=True)]  # those of whole points alone are asked
        gains[0] = -gains[0]
        return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)

    whole = [each for each in values if None not in each]
    expected = [None not in each and not any(beats(other, each) for other in whole) for each in values]
    assert front(rows, METRICS).tolist() == expected


def test_a_long_list_is_compared_in_parts() -> None:
    rows = [{"tokens_per_s": i, "edp_s_mj": (i * 7919) % 3001} for i in range(3000)]
    kept = [row for row, on in zip(rows, front(rows, ("tokens_per_s", "edp_s_mj")), strict=True) if on]
    lowest, expected = 3001, []
    for row in sorted(rows, key=lambda row: -row["tokens_per_s"]):
        if row["edp_s_mj"] < lowest:
            lowest = row["edp_s_mj"]
            expected.append(row)
    assert kept == expected[::-1]


def test_figures_that_have_no_better_way_are_refused() -> None:
    assert (better("tokens_per_s"), better("edp_s_mj")) == ("higher", "lower")
    for name in ("migrations", "system"):
        with pytest.raises(InputError, match="unknown figure to optimise"):
            better(name)
