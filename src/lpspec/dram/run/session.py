"""What a phase costs on one channel in the long run: copies of it, one after the other, every command issued.

A phase is a PIM program with requests beside it that come when it starts; the next one starts when both are done.
Refreshes go by the clock and not by phases, so a single copy would see too few of them or too many. Copies are run
until enough refresh intervals have passed, and share what they took.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.engine import kernels as k
from lpspec.dram.engine.repeat_kernels import run_copies, start_segment
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run import simulate
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

IntArray = NDArray[np.int64]

REFRESH_INTERVALS = 32
"""Refresh intervals that copies fill: one refresh more or less is then 0.17 % of the time (nRFCab / 32 nREFI)."""

NO_PROGRAM = np.empty((0, k.INSTRUCTION_FIELDS), np.int64)
NO_REQUESTS = np.empty((0, 5), np.int64)

_AT_ONCE = 1 << 18  # commands
_NO_LOG = np.empty((0, 5), np.int64)


@dataclass(frozen=True, slots=True)
class PhaseCommands:
    """A copy of a phase on one channel, as the mean of several.

    Attributes:
        ck: From its start to the start of the next.
        command_counts: Commands by name; one that several ranks take counts once.
        rank_counts: The same, each command times the ranks that take it.
        mac_tokens: Sum over PIM_MACs of ranks times tokens served.
        active_ck: CK with a row open, summed over ranks.
    """

    ck: float
    command_counts: dict[str, float]
    rank_counts: dict[str, float]
    mac_tokens: float
    active_ck: float


class PhaseSession:
    """A channel on which phases run one after the other, refreshes going on between them and across."""

    def __init__(self, device: DieSpec, controller: Controller) -> None:
        """Begin at CK 0 with every bank closed."""
        self.device, self.controller = device, controller
        self.channel = channel_of(device, controller)
        self.now_ck = 0
        self.commands: list[IntArray] = []

    def run(self, program: IntArray, requests: IntArray, keep_commands: bool = False) -> int:
        """Run one phase from ``now_ck`` on; the CK that it took.

        Args:
            program: int64 [instructions, fields], empty for none.
            requests: int64 [n, 5] as the engine takes them, their CK counted from the start of the phase.
            keep_commands: Append the engine's log to ``commands``.
        """
        state = self.channel[k.STATE]
        table = requests.copy()
        table[:, 0] += self.now_ck
        start_segment(self.channel, program, self.now_ck)
        self._finish(program, table, keep_commands)
        took = max(int(state[k.S_END]), int(state[k.S_LAST])) - self.now_ck
        self.now_ck += took
        return took

    def _finish(self, program: IntArray, table: IntArray, keep_commands: bool) -> None:
        served_at = np.empty(len(table), np.int64)
        log = np.empty((_AT_ONCE, 5), np.int64) if keep_commands else _NO_LOG
        done = 0
        while done == 0:
            done = k.run(self.channel, table, served_at, program, log, _AT_ONCE)
            if keep_commands:
                self.commands.append(log[: self.channel[k.STATE, k.S_LOGGED]].copy())
        if done < 0:
            raise simulate.what_stopped(self.channel, done)

    def mean_of(self, copies: int) -> PhaseCommands:
        """All that ran so far, divided by ``copies``."""
        names = range(len(COMMANDS))
        counts = [
            {COMMANDS[i]: float(n) / copies for i, n in zip(names, row.tolist(), strict=False) if n}
            for row in self.channel[k.COUNT : k.COUNT + 2, : len(COMMANDS)]
        ]
        rank = self.channel[k.RANK : k.RANK + self.controller.ranks]
        still_open = rank[:, k.R_OPEN] > 0
        active = int(rank[:, k.R_ACTIVE].sum() + (self.now_ck - rank[still_open, k.R_SINCE]).clip(0).sum())
        mac_tokens = int(self.channel[k.STATE, k.S_MAC_TOKENS])
        return PhaseCommands(self.now_ck / copies, counts[0], counts[1], mac_tokens / copies, active / copies)


def repeated(program: IntArray, requests: IntArray, device: DieSpec, controller: Controller) -> PhaseCommands:
    """Run copies of a phase until ``REFRESH_INTERVALS`` have passed, and give the mean of one.

    Args:
        program: int64 [instructions, fields], empty for none.
        requests: int64 [n, 5], their CK counted from the start of the phase.
        device: The die of every rank.
        controller: Policies.

    Raises:
        InputError: There is neither program nor request, or the engine can't go on.
    """
    if not len(program) and not len(requests):
        raise InputError("a phase without commands takes no time")
    session = PhaseSession(device, controller)
    enough_ck = REFRESH_INTERVALS * device.timing.nREFI.n
    served_at = np.empty(len(requests), np.int64)
    copies, session.now_ck, done = run_copies(
        session.channel, program, requests, requests.copy(), served_at, _NO_LOG, enough_ck
    )
    if done < 0:
        raise simulate.what_stopped(session.channel, done)
    return session.mean_of(copies)
