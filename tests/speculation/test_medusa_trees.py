"""Medusa's trees as shipped: their published shapes always, and node by node where the reference data lie."""

import json
from pathlib import Path

import pytest

from lpspec.errors import InputError
from lpspec.speculation.medusa_trees import named_tree, tree_names

REFERENCE = Path(__file__).parents[3] / "shared/data/medusa_trees.json"

# Nodes at depth 1, 2, 3, 4, leaves: counted on medusa/model/medusa_choices.py.
SHAPES = {
    "mc_sim_7b_63": ([10, 28, 23, 2], 42),
    "vicuna_7b_stage2": ([10, 23, 23, 7], 42),
    "vicuna_7b_stage1_ablation": ([10, 21, 25, 7], 42),
    "vicuna_7b_stage1": ([10, 32, 20, 1], 44),
    "vicuna_13b_stage2": ([10, 19, 25, 9], 42),
    "vicuna_13b_stage1": ([10, 29, 23, 1], 44),
    "vicuna_33b_stage2": ([10, 24, 24, 5], 43),
    "vicuna_33b_stage1": ([10, 34, 19], 46),
    "zephyr_stage2": ([10, 27, 23, 3], 44),
}


def test_all_nine_are_there() -> None:
    assert tree_names() == list(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_shape_is_as_published(name: str) -> None:
    paths = named_tree(name).paths()
    nodes_per_depth, leaves = SHAPES[name]
    depths = [len(path) for path in paths]
    assert [depths.count(depth) for depth in range(1, max(depths) + 1)] == nodes_per_depth
    assert len(set(paths) - {path[:-1] for path in paths}) == leaves
    assert named_tree(name).size == 64


@pytest.mark.skipif(not REFERENCE.exists(), reason="no reference data beside the checkout")
def test_every_node_is_as_published() -> None:
    published = json.loads(REFERENCE.read_text())["trees"]
    assert {name: named_tree(name).paths() for name in tree_names()} == {
        name: [tuple(path) for path in tree["paths"]] for name, tree in published.items()
    }


def test_an_unknown_tree_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"unknown tree 'mc_sim_7b': did you mean 'mc_sim_7b_63'\?"):
        named_tree("mc_sim_7b")
