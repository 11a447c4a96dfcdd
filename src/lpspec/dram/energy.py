"""What commands cost: counts of a run priced by an energy profile, component by component."""

from collections.abc import Mapping
from dataclasses import dataclass

from lpspec.dram.device import DeviceSpec
from lpspec.machine.energy_profile import EnergyProfile

COMPONENTS = ("activate", "column", "io", "mac", "register", "refresh", "background")
"""Where energy goes: rows sensed and restored, column accesses inside the die, the path off the die, MACs, registers
of the MPUs, refresh, and what dies draw while they wait. The last two are zero where the profile has no constant."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What a run did, as far as it costs energy.

    Attributes:
        rank_counts: Commands by name, each times the ranks that take it.
        command_counts: Commands by name: bursts cross the bus once, whoever listens.
        mac_tokens: Sum over PIM_MACs of ranks times tokens served.
        total_ck: CK of the run.
        active_ck: CK with a row open, summed over ranks.
        ranks: Ranks that draw background power.
    """

    rank_counts: Mapping[str, int]
    command_counts: Mapping[str, int]
    mac_tokens: int
    total_ck: int
    active_ck: int
    ranks: int


def energy_pj(activity: Activity, device: DeviceSpec, profile: EnergyProfile) -> dict[str, float]:
    """Energy of one channel by component, pJ."""
    die = activity.rank_counts
    row_bits = device.organisation.row_bytes.n * 8
    burst_bits = device.organisation.burst_bytes.n * 8
    accesses = sum(die.get(name, 0) for name in ("RD", "WR", "RDA", "WRA"))
    bursts = sum(activity.command_counts.get(name, 0) for name in ("RD", "WR", "RDA", "WRA", "PIM_IN", "PIM_OUT"))
    rows = die.get("ACT2", 0) + die.get("PIM_ACT", 0) * device.mpus
    macs = die.get("PIM_MAC", 0) * device.mpus
    register_bits = (macs + die.get("PIM_IN", 0) + die.get("PIM_OUT", 0)) * burst_bits
    refreshed_rows = die.get("REFAB", 0) + die.get("PIM_REFAB", 0) + die.get("REFPB", 0) / 8
    idle_ck = activity.total_ck * activity.ranks - activity.active_ck
    standby_mw_ck = _milliwatts(profile.idle_power) * idle_ck + _milliwatts(profile.active_power) * activity.active_ck
    return {
        "activate": rows * row_bits * profile.activate.pj_per_bit,
        "column": (accesses + macs) * burst_bits * profile.column.pj_per_bit,
        "io": bursts * burst_bits * profile.io.pj_per_bit,
        "mac": activity.mac_tokens * device.mpus * device.pim.lanes.n * profile.mac_int8.pj,
        "register": register_bits * profile.pim_register.pj_per_bit,
        "refresh": refreshed_rows * (profile.refresh.pj if profile.refresh is not None else 0.0),
        "background": standby_mw_ck * device.tCK.ns,
    }


def _milliwatts(power: object) -> float:
    return getattr(power, "watts", 0.0) * 1e3
