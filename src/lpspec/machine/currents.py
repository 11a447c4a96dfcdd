"""Supply currents of a DRAM data sheet, and the energies that follow from them by the usual equations.

A sheet gives what each supply draws while one thing is done over and over (IDD0: rows opened and closed, IDD4R: reads,
IDD5: all-bank refreshes) and while nothing is (IDD2P, IDD2N, IDD3N). What one such thing costs is the difference, times
the voltage, times how long it takes (Micron TN-41-01, "Calculating Memory System Power for DDR3").
"""

# ruff: noqa: N815 - supplies and currents keep the spelling of data sheets
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

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
                    raise ValueError(f"{operation} ({drawn.text()}) is below {name} ({standby.text()}), which it holds")
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
        if self.column_pj_per_bit > self.burst_pj_per_bit("IDD4W"):
            raise ValueError("in_bank: the way up to the bank edge costs more than a whole write burst")
        return self

    @property
    def rails(self) -> tuple[Rail, ...]:
        """The supplies that the sheet gives."""
        return tuple(rail for rail in (self.VDD1, self.VDD2H, self.VDDQ) if rail is not None)

    @property
    def activate_nj(self) -> float:
        """A row opened and closed: IDD0 over tRC, less the standby that flows anyway, nJ."""
        open_ns, close_ns = self.tRAS.ns, self.tRP.ns
        pj = sum(
            rail.mw("IDD0") * (open_ns + close_ns) - rail.mw("IDD3N") * open_ns - rail.mw("IDD2N") * close_ns
            for rail in self.rails
            if rail.IDD0 is not None
        )
        return pj / 1e3

    @property
    def column_pj_per_bit(self) -> float:
        """The part of a read burst up to the bank edge, pJ per bit; a write burst takes the same way."""
        return self.in_bank.fraction * self.burst_pj_per_bit("IDD4R")

    def burst_pj_per_bit(self, operation: Literal["IDD4R", "IDD4W"]) -> float:
        """A burst beyond standby with a row open, pJ per bit: mW over Gbit/s."""
        gbit_per_s = self.data_pins.n * self.data_rate.mbps / 1e3
        return self._beyond_mw(operation, "IDD3N") / gbit_per_s

    def _beyond_mw(self, operation: Operation, standby: str) -> float:
        rails = (rail for rail in self.rails if getattr(rail, operation) is not None)
        return sum(rail.mw(operation) - rail.mw(standby) for rail in rails)

    def constants(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The constants of a memory that follow, by name, each with how."""
        row_bits = 8 * self.row_bytes.n
        read, write, column = self.burst_pj_per_bit("IDD4R"), self.burst_pj_per_bit("IDD4W"), self.column_pj_per_bit
        idle, active, down = (sum(rail.mw(name) for rail in self.rails) for name in ("IDD2N", "IDD3N", "IDD2P"))
        activate = self.activate_nj * 1e3 / row_bits
        found: dict[str, tuple[float, str, str]] = {
            "activate": (activate, "pJ/b", "V x (IDD0 x tRC - IDD3N x tRAS - IDD2N x tRP), over a row"),
            "column": (column, "pJ/b", "in_bank x read burst"),
            "io": (read - column, "pJ/b", "read burst, V x (IDD4R - IDD3N) over data_pins x data_rate, less column"),
            "write_io": (write - column, "pJ/b", "write burst, V x (IDD4W - IDD3N) likewise, less column"),
            "refresh_power": (self._beyond_mw("IDD5", "IDD2N"), "mW", "V x (IDD5 - IDD2N)"),
            "idle_power": (idle, "mW", "V x IDD2N"),
            "active_power": (active, "mW", "V x IDD3N"),
            "power_down": (down, "mW", "V x IDD2P"),
        }
        for name, (value, unit, how) in found.items():
            yield name, {"value": f"{value!r} {unit}", "source": f"from the currents, over all supplies: {how}"}
