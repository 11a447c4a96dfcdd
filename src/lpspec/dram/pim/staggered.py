"""Scores by ranks in turn: while one rank reads its accumulators back, the others compute, and queries stay.

All sums of QK^T come back over the one bus, which takes longer than MACs, and an MPU has one set of accumulators. So
ranks follow each other a row of MACs apart: of three ranks with keys of two rows, two compute while the third reads
back, and what a row takes both takes. Ranks that compute at once take one command, so they must be in the same bank:
every other tile begins with its second row. All keys of a head meet the same queries, which are sent once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from lpspec.dram.pim.passes import Pass, Plan, Work
from lpspec.dram.pim.program import ProgramBuilder
from lpspec.dram.pim.tiles import Step, TileWriter
from lpspec.dram.pim.weights import PimChannel

ROUNDS = 8
"""Tiles of each rank between two refresh points: rows are closed there, which takes 1 % of them."""


class Line(NamedTuple):
    """A line of a program: which, for what ranks, what it says besides, and its row or burst, which loops move on."""

    kind: str
    mask: int
    says: tuple[int, ...] = ()
    at: int = 0


Slot = list[Line]
"""What begins in the time of a row of MACs."""


def takes_turns(channel: PimChannel, k: int) -> bool:
    """Whether ranks can: there are several, a tile's rows may all be open, and registers hold its inputs."""
    segments = channel.segments(k)
    return channel.concurrent > 1 and segments <= channel.banks_per_mpu and segments * channel.chunks <= 2


def write_staggered(writer: TileWriter, plans: Sequence[Plan]) -> None:
    """Write all tiles: those of the same heads together, so that queries stay in the registers, pass by pass."""
    for _, same in groupby(plans, lambda plan: tuple(w.unit.matrices for w in plan[0].works)):
        tiles = list(same)
        for number in range(len(tiles[0])):
            run = _Run(writer.channel, [tile[number] for tile in tiles])
            _write(writer, list(run.slots()), run.period)


@dataclass
class _Run:
    """The same pass of consecutive tiles of the same heads, rank by rank."""

    channel: PimChannel
    passes: list[Pass]
    open: dict[tuple[int, int], int] = field(default_factory=dict)  # rank and bank: row

    @property
    def segments(self) -> int:
        """Rows of a tile."""
        return self.channel.segments(self.passes[0].works[0].unit.k)

    @property
    def period(self) -> int:
        """Slots after which all is as before, refresh points and the banks of tiles included."""
        return ROUNDS * (self.segments + 1)

    def _place(self, slot: int, number: int) -> tuple[int, int] | None:
        """Tile of a rank in a slot, and the row that it streams; as many rows as it has for reading back."""
        tile, row = divmod(slot - number, self.segments + 1)
        if not 0 <= tile < len(self.passes) or number >= len(self.passes[tile].works):
            return None
        turned = self.segments == 2 and row < 2 and (number + tile) % 2 == 1
        return tile, 1 - row if turned else row

    def slots(self) -> Iterator[Slot]:
        """Every slot, until the last rank has read back."""
        ranks = len(self.passes[0].works)
        last = len(self.passes) * (self.segments + 1) + ranks - 1
        yield [line for number in range(ranks) for line in self._inputs(number)]
        for slot in range(last):
            streams: dict[tuple[int, ...], int] = {}
            reads: Slot = []
            opens = [line for number in range(ranks) for line in self._opened(slot, number)]
            for number in range(ranks):
                place = self._place(slot, number)
                if place is None:
                    continue
                work = self.passes[place[0]].works[number]
                if place[1] == self.segments:
                    reads += self._read(self.passes[place[0]], work)
                else:
                    says = place[1], self._columns(work, place[1]), work.tokens
                    streams[says] = streams.get(says, 0) | 1 << work.unit.rank
            macs = [Line("mac", mask, says) for says, mask in streams.items()]
            ends = slot == last - 1 or (slot + 1) % self.period == 0
            yield [*opens, *macs, *self._closed(slot, ends), *reads, *([Line("refresh", self.channel.mask)] * ends)]

    def _columns(self, work: Work, row: int) -> int:
        """Columns in use of a row."""
        return min(self.channel.columns, work.unit.k - row * self.channel.columns)

    def _inputs(self, number: int) -> Iterator[Line]:
        """Queries of a rank, for all rows."""
        work, slots = self.passes[0].works[number], self.channel.device.slots_per_set
        for j in range(self.segments):
            count = self._columns(work, j)
            for c in range(self.channel.chunks):
                inputs = min(self.channel.chunk, count - c * self.channel.chunk)
                if inputs > 0:
                    chunk = j * self.channel.chunks + c
                    first = work.first_input + chunk * slots
                    yield Line("in", 1 << work.unit.rank, (chunk, work.tokens, inputs), first)

    def _opened(self, slot: int, number: int) -> Iterator[Line]:
        """Rows that a rank needs in this slot or the next two, and has not open."""
        for ahead in range(self.segments + 1):
            place = self._place(slot + ahead, number)
            if place is None or place[1] == self.segments:
                continue
            unit = self.passes[place[0]].works[number].unit
            if (unit.rank, place[1]) not in self.open:
                self.open[unit.rank, place[1]] = unit.row
                yield Line("act", 1 << unit.rank, (place[1],), unit.row)

    def _closed(self, slot: int, every: bool) -> Iterator[Line]:
        """Rows that were streamed in this slot, or all."""
        closing: dict[int, int] = {}
        for rank, bank in list(self.open):
            numbers = [i for i, work in enumerate(self.passes[0].works) if work.unit.rank == rank]
            place = self._place(slot, numbers[0])
            if every or (place is not None and place[1] == bank):
                del self.open[rank, bank]
                closing[bank] = closing.get(bank, 0) | 1 << rank
        for bank, mask in closing.items():
            yield Line("pre", mask, (bank,))

    def _read(self, work_of: Pass, work: Work) -> Iterator[Line]:
        burst = work_of.outputs
        for other in work_of.works:
            for first, count in other.runs:
                if other is work:
                    yield Line("out", 1 << work.unit.rank, (work.unit.rank, first, count), burst)
                burst += count


def _write(writer: TileWriter, slots: list[Slot], period: int) -> None:
    """Write slots, those that repeat as loops."""
    at = 0
    while at < len(slots):
        rounds, step = _repeats(slots, at, period)
        if rounds > 1:
            with writer.loop(rounds, step):
                for slot in slots[at : at + period]:
                    _write_slot(writer, slot)
            at += rounds * period
        else:
            _write_slot(writer, slots[at])
            at += 1


def _repeats(slots: list[Slot], at: int, period: int) -> tuple[int, Step]:
    """How often a period of slots comes again, and how rows and output bursts move on."""
    moved = {"act": 0, "out": 0}
    for one, other in zip(slots[at : at + period], slots[at + period : at + 2 * period], strict=False):
        for a, b in zip(one, other, strict=False):
            if a.kind in moved:
                moved[a.kind] = moved[a.kind] or b.at - a.at
    rounds = 1
    while at + (rounds + 1) * period <= len(slots) and all(
        _moved(line, moved) == later
        for i in range(at + (rounds - 1) * period, at + rounds * period)
        for line, later in _pairs(slots[i], slots[i + period])
    ):
        rounds += 1
    return rounds, Step(row=moved["act"], outputs=moved["out"])


def _pairs(one: Slot, other: Slot) -> Iterator[tuple[Line, Line | None]]:
    if len(one) != len(other):
        yield Line("", 0), None
        return
    yield from zip(one, other, strict=True)


def _moved(line: Line, by: dict[str, int]) -> Line:
    return line._replace(at=line.at + by.get(line.kind, 0))


def _write_slot(writer: TileWriter, slot: Slot) -> None:
    b, marks, rows = writer.builder, [s.outputs for s in writer.steps], [s.row for s in writer.steps]
    for kind, mask, says, at in slot:
        if kind == "act":
            b.activate(mask, says[0], at, rows)
        elif kind == "pre":
            b.precharge(mask, says[0])
        elif kind == "mac":
            _stream(b, writer.channel, mask, says)
        elif kind == "in":
            writer.send(mask, at, *says)
        elif kind == "out":
            b.read_back(says[0], says[1], says[2], at, marks)
        else:
            b.refresh_point(mask)


def _stream(b: ProgramBuilder, channel: PimChannel, mask: int, says: tuple[int, ...]) -> None:
    """Stream a row, set of inputs by set."""
    row, count, tokens = says
    for c in range(0, count, channel.chunk):
        b.mac(mask, row, row * channel.chunks + c // channel.chunk, c, min(channel.chunk, count - c), tokens)
