"""Moving columns between DRAM and PIM ranks: what it costs, whether there is room, and when it pays.

When it pays is decided without knowing the future. Every placement has a work function: the least that all steps so
far could have cost, moves included, for a run that ends in this placement. As soon as the cheapest way to have got to
where the columns lie now leads over another placement, they should lie there instead. That is the work function
algorithm for metrical task systems (Borodin, Linial, Saks, J. ACM 1992): no threshold to tune, and with n placements
never more than 2n - 1 times what foresight could have done, beside a constant.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from lpspec.allocation.allocator import WeightMove
from lpspec.allocation.column_map import DRAM, PIM, ColumnMap
from lpspec.allocation.placement import NoRoomError
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost
from lpspec.devices.memory_timing import MemoryTiming
from lpspec.native.functions import native


def migration_cost(moved_bytes: int, timing: MemoryTiming) -> Cost:
    """Cost of moving weights from one side to the other while nothing else runs, analytically.

    Every burst is read from one rank and written to the other over the data bus that all ranks of a channel share, so
    it takes the bus twice. Ranks in PIM mode accept no plain access, and a step hardly ever leaves that mode, so
    nothing is hidden behind other work. Commands of whole tiles take 5 to 12 % longer, for a burst waits for refreshes
    of both its ranks, and 3 to 8 % more energy, for rows opened again. Two ranks have rows open all along.
    """
    latency_ns = 2 * moved_bytes / timing.bus_gb_per_s
    open_ns = 2.0 * timing.channels * latency_ns
    return timing.standing_by(Cost(latency_ns, Activity(migrated_bits=moved_bytes * 8.0, active_die_ns=open_ns)))


def moved_bytes(start: ColumnMap, goal: ColumnMap) -> int:
    """Weights that the goal holds on a side where the start lacks them, bytes."""
    copied = goal.held & ~start.held
    return int((copied @ start.blocks.content_bytes).sum())


def moves_between(start: ColumnMap, goal: ColumnMap, column_bytes: Mapping[str, int]) -> dict[WeightMove, int]:
    """What a change of placement copies, and how many copies of products do so; ``column_bytes`` by product."""
    copied = np.argwhere(goal.held & ~start.held).tolist()
    moving: Counter[tuple[str, int, int]] = Counter()
    for side, block in copied:
        name, copy, _ = start.blocks.label[block]
        moving[name, copy, side] += int(start.blocks.content_bytes[block])
    found = Counter(
        WeightMove(column_bytes[name], total // column_bytes[name], side == PIM)
        for (name, _, side), total in moving.items()
    )
    return dict(found)


def migrate_all(start: ColumnMap, goal: ColumnMap) -> list[tuple[int, int]]:
    """Move every block to where the goal has it: copy, then drop, in an order for which there is always room.

    Args:
        start: Changed in place, until its weights lie as in the goal.
        goal: Which side shall hold which block.

    Returns:
        The copies made, as (block, side to which).

    Raises:
        NoRoomError: No block that is left to move fits; what has been moved stays, and nothing is lost.
    """
    made: list[tuple[int, int]] = []
    while waiting := np.argwhere(goal.held & ~start.held).tolist():
        before = len(made)
        for side, block in waiting:
            try:
                start.replicate(block, side)
            except NoRoomError:
                continue
            _drop_unwanted(start, goal, block)
            made.append((block, side))
        if len(made) == before:
            raise NoRoomError
    for block in np.flatnonzero((start.held & ~goal.held).any(axis=0)).tolist():
        _drop_unwanted(start, goal, block)
    return made


def can_migrate(start: ColumnMap, goal: ColumnMap) -> bool:
    """Whether there is an order of moves for which there is always room; neither map is changed."""
    both = start.held | goal.held
    if (start.free_bytes >= ((both & ~start.held)[:, :, None] * start.blocks.taken_bytes).sum(axis=(0, 1))).all():
        return True
    try:
        migrate_all(start.copy(), goal)
    except NoRoomError:
        return False
    return True


def _drop_unwanted(start: ColumnMap, goal: ColumnMap, block: int) -> None:
    for side in (PIM, DRAM):
        if start.held[side, block] and not goal.held[side, block] and start.held[1 - side, block]:
            start.drop(block, side)


@native()
def next_placement(work: FloatArray, price: FloatArray, move: FloatArray, current: int) -> int:
    """Account a step, and say where the columns should lie for the next one.

    Args:
        work: float64 [placements], the work function; changed in place.
        price: float64 [placements], what the step costs under each placement.
        move: float64 [placements, placements], price of moving from row to column; obeys the triangle inequality.
        current: The present placement.

    Returns:
        The present placement while the cheapest way to it stays in it, otherwise the one it leads over.
    """
    count = work.shape[0]
    wanted = current
    least = work[current] + price[current]
    for other in range(count):
        work[other] += price[other]
        if work[other] + move[other, current] < least:
            least = work[other] + move[other, current]
            wanted = other
    for end in range(count):
        for other in range(count):
            work[end] = min(work[end], work[other] + move[other, end])
    return wanted


@native()
def follow_placements(price: FloatArray, move: FloatArray, placements: IntArray) -> None:
    """The placement of every step of a run whose trees don't depend on it.

    Args:
        price: float64 [steps, placements].
        move: float64 [placements, placements].
        placements: int64 [steps] out; the first step finds placement 0.
    """
    work = move[0].copy()
    current = 0
    for step in range(price.shape[0]):
        placements[step] = current
        current = next_placement(work, price[step], move, current)


class ColumnMover:
    """The part of the DAU that remembers what the steps cost, for the readable loop.

    Attributes:
        placement: Where the columns lie now.
    """

    def __init__(self, move: FloatArray) -> None:
        """Start in placement 0."""
        self.placement = 0
        self._move = move
        self._work = move[0].copy()

    def account(self, price: FloatArray) -> None:
        """Learn what a step costs under each placement, float64 [placements], and move where that pays."""
        self.placement = int(next_placement(self._work, price, self._move, self.placement))
