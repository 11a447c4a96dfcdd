"""What a copy of a phase takes in the long run: a copy without refresh, and what each refresh adds.

Copies that follow each other begin with no refresh owed and end owing some, so their mean is too fast: by 0.05 to 0.3 %
over 32 refresh intervals. What they take beyond copies without refresh, over the refreshes that they did serve, is what
one refresh adds; in the long run there is one each nREFI.
"""

from dataclasses import replace

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.dram.engine import state as k
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import CK, PhaseCommands, PhaseWork, Session, copied
from lpspec.machine.die import DieSpec

REFRESH_INTERVALS = 32
"""Refresh intervals that copies fill: what is left of the error is 0.1 % of a phase, less of many."""

LONG_COPY = 2
"""Refresh intervals of a copy from which on the first one is run beforehand: it would be a large part of all."""


def without_refresh(phase: PhaseWork, device: DieSpec, controller: Controller) -> FloatArray:
    """A copy of a phase when nothing is refreshed, float64 [COUNTED]: the mean of as many as fill a refresh interval.

    Args:
        phase: What is copied.
        device: The die of every rank.
        controller: Policies.

    Raises:
        InputError: There is neither program nor request, or the engine can't go on.
    """
    copies = copied(phase, device, replace(controller, refresh="none"), device.timing.nREFI.n)
    return copies.session.mean_of(copies.n).counts


def refreshed(
    phase: PhaseWork, device: DieSpec, controller: Controller, refresh_intervals: int, first_apart: bool
) -> FloatArray:
    """What copies take among refreshes, float64 [COUNTED + 2]: all that they did, how many ran, refreshes served.

    Served are those of the ranks that have work to the end, whose debts are owed in time.

    Args:
        phase: What is copied.
        device: The die of every rank.
        controller: Policies.
        refresh_intervals: How many at least are run.
        first_apart: Whether one more copy goes before, uncounted, which brings debts to where they usually are.
    """
    enough_ck = refresh_intervals * device.timing.nREFI.n
    copies = copied(phase, device, controller, 1 if first_apart else enough_ck)
    session, n = copies.session, copies.n
    total, served = session.mean_of(1).counts, _served(session, phase, copies.end_with_requests)
    if first_apart:
        before, already, begin_ck, n = total, served, session.now_ck, 0
        while session.now_ck < begin_ck + enough_ck:
            session.run(phase.program, phase.requests)
            n += 1
        total, served = session.mean_of(1).counts - before, _served(session, phase, copies.end_with_requests) - already
    return np.array([*total, n, served])


def is_long(alone: FloatArray, device: DieSpec) -> bool:
    """Whether a phase that takes so much without refresh is so long that the first copy must not count."""
    return bool(alone[CK] >= LONG_COPY * device.timing.nREFI.n)


def per_refresh(copies: FloatArray, alone: FloatArray) -> FloatArray:
    """What each refresh adds, float64 [COUNTED], by what copies took among refreshes, and one without."""
    *_, n, served = copies.tolist()
    return (copies[: len(alone)] - n * alone) / served if served else np.zeros_like(alone)


def _served(session: Session, phase: PhaseWork, end_with_requests: bool) -> float:
    """Refreshes served by the ranks that have work to the end of a phase."""
    if end_with_requests:
        ranks = np.flatnonzero(np.bincount(phase.requests[:, 2] // k.BANKS)).tolist()
    else:
        enters = phase.program[phase.program[:, k.I_OP] == k.PIM_ENTER, k.I_MASK]
        mask = int(np.bitwise_or.reduce(enters, initial=0))
        ranks = [rank for rank in range(session.controller.ranks) if mask >> rank & 1]
    return float(np.mean([session.refreshes(rank) for rank in ranks]))


def in_the_long_run(alone: FloatArray, added: FloatArray, device: DieSpec) -> PhaseCommands:
    """A copy among copies that follow each other for ever.

    Args:
        alone: A copy without refresh, float64 [COUNTED].
        added: What each refresh adds, likewise.
        device: Whose refresh interval it is.
    """
    interval_ck = device.timing.nREFI.n
    took_ck = alone[CK] / (1 - added[CK] / interval_ck)
    return PhaseCommands(alone + took_ck / interval_ck * added)
