"""Energy profiles beside each other: what streams, refreshes and waiting come to on one die."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lpspec.devices.stream_prices import StreamPrices, own_memory_prices, profile_prices
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.loading import load_die, load_platform, load_profile, platform_names, profile_names

DIE = "lpddr5x-7500"
"""A die of 16 Gb at the rate of the one whose currents are public."""

CHANGEABLE = ("memory.die", "memory.data_rate", "memory.organisation.rows")
"""What of a die decides how long a bit of a stream takes and a refresh lasts: its name, rate and capacity."""


@dataclass(frozen=True)
class SideBySide:
    """Profiles on a die, and the memories that platforms have of their own.

    Attributes:
        die: Whose refreshes, rows and rate count.
        prices: Of the profile asked for, of the other shipped ones, then of platforms.
    """

    die: DieSpec
    prices: tuple[StreamPrices, ...]


def side_by_side(profile: EnergyProfile, changes: Mapping[str, str] | None = None) -> SideBySide:
    """A profile beside all shipped ones.

    Args:
        profile: The one asked for, which comes first.
        changes: Changes of the die, of ``CHANGEABLE``; ``memory.die`` names another one.

    Raises:
        InputError: An unknown die, a constant that decides nothing here, or an impossible value.
    """
    for key in changes or {}:
        if key not in CHANGEABLE:
            raise InputError(f"--set {key} changes nothing of an energy profile: allowed are {', '.join(CHANGEABLE)}")
    wanted = dict(changes or {})
    die = load_die(wanted.pop("memory.die", DIE), wanted)
    others = [load_profile(name) for name in profile_names() if name != profile.name]
    found = [profile_prices(each, die) for each in (profile, *others)]
    return SideBySide(die, (*found, *_own_memories(die.organisation.row_bytes.n)))


def _own_memories(row_bytes: int) -> list[StreamPrices]:
    """Memories that platforms have of their own, those of one price once, after the first platform that has it."""
    platforms = (load_platform(name) for name in platform_names())
    found: list[StreamPrices] = []
    for own in (own_memory_prices(p.name, p.memory_energy, row_bytes) for p in platforms if p.memory_energy):
        if all(replace(own, name=other.name, technology=other.technology) != other for other in found):
            found.append(own)
    return found
