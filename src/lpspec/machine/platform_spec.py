"""A machine as frozen, validated data: the NPU, the LPDDR package, its PIM dies, or a GPU with HBM-PIM.

Field names follow LP-Spec Table II and JESD209-5. Sizes count bytes, bandwidths 10^9 bytes per second.
"""

from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from lpspec.machine.clock import BITS_PER_CK, FASTEST_MBPS, SLOWEST_MBPS, in_ns, whole_ck
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.quantity import (
    Bandwidth,
    Count,
    CountOrZero,
    DataRate,
    Described,
    Duration,
    EnergyPerBit,
    Frequency,
    PositiveDuration,
    Power,
    Share,
    Size,
    Throughput,
)

_Spec = TypeVar("_Spec", bound=Described)

DIE_WIDTH_BITS = 16
"""Data pins of an LPDDR5 die (JESD209-5: x16)."""


class NpuSpec(Described):
    """A mobile neural processing unit: cores with one MAC array and vector lanes each."""

    RANGES: ClassVar = {
        "cores": (1, 1024),
        "array_rows": (1, 1024),
        "array_columns": (1, 1024),
        "vector_lanes": (1, 65_536),
        "clock": (0.01, 10),
        "local_buffer": (64, 2**30),
        "scratchpad": (64, 2**34),
        "accumulator_bits": (16, 64),
    }

    cores: Count = Field(description="cores that share the work of an operator")
    array_rows: Count = Field(description="rows of the MAC array of a core: weights of one output's k")
    array_columns: Count = Field(description="columns of the MAC array of a core: outputs")
    vector_lanes: Count = Field(description="vector lanes of a core; one lane does two operations a cycle")
    clock: Frequency = Field(description="clock of arrays and lanes")
    local_buffer: Size = Field(description="buffer of one core")
    scratchpad: Size = Field(description="memory shared by the cores; activations beyond it spill")
    dataflow: Literal["weight-stationary"] = Field(
        default="weight-stationary",
        description="weights stay in arrays; inputs are read per tile of outputs, sums written and read per tile of k",
    )
    partial_sums: Literal["local-buffer", "registers"] = Field(
        default="local-buffer", description="where a core keeps the sums of a tile of outputs between tiles of k"
    )
    accumulator_bits: Count = Field(
        default=Count(value=32, source="assumed, 24 to 32: INT8 products summed over k without overflow"),
        description="bits of one partial sum",
    )

    @property
    def matrix_tops(self) -> float:
        """Peak INT8 matrix throughput, 10^12 operations per second."""
        return self.cores.n * self.array_rows.n * self.array_columns.n * 2 * self.clock.ghz / 1e3

    @property
    def vector_tops(self) -> float:
        """Peak vector throughput, 10^12 operations per second."""
        return self.cores.n * self.vector_lanes.n * 2 * self.clock.ghz / 1e3


class MemorySpec(Described):
    """An LPDDR package: channels, and ranks of dies that are plain DRAM or compute."""

    RANGES: ClassVar = {
        "channels": (1, 128),
        "channel_width_bits": (4, 1024),
        "data_rate": (SLOWEST_MBPS, FASTEST_MBPS),
        "bus_efficiency": (0.01, 1),
        "dram_ranks": (0, 64),
        "pim_ranks": (0, 64),
        "die_capacity": (2**10, 2**40),
    }

    channels: Count = Field(description="independent channels; each rank has one die on every channel")
    channel_width_bits: Count = Field(description="data pins of a channel; a die is x16 and fills one")
    data_rate: DataRate = Field(description="bits per second and pin")
    bus_efficiency: Share = Field(description="sustained share of the peak bandwidth off chip")
    dram_ranks: Count = Field(description="ranks of plain DRAM, readable while PIM ranks compute; one at least")
    pim_ranks: CountOrZero = Field(description="ranks whose dies compute")
    die_capacity: Size = Field(description="capacity of a die")

    @model_validator(mode="after")
    def _one_die_per_channel(self) -> Self:
        if self.channel_width_bits.n != DIE_WIDTH_BITS:
            raise ValueError(
                f"channel_width_bits is {self.channel_width_bits.n}: allowed is {DIE_WIDTH_BITS}, "
                "the width of an LPDDR5 die; a wider bus is more channels"
            )
        return self

    @property
    def ck_ns(self) -> float:
        """Period of the command clock, ns: WCK runs four times as fast and moves two bits a pin and cycle."""
        return BITS_PER_CK / self.data_rate.mbps * 1e3

    def in_ck(self, duration: Duration) -> int:
        """The whole CK that commands keep between them for a time."""
        return whole_ck(duration.ns, self.ck_ns)

    @property
    def dies_per_rank(self) -> int:
        """Dies that make up one rank: one on each channel."""
        return self.channels.n

    @property
    def peak_gb_per_s(self) -> float:
        """Peak bandwidth of all channels off chip, GB/s."""
        return self.channels.n * self.channel_width_bits.n / 8 * self.data_rate.mbps / 1e3

    @property
    def sustained_gb_per_s(self) -> float:
        """Sustained bandwidth of all channels off chip, GB/s."""
        return self.peak_gb_per_s * self.bus_efficiency.fraction

    @property
    def dram_capacity_bytes(self) -> int:
        """Capacity of the plain DRAM ranks, bytes."""
        return self.dram_ranks.n * self.dies_per_rank * self.die_capacity.bytes

    @property
    def pim_capacity_bytes(self) -> int:
        """Capacity of the PIM ranks, bytes."""
        return self.pim_ranks.n * self.dies_per_rank * self.die_capacity.bytes

    @property
    def capacity_bytes(self) -> int:
        """Capacity of the package, bytes."""
        return self.dram_capacity_bytes + self.pim_capacity_bytes


class PimSpec(Described):
    """A compute die of the package: matrix processing units (MPUs) beside its banks."""

    RANGES: ClassVar = {
        "banks": (1, 256),
        "banks_per_mpu": (1, 256),
        "lanes": (1, 4096),
        "alus": (1, 1024),
        "mac_interval": (0.1, 1000),
        "column_bytes": (1, 4096),
        "row_bytes": (1, 2**20),
        "accumulator_bits": (16, 64),
        "concurrent_ranks": (1, 64),
        "mode_switch": (0, 1e6),
    }

    banks: Count = Field(description="banks of a die")
    banks_per_mpu: Count = Field(description="banks that share one MPU; one streams while the other opens a row")
    lanes: Count = Field(description="weights an MPU takes per column read: outputs of the tile it holds")
    alus: Count = Field(description="lane-wide ALUs of an MPU (N_ALU): tokens that one weight read serves")
    mac_interval: PositiveDuration = Field(description="one all-bank MAC command to the next; in ns, or in CK")
    column_bytes: Count = Field(description="bytes of one column read")
    row_bytes: Count = Field(description="bytes of one row (page)")
    accumulator_bits: Count = Field(description="bits of one accumulator, read back over the bus")
    concurrent_ranks: Count = Field(description="PIM ranks that may compute at once (power budget)")
    mode_switch: Duration = Field(description="one switch between single-bank and all-bank PIM mode")

    @model_validator(mode="after")
    def _whole_mpus(self) -> Self:
        if self.banks.n % self.banks_per_mpu.n:
            raise ValueError(f"banks ({self.banks.n}) must be a multiple of banks_per_mpu ({self.banks_per_mpu.n})")
        if self.row_bytes.n % self.column_bytes.n:
            raise ValueError("row_bytes must be a multiple of column_bytes")
        if self.column_bytes.n != self.lanes.n:
            raise ValueError("column_bytes must equal lanes: a lane takes one INT8 weight per column read")
        return self

    @property
    def mpus(self) -> int:
        """MPUs of a die."""
        return self.banks.n // self.banks_per_mpu.n

    @property
    def die_gops(self) -> float:
        """Peak INT8 throughput of a die, 10^9 operations per second."""
        return self.mpus * self.lanes.n * self.alus.n * 2 / self.mac_interval.ns

    @property
    def die_gb_per_s(self) -> float:
        """Bandwidth from the banks of a die into its MPUs, GB/s."""
        return self.mpus * self.column_bytes.n / self.mac_interval.ns


class GpuSpec(Described):
    """A graphics processor: peak rates and one memory."""

    RANGES: ClassVar = {
        "matrix_fp16": (0.01, 1e6),
        "matrix_int8": (0.01, 1e6),
        "vector_fp16": (0.01, 1e6),
        "bandwidth": (0.1, 1e6),
        "bus_efficiency": (0.01, 1),
        "memory": (2**20, 2**50),
        "board_power": (0, 1e5),
    }

    matrix_fp16: Throughput = Field(description="dense FP16 matrix throughput")
    matrix_int8: Throughput = Field(description="dense INT8 matrix throughput")
    vector_fp16: Throughput = Field(description="FP16 throughput outside the matrix units")
    bandwidth: Bandwidth = Field(description="peak memory bandwidth")
    bus_efficiency: Share = Field(description="sustained share of the peak bandwidth")
    memory: Size = Field(description="memory capacity")
    board_power: Power = Field(description="power of the whole board under load")

    @property
    def sustained_gb_per_s(self) -> float:
        """Sustained memory bandwidth, GB/s."""
        return self.bandwidth.gb_per_s * self.bus_efficiency.fraction


class HbmPimSpec(Described):
    """HBM stacks with one GEMV unit at every bank, doing attention for a GPU (AttAcc)."""

    RANGES: ClassVar = {
        "internal_bandwidth": (0.1, 1e7),
    }

    internal_bandwidth: Bandwidth = Field(description="bandwidth from all banks into their GEMV units")


class MemoryEnergySpec(Described):
    """What a bit costs in a machine's own kind of memory, where that is not the kind of the energy profile."""

    RANGES: ClassVar = dict.fromkeys(("activate", "column", "io"), (0, 1e3))

    activate: EnergyPerBit = Field(description="activate and precharge, per bit of the row opened")
    column: EnergyPerBit = Field(description="column access between sense amplifiers and bank edge")
    io: EnergyPerBit = Field(description="from the bank edge off the chip: data path, interface, pins")


class PlatformSpec(Described):
    """One machine: an NPU with an LPDDR package, a GPU with or without HBM-PIM, or other devices beside these parts.

    Attributes:
        DEVICES: Tables of devices that a file may have.
    """

    DEVICES: ClassVar[tuple[str, ...]] = ("npu", "pim", "gpu", "hbm_pim")

    RANGES: ClassVar = {
        "static_power": (0, 1e4),
        "rest_of_soc_power": (0, 1e3),
    }

    name: str
    summary: str
    allocator: str = Field(description="policy that splits operators over devices, by name")
    static_power: Power = Field(description="power drawn whatever runs; counted only when asked for")
    energy_basis: Literal["model", "board-power"] = Field(
        default="model", description="what energy counts: memory and MACs by the profile, or board or SoC power"
    )
    rest_of_soc_power: Power | None = Field(
        default=None, description="what a phone draws while decoding beside memory and MACs; part of its SoC power"
    )
    npu: NpuSpec | None = None
    memory: MemorySpec | None = None
    pim: PimSpec | None = None
    gpu: GpuSpec | None = None
    hbm_pim: HbmPimSpec | None = None
    memory_energy: MemoryEnergySpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _resolve_clocks(cls, data: Any) -> Any:
        """Turn times in CK into ns at the memory's data rate, which thus moves what is tied to it."""
        if not isinstance(data, dict) or not isinstance(data.get("pim"), dict):
            return data
        memory = data.get("memory")
        rate = memory.get("data_rate") if isinstance(memory, dict) else None
        return {**data, "pim": {key: in_ns(constant, rate) for key, constant in data["pim"].items()}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        added = not set(self.device_tables) <= set(PlatformSpec.DEVICES)
        shipped = (self.npu is not None) + (self.gpu is not None)
        if shipped > 1 or (shipped == 0 and not added):
            raise ValueError("a platform has either [npu] with [memory], or [gpu]")
        if (self.npu is None) != (self.memory is None) and not (added and self.npu is None):
            raise ValueError("[npu] and [memory] go together")
        if self.memory is None and not self._own_memories:
            raise ValueError("a platform needs [memory], or a device with a memory of its own")
        if self.hbm_pim is not None and self.gpu is None:
            raise ValueError("[hbm_pim] needs a [gpu]")
        if self.energy_basis == "board-power" and not self.knows_board_power:
            raise ValueError('energy_basis = "board-power" needs a [gpu] or rest_of_soc_power')
        if self.rest_of_soc_power is not None and self.board_power is not None:
            raise ValueError("rest_of_soc_power is a phone's: a [gpu] has board_power")
        self._check_pim()
        return self

    def _check_pim(self) -> None:
        pim_ranks = self.memory.pim_ranks.n if self.memory else 0
        if (self.pim is None) != (pim_ranks == 0):
            raise ValueError("[pim] and memory.pim_ranks above 0 go together")
        if self.pim is not None and self.pim.concurrent_ranks.n > pim_ranks:
            raise ValueError(
                f"pim.concurrent_ranks ({self.pim.concurrent_ranks.n}) exceeds memory.pim_ranks ({pim_ranks})"
            )

    @property
    def device_tables(self) -> tuple[str, ...]:
        """Names of the devices that it has."""
        return tuple(name for name in self.DEVICES if getattr(self, name) is not None)

    def device(self, spec: type[_Spec]) -> _Spec:
        """What the file says of a device that it has, by the schema of its table."""
        return next(part for part in self._devices if isinstance(part, spec))

    @property
    def board_power(self) -> Power | None:
        """Power of the whole board under load, of a device that says so, as GPUs do."""
        return next((part.board_power for part in self._devices if hasattr(part, "board_power")), None)

    @property
    def knows_board_power(self) -> bool:
        """Whether the power of the whole board or SoC can be told."""
        return self.board_power is not None or self.rest_of_soc_power is not None

    @property
    def uncounted_watts(self) -> float:
        """Power beside what events count, as far as this machine's energy basis has it."""
        rest = self.rest_of_soc_power if self.energy_basis == "board-power" else None
        return self.static_power.watts + (0.0 if rest is None else rest.watts)

    def priced_by(self, profile: EnergyProfile) -> EnergyProfile:
        """A profile with this machine's own kind of memory."""
        own = self.memory_energy
        if own is None:
            return profile
        return profile.model_copy(update={"activate": own.activate, "column": own.column, "io": own.io})

    @property
    def capacity_bytes(self) -> int:
        """Memory that can hold weights and KV cache, bytes."""
        return self._own_memories[0] if self.memory is None else self.memory.capacity_bytes

    @property
    def _devices(self) -> list[Described]:
        return [getattr(self, name) for name in self.device_tables]

    @property
    def _own_memories(self) -> list[int]:
        """Bytes of the memories that devices have themselves."""
        return [part.memory.bytes for part in self._devices if hasattr(part, "memory")]
