"""The commands of a run as a table, and the table as lines of CSV."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.dram.engine import state
from lpspec.dram.rules import BY_PARITY, COMMANDS
from lpspec.native.functions import native

Bytes = NDArray[np.uint8]

COMMAND_TABLE = np.dtype(
    [
        ("ck", np.int64),
        ("command", "U9"),
        ("rank", np.int64),
        ("bank_group", np.int64),
        ("bank", np.int64),
        ("row", np.int64),
        ("column", np.int64),
    ]
)
"""One command a row; -1 where a field has no meaning. ``rank`` is a bit mask for PIM commands other than PIM_OUT;
``bank`` is a parity for those on rows, and ``bank_group`` the set of input registers for PIM_MAC."""

CSV_HEADER = (",".join(COMMAND_TABLE.names or ()) + "\n").encode()

_COMMA, _NEWLINE, _ZERO = (ord(c) for c in ",\n0")
_NAME_LETTERS = COMMAND_TABLE["command"].itemsize // 4
_LONGEST_ROW = 6 * 20 + _NAME_LETTERS + 7


def command_table(log: IntArray) -> NDArray[Any]:
    """The readable form of the engine's log, int64 [commands, 5]."""
    table = np.full(len(log), -1, COMMAND_TABLE)
    table["ck"] = log[:, 0]
    code = log[:, 1]
    table["command"] = np.array(COMMANDS)[code]
    table["rank"] = log[:, 2]
    is_mac = code == state.PIM_MAC
    is_parity = np.isin(code, [COMMANDS.index(name) for name in BY_PARITY])
    has_group = (log[:, 3] >= 0) & ~is_parity
    table["bank_group"][has_group] = log[has_group, 3] % state.BANKS >> state.GROUP_BITS
    table["bank"][has_group] = log[has_group, 3] % (1 << state.GROUP_BITS)
    table["bank"][is_parity] = log[is_parity, 3] % 4
    table["bank_group"][is_mac] = log[is_mac, 3] // 4
    table["row"] = (log[:, 4] >> 16) - 1
    table["column"] = (log[:, 4] & 0xFFFF) - 1
    return table


def csv_lines(table: NDArray[Any]) -> bytes:
    """A piece of the command table as lines of CSV, a field without meaning left empty."""
    letters = np.ascontiguousarray(table["command"]).view(np.uint32).reshape(-1, _NAME_LETTERS)
    fields = np.stack([np.ascontiguousarray(table[name]) for name in table.dtype.names or () if name != "command"], 1)
    out = np.empty(len(table) * _LONGEST_ROW, np.uint8)
    return out[: _write(fields, letters, out)].tobytes()


@native()
def _write(fields: IntArray, names: NDArray[np.uint32], out: Bytes) -> int:
    """Write CK, name, then the other fields of each row; the bytes written."""
    at = 0
    digits = np.empty(20, np.uint8)
    for i in range(fields.shape[0]):
        for k in range(fields.shape[1]):
            value, count = fields[i, k], 0
            while value > 0 or (value == 0 and count == 0):
                digits[count] = _ZERO + value % 10
                value //= 10
                count += 1
            while count:
                count -= 1
                out[at] = digits[count]
                at += 1
            if k == 0:
                out[at] = _COMMA
                at += 1
                for letter in names[i]:
                    if letter:
                        out[at] = letter
                        at += 1
            out[at] = _COMMA
            at += 1
        out[at - 1] = _NEWLINE
    return at
