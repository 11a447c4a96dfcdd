"""Request files: what is read is what is written, and every malformed line is named."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.dram.run import request_file as requests
from lpspec.dram.run.request_file import KEYS, read_requests
from lpspec.errors import InputError

GOOD = {"at": 7, "op": "read", "rank": 0, "bank_group": 1, "bank": 2, "row": 3, "column": 16}


def line(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def read(folder: Path, text: str | bytes, ranks: int = 1) -> list[list[int]]:
    path = folder / "requests.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = np.concatenate(list(read_requests(path, DIE, ranks)))
    assert table.dtype == np.int64
    rows: list[list[int]] = table.tolist()
    return rows


def test_a_request_by_hand(tmp_path: Path) -> None:
    """Rank 1, bank group 1, bank 2 is bank 16 + 4 + 2 of the channel."""
    assert read(tmp_path, line(op="write", rank=1) + "\n", ranks=2) == [[7, 1, 22, 3, 16]]


BLANKS = st.text(" \t", max_size=2)
REQUEST = st.fixed_dictionaries(
    {
        "at": st.integers(0, 9),
        "op": st.sampled_from(["read", "write"]),
        "rank": st.integers(0, 3),
        "bank_group": st.integers(0, 3),
        "bank": st.integers(0, 3),
        "row": st.integers(0, 32767),
        "column": st.integers(0, 63).map(lambda column: 16 * column),
    }
)


@st.composite
def spelt(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A request with its keys in any order and blanks anywhere, some letters escaped."""
    request = draw(REQUEST)
    keys = draw(st.permutations(KEYS))
    letter = draw(st.sampled_from(["a", "\\u0061"]))
    blank = [draw(BLANKS) for _ in range(4)]
    fields = [f'"{key.replace("a", letter)}"{blank[0]}:{blank[1]}{json.dumps(request[key])}{blank[2]}' for key in keys]
    ending = draw(st.sampled_from(["\n", "\r\n", " \n", "\n\n"]))
    return request, blank[3] + "{" + ",".join(fields) + "}" + ending


@settings(max_examples=60)
@given(st.lists(spelt(), min_size=1, max_size=12), st.integers(1, 400))
def test_any_spelling_of_json_is_read(tmp_path_factory: pytest.TempPathFactory, made: Any, piece: int) -> None:
    """Wherever pieces of the file end."""
    made = sorted(made, key=lambda pair: pair[0]["at"])
    whole = requests._BYTES_AT_ONCE
    requests._BYTES_AT_ONCE = piece
    try:
        found = read(tmp_path_factory.mktemp("read"), "".join(text for _, text in made), ranks=4)
    finally:
        requests._BYTES_AT_ONCE = whole
    assert found == [
        [r["at"], int(r["op"] == "write"), r["rank"] * 16 + r["bank_group"] * 4 + r["bank"], r["row"], r["column"]]
        for r, _ in made
    ]


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    assert len(read(tmp_path, line() + "\n" + line())) == 2


WITHOUT_ROW = json.dumps({key: value for key, value in GOOD.items() if key != "row"})
MALFORMED = [
    ("{", "not JSON"),
    (line()[:-1], "not JSON"),
    (line() + "x", "not JSON: Extra data at character 87"),
    (line() + line(), "not JSON"),
    (line().replace("7", "07"), "not JSON"),
    (line().replace("7", "NaN"), "at must be a whole number, is NaN"),
    (line().replace("7", "9" * 5000), "not JSON that a request could be"),
    ("[" * 100_000, "65536 bytes"),
    ("[" * 60_000, "not JSON"),
    (b"\xff" + line().encode(), "not UTF-8 at byte 1"),
    (b"\xef\xbb\xbf" + line().encode(), "not JSON"),
    (b"\0" + line().encode(), "not JSON"),
    ("[1, 2]", "no object"),
    ("7", "no object"),
    (line(bnk=1), "unknown key 'bnk': did you mean 'bank'?"),
    (line().replace('"row"', '"Row"'), "unknown key 'Row': did you mean 'row'?"),
    (WITHOUT_ROW, "row missing: a request has at, op, rank, bank_group, bank, row, column"),
    ("{}", "at and op and rank"),
    (line()[:-1] + ', "at": 8}', "at is given twice"),
    (line().replace('"row": 3', '"bank": 3'), "bank is given twice"),
    (line(at="7"), 'at must be a whole number, is "7"'),
    (line(at=7.0), "at must be a whole number, is 7.0"),
    (line(at=None), "at must be a whole number, is null"),
    (line(at=True), "at must be a whole number, is true"),
    (line(row=[1]), "row must be a whole number, is a list"),
    (line(row={"n": 1}), "row must be a whole number, is an object"),
    (line(op="raed"), "unknown op 'raed': did you mean 'read'?"),
    (line(op="READ"), "did you mean 'read'?"),
    (line(op=1), "op must be read or write, is 1"),
    (line(rank=1), "rank is 1: allowed is 0 to 0"),
    (line(bank_group=4), "bank_group is 4: allowed is 0 to 3"),
    (line(bank=-1), "bank is -1: allowed is 0 to 3"),
    (line(row=32768), "row is 32768: allowed is 0 to 32767"),
    (line(column=1024), "column is 1024: allowed is 0 to 1008 in steps of 16"),
    (line(column=8), "column is 8: allowed is 0 to 1008 in steps of 16"),
    (line(at=-1), "at is -1"),
    (line(at=1 << 51), "at is 2251799813685248: allowed is 0 to"),
    (line(at=10**18), "more than 18 digits"),
    (line(at=6), "at is 6, before the 7 of the request above it"),
]


@pytest.mark.parametrize("piece", [1, 1 << 20])
@pytest.mark.parametrize(("bad", "hint"), MALFORMED, ids=[str(bad)[:40] for bad, _ in MALFORMED])
def test_a_malformed_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str | bytes, hint: str, piece: int
) -> None:
    monkeypatch.setattr(requests, "_BYTES_AT_ONCE", piece)
    bad = bad if isinstance(bad, bytes) else bad.encode()
    worse = line(row=-5).encode()
    with pytest.raises(InputError) as error:
        read(tmp_path, b"\n".join([line().encode(), b"", line().encode(), bad, worse]))
    assert "/requests.jsonl: line 4: " in str(error.value)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)


def test_the_first_of_several_wrong_lines_is_named(tmp_path: Path) -> None:
    """Also where it is wrong by its range and the later one by its form."""
    with pytest.raises(InputError, match="line 2: row is -5"):
        read(tmp_path, "\n".join([line(), line(row=-5), "{"]))


@pytest.mark.parametrize("text", ["", "\n", " \n\n"])
def test_a_file_without_requests_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"requests\.jsonl: no requests: .*bank_group"):
        read(tmp_path, text)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(read_requests(tmp_path / "gone", DIE, 1))
    with pytest.raises(InputError, match="Is a directory"):
        list(read_requests(tmp_path, DIE, 1))


def test_a_long_file_is_read_fast_and_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text("".join(line(at=i, row=i % 1000) + "\n" for i in range(100_000)), encoding="utf-8")
    list(read_requests(path, DIE, 1))  # compiled by now
    start = time.perf_counter()
    pieces = list(read_requests(path, DIE, 1))
    assert time.perf_counter() - start < 2  # 0.1 s on an idle core
    assert np.concatenate(pieces)[:, 0].tolist() == list(range(100_000))
    assert max(map(len, pieces)) < 20_000
