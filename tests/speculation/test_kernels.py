"""The compiled explorer against one that prices every size, and against itself without compilation."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.arrays import FloatArray
from lpspec.speculation import kernels
from lpspec.speculation.kernels import Growth, depth_of, grow_best_tree, make_growth
from lpspec.speculation.token_tree import Path, TokenTree, accepted_length

SIZES = 64


@st.composite
def accuracies(draw: st.DrawFn) -> FloatArray:
    """In any order, with ties and zeros."""
    heads, top_k = draw(st.integers(1, 5)), draw(st.integers(1, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["dense", "coarse", "sparse", "falling", "flat"]))
    values = rng.random((heads, top_k))
    if kind == "coarse":
        values = np.round(values * 4) / 4
    elif kind == "sparse":
        values *= rng.random((heads, top_k)) < 0.4
    elif kind == "falling":
        values = values**3 / np.arange(1, top_k + 1)
    elif kind == "flat":
        values[:] = draw(st.sampled_from([0.0, 0.1, 1.0]))
    return np.asarray(values / max(1.0, values.sum(axis=1).max()))


@st.composite
def prices(draw: st.DrawFn) -> FloatArray:
    """Random, staircase, linear or flat over sizes, with some of them forbidden; and with heads that cost something."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([1, 2, 3, 4, 5, 17, SIZES]))
    kind = draw(st.sampled_from(["random", "staircase", "linear", "flat", "falling"]))
    tokens = np.arange(1, size + 1)
    price = {
        "random": rng.random(size) + 0.01,
        "staircase": -(-tokens // draw(st.integers(1, 8))) + draw(st.floats(0, 8)),
        "linear": tokens * draw(st.floats(0.001, 2)) + 1,
        "flat": np.ones(size),
        "falling": 1 / tokens,
    }[kind]
    rows = draw(st.integers(1, 6))
    drafting = {
        "free": np.zeros(rows),
        "linear": np.arange(rows) * draw(st.floats(0.0, 0.5)),
        "random": rng.random(rows),
    }[draw(st.sampled_from(["free", "linear", "random"]))]
    price = price + drafting[:, None]
    forbidden = rng.random(price.shape) < draw(st.sampled_from([0.0, 0.0, 0.3, 0.9]))
    return np.where(forbidden, np.inf, price)


def rows_for(accuracy: FloatArray, price: FloatArray) -> FloatArray:
    """At most a row for every number of heads."""
    return np.ascontiguousarray(price[: len(accuracy) + 1])


def memory_for(accuracy: FloatArray, price: FloatArray) -> Growth:
    heads, top_k = accuracy.shape
    return make_growth(heads, top_k, price.shape[1])


def plain(function: Any) -> Any:
    """The same function, not compiled."""
    return getattr(function, "py_func", function)


def grown(growth: Growth, size: int) -> list[list[float]]:
    return [growth.parent[:size].tolist(), growth.depth[:size].tolist(), growth.rank[:size].tolist()]


def greedy_lengths(accuracy: FloatArray, size: int, limit: int) -> list[float]:
    """Expected length of the greedy tree of 1, 2, ... tokens, so deep at most: the likeliest open path is next."""
    lengths = [1.0]
    taken: dict[Path, float] = {(): 1.0}
    while len(lengths) < size:
        frontier: dict[Path, float] = {
            (*path, rank): p * float(accuracy[len(path), rank])
            for path, p in taken.items()
            if len(path) < limit
            for rank in range(accuracy.shape[1])
            if (*path, rank) not in taken
        }
        if not frontier:
            break
        best = max(frontier, key=lambda path: frontier[path])
        taken[best] = frontier[best]
        lengths.append(lengths[-1] + frontier[best])
    return lengths


def rate(growth: Growth, price: FloatArray, size: int) -> float:
    """Expected tokens per price of the grown tree."""
    row = min(depth_of(growth, size), len(price) - 1)
    return float(growth.path_probability[:size].sum() / price[row, size - 1])


@settings(max_examples=300)
@given(accuracy=accuracies(), price=prices())
def test_stopping_early_loses_nothing(accuracy: FloatArray, price: FloatArray) -> None:
    """Of equally likely nodes another one may come first, but no better tree is missed."""
    price = rows_for(accuracy, price)
    growth, patient = memory_for(accuracy, price), memory_for(accuracy, price)
    size = grow_best_tree(accuracy, price, growth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_larger_can_win", lambda price, growth, row, *_: growth.nodes[row] < price.shape[1])
        patch.setattr(kernels, "_grow_anew", plain(kernels._grow_anew))
        all_tried = plain(grow_best_tree)(accuracy, price, patient)
    assert rate(growth, price, size) == pytest.approx(rate(patient, price, all_tried), rel=1e-12)
    if len(np.unique(growth.path_probability[:size])) == size and all_tried == size:
        assert grown(growth, size) == grown(patient, size)


@settings(max_examples=60)
@given(accuracy=accuracies(), price=prices())
def test_no_size_or_depth_of_the_greedy_trees_is_better(accuracy: FloatArray, price: FloatArray) -> None:
    """Every tree is charged for the heads that it needs; charging it for more can only make it worse."""
    price = np.maximum.accumulate(rows_for(accuracy, price), axis=0)
    growth, last = memory_for(accuracy, price), len(price) - 1
    size = grow_best_tree(accuracy, price, growth)
    assert depth_of(growth, size) == growth.depth[:size].max()
    best = 1 / price[0, 0]
    for limit in range(1, len(accuracy) + 1):
        lengths = np.array(greedy_lengths(accuracy, price.shape[1], limit))
        best = max(best, float((lengths / price[min(limit, last), : len(lengths)]).max()))
    assert rate(growth, price, size) == pytest.approx(best, rel=1e-12)


@given(accuracy=accuracies(), price=prices())
def test_the_grown_arrays_are_a_tree_in_falling_order_of_probability(accuracy: FloatArray, price: FloatArray) -> None:
    price = rows_for(accuracy, price)
    growth = memory_for(accuracy, price)
    size = grow_best_tree(accuracy, price, growth)
    tree = TokenTree(growth.parent[:size], growth.depth[:size], growth.rank[:size])
    assert tree.max_depth <= len(accuracy)
    expected = [np.prod([accuracy[head, rank] for head, rank in enumerate(path)]) for path in tree.paths()]
    assert growth.path_probability[1:size].tolist() == pytest.approx(expected, rel=1e-12)
    assert (np.diff(growth.path_probability[:size]) <= 0).all()


def test_working_memory_can_be_used_again() -> None:
    rng = np.random.default_rng(5)
    growth = make_growth(4, 10, SIZES)
    for _ in range(50):
        accuracy, price = rng.dirichlet(np.ones(11), 4)[:, :10], 1 + rng.random(SIZES).cumsum() * rng.random()
        price = price + 0.05 * np.arange(5)[:, None]
        fresh = make_growth(4, 10, SIZES)
        size = grow_best_tree(accuracy, price, growth)
        assert size == grow_best_tree(accuracy, price, fresh)
        assert grown(growth, size) == grown(fresh, size)


@given(accuracies(), st.lists(prices(), min_size=1, max_size=3), st.integers(0, 2**32 - 1), st.floats(0.0, 0.2))
def test_a_list_of_nodes_that_is_used_again_changes_nothing(
    accuracy: FloatArray, lists: list[FloatArray], seed: int, most: float
) -> None:
    """Accuracies drift from decision to decision, as those of a replay do, and prices go on and come back."""
    rng, memory = np.random.default_rng(seed), make_growth(len(accuracy), accuracy.shape[1], SIZES)
    for step in range(12):
        price = rows_for(accuracy, lists[step % len(lists)])
        fresh = memory_for(accuracy, price)
        size = grow_best_tree(accuracy, price, memory)
        assert size == grow_best_tree(accuracy, price, fresh)
        assert grown(memory, size) == grown(fresh, size)
        accuracy = np.clip(accuracy * (1 + most * (rng.random(accuracy.shape) - 0.5)), 0.0, 1.0)


def test_where_no_size_is_allowed_the_root_is_verified_alone() -> None:
    growth = make_growth(2, 2, 8)
    assert grow_best_tree(np.full((2, 2), 0.5), np.full((3, 8), np.inf), growth) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 17, 63, 64])
def test_one_allowed_size_is_the_size(size: int) -> None:
    """Whatever it costs, and even where no further token is likely to be right."""
    price = np.full((6, SIZES), np.inf)
    price[:, size - 1] = 1e12
    for value in (0.0, 0.1):
        assert grow_best_tree(np.full((5, 10), value), price, make_growth(5, 10, SIZES)) == size


@given(accuracy=accuracies(), price=prices(), row=st.lists(st.integers(-1, 9), max_size=5))
def test_acceptance_in_the_grown_tree_is_that_of_the_tree(
    accuracy: FloatArray, price: FloatArray, row: list[int]
) -> None:
    price = rows_for(accuracy, price)
    growth = memory_for(accuracy, price)
    size = grow_best_tree(accuracy, price, growth)
    tree = TokenTree(growth.parent[:size], growth.depth[:size], growth.rank[:size])
    ranks = np.array(row, np.int8)
    places = {path: place for place, path in enumerate(tree.paths(), 1)}
    right = [places[path] for length in range(1, 6) if (path := tuple(row[:length])) in places and length <= len(row)]
    assert len(right) == accepted_length(tree, ranks)
    moved = sum(place != wanted for wanted, place in enumerate(right, 1))
    assert kernels.accepted_in(growth, size, ranks) == (len(right), moved)
    assert accepted_length(tree.trunk(), ranks) == len(right) - moved


def test_a_draft_that_lies_one_place_behind_its_own_moves() -> None:
    growth, price = make_growth(1, 2, 3), np.array([[np.inf, np.inf, 1.0]] * 2)
    assert grow_best_tree(np.array([[0.5, 0.4]]), price, growth) == 3
    found = [kernels.accepted_in(growth, 3, np.array([rank], np.int8)) for rank in (0, 1, -1)]
    assert found == [(1, 0), (1, 1), (0, 0)]


def test_of_equal_guesses_the_first_is_drafted_whatever_order_they_had() -> None:
    growth, price = make_growth(1, 2, 2), np.array([[np.inf, 1.0]] * 2)
    for accuracy, rank in (([0.3, 0.4], 1), ([0.4, 0.4], 0)):
        assert grow_best_tree(np.array([accuracy]), price, growth) == 2
        assert growth.rank[1] == rank


def test_an_observed_rank_moves_the_whole_list() -> None:
    accuracy, weight = np.array([[0.5, 0.25, 0.0]]), np.array([[9.0, 9.0, 9.0]])
    kernels.learn_rank(accuracy, weight, 0, 1, 100.0)
    assert accuracy[0].tolist() == pytest.approx([0.45, 0.325, 0.0])
    kernels.learn_rank(accuracy, weight, 0, -1, 10.0)
    assert accuracy[0].tolist() == pytest.approx([0.405, 0.2925, 0.0])
    assert weight[0].tolist() == [10.0, 10.0, 10.0]


def test_every_kernel_reads_the_same_uncompiled() -> None:
    """What ``NUMBA_DISABLE_JIT=1`` would run."""
    names = ("learn_node", "learn_rank", "learn_verified", "accepted_in", "grow_best_tree")
    module: Any = importlib.import_module("lpspec.speculation.kernels")
    results = []
    picks: list[Callable[[Any], Any]] = [lambda function: function, plain]
    for pick in picks:
        accuracy, weight = np.full((3, 4), 0.2), np.full((3, 4), 64.0)
        growth, log = make_growth(3, 4, 16), []
        learn_node, learn_rank, learn_verified, accepted_in, grow = (pick(getattr(module, name)) for name in names)
        rng = np.random.default_rng(0)
        for _ in range(20):
            size = grow(accuracy, 1 + 0.05 * np.arange(16) + 0.02 * np.arange(4)[:, None], growth)
            ranks = rng.integers(-1, 4, 3).astype(np.int8)
            accepted, moved = accepted_in(growth, size, ranks)
            learn_verified(accuracy, weight, growth, size, ranks, accepted, 100.0)
            learn_rank(accuracy, weight, 2, int(ranks[2]), 100.0)
            learn_node(accuracy, weight, 1, 1, True, 100.0)
            log.append((size, accepted, moved, accuracy.tolist()))
        results.append(log)
    assert results[0] == results[1]
