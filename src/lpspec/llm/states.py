"""Mixers whose memory of the text does not grow: state spaces, linear attention and short convolutions."""

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveInt

from lpspec.llm.layers import ADD_OPS, RMS_NORM_OPS, SILU_OPS, Part
from lpspec.llm.steps import Product, Recur, Step, Vector


class StateSpace(Part):
    """Mamba-2: a state of ``state_size`` numbers for each number of its heads, behind a short convolution."""

    type: Literal["state_space"] = "state_space"
    heads: PositiveInt
    """Heads, each with a decay of its own."""
    head_dim: PositiveInt
    """Width of a head."""
    groups: PositiveInt
    """Groups of heads that share their input and output vectors (B and C)."""
    state_size: PositiveInt
    """Numbers of state behind each number of a head."""
    kernel: PositiveInt
    """Tokens that the convolution sees."""
    bias: bool = False
    """True where the projections in and out add a bias."""
    out_bias: bool | None = None
    """True where the projection out adds a bias; None for ``bias``."""
    conv_bias: bool = True
    """True where the convolution adds a bias."""
    norm: bool = True
    """True with a norm before the projection out."""

    @property
    def kind(self) -> str:
        """What tables call it."""
        return "state space"

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the layer's input to the output projection."""
        inner = self.heads * self.head_dim
        conv = inner + 2 * self.groups * self.state_size
        wide = inner + conv + self.heads
        yield Product("state_in", hidden, wide, "attention_in")
        if self.bias:
            yield Vector("state_in_bias", wide, ADD_OPS, wide)
        yield from convolution(conv, self.kernel, self.conv_bias, activated=True)
        yield Vector("state_decay", self.heads, 2 * ADD_OPS, 3 * self.heads)  # bias of the step, decay, skip
        numbers = inner * self.state_size
        yield Recur("state_space", numbers, 3 * numbers)  # decay, outer product, read out
        yield Vector("state_norm", inner, RMS_NORM_OPS * self.norm + SILU_OPS + 1, inner * self.norm)
        yield Product("state_out", inner, hidden, "attention_out")
        if self.bias if self.out_bias is None else self.out_bias:
            yield Vector("state_out_bias", hidden, ADD_OPS, hidden)


class LinearAttention(Part):
    """Gated delta net: for every value head a matrix of keys times values that each token decays, mends and reads."""

    type: Literal["linear"] = "linear"
    key_heads: PositiveInt
    """Heads of queries and of keys."""
    value_heads: PositiveInt
    """Heads of values; each has a state."""
    key_dim: PositiveInt
    """Width of a key."""
    value_dim: PositiveInt
    """Width of a value."""
    kernel: PositiveInt
    """Tokens that the convolution sees."""

    @property
    def kind(self) -> str:
        """What tables call it."""
        return "linear attention"

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the layer's input to the output projection."""
        values = self.value_heads * self.value_dim
        conv = 2 * self.key_heads * self.key_dim + values
        yield Product("linear_in", hidden, conv + values, "attention_in")  # queries, keys, values, gate
        yield Product("linear_gates", hidden, 2 * self.value_heads, "attention_in")
        yield from convolution(conv, self.kernel, False, activated=True)
        yield Vector("linear_decay", self.value_heads, 2 * SILU_OPS, 2 * self.value_heads)
        numbers = self.value_heads * self.key_dim * self.value_dim
        yield Recur("linear_state", numbers, 4 * numbers)  # decay, what the key finds, outer product, read out
        yield Vector("linear_norm", values, RMS_NORM_OPS + SILU_OPS + 1, self.value_dim)
        yield Product("linear_out", values, hidden, "attention_out")


class ShortConvolution(Part):
    """LFM2's mixer: a gated convolution over the last few tokens."""

    type: Literal["convolution"] = "convolution"
    kernel: PositiveInt
    """Tokens that the convolution sees."""
    bias: bool = False
    """True where projections and convolution add a bias."""

    @property
    def kind(self) -> str:
        """What tables call it."""
        return "short convolution"

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the layer's input to the output projection."""
        yield Product("conv_in", hidden, 3 * hidden, "attention_in")
        if self.bias:
            yield Vector("conv_in_bias", 3 * hidden, ADD_OPS, 3 * hidden)
        yield Vector("conv_gates", hidden, 2)
        yield from convolution(hidden, self.kernel, self.bias, activated=False)
        yield Product("conv_out", hidden, hidden, "attention_out")
        if self.bias:
            yield Vector("conv_out_bias", hidden, ADD_OPS, hidden)


def convolution(width: int, kernel: int, bias: bool, activated: bool) -> Iterator[Step]:
    """A convolution over the last ``kernel`` tokens, each number by itself; it keeps that many tokens' inputs."""
    weights = width * kernel + width * bias
    yield Vector("convolution", width, 2 * kernel + bias + SILU_OPS * activated, weights)
    yield Recur("convolution_state", width * kernel, 0)
