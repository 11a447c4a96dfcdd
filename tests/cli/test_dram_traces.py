"""``lpspec dram run`` with traces of other simulators: read, served, said, written as other tools list commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused

Lpspec = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_trace_of_dramsim3_is_served_and_said(lpspec: Lpspec, folder: Path) -> None:
    """Two lines of a cache each: 64 B are two bursts; 0x1040 is in the next channel."""
    Path("a.trace").write_bytes(b"# two lines\r\n0x1000 READ 30\r\n0x1020 WRITE 200\r\n0x1040 READ 300\r\n")
    mapping = ["--address-mapping", "ro-ra-ba-co-bg-ch-co1", "--channels", "2"]
    said = lpspec("dram", "run", "a.trace", *mapping, "--access-bytes", "64", "--json", "-")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["trace"] == {
        "format": "dramsim3",
        "accesses": 3,
        "address_mapping": "ro-ra-ba-co-bg-ch-co1",
        "channels": 2,
        "channel": 0,
        "access_bytes": 64,
        "interval_ck": None,
        "left_out_other_channels": 1,
        "taken_from_their_start": 1,
    }
    assert (found["requests"], found["first_ck"]) == (4, 30)
    assert (found["command_counts"]["RD"], found["command_counts"]["WR"]) == (2, 2)
    shown = lpspec("dram", "run", "a.trace", *mapping, "--access-bytes", "64").out
    last = shown.splitlines()[-1]
    assert last.startswith("trace    dramsim3, ro-ra-ba-co-bg-ch-co1; 3 accesses of 64 B; its cycles are taken as CK; ")
    assert "channel 0 of 2, 1 accesses to others left out; 1 that begin inside an access" in last


def test_a_trace_without_times_has_no_latencies(lpspec: Lpspec, folder: Path) -> None:
    Path("a.trace").write_text("LD 0x0\nST 0x40\nR 64\n", "utf-8")
    found = json.loads(lpspec("dram", "run", "a.trace", "--json", "-").out)
    assert (found["requests"], found["latency_ck"]["mean"]) == (3, None)
    assert "when requests came is not known" in lpspec("dram", "run", "a.trace").out
    spaced = json.loads(lpspec("dram", "run", "a.trace", "--interval-ck", "500", "--json", "-").out)
    assert spaced["latency_ck"]["mean"] > 0
    assert spaced["total_ck"] > 1000


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("lpspec", "ck,command,rank"),
        ("ramulator2", "clock,command,Channel"),
        ("dramsim3", "1                  activate               0   0   0   0      0x0      0x0"),
        ("drampower", "1,ACT,0,0,0,0,0"),
    ],
)
def test_commands_are_written_as_other_tools_list_them(lpspec: Lpspec, folder: Path, form: str, first: str) -> None:
    Path("a.trace").write_text("LD 0x0\n", "utf-8")
    said = lpspec("dram", "run", "a.trace", "--commands", "out.txt", "--commands-format", form)
    assert said.out.splitlines()[-1] == "wrote out.txt"
    assert Path("out.txt").read_text("utf-8").startswith(first)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("a.trace --format ramulator", "did you mean"),
        ("a.trace --format dramsim3", "a.trace: line 1: 'LD 0x0' has the form load-store, not that of dramsim3"),
        ("a.trace --address-mapping ro-co", "--address-mapping ro-co: bg and ba missing"),
        ("a.trace --channels 65", "--channels is 65: allowed is 1 to 64"),
        ("a.trace --channel 1", "--channel is 1: allowed is 0 to 0"),
        ("a.trace --access-bytes 33", "--access-bytes is 33"),
        ("a.trace --interval-ck=-1", "--interval-ck is -1"),
        ("a.trace --commands-format dramsim3", "--commands-format says nothing without --commands"),
        ("a.trace --commands out.txt --commands-format csv", "csv"),
        ("far.trace", "far.trace: line 2: address 0x40000000 is beyond the memory: allowed is 0 to 0x3fffffff"),
        ("o3.trace", "o3.trace: line 1: '3 20734016' is of an instruction trace"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(lpspec: Lpspec, folder: Path, argv: str, hint: str) -> None:
    Path("a.trace").write_text("LD 0x0\n", "utf-8")
    Path("far.trace").write_text("LD 0x0\nLD 0x40000000\n", "utf-8")
    Path("o3.trace").write_text("3 20734016\n", "utf-8")
    said = lpspec("dram", "run", *argv.split(), "--json", "out.json")
    assert_refused(said, hint)
    assert sorted(path.name for path in folder.iterdir()) == ["a.trace", "far.trace", "o3.trace"]
