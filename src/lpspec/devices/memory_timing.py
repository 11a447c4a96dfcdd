"""What the timings of a package's dies leave of time, for the analytic level: refresh, first rows, turnarounds.

Nothing here is fitted: every term is a sum of JEDEC timings of the die that the command level runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lpspec.devices.cost import Activity, Cost
from lpspec.dram.energy import refresh_ns, waiting
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EnergyProfile, Real
from lpspec.machine.platform_spec import MemorySpec


@dataclass(frozen=True)
class MemoryTiming:
    """The bus and the refreshes of one package.

    Attributes:
        device: The die.
        channels: Channels, which work alike.
        dies: Dies of the package.
        peak_gb_per_s: Peak bandwidth of all channels off chip.
        efficiency: Largest share of it that the platform lets through, whatever commands could do.
        power_down: Whether dies with all rows closed wait in power-down.
    """

    device: DieSpec
    channels: int
    dies: int
    peak_gb_per_s: float
    efficiency: float
    power_down: bool = False

    @cached_property
    def stream_share(self) -> float:
        """Share of the peak that a stream of reads or writes sustains: once per nREFI the rank stops."""
        return 1.0 - self.device.stop_ck / self.device.timing.nREFI.n

    @cached_property
    def column_share(self) -> float:
        """Share of the time that bursts fill a bus: 1 unless columns must be further apart, bank groups in turn."""
        t, held = self.device.timing, self.device.burst_ck
        return held / max(held, t.nCCD_S.n, t.nCCD_L.n / self.device.organisation.bank_groups.n)

    @cached_property
    def pim_share(self) -> float:
        """Share of the time that a PIM program computes: at a stop rows are closed and refreshed, once per nREFI.

        Rows are opened again while others stream.
        """
        t = self.device.timing
        return 1.0 - (t.nRPab.n + t.nRFCab.n) / t.nREFI.n

    @cached_property
    def bus_gb_per_s(self) -> float:
        """What all data buses sustain together, GB/s: the dies' timings allow so much, the platform perhaps less."""
        return self.peak_gb_per_s * min(self.stream_share * self.column_share, self.efficiency)

    @cached_property
    def burst_bytes(self) -> int:
        """Bytes of a burst on one channel."""
        return self.device.organisation.burst_bytes.n

    @cached_property
    def burst_ns(self) -> float:
        """Time of a burst on the data bus of its channel."""
        return self.device.burst_ck * self.device.ck_ns

    @cached_property
    def refresh_interval_ns(self) -> float:
        """Average time between two all-bank refreshes of a die."""
        return self.device.timing.nREFI.n * self.device.ck_ns

    def standing_by(self, cost: Cost) -> Cost:
        """A cost with what all dies do whatever runs: refresh once per interval, and wait, rows open or closed.

        Reads of the NPU keep a row of one die open on each channel; PIM's own rows are counted with its commands.
        """
        reading_ns = cost.activity.io_bits / 8.0 / self.bus_gb_per_s * float(self.channels)
        waited_ns = cost.latency_ns * float(self.dies) - cost.activity.active_die_ns - reading_ns
        refreshing_ns = cost.latency_ns * (self.dies / self.refresh_interval_ns * refresh_ns(self.device))
        always = Activity(refreshing_die_ns=refreshing_ns, active_die_ns=reading_ns)
        closed = waiting(waited_ns, refreshing_ns, self.device, self.power_down)
        return Cost(cost.latency_ns, cost.activity + always + closed)

    def energy_pj(self, cost: Cost, profile: EnergyProfile) -> Mapping[str, Real]:
        """Energy by component of a cost and of what all dies do meanwhile."""
        return (self.standing_by(cost) if profile.has_standby else cost).activity.energy_pj(profile)


@lru_cache(64)
def timing_of(memory: MemorySpec) -> MemoryTiming:
    """The timing of a package's memory."""
    ranks = memory.dram_ranks.n + memory.pim_ranks.n
    dies = ranks * memory.dies_per_rank
    share = memory.bus_efficiency.fraction
    power_down = memory.idle_dies == "power-down"
    return MemoryTiming(memory.die_with(None), memory.channels.n, dies, memory.peak_gb_per_s, share, power_down)
