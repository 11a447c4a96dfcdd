"""What a user may ask to run."""

import pytest

from lpspec.errors import InputError
from lpspec.simulation.workload import OBJECTIVES, TreePolicy, Workload, parse_tree
from lpspec.speculation.medusa_trees import named_tree, tree_names


def refusal(text: str, objective: str = "edp", learning: str = "full-feedback") -> str:
    with pytest.raises(InputError) as refused:
        parse_tree(text, objective, learning)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dtp_leaves_the_choice_to_the_pruner(objective: str) -> None:
    policy = parse_tree("dtp", objective)
    assert (policy.fixed, policy.size, policy.pruner, policy.objective) == (None, None, None, objective)


def test_sizes_and_published_trees_fix_it() -> None:
    assert parse_tree("1", "edp") == TreePolicy(size=1, objective="edp")
    assert parse_tree("64", "energy") == TreePolicy(size=64, objective="energy")
    for name in tree_names():
        assert parse_tree(name, "edp").fixed == named_tree(name)


def test_a_size_may_have_a_depth() -> None:
    """From one level, all drafts beside each other, to a chain."""
    assert parse_tree("8x2", "edp") == TreePolicy(size=8, depth=2, objective="edp")
    assert parse_tree("5x1", "edp").depth == 1
    assert parse_tree("5x4", "edp").depth == 4
    assert parse_tree("1x0", "edp").depth == 0
    assert parse_tree("8", "edp").depth is None


@pytest.mark.parametrize("text", ["5x0", "5x5", "5x-1", "1x1"])
def test_impossible_depths_are_refused(text: str) -> None:
    size, depth = map(int, text.split("x"))
    allowed = f"{min(1, size - 1)} to {size - 1}"
    assert refusal(text) == f"tree depth {depth} is not possible: a tree of {size} tokens is {allowed} deep"


def test_all_heads_may_run() -> None:
    assert parse_tree("dtp", "edp").heads == "by-depth"
    assert parse_tree("8", "edp", heads="all") == TreePolicy(size=8, objective="edp", heads="all")
    with pytest.raises(InputError, match="did you mean 'by-depth'"):
        parse_tree("dtp", "edp", heads="by_depth")


def test_the_learning_rule_comes_along() -> None:
    for text in ("dtp", "7", "mc_sim_7b_63"):
        assert parse_tree(text, "edp", "verified-nodes").rule == "verified-nodes"


@pytest.mark.parametrize("text", ["0", "65", "-1", "+0", "-0", "1000000000000"])
def test_impossible_sizes_are_refused(text: str) -> None:
    assert refusal(text) == f"tree size {int(text)} is not possible: allowed is 1 to 64, the root included"


@pytest.mark.parametrize("text", ["", "dpt", "--8", "+-8", "²", "8.0", "1e1", "9" * 5000, "mc_sim_7b_64", "DTP "])
def test_what_is_neither_size_nor_name_is_unknown(text: str) -> None:
    assert refusal(text).startswith("unknown tree '")


def test_near_names_are_offered() -> None:
    assert "did you mean 'dtp'?" in refusal("dpt")
    assert "did you mean 'mc_sim_7b_63'?" in refusal("mc_sim_7b_64")
    assert refusal("dtp", "latency").startswith("unknown objective 'latency': ")
    assert "did you mean 'throughput'?" in refusal("dtp", "thruput")
    assert "did you mean 'verified-nodes'?" in refusal("dtp", "edp", "verified")


@pytest.mark.parametrize(("prompt", "new"), [(0, None), (-5, None), (128, 0), (128, -1)])
def test_empty_prompts_and_answers_are_refused(prompt: int, new: int | None) -> None:
    with pytest.raises(InputError, match=r"^(prompt|new) tokens must be at least 1, not -?\d$"):
        Workload(prompt, new)
