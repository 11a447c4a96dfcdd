"""What one kind of memory costs: its bits, its refreshes, and its waiting."""

from typing import Any, ClassVar

from pydantic import Field, ValidationError, model_validator

from lpspec.machine.currents import Currents
from lpspec.machine.quantity import Described, EnergyPerBit, Power

TRANSFER_SHARE = 0.15
"""Energy of moving a bit from die to die over that of reading it off the chip (LP-Spec: 15 % [P])."""


class MemoryPrices(Described):
    """Energies of one kind of memory, given one by one or by the currents of a data sheet."""

    RANGES: ClassVar = {
        **dict.fromkeys(("activate", "column", "io", "write_io"), (0, 1e3)),
        **dict.fromkeys(("refresh_power", "idle_power", "active_power", "power_down"), (0, 100)),
    }

    technology: str = Field(default="not named", description="what kind of memory it is")
    activate: EnergyPerBit = Field(description="activate and precharge, per bit of the row opened")
    column: EnergyPerBit = Field(description="column access between sense amplifiers and bank edge")
    io: EnergyPerBit = Field(description="from the bank edge off the chip: data path, interface, pins")
    write_io: EnergyPerBit | None = Field(default=None, description="the way back of a bit written; as io if left out")
    refresh_power: Power | None = Field(default=None, description="a die in refresh, beyond idle_power, for tRFCab")
    idle_power: Power | None = Field(default=None, description="a die with all banks closed, waiting")
    power_down: Power | None = Field(default=None, description="a die with all banks closed, in power-down")
    active_power: Power | None = Field(default=None, description="a die with a row open, waiting")
    currents: Currents | None = Field(default=None, description="supply currents of the die's data sheet")

    @model_validator(mode="before")
    @classmethod
    def _from_currents(cls, data: Any) -> Any:
        """Derive what a description with currents does not give itself."""
        if not isinstance(data, dict) or "currents" not in data:
            return data
        try:
            given = Currents.model_validate(data["currents"])
        except ValidationError:  # the field says it again, with its place; this keeps it from saying what is missing
            nothing = {"value": "0 pJ/b", "source": "currents that are wrong"}
            return dict.fromkeys(("activate", "column", "io"), nothing) | data
        return dict(given.constants()) | data

    @property
    def in_bank_pj_per_bit(self) -> float:
        """A whole row sensed and read to the bank edge, pJ per bit."""
        return self.activate.pj_per_bit + self.column.pj_per_bit

    @property
    def off_chip_pj_per_bit(self) -> float:
        """A whole row read off the chip, pJ per bit."""
        return self.in_bank_pj_per_bit + self.io.pj_per_bit

    @property
    def write_io_pj_per_bit(self) -> float:
        """A bit from outside the chip to the bank edge, pJ."""
        return (self.io if self.write_io is None else self.write_io).pj_per_bit

    @property
    def written_pj_per_bit(self) -> float:
        """A whole row written from outside the chip, pJ per bit."""
        return self.in_bank_pj_per_bit + self.write_io_pj_per_bit

    @property
    def transfer_pj_per_bit(self) -> float:
        """The way from one die to another of the same package, pJ per bit."""
        return TRANSFER_SHARE * self.off_chip_pj_per_bit

    @property
    def moved_pj_per_bit(self) -> float:
        """A whole row read from one die, moved and written to another of the same package, pJ per bit."""
        return 2 * self.in_bank_pj_per_bit + self.transfer_pj_per_bit
