"""Commands as other tools list them, written as they are issued; each form leaves out what its tool has no name for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from numpy.typing import NDArray

from lpspec.dram.run.command_log import CSV_HEADER, csv_lines
from lpspec.machine.die import DieSpec

_ROWS_AT_ONCE = 1 << 13
_READS, _WRITES = ("RD", "RDA"), ("WR", "WRA")

Row = tuple[int, str, int, int, int, int, int]
"""CK, command, rank, bank group, bank, row, column; -1 where a field has no meaning."""

DRAMSIM3_NAMES = {
    "ACT2": "activate",
    "RD": "read",
    "RDA": "read_p",
    "WR": "write",
    "WRA": "write_p",
    "PRE": "precharge",
    "PREAB": "precharge",
    "REFAB": "refresh",
    "REFPB": "refresh_bank",
}
"""No CAS and a single activation, which stands at ACT-2; a precharge of all banks is one of each."""
DRAMPOWER_NAMES = {
    "ACT2": "ACT",
    "RD": "RD",
    "RDA": "RDA",
    "WR": "WR",
    "WRA": "WRA",
    "PRE": "PRE",
    "PREAB": "PREA",
    "REFAB": "REFA",
    "REFPB": "REFP2B",
}
"""No CAS and a single activation, which stands at ACT-2."""
RAMULATOR2_NAMES = {
    "ACT1": "ACT1",
    "ACT2": "ACT2",
    "RD": "RD",
    "RDA": "RDA",
    "WR": "WR",
    "WRA": "WRA",
    "PRE": "PREpb",
    "PREAB": "PREab",
    "REFAB": "REFab",
    "REFPB": "REFpb",
}
"""And CAS_RD or CAS_WR, by the access that a CAS is for."""


class CommandWriter:
    """Writes commands as the project's own CSV.

    Args:
        out: An open file.
        device: The die of every rank.
    """

    HEADER = CSV_HEADER

    def __init__(self, out: BinaryIO, device: DieSpec) -> None:
        """Begin the list."""
        die = device.organisation
        self._out = out
        self._banks = [(g, b) for g in range(die.bank_groups.n) for b in range(die.banks_per_group.n)]
        self._zeros = "00" * die.burst_bytes.n
        self._beats = die.burst_beats
        out.write(self.HEADER)

    def take(self, table: NDArray[Any]) -> None:
        """Write a piece of the command table."""
        self._out.write(csv_lines(table))

    def close(self, end_ck: int) -> None:
        """End the list at the CK at which the last data have passed."""


class _LineWriter(CommandWriter, ABC):
    """Writes commands line by line."""

    HEADER = b""

    def take(self, table: NDArray[Any]) -> None:
        """Write a piece of the command table."""
        for start in range(0, len(table), _ROWS_AT_ONCE):
            self._write(table[start : start + _ROWS_AT_ONCE].tolist())

    def _write(self, rows: list[Row]) -> None:
        self._out.write("".join(self._lines(rows)).encode())

    @abstractmethod
    def _lines(self, rows: list[Row]) -> Iterator[str]:
        """What is written of some commands."""


class _Dramsim3(_LineWriter):
    """DRAMsim3's command trace: CK, command, channel, rank, bank group, bank, row, column in bursts; blanks between."""

    def _lines(self, rows: list[Row]) -> Iterator[str]:
        for ck, command, rank, group, bank, row, column in rows:
            if (name := DRAMSIM3_NAMES.get(command)) is None:
                continue
            at = f"{max(row, 0):#8x} {max(column, 0) // self._beats:#8x}"
            for g, b in self._banks if command == "PREAB" else [(max(group, 0), max(bank, 0))]:
                yield f"{ck:<18} {name:<20} {0:>3} {rank:>3} {g:>3} {b:>3} {at}\n"


class _DramPower(_LineWriter):
    """DRAMPower 6's command list: CK, command, rank, bank group, bank of the rank, row, column in bursts, data.

    Data are zeros: with ``useToggleRate`` it does not look at them.
    """

    def _lines(self, rows: list[Row]) -> Iterator[str]:
        for ck, command, rank, group, bank, row, column in rows:
            if (name := DRAMPOWER_NAMES.get(command)) is None:
                continue
            place = self._banks.index((group, bank)) if group >= 0 else 0
            data = f",{self._zeros}" if command in (*_READS, *_WRITES) else ""
            yield f"{ck},{name},{rank},{max(group, 0)},{place},{max(row, 0)},{max(column, 0) // self._beats}{data}\n"

    def close(self, end_ck: int) -> None:
        """End the list: DRAMPower counts energy up to there."""
        self._out.write(f"{end_ck},END,0,0,0,0,0\n".encode())


class _Ramulator2(_LineWriter):
    """Ramulator 2's command trace: clock, command, a field for each level, type (0 read, 1 write, else -1), source.

    Columns are counted in beats. A CAS says there what access it is for, and where; commands from one on wait until
    that is known.
    """

    HEADER = b"clock,command,Channel,Rank,BankGroup,Bank,Row,Column,type,source\n"

    def __init__(self, out: BinaryIO, device: DieSpec) -> None:
        """Begin the list."""
        super().__init__(out, device)
        self._waiting: list[Row] = []

    def _write(self, rows: list[Row]) -> None:
        rows = self._waiting + rows
        accesses: dict[int, Row] = {}
        known = len(rows)
        named: list[Row] = []
        for i in range(len(rows) - 1, -1, -1):
            row = rows[i]
            ck, command, rank = row[:3]
            if command in (*_READS, *_WRITES):
                accesses[rank] = row
            elif command == "CAS" and rank in accesses:
                access = accesses[rank]
                row = (ck, "CAS_RD" if access[1] in _READS else "CAS_WR", rank, *access[3:])
            elif command == "CAS":
                known = i
            named.append(row)
        named.reverse()
        self._waiting = rows[known:]
        super()._write(named[:known])

    def _lines(self, rows: list[Row]) -> Iterator[str]:
        for ck, command, rank, group, bank, row, column in rows:
            name = RAMULATOR2_NAMES.get(command, command)
            way = -1 + (name in (*_READS, "CAS_RD")) + 2 * (name in (*_WRITES, "CAS_WR"))
            yield f"{ck},{name},0,{rank},{group},{bank},{row},{column},{way},-1\n"

    def close(self, end_ck: int) -> None:
        """Write what still waits; a CAS that no access follows counts as one for a read."""
        last = [(ck, "CAS_RD" if command == "CAS" else command, *place) for ck, command, *place in self._waiting]
        super()._write(last)  # type: ignore[arg-type]


COMMAND_FORMS: Mapping[str, Callable[[BinaryIO, DieSpec], CommandWriter]] = {
    "lpspec": CommandWriter,
    "ramulator2": _Ramulator2,
    "dramsim3": _Dramsim3,
    "drampower": _DramPower,
}
