"""The state of a channel relative to now, for a PIM program without requests: what may be compared, and moved on.

Two states that are equal here go on alike, command by command, as long as refreshes come due alike: times that are
past are all the same, instructions count from where the MACs stand, rows from the row that is opened next, and a loop
that no unit can leave before the next stop has as many rounds left as any other.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k

IntArray = NDArray[np.int64]

STRIDE = 16  # rounds of a loop between two stops, at most
ROUNDS = 32  # rounds left that count as many; no unit ends this many rounds between two stops that are compared
_FAR = 1 << 61
_CLOSED = -_FAR
_ZERO = k.STATE * k.WIDTH + k.WIDTH - 1  # a cell that is always 0
_NOW = k.STATE * k.WIDTH + k.S_NOW
_MACS_AT = (k.WALKER + k.U_MAC) * k.WIDTH + k.W_PC
_DECIDED = k.STATE * k.WIDTH + k.S_REF_DECIDED

_RANK_TIMES = (
    *(k.R_READY, k.R_PIM_ACT, k.R_PIM_MAC, k.R_PIM_OUT, k.R_EXIT),
    *(f + parity for f in (k.R_COLUMN, k.R_CLOSE, k.R_REOPEN, k.R_INPUT) for parity in range(2)),
)
_RANK_PLAIN = (k.R_OPENING, k.R_OPEN, k.R_TARGET, k.R_MODE, k.R_CAS)
_SCALARS = (k.S_DQ_OWNER, k.S_PIM_WANTS, k.S_COLUMNS_HELD, k.S_LAST_WINNER, k.S_FINISHED, k.S_PIM_RANKS)
_WAITS = (
    (k.U_MAC, (k.C_ACT, k.C_ACT + 1, k.C_IN, k.C_IN + 1, k.C_OUT)),
    (k.U_ARRAY, (k.C_MAC, k.C_MAC + 1)),
    (k.U_IN, (k.C_SET, k.C_SET + 1)),
    (k.U_OUT, (k.C_MAC, k.C_MAC + 1)),
)


def _cell(row: int, column: int) -> int:
    return row * k.WIDTH + column


class StateMap:
    """Where in a channel's state lies what counts, given which ranks are in PIM mode.

    Attributes:
        pim: Ranks in PIM mode.
        plain: The others.
        by_refresh: Classes of commands of a rank that wait for its all-bank refresh, and how many CK.
        refresh_ck: From one such refresh to the next, at least.
        add: Cells that a jump moves on by differences.
        times: Cells that a jump sets relative to its end.
        debts: Where in ``add`` the refreshes owed by ranks in PIM mode are.
        refreshes: Where their refreshes are.
        not_moved: Where what depends on the clock is.
    """

    def __init__(self, channel: IntArray, modes: tuple[int, ...]) -> None:
        """Find all cells for a channel of so many ranks."""
        self.ranks = len(modes)
        self.pim = tuple(r for r in range(self.ranks) if modes[r] == 2)
        self.plain = tuple(r for r in range(self.ranks) if modes[r] != 2)
        self.by_refresh = refresh_waits(channel)
        self.refresh_ck = dict(self.by_refresh).get(k.REFAB, 0)
        self.times = np.array(self._times())
        self.add = np.array(self._add())
        self.row_cells = np.array(
            [_cell(k.RANK + r, k.R_PIM_ROW + parity) for r in range(self.ranks) for parity in range(2)]
        )
        place = {cell: i for i, cell in enumerate(self.add.tolist())}
        # What refreshes of plain ranks do is no part of a jump, and what the others owe comes due by the clock.
        self.not_moved = np.array(
            [place[_cell(k.COUNT + i, k.REFAB)] for i in range(2)]
            + [place[_cell(k.RANK + r, field)] for r in self.plain for field in (k.R_REFRESHES, k.R_DEBT)]
        )
        self.debts = np.array([place[_cell(k.RANK + r, k.R_DEBT)] for r in self.pim], np.int64)
        self.refreshes = np.array([place[_cell(k.RANK + r, k.R_REFRESHES)] for r in self.pim], np.int64)
        self._compare()

    def _times(self) -> list[int]:
        cells = [_NOW, _cell(k.STATE, k.S_PIM_FLOOR)]
        for r in range(self.ranks):
            skip = dict(self.by_refresh) if r in self.plain else {}
            fields = [c for c in range(k.CLASSES) if c not in skip] + [*_RANK_TIMES, k.R_WCK, k.R_SINCE]
            cells += [_cell(k.RANK + r, f) for f in fields]
        return cells

    def _add(self) -> list[int]:
        cells = [_cell(k.COUNT + i, code) for i in range(2) for code in range(19)]
        cells += [_cell(k.DONE + i, r) for i in range(45) for r in range(self.ranks)]
        cells += [_cell(k.WALKER + u, f) for u in range(4) for f in range(k.W_TURNS + 1)]
        cells += [_cell(k.STATE, s) for s in (*_SCALARS, k.S_REF_DECIDED, k.S_MAC_TOKENS, k.S_DQ_BURSTS)]
        fields = (*_RANK_PLAIN, k.R_REFRESHES, k.R_DEBT, k.R_ACTIVE)
        return cells + [_cell(k.RANK + r, f) for r in range(self.ranks) for f in fields]

    def _compare(self) -> None:
        """Each compared number is a cell less another, between two bounds."""
        rows: list[tuple[int, int, int, int]] = []
        times = [c for c in self.times.tolist() if c != _NOW and c % k.WIDTH not in (k.R_WCK, k.R_SINCE)]
        rows += [(c, _NOW, 0, _FAR) for c in (*times, _cell(k.STATE, k.S_END))]
        for r in range(self.ranks):
            rank = k.RANK + r
            rows.append((_cell(rank, k.R_WCK), _NOW, -1, _FAR))
            rows += [(_cell(rank, f), _ZERO, -_FAR, _FAR) for f in _RANK_PLAIN]
            rows.append((_cell(rank, k.R_COLUMN + 1), _cell(rank, k.R_COLUMN), -1, 0))  # which bank opens first again
            for unit, waits in _WAITS:
                rows += [(_cell(k.SEEN + 9 * unit + w, r), _cell(k.DONE + w, r), -_FAR, _FAR) for w in waits]
        rows += [(_cell(k.STATE, s), _ZERO, -_FAR, _FAR) for s in _SCALARS]
        rows.append((_cell(k.STATE, k.S_DQ_WAITS), _ZERO, -1, 0))
        for u in range(4):
            walker = k.WALKER + u
            rows.append((_cell(walker, k.W_PC), _MACS_AT, -_FAR, _FAR))
            rows.append((_cell(walker, k.W_POINTS), _DECIDED, -_FAR, _FAR))
            rows += [(_cell(walker, f), _ZERO, -_FAR, _FAR) for f in (k.W_DEPTH, k.W_DONE, k.W_AT)]
            rows += [(_cell(walker, k.W_LEFT + d), _ZERO, 0, ROUNDS) for d in range(k.MAX_DEPTH)]
            rows += [(_cell(walker, k.W_START + d), _MACS_AT, -_FAR, _FAR) for d in range(k.MAX_DEPTH)]
        table = np.array(rows, np.int64)
        self._cells, self._less, self._low, self._high = (np.ascontiguousarray(c) for c in table.T)

    def tidy(self, channel: IntArray) -> None:
        """Set what no longer counts to one value, and reckon active time up to now."""
        macs_at = channel[k.WALKER + k.U_MAC, k.W_PC]
        for row in channel[k.WALKER : k.WALKER + 4]:
            depth = row[k.W_DEPTH]
            row[k.W_LEFT + depth : k.W_LEFT + k.MAX_DEPTH] = 0
            row[k.W_START + depth : k.W_START + k.MAX_DEPTH] = macs_at
        rank = channel[k.RANK : k.RANK + self.ranks]
        now = channel[k.STATE, k.S_NOW]
        rank[:, k.R_ACTIVE] += (now - rank[:, k.R_SINCE]) * (rank[:, k.R_OPEN] > 0)
        rank[:, k.R_SINCE] = now

    def key(self, flat: IntArray, next_row: int) -> bytes:
        """Everything that counts, as bytes to compare; ``next_row`` is the row that is opened next."""
        values = flat[self._cells]
        values -= flat[self._less]
        np.maximum(values, self._low, out=values)
        np.minimum(values, self._high, out=values)
        return b"".join([values.tobytes(), self.rows(flat, next_row).tobytes(), bytes(decisions(flat))])

    def rows(self, flat: IntArray, next_row: int) -> IntArray:
        """Open rows, counted from the row that is opened next."""
        rows = flat[self.row_cells]
        return np.where(rows < 0, _CLOSED, rows - next_row)

    def set_rows(self, flat: IntArray, rows: IntArray, next_row: int) -> None:
        """The opposite of ``rows``."""
        flat[self.row_cells] = np.where(rows == _CLOSED, -1, rows + next_row)


def refresh_waits(channel: IntArray) -> list[tuple[int, int]]:
    """Classes of commands of a rank that wait for its all-bank refresh, and how many CK."""
    rules = channel[k.LATENCY + k.AT_RANK + k.REFAB, : k.CLASSES].tolist()
    return [(c, latency) for c, latency in enumerate(rules) if latency != k.NO_RULE]


def decisions(flat: IntArray) -> list[int]:
    """Decisions about refresh points that some unit has yet to reach, oldest first."""
    first = min(int(flat[_cell(k.WALKER + u, k.W_POINTS)]) for u in range(4))
    return [int(flat[_cell(k.DECIDED, p % k.DECISIONS)]) for p in range(first, int(flat[_DECIDED]))]


def set_decisions(flat: IntArray, values: list[int]) -> None:
    """The opposite of ``decisions``: those of the last points decided."""
    last = int(flat[_DECIDED])
    for point, value in zip(range(last - len(values), last), values, strict=True):
        flat[_cell(k.DECIDED, point % k.DECISIONS)] = value


@dataclass
class ProgramText:
    """A PIM program as its repeats are found: which lines are the same, and which row comes next.

    Attributes:
        lines: int64 [instructions, fields].
    """

    lines: IntArray
    _known: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    _activation: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Tabulate loops and activations."""
        n = len(self.lines)
        op = self.lines[:, k.I_OP]
        data = range(k.I_DATA, k.INSTRUCTION_FIELDS)
        words = [f for f in range(k.INSTRUCTION_FIELDS) if f != k.I_ROW and f not in data]
        self._words = np.full((n + 1, len(words)), -1, np.int64)  # a last line that is like no other
        self._words[:n] = self.lines[:, words]
        self._activates = np.append(op == k.PIM_ACT, False)
        self._row = np.append(self.lines[:, k.I_ROW], 0)
        self._places: list[int] = np.flatnonzero(self._activates).tolist()
        self._steps = self.lines[:, k.I_ROW_STEP : k.I_ROW_STEP + k.MAX_DEPTH]
        self.end_of: dict[int, int] = {}
        self._turns: list[int] = np.flatnonzero((op == k.LOOP) | (op == k.END)).tolist()
        self._around: list[tuple[int, ...]] = [()]  # loops around, outermost first, behind each of these lines
        for pc, is_loop in zip(self._turns, (op[self._turns] == k.LOOP).tolist(), strict=True):
            around = self._around[-1]
            if is_loop:
                self._around.append((*around, pc + 1))
            else:
                self.end_of[around[-1]] = pc
                self._around.append(around[:-1])

    def next_activation(self, pc: int) -> int:
        """The line with the next activation in the same loop, be it in the next round; the program's end if none is."""
        found = self._activation.get(pc)
        if found is None:
            places, after = self._places, bisect_left(self._places, pc)
            found = places[after] if after < len(places) else len(self.lines)
            for start in reversed(self._around[bisect_left(self._turns, pc)]):
                first = bisect_left(places, start)
                if first < len(places) and places[first] < self.end_of[start]:
                    found = found if found < self.end_of[start] else places[first]
                    break
            self._activation[pc] = found
        return found

    def next_row(self, channel: IntArray) -> int:
        """The row that this line names in this round of the loops around."""
        walker = channel[k.WALKER + k.U_ARRAY].tolist()
        pc = self.next_activation(walker[k.W_PC])
        row = int(self._row[pc])
        for depth in range(walker[k.W_DEPTH]):
            if pc < len(self.lines):
                done = int(self.lines[walker[k.W_START + depth] - 1, k.I_COUNT]) - walker[k.W_LEFT + depth]
                row += done * int(self._steps[pc, depth])
        return row

    def signature(self, first: int, last: int, activation: int) -> bytes:
        """What lines from first to last say, rows counted from that of an activation; equal for equal lines."""
        known = self._known.get((first, last, activation))
        if known is None:
            rows = (self._row[first:last] - self._row[activation]) * self._activates[first:last]
            known = self._known[first, last, activation] = self._words[first:last].tobytes() + rows.tobytes()
        return known

    def reach(self, before: IntArray, after: IntArray) -> tuple[int, int]:
        """Lines that units may have read between two states of walkers: first, and behind the last."""
        first, last = len(self.lines), 0
        for walker in (*before.tolist(), *after.tolist()):
            starts = walker[k.W_START : k.W_START + walker[k.W_DEPTH]]
            first = min([first, walker[k.W_PC], *(start - 1 for start in starts)])
            last = max([last, walker[k.W_PC] + 1, *(self.end_of[start] + 1 for start in starts)])
        return first, min(last, len(self.lines) + 1)

    def may_repeat(self, first: int, last: int, before: IntArray, switches: bool) -> bool:
        """Whether lines do the same in any round: rows go on alike, and ranks leave PIM mode only to enter again."""
        for walker in before.tolist():
            for depth in range(walker[k.W_DEPTH]):
                start = walker[k.W_START + depth]
                if walker[k.W_LEFT + depth] >= ROUNDS:
                    inside = slice(start, self.end_of[start])
                    steps = self._steps[inside, depth][self._activates[inside]]
                    if len(steps) and (steps != steps[0]).any():
                        return False
        if not switches:
            return True
        ops, masks = self.lines[:, k.I_OP], self.lines[:, k.I_MASK]
        leaves = first + np.flatnonzero(ops[first : min(last, len(ops))] == k.PIM_EXIT)
        return all(i + 1 < last - 1 and ops[i + 1] == k.PIM_ENTER and masks[i + 1] == masks[i] for i in leaves)
