"""Move bursts between ranks of a channel that does nothing else meanwhile, command by command.

The near-data memory controller (NMC) moves a burst by a RD on its old rank and a WR on its new one. Both are commands
of the channel and keep every rule: the ranks share one command bus and one data bus, and no path between dies beside
it is published, so a burst takes DQ twice. A rank in PIM mode takes neither, so moves stand between programs. They go
a buffer of reads at a time, then its writes, since turning the bus round costs. What stays inside the package needs
no pins of the SoC: its path costs ``TRANSFER_SHARE`` of an off-chip bit.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine import state as k
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import NO_PROGRAM, PhaseCommands, Session, TakeLog
from lpspec.dram.run.steady import REFRESH_INTERVALS
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity

BUFFER_BURSTS = 128
"""Bursts of 32 B that the controller holds between RD and WR: two rows of a bank; assumed, range 8 to 1024."""


@dataclass(frozen=True, slots=True)
class MovePlan:
    """Bursts in the order in which they are to be moved.

    Attributes:
        source: int64 [bursts, 3]: bank of the channel, row and column (in beats) where each lies.
        destination: The same where each is to lie.
    """

    source: IntArray
    destination: IntArray

    def reversed(self) -> "MovePlan":
        """The way back."""
        return MovePlan(self.destination, self.source)


@dataclass(frozen=True, slots=True)
class Moved:
    """When bursts were moved.

    Attributes:
        read_at: int64 [moves], end of the data of each RD, CK.
        written_at: int64 [moves], end of the data of each WR, CK.
    """

    read_at: IntArray
    written_at: IntArray


def move(plan: MovePlan, session: Session, buffer_bursts: int = BUFFER_BURSTS, take: TakeLog | None = None) -> Moved:
    """Move bursts on a channel, every rank of which is in plain mode.

    A write goes once the data of its read have come; the next reads go behind the last write, whose data leave before
    theirs come.

    Args:
        plan: The moves; new places are free.
        session: The channel; its clock goes on to the end of the last data.
        buffer_bursts: Bursts that are read before they are written.
        take: Given the commands.

    Raises:
        InputError: A place that the channel lacks.
    """
    if not 1 <= buffer_bursts <= 1 << 20:
        raise InputError(f"buffer_bursts is {buffer_bursts}: allowed is 1 to {1 << 20}")
    _check(plan, session)
    read_at, written_at = (np.empty(len(plan.source), np.int64) for _ in range(2))
    for first in range(0, len(plan.source), buffer_bursts):
        some = slice(first, first + buffer_bursts)
        read_at[some] = _serve(session, 0, plan.source[some], np.zeros(len(plan.source[some]), np.int64), take)
        come = np.argsort(read_at[some], kind="stable")
        arrived = read_at[some][come]
        _go_on_behind_last_command(session)
        written_at[first + come] = _serve(session, 1, plan.destination[first + come], arrived - session.now_ck, take)
        last = first + buffer_bursts >= len(plan.source)
        if not last:
            _go_on_behind_last_command(session)
    return Moved(read_at, written_at)


def repeated_move(plan: MovePlan, device: DieSpec, controller: Controller) -> PhaseCommands:
    """The mean of copies of a move, one after the other, until they fill ``REFRESH_INTERVALS``."""
    session, copies = Session(device, controller), 0
    while session.now_ck < REFRESH_INTERVALS * device.timing.nREFI.n:
        move(plan, session)
        copies += 1
    return session.mean_of(copies)


def moved(activity: Activity, moved_bytes: float) -> Activity:
    """Events of a channel that only moved: its bursts do not leave the chip, but go from rank to rank."""
    return activity._replace(io_bits=0.0, io_written_bits=0.0, transferred_bits=moved_bytes * 8.0)


def _serve(session: Session, way: int, places: IntArray, at: IntArray, take: TakeLog | None) -> IntArray:
    """Serve reads (0) or writes (1) that come at a CK from the session's on; when the data of each end."""
    table = np.column_stack([np.maximum(at, 0), np.full(len(places), way), places])
    return session.run(NO_PROGRAM, np.ascontiguousarray(table), take)


def _go_on_behind_last_command(session: Session) -> None:
    """Let what follows go before the last data have passed: rules and queues keep the order of bursts."""
    session.now_ck = int(session.channel[k.STATE, k.S_LAST]) + 1


def _check(plan: MovePlan, session: Session) -> None:
    """Refuse places that the channel lacks."""
    die, ranks = session.device.organisation, session.controller.ranks
    limits = (("rank", ranks * die.banks), ("row", die.rows.n), ("column", die.columns * k.BEATS))
    for places in (plan.source, plan.destination):
        for field, (name, limit) in enumerate(limits):
            bad = np.flatnonzero((places[:, field] < 0) | (places[:, field] >= limit))
            if bad.size:
                unit = die.banks if name == "rank" else 1
                value, high = places[bad[0], field] // unit, (limit - 1) // unit
                raise InputError(f"move {bad[0] + 1}: {name} is {value}: allowed is 0 to {high}")
