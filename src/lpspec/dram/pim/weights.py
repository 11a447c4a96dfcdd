"""Where INT8 weights and the KV cache lie in the banks of one channel's PIM ranks.

The 32 B of a column are 32 outputs (lanes) of one k, so a row of 2 KiB is 64 k of 32 outputs: a segment. An MPU keeps
its 32 outputs while k runs over columns, then rows; segments take turns between the two banks of the MPU, so that one
streams while the other opens its next row. What a die computes in one go, with the same inputs for all its MPUs, is a
``Unit``: up to 8 MPUs x 32 lanes = 256 outputs. Units are dealt to the ranks in turn, and as many as may compute at
once make a tile.

Channels work alike: outputs are dealt to them in blocks of 32, contiguous, the blocks left over going to the first
channels one each (``share_of_channel``), so channel 0 is never the one that ends early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.pim_format import INT8, PimFormat

Cells = NDArray[np.int8]
"""Content of all banks: int8 [ranks, mpus, banks of an MPU, rows, columns, lanes]; flat bank = mpu * banks + parity.

Of weights of 4 bits a column has twice as many, two a byte: cells hold each by itself.
"""

REFRESH_INTERVALS = 2
"""Refresh intervals of MACs between two refresh points: a stop pays for both, and retention has room for 9."""

Split = Literal["auto", "never", "left-over", "always"]


@dataclass(frozen=True)
class PimChannel:
    """The ranks of one channel that compute, and how many may do so at once.

    Args:
        device: The die of every rank.
        pim_ranks: Ranks that hold data for PIM, in the order in which they are filled.
        concurrent: Ranks that may compute at once (power budget); all by default.
        ranks: Ranks on the channel, those of plain DRAM included; by default up to the last PIM rank.
        form: Format in which they compute.
    """

    device: DieSpec
    pim_ranks: tuple[int, ...] = (0, 1, 2)
    concurrent: int = 0
    ranks: int = 0
    form: PimFormat = INT8

    def __post_init__(self) -> None:
        """Fill in defaults, and refuse what no channel is."""
        object.__setattr__(self, "ranks", self.ranks or max(self.pim_ranks, default=0) + 1)
        object.__setattr__(self, "concurrent", self.concurrent or len(self.pim_ranks))
        if not self.pim_ranks or len(set(self.pim_ranks)) < len(self.pim_ranks):
            raise InputError(f"pim_ranks are {list(self.pim_ranks)}: allowed is a list of different ranks")
        if not all(0 <= rank < self.ranks for rank in self.pim_ranks):
            raise InputError(f"pim_ranks are {list(self.pim_ranks)}: allowed are ranks 0 to {self.ranks - 1}")
        if not 1 <= self.concurrent <= len(self.pim_ranks):
            raise InputError(f"concurrent is {self.concurrent}: allowed is 1 to {len(self.pim_ranks)}")
        if self.chunk < 1:
            depth = self.device.pim.input_depth.n
            raise InputError(f"input_depth is {depth}: allowed for {self.form.name} is {self.form.input_bytes} or more")

    @cached_property
    def mask(self) -> int:
        """All PIM ranks, one bit each."""
        return sum(1 << rank for rank in self.pim_ranks)

    @cached_property
    def lanes(self) -> int:
        """Outputs of one MPU."""
        return self.form.lanes(self.device.pim.lanes.n)

    @cached_property
    def mpus(self) -> int:
        """MPUs of a die."""
        return self.device.mpus

    @cached_property
    def columns(self) -> int:
        """Columns of a row: so many k of an MPU's outputs."""
        return self.device.organisation.columns

    @cached_property
    def banks_per_mpu(self) -> int:
        """Banks that take turns under an MPU."""
        return self.device.pim.banks_per_mpu.n

    @cached_property
    def unit_outputs(self) -> int:
        """Outputs that one die computes at once."""
        return self.mpus * self.lanes

    def segments(self, k: int) -> int:
        """Rows (of either bank) that ``k`` takes in an MPU; the last may be partly used."""
        return -(-k // self.columns)

    def rows(self, k: int) -> int:
        """Rows of each bank of an MPU that ``k`` takes."""
        return -(-self.segments(k) // self.banks_per_mpu)

    @cached_property
    def chunks(self) -> int:
        """Sets of input registers that the k of one row fills, one after the other."""
        return -(-self.columns // self.chunk)

    @cached_property
    def chunk(self) -> int:
        """Inputs of one token in a set of registers."""
        return min(self.device.pim.input_depth.n // self.form.input_bytes, self.columns)

    @cached_property
    def chunk_bytes(self) -> int:
        """Bytes of one token in a set of registers."""
        return self.chunk * self.form.input_bytes

    @cached_property
    def inputs_apart(self) -> bool:
        """Whether matrices that share a die have inputs of their own, each in the registers of its MPUs."""
        return self.device.pim.input_reach == "mpus"

    @cached_property
    def pairs_between_refreshes(self) -> int:
        """Pairs of whole rows between two refresh points."""
        pair_ck = 2 * self.columns * self.device.mac_ck
        return max(1, REFRESH_INTERVALS * self.device.timing.nREFI.n // pair_ck)

    @cached_property
    def row_bursts(self) -> int:
        """Input bursts for the k of one row."""
        return self.chunks * self.device.slots_per_set

    def cells(self, rows: int, fill: int = 0) -> Cells:
        """Banks of which only the first ``rows`` rows are modelled, every byte ``fill``."""
        die = self.device
        shape = (self.ranks, die.mpus, die.pim.banks_per_mpu.n, rows, die.organisation.columns, self.lanes)
        return np.full(shape, fill, np.int8)

    def check_rows(self, start_row: int, rows: int) -> None:
        """Refuse rows that a bank doesn't have."""
        limit = self.device.organisation.rows.n
        if start_row < 0 or start_row + rows > limit:
            raise InputError(
                f"rows {start_row} to {start_row + rows - 1} of every bank: a bank of {self.device.name} has rows "
                f"0 to {limit - 1}"
            )


class Block(NamedTuple):
    """The outputs of one MPU within a unit: ``lanes`` of them from ``first`` of matrix number ``matrix``."""

    mpu: int
    matrix: int
    first: int
    lanes: int


class Unit(NamedTuple):
    """What one die computes in one go: its MPUs take the same inputs, each for its own outputs.

    Attributes:
        rank: The die.
        row: First row in each bank.
        k_first: First k that it sums over; a multiple of a row's columns.
        k: How many.
        blocks: The MPUs in use.
        matrices: Matrices whose inputs it needs: 0 for weights, the heads of a KV cache.
    """

    rank: int
    row: int
    k_first: int
    k: int
    blocks: tuple[Block, ...]
    matrices: tuple[int, ...] = (0,)


Tile = tuple[Unit, ...]
"""Units that compute at once, each on another rank."""


def share_of_channel(n: int, channels: int, channel: int, lanes: int = 32) -> tuple[int, int]:
    """First output and number of outputs of an N-wide matrix that one channel holds.

    Raises:
        InputError: There is no such channel.
    """
    if not 0 <= channel < channels:
        raise InputError(f"channel is {channel}: allowed is 0 to {channels - 1}")
    blocks = -(-n // lanes)
    each, left = divmod(blocks, channels)
    first = channel * each + min(channel, left)
    last = first + each + (channel < left)
    return min(first * lanes, n), min(last * lanes, n) - min(first * lanes, n)


@dataclass(frozen=True, slots=True)
class WeightPlacement:
    """One channel's share of a weight matrix, K x N, in rows from ``start_row`` of every bank of all PIM ranks.

    Attributes:
        channel: The ranks.
        k: Inputs.
        n: Outputs on this channel.
        start_row: First row.
        split_units: Units at the end whose k is split over the ranks that compute at once; the NPU adds their sums.
    """

    channel: PimChannel
    k: int
    n: int
    start_row: int = 0
    split_units: int = 0

    def __post_init__(self) -> None:
        """Refuse a matrix that is none, or that goes beyond the banks."""
        if self.k < 1 or self.n < 1:
            raise InputError(f"a matrix of {self.k} x {self.n}: allowed is at least 1 x 1")
        self.channel.check_rows(self.start_row, self.rows)

    @property
    def whole_units(self) -> int:
        """Units that sum over all k."""
        return -(-self.n // self.channel.unit_outputs) - self.split_units

    @property
    def rows(self) -> int:
        """Rows of each bank that the matrix takes."""
        whole = -(-self.whole_units // len(self.channel.pim_ranks)) * self.channel.rows(self.k)
        return whole + self.split_units * self.channel.rows(self._parts[0][1])

    @property
    def end_row(self) -> int:
        """First row behind it."""
        return self.start_row + self.rows

    @property
    def _parts(self) -> list[tuple[int, int]]:
        """First k and number of k of each part of a split unit."""
        width, parts = self.channel.columns, self.channel.concurrent
        each, left = divmod(self.channel.segments(self.k), parts)
        ends = [min((p * each + min(p, left)) * width, self.k) for p in range(parts + 1)]
        return [(a, b - a) for a, b in pairwise(ends) if b > a]

    def tiles(self) -> list[Tile]:
        """All tiles in the order in which they are computed."""
        ch = self.channel
        ranks = len(ch.pim_ranks)
        height = ch.rows(self.k)
        whole = [
            Unit(ch.pim_ranks[i % ranks], self.start_row + i // ranks * height, 0, self.k, self._blocks(i))
            for i in range(self.whole_units)
        ]
        tiles: list[Tile] = [tuple(whole[i : i + ch.concurrent]) for i in range(0, len(whole), ch.concurrent)]
        row = self.start_row + -(-self.whole_units // ranks) * height
        for i in range(self.whole_units, self.whole_units + self.split_units):
            parts = zip(ch.pim_ranks, self._parts, strict=False)
            tiles.append(tuple(Unit(rank, row, first, k, self._blocks(i)) for rank, (first, k) in parts))
            row += ch.rows(self._parts[0][1])
        return tiles

    def write(self, cells: Cells, weights: NDArray[np.int8]) -> None:
        """Write the weights, int8 [k, n], into the banks; lanes without an output become zero.

        Raises:
            InputError: The weights have another shape than the placement's.
        """
        if weights.shape != (self.k, self.n):
            raise InputError(f"weights are {weights.shape}: the placement holds {(self.k, self.n)}")
        for tile in self.tiles():
            for unit in tile:
                for block in unit.blocks:
                    part = weights[unit.k_first : unit.k_first + unit.k, block.first : block.first + block.lanes]
                    write_block(self.channel, cells, unit, block.mpu, part)

    def bursts(self, first: int = 0, count: int = 0) -> IntArray:
        """Where some outputs lie, for whoever moves them: a burst of 32 B holds one k of a block of 32 outputs.

        Args:
            first: First output, a multiple of 32.
            count: Outputs; 0 for all from there on.

        Returns:
            int64 [blocks, k, 4]: rank, flat bank, row and column (in bursts, 0 to 63).

        Raises:
            InputError: They are no whole blocks of those that there are.
        """
        lanes, width = self.channel.lanes, self.channel.columns
        banks = self.channel.banks_per_mpu
        first_block, end_block = block_range(self.n, lanes, first, count)
        found = np.zeros((-(-self.n // lanes), self.k, 4), np.int64)
        for unit in (unit for tile in self.tiles() for unit in tile):
            k = np.arange(unit.k)
            for block in unit.blocks:
                place = found[block.first // lanes, unit.k_first : unit.k_first + unit.k]
                place[:, 0] = unit.rank
                place[:, 1] = block.mpu * banks + k // width % banks
                place[:, 2] = unit.row + k // width // banks
                place[:, 3] = k % width
        return found[first_block:end_block]

    def _blocks(self, unit: int) -> tuple[Block, ...]:
        first = unit * self.channel.unit_outputs
        return tuple(blocks_of(self.channel, 0, first, min(self.channel.unit_outputs, self.n - first)))


def place_weights(channel: PimChannel, k: int, n: int, start_row: int = 0, split: Split = "auto") -> WeightPlacement:
    """Lay one channel's share of a matrix out in the banks.

    The units that are left over when tiles are full would keep some ranks idle. Splitting their k over the ranks
    takes every rank a part of the time instead, but each then reads back sums of its own. ``auto`` splits where that
    takes fewer CK of MACs and readback together, by closed form; ``left-over`` always does, and ``always`` splits some
    even where none is left over.

    Args:
        channel: The ranks.
        k: Inputs.
        n: Outputs on this channel (see ``share_of_channel``).
        start_row: First row of every bank.
        split: When to split.

    Raises:
        InputError: The matrix goes beyond the last row of the banks.
    """
    units = -(-n // channel.unit_outputs)
    left = units % channel.concurrent
    if channel.concurrent == 1 or channel.segments(k) < channel.concurrent or split == "never":
        left = 0
    elif split == "always":
        left = left or min(units, channel.concurrent)
    elif split == "auto" and left and not _split_pays(channel, k, left):
        left = 0
    return WeightPlacement(channel, k, n, start_row, left)


def _split_pays(channel: PimChannel, k: int, units: int) -> bool:
    """Whether units left over end earlier when their k is split: MACs against bursts read back, in CK per pass."""
    die, parts = channel.device, channel.concurrent
    bursts = channel.lanes * die.pim.alus.n * die.pim.accumulator_bits.n // (8 * die.organisation.burst_bytes.n)
    readback_ck = units * die.mpus * bursts * die.timing.nBL_min.n
    part_k = -(-channel.segments(k) // parts) * die.organisation.columns
    whole_ck = k * die.mac_ck + readback_ck
    return units * part_k * die.mac_ck + parts * readback_ck < whole_ck


def blocks_of(channel: PimChannel, matrix: int, first: int, count: int, mpu: int = 0) -> list[Block]:
    """Blocks of ``count`` outputs from ``first``, one MPU after the other from ``mpu`` on."""
    lanes = channel.lanes
    full = [Block(mpu + i, matrix, first + i * lanes, lanes) for i in range(count // lanes)]
    rest = count % lanes
    return [*full, Block(mpu + len(full), matrix, first + count - rest, rest)] if rest else full


def write_block(channel: PimChannel, cells: Cells, unit: Unit, mpu: int, values: NDArray[np.int8]) -> None:
    """Write int8 [k, lanes in use] into the rows of one MPU, zeros into the rest of them."""
    banks, width = channel.banks_per_mpu, channel.columns
    rows = channel.rows(unit.k)
    padded = np.zeros((rows * banks * width, channel.lanes), np.int8)
    padded[: values.shape[0], : values.shape[1]] = values
    by_bank = padded.reshape(rows, banks, width, channel.lanes).swapaxes(0, 1)
    cells[unit.rank, mpu, :, unit.row : unit.row + rows] = by_bank


def period_of(channel: PimChannel) -> int:
    """Tiles after which units lie on the same ranks again."""
    return len(channel.pim_ranks) // int(np.gcd(len(channel.pim_ranks), channel.concurrent))


def ranks_of(units: Sequence[Unit]) -> int:
    """Mask of the ranks of some units."""
    mask = 0
    for unit in units:
        mask |= 1 << unit.rank
    return mask


def block_range(n: int, lanes: int, first: int, count: int) -> tuple[int, int]:
    """The first block of some outputs, and the one behind the last.

    Args:
        n: Outputs that there are.
        lanes: Outputs of a block.
        first: First output, a multiple of ``lanes``.
        count: Outputs; 0 for all from there on.

    Raises:
        InputError: They are no whole blocks of those that there are.
    """
    end = first + (count or n - first)
    if first % lanes or not 0 <= first < end <= n:
        raise InputError(f"outputs {first} to {end - 1}: allowed are blocks of {lanes} below {n}")
    return first // lanes, -(-end // lanes)
