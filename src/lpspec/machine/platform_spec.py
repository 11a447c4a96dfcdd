"""A machine as frozen, validated data: the NPU, the LPDDR package, its PIM dies, or a GPU with HBM-PIM.

Field names follow LP-Spec Table II and JESD209-5. Sizes count bytes, bandwidths 10^9 bytes per second.
"""

from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from lpspec.errors import InputError, shown
from lpspec.machine.address_fields import ALLOWED, address_parts
from lpspec.machine.clock import exact_mbps
from lpspec.machine.controller_spec import ControllerSpec
from lpspec.machine.die import DieSpec, LpddrDies
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.memory_prices import MemoryPrices
from lpspec.machine.pim_die import PimDie, check_mpus, pim_in_ns
from lpspec.machine.quantity import (
    Bandwidth,
    Count,
    CountOrZero,
    Described,
    Duration,
    Frequency,
    Power,
    Share,
    Size,
    Throughput,
)

_Spec = TypeVar("_Spec", bound=Described)


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
        "wide_turns": (0, 16),
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
    wide_turns: CountOrZero = Field(
        default=CountOrZero(value=0, source="INT8 arrays, as LP-Spec Table II has them"),
        description="turns of the arrays that 16-bit activations take; 0 where arrays take none",
    )

    @property
    def matrix_tops(self) -> float:
        """Peak INT8 matrix throughput, 10^12 operations per second."""
        return self.cores.n * self.array_rows.n * self.array_columns.n * 2 * self.clock.ghz / 1e3

    @property
    def vector_tops(self) -> float:
        """Peak vector throughput, 10^12 operations per second."""
        return self.cores.n * self.vector_lanes.n * 2 * self.clock.ghz / 1e3


class MemorySpec(LpddrDies):
    """An LPDDR package: channels, and ranks of dies that are plain DRAM or compute; all are the one die that it names.

    Organisation and timings are the die's, but for what the platform gives otherwise.
    """

    RANGES: ClassVar = {
        **LpddrDies.RANGES,
        "channels": (1, 128),
        "bus_efficiency": (0.01, 1),
        "dram_ranks": (0, 64),
        "pim_ranks": (0, 64),
        "command_buses": (1, 2),
    }

    die: str = Field(min_length=1, description="the die of every rank: a shipped one, or a TOML file")
    channels: Count = Field(description="independent channels; each rank has one die on every channel")
    bus_efficiency: Share = Field(description="sustained share of the peak bandwidth off chip")
    dram_ranks: Count = Field(description="ranks of plain DRAM, readable while PIM ranks compute; one at least")
    pim_ranks: CountOrZero = Field(description="ranks whose dies compute")
    idle_dies: Literal["standby", "power-down"] = Field(
        default="standby", description="what a die with all rows closed waits in; it leaves power-down for each refresh"
    )

    command_buses: Count = Field(
        default=Count(value=1, source="one command bus to all ranks of a channel, as plain LPDDR has it"),
        description="command buses of a channel: with 2, PIM ranks have one of their own",
    )
    controller: ControllerSpec = Field(
        default_factory=ControllerSpec, description="policies of each channel's controller"
    )

    @model_validator(mode="after")
    def _maps_addresses(self) -> Self:
        text = self.controller.address_mapping
        sizes = {"ch": self.channels.n, "ra": self.dram_ranks.n, **self.organisation.address_sizes}
        try:
            address_parts(text, sizes)
        except ValueError as error:
            raise ValueError(f"controller.address_mapping {shown(text, 30)}: {error}: {ALLOWED}") from error
        return self

    def die_with(self, pim: PimDie | None) -> DieSpec:
        """The die as the package runs it, with a compute side or without."""
        return DieSpec(
            name=self.die,
            summary=f"the die of a package of {self.channels.n} channels",
            standard=self.standard,
            mode=self.mode,
            data_rate=self.data_rate,
            organisation=self.organisation,
            timing=self.timing,
            pim=None if pim is None else PimDie(**{name: getattr(pim, name) for name in PimDie.model_fields}),
        )

    @property
    def dies_per_rank(self) -> int:
        """Dies that make up one rank: one on each channel."""
        return self.channels.n

    @property
    def peak_gb_per_s(self) -> float:
        """Peak bandwidth of all channels off chip, GB/s; metadata do not count."""
        raw = self.channels.n * self.organisation.data_pins.n / 8 * exact_mbps(self.data_rate.mbps) / 1e3
        return raw * self.organisation.payload_share

    @property
    def sustained_gb_per_s(self) -> float:
        """Sustained bandwidth of all channels off chip, GB/s."""
        return self.peak_gb_per_s * self.bus_efficiency.fraction

    @property
    def dram_capacity_bytes(self) -> int:
        """Capacity of the plain DRAM ranks, bytes."""
        return self.dram_ranks.n * self.dies_per_rank * self.organisation.die_bytes

    @property
    def pim_capacity_bytes(self) -> int:
        """Capacity of the PIM ranks, bytes."""
        return self.pim_ranks.n * self.dies_per_rank * self.organisation.die_bytes

    @property
    def capacity_bytes(self) -> int:
        """Capacity of the package, bytes."""
        return self.dram_capacity_bytes + self.pim_capacity_bytes


class PimSpec(PimDie):
    """The compute side of the package's PIM dies, and how many ranks of them compute at once."""

    RANGES: ClassVar = {**PimDie.RANGES, "concurrent_ranks": (1, 64)}

    concurrent_ranks: Count = Field(description="PIM ranks that may compute at once (power budget)")
    product_split: Literal["columns", "columns-and-k"] = Field(
        default="columns",
        description="how PIM ranks share a product: by outputs, or by inputs too where outputs fill no tile",
    )
    attention_split: Literal["heads", "positions"] = Field(
        default="heads",
        description="what of attention goes to PIM: whole heads, or where that is better some positions of all",
    )
    scores_order: Literal["together", "in-turn"] = Field(
        default="together",
        description="how PIM ranks compute QK^T: all together, or in turn where that is better, so that some read back "
        "while others compute",
    )


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
        "launch": (0, 1e6),
    }

    matrix_fp16: Throughput = Field(description="dense FP16 matrix throughput")
    matrix_int8: Throughput = Field(description="dense INT8 matrix throughput")
    vector_fp16: Throughput = Field(description="FP16 throughput outside the matrix units")
    bandwidth: Bandwidth = Field(description="peak memory bandwidth")
    bus_efficiency: Share = Field(description="sustained share of the peak bandwidth")
    memory: Size = Field(description="memory capacity")
    board_power: Power = Field(description="power of the whole board under load")
    launch: Duration = Field(
        default=Duration.model_validate({"value": "0 ns", "source": "not counted, which favours the GPU"}),
        description="time between two kernels, of which each copy of an operator is one",
    )

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
    command_level: Literal["devices", "none"] = Field(
        default="devices",
        description="where devices have commands these are timed; none where they are not written for the die",
    )
    draft_cache: Literal["in-place", "scratchpad", "scratchpad-blocks"] = Field(
        default="in-place", description="where keys and values of a tree lie until it is known what is accepted"
    )
    step_order: Literal["sequential", "pipelined"] = Field(
        default="sequential", description="whether a network drafts for the next step while this one is verified"
    )
    not_simulated: str | None = Field(
        default=None, description="what the real machine does that is not in its numbers; said with every comparison"
    )
    npu: NpuSpec | None = None
    memory: MemorySpec | None = None
    pim: PimSpec | None = None
    gpu: GpuSpec | None = None
    hbm_pim: HbmPimSpec | None = None
    memory_energy: MemoryPrices | None = None

    @model_validator(mode="before")
    @classmethod
    def _resolve_clocks(cls, data: Any) -> Any:
        """Turn times in CK into ns at the memory's data rate, which thus moves what is tied to it."""
        memory = data.get("memory") if isinstance(data, dict) else None
        return pim_in_ns(data, memory) if isinstance(memory, dict) else data

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
        if self.draft_cache != "in-place" and self.npu is None:
            raise ValueError(f'draft_cache = "{self.draft_cache}" needs an [npu], whose scratchpad it is')
        self._check_pim()
        return self

    def _check_pim(self) -> None:
        pim_ranks = self.memory.pim_ranks.n if self.memory else 0
        if (self.pim is None) != (pim_ranks == 0):
            raise ValueError("[pim] and memory.pim_ranks above 0 go together")
        if self.memory is not None and self.memory.command_buses.n > 1 and pim_ranks == 0:
            raise ValueError("memory.command_buses = 2 is for PIM ranks: there are none")
        if self.pim is None or self.memory is None:
            return
        if self.memory.column_bytes != self.memory.organisation.burst_bytes.n:
            raise ValueError("memory.mode.burst BL48 is for packages without PIM, whose columns and bursts are BL24")
        check_mpus(self.memory.organisation.banks, self.memory.column_bytes, self.pim)
        if self.pim.concurrent_ranks.n > pim_ranks:
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
    def die(self) -> DieSpec:
        """The die of every rank of the package, its compute side with it where the package has PIM.

        Raises:
            InputError: The machine has no LPDDR memory.
        """
        if self.memory is None:
            raise InputError(f"platform '{self.name}' has no LPDDR memory")
        return self.memory.die_with(self.pim)

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
        """A profile with this machine's own kind of memory.

        Raises:
            InputError: Dies shall wait in power-down, of which the profile says no price.
        """
        own = self.memory_energy
        priced = (
            profile if own is None else profile.model_copy(update={n: getattr(own, n) for n in type(own).model_fields})
        )
        if self.memory is not None and self.memory.idle_dies == "power-down" and priced.power_down is None:
            raise InputError(
                f"memory.idle_dies is power-down, and energy profile '{profile.name}' has no power_down: "
                "take one that has, such as micron-y52p"
            )
        return priced

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
