"""What one channel does where the NPU reads or writes plain ranks: streams of bursts, and what such a phase is like."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lpspec.arrays import IntArray
from lpspec.devices.phase_prices import Job, Kin, Prices, Work
from lpspec.dram.platform_channel import addresses_of_platform
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM, PhaseCommands
from lpspec.llm.counts import ceil_div
from lpspec.machine.die import DieSpec
from lpspec.machine.platform_spec import PlatformSpec

LONGEST_STREAM = 1 << 17
"""Bursts of a stream of reads that are issued one by one: 90 refresh intervals. What is longer goes on at the rate of
the second half."""

SHORT_STREAM = 1 << 16
"""Bursts beyond which a stream refreshes as one of so many does."""

LONG_ROWS = 64
"""Rows of a stream from which on the next rows take what these took; of shorter ones the beginning still counts."""


class StreamJobs:
    """Makes the jobs of the plain ranks of a platform's channel."""

    def __init__(self, platform: PlatformSpec, device: DieSpec, prices: Prices) -> None:
        """Take a platform with a package, its die, and what prices jobs."""
        assert platform.memory is not None
        self.device, self.prices = device, prices
        self.channels, self.ranks = platform.memory.channels.n, prices.controller.ranks
        described = device.model_dump(mode="json", include={"standard", "mode", "data_rate", "organisation", "timing"})
        self._addresses = addresses_of_platform(platform, device)
        self._memory_key = repr((json.dumps(described), replace(prices.controller, own_bus=()), self._addresses.parts))
        t, opened_ck = device.timing, device.timing.nRCD.n + device.timing.nCL.n + device.mode_ck
        self._other_ck = opened_ck, t.nRCD.n, t.nCL.n, device.burst_ck
        self._row_bursts, self._burst_bytes = device.organisation.columns, device.organisation.burst_bytes.n

    def reads(self, read_bytes: float) -> Job | None:
        """The NPU reads so many bytes from all channels; None for nothing."""
        bursts = self.bursts(read_bytes)
        return self._read_job(bursts) if bursts else None

    def _read_job(self, bursts: int) -> Job:
        kin = self._stream_kin(("reads",), bursts, self._read_job)
        longer = None if bursts <= LONGEST_STREAM else lambda: self._extended(bursts)
        return Job((self._memory_key, "reads", bursts), Work(nothing, self.stream(bursts)), kin=kin, run=longer)

    def _stream_kin(self, family: tuple[Any, ...], bursts: int, job: Callable[[int], Job]) -> Kin:
        """What a stream of whole rows is like."""
        row, (_, row_ck, _, burst_ck) = self._row_bursts, self._other_ck
        features = 1.0, float(bursts), float(ceil_div(bursts, row))
        feature_ck = 100.0, float(burst_ck), float(row_ck)
        ck = float(bursts * burst_ck)
        long, is_long = LONG_ROWS * row, bursts >= LONG_ROWS * row
        few = (long, 2 * long, 3 * long // 2) if is_long else (row // 2, row, 16 * row + 1, 24 * row)

        def smaller() -> list[Job]:
            return [job(n) for n in few if n < bursts]

        def shorter(_: int) -> Job:
            return job(min(bursts, SHORT_STREAM))

        shape, family = (min(bursts, SHORT_STREAM).bit_length(),), (*family, *(("long",) * is_long))
        return Kin(family, features, feature_ck, ck, shape=shape, smaller=smaller, shorter=shorter, long=is_long)

    def _extended(self, bursts: int) -> PhaseCommands:
        """A stream that goes on after ``LONGEST_STREAM`` as it did in the second half of that."""
        whole, half = (self.prices.exact(self._read_job(n)) for n in (LONGEST_STREAM, LONGEST_STREAM // 2))
        times = (bursts - LONGEST_STREAM) / (LONGEST_STREAM // 2)
        return PhaseCommands(whole + times * (whole - half))

    def writes(self, bursts: int, read_first: bool) -> Job:
        """So many bursts are written to plain ranks, side by side."""

        def writes() -> IntArray:
            table = self.stream(bursts)().copy()
            table[:, 1] = 1
            return np.concatenate([as_reads(table), table]) if read_first else table

        kin = self._stream_kin(("writes", read_first), bursts, lambda n: self.writes(n, read_first))
        return Job((self._memory_key, "writes", bursts, read_first), Work(nothing, writes), kin=kin)

    def bursts(self, total_bytes: float) -> int:
        """Bursts on the channel that carries the most of so many bytes."""
        return int(-(-total_bytes // (self.channels * self._burst_bytes)))

    def stream(self, bursts: int) -> Callable[[], IntArray]:
        """Reads of what lies together in plain ranks, from the last one on; not to be written to."""
        return lambda: ReadStream(self.ranks - 1, bursts, mapping=self._addresses).shared_requests(self.device)


def nothing() -> IntArray:
    """No program, or no requests."""
    return NO_PROGRAM


def as_reads(table: IntArray) -> IntArray:
    """Requests [n, 5] at the same places, all of them reads."""
    reads = table.copy()
    reads[:, 1] = 0
    return reads
