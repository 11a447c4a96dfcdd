"""What a memory's prices come to on one die that does one thing all the time: reads, writes, refreshes, or waits."""

from collections.abc import Mapping
from dataclasses import dataclass

from lpspec.devices.memory_timing import MemoryTiming
from lpspec.dram.energy import refresh_ns
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.memory_prices import MemoryPrices
from lpspec.machine.quantity import Power

PARTS = ("rows", "columns", "way", "refresh", "standby")
"""Parts of a stream: rows opened, columns, the way on or off the chip, refreshes, and standby of the die itself."""

MACHINE = ("mac_int8", "mac_fp16", "pim_register", "scratchpad", "local_buffer", "core_register")
"""Constants of a profile beside those of the memory."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a die draws whatever it is asked for; None where its memory's prices have no such thing.

    Attributes:
        refresh_nj: One all-bank refresh, beyond standby.
        refresh_mw: The same at the average interval.
        idle_mw: All rows closed.
        power_down_mw: The same in power-down.
        active_mw: A row open.
    """

    refresh_nj: float | None = None
    refresh_mw: float | None = None
    idle_mw: float | None = None
    power_down_mw: float | None = None
    active_mw: float | None = None


@dataclass(frozen=True, slots=True)
class StreamPrices:
    """A memory, and what follows from its prices on one die.

    Attributes:
        name: The profile, or the platform whose own memory it is.
        technology: What kind of memory.
        read_pj_per_bit: A stream of reads of whole rows, by ``PARTS``.
        write_pj_per_bit: A stream of writes likewise.
        in_bank_pj_per_bit: A bit of a whole row read to the bank edge, as PIM does.
        row_nj: A row opened and closed.
        waiting: Beside that.
        machine: Constants by ``MACHINE``, pJ or pJ per bit; empty for a platform's own memory.
    """

    name: str
    technology: str
    read_pj_per_bit: Mapping[str, float]
    write_pj_per_bit: Mapping[str, float]
    in_bank_pj_per_bit: float
    row_nj: float
    waiting: Waiting
    machine: Mapping[str, float]

    @property
    def read_stream_pj_per_bit(self) -> float:
        """All parts of a stream of reads."""
        return sum(self.read_pj_per_bit.values())

    @property
    def write_stream_pj_per_bit(self) -> float:
        """All parts of a stream of writes."""
        return sum(self.write_pj_per_bit.values())


def profile_prices(profile: EnergyProfile, die: DieSpec) -> StreamPrices:
    """A profile on a die that is alone on its channel.

    A stream stops once per nREFI: rows are closed, the die refreshes, and the first row is opened again.
    """
    timing = MemoryTiming(die, 1, 1, die.peak_gb_per_s, efficiency=1.0)
    gbit_per_s, waits = 8 * timing.bus_gb_per_s, _waiting(profile, timing)
    closed = 1 - timing.pim_share
    standby_mw = (waits.idle_mw or 0.0) * closed + (waits.active_mw or 0.0) * (1 - closed)
    beside = {"refresh": (waits.refresh_mw or 0.0) / gbit_per_s, "standby": standby_mw / gbit_per_s}
    machine = {name: getattr(profile, name).value for name in MACHINE}
    return _streams(profile.name, profile, die.organisation.row_bytes.n, beside, waits, machine)


def own_memory_prices(platform: str, memory: MemoryPrices, row_bytes: int) -> StreamPrices:
    """A platform's own memory, of whose dies nothing is known but the price of a bit, with rows of another's size."""
    return _streams(platform, memory, row_bytes, {"refresh": 0.0, "standby": 0.0}, Waiting(), {})


def _streams(
    name: str,
    prices: MemoryPrices,
    row_bytes: int,
    beside: Mapping[str, float],
    waiting: Waiting,
    machine: Mapping[str, float],
) -> StreamPrices:
    rows = {"rows": prices.activate.pj_per_bit, "columns": prices.column.pj_per_bit}
    return StreamPrices(
        name=name,
        technology=prices.technology,
        read_pj_per_bit={**rows, "way": prices.io.pj_per_bit, **beside},
        write_pj_per_bit={**rows, "way": prices.write_io_pj_per_bit, **beside},
        in_bank_pj_per_bit=prices.in_bank_pj_per_bit,
        row_nj=prices.activate.pj_per_bit * 8 * row_bytes / 1e3,
        waiting=waiting,
        machine=machine,
    )


def _waiting(prices: MemoryPrices, timing: MemoryTiming) -> Waiting:
    refresh, once_ns = prices.refresh_power, refresh_ns(timing.device)
    return Waiting(
        refresh_nj=None if refresh is None else refresh.watts * once_ns,  # W x ns = nJ
        refresh_mw=None if refresh is None else refresh.watts * once_ns / timing.refresh_interval_ns * 1e3,
        idle_mw=_mw(prices.idle_power),
        power_down_mw=_mw(prices.power_down),
        active_mw=_mw(prices.active_power),
    )


def _mw(power: Power | None) -> float | None:
    return None if power is None else power.watts * 1e3
