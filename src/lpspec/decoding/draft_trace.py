"""A draft trace: the whole tree that a drafter would have offered at every position of real text, and what was right.

Such a drafter sizes its tree by its own confidence, and takes the nodes in growth order. So under greedy verification
one trace replays every price list and every fixed size: a tree is a prefix of the one recorded.

Position i is the i-th generated token of a turn, taken as the root of a verify pass, as in ``RankTrace``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.decoding.confidence_tree import best_size
from lpspec.errors import InputError
from lpspec.speculation.rank_trace import RankTrace, beyond_turn, load_trace
from lpspec.speculation.token_tree import TokenTree
from lpspec.speculation.trace_file import TraceFormat, check_texts, check_turns, read_only


@dataclass(frozen=True, eq=False)
class DraftTrace:
    """Trees drafted at every position of some turns of text, one turn after the other.

    Args:
        parent: int16 [positions, nodes], of node 1, 2, ... in growth order (0 is the root); -1 where there is none.
        rank: int8 [positions, nodes], a node's place among its siblings; -1 where there is none.
        probability: float32 [positions, nodes], the drafter's estimate that the node is accepted; 0 where there is
            none. It never rises from one node to the next.
        true_path: int16 [positions, depth], the node at each depth that the true text runs through; -1 from where it
            leaves the tree or the turn.
        turn_lengths: int32 [turns], positions per turn.
        labels: One text per turn; may be empty.
        name: Short name of the trace.
        model: The model whose text it is.
        drafter: Who drafted.
        description: What it is and what it leaves out.
        source: How it was recorded.

    The arrays are copied and made read-only. Compare traces by `content_hash`.

    Raises:
        InputError: The arrays do not fit together.
    """

    parent: NDArray[np.int16]
    rank: NDArray[np.int8]
    probability: NDArray[np.float32]
    true_path: NDArray[np.int16]
    turn_lengths: NDArray[np.int32]
    labels: tuple[str, ...]
    name: str
    model: str
    drafter: str
    description: str
    source: str

    def __post_init__(self) -> None:
        """Check that everything fits together, then freeze the arrays."""
        check_texts(self, ("name", "model", "drafter", "description", "source"), self.labels)
        arrays = {name: np.asarray(getattr(self, name)) for name in _FORMAT.arrays}
        _check_shapes(arrays)
        check_turns(arrays["turn_lengths"], "parent", len(arrays["parent"]), len(self.labels))
        _check_nodes(arrays["parent"], arrays["rank"], arrays["probability"])
        _check_paths(arrays["true_path"], arrays["parent"])
        for name, dtype in _FORMAT.arrays.items():
            object.__setattr__(self, name, read_only(arrays[name], dtype.type))

    @property
    def positions(self) -> int:
        """Tokens over all turns that were a root."""
        return len(self.parent)

    @property
    def nodes(self) -> int:
        """Most drafts that a tree can have, the root not counted."""
        return int(self.parent.shape[1])

    @property
    def turn_starts(self) -> IntArray:
        """int64 [turns], the position at which each turn begins."""
        return np.cumsum(self.turn_lengths, dtype=np.int64) - self.turn_lengths

    @cached_property
    def depth(self) -> NDArray[np.int8]:
        """int8 [positions, nodes], the depth of every node; 0 where there is none."""
        depth = np.zeros((self.positions, self.nodes + 1), np.int8)
        rows = np.arange(self.positions)
        for node, parent in enumerate(self.parent.T, 1):
            depth[:, node] = np.where(parent >= 0, depth[rows, parent] + 1, 0)
        return depth[:, 1:]

    @property
    def within_turn(self) -> BoolArray:
        """bool [positions, depth], true where the turn goes on so far behind the position."""
        return ~beyond_turn(self.turn_lengths, self.true_path.shape[1])

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, in hexadecimal, of the arrays and all that is said about them."""
        digest = hashlib.sha256(_FORMAT.text(vars(self)).encode())
        for name, dtype in _FORMAT.arrays.items():
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            digest.update(repr(array.shape).encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def tree(self, position: int) -> TokenTree:
        """The whole tree recorded at a position."""
        parent = self.parent[position]
        size = int(np.count_nonzero(parent >= 0)) + 1
        depth = np.append(0, self.depth[position, : size - 1])
        return TokenTree(np.append(-1, parent[: size - 1]), depth, np.append(-1, self.rank[position, : size - 1]))

    def ranks_of_truth(self) -> RankTrace:
        """The rank of every true token in the list of its true parent, as far as the recorded tree holds it.

        Each level is one head's list: trees grown from it follow what is likely on average, not what the drafter held
        likely at that position.
        """
        rows, path = np.arange(self.positions), self.true_path
        ranks = np.full(path.shape, -1, np.int8)
        for depth, nodes in enumerate(path.T):
            there = nodes > 0
            ranks[there, depth] = self.rank[rows[there], nodes[there] - 1]
        return RankTrace(
            ranks,
            self.turn_lengths,
            int(max(self.rank.max(initial=0), 0)) + 1,
            self.labels,
            name=self.name,
            model=self.model,
            kind="measured",
            description=f"{self.description}; ranks along the true text, in the lists of the tree recorded",
            source=self.source,
            drafter=self.drafter,
        )

    def file_content(self) -> bytes:
        """What ``save`` writes."""
        return _FORMAT.content(vars(self))

    def save(self, path: str | Path) -> None:
        """Write the trace as one compressed .npz file, whole or not at all; equal traces give equal bytes.

        Raises:
            InputError: The folder does not exist or cannot be written.
        """
        _FORMAT.save(path, vars(self))


_FORMAT = TraceFormat(
    "lpspec-draft-trace",
    version=1,
    arrays={
        "parent": np.dtype("<i2"),
        "rank": np.dtype("i1"),
        "probability": np.dtype("<f4"),
        "true_path": np.dtype("<i2"),
        "turn_lengths": np.dtype("<i4"),
    },
    fields=("labels", "name", "model", "drafter", "description", "source"),
)


def load_draft_trace(path: str | Path) -> DraftTrace:
    """Read a trace that ``DraftTrace.save`` wrote.

    Raises:
        InputError: The file is not there, or not a sound trace of this version.
    """
    return _read(Path(path), str(path))


def demo_draft_trace() -> DraftTrace:
    """The shipped trace of the demo model's EAGLE layer, 59 drafts a tree (``tools/make_demo_traces.py``)."""
    return _read(files("lpspec.decoding").joinpath("traces", "demo-eagle2.npz"), "demo-eagle2")


def demo_rank_trace() -> RankTrace:
    """The shipped ranks of the demo model's Medusa heads, over the text of ``demo_draft_trace``."""
    with as_file(files("lpspec.decoding").joinpath("traces", "demo-medusa.npz")) as path:
        return load_trace(path)


def _read(file: Traversable | Path, said_as: str) -> DraftTrace:
    return _FORMAT.read(file, said_as, lambda content: DraftTrace(**content))


class ReplayedSteps(NamedTuple):
    """What every verify pass of a replay did: int64 [steps] each, turn after turn.

    ``position``: tokens of the turn committed before the step. ``l_spec``: tokens verified, the root included.
    ``committed``: tokens committed, the root included. ``moved``: accepted drafts out of place in the cache.
    """

    position: IntArray
    l_spec: IntArray
    committed: IntArray
    moved: IntArray


def replay_drafts(trace: DraftTrace, price: FloatArray, new_tokens: int | None = None) -> ReplayedSteps:
    """Decode every turn of a trace, every tree sized by its price as the drafter does when it decodes.

    Args:
        trace: What was drafted at every position.
        price: float64 [positions, sizes]; row i prices steps whose root is token i of a turn, infinite forbids a size.
        new_tokens: Tokens to generate per turn at most; None for the whole turn.

    Raises:
        InputError: Larger trees are allowed than were recorded.
    """
    there = np.count_nonzero(trace.parent >= 0, axis=1)
    if np.isfinite(price[:, trace.nodes + 1 :]).any() and (there == trace.nodes).any():
        raise InputError(
            f"trace '{trace.name}' holds trees of up to {trace.nodes + 1} tokens, but the price list allows larger ones"
        )
    sizes = np.ones(trace.positions, np.int64)
    for start, wanted in _turns(trace, new_tokens):
        here = slice(start, start + wanted)
        possible = np.arange(price.shape[1]) <= there[here, None]
        sizes[here] = best_size(trace.probability[here], np.where(possible, price[:wanted], np.inf))
    return replay_sizes(trace, sizes, new_tokens)


def gated_sizes(trace: DraftTrace, sigma: float) -> IntArray:
    """Sizes, root included, of trees without the nodes whose cumulative log-probability is below ``sigma``.

    Probabilities never rise along a tree, so what passes the gate is a prefix, and a tree. Source: CAPIM's gate on
    EAGLE-2's drafts (King's College London thesis, 2026).

    Returns:
        int64 [positions].
    """
    passing = (trace.parent >= 0) & (trace.probability >= np.exp(sigma))
    sizes: IntArray = 1 + np.count_nonzero(passing, axis=1).astype(np.int64)
    return sizes


def replay_sizes(trace: DraftTrace, sizes: IntArray, new_tokens: int | None = None) -> ReplayedSteps:
    """Decode every turn of a trace, the tree at every position cut to a given size.

    Args:
        trace: What was drafted at every position.
        sizes: int64 [positions], root included.
        new_tokens: Tokens to generate per turn at most; None for the whole turn.
    """
    accepted = ((trace.true_path > 0) & (trace.true_path < sizes[:, None])).sum(axis=1).tolist()
    in_place = (trace.true_path == np.arange(1, trace.true_path.shape[1] + 1)).cumprod(axis=1).sum(axis=1).tolist()
    steps: list[tuple[int, int, int, int]] = []
    for start, wanted in _turns(trace, new_tokens):
        position = 0
        while position < wanted:
            committed = min(accepted[start + position] + 1, wanted - position)
            moved = max(committed - 1 - in_place[start + position], 0)
            steps.append((position, int(sizes[start + position]), committed, moved))
            position += committed
    return ReplayedSteps(*np.array(steps, np.int64).T)


def _turns(trace: DraftTrace, new_tokens: int | None) -> Iterator[tuple[int, int]]:
    """Where each turn begins, and how many of its tokens are wanted."""
    for start, length in zip(trace.turn_starts.tolist(), trace.turn_lengths.tolist(), strict=True):
        yield start, length if new_tokens is None else min(length, new_tokens)


def _check_shapes(arrays: dict[str, NDArray[Any]]) -> None:
    parent, path = arrays["parent"], arrays["true_path"]
    if parent.ndim != 2 or not parent.shape == arrays["rank"].shape == arrays["probability"].shape:
        raise InputError("parent, rank and probability of a trace must be of one shape, [positions, nodes]")
    if path.ndim != 2 or len(path) != len(parent):
        raise InputError("true_path of a trace must be of shape [positions, depth], with the positions of parent")


def _check_nodes(parent: NDArray[Any], rank: NDArray[Any], probability: NDArray[Any]) -> None:
    there = parent >= 0
    if (there[:, 1:] & ~there[:, :-1]).any() or (there != (rank >= 0)).any() or probability[~there].any():
        raise InputError("a tree of a trace has nodes without a parent, a rank or a probability")
    if (parent > np.arange(parent.shape[1])).any():
        raise InputError("a tree of a trace has a node before its parent")
    if not ((probability >= 0) & (probability <= 1)).all() or (np.diff(probability, axis=1) > 0).any():
        raise InputError("probability of a trace must lie between 0 and 1, and never rise along a tree")


def _check_paths(path: NDArray[Any], parent: NDArray[Any]) -> None:
    """Raise InputError unless every path runs from the root to child after child."""
    nodes = np.count_nonzero(parent >= 0, axis=1)
    if ((path == 0) | (path < -1) | (path > nodes[:, None])).any():
        raise InputError("true_path of a trace must hold nodes of its tree, or -1")
    root = np.zeros((len(path), 1), path.dtype)
    above = np.concatenate([root, path[:, :-1]], axis=1)
    rows = np.arange(len(path))[:, None]
    wrong = (path > 0) & (parent[rows, np.maximum(path, 1) - 1] != above) if parent.shape[1] else path > 0
    if wrong.any():
        raise InputError("true_path of a trace must run from the root to child after child")
