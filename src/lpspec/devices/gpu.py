"""A GPU as a roofline: the longer of arithmetic at peak rate and memory traffic at sustained bandwidth.

On the chip the rule is the NPU's: every pass through a memory is a write and a read, and operands are read again for
each tile. Tiles are the AttAcc simulator's: a thread block computes 128 x 128 outputs from its L1, in tiles of 16 x 16
whose sums stay in registers; a MAC takes three operands from registers.
"""

from collections.abc import Iterator
from typing import Self

import numpy as np

from lpspec.devices.cost import Activity, Cost, Real, macs_at, off_chip_read
from lpspec.devices.device import Identity
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.operators import Attention, Gemm, PlainOperator, StateUpdate
from lpspec.machine.platform_spec import GpuSpec, PlatformSpec

BLOCK_OUTPUTS = 128
"""Side of the outputs that a thread block computes; the AttAcc simulator picks sides from 8 to 512 for each product."""
TILE_OUTPUTS = 16
"""Side of the outputs whose sums are in registers at a time (AttAcc simulator, ``reg_tm`` and ``reg_tn``)."""
MAC_OPERANDS = 3
"""Register accesses of a MAC (AttAcc simulator)."""


class Gpu:
    """Costs of operators on a GPU; the gap before each kernel is what its file says, none on most."""

    Spec = GpuSpec
    stands_alone = True

    def __init__(self, gpu: GpuSpec) -> None:
        """Take the data of one platform."""
        self.spec = gpu

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The GPU of a platform that has one."""
        return cls(platform.device(GpuSpec))

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of an operator, each a kernel of its own."""
        cost = self._work(op)
        return cost if self.spec.launch.ns == 0.0 else cost + Cost(op.count * self.spec.launch.ns)

    def _work(self, op: PlainOperator) -> Cost:
        """The same without gaps between kernels."""
        if isinstance(op, Gemm):
            bits = max(op.weight_bits, op.activation_bits)
            on_chip = _on_chip(op.tokens, op.k, op.n, op.weight_bits, op.activation_bits) * float(op.count)
            return self._roofline(op.macs, bits, op.weight_bytes, on_chip)
        if isinstance(op, Attention):
            bits = max(op.kv_bits, op.activation_bits)
            queries = op.tokens * (op.heads // op.kv_heads)
            scores = _on_chip(queries, op.head_dim, op.keys, op.kv_bits, op.activation_bits)
            values = _on_chip(queries, op.keys, op.value_width, op.kv_bits, op.activation_bits)
            seen = op.pairs / (op.tokens * op.keys)
            on_chip = (scores + values) * (op.count * op.kv_heads * seen)
            return self._roofline(op.macs, bits, op.kv_read_bytes, on_chip) + self.kv_write(op)
        if isinstance(op, StateUpdate):
            return self._vector_work(2 * op.macs, op.stored_bytes) + self._written(op.stored_bytes)
        return self._vector_work(op.vector_ops, op.memory_bytes)

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """It has no command level."""

    def describe(self) -> Iterator[Identity]:
        """Its bandwidth."""
        yield Identity("off_chip_peak", self.spec.bandwidth.gb_per_s, "GB/s", "GPU memory")
        yield Identity("off_chip_sustained", self.spec.sustained_gb_per_s, "GB/s", "GPU memory, at bus efficiency")

    def kv_write(self, op: Attention) -> Cost:
        """Cost of writing the new tokens' keys and values to memory."""
        return self._written(op.kv_write_bytes)

    def _written(self, write_bytes: Real) -> Cost:
        return Cost(write_bytes / self.spec.sustained_gb_per_s, Activity(activation_memory_bits=write_bytes * 8.0))

    def _roofline(self, macs: Real, bits: int, read_bytes: Real, on_chip: Activity) -> Cost:
        peak_tops = self.spec.matrix_int8.tops if bits <= 8 else self.spec.matrix_fp16.tops
        latency_ns = np.maximum(macs * 2 / (peak_tops * 1e3), read_bytes / self.spec.sustained_gb_per_s)
        registers = Activity(register_bits=macs * float(MAC_OPERANDS * bits))
        return Cost(latency_ns, off_chip_read(read_bytes) + on_chip + macs_at(macs, bits) + registers)

    def _vector_work(self, operations: Real, read_bytes: Real) -> Cost:
        compute_ns = operations / (self.spec.vector_fp16.tops * 1e3)
        memory_ns = read_bytes / self.spec.sustained_gb_per_s
        activity = off_chip_read(read_bytes) + Activity(macs_fp16=operations / 2)
        return Cost(np.maximum(compute_ns, memory_ns), activity)


def _on_chip(tokens: Count, k: Count, n: Count, weight_bits: int, activation_bits: int) -> Activity:
    """Accesses of L2 and L1 for a (tokens, k) x (k, n) product beyond the pass of its weights that goes with a read."""
    weights, inputs = k * n * float(weight_bits), tokens * k * float(activation_bits)
    outputs = tokens * n * float(activation_bits)
    weight_fetches, input_fetches = ceil_div(tokens, BLOCK_OUTPUTS), ceil_div(n, BLOCK_OUTPUTS)
    fetched = weights * (weight_fetches - 1) + inputs * input_fetches
    read = weights * (ceil_div(tokens, TILE_OUTPUTS) - 1) + inputs * ceil_div(n, TILE_OUTPUTS)
    return Activity(scratchpad_bits=fetched + outputs, local_buffer_bits=fetched + read)
