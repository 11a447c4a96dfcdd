"""A recorded trace: how often each guess was right."""

from collections.abc import Iterator
from typing import Any

from lpspec.arrays import BoolArray
from lpspec.decoding.draft_trace import DraftTrace
from lpspec.report.wording import new_table
from lpspec.speculation.rank_trace import RankTrace

RANKS = 4
"""Guesses of a Medusa head that have a column of their own."""


def recording_document(trace: RankTrace | DraftTrace) -> dict[str, Any]:
    """What ``lpspec record --json`` writes."""
    return {
        "name": trace.name,
        "model": trace.model,
        "turns": len(trace.turn_lengths),
        "positions": trace.positions,
        "sha256": trace.content_hash,
        "right": _right(trace),
    }


def _right(trace: RankTrace | DraftTrace) -> list[list[float | None]]:
    """By place after the root: Medusa's guesses by rank, each by itself; of trees, the true paths that come so far.

    Only positions count whose turn has that place; None where no position does.
    """
    if isinstance(trace, RankTrace):
        columns = [column[there] for column, there in zip(trace.ranks.T, trace.within_turn.T, strict=True)]
        return [[_share(column == rank) for rank in range(trace.top_k)] for column in columns]
    return [[_share(path[there] > 0)] for path, there in zip(trace.true_path.T, trace.within_turn.T, strict=True)]


def _share(right: BoolArray) -> float | None:
    return float(right.mean()) if len(right) else None


def recording_blocks(trace: RankTrace | DraftTrace) -> Iterator[Any]:
    """The shares, then what was recorded."""
    ranked = isinstance(trace, RankTrace)
    table = new_table(
        "share of positions at which a guess is right" if ranked else "true paths that come so far",
        ">place after root",
        *([f">guess {rank + 1}" for rank in range(RANKS)] if ranked else [">in the tree"]),
    )
    for place, shares in enumerate(_right(trace), 1):
        table.add_row(str(place), *("-" if share is None else f"{share:.3f}" for share in shares[:RANKS]))
    yield table
    yield f"trace   {trace.positions} positions in {len(trace.turn_lengths)} turns of {trace.model}"
