"""What the memory's part of a phase costs, every command of one channel issued (fidelity ``command``).

Channels work alike, so the one with the largest share is run, and what it did counts for all of them: exact where
shares are equal, which they are for widths that are multiples of 32 outputs times channels. Costs are those of a copy
among copies that follow each other (``lpspec.dram.run.session``), so they hold their share of refresh and may be added.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lpspec.arrays import IntArray
from lpspec.devices.cost import Activity
from lpspec.devices.kv_share import Heads, KvShare
from lpspec.dram.energy import activity_of, refresh_ns, sum_of, waiting
from lpspec.dram.engine.state import BANKS, BEATS
from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.moves import plan_between_sides
from lpspec.dram.pim.products import compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, place_weights, share_of_channel
from lpspec.dram.platform_channel import channel_of_platform, command_die
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.mover import moved, repeated_move
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM, REFRESH_INTERVALS, PhaseCommands, repeated
from lpspec.errors import InputError
from lpspec.llm.counts import ceil_div
from lpspec.machine.die import DieSpec
from lpspec.machine.platform_spec import PlatformSpec

LONGEST_STREAM = 1 << 17
"""Bursts of a stream of reads that are issued one by one: 90 refresh intervals. What is longer goes on at the rate of
the second half."""

_MOST_KNOWN = 1 << 14
_KNOWN: dict[tuple[Any, ...], PhaseCommands] = {}


@dataclass(frozen=True, slots=True)
class Work:
    """What one channel does in a phase, made when it is to be run.

    Attributes:
        program: int64 [instructions, fields], empty for none.
        requests: int64 [n, 5], their CK counted from the start of the phase.
        mac_ck: CK from MAC to MAC; what the die needs if left out.
    """

    program: Callable[[], IntArray]
    requests: Callable[[], IntArray]
    mac_ck: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """The memory's part of a phase, of the whole package: its time, its events, and one channel's work, in order."""

    latency_ns: float = 0.0
    activity: Activity = field(default_factory=Activity)
    works: tuple[Work, ...] = ()

    def __add__(self, other: "MemoryPart") -> "MemoryPart":
        """One after the other."""
        return MemoryPart(self.latency_ns + other.latency_ns, self.activity + other.activity, self.works + other.works)


class PackageCommands:
    """Prices the phases of one platform's memory; costs are those of the whole package."""

    def __init__(self, platform: PlatformSpec, refresh_intervals: int = REFRESH_INTERVALS) -> None:
        """Take the channel of a platform.

        Args:
            platform: Whose memory it is.
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
        self._least_burst_ns = (
            self.device.timing.nBL_min.n * self.device.tCK.ns / platform.memory.bus_efficiency.fraction
        )
        self.controller = Controller(ranks=self.ranks)
        described = self.device.model_dump(mode="json", include={"data_rate", "organisation", "timing"})
        self.refresh_intervals = refresh_intervals
        self._memory_key = (json.dumps(described), self.ranks, refresh_intervals)
        pim_key = json.dumps(self.device.model_dump(mode="json", include={"pim_side"}))
        self._pim_key = (*self._memory_key, pim_key, self.pim and self.pim.pim_ranks)

    @property
    def refresh_interval_ns(self) -> float:
        """Average time between two all-bank refreshes of a die, ns."""
        return self.device.timing.nREFI.n * self.device.tCK.ns

    @property
    def dies(self) -> int:
        """Dies of the package."""
        return self.ranks * self.channels

    def refreshing(self, idle_ns: float) -> Activity:
        """The refreshes of all dies in a time without commands."""
        return Activity(refreshing_die_ns=idle_ns / self.refresh_interval_ns * self.dies * refresh_ns(self.device))

    def waiting(self, latency_ns: float, activity: Activity) -> Activity:
        """What all dies draw while their rows are closed, in the time of some activity."""
        idle_ns = latency_ns * self.dies - activity.active_die_ns
        return waiting(idle_ns, activity.refreshing_die_ns, self.device, self.power_down)

    # --- phases

    def reads(self, read_bytes: float) -> MemoryPart:
        """The NPU reads so many bytes from all channels, whole rows of one rank after the other."""
        bursts = self._bursts(read_bytes)
        if bursts == 0:
            return MemoryPart()
        work = self._stream(bursts)
        if bursts <= LONGEST_STREAM:
            return self._part(self._memory_key, ("reads", bursts), work)
        whole, half = (
            self._measured(self._memory_key, ("reads", n), self._stream(n))
            for n in (LONGEST_STREAM, LONGEST_STREAM // 2)
        )
        return self._cost(_extended(whole, half, (bursts - LONGEST_STREAM) / (LONGEST_STREAM // 2)), work)

    def product(self, tokens: int, k: int, pim_columns: int, ranks: int, npu_bytes: float) -> MemoryPart:
        """PIM computes some columns of a product while the NPU reads the weights of the others from the last rank.

        Args:
            tokens: How many the product takes.
            k: Weights of a column.
            pim_columns: Columns that PIM computes.
            ranks: PIM ranks that compute at once.
            npu_bytes: What the NPU reads meanwhile.
        """
        if pim_columns == 0:
            return self.reads(npu_bytes)
        channel = self._computing(ranks)
        width = share_of_channel(pim_columns, self.channels, 0, channel.lanes)[1]
        bursts = self._bursts(npu_bytes)

        def program() -> IntArray:
            return compile_gemm(place_weights(channel, k, width, split="never"), tokens).lines

        work = Work(program, self._stream(bursts).requests)
        return self._computed(("product", tokens, k, width, ranks, bursts), work)

    def scores(self, heads: Heads, npu_bytes: float) -> MemoryPart:
        """QK^T of one layer: PIM takes some heads, the NPU reads the keys of the others."""
        return self._attention("scores", heads, npu_bytes)

    def values(self, heads: Heads, npu_bytes: float) -> MemoryPart:
        """PV of one layer, likewise."""
        return self._attention("values", heads, npu_bytes)

    def append_to_pim(self, share: KvShare, blocks: int, tokens: int, read_first: bool = False) -> MemoryPart:
        """Write new keys and values of one layer into the PIM ranks, where a key is one byte of many columns.

        Args:
            share: How the heads of the layer are dealt to channels and dies.
            blocks: Blocks of 32 positions that the tokens lie in.
            tokens: How many.
            read_first: Whether they are moved: the same bursts are read before they are written.
        """
        channel = self._computing(share.concurrent)
        key = ("append", *_dealing(share), blocks, tokens, read_first)

        def writes() -> IntArray:
            room = (blocks + 1) * channel.lanes + tokens
            kv = self._placement(share, room)
            position = channel.lanes - 1 if blocks > ceil_div(tokens, channel.lanes) else 0
            return _requests(kv.append_places(position, tokens), read_first)

        # The positions of one row lie on one of the channels that share a head.
        return self._part(self._pim_key, key, Work(_nothing, writes), 1 / share.spread)

    def append_to_dram(self, write_bytes: float, read_first: bool = False) -> MemoryPart:
        """Write new keys and values into plain DRAM, where they lie side by side; ``read_first`` as above."""
        bursts = self._bursts(write_bytes)

        def writes() -> IntArray:
            table = ReadStream(self.ranks - 1, bursts).requests(self.device)
            table[:, 1] = 1
            return np.concatenate([_as_reads(table), table]) if read_first else table

        return self._part(self._memory_key, ("writes", bursts, read_first), Work(_nothing, writes))

    def move(self, column_bytes: int, columns: int, to_pim: bool) -> MemoryPart:
        """Weight columns change sides while nothing else runs: each burst is read on one rank and written on another.

        What is longer than ``LONGEST_STREAM`` goes on at the rate of that.
        """
        channel = self.pim
        assert channel is not None
        width = share_of_channel(columns, self.channels, 0, channel.lanes)[1]
        some = min(width, max(1, LONGEST_STREAM // column_bytes) * channel.lanes)
        plan = plan_between_sides
        commands = self._remembered(
            (self._pim_key, ("move", column_bytes, some, to_pim)),
            lambda: repeated_move(plan(channel, column_bytes, some, to_pim), self.device, self.controller),
        )
        part = self._cost(commands, Work(_nothing, _nothing))
        moved_bytes = sum_of(commands.command_counts, "WR", "WRA") * self.device.organisation.burst_bytes.n
        activity = moved(activity_of(commands, self.device), moved_bytes) * self.channels
        longer = width / some
        return MemoryPart(part.latency_ns * longer, activity * longer)

    def _attention(self, what: str, heads: Heads, npu_bytes: float) -> MemoryPart:
        if heads.pim == 0:
            return self.reads(npu_bytes)
        share = heads.share
        of_channel, keys = ceil_div(heads.pim, share.quantum), share.channel_keys(heads.keys)
        bursts = self._bursts(npu_bytes)

        def program() -> IntArray:
            kv = self._placement(share, keys)
            compiled = compile_scores if what == "scores" else compile_values
            return compiled(kv, keys, heads.queries, heads=of_channel).lines

        key = (what, of_channel, *_dealing(share), heads.queries, keys, bursts)
        work = Work(program, self._stream(bursts).requests)
        return self._computed(key, work, float(share.mean_share(heads.pim)))

    def _placement(self, share: KvShare, keys: int) -> KvPlacement:
        return KvPlacement(self._computing(share.concurrent), share.on_channel, share.head_dim, keys, parts=share.parts)

    def _computing(self, ranks: int) -> PimChannel:
        """The channel with so many PIM ranks computing at once, which may be fewer than it allows."""
        assert self.pim is not None
        return replace(self.pim, concurrent=ranks)

    # --- runs

    def _bursts(self, total_bytes: float) -> int:
        """Bursts on the channel that carries the most of so many bytes."""
        return int(-(-total_bytes // (self.channels * self.device.organisation.burst_bytes.n)))

    def _stream(self, bursts: int) -> Work:
        """Reads of whole rows of the last rank."""
        return Work(_nothing, lambda: ReadStream(self.ranks - 1, bursts).requests(self.device))

    def _computed(self, what: tuple[Any, ...], work: Work, share: float = 1.0) -> MemoryPart:
        """A program beside reads, if any (bursts are the last of ``what``), at the pace of MACs that ends it sooner.

        MACs an odd number of CK apart fall out of step with reads, which take an even one: the bus then idles for a CK
        beside every other MAC, and what it binds may end sooner with MACs a CK further apart.
        """
        part = self._part(self._pim_key, what, work, share)
        slower_ck = self.device.mac_ck + 1
        if slower_ck % 2 or not what[-1]:
            return part
        slower = self._part(self._pim_key, (*what, slower_ck), replace(work, mac_ck=slower_ck), share)
        return min(part, slower, key=lambda one: one.latency_ns)

    def _part(self, where: tuple[Any, ...], what: tuple[Any, ...], work: Work, share: float = 1.0) -> MemoryPart:
        return self._cost(self._measured(where, what, work), work, share)

    def _measured(self, where: tuple[Any, ...], what: tuple[Any, ...], work: Work) -> PhaseCommands:
        """Run a phase, or remember it."""
        return self._remembered((where, what), lambda: self._repeated(work))

    def _repeated(self, work: Work) -> PhaseCommands:
        run = work.program(), work.requests(), self.device, self.controller, self.refresh_intervals
        return repeated(*run, work.mac_ck)

    @staticmethod
    def _remembered(key: tuple[Any, ...], run: Callable[[], PhaseCommands]) -> PhaseCommands:
        if key not in _KNOWN:
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            _KNOWN[key] = run()
        return _KNOWN[key]

    def _cost(self, commands: PhaseCommands, work: Work, share: float = 1.0) -> MemoryPart:
        """Cost of a phase on all channels, which do ``share`` of what this one does on average.

        Bursts follow each other no faster than the platform lets them, whatever commands could do; refresh goes on.
        """
        took_ns = commands.ck * self.device.tCK.ns
        latency_ns = max(took_ns, sum_of(commands.command_counts, *_ON_BUS) * self._least_burst_ns)
        idle = self.refreshing(latency_ns - took_ns)
        activity = _of_package(commands, self.device) * (share * self.channels)
        return MemoryPart(latency_ns, activity + idle, (work,))


_ON_BUS = ("RD", "RDA", "WR", "WRA", "PIM_IN", "PIM_OUT")


def _dealing(share: KvShare) -> tuple[int, ...]:
    """What of it decides the commands of one channel."""
    return share.on_channel, share.parts, share.concurrent, share.head_dim


def _nothing() -> IntArray:
    return NO_PROGRAM


def _of_package(commands: PhaseCommands, device: DieSpec) -> Activity:
    """The events of one channel's commands, and of the scratchpad and buffers through which the NPU's reads go.

    What is written are new keys and values.
    """
    activity = activity_of(commands, device, written="activations")
    passed_bits = 2 * activity.io_bits
    return replace(activity, scratchpad_bits=passed_bits, local_buffer_bits=passed_bits)


def _extended(whole: PhaseCommands, half: PhaseCommands, times: float) -> PhaseCommands:
    """A stream that goes on after ``whole`` as it did in its second half, so many times."""

    def more(all_of_it: float, first: float) -> float:
        return all_of_it + times * (all_of_it - first)

    def counts(all_of_it: Mapping[str, float], first: Mapping[str, float]) -> dict[str, float]:
        return {name: more(n, first.get(name, 0.0)) for name, n in all_of_it.items()}

    return PhaseCommands(
        more(whole.ck, half.ck),
        counts(whole.command_counts, half.command_counts),
        counts(whole.rank_counts, half.rank_counts),
        whole.mac_tokens,
        more(whole.active_ck, half.active_ck),
    )


def _requests(places: IntArray, read_first: bool) -> IntArray:
    """Writes to places (rank, flat bank, row, column), read before if asked for."""
    zero = np.zeros(len(places), np.int64)
    table = np.stack([zero, zero + 1, places[:, 0] * BANKS + places[:, 1], places[:, 2], places[:, 3] * BEATS], 1)
    return np.concatenate([_as_reads(table), table]) if read_first else table


def _as_reads(table: IntArray) -> IntArray:
    reads = table.copy()
    reads[:, 1] = 0
    return reads
