"""What an operator costs on a device: time, and the physical events that an energy profile prices.

Devices count events and never joules, so the same counts can be priced by any profile. All fields are
numbers or arrays that broadcast over a (context, tokens) grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.quantity import Power

Real: TypeAlias = float | NDArray[Any]

COMPONENTS = ("array", "io", "buffer", "mac", "activation", "migration", "static")
"""Where energy goes: DRAM array, path off the chip, on-chip memories and registers (of weights, activations and
partial sums), multiply-accumulates, activation traffic (PIM inputs, accumulator readback, KV writes), weights moved
between ranks, and what flows whatever runs: static or board power, and, where commands are timed and the profile
prices them, refresh and standby of the dies."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Counts of physical events. An access of an on-chip memory or register is a read or a write."""

    activate_bits: Real = 0.0
    column_bits: Real = 0.0
    io_bits: Real = 0.0
    scratchpad_bits: Real = 0.0
    local_buffer_bits: Real = 0.0
    register_bits: Real = 0.0
    pim_register_bits: Real = 0.0
    macs_int8: Real = 0.0
    macs_fp16: Real = 0.0
    activation_io_bits: Real = 0.0
    activation_memory_bits: Real = 0.0
    refreshed_dies: Real = 0.0
    idle_die_ns: Real = 0.0
    active_die_ns: Real = 0.0
    migrated_bits: Real = 0.0

    def __add__(self, other: "Activity") -> "Activity":
        """Events of both, one after the other or side by side."""
        return Activity(*map(_plus, self._counts(), other._counts()))

    def __mul__(self, factor: Real) -> "Activity":
        """Events of ``factor`` repetitions."""
        return Activity(*(count if _is_nothing(count) else count * factor for count in self._counts()))

    def _counts(self) -> Iterator[Real]:
        return (getattr(self, name) for name in self.__slots__)

    def energy_pj(self, profile: EnergyProfile) -> dict[str, Real]:
        """Energy by component, pJ; static power of a whole platform is left to whoever knows the time."""
        return {
            "array": self.activate_bits * profile.activate.pj_per_bit + self.column_bits * profile.column.pj_per_bit,
            "io": self.io_bits * profile.io.pj_per_bit,
            "buffer": self.scratchpad_bits * profile.scratchpad.pj_per_bit
            + self.local_buffer_bits * profile.local_buffer.pj_per_bit
            + self.register_bits * profile.core_register.pj_per_bit
            + self.pim_register_bits * profile.pim_register.pj_per_bit,
            "mac": self.macs_int8 * profile.mac_int8.pj + self.macs_fp16 * profile.mac_fp16.pj,
            "migration": self.migrated_bits * profile.moved_pj_per_bit,
            "activation": self.activation_io_bits * profile.io.pj_per_bit
            + self.activation_memory_bits * profile.off_chip_pj_per_bit,
            "static": self.refreshed_dies * (profile.refresh.pj if profile.refresh else 0.0)
            + self.idle_die_ns * _pj_per_ns(profile.idle_power)
            + self.active_die_ns * _pj_per_ns(profile.active_power),
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of an operator or a pass, in ns, and the events behind it."""

    latency_ns: Real = 0.0
    activity: Activity = Activity()

    def __add__(self, other: "Cost") -> "Cost":
        """Cost of one after the other."""
        return Cost(self.latency_ns + other.latency_ns, self.activity + other.activity)

    def __mul__(self, factor: Real) -> "Cost":
        """Cost of ``factor`` repetitions, one after the other."""
        return Cost(self.latency_ns * factor, self.activity * factor)


def _is_nothing(count: Real) -> bool:
    """Most devices cause few kinds of events, and a number is not spread over a grid for nothing."""
    return isinstance(count, float) and count == 0.0


def _plus(one: Real, other: Real) -> Real:
    if _is_nothing(one):
        return other
    return one if _is_nothing(other) else one + other


def _pj_per_ns(power: Power | None) -> float:
    """1 W is 1000 pJ per ns; a profile without the constant prices none."""
    return 0.0 if power is None else power.watts * 1e3


def off_chip_read(read_bytes: Real) -> Activity:
    """Whole rows read off the chip, which scratchpad and local buffer each write and read on the way into the cores."""
    bits = read_bytes * 8.0
    return Activity(bits, bits, bits, scratchpad_bits=2 * bits, local_buffer_bits=2 * bits)


def macs_at(macs: Real, bits: int) -> Activity:
    """Multiply-accumulates at the precision of the wider operand."""
    return Activity(macs_int8=macs) if bits <= 8 else Activity(macs_fp16=macs)
