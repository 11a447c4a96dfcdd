"""Supply currents of a DRAM data sheet, and the energies that follow from them by the usual equations.

A sheet gives what each supply draws while one thing is done over and over (IDD0: rows opened and closed, IDD4R: reads,
IDD5: all-bank refreshes) and while nothing is (IDD2P, IDD2N, IDD3N). What one such thing costs is the difference, times
the voltage, times how long it takes (Micron TN-41-01, "Calculating Memory System Power for DDR3").
"""

# ruff: noqa: N815 - supplies and currents keep the spelling of data sheets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from lpspec.machine.quantity import Count, Current, DataRate, Described, PositiveDuration, Share, Voltage

Operation = Literal["IDD0", "IDD4R", "IDD4W", "IDD5"]

NEEDS: dict[Operation, tuple[str, ...]] = {
    "IDD0": ("IDD2N", "IDD3N"),
    "IDD4R": ("IDD3N",),
    "IDD4W": ("IDD3N",),
    "IDD5": ("IDD2N",),
}
"""Standby currents that flow anyway while something is done, and count by themselves."""


DERIVED = "from the currents, over all supplies"
"""How the source of a constant that follows from currents begins."""


@dataclass(frozen=True, slots=True)
class RailScale:
    """A supply at another voltage and clock than those of the sheet.

    Attributes:
        voltage: Energy of all that is drawn, over that at the voltage of the sheet.
        clocked: Standby over that at the clock of the sheet, beside what the voltage changes.
    """

    voltage: float = 1.0
    clocked: float = 1.0


AS_MEASURED = RailScale()
Scales: TypeAlias = Mapping[str, RailScale]
NO_SCALES: Scales = {}


class Rail(Described):
    """One supply; a current that the sheet does not give for it is none."""

    RANGES: ClassVar = {"voltage": (0.1, 5), "*": (0, 5000)}

    voltage: Voltage = Field(description="voltage of the supply")
    IDD0: Current | None = Field(default=None, description="rows opened and closed, once per tRC")
    IDD2P: Current | None = Field(default=None, description="power-down, all banks closed")
    IDD2N: Current | None = Field(default=None, description="standby, all banks closed")
    IDD3N: Current | None = Field(default=None, description="standby, a row open")
    IDD4R: Current | None = Field(default=None, description="reads without a pause")
    IDD4W: Current | None = Field(default=None, description="writes without a pause")
    IDD5: Current | None = Field(default=None, description="all-bank refreshes without a pause")

    @model_validator(mode="after")
    def _above_standby(self) -> Self:
        for operation, standbys in NEEDS.items():
            drawn = getattr(self, operation)
            for name in standbys if drawn is not None else ():
                standby = getattr(self, name)
                if standby is None:
                    raise ValueError(f"{operation} needs {name}, which flows anyway")
                if drawn.ma < standby.ma:
                    low, high = drawn.exact_text(), standby.exact_text()
                    raise ValueError(f"{operation} ({low}) is below {name} ({high}), which it holds")
        return self

    def mw(self, name: str) -> float:
        """Power of one of the currents, mW; none where the sheet has none."""
        current = getattr(self, name)
        return 0.0 if current is None else float(current.ma * self.voltage.volts)


class Currents(Described):
    """The currents of one die, and how they were measured."""

    RANGES: ClassVar = {
        "data_rate": (100, 50_000),
        "data_pins": (1, 1024),
        "row_bytes": (1, 2**20),
        "tRAS": (1, 1000),
        "tRP": (1, 1000),
        "in_bank": (0.001, 1),
    }

    data_rate: DataRate = Field(description="at which IDD4R and IDD4W were measured")
    data_pins: Count = Field(description="data pins of the die")
    row_bytes: Count = Field(description="bytes of a row that IDD0 opens")
    tRAS: PositiveDuration = Field(description="how long IDD0 has the row open")
    tRP: PositiveDuration = Field(description="and how long it takes to close it")
    in_bank: Share = Field(description="share of a read burst that is spent up to the bank edge")
    VDD1: Rail | None = Field(default=None, description="supply of word lines")
    VDD2H: Rail = Field(description="supply of the core")
    VDDQ: Rail | None = Field(default=None, description="supply of the data pins")

    @model_validator(mode="after")
    def _writes_reach_the_bank(self) -> Self:
        if self.column_pj_per_bit() > self.burst_pj_per_bit("IDD4W"):
            raise ValueError("in_bank: the way up to the bank edge costs more than a whole write burst")
        return self

    @property
    def rails(self) -> dict[str, Rail]:
        """The supplies that the sheet gives, by name."""
        rails = {"VDD1": self.VDD1, "VDD2H": self.VDD2H, "VDDQ": self.VDDQ}
        return {name: rail for name, rail in rails.items() if rail is not None}

    def column_pj_per_bit(self, scales: Scales = NO_SCALES) -> float:
        """The part of a read burst up to the bank edge, pJ per bit; a write burst takes the same way.

        It is the core's, whatever becomes of the pins.
        """
        return self.in_bank.fraction * self.burst_pj_per_bit("IDD4R") * scales.get("VDD2H", AS_MEASURED).voltage

    def activate_nj(self, scales: Scales = NO_SCALES) -> float:
        """A row opened and closed: IDD0 over tRC, less the standby that flows anyway, nJ."""
        open_ns, close_ns = self.tRAS.ns, self.tRP.ns
        pj = sum(
            scales.get(name, AS_MEASURED).voltage
            * (rail.mw("IDD0") * (open_ns + close_ns) - rail.mw("IDD3N") * open_ns - rail.mw("IDD2N") * close_ns)
            for name, rail in self.rails.items()
            if rail.IDD0 is not None
        )
        return pj / 1e3

    def burst_pj_per_bit(self, operation: Literal["IDD4R", "IDD4W"], scales: Scales = NO_SCALES) -> float:
        """A burst beyond standby with a row open, pJ per bit: mW over Gbit/s."""
        gbit_per_s = self.data_pins.n * self.data_rate.mbps / 1e3
        return self._beyond_mw(operation, "IDD3N", scales) / gbit_per_s

    def _beyond_mw(self, operation: Operation, standby: str, scales: Scales) -> float:
        rails = ((name, rail) for name, rail in self.rails.items() if getattr(rail, operation) is not None)
        return sum(scales.get(name, AS_MEASURED).voltage * (r.mw(operation) - r.mw(standby)) for name, r in rails)

    def _standby_mw(self, current: str, scales: Scales, is_clocked: bool = True) -> float:
        by_rail = ((scales.get(name, AS_MEASURED), rail.mw(current)) for name, rail in self.rails.items())
        return sum(scale.voltage * (scale.clocked if is_clocked else 1.0) * mw for scale, mw in by_rail)

    def constants(self, scales: Scales = NO_SCALES) -> Iterator[tuple[str, dict[str, Any]]]:
        """The constants of a memory that follow, by name, each with how.

        Args:
            scales: Supplies, by name, at other voltages and clocks than those of the sheet.
        """
        read, write = (self.burst_pj_per_bit(op, scales) for op in ("IDD4R", "IDD4W"))
        column = self.column_pj_per_bit(scales)
        activate = self.activate_nj(scales) * 1e3 / (8 * self.row_bytes.n)
        found: dict[str, tuple[float, str, str]] = {
            "activate": (activate, "pJ/b", "V x (IDD0 x tRC - IDD3N x tRAS - IDD2N x tRP), over a row"),
            "column": (column, "pJ/b", "in_bank x read burst"),
            "io": (read - column, "pJ/b", "read burst, V x (IDD4R - IDD3N) over data_pins x data_rate, less column"),
            "write_io": (write - column, "pJ/b", "write burst, V x (IDD4W - IDD3N) likewise, less column"),
            "refresh_power": (self._beyond_mw("IDD5", "IDD2N", scales), "mW", "V x (IDD5 - IDD2N)"),
            "idle_power": (self._standby_mw("IDD2N", scales), "mW", "V x IDD2N"),
            "active_power": (self._standby_mw("IDD3N", scales), "mW", "V x IDD3N"),
            "power_down": (self._standby_mw("IDD2P", scales, is_clocked=False), "mW", "V x IDD2P"),
        }
        for name, (value, unit, how) in found.items():
            yield name, {"value": f"{value!r} {unit}", "source": f"{DERIVED}: {how}"}
