"""The mobile NPU: MAC arrays fed from LPDDR over a shared bus (LP-Spec Table II).

Which accesses a product costs on the chip is said in ``weight_stationary.py``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Self

import numpy as np

from lpspec.devices.cost import Activity, Cost, Real, macs_at, off_chip_read
from lpspec.devices.device import Identity, PhasePart
from lpspec.devices.kv_share import KeyShare
from lpspec.devices.memory_timing import timing_of
from lpspec.devices.weight_stationary import Passing, WeightStationary
from lpspec.errors import InputError
from lpspec.llm.counts import Count, ceil_div, packed_bytes, plain
from lpspec.llm.operators import Attention, Elementwise, Gemm, PlainOperator, StateUpdate
from lpspec.machine.energy_profile import NOTHING
from lpspec.machine.platform_spec import MemorySpec, NpuSpec, PlatformSpec

ARRAY_BITS = 8
"""Width of the operands of a MAC array (LP-Spec Table II: INT8)."""


class Npu:
    """Costs of operators on the NPU alone.

    Arithmetic and memory traffic overlap (double buffering), so an operator takes the longer of the two.
    """

    Spec = NpuSpec
    stands_alone = True
    lays_out_arrays = True

    def __init__(self, npu: NpuSpec, memory: MemorySpec) -> None:
        """Take the data of one platform."""
        self.spec = npu
        self.bus_gb_per_s = timing_of(memory).bus_gb_per_s
        self.dataflow = WeightStationary(npu)

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of an operator."""
        if isinstance(op, Gemm):
            return self._gemm(op)
        if isinstance(op, Attention):
            return self._attention(op)
        if isinstance(op, StateUpdate):
            return self._state_update(op)
        return self.elementwise((op,))

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The NPU of a platform that has one, which always has a package beside it."""
        assert platform.memory is not None
        return cls(platform.device(NpuSpec), platform.memory)

    def describe(self) -> Iterator[Identity]:
        """Its peak throughput."""
        yield Identity("npu_matrix", self.spec.matrix_tops, "TOPS", "INT8, all MAC arrays")
        yield Identity("npu_vector", self.spec.vector_tops, "TOPS", "all vector lanes")

    def phase_parts(self, op: PlainOperator, amount: Count | KeyShare | None = None) -> tuple[PhasePart, ...]:
        """What one copy of an operator reads from the package and how long arrays or lanes take.

        Of attention it may be told what PIM computes: the rest is its own.
        """
        if isinstance(amount, KeyShare):
            assert isinstance(op, Attention)
            return self.scores_left(op, amount), self.values_left(op, amount)
        if isinstance(op, Elementwise):
            once = op.vector_ops / op.count
            busy_ns, own = self._vector_ns(once), _passing(op.passed_bytes / op.count) + Activity(macs_int8=once / 2)
            return (PhasePart(op.name, op.memory_bytes / op.count, busy_ns, "vector", own),)
        if isinstance(op, StateUpdate):
            macs = op.macs / op.count
            return (PhasePart(op.name, op.state_bytes, self._vector_ns(2 * macs), "vector", Activity(macs_int8=macs)),)
        if isinstance(op, Gemm):
            n = op.n if amount is None else amount
            busy_ns, read_bytes = plain(self.product_compute_ns(op, n)), plain(self.gemm_read_bytes(op, n))
            return (PhasePart(op.name, read_bytes, busy_ns, activity=self.gemm_on_chip(op, n)),)
        heads = op.kv_heads if amount is None else amount
        keys_bytes, values_bytes = map(plain, self.halves_read_bytes(op, heads))
        scores_ns, values_ns = plain(self.scores_compute_ns(op, heads)), plain(self.values_compute_ns(op, heads))
        return (
            PhasePart("scores", keys_bytes, scores_ns, activity=self.scores_on_chip(op, heads)),
            PhasePart("values", values_bytes, values_ns, activity=self.values_on_chip(op, heads)),
        )

    # Time of the MAC arrays

    def gemm_compute_ns(self, tokens: Count, k: Count, n: Count) -> Real:
        """Time of the MAC arrays for one (tokens, k) x (k, n) product, ns.

        Rows of weights and tiles of them are dealt to the cores. A core takes a cycle per row that it loads and one per
        token and tile; loading hides behind the tokens that stream through the tile before, so the longer counts.
        """
        tiles = ceil_div(k, self.spec.array_rows.n) * ceil_div(n, self.spec.array_columns.n)
        loading = ceil_div(ceil_div(n, self.spec.array_columns.n) * k, self.spec.cores.n)
        return np.maximum(loading, ceil_div(tiles, self.spec.cores.n) * tokens) / self.spec.clock.ghz

    def product_compute_ns(self, op: Gemm, columns: Count | None = None) -> Real:
        """Time of the MAC arrays for one copy of a product, or some columns of it, ns.

        A weight of 16 bits takes its 8-bit multipliers twice, an activation of 16 bits as often as the machine says.

        Narrow weights are widened on their way in; their scales take no time of the arrays.

        Raises:
            InputError: The activations are wider than the arrays take.
        """
        turns = ceil_div(op.weight_bits, ARRAY_BITS) * self._turns(op.activation_bits)
        return turns * self.gemm_compute_ns(op.tokens, op.k, op.n if columns is None else columns)

    def attention_compute_ns(self, op: Attention, kv_heads: Count) -> Real:
        """Time of the MAC arrays for one layer of attention over ``kv_heads`` of its heads, ns."""
        return self.scores_compute_ns(op, kv_heads) + self.values_compute_ns(op, kv_heads)

    def scores_compute_ns(self, op: Attention, kv_heads: Count) -> Real:
        """The part of QK^T. Queries that share a key-value head share the array, whose weights its keys are."""
        return self._heads_ns(op, kv_heads, self.dataflow.scores(op))

    def values_compute_ns(self, op: Attention, kv_heads: Count) -> Real:
        """The part of PV, likewise."""
        return self._heads_ns(op, kv_heads, self.dataflow.values(op))

    def _heads_ns(self, op: Attention, kv_heads: Count, one: Passing) -> Real:
        """Layers follow each other without waiting for the slowest core, so heads fill the cores evenly."""
        cycles = self._turns(op.activation_bits) * np.maximum(one.loaded_rows, one.streamed_tokens)
        return kv_heads * (cycles / self.spec.cores.n / self.spec.clock.ghz)

    # Products

    def _gemm(self, op: Gemm) -> Cost:
        compute_ns = op.count * self.product_compute_ns(op)
        memory_ns = op.count * self.gemm_read_bytes(op) / self.bus_gb_per_s
        return Cost(np.maximum(compute_ns, memory_ns), self.gemm_activity(op))

    def gemm_read_bytes(self, op: Gemm, columns: Count | None = None) -> Real:
        """Bytes of one copy of a product that pass the bus when the NPU computes some or all of its columns.

        Weights are read once. Activations beyond the scratchpad pass through memory; where not even the inputs fit,
        weights are read again for every block of inputs, or inputs for every block of weights, whatever is less.
        """
        columns = op.n if columns is None else columns
        weights, inputs = op.stored.size_bytes(columns, op.k), op.input_bytes // op.count
        outputs = packed_bytes(op.tokens * columns, op.activation_bits)
        room = self.spec.scratchpad.bytes
        again = np.minimum((ceil_div(inputs, room) - 1) * weights, (ceil_div(weights, room) - 1) * inputs)
        spilled = np.maximum(inputs + outputs - room, 0) + np.maximum(again, 0)
        return weights + np.where(weights > 0, spilled, 0)

    def gemm_activity(self, op: Gemm, columns: Count | None = None) -> Activity:
        """Events of all copies of a product of which the NPU computes some or all columns."""
        columns = op.n if columns is None else columns
        reads = off_chip_read(self.gemm_read_bytes(op, columns)) + self.gemm_on_chip(op, columns)
        return reads * float(op.count)

    def gemm_on_chip(self, op: Gemm, columns: Count) -> Activity:
        """Events of one copy once what it reads is in the cores: activations, sums and arithmetic."""
        once, passes = self.dataflow.product(op.tokens, op.k, columns), ceil_div(op.weight_bits, ARRAY_BITS)
        passing = replace(once, input_reads=once.input_reads * passes, sums=once.sums * passes)
        macs = macs_at(op.tokens * op.k * 1.0 * columns, max(op.weight_bits, op.activation_bits))
        return self.dataflow.on_chip(passing, op.activation_bits, self.spec.cores.n) + macs

    # Attention

    def _attention(self, op: Attention) -> Cost:
        if op.kv_bits > ARRAY_BITS:
            raise InputError(f"the NPU computes INT8: {op.kv_bits}-bit operands are not supported, use 8 or 4")
        compute_ns = op.count * self.attention_compute_ns(op, op.kv_heads)
        memory_ns = (op.count * self.attention_read_bytes(op, op.kv_heads) + op.kv_write_bytes) / self.bus_gb_per_s
        written = Activity(activation_memory_bits=op.kv_write_bytes * 8.0)
        return Cost(np.maximum(compute_ns, memory_ns), self.attention_activity(op, op.kv_heads) + written)

    def attention_read_bytes(self, op: Attention, kv_heads: Count) -> Real:
        """Bytes of one layer that pass the bus for ``kv_heads`` of its heads; KV writes apart.

        Keys and values of a head are read once for as many queries and results as the scratchpad holds: softmax runs
        along, so scores need no room. Queries and results of the layer beyond the scratchpad pass through memory.
        """
        room = self.spec.scratchpad.bytes
        both_ways = (op.query_bytes + op.result_bytes) / op.count
        blocks = np.maximum(np.ceil(both_ways / op.kv_heads / room), 1)
        one_head = (op.kv_read_bytes / op.count * blocks + np.maximum(both_ways - room, 0)) / op.kv_heads
        return kv_heads * one_head

    def halves_read_bytes(self, op: Attention, kv_heads: Count) -> tuple[Real, Real]:
        """The same for QK^T and for PV: keys, then values, unless these are part of the keys."""
        read_bytes = self.attention_read_bytes(op, kv_heads)
        return read_bytes * op.scores_share, read_bytes * (1 - op.scores_share)

    def attention_activity(self, op: Attention, kv_heads: Count) -> Activity:
        """Events of all layers of reading and using the KV cache for some of the heads; KV writes apart."""
        of_scores, of_values = self.dataflow.scores(op), self.dataflow.values(op)
        of_head = self._head_on_chip(op, of_scores, op.head_dim) + self._head_on_chip(op, of_values, op.value_width)
        on_chip = of_head * (kv_heads * float(op.count))
        return off_chip_read(self.attention_read_bytes(op, kv_heads) * float(op.count)) + on_chip

    def scores_on_chip(self, op: Attention, kv_heads: Count) -> Activity:
        """Events of QK^T in one layer once the keys are in the cores; a head stays on one core."""
        return self._head_on_chip(op, self.dataflow.scores(op), op.head_dim) * kv_heads

    def values_on_chip(self, op: Attention, kv_heads: Count) -> Activity:
        """Events of PV, likewise."""
        return self._head_on_chip(op, self.dataflow.values(op), op.value_width) * kv_heads

    def scores_left(self, op: Attention, share: KeyShare) -> PhasePart:
        """QK^T of one layer beside what PIM computes of it: the other heads, and the other positions of these."""
        parts = [(op, op.kv_heads - share.heads), (op.over(op.keys - share.scores_keys), share.heads)]
        found = [
            (self.halves_read_bytes(of, n)[0], self.scores_compute_ns(of, n), self.scores_on_chip(of, n), of.keys > 0)
            for of, n in parts
        ]
        return _left("scores", found)

    def values_left(self, op: Attention, share: KeyShare) -> PhasePart:
        """PV, likewise; vector lanes add what both sides sum up, as PIM's results come in, which takes no time."""
        parts = [(op, op.kv_heads - share.heads), (op.over(op.keys - share.values_keys), share.heads)]
        found = [
            (self.halves_read_bytes(of, n)[1], self.values_compute_ns(of, n), self.values_on_chip(of, n), of.keys > 0)
            for of, n in parts
        ]
        both = (share.values_keys > 0) & (share.values_keys < op.keys)
        added = both * share.heads * op.queries * (op.value_width / 2)
        return _left("values", found, Activity(macs_int8=added))

    def _head_on_chip(self, op: Attention, one: Passing, width: int) -> Activity:
        macs = macs_at(op.heads * width * op.pairs / op.kv_heads, max(op.kv_bits, op.activation_bits))
        return self.dataflow.on_chip(one, op.activation_bits, cores=1) + macs

    def elementwise(self, ops: Sequence[Elementwise]) -> Cost:
        """Cost of vector operators one after the other."""
        vector_ops = [op.vector_ops for op in ops]
        took_ns = [self._elementwise_ns(op, operations) for op, operations in zip(ops, vector_ops, strict=True)]
        read_bytes, passed_bytes = sum(op.memory_bytes for op in ops), sum(op.passed_bytes for op in ops)
        arithmetic = Activity(macs_int8=reduce(add, vector_ops) / 2)
        return Cost(reduce(add, took_ns), off_chip_read(read_bytes) + _passing(passed_bytes) + arithmetic)

    def elementwise_ns(self, op: Elementwise) -> Real:
        """Time of one."""
        return self._elementwise_ns(op, op.vector_ops)

    def _elementwise_ns(self, op: Elementwise, vector_ops: Count) -> Real:
        return np.maximum(self._vector_ns(vector_ops), op.memory_bytes / self.bus_gb_per_s)

    def _state_update(self, op: StateUpdate) -> Cost:
        """States are read while vector lanes move them on, two operations a MAC; then they are written back."""
        pass_ns = op.stored_bytes / self.bus_gb_per_s
        written = Activity(activation_memory_bits=op.stored_bytes * 8.0)
        activity = off_chip_read(op.stored_bytes) + Activity(macs_int8=op.macs * 1.0) + written
        return Cost(np.maximum(self._vector_ns(2 * op.macs), pass_ns) + pass_ns, activity)

    def _vector_ns(self, operations: Real) -> Real:
        """Time of all vector lanes."""
        return operations / (self.spec.vector_tops * 1e3)

    def _turns(self, activation_bits: int) -> int:
        """Turns of the arrays that activations take.

        Raises:
            InputError: They are wider than the arrays take.
        """
        if activation_bits <= ARRAY_BITS:
            return 1
        if activation_bits > 2 * ARRAY_BITS or not self.spec.wide_turns.n:
            raise InputError(
                f"the NPU computes INT8: {activation_bits}-bit operands are not supported, use 8 or 4 "
                "(16 where npu.wide_turns is set)"
            )
        return self.spec.wide_turns.n


def _passing(passed_bytes: Real) -> Activity:
    """Events of bytes that stay on the chip, in scratchpad and local buffers."""
    return Activity(scratchpad_bits=passed_bytes * 8.0, local_buffer_bits=passed_bytes * 8.0)


def _left(name: str, parts: Sequence[tuple[Real, Real, Activity, Real]], beside: Activity = NOTHING) -> PhasePart:
    """Bytes, time and events of some parts of half an attention together, each where it has keys."""
    read_bytes = sum(read * has_keys for read, _, _, has_keys in parts)
    busy_ns = sum(busy * has_keys for _, busy, _, has_keys in parts)
    activity = reduce(add, (on_chip * (has_keys * 1.0) for _, _, on_chip, has_keys in parts), beside)
    return PhasePart(name, plain(read_bytes), plain(busy_ns), activity=activity)
