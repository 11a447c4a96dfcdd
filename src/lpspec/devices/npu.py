"""The mobile NPU: weight-stationary MAC arrays fed from LPDDR over a shared bus (LP-Spec Table II)."""

import numpy as np

from lpspec.devices.cost import Activity, Cost, Real, macs_at, off_chip_read
from lpspec.errors import InputError
from lpspec.hardware.platform_spec import MemorySpec, NpuSpec
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.operators import Attention, Elementwise, Gemm, Operator

ARRAY_BITS = 8
"""Width of the operands of a MAC array (LP-Spec Table II: INT8)."""


class Npu:
    """Costs of operators on the NPU alone.

    Arithmetic and memory traffic overlap (double buffering), so an operator takes the longer of the two.
    """

    def __init__(self, npu: NpuSpec, memory: MemorySpec) -> None:
        """Take the data of one platform."""
        self.spec = npu
        self.bus_gb_per_s = memory.sustained_gb_per_s

    def price(self, op: Operator) -> Cost:
        """Cost of all copies of an operator."""
        if isinstance(op, Gemm):
            return self._gemm(op)
        if isinstance(op, Attention):
            return self._attention(op)
        return self._elementwise(op)

    def gemm_compute_ns(self, tokens: Count, k: Count, n: Count) -> Real:
        """Time of the MAC arrays for one (tokens, k) x (k, n) product, ns.

        Tiles of 32 x 32 weights are dealt to the cores. Loading the next tile takes one cycle per array row and
        hides behind the tokens that stream through the present one, so a tile takes the longer of the two.
        """
        rows, columns = self.spec.array_rows.n, self.spec.array_columns.n
        tiles = ceil_div(k, rows) * ceil_div(n, columns)
        cycles = ceil_div(tiles, self.spec.cores.n) * np.maximum(tokens, rows)
        return cycles / self.spec.clock.ghz

    def product_compute_ns(self, op: Gemm) -> Real:
        """Time of the MAC arrays for one copy of a product, ns: a weight of 16 bits takes its 8-bit multipliers twice.

        Narrow weights are widened on their way in; their scales take no time of the arrays.

        Raises:
            InputError: The activations are wider than the arrays take.
        """
        self._check_precision(op.activation_bits)
        return ceil_div(op.weight_bits, ARRAY_BITS) * self.gemm_compute_ns(op.tokens, op.k, op.n)

    def attention_compute_ns(self, op: Attention, kv_heads: Count) -> Real:
        """Time of the MAC arrays for one layer of attention over ``kv_heads`` of its heads, ns."""
        return self.scores_compute_ns(op, kv_heads) + self.values_compute_ns(op, kv_heads)

    def scores_compute_ns(self, op: Attention, kv_heads: Count) -> Real:
        """The part of QK^T. Queries that share a key-value head share the array, whose weights its keys are."""
        return self._heads_ns(kv_heads, self._tile_cycles(_queries(op), op.head_dim, op.keys))

    def values_compute_ns(self, op: Attention, kv_heads: Count) -> Real:
        """The part of PV, likewise."""
        return self._heads_ns(kv_heads, self._tile_cycles(_queries(op), op.keys, op.head_dim))

    def _heads_ns(self, kv_heads: Count, cycles_per_head: Real) -> Real:
        return kv_heads * cycles_per_head / self.spec.cores.n / self.spec.clock.ghz

    def _tile_cycles(self, tokens: Count, k: Count, n: Count) -> Real:
        rows, columns = self.spec.array_rows.n, self.spec.array_columns.n
        cycles: Real = ceil_div(k, rows) * ceil_div(n, columns) * np.maximum(tokens, rows)
        return cycles

    def _gemm(self, op: Gemm) -> Cost:
        spilled = op.count * self.spilled_bytes(op)
        compute_ns = op.count * self.product_compute_ns(op)
        memory_ns = (op.weight_bytes + spilled) / self.bus_gb_per_s
        return Cost(np.maximum(compute_ns, memory_ns), self.gemm_activity(op, spilled_bytes=spilled))

    def gemm_activity(self, op: Gemm, columns_share: Real = 1.0, spilled_bytes: Real = 0.0) -> Activity:
        """Events of all copies of a product of which the NPU computes a share of the columns."""
        on_chip = (op.input_bytes + op.output_bytes * columns_share) * 8.0
        return (
            off_chip_read(op.weight_bytes * columns_share)
            + macs_at(op.macs * columns_share, max(op.weight_bits, op.activation_bits))
            + Activity(activation_buffer_bits=on_chip, activation_memory_bits=spilled_bytes * 8.0)
        )

    def spilled_bytes(self, op: Gemm) -> Real:
        """Bytes of activations of one copy that do not fit the scratchpad and pass through memory."""
        spilled: Real = np.maximum((op.input_bytes + op.output_bytes) / op.count - self.spec.scratchpad.bytes, 0)
        return spilled

    def _attention(self, op: Attention) -> Cost:
        self._check_precision(op.kv_bits, op.activation_bits)
        compute_ns = op.count * self.attention_compute_ns(op, op.kv_heads)
        memory_ns = (op.kv_read_bytes + op.kv_write_bytes) / self.bus_gb_per_s
        return Cost(np.maximum(compute_ns, memory_ns), self.attention_activity(op) + self.kv_write_activity(op))

    def attention_activity(self, op: Attention, heads_share: Real = 1.0) -> Activity:
        """Events of reading and using the KV cache for a share of the heads; KV writes apart."""
        on_chip = (2 * op.query_bytes + 2 * op.score_bytes) * heads_share * 8.0
        return (
            off_chip_read(op.kv_read_bytes * heads_share)
            + macs_at(op.macs * heads_share, max(op.kv_bits, op.activation_bits))
            + Activity(activation_buffer_bits=on_chip)
        )

    def kv_write_activity(self, op: Attention) -> Activity:
        """Events of writing the new tokens' keys and values to memory once."""
        return Activity(activation_memory_bits=op.kv_write_bytes * 8.0)

    def _elementwise(self, op: Elementwise) -> Cost:
        compute_ns = op.vector_ops / (self.spec.vector_tops * 1e3)
        memory_ns = op.memory_bytes / self.bus_gb_per_s
        activity = off_chip_read(op.memory_bytes) + Activity(macs_int8=op.vector_ops / 2)
        return Cost(np.maximum(compute_ns, memory_ns), activity)

    def _check_precision(self, *bits: int) -> None:
        if max(bits) > ARRAY_BITS:
            raise InputError(f"the NPU computes INT8: {max(bits)}-bit operands are not supported, use 8 or 4")


def _queries(op: Attention) -> Count:
    """Query rows that share the keys of one key-value head."""
    return op.tokens * (op.heads // op.kv_heads)
