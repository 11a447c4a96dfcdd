"""The lines of a PIM program, tile by tile and pass by pass, with loops where tiles or passes repeat.

The lines are written in the plainest order: close a row, open the next, send its inputs, stream it. What overlaps
follows from the units of the engine, each of which runs ahead as far as the lines above allow: a row opens and inputs
come while the other bank streams.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from lpspec.dram.pim.passes import Pass, Plan, Work
from lpspec.dram.pim.program import ProgramBuilder, Reach
from lpspec.dram.pim.weights import PimChannel, ranks_of

BURST_BYTES = 32


class Step(NamedTuple):
    """How rows, input bursts and output bursts move on with each round of a loop."""

    row: int = 0
    inputs: int = 0
    outputs: int = 0


@lru_cache(maxsize=1 << 10)
def _filled(tokens: int, count: int, depth: int) -> tuple[tuple[int, int], ...]:
    """Runs of slots (first, bursts) that hold the first ``count`` of ``depth`` bytes of inputs of each token."""
    runs: list[tuple[int, int]] = []
    for token in range(tokens):
        first, last = token * depth // BURST_BYTES, (token * depth + count - 1) // BURST_BYTES
        if runs and first <= sum(runs[-1]):
            runs[-1] = (runs[-1][0], last + 1 - runs[-1][0])
        else:
            runs.append((first, last + 1 - first))
    return tuple(runs)


def difference(plan: Plan, later: Plan) -> Step:
    """How far a later tile's rows and bursts lie from a tile's."""
    a, b = plan[0], later[0]
    inputs = b.works[0].first_input - a.works[0].first_input
    return Step(b.works[0].unit.row - a.works[0].unit.row, inputs, b.outputs - a.outputs)


def repeats(plans: list[Plan], period: int) -> Iterator[tuple[int, int, int]]:
    """Runs of tiles that a loop can express: first tile, tiles of a round, rounds."""

    def follows(i: int, step: Step) -> bool:
        """Whether a period of tiles from i on repeats the one before it, moved on by the step."""
        return i + period <= len(plans) and all(
            len(plans[j]) == len(plans[j - period])
            and all(a.shape == b.shape for a, b in zip(plans[j - period], plans[j], strict=True))
            and difference(plans[j - period], plans[j]) == step
            for j in range(i, i + period)
        )

    at = 0
    while at < len(plans):
        rounds = 1
        if at + 2 * period <= len(plans):
            step = difference(plans[at], plans[at + period])
            while follows(at + rounds * period, step):
                rounds += 1
        width = period if rounds > 1 else 1
        yield at, width, rounds
        at += width * rounds


class _Row(NamedTuple):
    """What all units do in one segment.

    Attributes:
        opened: Ranks by the row that they open, in the first segment of a bank.
        sent: By set of registers: ranks, MPUs, first input burst of the first set, slot, and bursts.
        streamed: By set of registers: ranks, first column, and columns.
    """

    opened: dict[int, int]
    sent: list[list[tuple[int, Reach, int, int, int]]]
    streamed: list[list[tuple[int, int, int]]]


@dataclass
class TileWriter:
    """Writes the lines of tiles, keeping track of open rows and of the loops around."""

    channel: PimChannel
    fence_ck: int
    builder: ProgramBuilder = field(init=False)
    steps: list[Step] = field(default_factory=list)
    open: dict[int, int] = field(default_factory=dict)  # parity: ranks
    _rows: dict[tuple[int, ...], _Row] = field(default_factory=dict)  # of the pass, by inputs of each unit
    _full: int = 0  # segments that are full in all units of the pass

    def __post_init__(self) -> None:
        """Start a program without lines."""
        self.builder = ProgramBuilder(self.channel.device, self.channel.ranks, self.channel.form)

    @contextmanager
    def loop(self, rounds: int, step: Step) -> Iterator[None]:
        """A loop, left out where it would have one round."""
        if rounds == 1:
            yield
            return
        with self.builder.loop(rounds):
            self.steps.append(step)
            yield
            self.steps.pop()

    def tile(self, plan: Plan) -> None:
        """All passes of a tile; equal ones as a loop."""
        for _, same in groupby(plan, lambda p: p.shape):
            passes = tuple(same)
            step = difference(passes, passes[1:]) if len(passes) > 1 else Step()
            with self.loop(len(passes), step):
                self._pass(passes[0])

    def _pass(self, work: Pass) -> None:
        """Stream all segments through the MPUs, close the rows, read the accumulators back."""
        width, banks = self.channel.columns, self.channel.banks_per_mpu
        self._full = full = min(w.unit.k for w in work.works) // width
        longest = max(self.channel.segments(w.unit.k) for w in work.works)
        rounds = max(0, full - 2) // 2
        self._rows = {}
        for j in range(min(2, longest)):
            self._segment(work, j)
        block = self.channel.pairs_between_refreshes
        pair = Step(2 // banks, 2 * self.channel.row_bursts)
        if rounds >= block:
            with self.loop(rounds // block, Step(pair.row * block, pair.inputs * block)):
                self._pairs(work, 2, block, pair)
        if rounds % block:
            self._pairs(work, 2 + rounds // block * block * 2, rounds % block, pair)
        for j in range(2 + 2 * rounds, longest):
            self._segment(work, j)
        self.close()
        if self.fence_ck:
            self.builder.wait(self.fence_ck)
        self.read_back(work, work.outputs)
        self.refresh_point()

    def close(self) -> None:
        """Close the rows that are open."""
        for parity in sorted(self.open):
            self.builder.precharge(self.open.pop(parity), parity)

    def read_back(self, work: Pass, burst: int) -> None:
        """Read the accumulators of a pass, from a burst of the output image on."""
        marks = [step.outputs for step in self.steps]
        for w in work.works:
            for first, count in w.runs:
                self.builder.read_back(w.unit.rank, first, count, burst, marks)
                burst += count

    def send(self, mask: int, data: int, inputs: int, tokens: int, count: int) -> None:
        """Fill a set of registers of some ranks, once: ``count`` inputs of each token, from a burst of the image on."""
        slots = self.builder.slots
        for slot, bursts in self._slots(tokens, count):
            self.builder.load_inputs(mask, inputs * slots + slot, bursts, data + slot)

    def _slots(self, tokens: int, count: int) -> tuple[tuple[int, int], ...]:
        """Runs of slots of a set (first, bursts) that hold ``count`` inputs of each token."""
        return _filled(tokens, count * self.channel.form.input_bytes, self.channel.chunk_bytes)

    def refresh_point(self) -> None:
        """Let all ranks refresh here if they owe it."""
        self.builder.refresh_point(self.channel.mask)

    def _pairs(self, work: Pass, first: int, pairs: int, step: Step) -> None:
        """Pairs of whole segments from the even segment ``first``, with a refresh point in the first of them."""
        self._segment(work, first, refresh=True)
        self._segment(work, first + 1)
        if pairs > 1:
            with self.loop(pairs - 1, step):
                self._segment(work, first + 2)
                self._segment(work, first + 3)

    def _segment(self, work: Pass, j: int, refresh: bool = False) -> None:
        """Open the row of segment j, send its inputs, and stream it."""
        parity = j % self.channel.banks_per_mpu
        if parity in self.open:
            self.builder.precharge(self.open.pop(parity), parity)
        if refresh and self.channel.banks_per_mpu == 1:
            self.builder.refresh_point(self.channel.mask)
        row, chunks, slots = self._row(work, j), self.channel.chunks, self.builder.slots
        steps = [step.row for step in self.steps]
        for first, mask in row.opened.items():
            self.builder.activate(mask, parity, first + j // self.channel.banks_per_mpu, steps)
        self.open[parity] = sum(row.opened.values())
        marks = [step.inputs for step in self.steps]
        for c in range(chunks):
            chunk = j * chunks + c
            inputs = chunk % 2
            for mask, reach, first, slot, bursts in row.sent[c]:
                data = first + chunk * slots + slot
                self.builder.load_inputs(mask, inputs * slots + slot, bursts, data, marks, reach)
            if refresh and self.channel.banks_per_mpu == 2 and c == 0:
                self._refresh_between(parity, row.opened)
            for mask, column, count in row.streamed[c]:
                self.builder.mac(mask, parity, inputs, column, count, work.tokens)

    def _row(self, work: Pass, j: int) -> _Row:
        """What a segment takes; the same as of another one with as many inputs."""
        width, works = self.channel.columns, work.works
        counts = () if j < self._full else tuple([min(width, max(0, w.unit.k - j * width)) for w in works])
        found = self._rows.get(counts)
        if found is None:
            found = self._rows[counts] = self._made_row(work, counts or (width,) * len(works))
        return found

    def _made_row(self, work: Pass, counts: tuple[int, ...]) -> _Row:
        """What a segment takes with so many inputs of each unit."""
        chunk, opened = self.channel.chunk, dict[int, int]()
        for w, count in zip(work.works, counts, strict=True):
            if count:
                opened[w.unit.row] = opened.get(w.unit.row, 0) | 1 << w.unit.rank
        sent, streamed = [], []
        for first in range(0, chunk * self.channel.chunks, chunk):
            pairs = zip(work.works, counts, strict=True)
            lengths = [(w, min(chunk, count - first)) for w, count in pairs if count > first]
            sent.append(list(self._inputs(lengths)))
            streamed.append(list(self._columns(lengths, first)))
        return _Row(opened, sent, streamed)

    def _columns(self, lengths: Sequence[tuple[Work, int]], first: int) -> Iterator[tuple[int, int, int]]:
        """What streams past one set of inputs: ranks, first column, and columns."""
        done = 0
        for length in sorted({count for _, count in lengths}):
            yield ranks_of([w.unit for w, count in lengths if count >= length]), first + done, length - done
            done = length

    def _inputs(self, lengths: Sequence[tuple[Work, int]]) -> Iterator[tuple[int, Reach, int, int, int]]:
        """One set of inputs, sent once for all ranks where they are the same."""
        for (parts, tokens, count), same in groupby(lengths, lambda pair: (pair[0].inputs, pair[0].tokens, pair[1])):
            mask = ranks_of([w.unit for w, _ in same])
            for reach, first in parts:
                for slot, bursts in self._slots(tokens, count):
                    yield mask, reach, first, slot, bursts

    def _refresh_between(self, parity: int, by_row: dict[int, int]) -> None:
        """Refresh where only the row that comes next is open: it is opened again, for nothing else was opened yet."""
        if 1 - parity in self.open:
            self.builder.precharge(self.open.pop(1 - parity), 1 - parity)
        idle = self.channel.mask & ~sum(by_row.values())
        for mask in by_row.values():  # ranks with different rows open refresh one after the other
            self.builder.refresh_point(mask | idle)
            idle = 0
