"""Lines of traces: the forms that other simulators read, one access a line.

What stands behind ``#``, ``;`` or ``//`` is passed over. Lines that look as they should go through a compiled parser;
whatever it doesn't understand is read again by Python's own, which says what is wrong.
"""

import re

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.errors import InputError, shown
from lpspec.native.functions import native

Bytes = NDArray[np.uint8]

LOAD_STORE, ADDRESS_OP, DRAMSIM3, ADDRESS_VECTOR = "load-store", "address-op", "dramsim3", "address-vector"
FORMS = {
    LOAD_STORE: "LD 0x1240",
    ADDRESS_OP: "0x1240 R",
    DRAMSIM3: "0x1240 READ 30",
    ADDRESS_VECTOR: "R 0,0,1,2,100,32",
}
"""Forms with a line of each: load/store traces of Ramulator 2, traces of Ramulator 1, of DRAMsim3, and read/write
traces of Ramulator 2."""
READS = ("LD", "R", "READ", "ld", "r", "read", "P_MEM_RD", "P_FETCH")
WRITES = ("ST", "W", "WRITE", "st", "w", "write", "P_MEM_WR", "BOFF")
VECTOR = ("channel", "rank", "bank group", "bank", "row", "column")
WITH_0X, DECIMAL_OR_0X, HEX = range(3)
"""How an address may be written: what no 0x precedes is refused, decimal, or hexadecimal."""

WRITE, CK, FIRST, LINE = 0, 1, 2, 8  # fields of a line: its way, its CK, then its address or vector; its number last
FIELDS = LINE + 1
_ORDERS = {form: number for number, form in enumerate(FORMS)}
_OP_FIRST, _OP_LAST, _OP_THEN_CYCLE, _OP_THEN_VECTOR = range(4)
_DECIMAL_DIGITS, _HEX_DIGITS = 18, 15
_SPACE, _TAB, _RETURN, _NEWLINE = 32, 9, 13, 10
_HASH, _SEMICOLON, _SLASH, _COMMA, _ZERO, _NINE, _X, _A, _F = (ord(c) for c in "#;/,09xaf")
_LOWER = 32  # bit that makes a letter small
_NUMBER = re.compile(r"0[xX]0*([0-9a-fA-F]{1,15})|(0|[1-9][0-9]{0,17})")
_BARE = re.compile("[0-9a-fA-F]+")
_COMMENT = re.compile(r"#.*|;.*|//.*")


def _words() -> Bytes:
    """Words of reads, then of writes, each with a zero behind."""
    words = (*READS, *WRITES)
    table = np.zeros((len(words), max(map(len, words)) + 1), np.uint8)
    for row, word in zip(table, words, strict=True):
        row[: len(word)] = np.frombuffer(word.encode(), np.uint8)
    return table


_WORD_BYTES = _words()


@native()
def _ends(text: Bytes, at: int) -> bool:
    """Whether a word or number ends here."""
    c = text[at]
    is_comment = c in (_HASH, _SEMICOLON) or (c == _SLASH and text[at + 1] == _SLASH)
    return bool(c in (_SPACE, _TAB, _RETURN, _NEWLINE) or is_comment)


@native()
def _next(text: Bytes, at: int) -> int:
    """Behind blanks; every line ends, so there is always a byte there."""
    while text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN:
        at += 1
    return at


@native()
def _way(text: Bytes, at: int, words: Bytes) -> tuple[int, int]:
    """Whether a word says read (0) or write (1), and where it ends; -1 for neither."""
    for k in range(words.shape[0]):
        i = 0
        while words[k, i] != 0 and text[at + i] == words[k, i]:
            i += 1
        if words[k, i] == 0 and _ends(text, at + i):
            return (1 if k >= words.shape[0] // 2 else 0), at + i
    return -1, at


@native()
def _number(text: Bytes, at: int, written: int) -> tuple[int, int]:
    """A number, and where it ends; -1 for none."""
    is_hex, begin = written == HEX, at
    if text[at] == _ZERO and text[at + 1] | _LOWER == _X:
        is_hex, begin = True, at + 2
    elif written == WITH_0X:
        return 0, -1
    at = begin
    value, digits = 0, 0
    while True:
        c = int(text[at])
        small = c | _LOWER
        if _ZERO <= c <= _NINE:
            digit = c - _ZERO
        elif is_hex and _A <= small <= _F:
            digit = small - _A + 10
        else:
            break
        at += 1
        value = value * (16 if is_hex else 10) + digit
        digits += 1 if value > 0 else 0
        if digits > (_HEX_DIGITS if is_hex else _DECIMAL_DIGITS):
            return 0, -1
    if at == begin or (not is_hex and at - begin > 1 and text[begin] == _ZERO):
        return 0, -1
    return value, at


@native()
def _access_at(text: Bytes, at: int, how: tuple[int, int], words: Bytes, row: IntArray) -> int:
    """Fill ``row`` from a line, its words in an order and its address written in a way; where it ends, or -1."""
    order, written = how
    if order in (_OP_FIRST, _OP_THEN_VECTOR):
        row[WRITE], at = _way(text, at, words)
        if row[WRITE] < 0:
            return -1
        at = _next(text, at)
        for k in range(6 if order == _OP_THEN_VECTOR else 1):
            if k > 0:
                if text[at] != _COMMA:
                    return -1
                at += 1
            row[FIRST + k], at = _number(text, at, written)
            if at < 0:
                return -1
        return at
    row[FIRST], at = _number(text, at, written)
    if at < 0 or not _ends(text, at):
        return -1
    row[WRITE], at = _way(text, _next(text, at), words)
    if row[WRITE] < 0:
        return -1
    if order == _OP_THEN_CYCLE:
        row[CK], at = _number(text, _next(text, at), DECIMAL_OR_0X)
    return at


@native()
def _scan(text: Bytes, at: int, row: int, how: tuple[int, int], words: Bytes, out: IntArray) -> tuple[int, int]:
    """Fill rows of ``out`` from lines that are as they should be; where it stopped, and the row that is next."""
    number = out[row, LINE]
    while at < text.shape[0]:
        begin = _next(text, at)
        if not _ends(text, begin):
            end = _access_at(text, begin, how, words, out[row])
            if end < 0 or not _ends(text, end):
                break
            begin = _next(text, end)
            if not _ends(text, begin):
                break
            out[row, LINE] = number
            row += 1
        while text[begin] != _NEWLINE:
            begin += 1
        at = begin + 1
        number += 1
    out[row, LINE] = number
    return at, row


def scan(text: Bytes, at: int, row: int, form: str, written: int, out: IntArray) -> tuple[int, int]:
    """Fill rows of a table from lines of a form, until one is not as it should be.

    Args:
        text: Whole lines.
        at: The byte where to begin, the first of a line.
        row: The row to fill first, which holds the number of that line.
        form: One of ``FORMS``.
        written: How addresses are written.
        out: int64 [rows, FIELDS].

    Returns:
        The byte and the row where it stopped.
    """
    return _scan(text, at, row, (_ORDERS[form], written), _WORD_BYTES, out)


def access_of(line: bytes, form: str, written: int) -> list[int] | None:
    """The fields of one line, its number left out; None for a blank line or one of comment only.

    Raises:
        InputError: It is no access of the form.
    """
    tokens = tokens_of(line)
    if not tokens:
        return None
    if (other := form_of(tokens)) != form:
        also = f"has the form {other}, not that" if other else "is no access"
        raise InputError(f"'{shown(' '.join(tokens), 40)}' {also} of {form} such as {FORMS[form]}")
    op, place = (tokens[0], tokens[1]) if form in (LOAD_STORE, ADDRESS_VECTOR) else (tokens[1], tokens[0])
    numbers = [_value(part, written) for part in (place.split(",") if form == ADDRESS_VECTOR else [place])]
    ck = _value(tokens[2], DECIMAL_OR_0X) if form == DRAMSIM3 else 0
    return [int(op in WRITES), ck, *numbers]


def tokens_of(line: bytes) -> list[str]:
    """Words of a line without its comment; what is not ASCII becomes question marks."""
    return _COMMENT.sub("", line.decode("ascii", "replace").replace("\ufffd", "?")).split()


def form_of(tokens: list[str]) -> str | None:
    """The form of a line, by the order of its words alone; None for a line of no form."""
    is_op = [token in READS or token in WRITES for token in tokens]
    if is_op == [True, False]:
        return ADDRESS_VECTOR if tokens[1].count(",") == len(VECTOR) - 1 else LOAD_STORE
    return {(False, True): ADDRESS_OP, (False, True, False): DRAMSIM3}.get(tuple(is_op))


def _value(text: str, written: int) -> int:
    """A number as it is written.

    Raises:
        InputError: It is none.
    """
    if written == HEX and _BARE.fullmatch(text):
        text = f"0x{text}"
    found = _NUMBER.fullmatch(text)
    if not found:
        raise InputError(f"'{shown(text, 40)}' is no number: allowed are 0x and 15 digits, or 18 decimal ones, at most")
    if found.group(1) is None and written == WITH_0X:
        raise InputError(f"address {text} has no 0x: add it, or say --format dramsim3, which takes it as hexadecimal")
    return int(text, 16 if found.group(1) else 10)
