"""Streams of commands as a line of text, for tests that work out rules by hand."""

import re
from typing import Any

from lpspec.dram.check.table import CommandTable, command_table


def table(text: str, at: int = 0) -> CommandTable:
    """Commands of a text such as `0 ACT1 b0.0 R5 | 1 ACT2 b0.0 | @ RD b0.0 c0`.

    A command is `ck COMMAND fields`: r rank (0 if absent), m mask of ranks, b group.bank, p parity, s set of input
    registers, R row, c column. `@` is the CK ``at``, `@+1` the next.
    """
    rows: list[list[Any]] = []
    for command in filter(None, (part.strip() for part in text.split("|"))):
        time, name, *fields = command.split()
        ck = at + int(time[1:] or 0) if time[0] == "@" else int(time)
        row = [ck, name, 0, -1, -1, -1, -1]
        for field in fields:
            if banks := re.fullmatch(r"b(\d)\.(\d)", field):
                row[3:5] = int(banks[1]), int(banks[2])
            else:
                row[{"r": 2, "m": 2, "s": 3, "p": 4, "R": 5, "c": 6}[field[0]]] = int(field[1:])
        rows.append(row)
    return command_table(*zip(*rows, strict=True))
