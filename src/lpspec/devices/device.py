"""What a device is: it prices an operator, says its part of a phase at command level or that it has none, and describes
itself.

A new kind of device is one file with its data, this protocol, and one line: ``DEVICES["cpu"] = Cpu``. A platform whose
file has a table of that name has such a device (``docs/extending.md``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from lpspec.devices.cost import Activity, Cost, Real
from lpspec.devices.package_commands import MemoryPart, PackageCommands
from lpspec.llm.counts import Count
from lpspec.llm.operators import PlainOperator
from lpspec.machine.energy_profile import NOTHING
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Described

Unit = Literal["matrix", "vector"]


@dataclass(frozen=True, slots=True)
class PhasePart:
    """What a device does in one copy of a phase, beside the other devices that share it.

    Attributes:
        name: The operator, or its half.
        read_bytes: What it reads from the package, over all channels.
        busy_ns: Time of its own units.
        unit: Which of them.
        activity: Events of these; those of memory commands come from the commands.
        in_memory: Computes in the package: given the package and the bytes that others read beside, the commands.
        amount: Columns or heads that it computes there.
    """

    name: str
    read_bytes: Real = 0.0
    busy_ns: Real = 0.0
    unit: Unit = "matrix"
    activity: Activity = NOTHING
    in_memory: Callable[[PackageCommands, Real], MemoryPart] | None = None
    amount: Count = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """A number that follows from what is known of a device."""

    key: str
    value: float
    unit: str
    description: str


class Device(Protocol):
    """A device of one platform."""

    @property
    def Spec(self) -> type[Described]:  # noqa: N802 - it is a class
        """What its table in a platform file holds; of the class, like the next."""
        ...

    @property
    def stands_alone(self) -> bool:
        """Whether it can run whole passes, rather than some operators beside another device."""
        ...

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The device of a platform whose file has its table."""
        ...

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of an operator computed by this device alone; counts may be arrays over a grid.

        Raises:
            InputError: It cannot compute that, for example for want of the precision.
        """
        ...

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> tuple[PhasePart, ...] | None:
        """Its part in each phase of one copy of an operator; None where it has no command level, whatever the operator.

        A device with a true ``lays_out_arrays`` is given arrays over the kinds of a step, too.

        Args:
            op: A product, a state or elementwise work is one phase; attention is two, scores and values. Counts are
                numbers.
            amount: Columns of the product, or heads of the attention, that it computes; None for all.
        """
        ...

    def describe(self) -> Iterator[Identity]:
        """What follows from its data, for ``lpspec inspect``."""
        ...
