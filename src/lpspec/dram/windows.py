"""Programs beside streams of reads in jumps from window to window: what is known, and how a state is told apart."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k
from lpspec.dram import simulate
from lpspec.dram import window_kernels as w
from lpspec.dram.device import DeviceSpec, Organisation
from lpspec.dram.read_stream import ReadStream

IntArray = NDArray[np.int64]

_MOST_STATES, _MOST_NODES, _MOST_SEGMENTS, _MOST_KINDS = 1 << 16, 1 << 16, 1 << 12, 4
_NOW = k.STATE * k.WIDTH + k.S_NOW
_ZERO = k.STATE * k.WIDTH + k.WIDTH - 1  # a cell that is always 0
_DECIDED = k.STATE * k.WIDTH + k.S_REF_DECIDED
_RANK_TIMES = (
    *range(k.CLASSES),
    *(k.R_READY, k.R_PIM_ACT, k.R_PIM_MAC, k.R_PIM_OUT, k.R_EXIT),
    *(f + parity for f in (k.R_COLUMN, k.R_CLOSE, k.R_REOPEN, k.R_INPUT) for parity in range(2)),
)
_SCALARS = (
    *(k.S_DQ_OWNER, k.S_PIM_WANTS, k.S_NPU_WANTS, k.S_COLUMNS_HELD, k.S_LAST_WINNER),
    *(k.S_FINISHED, k.S_PIM_RANKS),
)
_WAITS = (
    (k.U_MAC, (k.C_ACT, k.C_ACT + 1, k.C_IN, k.C_IN + 1, k.C_OUT)),
    (k.U_ARRAY, (k.C_MAC, k.C_MAC + 1)),
    (k.U_IN, (k.C_SET, k.C_SET + 1)),
)


def _cell(row: int, column: int) -> int:
    return row * k.WIDTH + column


def _plan(channel: IntArray) -> IntArray:
    """Cells that tell states apart: cell, cell that is subtracted, bounds; int64 [cells, 4]."""
    given = channel[k.GIVEN]
    rows = [(_cell(k.STATE, s), _NOW, 0, w.FAR) for s in (k.S_PIM_FLOOR, k.S_END)]
    for r in range(given[k.P_RANKS]):
        rank = k.RANK + r
        rows += [(_cell(rank, f), _NOW, 0, w.FAR) for f in _RANK_TIMES]
        rows.append((_cell(rank, k.R_WCK), _NOW, -1, w.FAR))
        rows += [(_cell(rank, f), _ZERO, -w.FAR, w.FAR) for f in (k.R_OPEN, k.R_TARGET, k.R_CAS)]
        for unit, waits in _WAITS:
            rows += [(_cell(k.SEEN + 9 * unit + c, r), _cell(k.DONE + c, r), -w.FAR, w.FAR) for c in waits]
    rows += [(_cell(k.STATE, s), _ZERO, -w.FAR, w.FAR) for s in _SCALARS]
    most_bursts = given[k.P_QUANTUM] if given[k.P_POLICY] == k.ROUND_ROBIN else 0
    rows.append((_cell(k.STATE, k.S_DQ_BURSTS), _ZERO, 0, min(int(most_bursts), w.FAR)))
    for walker in range(k.WALKER, k.WALKER + 4):
        fields = (k.W_PC, k.W_DEPTH, k.W_DONE, k.W_AT, *range(k.W_START, k.W_START + k.MAX_DEPTH))
        rows += [(_cell(walker, f), _ZERO, -w.FAR, w.FAR) for f in fields]
        rows.append((_cell(walker, k.W_POINTS), _DECIDED, -w.FAR, w.FAR))
    return np.array(rows, np.int64)


def _grown() -> IntArray:
    """Cells that only grow: commands first, refreshes of ranks last."""
    cells = [_cell(k.COUNT + i, code) for i in range(2) for code in range(19)]
    cells += [_cell(k.STATE, s) for s in (k.S_HITS, k.S_MISSES, k.S_CONFLICTS, k.S_MAC_TOKENS)]
    for f in (k.R_ACTIVE, k.R_REFRESHES):
        cells += [_cell(k.RANK + r, f) for r in range(k.MAX_RANKS)]
    return np.array(cells, np.int64)


def _loops(lines: IntArray) -> IntArray:
    """At the first line of each loop whether all rows in it go on alike, by how much, its rounds: int64 [n + 1, 3]."""
    table = np.zeros((len(lines) + 1, 3), np.int64)
    table[:, 0] = 1
    around: list[int] = []
    steps: dict[int, set[int]] = {}
    for pc, line in enumerate(lines.tolist()):
        if line[k.I_OP] == k.LOOP:
            around.append(pc + 1)
            steps[pc + 1] = set()
            table[pc + 1, 2] = line[k.I_COUNT]
        elif line[k.I_OP] == k.END:
            start = around.pop()
            table[start, 0] = len(steps[start]) <= 1
            table[start, 1] = min(steps[start], default=0)
        elif line[k.I_OP] == k.PIM_ACT:
            for depth, start in enumerate(around):
                steps[start].add(line[k.I_ROW_STEP + depth])
    return table


@dataclass(frozen=True)
class Jumps:
    """How a run was come by: commands that were added in jumps, and how many jumps."""

    jumped: int
    jumps: int


class Windows:
    """What is known of the channels of one device under one controller."""

    def __init__(self, channel: IntArray, organisation: Organisation) -> None:
        """Take a channel at CK 0; nothing is known."""
        self._geometry = (organisation.bank_groups.n, organisation.columns, organisation.banks_per_group.n)
        self._plan, self._grown = _plan(channel), _grown()
        words, fields = w.K_CELLS + len(self._plan), w.N_GROWN + len(self._grown)
        words += words % 2
        self._known: tuple[Any, ...] = (
            np.empty((_MOST_STATES + 1, words), np.int32),
            np.empty(_MOST_STATES, np.int64),
            np.full(8 * _MOST_STATES, -1, np.int32),
            np.empty((_MOST_NODES, fields), np.int64),
            np.full((8 * _MOST_NODES, 3), -1, np.int64),
            np.empty((_MOST_NODES + 1, 1 + 2 * w.READS), np.int32),
            np.zeros(2, np.int64),
        )
        self._texts: dict[bytes, int] = {}
        self.segments: dict[bytes, Any] = {}
        """Results of segments by all that was before them, for ``lpspec.dram.channel_session``."""

    def keep_segment(self, name: bytes, run: Any) -> None:
        """Keep the results of a segment, and let the oldest go if there are too many."""
        if len(self.segments) >= _MOST_SEGMENTS:
            self.segments.pop(next(iter(self.segments)))
        self.segments[name] = run

    def run(self, channel: IntArray, lines: IntArray, reads: ReadStream, served_at: IntArray) -> Jumps:
        """Run a program and a stream to their end, in jumps where the way is known.

        Args:
            channel: State of a channel on which the program has started; moved on.
            lines: int64 [instructions, fields].
            reads: Reads beside it.
            served_at: int64 [bursts], filled with the CK at which each burst ends; empty to keep none.

        Raises:
            InputError: A program or reads that wait for ever.
        """
        given = np.zeros(w.RUN_FIELDS, np.int64)
        opens = lines[:, k.I_OP] == k.PIM_ACT
        first_row = int(lines[opens, k.I_ROW][0]) if opens.any() else 0
        given[[w.F_RANK, w.F_TOTAL, w.F_ROW, w.F_AT]] = reads.rank, reads.bursts, reads.row, reads.at
        if not reads.bursts:
            given[[w.F_RANK, w.F_AT]] = -1, 0
        given[[w.F_GROUPS, w.F_COLUMNS, w.F_BANKS]] = self._geometry
        given[[w.F_PIM_ROW, w.F_PROGRAM]] = first_row, self._number_of(lines, opens, first_row)
        if channel[k.GIVEN, k.P_REFRESH] != k.REFRESH_PAIR:  # of pairs of banks a key says nothing
            channel[k.GIVEN, k.P_WINDOW] = w.MACS if reads.bursts else w.MACS_ALONE
        keys, hashes, index, nodes, links, served, used = self._known
        text = (lines, _loops(lines), given, self._plan, self._grown)
        state = w.run_windows(channel, *text, keys, hashes, index, nodes, links, served, used, served_at)
        channel[k.GIVEN, k.P_WINDOW] = 0
        if state < 0:
            raise simulate.what_stopped(channel, state)
        return Jumps(int(given[w.F_JUMPED]), int(given[w.F_JUMPS]))

    def _number_of(self, lines: IntArray, opens: NDArray[np.bool_], first_row: int) -> int:
        """Number of a text: the same for programs that differ but in where their rows begin."""
        words = lines[:, : k.I_DATA].copy()
        words[opens, k.I_ROW] -= first_row
        name = blake2b(words.tobytes()).digest()
        return self._texts.setdefault(name, len(self._texts))


_KNOWN: dict[bytes, Windows] = {}


def windows_of(channel: IntArray, device: DeviceSpec) -> Windows:
    """What is known of channels like one at CK 0, whose dies are of one kind."""
    name = channel[k.GIVEN].tobytes() + channel[k.LATENCY :].tobytes() + bytes([device.organisation.columns])
    if name not in _KNOWN:
        while len(_KNOWN) >= _MOST_KINDS:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[name] = Windows(channel, device.organisation)
    return _KNOWN[name]


def known() -> list[Windows]:
    """What is known, of each kind of channel."""
    return list(_KNOWN.values())


def forget() -> None:
    """Drop all that is known."""
    _KNOWN.clear()
