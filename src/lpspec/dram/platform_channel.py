"""One channel of a platform as the command level sees it: which die, which ranks compute, how many at once."""

from collections.abc import Mapping
from dataclasses import replace

from lpspec.dram.pim.weights import PimChannel
from lpspec.dram.run.address_mapping import AddressMapping, address_mapping
from lpspec.dram.run.controller import Controller
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die
from lpspec.machine.platform_spec import MemorySpec, PlatformSpec

GEOMETRY = {"bank_groups": 4, "banks_per_group": 4}
COLUMN_BYTES = 32
"""What commands, their addresses and PIM programs are written for: bank-group mode of LPDDR5 with BL16 on x16, or
LPDDR6 with BL24 on x12; and of dies that do not compute BL48, two such columns."""
BANKS_PER_MPU = (1, 2)
ACCUMULATOR_BITS = 32


def channel_of_platform(platform: PlatformSpec) -> PimChannel:
    """The channel of a platform with PIM: its PIM ranks first, its DRAM ranks behind them.

    Raises:
        InputError: The platform has no PIM, or dies that the command level doesn't know.
    """
    if platform.pim is None or platform.memory is None:
        raise InputError(f"platform '{platform.name}' has no PIM ranks")
    device, ranks = command_die(platform), platform.memory.pim_ranks.n
    return PimChannel(
        device, tuple(range(ranks)), platform.pim.concurrent_ranks.n, ranks + platform.memory.dram_ranks.n
    )


def _memory_of(platform: PlatformSpec) -> MemorySpec:
    if platform.memory is None:
        raise InputError(f"platform '{platform.name}' has no LPDDR memory: it has no command level")
    return platform.memory


def controller_of_platform(platform: PlatformSpec) -> Controller:
    """The controller of each channel, with a command bus of their own for PIM ranks where there are two.

    Raises:
        InputError: The platform has no LPDDR memory.
    """
    memory = _memory_of(platform)
    said = memory.controller
    return Controller(
        ranks=memory.pim_ranks.n + memory.dram_ranks.n,
        postpone=said.postpone.n,
        page=said.page,
        page_timeout=said.page_timeout.n if said.page == "timeout" else None,
        drain_high=said.drain_high.n,
        drain_low=said.drain_low.n,
        age_cap=said.age_cap.n,
        patience=said.patience.n,
        own_bus=tuple(range(memory.pim_ranks.n)) if memory.command_buses.n > 1 else (),
    )


def addresses_of_platform(platform: PlatformSpec, die: DieSpec) -> AddressMapping:
    """Where consecutive bursts of one channel of such dies lie in the plain ranks, by the platform's order of fields.

    Raises:
        InputError: The platform has no LPDDR memory.
    """
    memory = _memory_of(platform)
    text, ranks, channels = memory.controller.address_mapping, memory.dram_ranks.n, memory.channels.n
    where = "memory.controller.address_mapping"
    mapping = address_mapping(text, die, ranks, channels, where)
    return replace(mapping, parts=tuple(part for part in mapping.parts if part[0] != "ch"))


def command_die(platform: PlatformSpec) -> DieSpec:
    """The die of a platform, if the command level knows its geometry.

    Raises:
        InputError: It has another geometry, or the platform no LPDDR memory.
    """
    die = platform.die
    check_geometry(die, f"platform '{platform.name}': ")
    return die


def command_die_named(name_or_path: str, changes: Mapping[str, str]) -> DieSpec:
    """The die of a name or file, with some values changed, if the command level knows its geometry.

    Raises:
        InputError: It cannot be loaded, or has another geometry.
    """
    die = load_die(name_or_path, changes)
    check_geometry(die)
    return die


def check_geometry(die: DieSpec, where: str = "") -> None:
    """Refuse a die of another geometry than commands are written for.

    Raises:
        InputError: A value that commands don't know, with those that they do; the analytic level takes any.
    """
    for key, known in GEOMETRY.items():
        n = getattr(die.organisation, key).n
        if n != known:
            raise _unknown(f"{where}memory.organisation.{key}", n, str(known))
    if die.column_bytes != COLUMN_BYTES:
        burst_bytes = COLUMN_BYTES * (2 if die.is_long else 1)
        raise _unknown(f"{where}memory.organisation.burst_bytes", die.organisation.burst_bytes.n, str(burst_bytes))
    if die.pim_side is None:
        return
    if die.pim.banks_per_mpu.n not in BANKS_PER_MPU:
        raise _unknown(f"{where}pim.banks_per_mpu", die.pim.banks_per_mpu.n, "1 or 2")
    if die.pim.accumulator_bits.n != ACCUMULATOR_BITS:
        raise _unknown(f"{where}pim.accumulator_bits", die.pim.accumulator_bits.n, str(ACCUMULATOR_BITS))


def _unknown(key: str, n: int, known: str) -> InputError:
    return InputError(f"{key} is {n}: commands are written for {known}; fidelity analytic takes any")
