"""The token tree against a set of paths: every property is checked on that simpler twin."""

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.errors import InputError
from lpspec.speculation.token_tree import Path, TokenTree, accepted_length, accepted_lengths


def with_ancestors(paths: Iterable[Path]) -> set[Path]:
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


path_sets = st.sets(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), max_size=12).map(with_ancestors)
rank_rows = st.lists(st.lists(st.integers(-1, 6), min_size=3, max_size=3), min_size=1, max_size=20)


def walk(paths: set[Path], ranks: list[int]) -> int:
    """Accepted drafts, from the set of paths alone: the longest prefix of the ranks that is in it."""
    return max(depth for depth in range(len(ranks) + 1) if depth == 0 or tuple(ranks[:depth]) in paths)


def arrays(*nodes: tuple[int, int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    columns = np.array([(-1, 0, -1), *nodes])
    return columns[:, 0], columns[:, 1], columns[:, 2]


def test_a_small_tree_reads_as_drawn() -> None:
    tree = TokenTree.from_paths([(1,), (0,), (0, 2)])
    assert tree.parent.tolist() == [-1, 0, 0, 1]
    assert tree.depth.tolist() == [0, 1, 1, 2]
    assert tree.rank.tolist() == [-1, 0, 1, 2]
    assert [array.dtype.name for array in (tree.parent, tree.depth, tree.rank)] == ["int16", "int8", "int8"]
    assert (tree.size, tree.max_depth) == (4, 2)
    assert repr(tree) == "TokenTree(size=4, nodes_per_depth=[1, 2, 1])"


def test_the_root_alone_is_a_tree() -> None:
    tree = TokenTree.from_paths([])
    assert (tree.size, tree.max_depth, tree.paths()) == (1, 0, [])
    assert accepted_length(tree, [0, 0]) == 0
    assert accepted_lengths(tree, [[0, 0], [-1, 3]]).tolist() == [0, 0]


@given(path_sets)
def test_paths_come_back_ordered_by_depth_then_path(paths: set[Path]) -> None:
    assert TokenTree.from_paths(paths).paths() == sorted(paths, key=lambda path: (len(path), path))


@given(path_sets)
def test_every_prefix_is_a_tree_of_the_first_paths(paths: set[Path]) -> None:
    tree = TokenTree.from_paths(paths)
    for size in range(1, tree.size + 1):
        prefix = tree.prefix(size)
        assert prefix.size == size
        assert prefix.paths() == tree.paths()[: size - 1]
        assert prefix == TokenTree.from_paths(prefix.paths())


@given(path_sets)
def test_a_node_attends_itself_and_its_ancestors(paths: set[Path]) -> None:
    tree = TokenTree.from_paths(paths)
    nodes = [(), *tree.paths()]
    expected = [[row[: len(column)] == column for column in nodes] for row in nodes]
    assert tree.attention_mask().tolist() == expected


@given(path_sets, rank_rows)
def test_acceptance_is_the_longest_path_of_true_ranks(paths: set[Path], rows: list[list[int]]) -> None:
    tree = TokenTree.from_paths(paths)
    expected = [walk(paths, row) for row in rows]
    assert [accepted_length(tree, row) for row in rows] == expected
    assert accepted_lengths(tree, np.array(rows, dtype=np.int8)).tolist() == expected


def test_growth_order_need_not_be_depth_order() -> None:
    tree = TokenTree(*arrays((0, 1, 0), (1, 2, 0), (2, 3, 0), (0, 1, 1)))
    assert tree.paths() == [(0,), (0, 0), (0, 0, 0), (1,)]
    assert accepted_lengths(tree, [[0, 0, 0], [1, 0, 0], [0, 1, 0]]).tolist() == [3, 1, 1]


def test_trees_can_be_compared_and_used_as_keys() -> None:
    tree, same = TokenTree.from_paths([(0,), (1,)]), TokenTree.from_paths([(1,), (0,)])
    assert tree == same
    assert hash(tree) == hash(same)
    assert tree != tree.prefix(2)
    assert tree != "tree"


def test_arrays_are_copied_and_read_only() -> None:
    parent, depth, rank = arrays((0, 1, 0))
    tree = TokenTree(parent, depth, rank)
    rank[1] = 3
    assert tree.rank[1] == 0
    with pytest.raises(ValueError, match="read-only"):
        tree.rank[1] = 3


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([()], "path () is the root, which is always there"),
        ([(0,), (0,)], "path (0,) is repeated"),
        ([(0,), (1, 0)], "path (1, 0) needs its parent (1,)"),
        ([(-1,)], "node 1 needs a rank from 0 to 127"),
        ([(128,)], "node 1 needs a rank from 0 to 127"),
    ],
)
def test_paths_that_are_no_tree_are_refused(paths: list[Path], message: str) -> None:
    with pytest.raises(InputError) as refused:
        TokenTree.from_paths(paths)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([(1, 1, 0)], "node 1 must come after its parent"),
        ([(-1, 0, 0)], "node 1 must come after its parent"),
        ([(0, 2, 0)], "node 1 must lie one level below its parent"),
        ([(0, 1, 0), (0, 1, 0)], "two children of one node have the same rank"),
    ],
)
def test_arrays_that_are_no_tree_are_refused(nodes: list[tuple[int, int, int]], message: str) -> None:
    with pytest.raises(InputError) as refused:
        TokenTree(*arrays(*nodes))
    assert message in str(refused.value)


def test_a_tree_too_deep_for_its_type_is_refused() -> None:
    chain = [(0,) * depth for depth in range(1, 129)]
    assert TokenTree.from_paths(chain[:127]).max_depth == 127
    with pytest.raises(InputError, match="node 128 is too deep, allowed are 127 levels"):
        TokenTree.from_paths(chain)


def test_arrays_without_a_root_or_of_unequal_length_are_refused() -> None:
    parent, depth, rank = arrays((0, 1, 0))
    with pytest.raises(InputError, match="node 0 must be the root"):
        TokenTree(parent[1:], depth[1:], rank[1:])
    with pytest.raises(InputError, match="three lists of one length"):
        TokenTree(parent, depth, rank[:1])
    with pytest.raises(InputError, match="0 nodes, allowed are 1 to"):
        TokenTree(parent[:0], depth[:0], rank[:0])


@pytest.mark.parametrize("size", [0, -1, 3])
def test_a_prefix_outside_the_tree_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"size {size} is not possible, allowed are 1 to 2"):
        TokenTree.from_paths([(0,)]).prefix(size)


def test_importing_the_tree_stays_light() -> None:
    code = "import sys, lpspec.speculation.token_tree; print(*{'numba', 'scipy', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == []
