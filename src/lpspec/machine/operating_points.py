"""Clocks that a phone can change, the voltages that go with them, and what energies become of that.

Switching energy goes with the square of its voltage. What of standby goes with the clock, and how the charge of a bit
on the pins goes with their voltage, nobody publishes: both are assumptions with a range.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from pydantic import Field, model_validator

from lpspec.errors import InputError, exactly
from lpspec.machine.currents import DERIVED, RailScale
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.quantity import DataRate, Described, Frequency, Power, Share, Span, Voltage

ON_NPU = ("mac_int8", "mac_fp16", "scratchpad", "local_buffer", "core_register")
"""Constants of the NPU's supply."""


class NpuPoint(Described):
    """A clock of the NPU."""

    RANGES: ClassVar = {"clock": (0.01, 10), "voltage": (0.2, 2)}

    clock: Frequency = Field(description="of arrays and lanes")
    voltage: Voltage = Field(description="that it needs at least")


class MemoryPoint(Described):
    """A data rate of the memory."""

    RANGES: ClassVar = {"data_rate": (100, 20_000), "core": (0.2, 2), "io": (0.1, 2)}

    data_rate: DataRate = Field(description="bits per second and pin")
    core: Voltage = Field(description="supply of the core (VDD2) that it needs at least")
    io: Voltage = Field(description="supply of the pins (VDDQ)")


class VoltageModel(Described):
    """What nobody publishes of voltages and clocks."""

    RANGES: ClassVar = dict.fromkeys(("clocked_standby", "io_charge", "waiting_soc"), (0, 1))

    clocked_standby: Share = Field(description="share of standby that goes with the data rate; the rest leaks")
    io_charge: Share = Field(description="share of the charge of a bit on the pins that goes with their voltage")
    waiting_soc: Share = Field(description="share of rest_of_soc_power that is left while nothing is computed")


class Thermal(Described):
    """How long a phone may draw how much: its case warms up like one capacity behind one resistance."""

    RANGES: ClassVar = {"sustained_power": (0.1, 100), "least_power": (0.1, 100), "time_constant": (1, 1e5)}
    RANGES |= {"most_power": (0.1, 100), "package_power": (0.1, 100)}

    sustained_power: Power = Field(description="of the whole SoC with its memory, that may flow for ever")
    least_power: Power = Field(description="low end of its range")
    most_power: Power = Field(description="high end of its range")
    time_constant: Span = Field(description="in which a cold phone comes to 63 % of what a constant power warms it by")
    package_power: Power = Field(description="of memory and MACs that may flow at all")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.least_power.watts <= self.sustained_power.watts <= self.most_power.watts:
            raise ValueError("sustained_power must lie between least_power and most_power")
        return self

    def cold_seconds(self, watts: float) -> float:
        """How long a cold phone may draw a power before it must draw no more than the sustained one; inf for ever."""
        share = self.sustained_power.watts / watts if watts > 0 else math.inf
        return math.inf if share >= 1 else -self.time_constant.seconds * math.log1p(-share)


@dataclass(frozen=True, slots=True)
class Shares:
    """The assumptions as fractions; their ends are the range of what comes of them."""

    clocked_standby: float
    io_charge: float
    waiting_soc: float


MOST_SAVED, LEAST_SAVED = Shares(1.0, 1.0, 0.0), Shares(0.0, 0.0, 1.0)
"""Ends of the ranges: standby all clocked, pins by the square of their voltage, a SoC that sleeps; and the others."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """A data rate and a clock of the NPU, with their voltages."""

    data_rate_mbps: float
    npu_ghz: float
    npu_volts: float
    core_volts: float
    io_volts: float


class OperatingPoints(Described):
    """All clocks of one SoC."""

    name: str
    summary: str
    npu: tuple[NpuPoint, ...] = Field(min_length=1, description="clocks of the NPU, ascending")
    memory: tuple[MemoryPoint, ...] = Field(min_length=1, description="data rates of the memory, ascending")
    assumed: VoltageModel
    thermal: Thermal | None = Field(default=None, description="what its case gives off; needed to tell what lasts")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for table, clocks in (("npu", self._ghz), ("memory", self._mbps)):
            if any(later <= earlier for earlier, later in pairwise(clocks)):
                raise ValueError(f"[[{table}]] must be in ascending order of its clocks")
        for name, volts in (
            ("npu.voltage", [p.voltage.volts for p in self.npu]),
            ("memory.core", [p.core.volts for p in self.memory]),
            ("memory.io", [p.io.volts for p in self.memory]),
        ):
            if volts != sorted(volts):
                raise ValueError(f"{name} must not fall while its clock rises")
        return self

    @property
    def shares(self) -> Shares:
        """Its assumptions."""
        model = self.assumed
        return Shares(model.clocked_standby.fraction, model.io_charge.fraction, model.waiting_soc.fraction)

    @property
    def _ghz(self) -> list[float]:
        return [point.clock.ghz for point in self.npu]

    @property
    def _mbps(self) -> list[float]:
        return [point.data_rate.mbps for point in self.memory]

    def clocks(self, data_rate_mbps: float, npu_ghz: float) -> Clocks:
        """Two clocks with the voltages of the next listed ones that are no slower.

        Raises:
            InputError: One is above all that are listed.
        """
        for what, asked, listed, unit in (
            ("NPU clock", npu_ghz, self._ghz, "GHz"),
            ("data rate", data_rate_mbps, self._mbps, "Mbps"),
        ):
            if asked > listed[-1] * (1 + 1e-9):
                one, most = f"{exactly(asked)} {unit}", f"{exactly(listed[-1])} {unit}"
                raise InputError(f"operating points '{self.name}': {what} {one} is above {most}")
        npu = next(p for p in self.npu if npu_ghz <= p.clock.ghz * (1 + 1e-9))
        memory = next(p for p in self.memory if data_rate_mbps <= p.data_rate.mbps * (1 + 1e-9))
        return Clocks(data_rate_mbps, npu_ghz, npu.voltage.volts, memory.core.volts, memory.io.volts)

    def up_to(self, data_rate_mbps: float, npu_ghz: float) -> list[Clocks]:
        """Every pair of listed clocks that are no faster than a machine's own, and its own.

        Raises:
            InputError: Its own are above all that are listed.
        """
        rates = sorted({*(r for r in self._mbps if r < data_rate_mbps), data_rate_mbps})
        speeds = sorted({*(g for g in self._ghz if g < npu_ghz), npu_ghz})
        return [self.clocks(rate, ghz) for rate in rates for ghz in speeds]


def priced_at(profile: EnergyProfile, at: Clocks, nominal: Clocks, shares: Shares) -> EnergyProfile:
    """A profile, which holds at a machine's own clocks, at others.

    The MACs of PIM keep their price. So does a memory whose prices do not follow from currents: nothing is known of
    its supplies.

    Args:
        profile: Prices at the machine's own clocks.
        at: The clocks asked for.
        nominal: The machine's own.
        shares: What is assumed.
    """
    by_npu = (at.npu_volts / nominal.npu_volts) ** 2
    constants = {name: getattr(profile, name) for name in ON_NPU}
    update = {name: c.model_copy(update={"value": c.value * by_npu}) for name, c in constants.items()}
    update["pim_mac_int8"] = profile.pim_mac_int8 or profile.mac_int8
    if profile.currents is not None:
        scales = _rail_scales(at, nominal, shares)
        for name, derived in profile.currents.constants(scales):
            constant = getattr(profile, name)
            if constant.source.startswith(DERIVED):
                update[name] = type(constant).model_validate(derived)
    return profile.model_copy(update=update)


def _rail_scales(at: Clocks, nominal: Clocks, shares: Shares) -> dict[str, RailScale]:
    """VDD1 stays as it is."""
    core, pins = (at.core_volts / nominal.core_volts) ** 2, at.io_volts / nominal.io_volts
    slower = at.data_rate_mbps / nominal.data_rate_mbps
    clocked = 1 - shares.clocked_standby + shares.clocked_standby * slower
    by_pins = pins * (1 - shares.io_charge + shares.io_charge * pins)
    return {"VDD2H": RailScale(core, clocked), "VDDQ": RailScale(by_pins, clocked)}
