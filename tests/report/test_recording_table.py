"""Shares of right guesses: only positions whose turn goes on so far count, and where none does there is no share."""

import json
from typing import Any

import numpy as np
import pytest

from lpspec.decoding.draft_trace import DraftTrace
from lpspec.report.documents import json_text
from lpspec.report.recording_table import recording_blocks, recording_document
from lpspec.speculation.rank_trace import RankTrace, beyond_turn

SAID: dict[str, Any] = {"name": "drawn", "model": "none", "description": "", "source": "drawn in a test"}
TURNS = ([1], [2, 1, 2], [4, 4], [3, 9, 1])


def drawn_ranks(turns: list[int], heads: int = 4) -> RankTrace:
    ranks = np.random.default_rng(len(turns)).integers(-1, 3, (sum(turns), heads)).astype(np.int8)
    ranks[beyond_turn(np.array(turns), heads)] = -1
    return RankTrace(ranks, np.array(turns, np.int32), 3, ("",) * len(turns), kind="measured", **SAID)


def drawn_chains(turns: list[int], depth: int = 4) -> DraftTrace:
    """Chains of four drafts, of which the first few are right."""
    positions = sum(turns)
    right = np.random.default_rng(positions).integers(0, depth + 1, positions)
    left = np.concatenate([np.arange(turn - 1, -1, -1) for turn in turns])
    places = np.arange(1, depth + 1)
    path = np.where(places <= np.minimum(right, left)[:, None], places, -1)
    chain = np.tile(np.arange(depth), (positions, 1))
    probability = np.full(chain.shape, 0.5, np.float32)
    parent, rank, true_path = chain.astype(np.int16), np.zeros(chain.shape, np.int8), path.astype(np.int16)
    lengths = np.array(turns, np.int32)
    return DraftTrace(parent, rank, probability, true_path, lengths, labels=("",) * len(turns), drafter="chain", **SAID)


def share(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("draw", [drawn_ranks, drawn_chains])
def test_shares_count_what_lies_within_a_turn(turns: list[int], draw: Any) -> None:
    trace = draw(turns)
    wanted: list[list[float | None]] = []
    for place in range(1, 5):
        known = [  # positions of every turn, all but the last ``place``
            start + position
            for start, turn in zip(trace.turn_starts.tolist(), turns, strict=True)
            for position in range(turn - place)
        ]
        if isinstance(trace, RankTrace):
            wanted.append([share([trace.ranks[i, place - 1] == rank for i in known]) for rank in range(3)])
        else:
            wanted.append([share([trace.true_path[i, place - 1] > 0 for i in known])])
    document = recording_document(trace)
    assert document["right"] == wanted
    assert json.loads(json_text(document))["right"] == wanted
    table = next(iter(recording_blocks(trace)))
    cells = [list(column.cells) for column in table.columns[1:]]
    assert [["-" if value is None else f"{value:.3f}" for value in row] for row in wanted] == [
        list(row[: len(wanted[0])]) for row in zip(*cells, strict=True)
    ]
