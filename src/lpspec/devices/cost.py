"""What an operator costs on a device: time, and the physical events that an energy profile prices.

All fields are numbers or arrays that broadcast over a (context, tokens) grid.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.llm.counts import plain
from lpspec.machine.energy_profile import COMPONENTS, NOTHING, Activity, Real

__all__ = [
    "COMPONENTS",
    "Activity",
    "Cost",
    "Real",
    "activity_from",
    "cost_from",
    "macs_at",
    "off_chip_read",
    "table_of",
]


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


def each_count(activity: Activity, change: Callable[[FloatArray], Real]) -> Activity:
    """The same events with every count that is an array changed; numbers stay."""
    return Activity._make(
        count if isinstance(count, float) or not np.ndim(count) else change(count) for count in activity
    )


def table_of(cost: Cost, kinds: int) -> FloatArray:
    """Time and events of so many kinds as numbers that add and scale: float64 [kinds, 1 + events]."""
    rows = (cost.latency_ns, *cost.activity)
    table = np.empty((kinds, len(rows)))
    for i, row in enumerate(rows):
        table[:, i] = row
    return table


def cost_from(table: FloatArray) -> Cost:
    """The cost behind float64 [1 + events], or [1 + events, ...] for arrays."""
    return Cost(plain(table[0]), activity_from(table[1:]))


def activity_from(counts: FloatArray) -> Activity:
    """Events of float64 [events] as numbers, or of [events, ...] as arrays; one that never occurs is the number 0."""
    if counts.ndim == 1:
        return Activity(*counts.tolist())
    occurs: list[bool] = np.any(counts, axis=tuple(range(1, counts.ndim))).tolist()
    return Activity(*[row if some else 0.0 for row, some in zip(counts, occurs, strict=True)])


def off_chip_read(read_bytes: Real) -> Activity:
    """Whole rows read off the chip, which scratchpad and local buffer each write and read on the way into the cores."""
    bits = read_bytes * 8.0
    return Activity(bits, bits, bits, scratchpad_bits=2 * bits, local_buffer_bits=2 * bits)


def macs_at(macs: Real, bits: int) -> Activity:
    """Multiply-accumulates at the precision of the wider operand."""
    return Activity(macs_int8=macs) if bits <= 8 else Activity(macs_fp16=macs)
