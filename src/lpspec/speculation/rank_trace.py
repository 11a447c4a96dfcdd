"""A rank trace: everything that decoding needs to know of a model's drafts, recorded once per position.

Under greedy verification the generated text does not depend on the tree, only where its passes begin does. So
the rank of the true continuation in every head's list, at every position, replays any tree and any pruner.

Position i is the i-th generated token of a turn, taken as the root of a verify pass; head h (0-based) guesses
token i + 1 + h. A pass that accepts a drafts commits a + 1 tokens, and the next root is i + a + 1. Ranks that
would reach beyond the turn are -1, so a turn of N tokens ends exactly at N.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.errors import InputError, unknown_name
from lpspec.speculation.token_tree import TokenTree, accepted_lengths
from lpspec.speculation.trace_file import TraceFormat, check_texts, check_turns, read_only
from lpspec.text_files import is_there

MAX_TOP_K = 127  # ranks are int8

USUAL_DRAFTER = "medusa"
"""Whose lists a trace holds that names no drafter."""

ANY_DRAFTER = "any"
"""Whose lists a trace holds that is of no drafter in particular."""

Kind = Literal["synthetic", "measured"]


@dataclass(frozen=True, eq=False)
class RankTrace:
    """Ranks of the true tokens in every head's list, for some turns of text one after the other.

    Args:
        ranks: int8 [positions, heads], 0-based; -1 where the true token is outside the top k or the turn.
        turn_lengths: int32 [turns], positions per turn.
        top_k: Length of each head's list, 1 to 127.
        labels: One text per turn, such as ``"mtbench-81-1 writing"``; may be empty.
        name: Short name of the trace.
        model: The model whose text and heads it describes.
        kind: Whether the ranks were measured on a model or drawn to fit published figures.
        description: What it is and what it leaves out, for a reader of a result.
        source: Where its figures come from.
        seed: Of the generator that drew it; None when measured.
        drafter: The kind of drafter whose lists they are, such as ``medusa`` or ``eagle3``.
        temperature: Of the sampling under which drafts were accepted; 0 is greedy decoding.

    The arrays are copied and made read-only. Compare traces by `content_hash`.

    Raises:
        InputError: The arrays do not fit together, or a rank is out of range.
    """

    ranks: NDArray[np.int8]
    turn_lengths: NDArray[np.int32]
    top_k: int
    labels: tuple[str, ...]
    name: str
    model: str
    kind: Kind
    description: str
    source: str
    seed: int | None = None
    drafter: str = USUAL_DRAFTER
    temperature: float = 0.0

    def __post_init__(self) -> None:
        """Check that everything fits together, then freeze the arrays."""
        ranks, turn_lengths = np.asarray(self.ranks), np.asarray(self.turn_lengths)
        _check_metadata(self)
        check_turns(turn_lengths, "ranks", len(ranks) if ranks.ndim else 0, len(self.labels))
        _check_ranks(ranks, turn_lengths, self.top_k)
        object.__setattr__(self, "ranks", read_only(ranks, np.int8))
        object.__setattr__(self, "turn_lengths", read_only(turn_lengths, np.int32))

    @property
    def positions(self) -> int:
        """Generated tokens over all turns."""
        return len(self.ranks)

    @property
    def heads(self) -> int:
        """Draft heads recorded: the deepest tree that the trace can replay."""
        return int(self.ranks.shape[1])

    @property
    def turns(self) -> int:
        """Turns of text, each decoded from its own first token."""
        return len(self.turn_lengths)

    def of_first_heads(self, heads: int) -> NDArray[np.int8]:
        """Ranks in the lists of the first heads alone, kept, since many points replay them: int8 [positions, heads]."""
        if heads not in self._of_first_heads:
            self._of_first_heads[heads] = np.ascontiguousarray(self.ranks[:, :heads])
        return self._of_first_heads[heads]

    @cached_property
    def _of_first_heads(self) -> dict[int, NDArray[np.int8]]:
        return {}

    @cached_property
    def turn_starts(self) -> IntArray:
        """int64 [turns], the position at which each turn begins."""
        return read_only(np.cumsum(self.turn_lengths, dtype=np.int64) - self.turn_lengths, np.int64)

    @property
    def within_turn(self) -> BoolArray:
        """bool [positions, heads], true where the token that a head guesses lies within its turn."""
        return ~beyond_turn(self.turn_lengths, self.heads)

    @cached_property
    def accuracy(self) -> FloatArray:
        """float64 [heads, top_k], how often the true token has each rank in each head's list."""
        counts = (self.ranks[:, :, None] == np.arange(self.top_k)).sum(axis=0)
        return read_only(counts / np.maximum(self.within_turn.sum(axis=0), 1)[:, None], np.float64)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, in hexadecimal, of the arrays and all that is said about them."""
        digest = hashlib.sha256(_FORMAT.text(vars(self)).encode())
        digest.update(np.ascontiguousarray(self.turn_lengths, dtype="<i4").tobytes())
        digest.update(repr(self.ranks.shape).encode())
        digest.update(self.ranks.tobytes())
        return digest.hexdigest()

    def with_heads(self, heads: int) -> RankTrace:
        """The same text with only the first `heads` heads.

        Raises:
            InputError: The trace has fewer heads, or `heads` is not positive.
        """
        if not 1 <= heads <= self.heads:
            raise InputError(f"trace '{self.name}': cannot take {heads} heads, allowed are 1 to {self.heads}")
        return replace(self, ranks=self.ranks[:, :heads])

    @staticmethod
    def load(name_or_path: str | Path) -> RankTrace:
        """The trace of a shipped name or a file, as ``load_trace`` has it."""
        return load_trace(name_or_path)

    def file_content(self) -> bytes:
        """What ``save`` writes."""
        return _FORMAT.content(vars(self))

    def save(self, path: str | Path) -> None:
        """Write the trace as one compressed .npz file, whole or not at all; equal traces give equal bytes.

        Raises:
            InputError: The folder does not exist or cannot be written.
        """
        _FORMAT.save(path, vars(self))


def verify_passes(trace: RankTrace, tree: TokenTree) -> NDArray[np.int32]:
    """Count the verify passes that each turn takes when every pass verifies the same tree: int32 [turns]."""
    by_turn = np.split(accepted_lengths(tree, trace.ranks), trace.turn_starts[1:])
    return np.array([count_passes(accepted) for accepted in by_turn], dtype=np.int32)


def count_passes(accepted: NDArray[np.int8]) -> int:
    """Count the verify passes of one turn.

    Args:
        accepted: int8 [positions], the drafts that a pass rooted at each position accepts.
    """
    lengths = accepted.tolist()
    position = passes = 0
    while position < len(lengths):
        position += 1 + lengths[position]
        passes += 1
    return passes


@cache
def trace_names() -> tuple[str, ...]:
    """The names of the traces that come with the package, sorted."""
    return tuple(sorted(file.name[:-4] for file in _shipped().iterdir() if file.name.endswith(".npz")))


def load_trace(name_or_path: str | Path) -> RankTrace:
    """Read a trace that comes with the package by its name, or any trace by its path.

    Args:
        name_or_path: One of `trace_names()`; or else a path, which contains "/", ends in ".npz" or exists.

    Raises:
        InputError: There is no such trace, or the file is not a sound trace of this version.
    """
    if isinstance(name_or_path, str) and name_or_path in trace_names():
        return _shipped_trace(name_or_path)
    if isinstance(name_or_path, str) and not _is_path(name_or_path):
        raise unknown_name("trace", name_or_path, trace_names())
    return _read(Path(name_or_path), str(name_or_path))


@lru_cache(8)
def _shipped_trace(name: str) -> RankTrace:
    """One that comes with the package, whose files do not change: many points replay the same."""
    return _read(_shipped().joinpath(f"{name}.npz"), name)


def _shipped() -> Traversable:
    return files("lpspec.speculation").joinpath("traces")


def _is_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.endswith(".npz") or (text != "" and is_there(text))


# The file: ranks, turn_lengths, and everything else as one JSON text.

_FORMAT = TraceFormat(
    "lpspec-rank-trace",
    version=1,
    arrays={"ranks": np.dtype("i1"), "turn_lengths": np.dtype("<i4")},
    fields=("top_k", "labels", "name", "model", "kind", "description", "source", "seed"),
    further={"drafter": USUAL_DRAFTER, "temperature": 0.0},
)


def _read(file: Traversable | Path, said_as: str) -> RankTrace:
    return _built(_FORMAT.content_of(file, said_as), said_as)


@lru_cache(8)
def _built(content: bytes, said_as: str) -> RankTrace:
    """The trace of a file's content, kept: many machines replay the same, which takes ms to unpack and check."""
    return _FORMAT.build_from(content, said_as, lambda found: RankTrace(**found))


# What makes a trace sound, in one place.


def _check_metadata(trace: RankTrace) -> None:
    check_texts(trace, ("name", "model", "description", "source", "drafter"), trace.labels)
    if trace.kind not in get_args(Kind):
        raise InputError(f"kind of a trace is {trace.kind!r}, allowed are {', '.join(get_args(Kind))}")
    if trace.seed is not None and type(trace.seed) is not int:
        raise InputError(f"seed of a trace is {trace.seed!r}, allowed are whole numbers or none")
    if type(trace.temperature) not in (int, float) or not 0 <= trace.temperature < math.inf:
        raise InputError(f"temperature of a trace is {trace.temperature!r}, allowed are 0 (greedy) and numbers above")
    if type(trace.top_k) is not int or not 1 <= trace.top_k <= MAX_TOP_K:
        raise InputError(f"top_k of a trace is {trace.top_k!r}, allowed are 1 to {MAX_TOP_K}")


def _check_ranks(ranks: NDArray[Any], turn_lengths: NDArray[Any], top_k: int) -> None:
    if ranks.ndim != 2 or ranks.dtype.kind not in "iu" or not ranks.shape[1]:
        raise InputError("ranks of a trace must be whole numbers of shape [positions, heads], one head at least")
    if ranks.min() < -1 or ranks.max() >= top_k:
        found = f"{ranks.min()} to {ranks.max()}"
        raise InputError(f"ranks of a trace run from {found}, allowed are -1 to top_k - 1 = {top_k - 1}")
    if (ranks[beyond_turn(turn_lengths, ranks.shape[1])] != -1).any():
        raise InputError("ranks of a trace reach beyond the end of a turn, where only -1 is allowed")


def beyond_turn(turn_lengths: NDArray[Any], heads: int) -> BoolArray:
    """bool [positions, heads], true where the token that a head guesses lies beyond the end of the turn."""
    ends = np.repeat(np.cumsum(turn_lengths, dtype=np.int64), turn_lengths)
    left = ends - np.arange(len(ends))  # tokens from this position to the turn's end, itself included
    beyond: BoolArray = left[:, None] <= np.arange(1, heads + 1)
    return beyond
