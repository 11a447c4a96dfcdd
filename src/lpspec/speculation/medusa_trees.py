"""Medusa's published static trees, the baseline that a pruned tree is measured against."""

import tomllib
from functools import cache
from importlib.resources import files

from lpspec.errors import unknown_name
from lpspec.speculation.token_tree import Path, TokenTree

ChildCounts = dict[str, dict[str, int]]  # "depth_2" -> "0" -> children of the path (0,)


def tree_names() -> list[str]:
    """The names of the published trees, in the order of their source."""
    return list(_published())


@cache
def named_tree(name: str) -> TokenTree:
    """One published tree, ordered by depth and then by path.

    Source: FasterDecoding/Medusa, medusa/model/medusa_choices.py (Apache-2.0).

    Args:
        name: As Medusa spells it, such as ``"mc_sim_7b_63"``.

    Raises:
        InputError: No published tree has this name.
    """
    if name not in _published():
        raise unknown_name("tree", name, tree_names())
    return TokenTree.from_paths(_paths(_published()[name]))


@cache
def _published() -> dict[str, ChildCounts]:
    text = files("lpspec.speculation").joinpath("medusa_trees.toml").read_text(encoding="utf-8")
    trees: dict[str, ChildCounts] = tomllib.loads(text)["trees"]
    return trees


def _paths(counts: ChildCounts) -> list[Path]:
    return [
        (*_path(parent), rank)
        for parents in counts.values()
        for parent, children in parents.items()
        for rank in range(children)
    ]


def _path(key: str) -> Path:
    return () if key == "root" else tuple(int(rank) for rank in key.split("-"))
