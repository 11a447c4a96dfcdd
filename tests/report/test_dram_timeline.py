"""Timelines of commands: what stands where, and how long."""

import gzip
import io
import json
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from lpspec.dram.run.command_log import COMMAND_TABLE
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import Request, run_requests
from lpspec.errors import InputError
from lpspec.machine.loading import load_die
from lpspec.report import dram_timeline
from lpspec.report.dram_timeline import Timeline

DIE = load_die("lpddr5-6400-8gb")


def drawn(requests: list[Request], **policies: Any) -> dict[tuple[str, str], list[tuple[int, int, str]]]:
    """Slices by names of process and thread: begin and length in ps, name."""
    controller = Controller(**policies)
    table = run_requests(requests, DIE, controller, keep_commands=True).commands
    assert table is not None
    out = io.BytesIO()
    timeline = Timeline(out, DIE, controller.ranks, "a test")
    for piece in np.array_split(table, 3):
        timeline.take(piece)
    timeline.close()
    events = json.loads(gzip.decompress(out.getvalue()))["traceEvents"]
    names = {
        (e["pid"], e["tid"] if e["name"] == "thread_name" else 0): e["args"]["name"] for e in events if e["ph"] == "M"
    }
    tracks = defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            place = names[e["pid"], 0].partition(":")[0], names[e["pid"], e["tid"]]
            tracks[place].append((round(e["ts"] * 1000), round(e["dur"] * 1000), e["name"]))
    return {place: sorted(slices) for place, slices in tracks.items()}


def test_a_row_conflict_by_hand() -> None:
    """ACT-2 at CK 1, RD 16, PRE 35, ACT-2 51, RD 66 of 1.25 ns; data come nCL 17 later and take 2 CK.

    The other row is wanted from 20 on, so PRE closes the first one.
    """
    read = Request(0, False, 0, 2, 1, 5, 0)
    tracks = drawn([read, read._replace(at=20, row=6)], refresh="none")
    assert [name for _, _, name in tracks["channel", "CA"]] == [
        *("ACT1", "ACT2", "CAS", "RD", "PRE", "ACT1", "ACT2", "CAS", "RD")
    ]
    assert tracks["channel", "CA"][3] == (20_000, 1250, "RD")
    assert tracks["channel", "DQ"] == [(33 * 1250, 2500, "RD"), (83 * 1250, 2500, "RD")]
    assert tracks["rank 0", "bank 2.1"] == [
        (1250, 34 * 1250, "row 5"),
        (16 * 1250, 2500, "RD"),
        (51 * 1250, 15 * 1250, "row 6"),  # still open: until the last command
        (66 * 1250, 2500, "RD"),
    ]


def test_writes_and_a_refresh() -> None:
    tracks = drawn([Request(0, True, 0, 0, 0, 5, 0), Request(3200, True, 0, 0, 0, 5, 0)])
    assert tracks["rank 0", "whole rank"] == [(3142 * 1250, 168 * 1250, "REFAB")]
    assert tracks["rank 0", "bank 0.0"][0] == (1250, 3124 * 1250, "row 5")  # until PREAB at 3125
    assert tracks["channel", "DQ"][0] == ((16 + 9) * 1250, 2500, "WR")


def test_per_bank_refresh_shows_on_both_banks() -> None:
    tracks = drawn([Request(800, False, 0, 3, 3, 5, 0)], refresh="per-bank")
    assert tracks["rank 0", "bank 0.0"][0] == tracks["rank 0", "bank 2.0"][0] == (390 * 1250, 96 * 1250, "REFPB")


def test_rows_that_close_themselves_end_by_nras() -> None:
    tracks = drawn([Request(0, False, 0, 0, 0, 5, 0)], refresh="none", page="closed")
    assert tracks["rank 0", "bank 0.0"][0] == (1250, 34 * 1250, "row 5")


def test_more_than_a_viewer_can_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dram_timeline, "MOST_COMMANDS", 9)
    timeline = Timeline(io.BytesIO(), DIE, 1, "a test")
    some = np.zeros(5, COMMAND_TABLE)
    timeline.take(some)
    with pytest.raises(InputError, match="more than 9 commands: a timeline holds no more"):
        timeline.take(some)
