"""The commands of a channel as a timeline for Perfetto: gzipped Chrome trace JSON, written as commands come.

Viewers keep whole nanoseconds only, and a CK is no whole number of them. So 1 ns on screen stands for 1 ps.
"""

import json
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from numpy.typing import NDArray

from lpspec.dram.rules import BY_PARITY, HOLDS_RANK, MASKED, ON_BUS, ON_ROWS
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

MOST_COMMANDS = 2_000_000
"""Viewers take no more than some 100 MB; two million commands are about half of that."""

SCALE = "1 ns shown is 1 ps"

_AT_ONCE = 1 << 12  # commands that become text at a time
_CHANNEL = 0  # process; rank r is process r + 1
_CA, _DQ = 1, 2  # threads of the channel
_WHOLE, _MAC, _BANKS = 1, 2, 3  # threads of a rank: what takes all of it, MACs, then its banks or parities
_PARITIES = 20

Slice = tuple[int, int, str, int, int, str]
"""Process, thread, name, CK, CK that it lasts, arguments as JSON."""


class Timeline:
    """Writes one timeline; memory holds the open rows and nothing else."""

    def __init__(self, out: BinaryIO, device: DieSpec, ranks: int, title: str) -> None:
        """Begin.

        Args:
            out: Where the bytes go.
            device: The die of every rank.
            ranks: Ranks of the channel.
            title: What ran, for the viewer.
        """
        self._out = out
        self._packer = zlib.compressobj(4, wbits=31)  # 31: with the header and trailer of gzip
        self._ps_per_ck = device.ck_ns * 1e3
        self._timing = device.timing.counts() | {"nMODE": device.mode_ck, "nMAC": device.mac_ck}
        self._groups = device.organisation.banks_per_group.n
        self._open: dict[tuple[int, int], tuple[int, int]] = {}  # process and thread: since when, which row
        self._ranks = ranks
        self._commands = 0
        self._last_ck = 0
        about = {"title": title, "scale": SCALE, "ck_ps": self._ps_per_ck, "die": device.name}
        self._write(f'{{"displayTimeUnit":"ns","otherData":{json.dumps(about, allow_nan=False)},"traceEvents":[\n')
        self._write(",\n".join(self._names(title)))

    def take(self, table: NDArray[Any]) -> None:
        """Draw the next commands.

        Raises:
            InputError: There are more than a viewer can take.
        """
        self._commands += len(table)
        if self._commands > MOST_COMMANDS:
            raise InputError(f"more than {MOST_COMMANDS:,} commands: a timeline holds no more, take a smaller product")
        for begin in range(0, len(table), _AT_ONCE):
            rows = table[begin : begin + _AT_ONCE].tolist()
            self._write("".join([self._text(drawn) for row in rows for drawn in self._slices(*row)]))

    def close(self) -> None:
        """End: rows that are still open last until the last command."""
        for process, thread in list(self._open):
            for drawn in self._close_row(process, thread, self._last_ck):
                self._write(self._text(drawn))
        self._write("\n]}\n")
        self._out.write(self._packer.flush())

    def _write(self, text: str) -> None:
        self._out.write(self._packer.compress(text.encode()))

    def _names(self, title: str) -> Iterator[str]:
        """Names of tracks, in the order of their numbers."""
        threads = {_CHANNEL: {_CA: "CA", _DQ: "DQ"}}
        banks = {_BANKS + bank: f"bank {bank // 4}.{bank % 4}" for bank in range(16)}
        parities = {_PARITIES: "even banks", _PARITIES + 1: "odd banks"}
        for rank in range(self._ranks):
            threads[rank + 1] = {_WHOLE: "whole rank", _MAC: "MAC", **banks, **parities}
        for process, names in threads.items():
            name = f"rank {process - 1}" if process else f"channel: {title} ({SCALE})"
            yield _named("process", process, 0, name)
            for thread, text in names.items():
                yield _named("thread", process, thread, text)

    def _text(self, drawn: Slice) -> str:
        """One slice; times are written in us with three digits, which are the whole ns that viewers keep."""
        process, thread, name, ck, lasts, arguments = drawn
        begin = round(ck * self._ps_per_ck)
        length = round((ck + lasts) * self._ps_per_ck) - begin
        times = f'"ts":{begin // 1000}.{begin % 1000:03d},"dur":{length // 1000}.{length % 1000:03d}'
        return f',\n{{"ph":"X","pid":{process},"tid":{thread},"name":"{name}",{times},"args":{arguments}}}'

    def _slices(self, ck: int, name: str, rank: int, group: int, bank: int, row: int, column: int) -> Iterator[Slice]:
        """Everything that one command shows."""
        t = self._timing
        self._last_ck = max(self._last_ck, ck)
        fields = {"ck": ck, "rank": rank, "bank_group": group, "bank": bank, "row": row, "column": column}
        known = ",".join([f'"{key}":{value}' for key, value in fields.items() if value >= 0])
        yield _CHANNEL, _CA, name, ck, 1, f"{{{known}}}"
        if way := ON_BUS.get(name):
            data = ck + (t["nCL"] if way == "read" else t["nCWL"])
            yield _CHANNEL, _DQ, name, data, t["nBL_min"], f'{{"ck":{ck},"rank":{rank}}}'
        mask = rank if name in MASKED else 1 << rank
        for process in range(1, self._ranks + 1):
            if mask >> (process - 1) & 1:
                yield from self._on_rank(process, ck, name, group * self._groups + bank, bank, row, column)

    def _on_rank(
        self, process: int, ck: int, name: str, place: int, parity: int, row: int, column: int
    ) -> Iterator[Slice]:
        """What a command shows on the tracks of one rank that takes it."""
        t = self._timing
        bank = _PARITIES + parity if name in BY_PARITY else _BANKS + place
        done_to_rows = ON_ROWS.get(name)
        if done_to_rows == "open":
            self._open[process, bank] = (ck, row)
        elif done_to_rows == "close":
            yield from self._close_row(process, bank, ck)
        elif done_to_rows == "close all":
            for at in [thread for owner, thread in self._open if owner == process]:
                yield from self._close_row(process, at, ck)
        if name in ("RD", "WR", "RDA", "WRA"):
            yield process, bank, name, ck, t["nBL_min"], f'{{"column":{column}}}'
        if name in ("RDA", "WRA"):
            done = t["nRTP"] if name == "RDA" else t["nCWL"] + t["nBL_min"] + t["nWR"]
            opened = self._open.get((process, bank), (ck, row))[0]
            yield from self._close_row(process, bank, max(ck + done, opened + t["nRAS"]))
        if name == "PIM_MAC":
            yield process, _MAC, name, ck, t["nMAC"], f'{{"parity":{parity},"column":{column}}}'
        if name == "REFPB":
            for partner in (0, 8):
                yield process, bank + partner, name, ck, t["nRFCpb"], "{}"
        if name in HOLDS_RANK:
            yield process, _WHOLE, name, ck, t[HOLDS_RANK[name]], "{}"

    def _close_row(self, process: int, thread: int, ck: int) -> Iterator[Slice]:
        """Show a row from its activation on."""
        if (process, thread) in self._open:
            since, row = self._open.pop((process, thread))
            yield process, thread, f"row {row}", since, ck - since, "{}"


def _named(what: str, process: int, thread: int, name: str) -> str:
    arguments = json.dumps({"name": name})
    return f'{{"ph":"M","pid":{process},"tid":{thread},"name":"{what}_name","args":{arguments}}}'
