"""The front of a cloud of points, beside a comparison of every pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.explore.pareto import Cloud, better, front, front_keys

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


@given(st.lists(st.tuples(few, few), max_size=30))
def test_keys_of_the_front_are_those_of_its_rows(pairs: list[tuple[int | None, int | None]]) -> None:
    names = ("tokens_per_s", "edp_s_mj")
    rows = [{"key": f"{i:064x}", **dict(zip(names, pair, strict=True))} for i, pair in enumerate(pairs)]
    keys, figures = front_keys(((row["key"], *pair) for row, pair in zip(rows, pairs, strict=True)), names)
    assert keys == [row["key"] for row in Cloud.of(rows, names).front]
    assert figures.shape == (len(pairs), 2)
