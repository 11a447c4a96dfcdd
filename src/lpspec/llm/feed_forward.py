"""Feed-forward networks: plain, gated, and experts of which a token uses a few."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from lpspec.llm.layers import (
    ACTIVATION_OPS,
    ADD_OPS,
    COMPARE_OPS,
    RMS_NORM_OPS,
    SIGMOID_OPS,
    SOFTMAX_OPS,
    Activation,
    Part,
)
from lpspec.llm.steps import ExpertProduct, Product, Step, Vector


class FeedForward(Part):
    """Up, an activation, and down; a gate multiplies what went up."""

    type: Literal["dense"] = "dense"
    width: PositiveInt
    """Width between the two products."""
    gated: bool = True
    """True where a second product of the same width is multiplied in."""
    activation: Activation = "silu"
    """What is applied in between."""
    up_bias: bool = False
    """True where the first product adds a bias."""
    down_bias: bool = False
    """True where the second product adds a bias."""
    inner_norm: bool = False
    """True with a norm before the second product (BitNet)."""
    learned: NonNegativeInt = 0
    """Weights of the activation itself."""

    @property
    def kind(self) -> str:
        """What tables call it."""
        return "gated" if self.gated else "plain"

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the norm's output to the residual stream."""
        return self.named_steps(hidden, "")

    def named_steps(self, hidden: int, of: str) -> Iterator[Step]:
        """The same under names that begin with ``of``."""
        up = of + ("gate_up" if self.gated else "up")
        wide = self.width * (1 + self.gated)
        yield Product(up, hidden, wide, "ffn_up")
        if self.up_bias:
            yield Vector(f"{up}_bias", wide, ADD_OPS, wide)
        name = f"{of}gated_{self.activation}" if self.gated else of + self.activation
        yield Vector(name, self.width, ACTIVATION_OPS[self.activation] + self.gated, self.learned)
        if self.inner_norm:
            yield Vector(f"{of}inner_norm", self.width, RMS_NORM_OPS, self.width)
        yield Product(f"{of}down", self.width, hidden, "ffn_down")
        if self.down_bias:
            yield Vector(f"{of}down_bias", hidden, ADD_OPS, hidden)


class Experts(Part):
    """Experts of which a router chooses a few for each token, and perhaps one network that every token takes."""

    type: Literal["experts"] = "experts"
    experts: PositiveInt
    """Experts to choose from."""
    top_k: PositiveInt
    """Experts that a token is sent to."""
    width: PositiveInt
    """Width of an expert between its two products."""
    gated: bool = True
    """True where an expert has a gate."""
    activation: Activation = "silu"
    """What is applied in between."""
    biases: bool = False
    """True where the experts' products add biases."""
    router_weights: NonNegativeInt = 0
    """Numbers of the router beside its matrix: biases, and corrections of its choice."""
    shared_width: NonNegativeInt = 0
    """Width of the network that every token takes besides; 0 for none."""
    shared_bias: bool = False
    """True where that network's products add biases."""
    shared_gate: bool = False
    """True where one number per token weighs that network."""
    latent_dim: NonNegativeInt = 0
    """Width that the experts work at, reached by a product before and left by one after; 0 for the model's."""
    latent_bias: bool = False
    """True where those products add biases."""

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        if self.top_k > self.experts:
            raise ValueError(f"a token cannot be sent to {self.top_k} of {self.experts} experts")
        return self

    @property
    def kind(self) -> str:
        """What tables call it."""
        shared = ", shared" if self.shared_width else ""
        return f"{self.top_k} of {self.experts} experts{shared}"

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the norm's output to the residual stream."""
        yield Product("router", hidden, self.experts, "other")
        yield Vector("routing", self.experts, SOFTMAX_OPS + COMPARE_OPS, self.router_weights)
        if self.shared_width:
            shared = FeedForward(
                width=self.shared_width,
                gated=self.gated,
                activation=self.activation,
                up_bias=self.shared_bias,
                down_bias=self.shared_bias,
            )
            yield from shared.named_steps(hidden, "shared_")
        if self.shared_gate:
            yield Product("shared_gate", hidden, 1, "other")
            yield Vector("shared_weight", hidden, SIGMOID_OPS + 1)
        yield from self._routed(hidden)

    def _routed(self, hidden: int) -> Iterator[Step]:
        inner, wide = self.latent_dim or hidden, self.width * (1 + self.gated)
        up = "expert_gate_up" if self.gated else "expert_up"
        if self.latent_dim:
            yield Product("expert_latent_down", hidden, inner, "ffn_up")
            if self.latent_bias:
                yield Vector("expert_latent_down_bias", inner, ADD_OPS, inner)
        yield ExpertProduct(up, inner, wide, self.experts, self.top_k)
        if self.biases:
            yield Vector(f"{up}_bias", wide * self.top_k, ADD_OPS, wide, self.experts, self.top_k)
        ops = ACTIVATION_OPS[self.activation] + self.gated
        yield Vector("expert_activation", self.width * self.top_k, ops)
        yield ExpertProduct("expert_down", self.width, inner, self.experts, self.top_k)
        if self.biases:
            yield Vector("expert_down_bias", inner * self.top_k, ADD_OPS, inner, self.experts, self.top_k)
        yield Vector("expert_sum", inner * self.top_k, 2 * ADD_OPS)
        if self.latent_dim:
            yield Product("expert_latent_up", inner, hidden, "ffn_down")
            if self.latent_bias:
                yield Vector("expert_latent_up_bias", hidden, ADD_OPS, hidden)
