"""A phase on its way to a price that is combined from others'."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import mul
from typing import Any

import numpy as np

from lpspec.arrays import BoolArray, FloatArray
from lpspec.devices.phase_family import Member
from lpspec.devices.phase_prices import Job, Kin
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run.session import ACTIVE_CK, BUS, CK, COUNTED, MAC_TOKENS, RANKS
from lpspec.machine.die import DieSpec

Place = tuple[Any, ...]
"""A family, and how busy the bus is: what phases are combined with."""


class Phase:
    """What is asked for, and what is run for it, at the pace that ends sooner."""

    def __init__(self, job: Job, times: float) -> None:
        """Take a job that is like others, and how often it runs."""
        assert job.kin is not None
        self.job, self.run, self.kin, self.times = job, job, job.kin, times
        self.place: Place = ()
        self.alone = self.added = np.zeros(COUNTED)
        self.off_step = self.bare_error = 0.0
        self.run_itself = False  # without refresh
        self.refreshed_itself = False  # what refresh adds is of a run of the whole phase
        self.weight = times * job.kin.ck  # CK of all its copies, about

    def take(self, place: Place, alone: FloatArray) -> None:
        """Take what a copy without refresh takes, and as whose member; what MACs serve follows from the program."""
        self.place, self.alone = place, alone
        self.alone[MAC_TOKENS] = self.kin.mac_tokens
        self.weight = self.times * max(self.kin.ck, float(alone[CK]))

    def mend(self, exact: FloatArray, combined: FloatArray) -> None:
        """Take from a part of it, run and combined, by how much combining is off: in CK, and in CK with rows open."""
        for count in (CK, ACTIVE_CK):
            self.alone[count] *= exact[count] / combined[count]

    def member(self, bursts: int | None = None) -> Member:
        """It as a member of its family; or the same, not to be run, with another number of bursts beside."""
        return member_of(self.kin, self.kin.bursts if bursts is None else bursts, lambda: self.run, self.weight)


def member_of(kin: Kin, bursts: int, make: Callable[[], Job], weight: float) -> Member:
    """A phase like this, with so many bursts read beside."""
    features = *map(mul, kin.features, kin.feature_ck), 2.0 * bursts, 15.0 * -(-bursts // 64)
    return Member(make, features, kin.ck + 2.0 * bursts, weight)


def spread(members: list[Phase], n: int) -> list[Phase]:
    """The heaviest of some phases; or several, in whose order as many CK go to those before each as behind it."""
    if n == 1:
        return [max(members, key=lambda phase: phase.weight)]
    members = sorted(members, key=lambda phase: (phase.kin.ck, phase.kin.bursts))
    until = np.cumsum([phase.weight for phase in members])
    places = np.searchsorted(until, (np.arange(n) + 0.5) / n * until[-1])
    return [members[place] for place in np.unique(places).tolist()]


def grouped(phases: Sequence[Phase], key: Any) -> dict[Place, list[Phase]]:
    """Phases by what a key says of them."""
    groups: dict[Place, list[Phase]] = defaultdict(list)
    for phase in phases:
        groups[key(phase)].append(phase)
    return groups


def about_ck(job: Job) -> float:
    """About how many CK a phase that is like others takes."""
    assert job.kin is not None
    return job.kin.ck


def of_reads() -> BoolArray:
    """Which counts what the NPU reads adds to: bool [COUNTED]."""
    codes = [COMMANDS.index(name) for name in ("ACT1", "ACT2", "PRE", "PREAB", "CAS", "RD", "RDA")]
    return np.isin(np.arange(COUNTED), [ACTIVE_CK, *(first + code for first in (BUS, RANKS) for code in codes)])


def heaviest(phases: dict[Phase, float], left: float) -> list[Phase]:
    """Phases of which most of something is, until no more of it is left than so much."""
    order = sorted(phases, key=lambda phase: -phases[phase])
    behind = np.cumsum([phases[phase] for phase in reversed(order)])[::-1]
    return order[: int(np.count_nonzero(behind > left))]


def off_step(alone: FloatArray, added: FloatArray, device: DieSpec) -> float:
    """Relative change of the time of copies if they came to keep in step with refresh; 0 if they can't.

    A copy serves a refresh more or less than others. Where a whole number of intervals lies between these times, copies
    may settle at it: each then meets refreshes where the one before did.
    """
    interval_ck = device.timing.nREFI.n
    copy = float(alone[CK]) / (interval_ck - float(added[CK]))
    off = abs(copy - max(1, round(copy)))
    return off / copy if off < added[CK] / interval_ck else 0.0
