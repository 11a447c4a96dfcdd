"""What a copy of a phase takes in the long run: a copy without refresh, and what each refresh adds.

Copies that follow each other begin with no refresh owed and end owing some, so their mean is too fast: by 0.05 to 0.3 %
over 32 refresh intervals. What they take beyond copies without refresh, over the refreshes that they did serve, is what
one refresh adds; in the long run there is one each nREFI.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.dram.engine import state as k
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import CK, COUNTED, PhaseCommands, PhaseWork, Session, copied
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
    copies = copied(phase, device, _without_refresh(controller), device.timing.nREFI.n)
    return copies.session.mean_of(copies.n).counts


@lru_cache(maxsize=64)
def _without_refresh(controller: Controller) -> Controller:
    """The same that never refreshes."""
    return replace(controller, refresh="none")


@dataclass(frozen=True, slots=True)
class Enough:
    """How many copies are run.

    Attributes:
        refresh_intervals: They fill so many.
        copy_ck: What one takes without refresh, about; asked for where there may be more of them.
        error: Standard error of what a refresh adds, in refresh intervals, beyond which more of them are run, until
            they fill four times as many.
    """

    refresh_intervals: int
    copy_ck: float = 0.0
    error: float | None = None


def refreshed(
    phase: PhaseWork, device: DieSpec, controller: Controller, enough: Enough, before: PhaseWork | None
) -> FloatArray:
    """What copies take among refreshes, float64 [COUNTED + 2]: all that they did, how many ran, refreshes served.

    Served are those of the ranks that have work to the end, whose debts are owed in time.

    Args:
        phase: What is copied.
        device: The die of every rank.
        controller: Policies.
        enough: How many.
        before: What runs once beforehand, uncounted, such as one more copy: it brings debts to where they usually are.
    """
    session, interval_ck = Session(device, controller), device.timing.nREFI.n
    counted, of_requests = np.zeros(COUNTED), False
    if before is not None:
        _, of_requests = session.copies(before, 1)
        counted = session.mean_of(1).counts
    reached = [_reached(session)]
    n, ends_later = session.copies(phase, 1 if enough.error is not None else enough.refresh_intervals * interval_ck)
    reached.append(_reached(session))
    working = _working(phase, of_requests if before is phase else ends_later)
    while enough.error is not None and not _are_enough(np.array(reached)[:, [0, *working]], enough, interval_ck):
        session.copies(phase, 1)
        n += 1
        reached.append(_reached(session))
    served = [float(np.mean([at[rank] for rank in working])) for at in (reached[0], reached[-1])]
    return np.array([*(session.mean_of(1).counts - counted), n, served[1] - served[0]])


def _reached(session: Session) -> list[int]:
    """CK until which a session ran, and the refreshes that each rank has served."""
    return [session.now_ck, *(session.refreshes(rank) for rank in range(session.controller.ranks))]


def _are_enough(reached: IntArray, enough: Enough, interval_ck: int) -> bool:
    """Whether copies are enough, by CK and refreshes of working ranks before the first and after each."""
    assert enough.error is not None
    ran = (reached[-1, 0] - reached[0, 0]) / interval_ck
    if ran < enough.refresh_intervals or len(reached) < 3:
        return bool(ran >= 4 * enough.refresh_intervals)
    took = np.diff(reached.astype(np.float64), axis=0)
    added = (took[:, 0] - enough.copy_ck) / interval_ck / np.maximum(took[:, 1:].mean(axis=1), 1.0)
    return bool(ran >= 4 * enough.refresh_intervals or np.std(added, ddof=1) / len(added) ** 0.5 <= enough.error)


def is_long(alone: FloatArray, device: DieSpec) -> bool:
    """Whether a phase that takes so much without refresh is so long that the first copy must not count."""
    return bool(alone[CK] >= LONG_COPY * device.timing.nREFI.n)


def per_refresh(copies: FloatArray, alone: FloatArray) -> FloatArray:
    """What each refresh adds, float64 [COUNTED], by what copies took among refreshes, and one without."""
    *_, n, served = copies.tolist()
    return (copies[: len(alone)] - n * alone) / served if served else np.zeros_like(alone)


def _working(phase: PhaseWork, with_requests: bool) -> list[int]:
    """Ranks that have work to the end of a phase, which may end with requests rather than its program, from 1."""
    if with_requests:
        found: list[int] = (1 + np.flatnonzero(np.bincount(phase.requests[:, 2] >> k.BANK_BITS))).tolist()
        return found
    mask = int(np.bitwise_or.reduce(phase.program[phase.program[:, k.I_OP] == k.PIM_ENTER, k.I_MASK], initial=0))
    return [1 + rank for rank in range(mask.bit_length()) if mask >> rank & 1]


def in_the_long_run(alone: FloatArray, added: FloatArray, device: DieSpec) -> PhaseCommands:
    """A copy among copies that follow each other for ever.

    Args:
        alone: A copy without refresh, float64 [COUNTED].
        added: What each refresh adds, likewise.
        device: Whose refresh interval it is.
    """
    return PhaseCommands(counts_in_the_long_run(alone, added, device))


def counts_in_the_long_run(alone: FloatArray, added: FloatArray, device: DieSpec) -> FloatArray:
    """Counts of such copies of several phases; all are float64 [..., COUNTED]."""
    interval_ck = device.timing.nREFI.n
    took_ck = alone[..., CK, None] / (1 - added[..., CK, None] / interval_ck)
    return np.asarray(alone + took_ck / interval_ck * added)
