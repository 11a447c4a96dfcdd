"""A channel on which pieces of work run one after the other while requests of others come at their own times."""

from collections.abc import Iterable

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine import phases
from lpspec.dram.engine import state as k
from lpspec.dram.engine.shared import LINE_FIELDS, NOT_SERVED, T_OWN, run_shared
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.latencies import Latencies
from lpspec.dram.run.session import NO_PROGRAM, Session, TakeLog, what_stopped
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

LINES = 1 << 21
"""Requests of others that one piece of work takes beside its own."""
COMMANDS = 1 << 20
"""Of one piece of work, where they are taken."""


class OverloadError(InputError):
    """Others ask for more than the channel serves, so that its own work does not end."""


class SharedSession(Session):
    """A session whose channel others share; between two pieces of work it waits for what they have in its queues.

    Attributes:
        latencies: How long reads of others waited, from their arrival to the end of their data; writes are posted.
        served: How many of them were served.
    """

    def __init__(self, device: DieSpec, controller: Controller, others: Iterable[IntArray]) -> None:
        """Begin at CK 0 with every bank closed.

        Args:
            device: The die of every rank.
            controller: Policies.
            others: int64 [n, 5] as the engine takes them, in order of arrival, some at a time.
        """
        super().__init__(device, controller)
        self.latencies = Latencies()
        self.served = 0
        self._coming = iter(others)
        self._others = np.empty((0, 5), np.int64)  # those of them that are made and not served

    def work(self, program: IntArray, requests: IntArray, take: TakeLog | None = None) -> int:
        """Run one piece of work from ``now_ck`` on, to the end of its data.

        Args:
            program: int64 [instructions, fields], empty for none.
            requests: int64 [n, 5] as the engine takes them, all there at once.
            take: Given the commands, at most ``COMMANDS``.

        Returns:
            The CK at which it ended; ``now_ck`` may be later, if others had to be waited for.

        Raises:
            InputError: The engine can't go on.
            OverloadError: More than ``LINES`` requests of others come before the work ends.
        """
        self._make_others()
        own = requests.copy()
        own[:, 0] = self.now_ck
        most = len(own) + LINES
        room = np.empty(most * LINE_FIELDS, np.int64)
        log = np.empty((COMMANDS if take else 0, 5), np.int64)
        self._start(program)
        done, lines, end_ck = run_shared(self.channel, program, own, self._others, room, log)
        if done == 0:
            raise OverloadError(f"more than {LINES:,} requests of others beside one piece of work: allowed is less")
        if take:
            take(log[: self.channel[k.STATE, k.S_LOGGED]])
        self._count(room[most:].reshape(most, -1)[:lines], room[:lines], done)
        self.now_ck = max(end_ck, int(self.channel[k.STATE, k.S_NOW]))
        return end_ck

    def idle_until(self, ck: int) -> None:
        """Serve others only, those that come before a CK."""
        self._make_others()
        while len(self._others) and self._others[0, 0] < ck:
            coming = self._others[: int(np.searchsorted(self._others[:, 0], ck))]
            served_at = np.full(len(coming), NOT_SERVED, np.int64)
            self._start(NO_PROGRAM)
            done = 0
            while done == 0:
                _, _, done = phases.run_phase(self.channel, NO_PROGRAM, coming, served_at, coming[:0], COMMANDS, -1, 0)
            self._count(coming, served_at, done)
            self.now_ck = max(self.now_ck, int(self.channel[k.STATE, k.S_NOW]))
            self._make_others()
        self.now_ck = max(self.now_ck, ck)

    def _make_others(self) -> None:
        """Have as many others ready as a piece of work may take, or all that are left."""
        n, made = len(self._others), list[IntArray]()
        while n < LINES and (more := next(self._coming, None)) is not None:
            made.append(more)
            n += len(more)
        if made:
            self._others = np.concatenate([self._others, *made])

    def _start(self, program: IntArray) -> None:
        """Bring a program before its first line, at ``now_ck``."""
        phases.start_segment(self.channel, program, self.now_ck)
        self.channel[k.STATE, k.S_SHIFT] = 0  # others say when they come, not how long after the start
        self.channel[k.STATE, k.S_NOW] = max(self.now_ck, int(self.channel[k.STATE, k.S_NOW]))

    def _count(self, table: IntArray, served_at: IntArray, done: int) -> None:
        """Note how long reads of others waited; a table without a field for it is theirs alone."""
        if done < 0:
            raise what_stopped(self.channel, done)
        theirs = table[:, T_OWN] == 0 if table.shape[1] > T_OWN else np.ones(len(table), bool)
        reads = theirs & (table[:, 1] == 0)
        self.latencies.add(served_at[reads] - table[reads, 0])
        served = int(np.count_nonzero(theirs))
        self.served += served
        self._others = self._others[served:]
