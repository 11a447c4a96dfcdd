"""A token tree: the drafts that one verify pass checks, laid out so that every prefix is a tree too.

The root is the token that is already certain. A node at depth d proposes the token d places after it: the
`rank`-th guess (0-based) of head d - 1. Greedy verification then walks down from the root along the true
continuation's ranks and stops where the path leaves the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpspec.arrays import BoolArray
from lpspec.errors import InputError

MAX_DEPTH = 127  # depth and rank are int8
MAX_SIZE = 32_767  # parent is int16

Path = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TokenTree:
    """The nodes that one verify pass checks, in growth order: a node comes after its parent.

    Args:
        parent: int16 [size], the index of each node's parent; -1 for the root, which is node 0.
        depth: int8 [size], 0 for the root and one more than the parent's for every other node.
        rank: int8 [size], the node's 0-based place in the list of head `depth - 1`; -1 for the root.

    The arrays are copied and made read-only. Trees are equal when they have the same nodes in the same order.

    Raises:
        InputError: The arrays do not describe a tree, or two siblings have the same rank.
    """

    parent: NDArray[np.int16]
    depth: NDArray[np.int8]
    rank: NDArray[np.int8]

    def __post_init__(self) -> None:
        """Check the tree, then freeze its arrays."""
        parent, depth, rank = np.asarray(self.parent), np.asarray(self.depth), np.asarray(self.rank)
        _check_tree(parent, depth, rank)
        object.__setattr__(self, "parent", _read_only(parent, np.int16))
        object.__setattr__(self, "depth", _read_only(depth, np.int8))
        object.__setattr__(self, "rank", _read_only(rank, np.int8))

    @classmethod
    def from_paths(cls, paths: Iterable[Sequence[int]]) -> TokenTree:
        """Build the tree that holds exactly these paths and the root, ordered by depth and then by path.

        Args:
            paths: One path of 0-based ranks per node, root excluded; a node's ancestors must be listed too.

        Raises:
            InputError: A path is empty, repeated, has a negative rank, or lacks its parent.
        """
        ordered = sorted((tuple(path) for path in paths), key=lambda path: (len(path), path))
        index: dict[Path, int] = {(): 0}
        parent = [-1]
        for path in ordered:
            if path in index:
                why = "is repeated" if path else "is the root, which is always there"
                raise InputError(f"token tree: path {path} {why}")
            if path[:-1] not in index:
                raise InputError(f"token tree: path {path} needs its parent {path[:-1]} in the tree too")
            parent.append(index[path[:-1]])
            index[path] = len(index)
        depth = [len(path) for path in index]
        rank = [-1, *(path[-1] for path in ordered)]
        return cls(np.array(parent), np.array(depth), np.array(rank))

    @classmethod
    def trusted(cls, parent: NDArray[np.int16], depth: NDArray[np.int8], rank: NDArray[np.int8]) -> TokenTree:
        """Build a tree from arrays that are one by construction, unchecked: a pruner does this at every step."""
        tree = object.__new__(cls)
        arrays: dict[str, NDArray[Any]] = {"parent": parent.copy(), "depth": depth.copy(), "rank": rank.copy()}
        for array in arrays.values():
            array.setflags(write=False)
        tree.__dict__.update(arrays)
        return tree

    @property
    def size(self) -> int:
        """Tokens verified in one pass, root included (the paper's L_spec)."""
        return len(self.parent)

    @property
    def max_depth(self) -> int:
        """The most draft tokens that one pass can accept."""
        return int(self.depth.max())

    def prefix(self, size: int) -> TokenTree:
        """The tree of the first `size` nodes, 1 (the root alone) to `self.size`.

        Raises:
            InputError: `size` is outside that range.
        """
        if not 1 <= size <= self.size:
            raise InputError(f"token tree: size {size} is not possible, allowed are 1 to {self.size}")
        return TokenTree(self.parent[:size], self.depth[:size], self.rank[:size])

    def trunk(self) -> TokenTree:
        """The longest prefix without a branch: where it is accepted, keys and values lie in place as they were written.

        They are written in growth order, so the j-th accepted draft is in place if it is node j, and once one is not,
        none after it is.
        """
        branch = np.flatnonzero(self.parent[1:] != np.arange(self.size - 1))
        return self.prefix(int(branch[0]) + 1 if len(branch) else self.size)

    def paths(self) -> list[Path]:
        """The path of ranks from the root to each node, in growth order, root excluded."""
        found: list[Path] = [()]
        for parent, rank in zip(self.parent[1:].tolist(), self.rank[1:].tolist(), strict=True):
            found.append((*found[parent], rank))
        return found[1:]

    def attention_mask(self) -> BoolArray:
        """bool [size, size]: row i is true where node i attends, at itself and at its ancestors."""
        mask = np.eye(self.size, dtype=np.bool_)
        for node in range(1, self.size):
            mask[node] |= mask[self.parent[node]]
        return mask

    def __eq__(self, other: object) -> bool:
        """Compare node by node, in order."""
        if not isinstance(other, TokenTree):
            return NotImplemented
        return self.parent.tobytes() == other.parent.tobytes() and self.rank.tobytes() == other.rank.tobytes()

    def __hash__(self) -> int:
        """Agree with equality, so that a tree can be a key."""
        return hash((self.parent.tobytes(), self.rank.tobytes()))

    def __repr__(self) -> str:
        """Say how many nodes there are at each depth, root first."""
        return f"TokenTree(size={self.size}, nodes_per_depth={np.bincount(self.depth).tolist()})"


def accepted_length(tree: TokenTree, ranks: Sequence[int] | NDArray[np.int8]) -> int:
    """Count the draft tokens that one verify pass accepts; it then commits one token more.

    Args:
        tree: The verified tree.
        ranks: Ranks of the true tokens in the lists of head 0, 1, ... at the root's position; -1 if in none.
    """
    edges = zip(tree.parent.tolist(), tree.rank.tolist(), strict=True)
    child = {edge: node for node, edge in enumerate(edges)}
    node = accepted = 0
    for rank in ranks:
        if (node, int(rank)) not in child:
            break
        node = child[node, int(rank)]
        accepted += 1
    return accepted


def accepted_lengths(tree: TokenTree, ranks: ArrayLike) -> NDArray[np.int8]:
    """Count the draft tokens accepted at every position at once: `accepted_length` of each row.

    Args:
        tree: The verified tree.
        ranks: int [positions, heads], as `RankTrace.ranks`.

    Returns:
        int8 [positions].
    """
    rows = np.asarray(ranks)
    outside = int(tree.rank.max()) + 1  # the column of every rank that the tree does not hold
    nowhere = tree.size  # the node from which no path leads back
    child = np.full((tree.size + 1, outside + 1), nowhere, dtype=np.int16)
    child[tree.parent[1:], tree.rank[1:]] = np.arange(1, tree.size, dtype=np.int16)
    columns = np.where(rows < 0, outside, np.minimum(rows, outside))
    node = np.zeros(len(rows), dtype=np.int16)
    accepted = np.zeros(len(rows), dtype=np.int8)
    for column in columns.T:
        node = child[node, column]
        accepted += node != nowhere
    return accepted


def _check_tree(parent: NDArray[Any], depth: NDArray[Any], rank: NDArray[Any]) -> None:
    """Raise InputError unless the arrays describe a tree whose nodes come after their parents."""
    if parent.ndim != 1 or not parent.shape == depth.shape == rank.shape:
        raise InputError("token tree: parent, depth and rank must be three lists of one length")
    if not 1 <= len(parent) <= MAX_SIZE:
        raise InputError(f"token tree: {len(parent)} nodes, allowed are 1 to {MAX_SIZE}")
    if (parent[0], depth[0], rank[0]) != (-1, 0, -1):
        raise InputError("token tree: node 0 must be the root (parent -1, depth 0, rank -1)")
    nodes = np.arange(1, len(parent))
    parents, ranks = parent[1:], rank[1:]
    _refuse((parents < 0) | (parents >= nodes), "must come after its parent")
    _refuse((ranks < 0) | (ranks > MAX_DEPTH), f"needs a rank from 0 to {MAX_DEPTH}")
    _refuse(depth[1:] > MAX_DEPTH, f"is too deep, allowed are {MAX_DEPTH} levels")
    _refuse(depth[1:] != depth[parents] + 1, "must lie one level below its parent")
    key = parents.astype(np.int64) * (MAX_DEPTH + 1) + ranks
    if len(np.unique(key)) < len(key):
        raise InputError("token tree: two children of one node have the same rank")


def _refuse(wrong: BoolArray, why: str) -> None:
    """Raise InputError for the first node after the root that is wrong."""
    if wrong.any():
        raise InputError(f"token tree: node {int(wrong.argmax()) + 1} {why}")


def _read_only(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    copy = np.array(array, dtype=dtype)
    copy.flags.writeable = False
    return copy
