"""LPDDR5-PIM dies: output-stationary products inside the banks (LP-Spec sections V-A and V-B).

The 32 lanes of an MPU are 32 output columns. One MAC command makes every MPU of every die that computes read
32 weights of one k and multiply them with up to N_ALU tokens, so L tokens take ceil(L / N_ALU) passes over the
weights. Inputs are broadcast over the data bus (one burst reaches all ranks of a channel; every channel needs its
own), accumulators are read back over it once a tile is done. While one bank of an MPU streams its row, the other
opens the next, so rows cost energy but no time.
"""

import numpy as np

from lpspec.devices.cost import Activity, Cost, Real
from lpspec.errors import InputError
from lpspec.hardware.platform_spec import MemorySpec, PimSpec
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.operators import Attention, Gemm


class LpddrPim:
    """Costs of products on the PIM ranks of a package, and the bus traffic that they cause."""

    def __init__(self, pim: PimSpec, memory: MemorySpec) -> None:
        """Take the data of one platform."""
        self.spec = pim
        self.channels = memory.channels.n
        self.bus_gb_per_s = memory.sustained_gb_per_s
        self.mpus_per_rank = memory.dies_per_rank * pim.mpus
        self.slice_columns = self.mpus_per_rank * pim.lanes.n
        self.tile_columns = self.slice_columns * pim.concurrent_ranks.n

    def price(self, op: Gemm | Attention) -> Cost:
        """Cost of all copies of a product computed by PIM alone, the bus serving nothing else."""
        self.check_precision(op)
        if isinstance(op, Gemm):
            busy_ns = self.gemm_ns(op.tokens, op.k, op.n)
            bus_ns = self.gemm_bus_bytes(op.tokens, op.k, op.n) / self.bus_gb_per_s
            return Cost(np.maximum(busy_ns, bus_ns) * op.count, self.gemm_activity(op, op.n))
        busy_ns = self.attention_ns(op, op.kv_heads)
        bus_ns = self.attention_bus_bytes(op, op.kv_heads) / self.bus_gb_per_s
        return Cost(np.maximum(busy_ns, bus_ns) * op.count, self.attention_activity(op, op.kv_heads))

    def check_precision(self, op: Gemm | Attention) -> None:
        """Refuse operands that the INT8 units cannot take."""
        resident_bits = op.weight_bits if isinstance(op, Gemm) else op.kv_bits
        if (resident_bits, op.activation_bits) != (8, 8):
            raise InputError(
                f"PIM computes INT8 weights with INT8 activations: '{op.name}' has {resident_bits}-bit and "
                f"{op.activation_bits}-bit operands, allowed is 8: see compare --weights"
            )
        if isinstance(op, Gemm) and op.group_bits:
            raise InputError(
                f"PIM adds products up unscaled: '{op.name}' has weights with scales in memory, "
                "allowed are INT8 weights without: see compare --weights"
            )

    def passes(self, tokens: Count) -> Count:
        """Passes over the weights: one serves up to N_ALU tokens."""
        return ceil_div(tokens, self.spec.alus.n)

    # One product, (tokens, k) x (k, columns)

    def gemm_ns(self, tokens: Count, k: Count, columns: Count) -> Real:
        """Time from entering to leaving PIM mode, ns; zero columns take no time."""
        rounds = ceil_div(columns, self.tile_columns)
        macs_ns = self.passes(tokens) * rounds * k * self.spec.mac_interval.ns
        readback_ns = self._readback_bytes(tokens, columns) / self.bus_gb_per_s
        return macs_ns + readback_ns + 2 * self.spec.mode_switch.ns * np.minimum(columns, 1)

    def gemm_bus_bytes(self, tokens: Count, k: Count, columns: Count) -> Real:
        """Bytes on the data buses of all channels: inputs in, once per tile, and accumulators out."""
        rounds = ceil_div(columns, self.tile_columns)
        return self.channels * rounds * tokens * k + self._readback_bytes(tokens, columns)

    def gemm_activity(self, op: Gemm, columns: Count) -> Activity:
        """Events of all copies of a product of which PIM computes ``columns`` columns."""
        units = self.passes(op.tokens) * self._reading_mpus(ceil_div(columns, self.spec.lanes.n))
        array = self._array_activity(units, op.k)
        bus_bits = self.gemm_bus_bytes(op.tokens, op.k, columns) * 8.0
        return (array + Activity(macs_int8=op.tokens * op.k * columns * 1.0, activation_io_bits=bus_bits)) * float(
            op.count
        )

    # One layer of attention over some of its key-value heads

    def attention_ns(self, op: Attention, kv_heads: Count) -> Real:
        """Time of QK^T, readback of scores, and PV, ns; softmax is not in it. Zero heads take no time."""
        score_rounds, value_rounds = self._attention_rounds(op, kv_heads)
        passes = self.passes(self._queries(op))
        macs = passes * (score_rounds * op.head_dim + value_rounds * op.keys)
        bus_ns = self._attention_result_bytes(op, kv_heads) / self.bus_gb_per_s
        return macs * self.spec.mac_interval.ns + bus_ns + 4 * self.spec.mode_switch.ns * np.minimum(kv_heads, 1)

    def attention_bus_bytes(self, op: Attention, kv_heads: Count) -> Real:
        """Bytes on the data buses: queries to every channel, scores out, probabilities in, results out."""
        queries = self._queries(op) * kv_heads
        inputs = self.channels * queries * op.head_dim + queries * op.keys
        return inputs + self._attention_result_bytes(op, kv_heads)

    def attention_activity(self, op: Attention, kv_heads: Count) -> Activity:
        """Events of all layers of attention of which PIM computes ``kv_heads`` key-value heads."""
        passes = self.passes(self._queries(op))
        score_groups, value_groups = self._attention_groups(op, kv_heads)
        scores = self._array_activity(passes * self._reading_mpus(score_groups), op.head_dim)
        values = self._array_activity(passes * self._reading_mpus(value_groups), op.keys)
        macs = 2.0 * self._queries(op) * kv_heads * op.head_dim * op.keys
        bus_bits = self.attention_bus_bytes(op, kv_heads) * 8.0
        return (scores + values + Activity(macs_int8=macs, activation_io_bits=bus_bits)) * float(op.count)

    def _queries(self, op: Attention) -> Count:
        """Query rows that share the keys of one key-value head."""
        return op.tokens * (op.heads // op.kv_heads)

    def _attention_rounds(self, op: Attention, kv_heads: Count) -> tuple[Count, Count]:
        """Rounds in which all MPUs that may compute take one group of 32 keys, or of 32 value dimensions."""
        mpus = self.mpus_per_rank * self.spec.concurrent_ranks.n
        score_groups, value_groups = self._attention_groups(op, kv_heads)
        return ceil_div(score_groups, mpus), ceil_div(value_groups, mpus)

    def _attention_groups(self, op: Attention, kv_heads: Count) -> tuple[Count, Count]:
        """Groups of up to 32 keys, and of up to 32 value dimensions; each takes one MPU."""
        return kv_heads * ceil_div(op.keys, self.spec.lanes.n), kv_heads * ceil_div(op.head_dim, self.spec.lanes.n)

    def _attention_result_bytes(self, op: Attention, kv_heads: Count) -> Real:
        results = self._queries(op) * kv_heads * (op.keys + op.head_dim)
        return results * (self.spec.accumulator_bits.n / 8)

    # Shared

    def _readback_bytes(self, tokens: Count, columns: Count) -> Real:
        return tokens * columns * (self.spec.accumulator_bits.n / 8)

    def _reading_mpus(self, groups: Count) -> Count:
        """MPUs that read for ``groups`` groups of lanes: a command moves every MPU of a rank, needed or not."""
        return ceil_div(groups, self.mpus_per_rank) * self.mpus_per_rank

    def _array_activity(self, units: Count, k: Count) -> Activity:
        """``units`` MPUs each stream ``k`` columns: one column read per MAC, one activation per row begun."""
        column_bits = units * k * (self.spec.column_bytes.n * 8.0)
        rows = ceil_div(k * self.spec.column_bytes.n, self.spec.row_bytes.n)
        activate_bits = units * rows * (self.spec.row_bytes.n * 8.0)
        return Activity(activate_bits=activate_bits, column_bits=column_bits, pim_register_bits=column_bits)
