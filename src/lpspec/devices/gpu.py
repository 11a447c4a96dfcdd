"""A GPU as a roofline: the longer of arithmetic at peak rate and memory traffic at sustained bandwidth."""

import numpy as np

from lpspec.devices.cost import Activity, Cost, Real, macs_at, off_chip_read
from lpspec.hardware.platform_spec import GpuSpec
from lpspec.llm.operators import Attention, Elementwise, Gemm, Operator


class Gpu:
    """Costs of operators on a GPU. Kernel launches are not counted, which favours the GPU."""

    def __init__(self, gpu: GpuSpec) -> None:
        """Take the data of one platform."""
        self.spec = gpu

    def price(self, op: Operator) -> Cost:
        """Cost of all copies of an operator."""
        if isinstance(op, Gemm):
            bits = max(op.weight_bits, op.activation_bits)
            activations = op.input_bytes + op.output_bytes
            return self._roofline(op.macs, bits, op.weight_bytes, activations)
        if isinstance(op, Attention):
            bits = max(op.kv_bits, op.activation_bits)
            cost = self._roofline(op.macs, bits, op.kv_read_bytes, 2 * op.query_bytes + 2 * op.score_bytes)
            return cost + self.kv_write(op)
        return self._elementwise(op)

    def kv_write(self, op: Attention) -> Cost:
        """Cost of writing the new tokens' keys and values to memory."""
        return Cost(
            op.kv_write_bytes / self.spec.sustained_gb_per_s,
            Activity(activation_memory_bits=op.kv_write_bytes * 8.0),
        )

    def _roofline(self, macs: Real, bits: int, read_bytes: Real, on_chip_bytes: Real) -> Cost:
        peak_tops = self.spec.matrix_int8.tops if bits <= 8 else self.spec.matrix_fp16.tops
        latency_ns = np.maximum(macs * 2 / (peak_tops * 1e3), read_bytes / self.spec.sustained_gb_per_s)
        activity = off_chip_read(read_bytes) + macs_at(macs, bits)
        return Cost(latency_ns, activity + Activity(activation_buffer_bits=on_chip_bytes * 8.0))

    def _elementwise(self, op: Elementwise) -> Cost:
        compute_ns = op.vector_ops / (self.spec.vector_fp16.tops * 1e3)
        memory_ns = op.memory_bytes / self.spec.sustained_gb_per_s
        activity = off_chip_read(op.memory_bytes) + Activity(macs_fp16=op.vector_ops / 2)
        return Cost(np.maximum(compute_ns, memory_ns), activity)
