"""What the dies of a channel do in each pass of a product, and what the bursts that come back mean.

A die computes a tile for as many token rows as it has ALUs in a pass, then its accumulators are read back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from lpspec.dram.pim.program import EVERY_MPU, Reach
from lpspec.dram.pim.weights import PimChannel, Tile, Unit

BURST_SUMS = 8
"""Accumulators in a burst."""


class InputStream(NamedTuple):
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


class Readout(NamedTuple):
    """Accumulators of one MPU after one pass, from burst ``first`` of the output image: [tokens, bursts of 8 lanes]."""

    first: int
    matrix: int
    token: int
    tokens: int
    column: int
    lanes: int


class Reading(NamedTuple):
    """What is read of a unit after one pass.

    Attributes:
        unit: The unit.
        first: First of its token rows that the pass served.
        rows: How many.
        burst: First burst in the output image.
        bursts: How many.
    """

    unit: Unit
    first: int
    rows: int
    burst: int
    bursts: int


class Work(NamedTuple):
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


@dataclass(frozen=True)
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

    @cached_property
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
    readings: list[Reading],
) -> Plan:
    """The passes of a tile, each reading noted in the order in which bursts come."""
    alus, passes = channel.device.pim.alus.n, list[Pass]()
    units = [(unit, input_sets(channel, unit), _pattern(unit)) for unit in tile]
    sizes = channel.lanes // BURST_SUMS, channel.device.readback_bursts, 0 if channel.inputs_apart else tokens
    for first in range(0, tokens * max(len(sets[0][1]) for _, sets, _ in units), alus):
        works, outputs, served = list[Work](), end_of(readings), 0
        rows_before = first // alus * channel.segments(k)
        for unit, sets, blocks in units:
            here = min(alus, tokens * len(sets[0][1]) - first)
            if here <= 0:
                continue
            served = max(served, here)
            before = (rows_before + unit.k_first // channel.columns) * channel.row_bursts
            inputs = tuple([(reach, streams[own].first + before) for reach, own in sets])
            runs, bursts = _runs(blocks, (first, here, tokens), sizes)
            readings.append(Reading(unit, first, here, end_of(readings), bursts))
            works.append(Work(unit, here, inputs, runs))
        passes.append(Pass(tuple(works), served, outputs))
    return tuple(passes)


def input_sets(channel: PimChannel, unit: Unit) -> tuple[tuple[Reach, tuple[int, ...]], ...]:
    """Which MPUs of a unit take the inputs of which matrices: all those of all, or each run of MPUs its own."""
    if not channel.inputs_apart or len(unit.matrices) == 1:
        return ((EVERY_MPU, unit.matrices),)
    mpus = {own: [block.mpu for block in unit.blocks if block.matrix == own] for own in unit.matrices}
    return tuple(((min(some), len(some)), (own,)) for own, some in mpus.items())


def end_of(readings: Sequence[Reading]) -> int:
    """Output bursts noted so far."""
    return readings[-1].burst + readings[-1].bursts if readings else 0


def _pattern(unit: Unit) -> tuple[tuple[int, int, int], ...]:
    """What of the blocks of a unit decides where its accumulators are: MPU, number of the matrix in it, outputs."""
    if len(unit.matrices) == 1:
        return tuple([(mpu, 0, lanes) for mpu, _, _, lanes in unit.blocks])
    number = {matrix: i for i, matrix in enumerate(unit.matrices)}
    return tuple([(mpu, number[matrix], lanes) for mpu, matrix, _, lanes in unit.blocks])


def _served(number: int, first: int, here: int, tokens: int, apart: int) -> tuple[int, int, int]:
    """Where token rows of a matrix begin among the unit's, and which of them a pass serves: first, and behind the last.

    Matrices follow each other ``apart`` rows apart.
    """
    start = number * apart
    return start, max(first, start), min(first + here, start + tokens)


@lru_cache(maxsize=1 << 12)
def _runs(
    blocks: tuple[tuple[int, int, int], ...], rows: tuple[int, int, int], sizes: tuple[int, int, int]
) -> tuple[tuple[tuple[int, int], ...], int]:
    """Runs of accumulator bursts (first, count) of one unit after a pass, and how many bursts they are.

    Args:
        blocks: As ``_pattern`` has them.
        rows: First token row of the pass, how many, and tokens of a matrix.
        sizes: Bursts of a token and of an MPU, and token rows from one matrix of a unit to the next.
    """
    runs: list[tuple[int, int]] = []
    (first, here, tokens), (per_token, per_mpu, apart) = rows, sizes
    begin = until = bursts = 0  # accumulator bursts of the run that is open
    for mpu, number, lanes in blocks:
        _, low, high = _served(number, first, here, tokens, apart)
        if low >= high:
            continue
        used = -(-lanes // BURST_SUMS)
        bursts += (high - low) * used
        burst = mpu * per_mpu + (low - first) * per_token
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
    return tuple([*runs, (begin, until - begin)] if until else runs), bursts


def readouts_of(channel: PimChannel, tokens: int, readings: Sequence[Reading]) -> Iterator[Readout]:
    """What the bursts of readings mean, in their order."""
    apart = 0 if channel.inputs_apart else tokens
    for unit, first, rows, begin, _ in readings:
        burst = begin
        for (_, number, _), block in zip(_pattern(unit), unit.blocks, strict=True):
            start, low, high = _served(number, first, rows, tokens, apart)
            if low < high:
                yield Readout(burst, block.matrix, low - start, high - low, block.first, block.lanes)
                burst += (high - low) * -(-block.lanes // BURST_SUMS)
