"""What the memory's part of a phase costs, every command of one channel issued (fidelity ``command``).

Channels work alike, so the one with the largest share is run, and what it did counts for all of them: exact where
shares are equal, which they are for widths that are multiples of 32 outputs times channels. Costs are those of a copy
among copies that follow each other (``lpspec.dram.run.session``), so they hold their share of refresh and may be added.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.channel_jobs import ChannelJobs
from lpspec.devices.cost import Activity, Real, activity_from
from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.phase_prices import Job, Prices, Work
from lpspec.devices.run_lengths import LONGER
from lpspec.devices.steady_prices import ALLOWED_ERROR, SteadyPrices
from lpspec.devices.stream_jobs import LONGEST_STREAM
from lpspec.dram.energy import activity_of, refresh_ns, sum_of, waiting
from lpspec.dram.pim.weights import PimChannel, share_of_channel
from lpspec.dram.platform_channel import (
    addresses_of_platform,
    channel_of_platform,
    command_die,
    controller_of_platform,
)
from lpspec.dram.rules import COMMANDS, ON_BUS
from lpspec.dram.run.mover import moved
from lpspec.dram.run.session import ACTIVE_CK, BUS, CK, COUNTED, MAC_TOKENS, RANKS, PhaseCommands
from lpspec.dram.run.steady import REFRESH_INTERVALS
from lpspec.errors import InputError
from lpspec.llm.counts import plain
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EVENTS
from lpspec.machine.platform_spec import PlatformSpec

_BURSTS = [BUS + COMMANDS.index(name) for name in ON_BUS]


@dataclass(frozen=True, eq=False)
class MemoryPart:
    """The memory's part of a phase, of the whole package, whose cost is asked for when it is first needed.

    Time and events are numbers, or arrays over kinds of a step; then no work is named.

    Attributes:
        asked: What is priced, one after the other.
        known: What costs so much besides, as ``table`` has it.
    """

    asked: tuple["Asked", ...] = ()
    known: tuple[FloatArray, ...] = ()

    def __add__(self, other: "MemoryPart") -> "MemoryPart":
        """One after the other."""
        return MemoryPart(self.asked + other.asked, self.known + other.known)

    @property
    def works(self) -> tuple[Work, ...]:
        """One channel's work, in order; none of arrays."""
        return tuple(work for one in self.asked for work in one.works())

    @property
    def latency_ns(self) -> Real:
        """Its time."""
        ns: Real = plain(self.table[0])
        return ns

    @property
    def activity(self) -> Activity:
        """Its events."""
        return activity_from(self.table[1:])

    @cached_property
    def table(self) -> FloatArray:
        """Time and events, float64 [1 + events], or of arrays [1 + events, kinds]."""
        return tables_of([self])[0]


def tables_of(parts: Sequence[MemoryPart]) -> list[FloatArray]:
    """The table of each of some parts of one package, all priced at once."""
    asked, begin = [one for part in parts for one in part.asked], 0
    costs = asked[0].memory.costs([job for one in asked for job in one.jobs]) if asked else np.empty(0)
    found: list[FloatArray] = []
    for part in parts:
        tables = list(part.known)
        for one in part.asked:
            tables.append(costs[:, begin if one.which is None else begin + one.which])
            begin += len(one.jobs)
        found.append(sum_of_tables(tables))
    return found


def sum_of_tables(tables: Iterable[FloatArray]) -> FloatArray:
    """The sum of tables as ``MemoryPart`` has them, one of arrays if any is; zeros of none."""
    total = np.zeros(1 + len(EVENTS))
    for table in tables:
        if table.ndim > total.ndim:
            total = total[:, None]
        total = total + (table if table.ndim == total.ndim else table[:, None])
    return total


@dataclass(frozen=True, slots=True)
class Asked:
    """Phases of a package to be priced.

    Attributes:
        memory: Whose they are.
        jobs: Those that differ; None for no phase.
        which: int64 [kinds], the job of each kind of a step; None for a single phase.
    """

    memory: "PackageCommands"
    jobs: tuple[Job | None, ...]
    which: IntArray | None = None

    def works(self) -> tuple[Work, ...]:
        """What one channel does."""
        jobs = self.jobs if self.which is None else ()
        return tuple(self.memory.prices.work(job) for job in jobs if job is not None)

    def expect(self, times: FloatArray) -> None:
        """Say how often each kind of a step will run, all of which a single phase is part of: float64 [kinds]."""
        which = np.zeros(len(times), np.int64) if self.which is None else self.which
        often = np.bincount(which, times, len(self.jobs))
        for job, n in zip(self.jobs, often.tolist(), strict=True):
            if job is not None:
                self.memory.prices.expect(job, n)


class PackageCommands:
    """Prices the phases of one platform's memory; costs are those of the whole package.

    Sizes of phases may be numbers, or arrays over kinds of a step.
    """

    def __init__(self, platform: PlatformSpec, refresh_intervals: int = REFRESH_INTERVALS, exact: bool = True) -> None:
        """Take the channel of a platform.

        Args:
            platform: Whose memory it is.
            exact: Whether every phase is run by itself, or those that are alike are combined from a few; where none
                are, each is run over so many more refresh intervals that the error is no larger.
            refresh_intervals: Copies of a phase fill so many: with fewer a cost is less exact, and sooner known.

        Raises:
            InputError: It has no LPDDR memory, or dies that the command level doesn't know.
        """
        if platform.memory is None:
            raise InputError(f"platform '{platform.name}' has no LPDDR memory: it has no command level")
        self.channels = platform.memory.channels.n
        self.pim: PimChannel | None = channel_of_platform(platform) if platform.pim is not None else None
        self.device: DieSpec = self.pim.device if self.pim is not None else command_die(platform)
        self.power_down = platform.memory.idle_dies == "power-down"
        self.ranks = platform.memory.dram_ranks.n + platform.memory.pim_ranks.n
        self._least_burst_ns = self.device.burst_ck * self.device.ck_ns / platform.memory.bus_efficiency.fraction
        self.controller = controller_of_platform(platform)
        self.addresses = addresses_of_platform(platform, self.device)
        self.prices = self._prices(refresh_intervals, exact)
        self._events = _events_of_counts(self.device)
        self.jobs = ChannelJobs(platform, self.device, self.pim, self.prices)

    def _prices(self, refresh_intervals: int, exact: bool) -> Prices:
        of = self.device, self.controller
        if exact:
            return Prices(*of, refresh_intervals)
        if self._are_alike():
            return SteadyPrices(*of, refresh_intervals)
        prices = Prices(*of, LONGER * refresh_intervals)
        prices.bound = ALLOWED_ERROR
        return prices

    def _are_alike(self) -> bool:
        """Whether phases of one kind take times that can be combined.

        In another order of addresses they may not, nor where MACs take reads' slots of the one command bus out of step.
        """
        shares_slots = self.pim is not None and not self.controller.own_bus
        out_of_step = shares_slots and self.device.mac_ck % self.device.burst_ck != 0
        return self.addresses.fills_rows and not out_of_step

    @property
    def refresh_interval_ns(self) -> float:
        """Average time between two all-bank refreshes of a die, ns."""
        return self.device.timing.nREFI.n * self.device.ck_ns

    @property
    def dies(self) -> int:
        """Dies of the package."""
        return self.ranks * self.channels

    def refreshing(self, idle_ns: Real) -> Activity:
        """The refreshes of all dies in a time without commands."""
        return Activity(refreshing_die_ns=idle_ns / self.refresh_interval_ns * self.dies * refresh_ns(self.device))

    def waiting(self, latency_ns: Real, activity: Activity) -> Activity:
        """What all dies draw while their rows are closed, in the time of some activity."""
        idle_ns = latency_ns * self.dies - activity.active_die_ns
        return waiting(idle_ns, activity.refreshing_die_ns, self.device, self.power_down)

    # --- phases

    def reads(self, read_bytes: Real) -> MemoryPart:
        """The NPU reads so many bytes from all channels, whole rows of one rank after the other."""
        return self._part(self.jobs.reads, read_bytes)

    def product(
        self, tokens: Any, k: int, pim_columns: Any, channel: PimChannel, npu_bytes: Real, k_split: bool = False
    ) -> MemoryPart:
        """PIM computes some columns of a product while the NPU reads the weights of the others from the last rank.

        Args:
            tokens: How many the product takes.
            k: Weights of a column.
            pim_columns: Columns that PIM computes.
            channel: The ranks that compute, and their format.
            npu_bytes: What the NPU reads meanwhile.
            k_split: Whether these ranks share the k of the outputs that are left over when tiles are full.
        """

        def job(tokens: int, columns: int, read_bytes: float) -> Job | None:
            if columns == 0:
                return self.jobs.reads(read_bytes)
            width = share_of_channel(columns, self.channels, 0, channel.lanes)[1]
            return self.jobs.product(channel, tokens, k, width, self.jobs.bursts(read_bytes), k_split)

        return self._part(job, tokens, pim_columns, npu_bytes)

    def scores(self, heads: Heads, npu_bytes: Real) -> MemoryPart:
        """QK^T of one layer: PIM takes some heads, the NPU reads the keys of the others."""
        return self._attention("scores", heads, npu_bytes)

    def values(self, heads: Heads, npu_bytes: Real) -> MemoryPart:
        """PV of one layer, likewise."""
        return self._attention("values", heads, npu_bytes)

    def append_to_pim(self, share: KvShare, blocks: Any, tokens: Any, read_first: bool = False) -> MemoryPart:
        """Write new keys and values of one layer into the PIM ranks, where a key is one byte of many columns.

        Args:
            share: How the heads of the layer are dealt to channels and dies.
            blocks: Blocks of 32 positions that the tokens lie in.
            tokens: How many.
            read_first: Whether they are moved: the same bursts are read before they are written.
        """
        return self._part(lambda some, new: self.jobs.append(share, some, new, read_first), blocks, tokens)

    def append_to_dram(self, write_bytes: Real, read_first: bool = False) -> MemoryPart:
        """Write new keys and values into plain DRAM, where they lie side by side; ``read_first`` as above."""

        def job(write_bytes: float) -> Job:
            return self.jobs.writes(self.jobs.bursts(write_bytes), read_first)

        return self._part(job, write_bytes)

    def move(self, column_bytes: int, columns: int, to_pim: bool) -> MemoryPart:
        """Weight columns change sides while nothing else runs: each burst is read on one rank and written on another.

        What is longer than ``LONGEST_STREAM`` goes on at the rate of that.
        """
        channel = self.pim
        assert channel is not None
        width = share_of_channel(columns, self.channels, 0, channel.lanes)[1]
        some = min(width, max(1, LONGEST_STREAM // column_bytes) * channel.lanes)
        job = self.jobs.move(column_bytes, some, to_pim)
        part, commands = self._part(lambda: job), PhaseCommands(self.prices.counts([job])[0])
        moved_bytes = sum_of(commands.command_counts, "WR", "WRA") * self.device.organisation.burst_bytes.n
        activity = moved(activity_of(commands, self.device), moved_bytes) * self.channels
        return MemoryPart(known=(np.array([part.latency_ns, *activity]) * (width / some),))

    def _attention(self, what: str, heads: Heads, npu_bytes: Real) -> MemoryPart:
        def jobs(rows: Sequence[tuple[Any, ...]]) -> list[Job | None]:
            on_pim = [(pim, queries, keys, self.jobs.bursts(read)) for pim, queries, keys, read in rows if pim]
            found = iter(self.jobs.all_heads(what, heads.share, on_pim))
            return [next(found) if pim else self.jobs.reads(read) for pim, *_, read in rows]

        return self._parts(jobs, heads.pim, heads.queries, heads.keys, npu_bytes)

    # --- costs

    def _part(self, job_of: Callable[..., Job | None], *sizes: Real) -> MemoryPart:
        """Cost of the phase that sizes give, or of those that arrays of them give."""
        return self._parts(lambda rows: [job_of(*row) for row in rows], *sizes)

    def _parts(self, jobs_of: Callable[[Sequence[tuple[Any, ...]]], list[Job | None]], *sizes: Real) -> MemoryPart:
        """The same, all that differ made at once."""
        if any(np.ndim(size) for size in sizes):
            rows = list(zip(*(array.tolist() for array in np.broadcast_arrays(*sizes)), strict=True))
            number = {row: i for i, row in enumerate(dict.fromkeys(rows))}
            jobs, which = tuple(jobs_of(list(number))), np.array([number[row] for row in rows], np.int64)
            return MemoryPart((Asked(self, jobs, which),))
        (job,) = jobs_of([sizes])
        return MemoryPart() if job is None else MemoryPart((Asked(self, (job,)),))

    def costs(self, jobs: Sequence[Job | None]) -> FloatArray:
        """Time, ns, and events of phases on all channels, float64 [1 + events, jobs]; None for no phase.

        Bursts follow each other no faster than the platform lets them, whatever commands could do; refresh goes on.
        """
        counts, share, wide = np.zeros((len(jobs), COUNTED)), np.ones(len(jobs)), np.zeros(len(jobs), np.bool_)
        there = [i for i, job in enumerate(jobs) if job is not None]
        some = [job for job in jobs if job is not None]
        counts[there], share[there] = self.prices.counts(some), [job.share for job in some]
        wide[there] = [job.work.form.is_wide for job in some]
        took_ns, costs = counts[:, CK] * self.device.ck_ns, np.empty((1 + len(EVENTS), len(jobs)))
        latency_ns, activity = costs[0], costs[1:]
        np.maximum(took_ns, counts[:, _BURSTS].sum(axis=1) * self._least_burst_ns, out=latency_ns)
        np.matmul(self._events, counts.T, out=activity)
        activity *= share * self.channels
        activity[_REFRESHING] += self.refreshing(latency_ns - took_ns).refreshing_die_ns
        if wide.any():
            activity[_WIDE_MACS, wide], activity[_NARROW_MACS, wide] = activity[_NARROW_MACS, wide], 0.0
        return costs


_NAMES = list(EVENTS)
_REFRESHING, _NARROW_MACS, _WIDE_MACS = map(_NAMES.index, ("refreshing_die_ns", "pim_macs_int8", "macs_fp16"))


def _events_of_counts(device: DieSpec) -> FloatArray:
    """What each of ``PhaseCommands.counts`` adds to each event of one channel: float64 [events, COUNTED]."""
    activity = _of_channel(_Unit(np.eye(COUNTED)), device)
    return np.stack([np.broadcast_to(np.asarray(getattr(activity, name), np.float64), (COUNTED,)) for name in _NAMES])


class _Unit:
    """One of each of ``PhaseCommands.counts``, as arrays over all of them."""

    def __init__(self, ones: FloatArray) -> None:
        self.command_counts: Any = dict(zip(COMMANDS, ones[BUS:RANKS], strict=True))
        self.rank_counts: Any = dict(zip(COMMANDS, ones[RANKS:], strict=True))
        self.mac_tokens: Any = ones[MAC_TOKENS]
        self.active_ck: Any = ones[ACTIVE_CK]


def _of_channel(commands: _Unit, device: DieSpec) -> Activity:
    """The events of one channel's commands, and of the scratchpad and buffers through which the NPU's reads go.

    What is written are new keys and values.
    """
    activity = activity_of(commands, device, written="activations")
    passed_bits = 2 * activity.io_bits
    return activity._replace(scratchpad_bits=passed_bits, local_buffer_bits=passed_bits)
