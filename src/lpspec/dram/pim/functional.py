"""What a PIM program computes: its instructions, or the very commands of a run, executed on data.

Dies know nothing of matrices. They have banks that a layout has written, input registers that only PIM_IN fills,
accumulators that only PIM_MAC changes and only PIM_OUT reads, and rows that must be open. A wrong row, slot or set
gives wrong numbers, and a sum that leaves INT32 is an error.

Activations of 16 bits are half-precision numbers. Nobody publishes how such units add: here (assumed) an accumulator of
32 bits is a number of single precision. A half times a weight of 8 bits has 19 bits at most, so each product is exact
in it, and each addition, k by k in the order of the columns, rounds to nearest, ties to even.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.dram.engine import state
from lpspec.dram.pim.products import Inputs, PimProgram, Results, input_type
from lpspec.dram.pim.program import EVERY_MPU, Reach, reach_of
from lpspec.dram.pim.weights import Cells, PimChannel
from lpspec.errors import InputError

GARBAGE = 0x55
"""Content of registers at power-on: not zero, so that whoever uses them unfilled sees it."""

_LARGEST = 2**31 - 1


class PimDies:
    """The PIM side of all dies of a channel, vectorised over MPUs, tokens and lanes."""

    def __init__(self, channel: PimChannel, cells: Cells) -> None:
        """Take the banks as a layout has written them; rows beyond those modelled can't be opened.

        Args:
            channel: The ranks.
            cells: int8 [ranks, mpus, banks of an MPU, rows, columns, lanes].
        """
        pim, largest = channel.device.pim, 1 << channel.form.weight_bits - 1
        if cells.min(initial=0) < -largest or cells.max(initial=0) >= largest:
            raise InputError(f"the banks hold more than {channel.form.weight_bits} bits a lane")
        self.channel = channel
        self.cells = cells
        self.inside = np.zeros(channel.ranks, np.bool_)
        self.open_row = np.full((channel.ranks, pim.banks_per_mpu.n), -1)
        registers = channel.ranks, channel.device.mpus, 2, channel.device.slots_per_set * 32
        self.registers = np.full(registers, GARBAGE, np.int8)
        self.sums: NDArray[Any] = np.zeros(
            (channel.ranks, channel.device.mpus, pim.alus.n, channel.lanes),
            np.float32 if channel.form.is_wide else np.int64,
        )
        self.stale = np.ones(channel.ranks, np.bool_)  # sums that the next MAC forgets

    def enter(self, mask: int) -> None:
        """Ranks take PIM commands from now on."""
        for rank in self._ranks(mask):
            self.inside[rank] = True

    def leave(self, mask: int) -> None:
        """Ranks become plain DRAM; their rows must be closed.

        Raises:
            InputError: A row is open.
        """
        for rank in self._ranks_inside(mask):
            if self.open_row[rank].max() >= 0:
                raise InputError(f"rank {rank} leaves PIM mode with a row open")
            self.inside[rank] = False

    def activate(self, mask: int, parity: int, row: int) -> None:
        """Open a row in one bank of every MPU.

        Raises:
            InputError: Another row is open, or there is no such row.
        """
        for rank in self._ranks_inside(mask):
            if self.open_row[rank, parity] >= 0:
                raise InputError(f"rank {rank} opens row {row} while row {self.open_row[rank, parity]} is open")
            if row >= self.cells.shape[3]:
                raise InputError(f"row {row} is opened: data lies in rows 0 to {self.cells.shape[3] - 1}")
            self.open_row[rank, parity] = row

    def precharge(self, mask: int, parity: int) -> None:
        """Close it."""
        for rank in self._ranks_inside(mask):
            self.open_row[rank, parity] = -1

    def load(self, mask: int, slot: int, burst: NDArray[np.int8], reach: Reach = EVERY_MPU) -> None:
        """Latch 32 B into a slot of the input registers of some MPUs."""
        inputs, place = divmod(slot, self.channel.device.slots_per_set)
        mpus = slice(None) if reach == EVERY_MPU else slice(reach[0], sum(reach))
        for rank in self._ranks_inside(mask):
            self.registers[rank, mpus, inputs, place * 32 : place * 32 + 32] = burst

    def mac(self, mask: int, parity: int, inputs: int, column: int, count: int = 1) -> None:
        """Multiply consecutive columns of the open row with the inputs of the same k, and add.

        Raises:
            InputError: No row is open.
        """
        pim = self.channel.device.pim
        depth, filled = self.channel.chunk, self.channel.chunk_bytes * pim.alus.n
        add, kind = _add_rounded if self.channel.form.is_wide else _add_products, input_type(self.channel.form)
        k = (column + np.arange(count)) % depth
        for rank in self._ranks_inside(mask):
            row = self.open_row[rank, parity]
            if row < 0:
                raise InputError(f"rank {rank} multiplies from a closed row")
            weights = self.cells[rank, :, parity, row, column : column + count]  # [mpus, count, lanes]
            registers = self.registers[rank, :, inputs, :filled].copy().view(kind).reshape(-1, pim.alus.n, depth)
            before = np.zeros_like(self.sums[rank]) if self.stale[rank] else self.sums[rank]
            self.stale[rank] = False
            self.sums[rank] = add(before, registers[..., k], weights)

    def read(self, rank: int, mpu: int, burst: int) -> NDArray[np.int32]:
        """The 32 bits of eight accumulators of an MPU; the next MAC of the rank starts new sums."""
        self._ranks_inside(1 << rank)
        self.stale[rank] = True
        sums = self.sums[rank, mpu].reshape(-1, 8)[burst]
        return np.asarray(sums.view(np.int32) if self.channel.form.is_wide else sums, np.int32)

    def _ranks(self, mask: int) -> list[int]:
        return [rank for rank in range(self.channel.ranks) if mask >> rank & 1]

    def _ranks_inside(self, mask: int) -> list[int]:
        ranks = self._ranks(mask)
        if not self.inside[ranks].all():
            raise InputError(f"a PIM command for ranks {ranks}, of which one is not in PIM mode")
        return ranks


def _add_products(sums: NDArray[Any], inputs: NDArray[Any], weights: NDArray[np.int8]) -> NDArray[Any]:
    """Sums [mpus, tokens, lanes] after inputs [mpus, tokens, k] times weights [mpus, k, lanes], never beyond INT32.

    Products of 64 k are below 2^24, so single precision adds them exactly. Where a sum might leave INT32 on
    the way, each step is looked at.
    """
    x, w = inputs.astype(np.float32), weights.astype(np.float32)
    if x.shape[-1] <= 1024 and np.abs(sums).max() + x.shape[-1] * 2**14 <= _LARGEST:
        return np.asarray(sums + np.matmul(x, w).astype(np.int64))
    each = x.swapaxes(1, 2)[..., None] * w[:, :, None, :]
    steps = sums[:, None] + np.cumsum(each, axis=1, dtype=np.float64)
    if steps.max() > _LARGEST or steps.min() < -_LARGEST - 1:
        raise InputError("an accumulator leaves INT32: the product needs a smaller k, or smaller operands")
    return np.asarray(steps[:, -1].astype(np.int64))


def _add_rounded(sums: NDArray[Any], inputs: NDArray[Any], weights: NDArray[np.int8]) -> NDArray[Any]:
    """Sums of single precision after the same, k by k."""
    x, w = inputs.astype(np.float32), weights.astype(np.float32)
    for k in range(x.shape[-1]):
        sums = sums + x[:, :, k, None] * w[:, None, k]
    return sums


class _Output:
    """The output image; each burst comes once."""

    def __init__(self, bursts: int) -> None:
        self.image = np.zeros((bursts, 8), np.int32)
        self.written = np.zeros(bursts, np.int64)

    def put(self, place: int, burst: NDArray[np.int32]) -> None:
        self.image[place] = burst
        self.written[place] += 1

    def whole(self) -> NDArray[np.int32]:
        if (self.written != 1).any():
            place = int(np.flatnonzero(self.written != 1)[0])
            raise InputError(f"output burst {place} was read {self.written[place]} times: allowed is once")
        return self.image


def execute(program: PimProgram, cells: Cells, inputs: Inputs) -> Results:
    """Execute a program instruction by instruction, in the order of its lines.

    Args:
        program: As compiled.
        cells: Banks as a layout has written them.
        inputs: [matrices, tokens, k], int8, or float16 where the channel's format has activations of 16 bits.

    Returns:
        [matrices, tokens, outputs], the NPU having added partial sums: int64, every accumulator within INT32, or
        float32 of float16.

    Raises:
        InputError: A sum leaves INT32, inputs are of another type, or the program does what no die can.
    """
    dies = PimDies(program.channel, cells)
    image = program.input_image(inputs)
    output = _Output(program.output_bursts)
    for line in unroll(program.lines):
        _do_line(dies, line, image, output)
    return program.collect(output.whole())


def unroll(lines: IntArray) -> Iterator[list[int]]:
    """Instructions in the order of execution, loops taken out, rows and marks as they are in that round."""
    table = lines.tolist()
    ends: dict[int, int] = {}
    starts: list[int] = []
    for i, line in enumerate(table):
        if line[state.I_OP] == state.LOOP:
            starts.append(i)
        elif line[state.I_OP] == state.END:
            ends[starts.pop()] = i
    yield from _rounds(table, 0, len(table), ends, ())


def _rounds(
    table: list[list[int]], first: int, last: int, ends: dict[int, int], done: tuple[int, ...]
) -> Iterator[list[int]]:
    i = first
    while i < last:
        line = table[i]
        if line[state.I_OP] == state.LOOP:
            for turn in range(line[state.I_COUNT]):
                yield from _rounds(table, i + 1, ends[i], ends, (*done, turn))
            i = ends[i]
        else:
            now = list(line)
            for depth, turn in enumerate(done):
                now[state.I_ROW] += turn * line[state.I_ROW_STEP + depth]
                now[state.I_DATA] += turn * line[state.I_DATA_STEP + depth]
            yield now
        i += 1


def _do_line(dies: PimDies, line: list[int], image: NDArray[np.int8], output: _Output) -> None:
    op, mask, bank = line[state.I_OP], line[state.I_MASK], line[state.I_BANK]
    column, count, data = line[state.I_COLUMN], line[state.I_COUNT], line[state.I_DATA]
    if op == state.PIM_ENTER:
        if count == 0:  # its further steps change nothing more
            dies.enter(mask)
    elif op == state.PIM_EXIT:
        dies.leave(mask)
    elif op == state.PIM_ACT:
        dies.activate(mask, bank, line[state.I_ROW])
    elif op == state.PIM_PRE:
        dies.precharge(mask, bank)
    elif op == state.PIM_IN:
        for i in range(count):
            dies.load(mask, column + i, image[data + i], reach_of(line))
    elif op == state.PIM_MAC:
        dies.mac(mask, bank, line[state.I_SET], column, count)
    elif op == state.PIM_OUT:
        for i in range(count):
            mpu, burst = divmod(column + i, dies.channel.device.readback_bursts)
            output.put(data + i, dies.read(mask.bit_length() - 1, mpu, burst))
