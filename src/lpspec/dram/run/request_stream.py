"""Requests that come piece by piece, served in memory that doesn't grow with their number.

The engine is given a window of requests. It stops while the window still holds more than the queues could take, so
it never acts without knowing what comes next, and the commands are those of one run over all requests.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine import phases
from lpspec.dram.engine import state as k
from lpspec.dram.engine.queues import note_needs
from lpspec.dram.run import simulate
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.latencies import Latencies, Waits
from lpspec.dram.run.session import COMMANDS_AT_ONCE, NO_PROGRAM, Session, what_stopped
from lpspec.machine.die import DieSpec

WINDOW = 1 << 17
"""Requests held at a time."""
SPARE = 2 * k.QUEUE + 1
"""Requests that the queues can hold, and one that waits outside."""
_NOT_SERVED = -1


class StreamRun(NamedTuple):
    """What a run did, and how long its requests waited."""

    run: simulate.ChannelRun
    latency_ck: Waits


def run_stream(
    pieces: Iterable[IntArray],
    device: DieSpec,
    controller: Controller,
    *,
    take: simulate.Take | None = None,
    progress: Callable[[int, int], None] = lambda requests, ck: None,
) -> StreamRun:
    """Serve requests on one channel, as ``run_requests`` does.

    Args:
        pieces: Requests in order, each piece int64 [n, 5] as ``lpspec.dram.run.request_file`` reads them.
        device: The die of every rank.
        controller: Policies.
        take: Given each piece of the command table, in order.
        progress: Told the requests served and the CK reached, now and then.

    Raises:
        InputError: A piece is none, or, where commands are taken, a gap between requests holds too many.
    """
    session = Session(device, controller)
    window = _Window(iter(pieces), session.channel)
    state = 0
    while state == 0:
        state = window.run(take)
        progress(window.served, int(window.channel[k.STATE, k.S_NOW]))
    if state < 0:
        raise what_stopped(window.channel, state)
    run = simulate.run_of(session, np.empty(0, np.int64), requests=window.served)
    return StreamRun(run, window.latencies.summary_ck())


class _Window:
    """The requests that the engine knows: those in its queues first, then those that it has yet to admit."""

    def __init__(self, pieces: Iterator[IntArray], channel: IntArray) -> None:
        self.channel = channel
        self.latencies = Latencies()
        self.served = 0
        self._pieces = pieces
        self._ended = False
        self._last_ck = 0
        self._requests = np.empty((0, 5), np.int64)

    def run(self, take: simulate.Take | None) -> int:
        """Serve some of the requests; what the engine returned."""
        self._fill(listed=take is not None)
        most = COMMANDS_AT_ONCE
        if not self._ended:
            most = min(most, len(self._requests) - SPARE)  # a command serves one request at most
        served_at = np.full(len(self._requests), _NOT_SERVED, np.int64)
        log = np.empty((most + 1 if take else 0, 5), np.int64)
        _, _, state = phases.run_phase(self.channel, NO_PROGRAM, self._requests, served_at, log, most, -1, 0)
        if take:
            simulate.tables_to(take)(log[: self.channel[k.STATE, k.S_LOGGED]])
        self._forget_served(served_at)
        return state

    def _fill(self, listed: bool) -> None:
        """Take in requests up to the window; if commands are listed, no gap between them may hold too many."""
        parts = [self._requests]
        missing = WINDOW - len(self._requests)
        while missing > 0 and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            if piece is not None and len(piece):
                if listed:
                    simulate.check_gaps(piece, self._last_ck, self.channel)
                self._last_ck = int(piece[-1, 0])
                parts.append(piece)
                missing -= len(piece)
        if len(parts) > 1:
            self._requests = np.concatenate(parts)

    def _forget_served(self, served_at: IntArray) -> None:
        """Count how long the served ones waited, and number the others anew, in the same order."""
        scalar = self.channel[k.STATE]
        admitted = int(scalar[k.S_NEXT])
        is_served = served_at[:admitted] != _NOT_SERVED
        self.latencies.add(served_at[:admitted][is_served] - self._requests[:admitted, 0][is_served])
        queued = np.flatnonzero(~is_served)
        self._requests = np.concatenate([self._requests[queued], self._requests[admitted:]])
        self.served += admitted - len(queued)
        scalar[k.S_NEXT], scalar[k.S_SERVED] = len(queued), 0
        slots = self.channel[k.SLOT : k.SLOT + 2 * k.QUEUE]
        slots[:, k.Q_AGE] = np.searchsorted(queued, slots[:, k.Q_AGE])
        note_needs(self.channel)
