"""Which bursts move when a block of weight columns changes its home between ranks of a package.

A burst of 32 B holds the same bytes wherever it lies: one k of a block of 32 outputs. So a move is a list of (old
place, new place), burst for burst, and nothing has to be shuffled on the way. In PIM ranks ``layout.WeightPlacement``
says where each burst lies; in a DRAM rank ``DramPlacement`` does, in the order in which an NPU streams it: the blocks
of one die (8 MPUs), then k, so that units of 256 outputs are consecutive bursts, and that bank groups take turns on
both sides of a move.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.energy import standing_by
from lpspec.dram.engine.state import BEATS
from lpspec.dram.pim.package import Package
from lpspec.dram.pim.weights import PimChannel, WeightPlacement, block_range, place_weights, share_of_channel
from lpspec.dram.run.mover import BUFFER_BURSTS, MovePlan, move, moved
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import Session
from lpspec.dram.run.simulate import ChannelRun, Take, run_of, tables_to
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity


@dataclass(frozen=True, slots=True)
class DramPlacement:
    """One channel's share of a weight matrix, K x N, in a rank that the NPU reads, from ``start_row`` of every bank.

    Args:
        device: The die.
        rank: The rank.
        k: Inputs.
        n: Outputs.
        start_row: First row.
    """

    device: DieSpec
    rank: int
    k: int
    n: int
    start_row: int = 0

    def __post_init__(self) -> None:
        """Refuse a matrix that is none, or that goes beyond the banks."""
        if self.k < 1 or self.n < 1:
            raise InputError(f"a matrix of {self.k} x {self.n}: allowed is at least 1 x 1")
        limit = self.device.organisation.rows.n
        if self.start_row < 0 or self.end_row > limit:
            raise InputError(
                f"rows {self.start_row} to {self.end_row - 1} of rank {self.rank}: a bank of {self.device.name} has "
                f"rows 0 to {limit - 1}"
            )

    @property
    def blocks(self) -> int:
        """Blocks of 32 outputs; the last may be partly used."""
        return -(-self.n // self.device.pim.lanes.n)

    @property
    def end_row(self) -> int:
        """First row behind it."""
        die = self.device.organisation
        return self.start_row - (-self.blocks * self.k // (die.banks * die.columns))

    def bursts(self, first: int = 0, count: int = 0) -> IntArray:
        """Where some outputs lie, as ``WeightPlacement.bursts`` has it: a burst holds one k of a block of 32 outputs.

        Args:
            first: First output, a multiple of 32.
            count: Outputs; 0 for all from there on.

        Returns:
            int64 [blocks, k, 4]: rank, flat bank, row and column (in bursts, 0 to 63).

        Raises:
            InputError: They are no whole blocks of those that there are.
        """
        lanes, width = self.device.pim.lanes.n, self.device.mpus
        block = np.arange(*block_range(self.n, lanes, first, count))[:, None]
        before = block // width * width
        number = before * self.k + np.arange(self.k) * np.minimum(width, self.blocks - before) + block - before
        stream = ReadStream(self.rank, self.blocks * self.k, self.start_row).requests(self.device)
        place, row, column = stream[number, 2:].transpose(2, 0, 1)
        banks = self.device.organisation.banks
        return np.stack([place // banks, place % banks, row, column // BEATS], 2)

    def reads(self, first: int = 0, count: int = 0, at: int = 0) -> IntArray:
        """What an NPU asks for to read some outputs, arguments as of ``bursts``; int64 [bursts, 5] as requests are."""
        bursts = in_stream_order(self.bursts(first, count), first // self.device.pim.lanes.n, self.device)
        return np.concatenate([np.full((len(bursts), 1), at), np.zeros((len(bursts), 1), np.int64), bursts], 1)


def plan_move(
    source: WeightPlacement | DramPlacement,
    destination: WeightPlacement | DramPlacement,
    first_column: int,
    columns: int,
    destination_column: int | None = None,
) -> MovePlan:
    """Plan how a block of weight columns (outputs) goes from one placement to another.

    Whole blocks of 32 columns move; a last block that is partly used takes its padding with it.

    Args:
        source: Where the columns lie.
        destination: Where they are to lie: another part of the banks, free so far.
        first_column: First column in the source, a multiple of 32.
        columns: How many: a multiple of 32, or all up to the last one of the source.
        destination_column: First column in the destination; the same by default.

    Raises:
        InputError: No such columns on either side, another k, or a burst that both placements claim.
    """
    device, lanes = _device_of(source), _device_of(source).pim.lanes.n
    to_column = first_column if destination_column is None else destination_column
    if source.k != destination.k:
        raise InputError(f"columns of {source.k} weights can't go where columns have {destination.k}")
    if columns < 1 or (columns % lanes and first_column + columns != source.n):
        raise InputError(f"columns is {columns}: allowed are multiples of {lanes}, or all up to the last of {source.n}")
    old = source.bursts(first_column, columns)
    room = -(-destination.n // lanes) * lanes
    if not 0 <= to_column <= room - columns:
        raise InputError(f"no room for columns {to_column} to {to_column + columns - 1}: there are {destination.n}")
    new = destination.bursts(to_column, min(columns, destination.n - to_column))
    block = first_column // lanes
    plan = MovePlan(in_stream_order(old, block, device), in_stream_order(new, block, device))
    _refuse_overlap(plan, device.organisation.banks)
    return plan


def in_stream_order(bursts: IntArray, first_block: int, device: DieSpec) -> IntArray:
    """Bursts int64 [blocks, k, 4] in the order of a stream: int64 [bursts, 3], bank of the channel, row, column."""
    groups = np.split(bursts, np.flatnonzero((first_block + np.arange(len(bursts))) % device.mpus == 0))
    rank, bank, row, column = np.concatenate([group.swapaxes(0, 1).reshape(-1, 4) for group in groups]).T
    return np.stack([rank * device.organisation.banks + bank, row, column * BEATS], 1)


def _device_of(placement: WeightPlacement | DramPlacement) -> DieSpec:
    return placement.channel.device if isinstance(placement, WeightPlacement) else placement.device


def _refuse_overlap(plan: MovePlan, banks: int) -> None:
    both = np.concatenate([plan.source, plan.destination])
    unique, counts = np.unique(both, axis=0, return_counts=True)
    if (counts > 1).any():
        place, row, _ = unique[counts > 1][0]
        raise InputError(
            f"source and destination overlap in row {row} of bank {place % banks} of rank {place // banks}"
        )


def plan_between_sides(channel: PimChannel, k: int, n: int, to_pim: bool) -> MovePlan:
    """One channel's share of a matrix, K x N, goes from the last rank to the PIM ranks, or back."""
    on_dram = DramPlacement(channel.device, channel.ranks - 1, k, n)
    plan = plan_move(on_dram, place_weights(channel, k, n, split="never"), 0, n)
    return plan if to_pim else plan.reversed()


@dataclass(frozen=True)
class PackageMove:
    """A matrix that changed sides on all channels of a package, which work alike.

    Attributes:
        package: The package.
        k: Inputs.
        n: Outputs of all channels.
        to_pim: Whether it went from the DRAM rank to the PIM ranks.
        run: What the channel with the largest share did.
        moved_bytes: Bytes with a new home, of all channels.
        activity: Events of all channels.
    """

    package: Package
    k: int
    n: int
    to_pim: bool
    run: ChannelRun
    moved_bytes: int
    activity: Activity

    @property
    def total_ns(self) -> float:
        """Until the last data are written."""
        return self.run.end_ck * self.package.channel.device.ck_ns


def run_package_move(
    package: Package,
    k: int,
    n: int,
    to_pim: bool,
    take: Take | None = None,
) -> PackageMove:
    """Move a matrix of K x N INT8 weights from one side of a package to the other, every command of one channel.

    Args:
        package: The package.
        k: Inputs.
        n: Outputs.
        to_pim: From the last rank of each channel to its PIM ranks; else back.
        take: Given the commands, piece by piece.

    Raises:
        InputError: A size out of range, a matrix that a rank can't hold, or a channel without plain DRAM.
    """
    channel = package.channel
    if channel.ranks == len(channel.pim_ranks):
        raise InputError(f"platform '{package.name}' has no rank of plain DRAM: nothing can change sides")
    for name, size in (("k", k), ("n", n)):
        if not 1 <= size <= 10**6:
            raise InputError(f"{name} is {size}: allowed is 1 to {10**6}")
    width = share_of_channel(n, package.channels, 0, channel.lanes)[1]
    plan = plan_between_sides(channel, k, width, to_pim)
    session = Session(channel.device, package.controller)
    done = move(plan, session, BUFFER_BURSTS, tables_to(take) if take else None)
    run = run_of(session, done.written_at)
    burst_bytes = channel.device.organisation.burst_bytes.n
    share = n / width
    rank_ck = run.total_ck * channel.ranks
    done_by_all = standing_by(run.activity._replace(idle_die_ns=0.0), channel.device, rank_ck, package.power_down)
    activity = moved(done_by_all, len(plan.source) * burst_bytes) * share
    return PackageMove(package, k, n, to_pim, run, round(len(plan.source) * burst_bytes * share), activity)
