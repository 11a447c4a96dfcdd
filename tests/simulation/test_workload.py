"""What a user may ask to run."""

from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.scenario import Scenario
from lpspec.scenario.names import OBJECTIVES
from lpspec.simulation.workload import TreePolicy, tree_policy
from lpspec.speculation.medusa_trees import named_tree, tree_names


def policy(text: str, **options: Any) -> TreePolicy:
    return tree_policy(Scenario(tree=text, **options))


def refusal(text: str) -> str:
    with pytest.raises(InputError) as refused:
        policy(text)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dtp_leaves_the_choice_to_the_pruner(objective: str) -> None:
    found = policy("dtp", objective=objective)
    assert (found.fixed, found.size, found.pruner, found.objective) == (None, None, None, objective)


def test_sizes_and_published_trees_fix_it() -> None:
    assert policy("1") == TreePolicy(size=1, objective="edp")
    assert policy("64", objective="energy") == TreePolicy(size=64, objective="energy")
    for name in tree_names():
        assert policy(name).fixed == named_tree(name)


def test_a_size_may_have_a_depth() -> None:
    """From one level, all drafts beside each other, to a chain."""
    assert policy("8x2") == TreePolicy(size=8, depth=2, objective="edp")
    assert policy("5x1").depth == 1
    assert policy("5x4").depth == 4
    assert policy("1x0").depth == 0
    assert policy("8").depth is None


@pytest.mark.parametrize("text", ["5x0", "5x5", "5x-1", "1x1"])
def test_impossible_depths_are_refused(text: str) -> None:
    size, depth = map(int, text.split("x"))
    allowed = f"{min(1, size - 1)} to {size - 1}"
    assert refusal(text) == f"tree depth {depth} is not possible: a tree of {size} tokens is {allowed} deep"


def test_all_heads_may_run() -> None:
    assert policy("dtp").heads == "by-depth"
    assert policy("8", heads="all") == TreePolicy(size=8, objective="edp", heads="all")


def test_the_learning_rule_comes_along() -> None:
    for text in ("dtp", "7", "mc_sim_7b_63"):
        assert policy(text, learning="verified-nodes").rule == "verified-nodes"


@pytest.mark.parametrize("text", ["0", "65", "-1", "+0", "-0", "1000000000000"])
def test_impossible_sizes_are_refused(text: str) -> None:
    assert refusal(text) == f"tree size {int(text)} is not possible: allowed is 1 to 64, the root included"


@pytest.mark.parametrize("text", ["", "dpt", "--8", "+-8", "²", "8.0", "1e1", "9" * 5000, "mc_sim_7b_64", "DTP "])
def test_what_is_neither_size_nor_name_is_unknown(text: str) -> None:
    assert refusal(text).startswith("unknown tree '")


def test_near_names_are_offered() -> None:
    assert "did you mean 'dtp'?" in refusal("dpt")
    assert "did you mean 'mc_sim_7b_63'?" in refusal("mc_sim_7b_64")
