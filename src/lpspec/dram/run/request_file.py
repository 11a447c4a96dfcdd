"""Request files: one JSON object a line, read piece by piece, and every malformed line named.

Lines that look as they should go through a compiled parser; whatever it doesn't understand is read again by Python's
own, which accepts the rest of JSON's spellings or says what is wrong. Blank lines are passed over.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.errors import InputError, unknown_name
from lpspec.machine.die import DieSpec
from lpspec.native.functions import native
from lpspec.text_files import BYTE_ORDER_MARK

Bytes = NDArray[np.uint8]

KEYS = ("at", "op", "rank", "bank_group", "bank", "row", "column")
OPS = ("read", "write")
OP = KEYS.index("op")
LINE_NUMBER = len(KEYS)
LATEST_CK = 1 << 50

_BYTES_AT_ONCE = 1 << 18
_LONGEST_LINE = 1 << 16  # bytes
_DIGITS = 18
_SPACE, _TAB, _RETURN, _NEWLINE = 32, 9, 13, 10
_OPEN, _CLOSE, _QUOTE, _COLON, _COMMA, _MINUS, _ZERO, _NINE = (ord(c) for c in '{}":,-09')


def _spelt(words: tuple[str, ...]) -> Bytes:
    """Words as rows of bytes, a closing quote behind each."""
    table = np.zeros((len(words), max(map(len, words)) + 1), np.uint8)
    for row, word in zip(table, words, strict=True):
        row[: len(word) + 1] = np.frombuffer(f'{word}"'.encode(), np.uint8)
    return table


_KEY_BYTES, _OP_BYTES = _spelt(KEYS), _spelt(OPS)


@native()
def _skip(text: Bytes, at: int) -> int:
    """Behind blanks; every line ends, so there is always a byte there."""
    while text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN:
        at += 1
    return at


@native()
def _word(text: Bytes, at: int, words: Bytes) -> tuple[int, int]:
    """Which of some words stands here, in quotes, and where it ends; -1 for none."""
    if text[at] == _QUOTE:
        for k in range(words.shape[0]):
            i = 0
            while text[at + 1 + i] == words[k, i]:
                if words[k, i] == _QUOTE:
                    return k, at + 2 + i
                i += 1
    return -1, at


@native()
def _number(text: Bytes, at: int) -> tuple[int, int]:
    """A whole number, and where it ends; -1 for none."""
    sign = 1
    if text[at] == _MINUS:
        sign = -1
        at += 1
    begin, value = at, 0
    while _ZERO <= text[at] <= _NINE and at - begin <= _DIGITS:
        value = value * 10 + (text[at] - _ZERO)
        at += 1
    digits = at - begin
    if digits == 0 or digits > _DIGITS or (digits > 1 and text[begin] == _ZERO):
        return 0, -1
    return sign * value, at


@native()
def _request_at(text: Bytes, at: int, keys: Bytes, ops: Bytes, row: IntArray) -> int:
    """Fill ``row`` from one line; where the next begins, or -1."""
    at = _skip(text, at)
    seen = 0
    for k in range(keys.shape[0]):
        if text[at] != (_COMMA if k else _OPEN):
            return -1
        key, at = _word(text, _skip(text, at + 1), keys)
        if key < 0 or seen >> key & 1:
            return -1
        seen |= 1 << key
        at = _skip(text, at)
        if text[at] != _COLON:
            return -1
        at = _skip(text, at + 1)
        if key == OP:
            row[key], at = _word(text, at, ops)
            if row[key] < 0:
                return -1
        else:
            row[key], at = _number(text, at)
            if at < 0:
                return -1
        at = _skip(text, at)
    if text[at] != _CLOSE:
        return -1
    at = _skip(text, at + 1)
    return at + 1 if text[at] == _NEWLINE else -1


@native()
def _scan(text: Bytes, at: int, row: int, keys: Bytes, ops: Bytes, out: IntArray) -> tuple[int, int]:
    """Fill rows of ``out`` from lines that are as they should be; where it stopped, and the row that is next."""
    number = out[row, LINE_NUMBER]
    while at < text.shape[0]:
        end = _request_at(text, at, keys, ops, out[row])
        if end < 0:
            break
        out[row, LINE_NUMBER] = number
        row += 1
        number += 1
        at = end
    out[row, LINE_NUMBER] = number
    return at, row


def read_requests(path: Path, device: DieSpec, ranks: int, pieces: Iterable[bytes] | None = None) -> Iterator[IntArray]:
    """Read a request file for one channel, piece by piece, so that memory stays bounded however long it is.

    Args:
        path: A file of lines such as
            ``{"at": 0, "op": "read", "rank": 0, "bank_group": 0, "bank": 0, "row": 0, "column": 0}``.
        device: The die of every rank.
        ranks: Ranks of the channel.
        pieces: What the file holds, where it is being read already.

    Yields:
        int64 [requests, 5], as ``run_requests`` takes them: CK, 0 read or 1 write, bank of the channel, row, column.

    Raises:
        InputError: The file can't be read or is empty, or a line is malformed; the line is named, the first being 1.
    """
    reader = _Reader(str(path), device, ranks)
    for piece in pieces_of(path) if pieces is None else pieces:
        yield reader.requests(piece)
    if not reader.read:
        raise InputError(f"{path}: no requests: a line holds one object with {', '.join(KEYS)}")


def pieces_of(path: Path) -> Iterator[bytes]:
    """A text file as pieces of whole lines, a byte order mark passed over; a line too long for any request may be cut.

    Raises:
        InputError: The file can't be read.
    """
    try:
        with path.open("rb") as file:
            mark = file.read(len(BYTE_ORDER_MARK))
            piece = mark.removeprefix(BYTE_ORDER_MARK) + _piece(file)
            while piece:
                yield piece
                piece = _piece(file)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error


def _piece(file: BinaryIO) -> bytes:
    """Whole lines; a line that is too long for any request may be cut."""
    piece = file.read(_BYTES_AT_ONCE)
    if piece and not piece.endswith(b"\n"):
        piece += file.readline(_LONGEST_LINE)
    return piece


class _Reader:
    """Reads pieces of one file, knowing what came before."""

    def __init__(self, name: str, device: DieSpec, ranks: int) -> None:
        die = device.organisation
        self.name = name
        self.read = 0
        self.line = 1
        self.last_at = 0
        self.highest = {
            "at": LATEST_CK,
            "op": 1,
            "rank": ranks - 1,
            "bank_group": die.bank_groups.n - 1,
            "bank": die.banks_per_group.n - 1,
            "row": die.rows.n - 1,
            "column": (die.columns - 1) * die.burst_beats,
        }
        self._beats = die.burst_beats

    def requests(self, piece: bytes) -> IntArray:
        """The requests of whole lines, every range checked."""
        text = np.frombuffer(piece + b"\n" * (not piece.endswith(b"\n")), np.uint8)
        table = np.empty((piece.count(b"\n") + 2, len(KEYS) + 1), np.int64)
        table[0, LINE_NUMBER] = self.line
        at, row = 0, 0
        while at < len(text):
            at, row = _scan(text, at, row, _KEY_BYTES, _OP_BYTES, table)
            if at < len(text):
                at, row = self._read_slowly(piece, at, row, table)
        self.line = int(table[row, LINE_NUMBER])
        return self._checked(table[:row])

    def _read_slowly(self, piece: bytes, at: int, row: int, table: IntArray) -> tuple[int, int]:
        """Read the line at a byte as Python reads JSON; where the next begins, and the row that is next."""
        line = int(table[row, LINE_NUMBER])
        end = piece.find(b"\n", at)
        end = len(piece) if end < 0 else end
        try:
            values = _values(piece[at:end])
        except InputError as error:
            self._checked(table[:row])  # whatever is wrong above comes first
            raise self._wrong(line, str(error)) from error
        if values is not None:
            table[row, :LINE_NUMBER] = values
            row += 1
        table[row, LINE_NUMBER] = line + 1
        return end + 1, row

    def _checked(self, table: IntArray) -> IntArray:
        """Ranges and order of some requests; then as the engine takes them."""
        highest = np.array([self.highest[key] for key in KEYS], np.int64)
        bad = (table[:, :LINE_NUMBER] < 0) | (table[:, :LINE_NUMBER] > highest)
        bad[:, -1] |= table[:, KEYS.index("column")] % self._beats != 0
        late = np.diff(table[:, 0], prepend=self.last_at) < 0
        wrong = np.flatnonzero(bad.any(axis=1) | late)
        if wrong.size:
            self._blame(table[wrong[0]], int(table[wrong[0] - 1, 0]) if wrong[0] else self.last_at)
        if len(table):
            self.last_at = int(table[-1, 0])
        self.read += len(table)
        at, op, rank, group, bank, row, column = table[:, :LINE_NUMBER].T
        banks = (self.highest["bank_group"] + 1, self.highest["bank"] + 1)
        return np.stack([at, op, (rank * banks[0] + group) * banks[1] + bank, row, column], axis=1)

    def _blame(self, row: IntArray, above: int) -> None:
        """Say what is wrong with one request."""
        for key, value in zip(KEYS, row.tolist(), strict=False):
            high = self.highest[key]
            if not 0 <= value <= high or (key == "column" and value % self._beats):
                steps = f" in steps of {self._beats}" if key == "column" else ""
                raise self._wrong(row[-1], f"{key} is {value}: allowed is 0 to {high}{steps}")
        raise self._wrong(row[-1], f"at is {row[0]}, before the {above} of the request above it: allowed is {above} on")

    def _wrong(self, line: int, what: str) -> InputError:
        return InputError(f"{self.name}: line {line}: {what}")


def _values(line: bytes) -> list[int] | None:
    """The values of one line in the order of ``KEYS``; None for a blank line."""
    if not line.strip():
        return None
    if len(line) >= _LONGEST_LINE:
        raise InputError(f"more than {_LONGEST_LINE} bytes: a line holds one request")
    try:
        found = json.loads(line.decode("utf-8"), object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start + 1}") from error
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON that a request could be") from error
    if not isinstance(found, _Pairs):
        raise InputError(f"no object: a line holds one object with {', '.join(KEYS)}")
    return _request(found)


class _Pairs(list[tuple[str, Any]]):
    """An object as it is written, keys that come twice included."""


def _request(pairs: _Pairs) -> list[int]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key not in KEYS:
            raise unknown_name("key", key[:40], KEYS)
        if key in values:
            raise InputError(f"{key} is given twice")
        values[key] = value
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing: a request has {', '.join(KEYS)}")
    return [_op(values[key]) if key == "op" else _whole(key, values[key]) for key in KEYS]


def _op(value: Any) -> int:
    if not isinstance(value, str):
        raise InputError(f"op must be read or write, is {_shown(value)}")
    if value not in OPS:
        raise unknown_name("op", value[:40], OPS)
    return OPS.index(value)


def _whole(key: str, value: Any) -> int:
    if type(value) is not int:
        raise InputError(f"{key} must be a whole number, is {_shown(value)}")
    if abs(value) >= 10**_DIGITS:
        raise InputError(f"{key} has more than {_DIGITS} digits")
    return value


def _shown(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "an object"
    return "a list" if isinstance(value, list) else json.dumps(value)[:40]
