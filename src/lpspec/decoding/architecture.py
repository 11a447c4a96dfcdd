"""How a decoder's layers differ from Llama's: norms, rotations, windows, factors, and how weights are named."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from lpspec.llm.model_spec import ModelSpec


class Shape(BaseModel):
    """The dimensions of a decoder whose layers are all as wide, and which of their products add a bias."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """What messages call the model."""
    layers: PositiveInt
    """Decoder layers."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    intermediate_size: PositiveInt
    """Width of the gated feed-forward layer."""
    heads: PositiveInt
    """Query heads per layer."""
    kv_heads: PositiveInt
    """Key and value heads per layer."""
    head_dim: PositiveInt
    """Width of one head."""
    vocab_size: PositiveInt
    """Rows of the embedding table, padding rows included."""
    tied_embeddings: bool
    """The output layer is the embedding table."""
    qkv_bias: bool
    """Queries, keys and values have a bias each."""
    out_bias: bool = False
    """The attention output projection adds a bias."""
    max_context: PositiveInt
    """Positions that are computed."""

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together, and likewise of all value heads."""
        return self.kv_heads * self.head_dim


def shape_of(spec: ModelSpec) -> Shape:
    """That of a model whose layers are Llama's."""
    return Shape(**{field: getattr(spec, field) for field in Shape.model_fields})


class LayerKind(BaseModel):
    """What one layer attends to, and how it rotates positions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    window: PositiveInt | None = None
    """Tokens that are attended to, the last ones, the own one included; None for all."""
    rotation: Literal["global", "local", "none"] = "global"
    """The model's rotation, that of its local layers, or none at all."""


FULL = LayerKind()
"""Llama's."""


class Architecture(BaseModel):
    """What is computed beside Llama's layer, whose values these defaults are."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    layers: tuple[LayerKind, ...] = ()
    """One for each layer; empty where all are alike."""
    norms: Literal["before", "after", "around"] = "before"
    """Where norms stand: before attention and feed-forward layer, after them, or both."""
    norms_add_one: bool = False
    """Norms scale by 1 + weight."""
    query_key_norm: Literal["none", "head", "all"] = "none"
    """Queries and keys are normalised: each head by itself, or all heads of a token together."""
    activation: Literal["silu", "gelu_tanh"] = "silu"
    """Of the feed-forward layer's gate."""
    mlp_bias: bool = False
    """The feed-forward layer's products add a bias."""
    fused: bool = False
    """Queries, keys and values are one tensor (``qkv_proj``), gate and up another (``gate_up_proj``)."""
    attention_scale: PositiveFloat | None = None
    """Of scores; None for 1 / sqrt(head_dim)."""
    attention_cap: PositiveFloat | None = None
    """Scores s become cap * tanh(s / cap)."""
    logit_cap: PositiveFloat | None = None
    """Logits likewise."""
    embedding_factor: PositiveFloat = 1.0
    """Multiplies embeddings."""
    residual_factor: PositiveFloat = 1.0
    """Multiplies what attention and feed-forward layer add to the stream."""
    logit_divisor: PositiveFloat = 1.0
    """Divides logits."""

    def kind(self, layer: int) -> LayerKind:
        """That of a layer, 0-based."""
        return self.layers[layer] if self.layers else FULL


PLAIN = Architecture()
"""Llama's."""
