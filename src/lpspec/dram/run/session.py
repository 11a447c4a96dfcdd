"""One channel on which pieces of work run one after the other: a PIM program, requests, or both at a time.

Refreshes go by the clock and not by pieces of work, so they go on between them and across: what a phase costs in the
long run is found from copies that fill many refresh intervals (``lpspec.dram.run.steady``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.dram.engine import phases
from lpspec.dram.engine import state as k
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

TakeLog = Callable[[IntArray], None]
"""Whoever is given the engine's log, int64 [commands, 5], piece by piece; what it doesn't keep is gone."""

COMMANDS_AT_ONCE = 1 << 18
"""Commands between two looks at the clock, and rows of the log that is filled meanwhile."""

NO_PROGRAM = np.empty((0, k.INSTRUCTION_FIELDS), np.int64)

_NO_LOG = np.empty((0, 5), np.int64)
_ERRORS = {
    k.E_ACT2_LATE: "an ACT-2 came later than nAAD after its ACT-1",
    k.E_PIM_MODE: "a PIM command to a rank that is not in PIM mode, or a mode switch with open rows",
    k.E_PIM_ROW: "a PIM_MAC to a closed row, a PIM_ACT to an open one, or ranks with different rows at a refresh",
}


CK, ACTIVE_CK, MAC_TOKENS, BUS = 0, 1, 2, 3
RANKS = BUS + len(COMMANDS)
COUNTED = RANKS + len(COMMANDS)
"""Where ``PhaseCommands.counts`` has its numbers: commands by code from ``BUS`` on, by rank from ``RANKS`` on."""


@dataclass(frozen=True, slots=True, eq=False)
class PhaseCommands:
    """A copy of a phase on one channel, as the mean of several.

    Attributes:
        counts: float64 [COUNTED]; they add and scale as work does.
    """

    counts: FloatArray

    @property
    def ck(self) -> float:
        """From its start to the start of the next."""
        return float(self.counts[CK])

    @property
    def command_counts(self) -> dict[str, float]:
        """Commands by name; one that several ranks take counts once."""
        return _named(self.counts[BUS:RANKS])

    @property
    def rank_counts(self) -> dict[str, float]:
        """The same, each command times the ranks that take it."""
        return _named(self.counts[RANKS:])

    @property
    def mac_tokens(self) -> float:
        """Sum over PIM_MACs of ranks times tokens served."""
        return float(self.counts[MAC_TOKENS])

    @property
    def active_ck(self) -> float:
        """CK with a row open, summed over ranks."""
        return float(self.counts[ACTIVE_CK])


def _named(counts: FloatArray) -> dict[str, float]:
    return {name: n for name, n in zip(COMMANDS, counts.tolist(), strict=True) if n}


_MOST_FRESH = 64
_FRESH: dict[tuple[int, Controller], tuple[DieSpec, IntArray]] = {}


def _fresh(device: DieSpec, controller: Controller) -> IntArray:
    """A channel that nothing has run on; that a die is the same is found sooner than that it equals another one."""
    found = _FRESH.get((id(device), controller))
    if found is None or found[0] is not device:
        if len(_FRESH) >= _MOST_FRESH:
            _FRESH.clear()
        found = _FRESH[id(device), controller] = device, channel_of(device, controller)
    return found[1]


class Session:
    """A channel that lives on from one piece of work to the next.

    Attributes:
        channel: State of the engine.
        now_ck: CK from which the next piece may go: when the data of the last one have passed, or later.
    """

    def __init__(self, device: DieSpec, controller: Controller) -> None:
        """Begin at CK 0 with every bank closed."""
        self.device, self.controller = device, controller
        self.channel = _fresh(device, controller).copy()
        self._mac_ck = int(self.channel[k.GIVEN, k.P_NMAC])
        self.now_ck = 0

    def pace(self, mac_ck: int) -> None:
        """MACs keep so many CK between them from now on, which may be more than the die needs."""
        self.channel[k.GIVEN, k.P_NMAC] = mac_ck

    def run(
        self,
        program: IntArray,
        requests: IntArray,
        take: TakeLog | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> IntArray:
        """Run one piece of work from ``now_ck`` on, to the end of its data.

        Args:
            program: int64 [instructions, fields] as ``lpspec.dram.pim.program`` builds it; empty for none.
            requests: int64 [n, 5] as the engine takes them, their CK counted from ``now_ck``.
            take: Given the commands.
            progress: Called now and then with requests served and CK reached.

        Returns:
            int64 [n], CK at which each request's data ends.

        Raises:
            InputError: The engine can't go on; the session is of no more use then.
        """
        state = self.channel[k.STATE]
        served_at = np.full(len(requests), -1, np.int64)
        log = np.empty((COMMANDS_AT_ONCE, 5), np.int64) if take is not None else _NO_LOG
        start_ck, done = self.now_ck, 0
        while done == 0:
            _, _, done = phases.run_phase(
                self.channel, program, requests, served_at, log, COMMANDS_AT_ONCE, start_ck, 0
            )
            start_ck = -1
            if take is not None:
                take(log[: state[k.S_LOGGED]].copy())
            if progress is not None:
                progress(int(state[k.S_SERVED]), int(state[k.S_NOW]))
        if done < 0:
            raise what_stopped(self.channel, done)
        self.now_ck = max(self.now_ck, int(state[k.S_END]), int(state[k.S_LAST]))
        return served_at

    def copies(self, phase: "PhaseWork", enough_ck: int) -> tuple[int, bool]:
        """Run copies of a phase until so many CK have passed from ``now_ck`` on, at least one.

        Returns:
            How many, and whether the last request of the last one ends last, rather than the program.

        Raises:
            InputError: There is neither program nor request, or the engine can't go on.
        """
        program, requests = phase.program, phase.requests
        if not len(program) and not len(requests):
            raise InputError("a phase without commands takes no time")
        self.channel[k.GIVEN, k.P_NMAC] = self._mac_ck if phase.mac_ck is None else phase.mac_ck
        served_at, until_ck = np.empty(len(requests), np.int64), self.now_ck + max(enough_ck, 1)
        n, self.now_ck, done = phases.run_phase(
            self.channel,
            program,
            requests,
            served_at,
            _NO_LOG,
            phases.MOST_COMMANDS,
            self.now_ck,
            until_ck,
        )
        if done < 0:
            raise what_stopped(self.channel, done)
        return n, bool(served_at.max(initial=-1) >= self.channel[k.STATE, k.S_END])

    def mean_of(self, copies: int) -> PhaseCommands:
        """All that ran so far, divided by ``copies``."""
        counts = np.empty(COUNTED)
        counts[CK], counts[ACTIVE_CK] = self.now_ck, active_ck(self.channel, self.now_ck)
        counts[MAC_TOKENS] = self.channel[k.STATE, k.S_MAC_TOKENS]
        counts[BUS:].reshape(2, -1)[:] = self.channel[k.COUNT : k.COUNT + 2, : len(COMMANDS)]
        counts /= copies
        return PhaseCommands(counts)

    def refreshes(self, rank: int) -> int:
        """All-bank refreshes that a rank has served."""
        return int(self.channel[rank * k.BANKS, k.B_REFRESHES])


def active_ck(channel: IntArray, until_ck: int) -> int:
    """CK with a row open, summed over ranks."""
    ranks = channel[k.RANK : k.RANK + channel[k.GIVEN, k.P_RANKS], k.R_OPEN : k.R_ACTIVE + 1].tolist()
    return sum(active + (max(until_ck - since, 0) if rows > 0 else 0) for rows, since, active in ranks)


@dataclass(frozen=True, slots=True)
class PhaseWork:
    """What copies of a phase are copies of.

    Attributes:
        program: int64 [instructions, fields], empty for none.
        requests: int64 [n, 5], their CK counted from the start of the phase.
        mac_ck: CK from MAC to MAC, the die's own or more; its own if left out.
    """

    program: IntArray
    requests: IntArray
    mac_ck: int | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of a phase that ran one after the other.

    Attributes:
        session: The channel after the last of them.
        n: How many.
        end_with_requests: Whether the last request ends last, rather than the program.
    """

    session: Session
    n: int
    end_with_requests: bool


def copied(phase: PhaseWork, device: DieSpec, controller: Controller, enough_ck: int) -> Copies:
    """Run copies of a phase until so many CK have passed.

    Args:
        phase: What is copied.
        device: The die of every rank.
        controller: Policies.
        enough_ck: After which no other copy begins; at least one does.

    Raises:
        InputError: There is neither program nor request, or the engine can't go on.
    """
    session = Session(device, controller)
    return Copies(session, *session.copies(phase, enough_ck))


def what_stopped(channel: IntArray, state: int) -> InputError:
    """What is wrong with a program or its requests, after the engine returned a negative state."""
    what = _what_waits(channel) if state == -k.E_DEADLOCK else _ERRORS[-state]
    return InputError(f"{what} (CK {channel[k.STATE, k.S_NOW]})")


def _what_waits(channel: IntArray) -> str:
    """What never happens, when nothing can go on."""
    ranks = channel[k.RANK : k.RANK + channel[k.GIVEN, k.P_RANKS]]
    for r, rank in enumerate(ranks):
        if rank[k.R_MODE] == 2 and rank[k.R_QUEUED]:
            return f"rank {r} never leaves PIM mode while requests wait for it: its PIM_EXIT is missing"
    walkers = channel[k.WALKER : k.WALKER + k.UNITS]
    line = walkers[walkers[:, k.W_AT] != k.AT_END, k.W_PC].min(initial=0)
    return f"the PIM program never gets past its line {line + 1}"
