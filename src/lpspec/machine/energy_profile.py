"""What one event costs in energy: a profile prices the activity that devices count."""

from typing import ClassVar

from pydantic import Field

from lpspec.machine.quantity import Described, EnergyPerBit, EnergyPerOperation, Power

TRANSFER_SHARE = 0.15
"""Energy of moving a bit from die to die over that of reading it off the chip (LP-Spec: 15 % [P])."""


class EnergyProfile(Described):
    """Energy constants of one published set, the same for every platform that it prices."""

    RANGES: ClassVar = {
        **dict.fromkeys(("activate", "column", "io"), (0, 1e3)),
        **dict.fromkeys(("scratchpad", "local_buffer", "core_register", "pim_register"), (0, 1e3)),
        **dict.fromkeys(("mac_int8", "mac_fp16"), (0, 1e3)),
        "refresh": (0, 1e7),
        **dict.fromkeys(("idle_power", "active_power"), (0, 100)),
    }

    name: str
    summary: str
    activate: EnergyPerBit = Field(description="activate and precharge, per bit of the row opened")
    column: EnergyPerBit = Field(description="column access between sense amplifiers and bank edge")
    io: EnergyPerBit = Field(description="from the bank edge off the chip: data path, interface, pins")
    mac_int8: EnergyPerOperation = Field(description="one INT8 multiply-accumulate")
    mac_fp16: EnergyPerOperation = Field(description="one FP16 multiply-accumulate")
    scratchpad: EnergyPerBit = Field(description="an access of on-chip shared memory (NPU scratchpad, GPU L2)")
    local_buffer: EnergyPerBit = Field(description="an access of a core's buffer (NPU local buffer, GPU L1)")
    core_register: EnergyPerBit = Field(description="an access of a core's registers (NPU partial sums, GPU operands)")
    pim_register: EnergyPerBit = Field(description="registers of a PIM unit, per bit of weight read")
    refresh: EnergyPerOperation | None = Field(default=None, description="one all-bank refresh of a die")
    idle_power: Power | None = Field(default=None, description="a die with all banks closed, waiting")
    active_power: Power | None = Field(default=None, description="a die with a row open, waiting")

    @property
    def in_bank_pj_per_bit(self) -> float:
        """A whole row sensed and read to the bank edge, pJ per bit."""
        return self.activate.pj_per_bit + self.column.pj_per_bit

    @property
    def off_chip_pj_per_bit(self) -> float:
        """A whole row read off the chip, pJ per bit."""
        return self.in_bank_pj_per_bit + self.io.pj_per_bit

    @property
    def moved_pj_per_bit(self) -> float:
        """A whole row read from one die, moved and written to another of the same package, pJ per bit."""
        return 2 * self.in_bank_pj_per_bit + TRANSFER_SHARE * self.off_chip_pj_per_bit
