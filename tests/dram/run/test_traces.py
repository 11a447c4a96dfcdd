"""Traces of other simulators: each form is read as its tool reads it, and what is no access is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.dram.run import request_file
from lpspec.dram.run.request_source import Reading, Source, requests_from
from lpspec.dram.run.trace_lines import DECIMAL_OR_0X, FIELDS, FORMS, HEX, WITH_0X, access_of, scan
from lpspec.errors import InputError

READING: dict[str, Any] = {"address_mapping": "ro-ra-ba-bg-co-ch"}


def source(folder: Path, text: str | bytes, ranks: int = 1, **said: Any) -> Source:
    path = folder / "some.trace"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return requests_from(path, DIE, ranks, Reading(**said))


def read(folder: Path, text: str | bytes, ranks: int = 1, **said: Any) -> list[list[int]]:
    table = np.concatenate(list(source(folder, text, ranks, **said).pieces))
    assert table.dtype == np.int64
    rows: list[list[int]] = table.tolist()
    return rows


LINES = "# of a tool\r\n\r\n{}\r\n  ; another\n{} // the second\n\t\n{}#\n{}"
SAME = {
    "load-store": ["LD 0x20", "ST 2080", "LD 0X00000000000000000821", "ST 0x4000"],
    "address-op": ["0x20 R", "2080 W", "0x821 R", "0x4000 W"],
    "dramsim3": ["0x20 READ 0", "0x820 WRITE 0", "0x821 P_MEM_RD 0", "0x4000 P_MEM_WR 0"],
    "address-vector": ["R 0,0,0,0,0,16", "W 0,0,1,0,0,16", "R 0,0,1,0,0,17", "W 0,0,0,2,0,0"],
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("form", SAME)
def test_every_form_says_the_same(tmp_path: Path, form: str, named: bool) -> None:
    """By hand: 0x20 is burst 1; 0x820 burst 65, so bank group 1, burst 1; 0x4000 burst 512 = 8 x 64, so bank 2."""
    said: dict[str, Any] = {"format": form} if named else {}
    mapping: dict[str, Any] = {} if form == "address-vector" else READING
    found = read(tmp_path, LINES.format(*SAME[form]), **said, **mapping)
    assert found == [[0, 0, 0, 0, 16], [0, 1, 4, 0, 16], [0, 0, 4, 0, 16], [0, 1, 2, 0, 0]]


def test_times_are_those_of_the_trace_or_of_the_interval(tmp_path: Path) -> None:
    assert [row[0] for row in read(tmp_path, "0x20 READ 7\n0x20 READ 7\n0x40 READ 90")] == [7, 7, 90]
    assert [row[0] for row in read(tmp_path, "LD 1\nLD 2\nLD 3", interval_ck=5)] == [0, 5, 10]


def test_an_access_of_several_bursts_begins_at_its_own_start(tmp_path: Path) -> None:
    opened = source(tmp_path, "LD 0x60\nST 0x80", access_bytes=64, **READING)
    rows = np.concatenate(list(opened.pieces)).tolist()
    assert rows == [[0, 0, 0, 0, 32], [0, 0, 0, 0, 48], [0, 1, 0, 0, 64], [0, 1, 0, 0, 80]]
    assert opened.trace is not None
    assert (opened.trace.found.lines, opened.trace.found.inside) == (2, 1)


def test_what_goes_to_other_channels_is_left_out_and_counted(tmp_path: Path) -> None:
    opened = source(tmp_path, "LD 0x0\nLD 0x20\nLD 0x60\nST 0xe0", channels=4, channel=3, **READING)
    assert np.concatenate(list(opened.pieces)).tolist() == [[0, 0, 0, 0, 0], [0, 1, 0, 0, 16]]
    assert opened.trace is not None
    assert (opened.trace.found.lines, opened.trace.found.elsewhere) == (4, 2)


def test_bare_numbers_of_a_dramsim3_trace_are_hexadecimal_where_it_is_named(tmp_path: Path) -> None:
    """As the tool reads them; otherwise nobody knows."""
    assert read(tmp_path, "820 READ 3\n0x820 READ 3", format="dramsim3", **READING) == [[3, 0, 4, 0, 16]] * 2
    with pytest.raises(InputError, match="line 1: address 820 has no 0x: add it, or say --format dramsim3"):
        read(tmp_path, "820 READ 3")


def test_requests_as_json_stay_what_they_are(tmp_path: Path) -> None:
    line = '{"at": 7, "op": "write", "rank": 0, "bank_group": 1, "bank": 2, "row": 3, "column": 16}'
    for form in (None, "json"):
        opened = source(tmp_path, f"\ufeff\n{line}\n", format=form)
        assert np.concatenate(list(opened.pieces)).tolist() == [[7, 1, 6, 3, 16]]
        assert opened.trace is None


MALFORMED = [
    ("LD 0x40000000", "address 0x40000000 is beyond the memory: allowed is 0 to 0x3fffffff with --channels 1"),
    ("LD", "'LD' is no access of load-store such as LD 0x1240"),
    ("LD 0x20 7", "'LD 0x20 7' is no access of load-store"),
    ("LOAD 0x20", "'LOAD 0x20' is no access"),
    ("0x20 R", "'0x20 R' has the form address-op, not that of load-store"),
    ("0x20 READ 7", "has the form dramsim3"),
    ("R 0,0,0,0,0,0", "has the form address-vector"),
    ("LD 0x", "'0x' is no number"),
    ("LD 0xg", "'0xg' is no number"),
    ("LD 12a", "'12a' is no number"),
    ("LD 010", "'010' is no number"),
    ("LD -5", "'-5' is no number"),
    ("LD 5.0", "'5.0' is no number"),
    ("LD 1,2", "'1,2' is no number"),
    ("LD 0x1000000000000000", "is no number: allowed are 0x and 15 digits"),
    ("LD 1000000000000000000", "is no number"),
    ("LD /x", "'/x' is no number"),
    ("\xff 3", "no access"),
    ('{"at": 0}', "no access of load-store"),
    ("LD " + "7" * 90_000, "no number"),
]


@pytest.mark.parametrize("piece", [1, 1 << 20])
@pytest.mark.parametrize(("bad", "hint"), MALFORMED, ids=[bad[:30] for bad, _ in MALFORMED])
def test_a_malformed_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, hint: str, piece: int
) -> None:
    monkeypatch.setattr(request_file, "_BYTES_AT_ONCE", piece)
    with pytest.raises(InputError) as error:
        read(tmp_path, f"LD 0x20\n# LD x\n\nST 4\n{bad}\nLD 0xffffffff\n".encode("latin-1"))
    assert "some.trace: line 5: " in str(error.value)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 200


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("0x20 READ 9\n0x20 READ 8", "line 2: cycle is 8: allowed is 9, that of the access above it, to"),
        ("0x20 READ 2251799813685248", "line 1: cycle is 2251799813685248: allowed is 0"),
        ("0x20 READ x", "line 1: 'x' is no number"),
        ("R 0,0,4,0,0,0", "line 1: bank group is 4: allowed is 0 to 3"),
        ("R 1,0,0,0,0,0", "line 1: channel is 1: allowed is 0 to 0"),
        ("R 0,0,0,0,0,1024", "line 1: column is 1024: allowed is 0 to 1023"),
        ("R 0,0,0,0,0", "line 1: '0,0,0,0,0' is no number"),
        ("8 20734016", "line 1: '8 20734016' is of an instruction trace"),
        ("8 20734016 20846400", "instruction trace, which needs a processor"),
        ("\n\nat,op\n", "line 3: 'at,op' is of no form: allowed are JSON objects and 'LD 0x1240'"),
        ("", "no requests"),
        ("# only this\n", "no requests"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert hint in str(error.value)


def test_a_named_form_without_accesses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"some\.trace: no accesses: a line holds one, such as LD 0x1240"):
        read(tmp_path, "# nothing\n", format="load-store")


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('{"at": 0}', {"channels": 2}, "--channels says nothing of a file of the form json: it is for load-store"),
        ("0x20 READ 0", {"interval_ck": 2}, "--interval-ck says nothing of a file of the form dramsim3"),
        ("R 0,0,0,0,0,0", {"address_mapping": "ro"}, "--address-mapping says nothing of a file of the form address-v"),
        ("R 0,0,0,0,0,0", {"access_bytes": 64}, "--access-bytes says nothing"),
        ("LD 1", {"access_bytes": 48}, "--access-bytes is 48: allowed are 32 (a burst), 64, 128"),
        ("LD 1", {"access_bytes": 8192}, "--access-bytes is 8192: allowed is 1 to 4096"),
        ("LD 1", {"channels": 0}, "--channels is 0: allowed is 1 to 64"),
        ("LD 1", {"channels": 2, "channel": 2}, "--channel is 2: allowed is 0 to 1"),
        ("LD 1", {"channel": 1}, "--channel is 1: allowed is 0 to 0"),
        ("LD 1", {"interval_ck": -1}, "--interval-ck is -1"),
    ],
)
def test_what_has_no_effect_or_cannot_be_is_refused(tmp_path: Path, text: str, said: dict[str, Any], hint: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text, **said)
    assert hint in str(error.value)


PARTS = [
    "LD",
    "ST",
    "R",
    "W",
    "READ",
    "BOFF",
    "0x2f",
    "0X0",
    "0x",
    "00",
    "0",
    "17",
    "ff",
    "1,2,3,4,5,6",
    "1,2",
    "#",
    "//",
]
TOKENS = st.sampled_from([*PARTS, ";", " ", "\t", "\r", "/", "x"])


@settings(max_examples=300)
@given(
    st.lists(st.lists(TOKENS, max_size=6).map(" ".join), min_size=1, max_size=4),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from([WITH_0X, DECIMAL_OR_0X, HEX]),
)
def test_the_compiled_parser_takes_what_python_takes(lines: list[str], form: str, written: int) -> None:
    """And nothing else: where it stops, Python has something to say or reads what few would write."""
    text = "".join(line + "\n" for line in lines).encode()
    table = np.zeros((len(lines) + 1, FIELDS), np.int64)
    at, rows = scan(np.frombuffer(text, np.uint8), 0, 0, form, written, table)
    taken = text[:at].count(b"\n")
    said = [access_of(line.encode(), form, written) for line in lines[:taken]]
    known = [values for values in said if values is not None]
    assert [row[: len(values)] for row, values in zip(table[:rows].tolist(), known, strict=True)] == known
    if taken < len(lines):
        with pytest.raises(InputError):
            access_of(lines[taken].encode(), form, written)
