"""Command files: what is read is what was written, and what is malformed is named by its line."""

from pathlib import Path

import pytest

from lpspec.dram.check import csv_tables as checker_csv
from lpspec.dram.check.checker import CheckOptions, check_commands, check_csv
from lpspec.dram.check.csv_tables import read_csv_tables
from lpspec.dram.check.table import Op, command_table
from lpspec.dram.check.timing import LPDDR5_6400_8Gb, LPDDR5_6400_16Gb, timing_from
from lpspec.errors import InputError

HEADER = "ck,command,rank,bank_group,bank,row,column"
GOOD = ["0,ACT1,0,0,1,5,", "1,ACT2,0,0,1,5,-1", "15,CAS,0,,,,", "16,RD,0,0,1,,16", "90,PIM_REFAB,2,,,,"]
OPTIONS = CheckOptions(ranks=2, pim_ranks=(1,))


def write(folder: Path, *lines: str, header: str = HEADER, end: str = "\n") -> Path:
    path = folder / "commands.csv"
    path.write_bytes(end.join([header, *lines, ""]).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_read_is_what_was_written(tmp_path: Path, end: str) -> None:
    (table,) = read_csv_tables(write(tmp_path, *GOOD, end=end))
    assert [Op(int(code)).name for code in table.command] == ["ACT1", "ACT2", "CAS", "RD", "PIM_REFAB"]
    assert table.ck.tolist() == [0, 1, 15, 16, 90]
    assert table.rank.tolist() == [0, 0, 0, 0, 2]
    assert table.bank.tolist() == [1, 1, -1, 1, -1]
    assert table.row.tolist() == [5, 5, -1, -1, -1]
    assert table.column.tolist() == [-1, -1, -1, 16, -1]


def test_every_command_has_a_name_that_is_read(tmp_path: Path) -> None:
    (table,) = read_csv_tables(write(tmp_path, *(f"{k},{op.name},0,,,," for k, op in enumerate(Op))))
    assert table.command.tolist() == list(Op)


def test_a_missing_last_newline_is_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert check_csv(path, OPTIONS).commands == len(GOOD)


def test_a_file_of_no_commands_is_legal(tmp_path: Path) -> None:
    assert check_csv(write(tmp_path), OPTIONS).legal


def test_pieces_of_a_file_are_one_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, *GOOD, "90,CAS,0,,,,")
    whole = check_csv(path, OPTIONS)
    monkeypatch.setattr(checker_csv, "BYTES_AT_ONCE", 20)
    told: list[int] = []
    assert check_csv(path, OPTIONS, progress=told.append) == whole
    assert whole.counts == {"CA": 1, "mode": 1}
    assert len(told) > 2
    assert told[-1] == len(GOOD) + 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("100,NOP,0,,,,", "unknown command 'NOP'"),
        ("100,rd,0,0,0,,0", "unknown command 'rd': did you mean 'RD'? known are ACT1"),
        ("100,,0,,,,", "unknown command ''"),
        ("100,PIM_ENTERPRISE,0,,,,", "unknown command 'PIM_ENTERPRISE'"),
        ("100,CAS,0,,,", "6 fields where 7 are due"),
        ("100,CAS,0,,,,,", "8 fields where 7 are due"),
        ("", "1 fields where 7 are due"),
        ("1e2,CAS,0,,,,", "ck must be a whole number or empty, is '1e2'"),
        ("100,CAS, 0,,,,", "rank must be a whole number or empty, is ' 0'"),
        ("100,CAS,-,,,,", "rank must be a whole number or empty, is '-'"),
        ("100,CAS,--1,,,,", "rank must be a whole number or empty, is '--1'"),
        ("1_0,CAS,0,,,,", "ck must be a whole number or empty, is '1_0'"),
        ("٣,CAS,0,,,,", "ck must be a whole number or empty"),
        ("1000000000000000000000,CAS,0,,,,", "ck must be a whole number or empty"),
        (",CAS,0,,,,", "ck must be at least 0, is missing"),
        ("-5,CAS,0,,,,", "ck must be at least 0, is -5"),
        ("100,CAS,2,,,,", "rank must be 0..1 for CAS, is 2"),
        ("100,CAS,,,,,", "rank must be 0..1 for CAS, is missing"),
        ("100,PIM_ENTER,4,,,,", "rank must be 0..3 for PIM_ENTER, is 4"),
        ("100,PIM_ENTER,0,,,,", "rank must be a mask of at least one rank, is 0"),
        ("100,RD,0,4,0,,0", "bank_group must be 0..3 for RD, is 4"),
        ("100,RD,0,0,,,0", "bank must be 0..3 for RD, is missing"),
        ("100,REFPB,0,2,0,,", "bank_group must be 0..1 for REFPB, is 2"),
        ("100,PIM_MAC,2,,2,,0", "bank must be 0..1 for PIM_MAC, is 2"),
        ("100,PIM_OUT,1,2,0,,0", "bank_group must be 0..1 for PIM_OUT, is 2"),
        ("100,ACT1,0,0,0,,", "row must be 0..65535 for ACT1, is missing"),
        ("100,ACT1,0,0,0,65536,", "row must be 0..65535 for ACT1, is 65536"),
        ("100,RD,0,0,0,,", "column must be 0..1008 for RD, is missing"),
        ("100,RD,0,0,0,,1024", "column must be 0..1008 for RD, is 1024"),
        ("100,RD,0,0,0,,8", "column must be a multiple of 16 (a burst), is 8"),
        ("100,PIM_IN,2,,,,16", "column must be 0..15 for PIM_IN, is 16"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, *GOOD, line, "200,CAS,0,,,,")
    with pytest.raises(InputError) as error:
        check_csv(path, OPTIONS)
    assert str(error.value).startswith(f"commands.csv: line 7: {message}")


def test_the_line_is_right_in_a_later_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker_csv, "BYTES_AT_ONCE", 20)
    with pytest.raises(InputError, match=r"commands\.csv: line 7: unknown command 'NOP'"):
        check_csv(write(tmp_path, *GOOD, "100,NOP,0,,,,"), OPTIONS)
    with pytest.raises(InputError, match=r"commands\.csv: line 7: rank must be 0\.\.1"):
        check_csv(write(tmp_path, *GOOD, "100,CAS,5,,,,"), OPTIONS)


@pytest.mark.parametrize("header", ["", "ck,command", HEADER + ",more", "0,CAS,0,,,,"])
def test_another_header_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InputError, match=r"commands\.csv: line 1: the header must be ck,command"):
        check_csv(write(tmp_path, header=header))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.csv: can't be read"):
        check_csv(tmp_path / "missing.csv")


def test_arrays_may_bring_their_own_codes() -> None:
    own = ["RD", "ACT1", "MISSING", "ACT2"]
    table = command_table([0, 1, 16], [1, 3, 0], [0] * 3, [0] * 3, [0] * 3, [5] * 3, [-1, -1, 0], names=own)
    assert table.command.tolist() == [Op.ACT1, Op.ACT2, Op.RD]
    assert check_commands(table, CheckOptions(wck="always-on")).legal
    with pytest.raises(InputError, match="codes must lie in"):
        command_table([0], [4], [0], [0], [0], [0], [0], names=own)
    with pytest.raises(InputError, match="command 0: command must be a code"):
        check_commands(command_table([0], [2], [0], [0], [0], [0], [0], names=own))


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(InputError, match="of one length"):
        command_table([0, 1], ["CAS"], [0], [0], [0], [0], [0])
    with pytest.raises(InputError, match="unknown command 'NOP'"):
        command_table([0], ["NOP"], [0], [0], [0], [0], [0])


def test_a_speed_grade_is_read_by_name() -> None:
    assert timing_from({"nRFCab": 168, "nRFCpb": 96}) == LPDDR5_6400_8Gb
    assert timing_from(LPDDR5_6400_16Gb._asdict()) == LPDDR5_6400_16Gb
    assert timing_from({"nRRD_S": 5, "nRRD_L": 5}).nRRD == 5


@pytest.mark.parametrize(
    ("names_ck", "message"),
    [
        ({"nRDC": 15}, "unknown timing 'nRDC'"),
        ({"nRCD": -1}, "nRCD must be a whole number of CK"),
        ({"nRRD_S": 4, "nRRD_L": 5}, "another spelling"),
    ],
)
def test_a_wrong_speed_grade_is_refused(names_ck: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        timing_from(names_ck)
