"""One channel of a platform as the command level sees it: which die, which ranks compute, how many at once."""

from lpspec.dram.device import DeviceSpec, PimExtension, device_names, load_device
from lpspec.dram.layout import PimChannel
from lpspec.errors import InputError
from lpspec.hardware.clock import BITS_PER_CK, whole_ck
from lpspec.hardware.platform_spec import MemorySpec, PimSpec, PlatformSpec
from lpspec.hardware.quantity import Count


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
    """The shipped die with a package's data rate and capacity; of several, the first by name."""
    known = [load_device(name) for name in device_names()]
    for device in known:
        mbps = BITS_PER_CK / device.tCK.ns * 1e3
        if (
            abs(mbps / memory.data_rate.mbps - 1) < 1e-3
            and device.organisation.density.bytes == memory.die_capacity.bytes
        ):
            return device
    kinds = ", ".join(device.name for device in known)
    raise InputError(
        f"no die has {memory.data_rate.text()} and {memory.die_capacity.text()}: known are {kinds}; "
        "another may be given as a TOML file"
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
