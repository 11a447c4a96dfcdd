"""One channel of a platform as the command level sees it: which die, which ranks compute, how many at once."""

import math
from functools import cache

from lpspec.dram.device import DeviceSpec, PimExtension, Timing, device_names, load_device
from lpspec.dram.pim.weights import PimChannel
from lpspec.errors import InputError
from lpspec.machine.clock import whole_ck
from lpspec.machine.platform_spec import MemorySpec, PimSpec, PlatformSpec
from lpspec.machine.quantity import Count, PositiveDuration

TIMES_NS = {
    "nCL": 21.25,
    "nCWL": 11.25,
    "nRCD": 18.0,
    "nRPpb": 18.0,
    "nRPab": 21.0,
    "nRAS": 42.0,
    "nWR": 34.0,
    "nRRD_S": 5.0,
    "nRRD_L": 5.0,
    "nFAW": 20.0,
    "nWTR_S": 6.25,
    "nWTR_L": 12.0,
    "nPBR2PBR": 90.0,
    "nPBR2ACT": 7.5,
}
"""Timings that are times, ns (public simulators, JESD209-5: the 6400 grade); refresh depends on the capacity. The
others are counts of CK in the standard: BL/n, nCCD, nAAD, nPPD, nRTRS and what WCK takes."""


def channel_of_platform(platform: PlatformSpec, die: DeviceSpec | None = None) -> PimChannel:
    """The channel of a platform with PIM: its PIM ranks first, its DRAM ranks behind them.

    Args:
        platform: The platform.
        die: Another die than the platform's data rate and capacity say; its PIM side is the platform's even so.

    Raises:
        InputError: The platform has no PIM, or dies that the command level doesn't know.
    """
    if platform.pim is None or platform.memory is None:
        raise InputError(f"platform '{platform.name}' has no PIM ranks")
    device = die or device_of_memory(platform.memory)
    ck_ns = device.tCK.ns if die is not None else platform.memory.ck_ns
    device = device.model_copy(update={"pim": _pim_of(platform.pim, device, ck_ns, platform.name)})
    ranks = platform.memory.pim_ranks.n
    return PimChannel(
        device, tuple(range(ranks)), platform.pim.concurrent_ranks.n, ranks + platform.memory.dram_ranks.n
    )


def device_of_memory(memory: MemorySpec) -> DeviceSpec:
    """The die with a package's capacity and data rate: a shipped one, the first by name, or one derived from these.

    At a rate that no shipped die has, times stay what they are in ns, and what the standard counts in CK stays a count.

    Raises:
        InputError: No shipped die has this capacity.
    """
    same = [device for device in _shipped() if device.organisation.density.bytes == memory.die_capacity.bytes]
    if not same:
        sizes = " or ".join(sorted({device.organisation.density.text() for device in _shipped()}))
        raise InputError(
            f"memory.die_capacity is {memory.die_capacity.text()}: dies that have commands hold {sizes}; "
            "closed forms (fidelity analytic) take any"
        )
    return _at_rate(same, memory)


def likely_device(memory: MemorySpec) -> DeviceSpec:
    """The same for any capacity: where no shipped die has it, the timings are those of the nearest one."""
    nearest = min(abs(math.log(d.organisation.density.bytes / memory.die_capacity.bytes)) for d in _shipped())
    return _at_rate(
        [
            device
            for device in _shipped()
            if abs(math.log(device.organisation.density.bytes / memory.die_capacity.bytes)) == nearest
        ],
        memory,
    )


@cache
def _shipped() -> tuple[DeviceSpec, ...]:
    return tuple(load_device(name) for name in device_names())


def _at_rate(devices: list[DeviceSpec], memory: MemorySpec) -> DeviceSpec:
    """The first of some dies with the data rate of a package, or the slowest of them brought to that rate."""
    tCK = memory.ck_ns
    for device in devices:
        if abs(device.tCK.ns / tCK - 1) < 1e-3:
            return device
    return device_at(max(devices, key=lambda device: device.tCK.ns), tCK, memory.data_rate.text())


def device_at(device: DeviceSpec, tCK_ns: float, rate: str) -> DeviceSpec:
    """A die at another rate: its times in ns, rounded up to whole CK; nREFI rounded down."""
    timing = device.timing
    source = f"derived: the time of {device.name} at {rate}, rounded up to whole CK"

    def count(ck: float) -> Count:
        return Count(value=max(1, whole_ck(ck, 1.0)), source=source)

    found = {name: getattr(timing, name) for name in type(timing).model_fields}
    for name, ns in TIMES_NS.items():
        found[name] = count(ns / tCK_ns)
    for name in ("nRFCab", "nRFCpb"):
        found[name] = count(found[name].n * device.tCK.ns / tCK_ns)
    found["nRTP"] = count(found["nBL_min"].n + 7.5 / tCK_ns)
    found["nRC"] = count(found["nRAS"].n + found["nRPpb"].n)
    found["nREFI"] = Count(value=math.floor(round(timing.nREFI.n * device.tCK.ns / tCK_ns, 6)), source=source)
    return device.model_copy(
        update={
            "name": f"{device.name} at {rate}",
            "tCK": PositiveDuration(value=f"{tCK_ns!r} ns", source=f"{rate}, WCK:CK 4:1, two bits per WCK"),
            "timing": Timing(**found),
        }
    )


def _pim_of(pim: PimSpec, device: DeviceSpec, ck_ns: float, name: str) -> PimExtension:
    """The PIM side of a die as a platform describes it; what the platform leaves open stays as in the die."""
    given = (pim.banks.n, pim.column_bytes.n, pim.row_bytes.n, pim.accumulator_bits.n)
    die = (device.organisation.banks, device.organisation.burst_bytes.n, device.organisation.row_bytes.n, 32)
    if given != die:
        raise InputError(
            f"platform '{name}': banks, column bytes, row bytes and accumulator bits are {given}: "
            f"programs for {device.name} are written for {die}"
        )
    nMAC = Count(value=whole_ck(pim.mac_interval.ns, ck_ns), source=pim.mac_interval.source)
    same = {field: getattr(pim, field) for field in ("banks_per_mpu", "alus", "lanes")}
    mode_switch = device.pim.mode_switch.model_copy(update={"value": pim.mode_switch.ns})
    return device.pim.model_copy(update={**same, "nMAC": nMAC, "mode_switch": mode_switch})
