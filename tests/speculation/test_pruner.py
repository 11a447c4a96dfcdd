"""The pruner against trees written out as sets of paths: all of them, and what each step may teach."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.arrays import FloatArray
from lpspec.scenario.names import OBJECTIVES, LearningRule, Objective
from lpspec.simulation.price_grid import GridEnergy
from lpspec.simulation.step_cost import StepCosts
from lpspec.speculation.pruner import PRIOR_WEIGHT, DraftTokenPruner, FixedTree, heads_run
from lpspec.speculation.token_tree import Path, TokenTree, accepted_length

PAPER = np.array([[0.5, 0.3], [0.2, 0.1]])  # p_1 and p_2 of LP-Spec section IV-B
RULES: tuple[LearningRule, ...] = ("full-feedback", "chain-feedback", "verified-nodes")
MAX_SIZE = 7


def probability(path: Path, accuracy: FloatArray) -> float:
    product = 1.0
    for head, rank in enumerate(path):
        product *= float(accuracy[head, rank])
    return product


def expected_length(paths: frozenset[Path], accuracy: FloatArray) -> float:
    return 1.0 + sum(probability(path, accuracy) for path in paths)


@cache
def every_tree(heads: int, top_k: int) -> list[frozenset[Path]]:
    """All prefix-closed sets of up to six paths: take or leave each path in turn, its parent first."""
    order = [path for depth in range(1, heads + 1) for path in itertools.product(range(top_k), repeat=depth)]

    def grow(chosen: frozenset[Path], start: int) -> list[frozenset[Path]]:
        found = [chosen]
        if len(chosen) == MAX_SIZE - 1:
            return found
        for place in range(start, len(order)):
            path = order[place]
            if len(path) == 1 or path[:-1] in chosen:
                found += grow(chosen | {path}, place + 1)
        return found

    return grow(frozenset(), 0)


def test_the_enumeration_finds_every_tree_once() -> None:
    """Rooted sub-trees of the full binary tree, by size: Catalan numbers, as long as depth does not cut."""
    trees = every_tree(3, 2)
    assert len(set(trees)) == len(trees)
    assert [sum(len(tree) + 1 == size for tree in trees) for size in range(1, 5)] == [1, 2, 5, 14]
    assert len(every_tree(1, 2)) == 4  # here siblings may be any subset


# The paper's example


def test_the_papers_tree_has_the_papers_expected_length() -> None:
    assert expected_length(frozenset({(0,), (1,), (0, 0)}), PAPER) == pytest.approx(1.9, abs=1e-15)
    pruner = DraftTokenPruner(PAPER)
    only_four = np.array([np.inf, np.inf, np.inf, 1.0])
    tree = pruner.choose(only_four)
    assert tree.paths() == [(0,), (1,), (0, 0)]
    assert np.cumsum(pruner._growth.path_probability[:4]).tolist() == pytest.approx([1.0, 1.5, 1.8, 1.9], abs=1e-15)


def test_the_papers_tree_is_chosen_where_one_pass_serves_four_tokens() -> None:
    """Prices of a four-ALU PIM, two passes costing twice: 1.9 / 1 beats (1.9 + 0.06 + ...) / 2."""
    assert DraftTokenPruner(PAPER).choose(np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0])).size == 4


# Choice


@st.composite
def accuracies(draw: st.DrawFn) -> FloatArray:
    heads, top_k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    values = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
    rows = [draw(st.lists(values, min_size=top_k, max_size=top_k)) for _ in range(heads)]
    return np.array(rows) / max(1.0, *(sum(row) for row in rows))


@st.composite
def staircases(draw: st.DrawFn) -> FloatArray:
    """Prices that rise in steps now and then, as passes and tiles make them."""
    rises = draw(st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0]) | st.floats(0, 2), min_size=7, max_size=7))
    return draw(st.floats(0.1, 1000)) * (1.0 + np.cumsum(rises))


def per_token(objective: Objective, latency_ns: float, energy_pj: float, length: float) -> float:
    """What the objective minimises: time, energy, or time times energy, of a token."""
    time, energy = latency_ns / length, energy_pj / length
    return {"throughput": time, "energy": energy, "edp": time * energy}[objective]


@pytest.mark.parametrize("objective", OBJECTIVES)
@settings(max_examples=60)
@given(
    accuracy=accuracies(),
    latency_ns=staircases(),
    energy_pj=staircases(),
    draft_ns=staircases(),
    draft_pj=staircases(),
)
def test_the_choice_is_the_best_of_all_trees(
    objective: Objective,
    accuracy: FloatArray,
    latency_ns: FloatArray,
    energy_pj: FloatArray,
    draft_ns: FloatArray,
    draft_pj: FloatArray,
) -> None:
    """Whatever its size and depth, heads being paid for as deep as it is."""
    by_component = np.stack([0.25 * energy_pj, 0.75 * energy_pj])[:, None, :]
    heads = len(accuracy)
    draft_ns, draft_pj = draft_ns[: heads + 1] - draft_ns[0], draft_pj[: heads + 1] - draft_pj[0]
    nothing = np.zeros(1), np.zeros((2, 1)), 0.0, np.zeros(2)  # to move, to prefill
    costs = StepCosts(
        0,
        latency_ns[None, :],
        GridEnergy.of(by_component),
        draft_ns,
        np.stack([0.5 * draft_pj, 0.5 * draft_pj]),
        *nothing,
    )
    tree = DraftTokenPruner(accuracy, MAX_SIZE).choose(costs.prices(objective)[0, 0])
    paths = frozenset(tree.paths())
    assert TokenTree(tree.parent, tree.depth, tree.rank) == tree  # the checks that `trusted` skips
    assert all(path[:-1] in paths | {()} for path in paths)

    def value(paths: frozenset[Path]) -> float:
        size, depth = len(paths), max(map(len, paths), default=0)
        length = expected_length(paths, accuracy)
        return per_token(objective, latency_ns[size] + draft_ns[depth], energy_pj[size] + draft_pj[depth], length)

    assert value(paths) == pytest.approx(min(map(value, every_tree(*accuracy.shape[:2]))), rel=1e-12)


def test_among_equals_the_smallest_tree_wins() -> None:
    certain = np.array([[1.0], [1.0]])
    assert DraftTokenPruner(certain).choose(np.array([1.0, 2.0, 3.0])).size == 1


def test_nothing_larger_than_allowed_is_chosen() -> None:
    assert DraftTokenPruner(PAPER, max_size=2).choose(np.ones(64)).size == 2
    assert DraftTokenPruner(PAPER).choose(np.ones(64)).size == 7  # all that two heads of two ranks can say
    assert DraftTokenPruner(PAPER, max_size=1).choose(np.ones(64)).size == 1


# Learning

ranks_of_two = st.lists(st.integers(-1, 1), min_size=2, max_size=2).map(lambda row: np.array(row, np.int8))
small_trees = st.sampled_from(every_tree(2, 2)).map(TokenTree.from_paths)


def is_child_of_accepted(path: Path, ranks: list[int], accepted: int) -> bool:
    return len(path) - 1 <= accepted and list(path[:-1]) == ranks[: len(path) - 1]


@given(tree=small_trees, ranks=ranks_of_two)
def test_verified_nodes_teach_exactly_the_children_of_accepted_nodes(tree: TokenTree, ranks: NDArray[np.int8]) -> None:
    accepted = accepted_length(tree, ranks)
    pruner = DraftTokenPruner(PAPER, rule="verified-nodes")
    pruner.observe(0, ranks, tree, accepted + 1)
    expected = PAPER.copy()
    for path in tree.paths():
        if is_child_of_accepted(path, ranks.tolist(), accepted):
            head, rank = len(path) - 1, path[-1]
            expected[head, rank] = (64 * PAPER[head, rank] + (rank == ranks[head])) / 65
    assert pruner.accuracy == pytest.approx(expected, abs=1e-15)


def test_the_prior_is_worth_64_observations_and_memory_caps_them() -> None:
    pruner = DraftTokenPruner(np.array([[0.5]]), memory=66)
    tree = TokenTree.from_paths([(0,)])
    believed = 0.5
    for position, weight in enumerate([65, 66, 66, 66]):
        pruner.observe(2 * position, np.array([0], np.int8), tree, 2)
        believed = believed * (weight - 1) / weight + 1 / weight
        assert pruner.accuracy[0, 0] == pytest.approx(believed, abs=1e-15)
    assert PRIOR_WEIGHT == 64


def test_full_feedback_waits_until_the_token_is_committed() -> None:
    pruner = DraftTokenPruner(PAPER)
    tree = TokenTree.from_paths([(0,), (0, 0)])
    pruner.observe(0, np.array([1, 1], np.int8), tree, 1)  # token 1 is the next root, token 2 lies beyond
    assert np.array_equal(pruner.accuracy, PAPER)
    pruner.observe(1, np.array([1, 0], np.int8), tree, 1)  # commits token 1: what head 0 said at 0 is scored
    assert pruner.accuracy[0].tolist() == pytest.approx([0.5 * 64 / 65, (0.3 * 64 + 1) / 65])
    assert np.array_equal(pruner.accuracy[1], PAPER[1])
    pruner.observe(2, np.array([-1, -1], np.int8), tree, 1)  # commits token 2: head 1 from 0, head 0 from 1
    assert pruner.accuracy[1].tolist() == pytest.approx([0.2 * 64 / 65, (0.1 * 64 + 1) / 65])


def test_chain_feedback_scores_a_head_only_where_those_before_it_were_right_at_once() -> None:
    pruner, tree = DraftTokenPruner(PAPER, rule="chain-feedback"), TokenTree.from_paths([(0,), (0, 0)])
    pruner.observe(0, np.array([1, 0], np.int8), tree, 2)  # right, but at the second guess
    pruner.observe(2, np.array([0, 1], np.int8), tree, 2)
    assert np.array_equal(pruner.accuracy[1], PAPER[1])
    pruner.observe(4, np.array([-1, 0], np.int8), tree, 1)
    of_position_2_alone = pytest.approx([0.2 * 64 / 65, (0.1 * 64 + 1) / 65])
    assert pruner.accuracy[1].tolist() == of_position_2_alone
    pruner.observe(5, np.array([-1, -1], np.int8), tree, 2)  # what head 1 guessed at 4 is known now; head 0 was wrong
    assert pruner.accuracy[1].tolist() == of_position_2_alone


def test_a_new_turn_forgets_what_was_waiting() -> None:
    pruner = DraftTokenPruner(PAPER)
    tree = TokenTree.from_paths([(0,)])
    pruner.observe(0, np.array([0, 0], np.int8), tree, 1)
    for position in range(3):
        pruner.observe(position, np.array([], np.int8), tree.prefix(1), 1)
    assert np.array_equal(pruner.accuracy, PAPER)


@pytest.mark.parametrize("rule", RULES)
def test_heads_that_did_not_run_teach_nothing(rule: LearningRule) -> None:
    pruner = DraftTokenPruner(PAPER, rule=rule)
    for position in range(5):
        pruner.observe(position, np.array([], np.int8), TokenTree.from_paths([]), 1)
    assert np.array_equal(pruner.accuracy, PAPER)
    for position in range(5):
        pruner.observe(position, np.array([0], np.int8), TokenTree.from_paths([(0,)]), 1)
    assert not np.array_equal(pruner.accuracy[0], PAPER[0])
    assert np.array_equal(pruner.accuracy[1], PAPER[1])


# Heads that run


def by_depth(verify: float, draft: float, heads: int = 2, sizes: int = 7) -> FloatArray:
    """A machine on which a tree costs the same whatever its size, and each head as much as the others."""
    return np.full((heads + 1, sizes), verify) + draft * np.arange(heads + 1.0)[:, None]


def test_the_heads_are_as_many_as_the_tree_is_deep() -> None:
    """With head 2 adding 0.24 at most (all ranks right behind all ranks) it is worth 0.1 of the pass but not 0.2."""
    shallow, deep = DraftTokenPruner(PAPER), DraftTokenPruner(PAPER)
    assert shallow.choose(by_depth(1.0, 0.2)).paths() == [(0,), (1,)]
    assert shallow.heads == 1
    assert deep.choose(by_depth(1.0, 0.1)).max_depth == 2
    assert deep.heads == 2


def test_where_heads_run_together_depth_is_free() -> None:
    together = np.stack([np.full(7, 1.0), np.full(7, 1.2)])
    pruner = DraftTokenPruner(PAPER)
    assert (pruner.choose(together).size, pruner.heads) == (7, 2)
    always = DraftTokenPruner(PAPER)
    assert (always.choose(np.array([1.0, 9.0])).size, always.heads) == (1, 2)


@pytest.mark.parametrize(
    ("rows", "ran"),
    [
        (5, (0, 1, 2, 3, 4)),  # each number of heads has its price
        (3, (0, 1, 4, 4, 4)),  # none, one, or all
        (2, (0, 4, 4, 4, 4)),  # none or all
        (1, (4, 4, 4, 4, 4)),  # always all
    ],
)
def test_a_pruner_that_says_nothing_of_heads_has_as_many_run_as_have_a_price(rows: int, ran: tuple[int, ...]) -> None:
    """Four heads, and trees of no level up to one of four."""
    trees = [TokenTree.from_paths([(0,) * level for level in range(1, depth + 1)]) for depth in range(5)]
    price = np.ones((rows, 7))
    assert tuple(heads_run(FixedTree(tree), tree, price, 4) for tree in trees) == ran
    assert rows > 1 or {heads_run(FixedTree(tree), tree, price[0], 4) for tree in trees} == {4}


@pytest.mark.parametrize("rule", ["full-feedback", "chain-feedback"])
def test_a_head_that_seemed_bad_for_a_while_is_tried_again(rule: LearningRule) -> None:
    """The second head is right nine times in ten, but not while it is first seen: trees of one level must not stay."""
    pruner, price = DraftTokenPruner(np.array([[0.9], [0.5]]), rule=rule), by_depth(1.0, 0.2, sizes=3)
    bad = 0
    for step in range(4_000):
        tree = pruner.choose(price)
        bad += pruner.heads == 2 and bad < 40
        second = 0 if bad >= 40 and step % 10 else -1
        pruner.observe(10 * step + 1, np.array([0, second][: pruner.heads], np.int8), tree, 10)
    assert (pruner.heads, pruner.choose(price).size) == (2, 3)


def test_a_head_that_is_bad_is_tried_less_and_less() -> None:
    pruner, price = DraftTokenPruner(np.array([[0.9], [0.5]])), by_depth(1.0, 0.3, sizes=3)
    ran = []
    for step in range(4_000):
        tree = pruner.choose(price)
        ran.append(pruner.heads == 2)
        pruner.observe(10 * step + 1, np.array([0, -1][: pruner.heads], np.int8), tree, 10)
    assert sum(ran[:2_000]) <= 100
    assert sum(ran[2_000:]) <= 10


def test_a_pruner_that_gave_up_drafting_takes_it_up_again() -> None:
    """The text is easier than the prior says, although at first the root alone is verified."""
    pruner = DraftTokenPruner(np.array([[0.01], [0.01]]), memory=256)
    price = by_depth(1.0, 0.1, sizes=3)
    sizes = []
    for position in range(20_000):
        tree = pruner.choose(price)
        sizes.append(tree.size)
        pruner.observe(2 * position + 1, np.zeros(pruner.heads, np.int8), tree, 2)
    assert sizes[0] == 1
    assert sizes[-1] == 3


def test_the_papers_rule_has_no_optimism() -> None:
    pruner = DraftTokenPruner(np.array([[0.01], [0.01]]), rule="verified-nodes")
    price = by_depth(1.0, 0.1, sizes=3)
    assert {(pruner.choose(price).size, pruner.heads) for _ in range(2_000)} == {(1, 0)}


@pytest.mark.parametrize("rule", RULES)
def test_the_end_of_a_turn_is_no_wrong_prediction(rule: LearningRule) -> None:
    """The last token has no successor, so what the heads said of one was neither right nor wrong."""
    pruner = DraftTokenPruner(PAPER, rule=rule)
    pruner.observe(0, np.array([], np.int8), TokenTree.from_paths([(0,), (1,), (0, 0)]), 1)
    assert np.array_equal(pruner.accuracy, PAPER)


def test_ranks_may_become_known_after_their_step() -> None:
    """With a real model, a deep head's guess is scored only when its token is there."""
    told, found_out = DraftTokenPruner(PAPER), DraftTokenPruner(PAPER)
    tree = TokenTree.from_paths([(0,), (0, 0)])
    late = np.array([0, -1], np.int8)
    told.observe(0, np.array([0, 1], np.int8), tree, 2)
    found_out.observe(0, late, tree, 2)
    late[1] = 1
    for pruner in (told, found_out):
        pruner.observe(2, np.array([0, 0], np.int8), tree, 3)
    assert np.array_equal(told.accuracy, found_out.accuracy)
    assert not np.array_equal(told.accuracy[1], PAPER[1])


def test_a_fixed_tree_gives_way_only_to_the_price() -> None:
    tree = TokenTree.from_paths([(0,), (1,), (0, 0)])
    fixed = FixedTree(tree)
    fixed.observe(0, np.array([0, 0], np.int8), tree, 3)
    assert fixed.choose(np.array([9.0, 9.0, 9.0, 1.0, 1.0])) is tree
    assert fixed.choose(np.array([1.0, 1.0, np.inf, np.inf])) == tree.prefix(2)
    assert fixed.choose(np.array([1.0, 1.0, 1.0])) == tree.prefix(3)
    assert fixed.choose(np.full(4, np.inf)).size == 1


@given(data=st.data(), rule=st.sampled_from(RULES), memory=st.sampled_from([1.0, 8.0, 65.0, 1e9]))
def test_what_is_learned_stays_a_probability(data: st.DataObject, rule: LearningRule, memory: float) -> None:
    accuracy = data.draw(accuracies())
    pruner = DraftTokenPruner(accuracy, MAX_SIZE, rule, memory)
    trees = st.sampled_from(every_tree(*accuracy.shape[:2])).map(TokenTree.from_paths)
    position = 0
    for _ in range(data.draw(st.integers(1, 8))):
        row = data.draw(
            st.lists(st.integers(-1, accuracy.shape[1] - 1), min_size=len(accuracy), max_size=len(accuracy))
        )
        tree, ranks = data.draw(trees), np.array(row, np.int8)
        committed = accepted_length(tree, ranks) + 1
        pruner.observe(position, ranks, tree, committed)
        position += committed
    assert (pruner.accuracy >= 0).all()
    assert (pruner.accuracy <= 1).all()
    if rule == "full-feedback":
        assert (pruner.accuracy.sum(axis=1) <= 1 + 1e-12).all()


def test_the_prior_that_was_given_is_left_alone() -> None:
    prior = PAPER.copy()
    DraftTokenPruner(prior).observe(0, np.array([0, 0], np.int8), TokenTree.from_paths([(0,)]), 2)
    DraftTokenPruner(prior, rule="verified-nodes").observe(0, np.array([0], np.int8), TokenTree.from_paths([(0,)]), 2)
    assert np.array_equal(prior, PAPER)
