"""What copies of phases take, most of them combined from a few that were run.

A PIM program without refresh takes a time that is affine in its counts, whatever the NPU reads beside, for PIM goes
first; where the NPU has so much to read that it ends later, the time is affine in the same counts and in what is read.
What each refresh adds is found from the phases that take most of the time. A family is checked by one phase that is no
anchor; where its error would matter, its phases are run by themselves.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from math import ceil

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.devices.phase_family import Family, Member
from lpspec.devices.phase_prices import Job, Prices
from lpspec.devices.run_lengths import (
    BRIEF_RUN,
    CROWDED_RUN,
    FULL_SHARE,
    HEAVY_SHARE,
    IN_STEP,
    LONG_RUN,
    LONGER,
    LONGEST_OWN_RUN,
    LONGEST_PART,
    LONGEST_RUN,
    MOST_INTERVALS,
    OWN_RUN,
    TILES_BEFORE,
    WHOLE_NUMBERS,
    enough_of,
    goes_before,
    intervals_for,
    phases_for,
)
from lpspec.devices.steady_phase import Phase, Place, about_ck, grouped, heaviest, member_of, of_reads, off_step, spread
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import CK, COUNTED
from lpspec.dram.run.steady import Enough, counts_in_the_long_run, is_long
from lpspec.machine.die import DieSpec

FREE_SHARE = 0.72
"""Share of a program's time that bursts may take so that what the NPU reads beside surely costs no time (measured: from
0.85 on it may)."""

SPARE_SHARES, BUSY_SHARES = (0.4, 0.6), (1.3, 1.8)
"""The same share of phases that are run to learn what reads cost where the bus has time left, and where it binds."""

REFRESH_ERROR = 0.0005
"""Relative error of the time of a phase by what one refresh adds, assumed: on eight machines a run was
at most 0.023 % off, of which four against exact runs of 256 refresh intervals at most 0.014 %."""

ALLOWED_ERROR = 0.001
"""Relative error of all time beyond which phases are run by themselves, and the least bound: errors are assumed."""

LIGHT_SHARE = 0.01
"""Share of the time from which on phases of one shape have a run of their own for refresh: copies that are near a whole
number of refresh intervals long keep in step with these, up to 1 % faster or slower than others."""

CROWDED_SHARE = 0.6
"""Share of a program's time that bursts may take so that refresh adds no more time with what the NPU reads beside: what
waits then catches up. Beyond, the difference that reads make is found from two short runs that refresh alike."""

STREAM_ERROR = 0.00045
"""Relative error of the time of long streams beyond others', assumed: prompts of 24 machines were at most 0.092 % off
exact runs of 256 refresh intervals, which themselves take a stream on from its second half."""

CROWDED_ERROR = 0.0003
"""Relative error of the time of such phases beyond others', assumed: runs of them were at most 0.06 % off in all."""

BARE_ROWS_ERROR, BARE_ROWS_LEFT = 0.03, 0.001
"""Relative error of the time of a program whose row changes nothing hides, since an MPU has one bank, beside reads that
nearly fill the bus, assumed: one was 2.2 % off, as reads fit into some of its pauses. What is left of it, assumed,
where a shorter one of its kind says by how much: one was 0.41 % off, of which 0.04 % were left."""

LATE_ERROR, BRIEF_LATE_ERROR = 0.001, 0.003
"""Relative error by what refresh adds to products whose reads would end in time but for it, or end later still, by a
part of them, assumed: twelve tiles of 56 to 97 were at most 0.17 % off, once 1.2 %, two to six at most 0.5 %."""

LATE, LATE_SHARE, WHOLE_SHARE = 0.94, 0.1, 0.13
"""Share of a product's time, refresh included, from which on reads count as late: they were at 0.947; and of all time,
from which on such a product refreshes as some of its tiles do with their reads, and as a whole."""

BARE_REFRESH_ERROR, BARE_LATE_ERROR = 0.002, 0.025
"""The same of products of bare rows beside reads that end in time, and of those that do not: 36 were at most 0.3 % and
2.4 % off."""


class SteadyPrices(Prices):
    """What copies of phases take, combined where phases are alike."""

    def __init__(self, device: DieSpec, controller: Controller, refresh_intervals: int) -> None:
        """Take the die of every rank, the controller's policies, and how many refresh intervals an exact run fills."""
        super().__init__(device, controller, refresh_intervals)
        self.bound, self._burst_ck, pim = ALLOWED_ERROR, device.burst_ck, device.pim_side
        self._bare_rows = pim is not None and pim.banks_per_mpu.n == 1
        self._expected: dict[Place, tuple[Job, float]] = {}
        self._counts: dict[Place, FloatArray] = {}
        self._shares: dict[Place, float] = {}  # of the time among which each was priced
        self._families: dict[Place, Family] = {}
        self._refreshes: dict[Place, tuple[FloatArray, int]] = {}  # and for how many intervals its share asked
        self._total = 0.0

    def expect(self, job: Job, times: float) -> None:
        """Be told before its price is asked for how often a phase will run; one that never will is not run for it."""
        if times:
            self._expected[job.key] = job, times + self._expected.get(job.key, (job, 0.0))[1]

    def counts(self, jobs: Sequence[Job]) -> FloatArray:
        """What a copy of each takes: float64 [jobs, COUNTED]."""
        for job in jobs:
            if job.key not in self._expected and job.key not in self._counts:
                self.expect(job, 1.0)
        self._solve()
        return np.stack([self._counts[job.key] for job in jobs]) if jobs else np.empty((0, COUNTED))

    def _solve(self) -> None:
        """Price what is expected."""
        found = self._unsure(list(self._expected.values()))
        self._expected = {}
        for job, _ in found:
            if job.kin is None:
                self._counts[job.key] = self.exact(job)
        alike = [Phase(job, times) for job, times in found if job.kin is not None]
        if not alike:
            return
        self._total = sum(phase.weight for phase in alike)
        self._copy_without_refresh(alike)
        self._mend_reads(alike)
        self._mend_bare_rows(alike)
        self._refresh(alike, self._total)
        alone, added = (np.stack([getattr(phase, name) for phase in alike]) for name in ("alone", "added"))
        copies = counts_in_the_long_run(alone, added, self.device)
        self._counts |= zip((phase.job.key for phase in alike), copies, strict=True)
        self._shares |= {phase.job.key: phase.weight / self._total for phase in alike}
        self._hold_bound(alike, self._total)

    def _unsure(self, expected: list[tuple[Job, float]]) -> list[tuple[Job, float]]:
        """Those without a price, or with one that was found among others, where less of the time hung on it."""
        total = sum(times * job.kin.ck for job, times in expected if job.kin)
        return [
            (job, times)
            for job, times in expected
            if job.key not in self._counts or (job.kin and times * job.kin.ck / total > self._shares[job.key])
        ]

    # --- a copy without refresh

    def _copy_without_refresh(self, phases: list[Phase]) -> None:
        for family, members in grouped(phases, lambda phase: phase.kin.family).items():
            self._learn((*family, "spare"), members, SPARE_SHARES)
            close = [p for p in members if p.kin.bursts and self._bus_share(p) >= FREE_SHARE]
            if not close:
                continue
            spare = [(p.place, p.alone) for p in close]
            self._learn((*family, "busy"), close, BUSY_SHARES)
            for phase, (place, alone) in zip(close, spare, strict=True):
                if alone[CK] >= phase.alone[CK]:
                    phase.take(place, alone)
        slower = [(p, Phase(p.job.slower, p.times)) for p in phases if p.job.slower and p.place[-1] == "busy"]
        if not slower:
            return
        self._copy_without_refresh([phase for _, phase in slower])
        for phase, other in slower:
            if other.alone[CK] < phase.alone[CK]:
                phase.kin, phase.run = other.kin, other.run
                phase.take(other.place, other.alone)

    def _learn(self, place: Place, phases: list[Phase], shares: tuple[float, ...]) -> None:
        family = self._families.setdefault(place, Family(self.alone))
        members = [phase.member() for phase in phases]
        candidates: dict[tuple[float, ...], Member] = {}
        nothing, done = () if place[-1] == "busy" else (0.0,), set[tuple[Place, bool]]()
        for phase in phases:
            smaller, reads = phase.kin.smaller(), phase.kin.bursts > 0
            for like in self._variants(phase.job, phase.weight, nothing, shares * (reads and not smaller)):
                candidates.setdefault(like.features, like)
            for job in smaller:
                if (job.key, reads) not in done:
                    done.add((job.key, reads))
                    for like in self._variants(job, 0.0, nothing, shares * reads):
                        candidates.setdefault(like.features, like)
        share = sum(phase.weight for phase in phases) / self._total
        family.learn(members, list(candidates.values()), share)
        for phase, counts in zip(phases, family.counts(members), strict=True):
            phase.take(place, counts)

    def _variants(
        self, job: Job, weight: float, nothing: tuple[float, ...], shares: tuple[float, ...]
    ) -> Iterator[Member]:
        """The phase with nothing read beside, and with what takes such shares of the bus, or all it has; none made."""
        kin = job.kin
        assert kin is not None
        if kin.beside is None:
            yield member_of(kin, kin.bursts, lambda: job, weight)
            return
        for share in (*nothing, *shares):
            bursts = int(share * kin.ck / self._burst_ck - kin.pim_bursts * (share > 0))
            bursts = bursts if bursts > 0 else kin.bursts * (share > 0)
            if bursts > 0 or share == 0:
                yield member_of(kin, bursts, partial(kin.beside, bursts), weight)

    def _bus_share(self, phase: Phase) -> float:
        bursts = phase.kin.bursts + phase.kin.pim_bursts
        return float(bursts * self._burst_ck / phase.alone[CK])

    def _crowded(self, phase: Phase) -> bool:
        """Whether what the NPU reads beside a program, in its time, leaves the bus little."""
        return phase.kin.bursts > 0 and phase.place[-1] == "spare" and self._bus_share(phase) >= CROWDED_SHARE

    def _mend_reads(self, phases: list[Phase]) -> None:
        """Run those by themselves of which short anchors say that reads cost time, though the bus has some left."""
        cost, beside = dict[Phase, float](), [p for p in phases if p.kin.bursts and p.kin.beside is not None]
        for place, members in grouped(beside, lambda phase: phase.place).items():
            if place[-1] == "spare":
                without = self._families[place].counts([phase.member(0) for phase in members])
                for phase, counts in zip(members, without, strict=True):
                    cost[phase] = abs(float(phase.alone[CK] - counts[CK])) * phase.times / self._total
        for phase in heaviest(cost, OWN_RUN):
            phase.take(phase.place, self.alone(phase.run).copy())
            phase.run_itself = True

    def _mend_bare_rows(self, phases: list[Phase]) -> None:
        """Take from runs of shorter ones by how much programs of bare rows are off: those that matter, one at least."""
        bare = [phase for phase in phases if self._has_bare_rows(phase) and phase.kin.shorter is not None]
        for members in grouped(bare, lambda phase: phase.place).values():
            members.sort(key=lambda phase: -phase.weight)
            off = 0.0
            for n, phase in enumerate(members):
                if n > 0 and phase.weight / self._total * BARE_ROWS_ERROR < OWN_RUN:
                    phase.bare_error = off + BARE_ROWS_LEFT
                    continue
                assert phase.kin.shorter is not None
                like = self._combined(phase, phase.kin.shorter(phase.kin.bursts))
                ratio = float(self.alone(like.job)[CK] / like.alone[CK])
                phase.alone[CK] *= ratio
                phase.take(phase.place, phase.alone)
                phase.run_itself = like.job.key == phase.run.key
                phase.bare_error, off = 0.0 if phase.run_itself else BARE_ROWS_LEFT, max(off, abs(ratio - 1))

    def _has_bare_rows(self, phase: Phase) -> bool:
        is_bare = self._bare_rows and phase.kin.beside is not None
        return is_bare and phase.kin.bursts > 0 and self._bus_share(phase) >= FREE_SHARE

    def _combined(self, phase: Phase, job: Job) -> Phase:
        """Another phase of its family, without refresh."""
        like = Phase(job, 1.0)
        like.take(phase.place, self._families[phase.place].counts([like.member()])[0])
        return like

    # --- refresh

    def _refresh(self, phases: list[Phase], total: float) -> None:
        """What each refresh adds: from some phases of a shape, or of its family where a shape weighs little."""
        groups = grouped(phases, lambda phase: (phase.place[0], phase.place[-1], *phase.kin.shape))
        order = sorted(groups, key=lambda group: -sum(phase.weight for phase in groups[group]))
        for group in order:
            members = groups[group]
            share = sum(phase.weight for phase in members) / total
            (known, sure), asked = self._refreshes.get(group, (None, 0)), intervals_for(share, LONGEST_OWN_RUN)
            place = group[:2]
            if sure < asked and (share >= LIGHT_SHARE or place not in self._refreshes):
                some = spread(members, 1 if members[0].kin.shape else phases_for(share))
                found = [self._added(phase, share, len(some)) for phase in some]
                known = some[0].added = np.mean(found, axis=0)
                self._refreshes[group] = known, asked
                self._refreshes.setdefault(place, (known, asked))
            for phase in members:
                self._share_added(phase, self._refreshes[place][0] if known is None else known, total)

    def _share_added(self, phase: Phase, added: FloatArray, total: float) -> None:
        """Take what refresh adds to another phase of the shape, unless this one may keep in step, and it matters."""
        if phase.added is added:
            return
        phase.added, share = added, phase.weight / total
        if phase.kin.beside is None or not phase.kin.shape:
            return
        phase.off_step = off_step(phase.alone, added, self.device)
        if phase.off_step * share > OWN_RUN:
            phase.added, phase.off_step = self._added(phase, share, 1), 0.0

    def _added(self, phase: Phase, share: float, of: int) -> FloatArray:
        """By one of so many runs, together as long as their share asks for; another finds what reads that fit add."""
        kin = phase.kin
        most = MOST_INTERVALS * (1 + (share >= HEAVY_SHARE and kin.beside is not None))
        intervals, share = max(BRIEF_RUN, intervals_for(share, most) // of), share / of
        if kin.shorter is None:
            return self._added_by(phase, phase.run, (intervals, share))
        bare = self._bare_rows and not self.controller.own_bus  # PIM commands and reads wait for each other
        by_itself = phase.place[-1] == "busy" or (bare and share >= LATE_SHARE)
        if kin.bursts == 0 or kin.brief is None or by_itself or kin.brief is kin.shorter:
            return self._added_by(phase, self._bound_part(phase, intervals, share), (intervals, share))
        added = self._added_by(phase, kin.shorter(0), (intervals, share))
        if share >= LATE_SHARE and self._is_late(phase, added) and not self._bare_rows:
            return self._added_by(phase, self._bound_part(phase, intervals, share), (intervals, share))
        if not self._crowded(phase):
            return np.where(of_reads(), self._added_by(phase, kin.brief(kin.bursts), (BRIEF_RUN, 0.0)), added)
        with_reads, without = (self._added_by(phase, kin.brief(n), (CROWDED_RUN, 0.0)) for n in (kin.bursts, 0))
        return added + with_reads - without

    def _is_late(self, phase: Phase, added: FloatArray) -> bool:
        """Whether reads beside a product end in its time only where nothing is refreshed, or not even there."""
        if not phase.kin.bursts or not phase.kin.shape:
            return False
        return phase.place[-1] == "busy" or self._bus_share(phase) + self._intervals(added) >= LATE

    def _bound_part(self, phase: Phase, intervals: int, share: float) -> Job:
        """One that refreshes like it: where the bus binds, of no more tiles than its share of the time asks for."""
        kin = phase.kin
        assert kin.shorter is not None
        found = kin.shorter(kin.bursts)
        if kin.part is not None and kin.bursts and not self._bare_rows:
            whole = self._intervals(phase.alone)
            if share >= WHOLE_SHARE and whole <= LONGEST_RUN:
                found = phase.run
            elif share >= WHOLE_SHARE:
                found = kin.part(ceil(kin.tiles * LONGEST_PART / whole), kin.bursts)
            elif share < FULL_SHARE:
                few = kin.part(max(1, ceil(kin.tiles * intervals / whole)), kin.bursts)
                found = min(found, few, key=about_ck)
        phase.refreshed_itself = found.key == phase.run.key
        return found

    def _goes_by_tiles(self, phase: Phase, share: float) -> bool:
        """Whether some tiles show what refresh adds to all: little of the time hangs on it, and rows are not bare."""
        return phase.place[-1] == "busy" and share < HEAVY_SHARE and not self._bare_rows

    def _intervals(self, alone: FloatArray) -> float:
        """Refresh intervals of a copy."""
        return float(alone[CK]) / self.device.timing.nREFI.n

    def _added_by(self, phase: Phase, job: Job, asked: tuple[int, float]) -> FloatArray:
        """By a run over so many refresh intervals, on which so large a share of the time hangs."""
        intervals, share = asked
        like, is_bound, is_itself = self._combined(phase, job), phase.place[-1] == "busy", job.key == phase.run.key
        # Of the phase itself, what it takes and what refresh adds to that are together what its run took.
        alone = phase.alone if is_itself else like.alone
        is_long_part = like.kin.part is not None and self._intervals(alone) >= MOST_INTERVALS
        by_tiles = is_long_part and self._goes_by_tiles(phase, share)
        if not is_itself and (by_tiles or (like.kin.bursts and not is_bound)):
            alone = self.alone(job)  # what reads cost is not to be taken for what refresh adds
            if is_long_part and like.kin.bursts and not phase.run_itself:
                phase.mend(alone, like.alone)
        copy = self._intervals(alone)
        slow = copy < WHOLE_NUMBERS and abs(copy - round(copy)) < IN_STEP
        intervals = min(intervals * LONGER, LONGEST_RUN) if slow else intervals
        if by_tiles:
            assert like.kin.part is not None
            before = like.kin.part(TILES_BEFORE, like.kin.bursts).work
            added = self._added_behind(before, job, alone, (Enough(intervals), "part"))
        elif not is_long(alone, self.device) or is_bound or (like.kin.before is None and intervals < LONG_RUN):
            added = self.added(job, alone, intervals)
        else:
            before, kind = goes_before(job, copy)
            enough = enough_of(like.kin, copy, float(alone[CK]), intervals)
            added = self._added_behind(before, job, alone, (enough, kind))
        may_settle = not slow and copy < MOST_INTERVALS and is_itself
        if not may_settle or off_step(alone, added, self.device) * share <= OWN_RUN:
            return added
        return self.added(job, alone, min(intervals * LONGER, LONGEST_RUN))

    # --- error

    def _hold_bound(self, phases: list[Phase], total: float) -> None:
        """Run phases by themselves until their errors together are small enough."""
        error = {phase: self._error(phase) for phase in phases}
        doubt = sum(phase.weight * error[phase] for phase in phases) / total
        for phase in sorted(phases, key=lambda phase: -phase.weight * error[phase]):
            if doubt + REFRESH_ERROR <= ALLOWED_ERROR:
                break
            share = phase.weight / total
            self._counts[phase.job.key] = self.exact(phase.job, intervals_for(share, LONGEST_OWN_RUN))
            doubt -= share * error[phase]
        streams = sum(phase.weight for phase in phases if phase.job.kin is not None and phase.job.kin.long) / total
        assert self.bound is not None
        self.bound = max(self.bound, doubt + REFRESH_ERROR + streams * STREAM_ERROR)

    def _error(self, phase: Phase) -> float:
        """Relative error of its time, about."""
        of_family = 0.0 if phase.run_itself else self._families[phase.place].error_of(phase.member())
        return of_family + self._error_of_reads(phase) + phase.bare_error + phase.off_step

    def _error_of_reads(self, phase: Phase) -> float:
        """The same by refresh while the NPU reads beside a program."""
        if not self._is_late(phase, phase.added):
            is_bare = phase.kin.shape and self._has_bare_rows(phase)
            return self._crowded(phase) * CROWDED_ERROR + (BARE_REFRESH_ERROR if is_bare else 0.0)
        if self._bare_rows:
            return BARE_LATE_ERROR
        of_part = BRIEF_LATE_ERROR if phase.weight / self._total < FULL_SHARE else LATE_ERROR
        return 0.0 if phase.refreshed_itself else of_part
