"""Commands as other tools list them: each form as its tool defines it, and the same commands in each."""

import io
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, commands_of, read, serve, streaming, write
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram.run.command_forms import COMMAND_FORMS
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import ChannelRun, run_requests

ROW_5 = [read(0, bank_group=1, bank=2, row=5), write(60, bank_group=1, bank=2, row=5, column=16)]


def listed(form: str, table: NDArray[Any], cuts: tuple[int, ...] = (), end_ck: int = 0) -> list[str]:
    out = io.BytesIO()
    writer = COMMAND_FORMS[form](out, DIE)
    for piece in np.split(table, cuts):
        writer.take(piece)
    writer.close(end_ck)
    return out.getvalue().decode().splitlines()


def test_the_command_trace_of_ramulator_2() -> None:
    """Levels and commands as its LPDDR5 has them; a CAS says what it is for."""
    run = serve(*ROW_5)
    lines = listed("ramulator2", commands_of(run))
    assert lines[0] == "clock,command,Channel,Rank,BankGroup,Bank,Row,Column,type,source"
    assert [line.split(",", 1)[1] for line in lines[1:]] == [
        "ACT1,0,0,1,2,5,-1,-1,-1",
        "ACT2,0,0,1,2,5,-1,-1,-1",
        "CAS_RD,0,0,1,2,5,0,0,-1",
        "RD,0,0,1,2,5,0,0,-1",
        "CAS_WR,0,0,1,2,5,16,1,-1",
        "WR,0,0,1,2,5,16,1,-1",
    ]
    assert [int(line.split(",")[0]) for line in lines[1:]] == commands_of(run)["ck"].tolist()


def test_the_command_trace_of_dramsim3() -> None:
    """Eight words a line, as its scripts/validation.py asserts; rows, and columns in bursts, hexadecimal."""
    lines = listed("dramsim3", commands_of(serve(*ROW_5)))
    words = [line.split() for line in lines]
    assert [row[1:] for row in words] == [
        ["activate", "0", "0", "1", "2", "0x5", "0x0"],
        ["read", "0", "0", "1", "2", "0x5", "0x0"],
        ["write", "0", "0", "1", "2", "0x5", "0x1"],
    ]


def test_the_command_list_of_drampower() -> None:
    """Bank 2 of group 1 is bank 6 of the rank; accesses have data, columns are bursts; the list has an end."""
    run = serve(*ROW_5)
    lines = listed("drampower", commands_of(run), end_ck=run.end_ck)
    zeros = "0" * 64
    act, rd, wr = (run.commands[run.commands["command"] == name]["ck"][0] for name in ("ACT2", "RD", "WR"))  # type: ignore[index]
    assert lines == [
        f"{act},ACT,0,1,6,5,0",
        f"{rd},RD,0,1,6,5,0,{zeros}",
        f"{wr},WR,0,1,6,5,1,{zeros}",
        f"{run.end_ck},END,0,0,0,0,0",
    ]


@pytest.mark.parametrize(
    ("refresh", "names"),
    [("all-bank", ("REFab", "refresh", "REFA")), ("per-bank", ("REFpb", "refresh_bank", "REFP2B"))],
)
def test_every_command_has_a_name_everywhere(refresh: str, names: tuple[str, str, str]) -> None:
    run = busy(refresh)
    counts = run.command_counts
    tables = [listed(form, commands_of(run)) for form in ("ramulator2", "dramsim3", "drampower")]
    ours = "REFAB" if refresh == "all-bank" else "REFPB"
    for table, name, comma in zip(tables, names, [",", None, ","], strict=True):
        assert sum(line.split(comma)[1] == name for line in table) == counts[ours] > 0
    assert len(tables[0]) == len(commands_of(run)) + 1
    closed = sum(line.split()[1] == "precharge" for line in tables[1])
    assert closed == counts.get("PRE", 0) + 16 * counts.get("PREAB", 0)


def busy(refresh: str) -> ChannelRun:
    requests = streaming(3000, write_share=0.3)
    requests[:, 3] += np.arange(3000) % 7
    return run_requests(requests, DIE, Controller(refresh=refresh), keep_commands=True)  # type: ignore[arg-type]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 4000), max_size=6), st.sampled_from(sorted(COMMAND_FORMS)))
def test_pieces_give_the_list_of_the_whole(cuts: list[int], form: str) -> None:
    table = commands_of(busy("per-bank"))
    assert listed(form, table, tuple(sorted(cuts))) == listed(form, table)
