"""A kind of device of your own: CPU cores with a last-level cache. Run it: python examples/custom_device.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from lpspec import compare
from lpspec.devices.cost import Activity, Cost, Real, macs_at, off_chip_read
from lpspec.devices.device import Identity
from lpspec.devices.memory_timing import timing_of
from lpspec.llm.operators import Attention, Gemm, PlainOperator, StateUpdate
from lpspec.machine.device_kinds import DEVICES
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Count, Described, Frequency, Size


class CpuSpec(Described):
    """What the table [cpu] of a platform file says."""

    RANGES: ClassVar = {"cores": (1, 1024), "clock": (0.1, 10), "macs_per_cycle": (1, 65_536), "cache": (2**16, 2**32)}

    cores: Count = Field(description="cores that share the work of an operator")
    clock: Frequency = Field(description="clock of the cores")
    macs_per_cycle: Count = Field(description="INT8 multiply-accumulates of a core and cycle")
    cache: Size = Field(description="last-level cache; activations beyond it pass through memory")


class Cpu:
    """Costs of operators on the cores, which compute and read at once: an operator takes the longer of the two."""

    Spec = CpuSpec
    stands_alone = True

    def __init__(self, spec: CpuSpec, bus_gb_per_s: float) -> None:
        """Take the data of one platform."""
        self.spec, self.bus_gb_per_s = spec, bus_gb_per_s
        self.gmac_per_s = spec.cores.n * spec.clock.ghz * spec.macs_per_cycle.n

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The cores of a platform whose file has [cpu] and [memory]."""
        assert platform.memory is not None
        return cls(platform.device(CpuSpec), timing_of(platform.memory).bus_gb_per_s)

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of an operator: weights, keys and values are read once, operands from registers."""
        work: tuple[Real, int, Real, Real]  # MACs, bits, bytes read, bytes written
        if isinstance(op, Gemm):
            spilled = np.maximum(op.input_bytes - op.count * self.spec.cache.bytes, 0)
            work = op.macs, op.weight_bits, op.weight_bytes + spilled, 0
        elif isinstance(op, Attention):
            work = op.macs, op.kv_bits, op.kv_read_bytes, op.kv_write_bytes
        elif isinstance(op, StateUpdate):
            work = op.macs, 8, op.stored_bytes, op.stored_bytes
        else:
            work = op.vector_ops / 2, 8, op.memory_bytes, 0
        macs, bits, read_bytes, write_bytes = work
        rate = self.gmac_per_s * min(1.0, 8 / bits)
        latency_ns = np.maximum(macs / rate, (read_bytes + write_bytes) / self.bus_gb_per_s)
        beside = Activity(register_bits=macs * (3.0 * bits), activation_memory_bits=write_bytes * 8.0)
        return Cost(latency_ns, off_chip_read(read_bytes) + macs_at(macs * 1.0, bits) + beside)

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """It has no command level."""

    def describe(self) -> Iterator[Identity]:
        """Its peak throughput."""
        yield Identity("cpu_matrix", self.gmac_per_s * 2 / 1e3, "TOPS", "INT8, all cores")


DEVICES["cpu"] = Cpu

if __name__ == "__main__":
    for run in compare(systems=["npu-spec", str(Path(__file__).with_suffix(".toml"))], new_tokens=64).runs:
        print(f"{run.system.name:10} {run.fidelity:8} {run.tokens_per_s:6.2f} token/s, {run.tokens_per_j:5.2f} token/J")
