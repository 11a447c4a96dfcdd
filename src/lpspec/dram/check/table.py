"""Command streams as the checker takes them in: columns of one length, every field within its range."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lpspec.arrays import BoolArray, IntArray
from lpspec.errors import InputError, unknown_name

HEADER = ("ck", "command", "rank", "bank_group", "bank", "row", "column")
ABSENT = -1
SETS = 2
"""Sets of input registers: one is read while the other is loaded."""


class Op(IntEnum):
    """The commands of a channel, in the order of the exchange format's description."""

    ACT1 = 0
    ACT2 = 1
    CAS = 2
    RD = 3
    WR = 4
    RDA = 5
    WRA = 6
    PRE = 7
    PREAB = 8
    REFAB = 9
    REFPB = 10
    PIM_ENTER = 11
    PIM_EXIT = 12
    PIM_ACT = 13
    PIM_PRE = 14
    PIM_IN = 15
    PIM_MAC = 16
    PIM_OUT = 17
    PIM_REFAB = 18


CODES = {op.name: int(op) for op in Op}
BANKED = (Op.ACT1, Op.ACT2, Op.RD, Op.WR, Op.RDA, Op.WRA, Op.PRE)
COLUMNED = (Op.RD, Op.WR, Op.RDA, Op.WRA, Op.PIM_MAC)
MASKED = (Op.PIM_ENTER, Op.PIM_EXIT, Op.PIM_ACT, Op.PIM_PRE, Op.PIM_IN, Op.PIM_MAC, Op.PIM_REFAB)


class CommandTable(NamedTuple):
    """Commands in the order of the bus, one row each; -1 where a field has no meaning."""

    ck: IntArray
    command: IntArray  # codes of Op
    rank: IntArray  # an index, or a bit mask for the PIM commands that several ranks take together
    bank_group: IntArray
    bank: IntArray
    row: IntArray
    column: IntArray


class Shape(NamedTuple):
    """What exists on the channel, as far as fields of commands can name it."""

    ranks: int = 1
    rows: int = 65536
    mpus: int = 8  # per rank: 16 banks over banks per MPU
    banks_per_mpu: int = 2
    slots: int = 16  # input bursts in two sets of registers
    sums: int = 16  # bursts of an MPU's accumulators
    beats: int = 16  # columns of a burst; 32 of BL48
    columns: int = 1024  # of a row


class Stream(NamedTuple):
    """A table ready for the sweeps: ranks as masks, banks flat, all ranges checked."""

    op: IntArray
    ck: IntArray
    mask: IntArray  # bit mask of the ranks that take the command
    low: IntArray  # lowest of them: the rank itself for plain commands
    bank: IntArray  # flat bank 0..15, parity for PIM commands on banks, MPU for PIM_OUT
    row: IntArray
    column: IntArray
    inputs: IntArray  # set of input registers that PIM_MAC reads, -1 where the stream doesn't say


def command_table(
    ck: ArrayLike,
    command: Any,
    rank: ArrayLike,
    bank_group: ArrayLike,
    bank: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    names: Sequence[str] | None = None,
) -> CommandTable:
    """Build a table from columns of equal length.

    Args:
        ck: Time of each command in CK.
        command: Names, or codes of ``Op``, or codes that index ``names``.
        rank: Rank index, or mask of ranks (see ``CommandTable``).
        bank_group: 0..3, or -1; for PIM_MAC the set of input registers 0..1, or -1 if it isn't known.
        bank: 0..3 within its group, or parity, or -1.
        row: Row, or -1.
        column: 0..1008 in steps of 16 (BL48: 0..992 in steps of 32), a register slot, or -1.
        names: The caller's own command names by code.

    Raises:
        InputError: A name or code is unknown, or the columns differ in length.
    """
    codes = np.asarray(command)
    if codes.dtype.kind in "UO":
        spelt, places = np.unique(codes.astype(str), return_inverse=True)
        codes = np.array([code_of(str(name)) for name in spelt], np.int64)[places]
    elif names is not None:
        if codes.size and not (codes.min() >= 0 and codes.max() < len(names)):
            raise InputError(f"command codes must lie in 0..{len(names) - 1}")
        codes = np.array([CODES.get(name, ABSENT) for name in names], np.int64)[codes]
    columns = [np.asarray(values, np.int64) for values in (ck, rank, bank_group, bank, row, column)]
    if len({column.shape for column in [*columns, codes]}) != 1 or codes.ndim != 1:
        raise InputError("the columns of a command table must be one-dimensional and of one length")
    return CommandTable(columns[0], codes.astype(np.int64), *columns[1:])


def code_of(name: str) -> int:
    """The code of a command by its name.

    Raises:
        InputError: There is no such command.
    """
    if name not in CODES:
        raise unknown_name("command", name, CODES)
    return CODES[name]


def _limits(shape: Shape) -> dict[str, IntArray]:
    """Largest value of each field by command, -1 where the command doesn't use the field."""
    limit = {name: np.full(len(Op), ABSENT, np.int64) for name in ("rank", "bank_group", "bank", "row", "column")}
    limit["rank"][:] = shape.ranks - 1
    limit["rank"][list(MASKED)] = (1 << shape.ranks) - 1
    limit["bank_group"][list(BANKED)] = 3
    limit["bank"][list(BANKED)] = 3
    limit["bank_group"][Op.REFPB], limit["bank"][Op.REFPB] = 1, 3
    limit["bank_group"][Op.PIM_OUT], limit["bank"][Op.PIM_OUT] = shape.mpus // 4 - 1, 3
    limit["bank"][[Op.PIM_ACT, Op.PIM_PRE, Op.PIM_MAC]] = shape.banks_per_mpu - 1
    limit["row"][[Op.ACT1, Op.PIM_ACT]] = shape.rows - 1
    limit["column"][list(COLUMNED)] = shape.columns - shape.beats
    limit["column"][Op.PIM_IN], limit["column"][Op.PIM_OUT] = shape.slots - 1, shape.sums - 1
    return limit


def stream_of(table: CommandTable, shape: Shape, where: str, first: int) -> Stream:
    """Check every field's range and flatten ranks and banks.

    Args:
        table: The commands.
        shape: What exists on the channel.
        where: What numbers count, such as ``commands.csv: line``.
        first: Number of the table's first command.

    Raises:
        InputError: A field that the command needs is missing or out of range; names the place.
    """
    op = table.command
    _reject(table.command, (op < 0) | (op >= len(Op)), "command", f"a code in 0..{len(Op) - 1}", where, first)
    _reject(table.ck, table.ck < 0, "ck", "at least 0", where, first)
    masked = np.isin(op, MASKED)
    _reject(table.rank, masked & (table.rank == 0), "rank", "a mask of at least one rank", where, first)
    for name, limit in _limits(shape).items():
        values, top = getattr(table, name), limit[op]
        bad = (top >= 0) & ((values < 0) | (values > top))
        if bad.any():
            allowed = f"0..{top[np.argmax(bad)]} for {Op(int(op[np.argmax(bad)])).name}"
            _reject(values, bad, name, allowed, where, first)
    step = np.isin(op, COLUMNED) & (table.column % shape.beats != 0)
    _reject(table.column, step, "column", f"a multiple of {shape.beats} (a burst)", where, first)
    inputs = np.where(op == Op.PIM_MAC, table.bank_group, ABSENT)
    _reject(inputs, (inputs < ABSENT) | (inputs >= SETS), "bank_group", "0..1, or empty, for PIM_MAC", where, first)
    mask = np.where(masked, table.rank, np.left_shift(1, np.maximum(table.rank, 0) & 31))
    low = np.where(masked, np.log2(np.maximum(mask & -mask, 1)).astype(np.int64), table.rank)
    flat = np.isin(op, (*BANKED, Op.REFPB, Op.PIM_OUT))
    bank = np.where(flat, table.bank_group * 4 + table.bank, table.bank)
    return Stream(op, table.ck, mask, low, bank, table.row, table.column, inputs)


def _reject(values: IntArray, bad: BoolArray, name: str, allowed: str, where: str, first: int) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        value = "missing" if values[at] == ABSENT else str(values[at])
        raise InputError(f"{where} {first + at}: {name} must be {allowed}, is {value}")
