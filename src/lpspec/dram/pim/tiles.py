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

from lpspec.dram.pim.program import EVERY_MPU, ProgramBuilder, Reach
from lpspec.dram.pim.weights import PimChannel, Tile, Unit, ranks_of
from lpspec.machine.die import DieSpec

REFRESH_INTERVALS = 2
"""Refresh intervals of MACs between two refresh points: a stop pays for both, and retention has room for 9."""

BURST_SUMS = 8
"""Accumulators in a burst."""

BURST_BYTES = 32


@dataclass(frozen=True, slots=True)
class InputStream:
    """The inputs of some matrices as bursts: [pass, row of k, burst], from ``first`` in the program's input image.

    Attributes:
        first: First burst.
        matrices: Whose inputs, one after the other; the tokens of all of them share the ALUs.
        k: Inputs of one token.
        tokens: Tokens of each matrix.
    """

    first: int
    matrices: tuple[int, ...]
    k: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Readout:
    """Accumulators of one MPU after one pass, from burst ``first`` of the output image: [tokens, bursts of 8 lanes]."""

    first: int
    matrix: int
    token: int
    tokens: int
    column: int
    lanes: int


@dataclass(frozen=True, slots=True)
class Step:
    """How rows, input bursts and output bursts move on with each round of a loop."""

    row: int = 0
    inputs: int = 0
    outputs: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """One unit in one pass.

    Attributes:
        unit: The unit.
        tokens: Its tokens.
        inputs: First input burst of each part of its MPUs that has inputs of its own, behind where these go.
        runs: Runs of accumulators to read (burst, count).
    """

    unit: Unit
    tokens: int
    inputs: tuple[tuple[Reach, int], ...]
    runs: tuple[tuple[int, int], ...]

    @property
    def first_input(self) -> int:
        """The first of its input bursts."""
        return self.inputs[0][1]


@dataclass(frozen=True, slots=True)
class Pass:
    """What the units of a tile do in one pass.

    Attributes:
        works: Units that still have tokens.
        tokens: Tokens served, the most of any unit.
        outputs: First output burst.
    """

    works: tuple[Work, ...]
    tokens: int
    outputs: int

    def shape(self) -> tuple[object, ...]:
        """Everything but the rows and bursts that may move on in a loop."""
        first = self.works[0]

        def inputs(w: Work) -> tuple[object, ...]:
            return tuple((reach, burst - first.first_input) for reach, burst in w.inputs)

        return (
            self.tokens,
            tuple(
                (w.unit.rank, w.unit.k, w.tokens, w.runs, w.unit.row - first.unit.row, inputs(w)) for w in self.works
            ),
        )


Plan = tuple[Pass, ...]


def passes_of(
    channel: PimChannel,
    tile: Tile,
    tokens: int,
    k: int,
    streams: dict[tuple[int, ...], InputStream],
    readouts: list[Readout],
) -> Plan:
    """The passes of a tile, each readout noted in the order in which bursts come."""
    alus = channel.device.pim.alus.n
    passes: list[Pass] = []
    for first in range(0, tokens * max(len(sets[0][1]) for unit in tile if (sets := input_sets(channel, unit))), alus):
        works: list[Work] = []
        outputs = end_of(readouts)
        served = 0
        for unit in tile:
            sets = input_sets(channel, unit)
            here = min(alus, tokens * len(sets[0][1]) - first)
            if here <= 0:
                continue
            served = max(served, here)
            rows_before = first // alus * channel.segments(k) + unit.k_first // channel.columns
            inputs = tuple((reach, streams[own].first + rows_before * channel.row_bursts) for reach, own in sets)
            works.append(Work(unit, here, inputs, tuple(_runs(channel, unit, first, here, tokens, readouts))))
        passes.append(Pass(tuple(works), served, outputs))
    return tuple(passes)


def input_sets(channel: PimChannel, unit: Unit) -> tuple[tuple[Reach, tuple[int, ...]], ...]:
    """Which MPUs of a unit take the inputs of which matrices: all those of all, or each run of MPUs its own."""
    if not channel.inputs_apart or len(unit.matrices) == 1:
        return ((EVERY_MPU, unit.matrices),)
    mpus = {own: [block.mpu for block in unit.blocks if block.matrix == own] for own in unit.matrices}
    return tuple(((min(some), len(some)), (own,)) for own, some in mpus.items())


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


def end_of(readouts: Sequence[Readout]) -> int:
    """Output bursts noted so far."""
    if not readouts:
        return 0
    return readouts[-1].first + readouts[-1].tokens * -(-readouts[-1].lanes // BURST_SUMS)


def _runs(
    channel: PimChannel, unit: Unit, first: int, here: int, tokens: int, readouts: list[Readout]
) -> list[tuple[int, int]]:
    """Runs of accumulator bursts (first, count) of one unit after the pass of its token rows from ``first``."""
    runs: list[tuple[int, int]] = []
    per_token, per_mpu, apart = channel.lanes // BURST_SUMS, channel.device.readback_bursts, channel.inputs_apart
    place = {matrix: 0 if apart else i * tokens for i, matrix in enumerate(unit.matrices)}
    begin = until = 0  # accumulator bursts of the run that is open
    end = end_of(readouts)
    for block in unit.blocks:
        start = place[block.matrix]  # of the matrix among the unit's token rows
        low, high = max(first, start), min(first + here, start + tokens)
        if low >= high:
            continue
        readouts.append(Readout(end, block.matrix, low - start, high - low, block.first, block.lanes))
        used = -(-block.lanes // BURST_SUMS)
        end += (high - low) * used
        burst = block.mpu * per_mpu + (low - first) * per_token
        if used == per_token:  # tokens side by side
            used *= high - low
            low = high - 1
        for _ in range(high - low):
            if burst != until:
                if until:
                    runs.append((begin, until - begin))
                begin = burst
            until = burst + used
            burst += per_token
    return [*runs, (begin, until - begin)] if until else runs


def pairs_between_refreshes(device: DieSpec) -> int:
    """Pairs of whole segments between two refresh points."""
    return max(1, REFRESH_INTERVALS * device.timing.nREFI.n // (2 * device.organisation.columns * device.mac_ck))


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
            and all(a.shape() == b.shape() for a, b in zip(plans[j - period], plans[j], strict=True))
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


@dataclass
class TileWriter:
    """Writes the lines of tiles, keeping track of open rows and of the loops around."""

    channel: PimChannel
    fence_ck: int
    builder: ProgramBuilder = field(init=False)
    steps: list[Step] = field(default_factory=list)
    open: dict[int, int] = field(default_factory=dict)  # parity: ranks

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
        for _, same in groupby(plan, lambda p: p.shape()):
            passes = tuple(same)
            step = difference(passes, passes[1:]) if len(passes) > 1 else Step()
            with self.loop(len(passes), step):
                self._pass(passes[0])

    def _pass(self, work: Pass) -> None:
        """Stream all segments through the MPUs, close the rows, read the accumulators back."""
        device = self.channel.device
        width, banks = self.channel.columns, self.channel.banks_per_mpu
        full = min(w.unit.k for w in work.works) // width
        longest = max(self.channel.segments(w.unit.k) for w in work.works)
        rounds = max(0, full - 2) // 2
        for j in range(min(2, longest)):
            self._segment(work, j)
        block = pairs_between_refreshes(device)
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
        by_row = self._open_row(work, j)
        for c in range(self.channel.chunks):
            lengths = self._send(work, j, c)
            if refresh and self.channel.banks_per_mpu == 2 and c == 0:
                self._refresh_between(parity, by_row)
            self._multiply(work, lengths, j, c)

    def _open_row(self, work: Pass, j: int) -> dict[int, int]:
        """Open the row of segment j; the ranks of each row."""
        banks = self.channel.banks_per_mpu
        units = [w.unit for w in work.works if w.unit.k > j * self.channel.columns]
        by_row = {row: ranks_of([u for u in units if u.row == row]) for row in dict.fromkeys(u.row for u in units)}
        steps = [step.row for step in self.steps]
        for row, mask in by_row.items():
            self.builder.activate(mask, j % banks, row + j // banks, steps)
        self.open[j % banks] = ranks_of(units)
        return by_row

    def _send(self, work: Pass, j: int, c: int) -> list[tuple[Work, int]]:
        """Send set c of the inputs of segment j; how many inputs of a token each unit then has."""
        width, chunk, chunks = self.channel.columns, self.channel.chunk, self.channel.chunks
        counts = [(w, min(width, w.unit.k - j * width)) for w in work.works if w.unit.k > j * width]
        lengths = [(w, min(chunk, count - c * chunk)) for w, count in counts if count > c * chunk]
        self._inputs(lengths, j * chunks + c, (j * chunks + c) % 2)
        return lengths

    def _multiply(self, work: Pass, lengths: Sequence[tuple[Work, int]], j: int, c: int) -> None:
        """Stream what these inputs meet."""
        chunk, parity = self.channel.chunk, j % self.channel.banks_per_mpu
        done = 0
        for length in sorted({count for _, count in lengths}):
            mask = ranks_of([w.unit for w, count in lengths if count >= length])
            inputs = (j * self.channel.chunks + c) % 2
            self.builder.mac(mask, parity, inputs, c * chunk + done, length - done, work.tokens)
            done = length

    def _inputs(self, lengths: Sequence[tuple[Work, int]], chunk: int, inputs: int) -> None:
        """Send one set of inputs: once for all ranks where they are the same."""
        slots = self.builder.slots
        marks = [step.inputs for step in self.steps]
        for (parts, tokens, count), same in groupby(lengths, lambda pair: (pair[0].inputs, pair[0].tokens, pair[1])):
            mask = ranks_of([w.unit for w, _ in same])
            for reach, first in parts:
                data = first + chunk * slots
                for slot, bursts in self._slots(tokens, count):
                    self.builder.load_inputs(mask, inputs * slots + slot, bursts, data + slot, marks, reach)

    def _refresh_between(self, parity: int, by_row: dict[int, int]) -> None:
        """Refresh where only the row that comes next is open: it is opened again, for nothing else was opened yet."""
        if 1 - parity in self.open:
            self.builder.precharge(self.open.pop(1 - parity), 1 - parity)
        idle = self.channel.mask & ~sum(by_row.values())
        for mask in by_row.values():  # ranks with different rows open refresh one after the other
            self.builder.refresh_point(mask | idle)
            idle = 0
