"""From a product and its placement to the PIM program of one channel, and from its bursts back to the result.

A die computes one tile for up to N_ALU tokens in a pass: inputs come segment by segment (the 64 k of a row) into
alternating register sets, one broadcast for all computing ranks where they share their inputs; MACs stream the row
while the other bank of each MPU opens the next; then the accumulators are read back, since there is one set of them.

Registers, as bytes: an input set holds the inputs of one token behind those of another, and nothing is sent for tokens
that a pass doesn't have. An MPU's accumulators are read token by token, 32 lanes of INT32 in 4 bursts, so a pass of
fewer tokens reads fewer bursts.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.dram.pim.cache import HeadMatrices, KvPlacement
from lpspec.dram.pim.passes import BURST_SUMS, InputStream, Reading, Readout, end_of, input_sets, passes_of, readouts_of
from lpspec.dram.pim.staggered import takes_turns, write_staggered
from lpspec.dram.pim.tiles import Step, TileWriter, difference, repeats
from lpspec.dram.pim.weights import PimChannel, Tile, WeightPlacement, period_of
from lpspec.errors import InputError
from lpspec.machine.pim_format import PimFormat

Inputs: TypeAlias = "NDArray[np.int8] | NDArray[np.float16]"
"""What products take, [matrices, tokens, k]: float16 where activations have 16 bits, else int8."""

Results: TypeAlias = "IntArray | NDArray[np.float32]"
"""What they give, [matrices, tokens, outputs]: sums in single precision of the former (assumed), exact ones else."""


def input_type(form: PimFormat) -> type[np.int8] | type[np.float16]:
    """Of the inputs of MACs of a format."""
    return np.float16 if form.is_wide else np.int8


@dataclass(frozen=True)
class PimProgram:
    """A program, with what its input and output bursts mean.

    Attributes:
        lines: Instructions, as ``lpspec.dram.run.simulate.run_channel`` takes them.
        channel: The ranks.
        streams: Inputs.
        readings: Outputs, by unit and pass.
        input_bursts: Bursts of the input image; a program may send them several times.
        output_bursts: Bursts of the output image.
        shape: Matrices, tokens and outputs of the result.
    """

    lines: IntArray
    channel: PimChannel
    streams: tuple[InputStream, ...]
    readings: tuple[Reading, ...]
    input_bursts: int
    output_bursts: int
    shape: tuple[int, int, int]

    @cached_property
    def readouts(self) -> tuple[Readout, ...]:
        """Outputs, by MPU; those of the same place are partial sums, which the NPU adds."""
        return tuple(readouts_of(self.channel, self.shape[1], self.readings))

    def input_image(self, inputs: Inputs) -> NDArray[np.int8]:
        """Bursts to send, int8 [bursts, 32], for inputs [matrices, tokens, k].

        Raises:
            InputError: The inputs are of another type or shape than the program's.
        """
        channel, pim = self.channel, self.channel.device.pim
        width, filled, kind = channel.columns, channel.chunk_bytes * pim.alus.n, input_type(channel.form)
        if inputs.dtype != kind:
            raise InputError(f"inputs are {inputs.dtype}: {channel.form.name} takes {np.dtype(kind)}")
        image = np.zeros((self.input_bursts, 32), np.int8)
        for stream in self.streams:
            if inputs.shape[1:] != (stream.tokens, stream.k):
                raise InputError(f"inputs are {inputs.shape}: the program takes [.., {stream.tokens}, {stream.k}]")
            tokens = inputs[list(stream.matrices)].reshape(-1, stream.k)
            passes, rows = -(-len(tokens) // pim.alus.n), channel.segments(stream.k)
            padded = np.zeros((passes * pim.alus.n, rows * width), kind)
            padded[: len(tokens), : stream.k] = tokens
            chunks = np.zeros((passes, pim.alus.n, rows, channel.chunks * channel.chunk), kind)
            chunks[..., :width] = padded.reshape(passes, pim.alus.n, rows, width)
            by_token = chunks.reshape(passes, pim.alus.n, -1, channel.chunk).transpose(0, 2, 1, 3)
            sets = np.zeros((passes * rows * channel.chunks, channel.device.slots_per_set * 32), np.int8)
            sets[:, :filled] = np.ascontiguousarray(by_token).view(np.int8).reshape(len(sets), filled)
            image[stream.first : stream.first + sets.size // 32] = sets.reshape(-1, 32)
        return image

    def collect(self, image: NDArray[np.int32]) -> Results:
        """The result, [matrices, tokens, outputs], from bursts of 32 bits [bursts, 8]; partial sums are added.

        Of floating-point inputs sums are those of single precision, and so are the additions, in the order read.
        """
        wide = self.channel.form.is_wide
        result: NDArray[Any] = np.zeros(self.shape, np.float32 if wide else np.int64)
        values: NDArray[Any] = image.view(np.float32) if wide else image
        for out in self.readouts:
            bursts = -(-out.lanes // BURST_SUMS)
            sums = values[out.first : out.first + out.tokens * bursts].reshape(out.tokens, -1)[:, : out.lanes]
            result[out.matrix, out.token : out.token + out.tokens, out.column : out.column + out.lanes] += sums
        return result


def compile_gemm(placement: WeightPlacement, tokens: int, fence_ck: int = 0) -> PimProgram:
    """Compile the product of ``tokens`` activations with the weights at a placement.

    Args:
        placement: One channel's share of the weights.
        tokens: Tokens, at least 1.
        fence_ck: Wait of the host before it reads a tile back, CK.
    """
    tiles = placement.tiles()
    return _compile(placement.channel, tiles, tokens, placement.k, (1, tokens, placement.n), fence_ck)


def compile_scores(kv: KvPlacement, keys: int, queries: int, heads: int = 0, in_turn: bool = False) -> PimProgram:
    """Compile QK^T: ``queries`` query rows of each of the first ``heads`` heads (0: all) with its first ``keys`` keys.

    Grouped queries count as so many rows: tokens times query heads that share a key head. The program's matrices are
    the parts of all heads, in the order of ``kv.keys``. With ``in_turn`` ranks take turns at MACs and
    readback, where they can.
    """
    some = replace(kv.keys, heads=(heads or kv.heads) * kv.parts)
    turns = in_turn and takes_turns(kv.channel, kv.head_dim)
    return _compile_heads(some, kv.head_dim, kv.part_keys(keys), queries, turns)


def compile_values(kv: KvPlacement, keys: int, queries: int, heads: int = 0) -> PimProgram:
    """Compile PV: ``queries`` rows of probabilities over the first ``keys`` keys of the same heads, with their values.

    The results of a head's parts are to be added.
    """
    some = replace(kv.values, heads=(heads or kv.heads) * kv.parts)
    return _compile_heads(some, kv.part_keys(keys), kv.value_width, queries)


def _compile_heads(matrices: HeadMatrices, k: int, n: int, queries: int, in_turn: bool = False) -> PimProgram:
    shape = matrices.heads, queries, n
    return _compile(matrices.channel, matrices.tiles(k, n), queries, k, shape, None if in_turn else 0)


def _compile(
    channel: PimChannel, tiles: list[Tile], tokens: int, k: int, shape: tuple[int, int, int], fence_ck: int | None
) -> PimProgram:
    """Write the lines; ``fence_ck`` None for ranks in turn."""
    if tokens < 1:
        raise InputError(f"tokens is {tokens}: allowed is at least 1")
    alus = channel.device.pim.alus.n
    streams: dict[tuple[int, ...], InputStream] = {}
    bursts = 0
    for matrices in dict.fromkeys(own for tile in tiles for unit in tile for _, own in input_sets(channel, unit)):
        streams[matrices] = InputStream(bursts, matrices, k, tokens)
        bursts += -(-len(matrices) * tokens // alus) * channel.segments(k) * channel.row_bursts
    readings: list[Reading] = []
    plans = [passes_of(channel, tile, tokens, k, streams, readings) for tile in tiles]
    writer = TileWriter(channel, fence_ck or 0)
    writer.builder.enter(channel.mask)
    if fence_ck is None:
        write_staggered(writer, plans)
        plans = []
    for first, period, rounds in repeats(plans, period_of(channel)):
        step = difference(plans[first], plans[first + period]) if rounds > 1 else Step()
        with writer.loop(rounds, step):
            for plan in plans[first : first + period]:
                writer.tile(plan)
    writer.builder.leave(channel.mask)
    outputs = end_of(readings)
    return PimProgram(writer.builder.build(), channel, tuple(streams.values()), tuple(readings), bursts, outputs, shape)
