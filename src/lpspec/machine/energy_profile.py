"""The energy of a machine, counted in one place: events, what one of them costs, and the component that it goes to.

Whoever models hardware counts events and never joules, so the same counts can be priced by any profile. A new
component is a constant in ``EnergyProfile`` and a line in ``Activity``, and is counted where it happens.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self, TypeAlias

from pydantic import Field

from lpspec.machine.memory_prices import MemoryPrices
from lpspec.machine.quantity import EnergyPerBit, EnergyPerOperation, Power

if TYPE_CHECKING:
    from numpy.typing import NDArray

Real: TypeAlias = "float | NDArray[Any]"


class EnergyProfile(MemoryPrices):
    """Energy constants of one published set, the same for every platform that it prices."""

    RANGES: ClassVar = MemoryPrices.RANGES | {"*": (0, 1e3)}

    name: str
    summary: str
    mac_int8: EnergyPerOperation = Field(description="one INT8 multiply-accumulate")
    mac_fp16: EnergyPerOperation = Field(description="one FP16 multiply-accumulate")
    pim_mac_int8: EnergyPerOperation | None = Field(
        default=None, description="one INT8 multiply-accumulate in a PIM unit; as mac_int8 if left out"
    )
    scratchpad: EnergyPerBit = Field(description="an access of on-chip shared memory (NPU scratchpad, GPU L2)")
    local_buffer: EnergyPerBit = Field(description="an access of a core's buffer (NPU local buffer, GPU L1)")
    core_register: EnergyPerBit = Field(description="an access of a core's registers (NPU partial sums, GPU operands)")
    pim_register: EnergyPerBit = Field(description="registers of a PIM unit, per bit of weight read")

    @property
    def pim_mac_pj(self) -> float:
        """One INT8 multiply-accumulate in a PIM unit, pJ."""
        return (self.mac_int8 if self.pim_mac_int8 is None else self.pim_mac_int8).value

    @cached_property
    def prices(self) -> tuple[tuple[str, float], ...]:
        """Component and energy, pJ, of every kind of event."""
        return tuple((event.component, self.pj_of(event.constant)) for event in EVENTS.values())

    @property
    def has_standby(self) -> bool:
        """Whether dies cost anything while they refresh or wait."""
        return any(pj for component, pj in self.prices if component == "static")

    def __copy__(self) -> Self:
        """A copy that may get other constants, and finds its prices anew."""
        copied = super().__copy__()
        copied.__dict__.pop("prices", None)
        return copied

    def pj_of(self, constant: str) -> float:
        """A constant or sum of constants by name, in pJ per event; 0 where this profile has none.

        A power is priced per ns: 1 W is 1000 pJ per ns.
        """
        found = getattr(self, constant)
        if found is None or isinstance(found, float):
            return found or 0.0
        return float(found.value * (1e3 if isinstance(found, Power) else 1.0))


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event.

    Attributes:
        component: Where its energy goes.
        constant: What one costs, by its name in ``EnergyProfile``.
        text: What tables call it.
    """

    component: str
    constant: str
    text: str


class Activity(NamedTuple):
    """Counts of physical events: numbers, or arrays that broadcast over a (context, tokens) grid.

    An access of an on-chip memory or register is a read or a write.
    """

    activate_bits: Annotated[Real, Event("array", "activate", "bits of rows opened")] = 0.0
    column_bits: Annotated[Real, Event("array", "column", "bits read or written in rows")] = 0.0
    io_bits: Annotated[Real, Event("io", "io", "bits read off the chip")] = 0.0
    io_written_bits: Annotated[Real, Event("io", "write_io_pj_per_bit", "bits written to the chip")] = 0.0
    scratchpad_bits: Annotated[Real, Event("buffer", "scratchpad", "scratchpad bits")] = 0.0
    local_buffer_bits: Annotated[Real, Event("buffer", "local_buffer", "local buffer bits")] = 0.0
    register_bits: Annotated[Real, Event("buffer", "core_register", "register bits of cores")] = 0.0
    pim_register_bits: Annotated[Real, Event("buffer", "pim_register", "register bits of PIM units")] = 0.0
    macs_int8: Annotated[Real, Event("mac", "mac_int8", "INT8 MACs")] = 0.0
    pim_macs_int8: Annotated[Real, Event("mac", "pim_mac_pj", "INT8 MACs in PIM units")] = 0.0
    macs_fp16: Annotated[Real, Event("mac", "mac_fp16", "FP16 MACs")] = 0.0
    activation_io_bits: Annotated[Real, Event("activation", "io", "bits of PIM results")] = 0.0
    activation_input_bits: Annotated[Real, Event("activation", "write_io_pj_per_bit", "bits of PIM inputs")] = 0.0
    activation_memory_bits: Annotated[Real, Event("activation", "written_pj_per_bit", "activation bits to memory")] = (
        0.0
    )
    migrated_bits: Annotated[Real, Event("migration", "moved_pj_per_bit", "bits moved, rows and all")] = 0.0
    transferred_bits: Annotated[Real, Event("migration", "transfer_pj_per_bit", "bits from rank to rank")] = 0.0
    refreshing_die_ns: Annotated[Real, Event("static", "refresh_power", "ns of dies refreshing")] = 0.0
    idle_die_ns: Annotated[Real, Event("static", "idle_power", "ns of dies with all banks closed")] = 0.0
    power_down_die_ns: Annotated[Real, Event("static", "power_down", "ns of dies in power-down")] = 0.0
    active_die_ns: Annotated[Real, Event("static", "active_power", "ns of dies with a row open")] = 0.0

    def __add__(self, other: "Activity") -> "Activity":  # type: ignore[override]
        """Events of both, one after the other or side by side."""
        if self is NOTHING or other is NOTHING:
            return other if self is NOTHING else self
        return Activity._make(
            [  # spelled out: sums of costs are most of what the analytic level does
                more
                if type(one) is float and one == 0.0
                else one
                if type(more) is float and more == 0.0
                else one + more
                for one, more in zip(self, other, strict=True)
            ]
        )

    def __mul__(self, factor: Real) -> "Activity":  # type: ignore[override]
        """Events of ``factor`` repetitions."""
        return Activity._make([count if type(count) is float and count == 0.0 else count * factor for count in self])

    def by_event_pj(self, profile: EnergyProfile) -> dict[str, Real]:
        """Energy of every event that occurred, pJ, by its name."""
        found = zip(EVENTS, self, strict=True)
        return {name: count * profile.pj_of(EVENTS[name].constant) for name, count in found if not _is_nothing(count)}

    def energy_pj(self, profile: EnergyProfile) -> dict[str, Real]:
        """Energy by component, pJ; static power of a whole platform is left to whoever knows the time."""
        total: dict[str, Real] = dict.fromkeys(COMPONENTS, 0.0)
        for count, (component, pj) in zip(self, profile.prices, strict=True):
            if pj and not _is_nothing(count):
                before = total[component]
                total[component] = count * pj if _is_nothing(before) else before + count * pj
        return total


EVENTS: dict[str, Event] = {name: counted.__metadata__[0] for name, counted in Activity.__annotations__.items()}
"""What is counted, by the name of its field in ``Activity``."""

NOTHING = Activity()
"""No event."""

COMPONENTS = tuple(dict.fromkeys(event.component for event in EVENTS.values()))
"""Where energy goes: DRAM array, path off the chip, on-chip memories and registers (of weights, activations and
partial sums), multiply-accumulates, activation traffic (PIM inputs, accumulator readback, KV writes), weights moved
between ranks, and what flows whatever runs: static or board power, and, where commands are timed and the profile
prices them, refresh and standby of the dies."""


def _is_nothing(count: Real) -> bool:
    """Most devices cause few kinds of events, and a number is not spread over a grid for nothing."""
    return type(count) is float and count == 0.0
