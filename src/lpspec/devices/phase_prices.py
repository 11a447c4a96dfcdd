"""What one channel does in a phase, and what a copy of it takes: every phase run by itself, then remembered."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.kept_prices import kept_prices
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import CK, COUNTED, PhaseCommands, PhaseWork
from lpspec.dram.run.steady import Enough, in_the_long_run, is_long, per_refresh, refreshed, without_refresh
from lpspec.machine.die import DieSpec
from lpspec.machine.pim_format import INT8, PimFormat

_MOST_KNOWN = 1 << 14
_KNOWN: dict[tuple[Any, ...], FloatArray] = {}


class Work(NamedTuple):
    """What one channel does in a phase, made when it is to be run.

    Attributes:
        program: int64 [instructions, fields], empty for none.
        requests: int64 [n, 5], their CK counted from the start of the phase.
        mac_ck: CK from MAC to MAC; what the die needs if left out.
        form: What MACs multiply.
    """

    program: Callable[[], IntArray]
    requests: Callable[[], IntArray]
    mac_ck: int | None = None
    form: PimFormat = INT8

    def made(self) -> PhaseWork:
        """It made."""
        return PhaseWork(self.program(), self.requests(), self.mac_ck)


class Kin(NamedTuple):
    """Which other phases a phase is like.

    Attributes:
        family: Phases of one family take a time that is affine in their features.
        features: Counts that decide it.
        feature_ck: About how many CK one more of each takes, on the bus or in a die.
        ck: About how long a copy takes without what is read beside.
        bursts: Read beside by the NPU.
        pim_bursts: Inputs and results of PIM on DQ.
        mac_tokens: As ``PhaseCommands`` has it.
        shape: Phases of one family and shape refresh alike.
        beside: The same with so many bursts beside; None where nothing can be.
        smaller: Short ones of the family with nothing read beside.
        shorter: One that refreshes like this with so many bursts beside, and is not longer.
        brief: A short one beside which so many bursts of the whole are read, in its time.
        before: A short one that brings debts of refresh to where they are between copies; itself if left out.
        long: Whether it is a stream so long that refresh is all that counts.
        tiles: Of a product.
        part: So many of them, beside which as much of the reads of the whole goes; None for what has no tiles.
    """

    family: tuple[Any, ...]
    features: tuple[float, ...]
    feature_ck: tuple[float, ...]
    ck: float
    bursts: int = 0
    pim_bursts: float = 0.0
    mac_tokens: float = 0.0
    shape: tuple[Any, ...] = ()
    beside: "Callable[[int], Job] | None" = None
    smaller: "Callable[[], Sequence[Job]]" = tuple
    shorter: "Callable[[int], Job] | None" = None
    brief: "Callable[[int], Job] | None" = None
    before: "Callable[[], Work] | None" = None
    long: bool = False
    tiles: float = 0.0
    part: "Callable[[int, int], Job] | None" = None


class Job(NamedTuple):
    """A phase on the channel with the most to do.

    Attributes:
        key: What decides its commands: the memory, and the phase.
        work: What is run.
        share: What all channels do on average, over what this one does.
        kin: Which others it is like; None if none.
        run: Runs it in another way than as copies of ``work``.
        slower: The same with MACs a CK further apart, where that may end sooner.
    """

    key: tuple[Any, ...]
    work: Work
    share: float = 1.0
    kin: Kin | None = None
    run: Callable[[], PhaseCommands] | None = None
    slower: "Job | None" = None


class Prices:
    """What copies of phases take on one memory, each run by itself."""

    bound: float | None = None
    """Largest relative error of all that was expected against exact runs of 256 refresh intervals; None where each
    phase was asked to be run by itself, over as many as were asked for."""

    def __init__(self, device: DieSpec, controller: Controller, refresh_intervals: int) -> None:
        """Take the die of every rank, the controller's policies, and how many refresh intervals copies fill."""
        self.device, self.controller, self.refresh_intervals = device, controller, refresh_intervals

    def expect(self, job: Job, times: float) -> None:
        """Be told before its price is asked for how often a phase will run."""

    def counts(self, jobs: Sequence[Job]) -> FloatArray:
        """What a copy of each takes: float64 [jobs, COUNTED]."""
        return np.stack([self.exact(job) for job in jobs]) if jobs else np.empty((0, COUNTED))

    def work(self, job: Job) -> Work:
        """What is run for it: at the pace of MACs that ends sooner."""
        if job.slower is None:
            return job.work
        return min((job, job.slower), key=lambda one: float(self._itself(one, self.refresh_intervals)[CK])).work

    def exact(self, job: Job, refresh_intervals: int = 0) -> FloatArray:
        """What a copy takes when it is run by itself, at the pace of MACs that ends it sooner: float64 [COUNTED].

        Copies fill as many refresh intervals as is said here, or all of these prices' if that is more.
        """
        paces = (job,) if job.slower is None else (job, job.slower)
        intervals = max(refresh_intervals, self.refresh_intervals)
        return min((self._itself(one, intervals) for one in paces), key=lambda counts: float(counts[CK]))

    def _itself(self, job: Job, refresh_intervals: int) -> FloatArray:
        if job.run is not None:
            run = job.run
            return _remembered((job.key, "run", refresh_intervals), lambda: run().counts)
        alone = self.alone(job)
        return in_the_long_run(alone, self.added(job, alone, refresh_intervals), self.device).counts

    def alone(self, job: Job) -> FloatArray:
        """A copy without refresh, float64 [COUNTED]."""

        def run() -> FloatArray:
            return without_refresh(job.work.made(), self.device, self.controller)

        return _remembered((job.key, "alone"), run)

    def added(self, job: Job, alone: FloatArray, refresh_intervals: int) -> FloatArray:
        """What each refresh adds to copies that take so much without, run or combined, float64 [COUNTED].

        Of long ones another copy goes before those that count.
        """
        before = job.work if is_long(alone, self.device) else None
        return self._added_behind(before, job, alone, (Enough(refresh_intervals), before is not None))

    def _added_behind(self, before: Work | None, job: Job, alone: FloatArray, how: tuple[Enough, Any]) -> FloatArray:
        """The same behind what goes before; ``how``: copies, and what tells this run from others of as many."""
        enough, kind = how

        def run() -> FloatArray:
            phase = job.work.made()
            first = phase if before is job.work else before.made() if before else None
            return refreshed(phase, self.device, self.controller, enough, first)

        return per_refresh(_remembered((job.key, "refreshed", enough.refresh_intervals, kind), run), alone)


def _remembered(key: tuple[Any, ...], run: Callable[[], FloatArray]) -> FloatArray:
    """What is known in this process or kept by an earlier one; or else it is run."""
    if key not in _KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        kept = kept_prices()
        counts = kept.get(key)
        if counts is None:
            counts = run()
            kept.put(key, counts)
        _KNOWN[key] = counts
    return _KNOWN[key]
