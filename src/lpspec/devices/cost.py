"""What an operator costs on a device: time, and the physical events that an energy profile prices.

All fields are numbers or arrays that broadcast over a (context, tokens) grid.
"""

from dataclasses import dataclass

from lpspec.machine.energy_profile import COMPONENTS, Activity, Real

__all__ = ["COMPONENTS", "Activity", "Cost", "Real", "macs_at", "off_chip_read"]

NOTHING = Activity()
"""No event."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of an operator or a pass, in ns, and the events behind it."""

    latency_ns: Real = 0.0
    activity: Activity = NOTHING

    def __add__(self, other: "Cost") -> "Cost":
        """Cost of one after the other."""
        return Cost(self.latency_ns + other.latency_ns, self.activity + other.activity)

    def __mul__(self, factor: Real) -> "Cost":
        """Cost of ``factor`` repetitions, one after the other."""
        return Cost(self.latency_ns * factor, self.activity * factor)


def off_chip_read(read_bytes: Real) -> Activity:
    """Whole rows read off the chip, which scratchpad and local buffer each write and read on the way into the cores."""
    bits = read_bytes * 8.0
    return Activity(bits, bits, bits, scratchpad_bits=2 * bits, local_buffer_bits=2 * bits)


def macs_at(macs: Real, bits: int) -> Activity:
    """Multiply-accumulates at the precision of the wider operand."""
    return Activity(macs_int8=macs) if bits <= 8 else Activity(macs_fp16=macs)
