"""One channel that lives on from one piece of work to the next: banks, buses and refreshes go on where they stand."""

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k
from lpspec.dram import simulate
from lpspec.dram.controller import Controller, channel_of
from lpspec.dram.device import DeviceSpec
from lpspec.dram.read_stream import ReadStream
from lpspec.dram.repeat_kernels import start_segment
from lpspec.dram.rules import COMMANDS
from lpspec.dram.windows import windows_of
from lpspec.errors import unknown_name

IntArray = NDArray[np.int64]
Engine = Literal["exact", "fast"]

NO_READS = ReadStream(0, 0)
_AT_ONCE = 1 << 18  # commands
_NO_LOG = np.empty((0, 5), np.int64)
_NOT_KEPT = np.empty(0, np.int64)
_NOTHING = np.zeros((1, k.INSTRUCTION_FIELDS), np.int64)  # a program that waits for nothing
_NOTHING[0, [k.I_OP, k.I_MASK]] = k.WAIT, 1


@dataclass(frozen=True)
class SegmentRun:
    """What a channel did for one program and one stream of reads, and while it waited for them.

    Attributes:
        since_ck: End of the segment before; everything later counts here, refreshes while the channel waited included.
        start_ck: CK from which its commands and reads could go.
        end_ck: End of its last data, or its last command if that is later.
        command_counts: Commands by name.
        rank_counts: The same, each command times the ranks that take it.
        row_hits: Reads that found their row open.
        row_misses: Reads whose bank was closed.
        row_conflicts: Reads that had another row closed first.
        active_ck: CK with a row open, summed over ranks.
        mac_tokens: Sum over PIM_MACs of ranks times tokens served.
        refreshes: Times that each bank was refreshed, by rank.
        jumped: Commands that were added in jumps.
    """

    since_ck: int
    start_ck: int
    end_ck: int
    command_counts: dict[str, int]
    rank_counts: dict[str, int]
    row_hits: int
    row_misses: int
    row_conflicts: int
    active_ck: int
    mac_tokens: int
    refreshes: tuple[tuple[int, ...], ...]
    jumped: int = field(default=0, compare=False)


@dataclass(frozen=True)
class _Segment:
    """A program and the reads beside it, which come at an absolute CK."""

    lines: IntArray
    reads: ReadStream
    start_ck: int

    def name(self, history: bytes) -> bytes:
        """It and all that was before it, in a few bytes."""
        name = blake2b(history)
        name.update(repr((self.reads, self.start_ck, self.lines.shape)).encode())
        name.update(self.lines.tobytes())
        return name.digest()


class ChannelSession:
    """A channel on which one segment runs after the other: a PIM program, and a stream of reads beside it.

    Both engines give the same. The fast one jumps inside segments wherever the same was seen before
    (``window_kernels``), and knows a segment again as a whole if it follows the same segments as another time.

    Attributes:
        end_ck: End of the last segment.
    """

    def __init__(self, device: DeviceSpec, controller: Controller | None = None, engine: Engine = "exact") -> None:
        """Begin at CK 0 with all banks closed."""
        if engine not in ("exact", "fast"):
            raise unknown_name("engine", engine, ("exact", "fast"))
        self.end_ck = 0
        self._device, self._controller = device, controller or Controller()
        self._channel = channel_of(device, self._controller)
        self._windows = windows_of(self._channel, device) if engine == "fast" else None
        self._history = b""
        self._behind: list[_Segment] = []  # segments whose results were known, and that the channel has yet to see
        self._state_ck = 0

    def run(self, program: IntArray, reads: ReadStream = NO_READS, at_least_ck: int = 0) -> SegmentRun:
        """Run a program and reads to their end, on the state that the segment before left behind.

        Args:
            program: int64 [instructions, fields] as ``lpspec.dram.program`` builds it; empty for none.
            reads: Reads beside it; ``at`` counts from the start of the segment.
            at_least_ck: CK at which it starts if the segment before has ended by then; refreshes go on meanwhile.

        Raises:
            InputError: A stream or a program that the channel can't execute; the session is of no more use then.
        """
        start = max(at_least_ck, self.end_ck)
        reads.check(self._device, self._controller.ranks)
        lines = np.ascontiguousarray(program, np.int64)
        if not len(lines) and not reads.bursts:
            lines = _NOTHING
        segment = _Segment(lines, replace(reads, at=start + reads.at), start)
        if self._windows is None:
            run = self._advance(segment)
        else:
            self._history = segment.name(self._history)
            known = self._windows.segments.get(self._history)
            run = self._catch_up(segment) if known is None else known
            if known is None:
                self._windows.keep_segment(self._history, run)
            else:
                self._behind.append(segment)
        self.end_ck = run.end_ck
        return run

    def _catch_up(self, segment: _Segment) -> SegmentRun:
        """Run what was left out because its results were known, and then a segment."""
        for skipped in self._behind:
            self._advance(skipped)
        self._behind.clear()
        return self._advance(segment)

    def _advance(self, segment: _Segment) -> SegmentRun:
        """Run a segment on the channel."""
        channel, since_ck = self._channel, self._state_ck
        before = _totals(channel, since_ck)
        start_segment(channel, segment.lines, segment.start_ck)
        jumped = 0
        if self._windows is None:
            _run_exactly(channel, segment, self._device)
        else:
            jumped = self._windows.run(channel, segment.lines, segment.reads, _NOT_KEPT).jumped
        self._state_ck = end_ck = max(segment.start_ck, *channel[k.STATE, [k.S_END, k.S_LAST]].tolist())
        return _segment_run(
            _totals(channel, end_ck) - before, self._controller.ranks, (since_ck, segment.start_ck, end_ck), jumped
        )


def _run_exactly(channel: IntArray, segment: _Segment, device: DeviceSpec) -> None:
    requests = segment.reads.requests(device)
    served_at = np.empty(len(requests), np.int64)
    state = 0
    while state == 0:
        state = k.run(channel, requests, served_at, segment.lines, _NO_LOG, _AT_ONCE)
    if state < 0:
        raise simulate.what_stopped(channel, state)


_KINDS = (k.S_HITS, k.S_MISSES, k.S_CONFLICTS, k.S_MAC_TOKENS)


def _totals(channel: IntArray, ck: int) -> IntArray:
    """All that is counted, up to a CK: commands, rank commands, reads by kind, active CK, refreshes of banks."""
    ranks = int(channel[k.GIVEN, k.P_RANKS])
    rank = channel[k.RANK : k.RANK + ranks]
    active = rank[:, k.R_ACTIVE] + (ck - rank[:, k.R_SINCE]) * (rank[:, k.R_OPEN] > 0)
    refreshes = channel[: ranks * k.BANKS, k.B_REFRESHES]
    counts = channel[k.COUNT : k.COUNT + 2, : len(COMMANDS)]
    return np.concatenate([counts.ravel(), channel[k.STATE, _KINDS], [active.sum()], refreshes])


def _segment_run(grown: IntArray, ranks: int, times: tuple[int, int, int], jumped: int) -> SegmentRun:
    n = len(COMMANDS)
    values = grown.tolist()
    counts = [{name: c for name, c in zip(COMMANDS, values[at : at + n], strict=True) if c} for at in (0, n)]
    hits, misses, conflicts, mac_tokens, active = values[2 * n : 2 * n + 5]
    refreshes = tuple(tuple(row) for row in grown[2 * n + 5 :].reshape(ranks, -1).tolist())
    return SegmentRun(*times, counts[0], counts[1], hits, misses, conflicts, active, mac_tokens, refreshes, jumped)
