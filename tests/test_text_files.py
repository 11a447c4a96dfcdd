"""Every text file is read by one rule: a byte order mark says nothing, and lines end at line feeds only."""

import json
from pathlib import Path

import pytest

from lpspec.dram.check.checker import CheckOptions, check_csv
from lpspec.dram.check.timing import LPDDR5_6400_8Gb
from lpspec.dram.run.command_log import CSV_HEADER
from lpspec.dram.run.request_file import read_requests
from lpspec.errors import InputError
from lpspec.llm.loading import load_model
from lpspec.machine.loading import load_die, load_platform
from lpspec.text_files import BYTE_ORDER_MARK, read_json_object, read_text, split_lines

ODD = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"
"""What str.splitlines takes for line ends, carriage returns aside."""
MODEL = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "vocab_size": 320,
    "max_position_embeddings": 128,
}
REQUEST = {"at": 5, "op": "read", "rank": 0, "bank_group": 0, "bank": 0, "row": 0, "column": 16}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\nb\r\nc\rd\n", ["a", "b", "c\rd"]),
        (f"a{ODD}b\n\nc", [f"a{ODD}b", "", "c"]),
    ],
)
def test_lines_end_at_line_feeds_only(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines


def test_a_byte_order_mark_says_nothing_and_line_ends_stay(tmp_path: Path) -> None:
    file = tmp_path / "text"
    for mark in (b"", BYTE_ORDER_MARK):
        file.write_bytes(mark + "é\r\n\ufeff".encode())
        assert read_text(file) == "é\r\n\ufeff"


def test_json_and_toml_may_begin_with_a_mark(tmp_path: Path) -> None:
    config, platform = tmp_path / "config.json", tmp_path / "mine.toml"
    config.write_bytes(BYTE_ORDER_MARK + json.dumps(MODEL).encode())
    platform.write_bytes(BYTE_ORDER_MARK + b'extends = "lp-spec"\r\nname = "mine"\r\n')
    assert load_model(str(config)).layers == 2
    assert read_json_object(config, "it") == MODEL
    assert load_platform(str(platform)).name == "mine"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", BYTE_ORDER_MARK])
def test_requests_may_begin_with_a_mark(tmp_path: Path, mark: bytes, end: str) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(mark + (json.dumps(REQUEST) + end).encode() * 2)
    pieces = list(read_requests(file, load_die(), 1))
    assert [piece.tolist() for piece in pieces] == [[[5, 0, 0, 0, 16]] * 2]
    file.write_bytes(mark + (json.dumps(REQUEST) + end).encode() + b'{"at": 6}')
    with pytest.raises(InputError, match="line 2: op and rank"):
        list(read_requests(file, load_die(), 1))
    file.write_bytes(mark)
    with pytest.raises(InputError, match="no requests"):
        list(read_requests(file, load_die(), 1))


def test_a_mark_within_requests_is_no_mark(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes((json.dumps(REQUEST) + "\n\ufeff" + json.dumps(REQUEST)).encode())
    with pytest.raises(InputError, match="line 2: not JSON"):
        list(read_requests(file, load_die(), 1))


def test_command_files_may_begin_with_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "commands.csv"
    file.write_bytes(BYTE_ORDER_MARK + CSV_HEADER.replace(b"\n", b"\r\n") + b"7,PREAB,0,,,,\r\n")
    report = check_csv(file, CheckOptions(ranks=1, timing=LPDDR5_6400_8Gb))
    assert (report.commands, report.legal) == (1, True)


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="no such device here")
def test_a_device_is_no_file() -> None:
    """Some have no end, and would be read until memory is full."""
    with pytest.raises(InputError, match="it is a device, not a file"):
        load_platform("/dev/null")
