"""Silicon of an LPDDR package with PIM: its dies, and the units in them. Nobody publishes these areas: all are assumed.

They are meant to weigh ALUs, MPUs, registers and ranks against each other, not to tell what a package costs.
"""

from dataclasses import dataclass

from lpspec.machine.platform_spec import PlatformSpec


@dataclass(frozen=True, slots=True)
class Area:
    """An area that something takes, and where it comes from."""

    mm2: float
    source: str


DRAM_PER_GBIT = Area(5.0, "assumed, 3 to 7: a Gb of LPDDR5 with its share of the periphery, 1y to 1z nm")
INT8_MAC = Area(0.0076, "assumed, 0.004 to 0.015: an INT8 multiplier and adder in a DRAM process, three metal layers")
REGISTERS_PER_KIB = Area(0.05, "assumed, 0.02 to 0.1: input registers and accumulators as flip-flops in a DRAM process")
MPU_CONTROL = Area(0.05, "assumed, 0.02 to 0.15: decoder, sequencer and bank interface of an MPU")
CONSTANTS = {
    "a Gb of DRAM": DRAM_PER_GBIT,
    "an INT8 MAC": INT8_MAC,
    "a KiB of registers": REGISTERS_PER_KIB,
    "control of an MPU": MPU_CONTROL,
}
"""What areas are made of, by name."""


@dataclass(frozen=True, slots=True)
class PackageArea:
    """Silicon of a package, mm2.

    Attributes:
        dram: Cells and periphery of all dies.
        macs: ALUs of all MPUs.
        registers: Input registers, two sets of them, and accumulators.
        control: What an MPU has besides.
    """

    dram: float
    macs: float
    registers: float
    control: float

    @classmethod
    def of(cls, platform: PlatformSpec) -> "PackageArea | None":
        """Silicon of a machine's LPDDR package; None where it has none."""
        memory, pim = platform.memory, platform.pim
        if memory is None:
            return None
        dram = memory.capacity_bytes * 8 / 2**30 * DRAM_PER_GBIT.mm2
        if pim is None:
            return cls(dram, 0.0, 0.0, 0.0)
        mpus = memory.pim_ranks.n * memory.dies_per_rank * (memory.organisation.banks // pim.banks_per_mpu.n)
        inputs = 2 * pim.input_depth.n * pim.alus.n
        accumulators = pim.most_lanes * pim.alus.n * pim.accumulator_bits.n / 8
        return cls(
            dram=dram,
            macs=mpus * pim.lanes.n * pim.alus.n * INT8_MAC.mm2,
            registers=mpus * (inputs + accumulators) / 1024 * REGISTERS_PER_KIB.mm2,
            control=mpus * MPU_CONTROL.mm2,
        )

    @property
    def pim(self) -> float:
        """What PIM adds."""
        return self.macs + self.registers + self.control

    @property
    def total(self) -> float:
        """All of it."""
        return self.dram + self.pim
