"""Command files: read piece by piece by a compiled parser, slowly only to say which line is wrong and why."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.check.table import ABSENT, HEADER, CommandTable, Op, code_of
from lpspec.errors import InputError
from lpspec.text_files import BYTE_ORDER_MARK

BYTES_AT_ONCE = 1 << 22
NUMBER = re.compile(r"-?[0-9]{1,18}")
COMMA, NEWLINE, RETURN, MINUS, ZERO, NINE = (ord(character) for character in ",\n\r-09")
DIGITS = 18
COMMAND_COLUMN = HEADER.index("command")
BASE = 128


def _name_key(name: str) -> int:
    """The number that the parser makes of a name: its ASCII characters as digits to the base 128."""
    key = 0
    for character in name.encode():
        key = key * BASE + character
    return key


NAME_KEYS = np.array([_name_key(op.name) for op in Op], np.int64)
LONGEST_NAME = max(len(op.name) for op in Op)  # 9 characters: 128**9 is 2**63, so no name wraps


@cached_njit()
def _parse(text: NDArray[np.uint8], keys: IntArray, columns: IntArray) -> int:
    """Fill ``columns`` [7, lines] from whole lines; the number of the first line that isn't as it must be, or -1."""
    line, field, digits, value, negative = 0, 0, 0, 0, False
    for at in range(text.shape[0]):
        c = text[at]
        if c in (COMMA, NEWLINE):
            if field == COMMAND_COLUMN:
                code = -1
                for k in range(keys.shape[0]):
                    if keys[k] == value:
                        code = k
                if code < 0:
                    return line
                columns[field, line] = code
            elif digits == 0 and negative:
                return line
            elif digits == 0:
                columns[field, line] = ABSENT
            else:
                columns[field, line] = -value if negative else value
            field += 1
            if (c == NEWLINE) != (field == columns.shape[0]):
                return line
            if c == NEWLINE:
                line += 1
                field = 0
            digits, value, negative = 0, 0, False
        elif c == RETURN and at + 1 < text.shape[0] and text[at + 1] == NEWLINE:
            continue
        elif field == COMMAND_COLUMN and digits < LONGEST_NAME and 0 < c < BASE:
            digits += 1
            value = value * BASE + c
        elif field != COMMAND_COLUMN and ZERO <= c <= NINE and digits < DIGITS:
            digits += 1
            value = value * 10 + (c - ZERO)
        elif field != COMMAND_COLUMN and c == MINUS and digits == 0 and not negative:
            negative = True
        else:
            return line
    return -1


def read_csv_tables(path: Path) -> Iterator[CommandTable]:
    """Read a command file piece by piece, so that memory stays bounded however long it is.

    Raises:
        InputError: The file can't be read, or a line is malformed; the line is named, the header being line 1.
    """
    try:
        with path.open("rb") as file:
            header = file.readline(200).removeprefix(BYTE_ORDER_MARK).decode(errors="replace").rstrip("\r\n")
            if header != ",".join(HEADER):
                raise InputError(f"{path.name}: line 1: the header must be {','.join(HEADER)}, is '{header[:80]}'")
            line = 2
            while piece := file.read(BYTES_AT_ONCE):
                piece += file.readline()
                table = _parse_piece(piece, path.name, line)
                line += len(table.ck)
                yield table
    except OSError as error:
        raise InputError(f"{path.name}: can't be read: {error.strerror}") from error


def _parse_piece(piece: bytes, name: str, first_line: int) -> CommandTable:
    if not piece.endswith(b"\n"):
        piece += b"\n"
    columns = np.empty((len(HEADER), piece.count(b"\n")), np.int64)
    wrong = _parse(np.frombuffer(piece, np.uint8).copy(), NAME_KEYS, columns)
    if wrong >= 0:
        text = piece.split(b"\n")[wrong].decode(errors="replace").removesuffix("\r")
        raise InputError(f"{name}: line {first_line + wrong}: {_blame(text)}")
    return CommandTable(*columns)


def _blame(line: str) -> str:
    """What is wrong with a line that the parser refused."""
    fields = line.split(",")
    if len(fields) != len(HEADER):
        return f"{len(fields)} fields where {len(HEADER)} are due ({','.join(HEADER)})"
    for name, text in zip(HEADER, fields, strict=True):
        if name == "command":
            try:
                code_of(text)
            except InputError as error:
                return str(error)
        elif text and not NUMBER.fullmatch(text):
            return f"{name} must be a whole number or empty, is '{text[:40]}'"
    return f"can't be read: '{line[:80]}'"
