"""One PIM program on one channel, from stop to stop of the exact engine: jump where the way is known, or learn it."""

from operator import add

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k
from lpspec.dram.fast_jumps import Branch, Clock, Jump, Memory
from lpspec.dram.fast_state import ROUNDS, STRIDE, ProgramText, StateMap, decisions, set_decisions
from lpspec.dram.simulate import what_stopped

IntArray = NDArray[np.int64]

_AT_ONCE = 1 << 18  # commands
_LOG_ROWS = 1 << 15
_NO_REQUESTS = np.empty((0, 5), np.int64)
_NO_LOG = np.empty((0, 5), np.int64)
_NOT_SERVED = np.empty(0, np.int64)
_WALKERS = slice(k.WALKER, k.WALKER + 4)
_LEFT = slice(k.W_LEFT, k.W_LEFT + k.MAX_DEPTH)


class _Here:
    """A stop, as far as jumps need it: what they change is noted here, and the channel is set when it is needed."""

    def __init__(self, channel: IntArray, text: ProgramText, where: StateMap, paid: list[int]) -> None:
        where.tidy(channel)
        self.where = where
        self.now = int(channel[k.STATE, k.S_NOW])
        self.key = where.key(channel.reshape(-1), text.next_row(channel))
        self.paid = paid
        self.macs_at = int(channel[k.WALKER + k.U_MAC, k.W_PC])
        self.rows_at = int(channel[k.WALKER + k.U_ARRAY, k.W_PC])
        self.rounds: tuple[int, ...] = tuple(channel[_WALKERS, _LEFT].ravel().tolist())
        self.last_ck = int(channel[k.STATE, k.S_LAST])
        self.data_end_ck = int(channel[k.STATE, k.S_END])
        self.ready = {r: int(channel[k.RANK + r, k.REFAB]) for r in where.plain}
        self.refreshed = dict.fromkeys(where.plain, 0)
        self.moved = np.zeros(len(where.add), np.int64)
        self.jump: Jump | None = None


class Runner:
    """One program on one channel.

    Attributes:
        jumped: Commands added in jumps.
        jumps: How many jumps.
    """

    def __init__(self, channel: IntArray, program: IntArray, memory: Memory) -> None:
        """Take a channel on which nothing has run yet, and what is known of it."""
        channel[k.GIVEN, k.P_STRIDE] = STRIDE
        self.channel, self.flat = channel, channel.reshape(-1)
        self.program, self.text = program, ProgramText(program)
        self.memory = memory
        given = channel[k.GIVEN].tolist()
        self.clock = Clock(given)
        self.pim_first = given[k.P_POLICY] == k.PIM_FIRST
        self.log = np.empty((_LOG_ROWS, 5), np.int64)
        self.jumped = self.jumps = 0
        self.refreshed = [0] * self.clock.ranks  # in jumps

    def run(self) -> None:
        """Run to the end."""
        k.start_program(self.channel, self.program)
        more = self._issue(_NO_LOG)
        while more:
            here = self._here()
            if here is None:
                more = self._issue(_NO_LOG)
                continue
            known = self._go(here)
            self._settle(here)
            more = self._issue(_NO_LOG) if known else self._learn(here)
        for r, count in enumerate(self.refreshed):
            self.channel[r * k.BANKS : (r + 1) * k.BANKS, k.B_REFRESHES] += count

    def _issue(self, log: IntArray) -> bool:
        """Run the exact engine to the next stop; whether there is more to do."""
        state = self.channel[k.STATE]
        state[k.S_STOP] = state[k.S_SAMPLES] = 0
        done = k.run(self.channel, _NO_REQUESTS, _NOT_SERVED, self.program, log, _AT_ONCE)
        if done < 0:
            raise what_stopped(self.channel, done)
        return done == 0

    def _here(self) -> _Here | None:
        """Where the engine stopped; None if that state can't be compared."""
        state = self.channel[k.STATE]
        rank = self.channel[k.RANK : k.RANK + self.clock.ranks]
        modes = tuple(rank[:, k.R_MODE].tolist())
        if state[k.S_REF_STAGE] != 0 or state[k.S_FIRST] < 0 or 1 in modes or (0 in modes and self.clock.by_pairs):
            return None
        where = self.memory.maps.get(modes)
        if where is None:
            where = self.memory.maps[modes] = StateMap(self.channel, modes)
        paid = (rank[:, k.R_DUES] - rank[:, k.R_DEBT]).tolist()
        before = int(state[k.S_NOW]) - 1
        if any(paid[r] != self.clock.due(r, before) for r in where.plain):
            return None  # a plain rank waits for its refresh
        return _Here(self.channel, self.text, where, paid)

    # --- jumps that are known -----------------------------------------------------------------------------------

    def _go(self, here: _Here) -> bool:
        """Jump as far as possible; whether the next jump is known, but can't be taken now."""
        while True:
            jump = self._find(here)
            if jump is None:
                return False
            refreshes = self._plain_refreshes(here, jump)
            if refreshes is None:
                return True
            self._take(here, jump, refreshes)
            if jump.rounds is None:  # few rounds are left of all loops, so it is known how many
                here.rounds = jump.rounds_left
                continue
            here.rounds = tuple(map(add, here.rounds, jump.rounds))
            if any(min(left, ROUNDS) != then for left, then in zip(here.rounds, jump.rounds_left, strict=True)):
                self._settle(here)  # it is fewer now, and they count
                here.key = here.where.key(self.flat, self.text.next_row(self.channel))

    def _find(self, here: _Here) -> Jump | None:
        branches = self.memory.known.get(here.key)
        if branches is None:
            return None
        base, activation = here.macs_at, self.text.next_activation(here.rows_at)
        for branch in branches:
            if self.text.signature(base + branch.first, base + branch.last, activation) == branch.signature:
                jump = self.memory.find(branch, self.clock, here.now, here.paid)
                if jump is not None:
                    return jump
        return None

    def _plain_refreshes(self, here: _Here, jump: Jump) -> list[tuple[int, int]] | None:
        """When ranks that don't compute are refreshed during a jump (CK, rank); None if that would change it."""
        now, end, clock = here.now, here.now + jump.ck, self.clock
        dues = [
            (clock.due_at(r, number), r)
            for r in here.where.plain
            for number in range(here.paid[r] + 1, clock.due(r, end - 1) + 1)
        ]
        taken: list[tuple[int, int]] = []
        if not dues:
            return taken
        ready = dict(here.ready)
        for due, r in sorted(dues):
            ck = max(due, ready[r])
            if ck < end and jump.busy[ck - now] and not self.pim_first:
                return None
            while ck < end and jump.busy[ck - now]:
                ck += 1
            if ck >= end or any(ck == other for other, _ in taken):
                return None
            ready[r] = ck + here.where.refresh_ck
            taken.append((ck, r))
        return taken

    def _take(self, here: _Here, jump: Jump, refreshes: list[tuple[int, int]]) -> None:
        """Note what a jump changes, refreshes of plain ranks included."""
        here.last_ck = here.now + jump.last_ck
        here.now += jump.ck
        for ck, r in refreshes:
            here.last_ck = max(here.last_ck, ck)
            here.ready[r] = ck + here.where.refresh_ck
            here.refreshed[r] += 1
            here.paid[r] += 1
        for r, count in jump.refreshed:
            here.paid[r] += count * self.clock.per_point
            self.refreshed[r] += count
        here.macs_at += jump.lines[0]
        here.rows_at += jump.lines[1]
        if jump.data_end_ck is not None:
            here.data_end_ck = max(here.data_end_ck, here.now + jump.data_end_ck)
        here.moved += jump.add
        here.jump = jump
        here.key = jump.key
        self.jumped += jump.commands + len(refreshes)
        self.jumps += 1

    def _settle(self, here: _Here) -> None:
        """Bring the channel to where jumps have led."""
        jump, where, state = here.jump, here.where, self.channel[k.STATE]
        if jump is None:
            return
        self.flat[where.add] += here.moved
        self.flat[where.times] = jump.times + here.now
        where.set_rows(self.flat, jump.rows, self.text.next_row(self.channel))
        set_decisions(self.flat, jump.decided)
        state[k.S_LAST] = state[k.S_PROGRESS] = here.last_ck
        state[k.S_END] = here.data_end_ck
        for r, count in here.refreshed.items():
            rank = self.channel[k.RANK + r]
            rank[k.R_DEBT] -= count
            rank[k.R_REFRESHES] += count
            self.refreshed[r] += count
            self.channel[k.COUNT : k.COUNT + 2, k.REFAB] += count
            for kind, wait in where.by_refresh if count else ():
                rank[kind] = max(rank[kind], here.ready[r] - where.refresh_ck + wait)
            here.refreshed[r] = 0
        here.moved[:] = 0
        here.jump = None

    # --- learning -----------------------------------------------------------------------------------------------

    def _learn(self, here: _Here) -> bool:
        """Run the exact engine to the next stop, and remember what it did; whether there is more to do."""
        channel, where, now = self.channel, here.where, here.now
        cells, walkers = self.flat[where.add], channel[_WALKERS].copy()
        more = self._issue(self.log)
        state = channel[k.STATE]
        log = self.log[: state[k.S_LOGGED]]
        then = self._here() if more and state[k.S_STOP] != 0 else None
        ours = log[log[:, 1] != k.REFAB]
        if then is None or then.where is not where or not len(ours) or state[k.S_SAMPLES] > k.MOST_SAMPLES:
            return more
        branch = self._branch(here, walkers, ours)
        if branch is None or (len(ours) < len(log) and not self.pim_first):
            return more
        busy = np.zeros(then.now - now, np.uint8)
        busy[ours[:, 0] - now] = 1
        grown = self.flat[where.add] - cells
        refreshed = zip(where.pim, grown[where.refreshes].tolist(), strict=True)
        grown[where.debts] = -self.clock.per_point * grown[where.refreshes]
        grown[where.not_moved] = 0
        moved = channel[_WALKERS] - walkers
        jump = Jump(
            ck=then.now - now,
            commands=len(ours),
            add=grown,
            times=self.flat[where.times] - then.now,
            rows=where.rows(self.flat, self.text.next_row(channel)),
            decided=decisions(self.flat),
            busy=busy.tobytes(),
            last_ck=int(ours[-1, 0]) - now,
            data_end_ck=then.data_end_ck - then.now if then.data_end_ck > here.data_end_ck else None,
            refreshed=tuple((r, count) for r, count in refreshed if count),
            lines=(int(moved[k.U_MAC, k.W_PC]), int(moved[k.U_ARRAY, k.W_PC])),
            rounds=tuple(moved[:, _LEFT].ravel().tolist()) if max(*here.rounds, *then.rounds) >= ROUNDS else None,
            rounds_left=tuple(min(left, ROUNDS) for left in then.rounds),
            key=then.key,
        )
        seen = channel[k.SAMPLED : k.SAMPLED + 4].reshape(-1, 3)[: state[k.S_SAMPLES]].tolist()
        looks = [[ck, ck - now, mask, counts] for ck, mask, counts in seen]
        self.memory.keep(here.key, branch, looks, self.clock, here.paid, jump)
        return more

    def _branch(self, here: _Here, walkers: IntArray, ours: IntArray) -> Branch | None:
        """The lines that were read since ``here``; None if they may not do the same another time."""
        turns = self.channel[_WALKERS, k.W_TURNS] - walkers[:, k.W_TURNS]
        switched = ours[np.isin(ours[:, 1], (k.PIM_ENTER, k.PIM_EXIT)), 2]
        if any((switched >> r & 1).any() for r in here.where.plain):
            return None  # a rank that was plain is so no more, or only again
        first, last = self.text.reach(walkers, self.channel[_WALKERS])
        activation = self.text.next_activation(here.rows_at)
        first = min(first, activation)
        last = max(last, min(activation + 1, len(self.program) + 1))
        if turns.max() >= ROUNDS or not self.text.may_repeat(first, last, walkers, len(switched) > 0):
            return None
        signature = self.text.signature(first, last, activation)
        return Branch(first - here.macs_at, last - here.macs_at, signature, {})
