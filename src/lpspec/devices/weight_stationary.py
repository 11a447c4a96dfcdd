"""The dataflow of the NPU's arrays, ``weight-stationary``: weights stay in the array, inputs and sums pass by.

A tile is as many weights of a (k, n) matrix as a MAC array has rows and columns. Its rows load one a cycle while
tokens stream through the tile before, one a cycle too. For each tile a token brings the inputs of its rows from the
core's local buffer and takes along one partial sum per column, at the accumulator's width. So an input is read once
per tile of outputs; a sum is written once per tile of k and read as often: by every tile but the first, and at the
end, when it goes to the scratchpad as an activation.

Inputs come from the scratchpad: once to every core that works on the product if they all fit its local buffer,
otherwise anew for every tile of outputs. Between the multipliers of an array operands move as part of a MAC.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.devices.cost import Activity
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.operators import Attention
from lpspec.machine.platform_spec import NpuSpec


@dataclass(frozen=True, slots=True)
class Passing:
    """What one product moves past its tiles of weights.

    Attributes:
        column_tiles: Tiles side by side, those of other outputs.
        loaded_rows: Rows of weights loaded into arrays, over all tiles: cycles.
        streamed_tokens: Tokens that pass a tile, over all tiles: cycles.
        inputs: Activations that go in.
        input_reads: How often arrays read one, over all tiles.
        sums: Partial sums that arrays write, over all tiles; they are read as often.
        outputs: Activations that come out.
    """

    column_tiles: Count
    loaded_rows: Count
    streamed_tokens: Count
    inputs: Count
    input_reads: Count
    sums: Count
    outputs: Count


class WeightStationary:
    """Counts of products on the arrays of one NPU."""

    def __init__(self, npu: NpuSpec) -> None:
        """Take the data of the NPU."""
        self.npu = npu

    def product(self, tokens: Count, k: Count, n: Count) -> Passing:
        """A (tokens, k) x (k, n) product in which every token passes every tile."""
        row_tiles, column_tiles = ceil_div(k, self.npu.array_rows.n), ceil_div(n, self.npu.array_columns.n)
        return Passing(
            column_tiles,
            column_tiles * k,
            row_tiles * column_tiles * tokens,
            tokens * k,
            tokens * k * column_tiles,
            tokens * n * row_tiles,
            tokens * n,
        )

    def scores(self, op: Attention) -> Passing:
        """QK^T of one key-value head: its keys are the weights, the queries that share it the tokens."""
        group, row_tiles = op.heads // op.kv_heads, ceil_div(op.head_dim, self.npu.array_rows.n)
        column_tiles = ceil_div(op.keys, self.npu.array_columns.n)
        streamed, seen = _attending(op, self.npu.array_columns.n)
        return Passing(
            column_tiles,
            column_tiles * op.head_dim,
            group * row_tiles * streamed,
            group * op.tokens * op.head_dim,
            group * op.head_dim * streamed,
            group * row_tiles * seen,
            group * op.pairs,
        )

    def values(self, op: Attention) -> Passing:
        """PV of one key-value head: its values are the weights, probabilities the inputs."""
        group, column_tiles = op.heads // op.kv_heads, ceil_div(op.value_width, self.npu.array_columns.n)
        streamed, seen = _attending(op, self.npu.array_rows.n)
        return Passing(
            column_tiles,
            column_tiles * op.keys,
            group * column_tiles * streamed,
            group * op.pairs,
            group * column_tiles * seen,
            group * op.value_width * streamed,
            group * op.tokens * op.value_width,
        )

    def on_chip(self, passing: Passing, activation_bits: int, cores: int) -> Activity:
        """Accesses of activations and sums; those of weights come with their reads.

        Args:
            passing: What passes the arrays.
            activation_bits: Width of inputs and outputs.
            cores: Cores that share the product.
        """
        fits = passing.inputs * activation_bits <= self.npu.local_buffer.bytes * 8
        fetches = np.where(fits, np.minimum(cores, passing.column_tiles), passing.column_tiles)
        fetched_bits = passing.inputs * fetches * float(activation_bits)
        sum_bits = 2.0 * self.npu.accumulator_bits.n * passing.sums
        in_registers = self.npu.partial_sums == "registers"
        return Activity(
            scratchpad_bits=fetched_bits + passing.outputs * float(activation_bits),
            local_buffer_bits=fetched_bits
            + passing.input_reads * float(activation_bits)
            + (0.0 if in_registers else sum_bits),
            register_bits=sum_bits if in_registers else 0.0,
        )


def _attending(op: Attention, width: int) -> tuple[Count, Count]:
    """Tokens that attend to some key of a tile of ``width`` keys, over all tiles; and such tokens times its keys.

    Where attention is dense, all do. Where it is causal, a token attends to the context, to itself and to the tokens
    before it, so tiles beyond are left out: what remains is the triangle in steps of a tile, or a band of the window.
    """
    tokens, keys = op.tokens, op.keys
    tiles = ceil_div(keys, width)
    causal = op.pairs < tokens * keys
    if not np.any(causal):
        return tiles * tokens, tokens * keys
    if op.window is not None:
        return _in_window(op, op.window, width)
    full = np.minimum(tiles, op.context // width + 1)  # tiles whose first key all tokens see
    steps = (tiles - full) * keys - width * (tiles * (tiles - 1) - full * (full - 1)) // 2
    streamed = full * tokens + steps
    seen = streamed * width - (tiles * width - keys) * np.minimum(tokens, keys - (tiles - 1) * width)
    return np.where(causal, streamed, tiles * tokens), np.where(causal, seen, tokens * keys)


def _in_window(op: Attention, window: int, width: int) -> tuple[int, int]:
    """The same where a token of a prompt sees itself and the tokens before it in a window; counts are numbers."""
    tokens, keys = int(np.max(op.tokens)), int(np.max(op.keys))
    before = keys - tokens
    first = np.arange(0, keys, width)
    last = np.minimum(first + width, keys) - 1
    attending = np.minimum(tokens, last + window - before) - np.maximum(first - before, 0)
    return int(attending.sum()), int((attending * (last - first + 1)).sum())
