"""Sobol indices over a grid are those of their definition, and axes are told from what follows from them."""

from itertools import product
from statistics import fmean, pvariance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.explore.sensitivity import independent_axes, one_at_a_time, variance_shares

Row = dict[str, Any]


def grid(outcome: Any, **axes: list[Any]) -> list[Row]:
    return [{**dict(zip(axes, values, strict=True)), "y": outcome(*values)} for values in product(*axes.values())]


def test_shares_of_a_sum_are_those_of_its_parts() -> None:
    rows = grid(lambda a, b: 3.0 * a + b, a=[0, 1], b=[0, 1])  # variances 9/4 and 1/4
    first, second = variance_shares(rows, ["a", "b"], "y")
    assert (first.axis, second.axis) == ("a", "b")
    assert (first.alone, first.total, second.alone, second.total) == pytest.approx((0.9, 0.9, 0.1, 0.1))


def test_what_two_axes_do_together_is_in_the_total_alone() -> None:
    rows = grid(lambda a, b: float(a * b), a=[-1, 1], b=[-1, 1])
    shares = variance_shares(rows, ["a", "b"], "y")
    assert [(share.alone, share.total) for share in shares] == [(0, 1), (0, 1)]


outcomes = st.lists(st.integers(1, 1000), min_size=12, max_size=12)


@given(outcomes)
def test_shares_are_those_of_conditional_means_and_variances(values: list[int]) -> None:
    left = iter(values)
    rows = grid(lambda *_: float(next(left)), a=["x", "y", "z"], b=[1, 2], c=[True, False])
    shares = {share.axis: share for share in variance_shares(rows, ["a", "b", "c"], "y")}
    variance = pvariance([row["y"] for row in rows])
    assert (shares == {}) == (variance == 0)
    for axis, share in shares.items():
        means = [fmean(row["y"] for row in rows if row[axis] == value) for value in {row[axis] for row in rows}]
        assert share.alone == pytest.approx(pvariance(means) / variance, abs=1e-9)
        others = [name for name in "abc" if name != axis]
        lines = {tuple(row[name] for name in others) for row in rows}
        spreads = [pvariance([row["y"] for row in rows if tuple(row[n] for n in others) == line]) for line in lines]
        assert share.total == pytest.approx(fmean(spreads) / variance, abs=1e-9)
        assert -1e-9 <= share.alone <= share.total + 1e-9 <= 1 + 2e-9
    if shares:
        assert sum(share.alone for share in shares.values()) <= 1 + 1e-9 <= sum(s.total for s in shares.values()) + 2e-9


@pytest.mark.parametrize("spoil", [lambda rows: rows[:-1], lambda rows: [*rows[:-1], {**rows[-1], "y": None}]])
def test_a_grid_with_a_hole_has_no_shares(spoil: Any) -> None:
    rows = grid(lambda a, b: float(a + b), a=[1, 2, 3], b=[1, 2])
    assert variance_shares(rows, ["a", "b"], "y")
    assert variance_shares(spoil(rows), ["a", "b"], "y") == ()


def test_a_figure_that_never_changes_has_no_shares() -> None:
    assert variance_shares(grid(lambda a: 2.5, a=[1, 2]), ["a"], "y") == ()


def test_what_follows_from_axes_is_no_axis() -> None:
    rows = [
        {**row, "twice": row["a"] * 2, "sum": row["a"] + row["b"], "same": 1} for row in grid(max, a=[1, 2], b=[1, 2])
    ]
    assert independent_axes(rows, ["same", "a", "twice", "b", "sum"]) == ("a", "b")
    assert independent_axes([], ["a"]) == ()


def test_one_at_a_time_goes_through_the_point() -> None:
    rows = grid(lambda a, b: a * 10.0 + b, a=[4, 2, 1], b=[1, 3])
    rows.append({"a": 9, "b": 1, "y": None})
    lines = one_at_a_time(rows, ["a", "b"], "y", {"a": 2, "b": 3})
    assert [(line.axis, line.values, line.outcomes) for line in lines] == [
        ("a", (1, 2, 4), (13, 23, 43)),
        ("b", (1, 3), (21, 23)),
    ]
    assert lines[0].spread == 43 / 13
    assert one_at_a_time(rows, ["a", "b"], "y", {"a": 7, "b": 7}) == ()
