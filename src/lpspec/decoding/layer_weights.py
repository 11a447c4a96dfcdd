"""The weights of one decoder layer, by their Hugging Face names, made ready to be passed through."""

from __future__ import annotations

from math import prod

from torch import Tensor

from lpspec.decoding.architecture import PLAIN
from lpspec.decoding.checkpoint import Tensors
from lpspec.decoding.computing import Computing
from lpspec.decoding.layer import Attention, DecoderLayer, GatedMlp
from lpspec.decoding.linear import Linear, take_linear
from lpspec.decoding.model_config import ModelConfig
from lpspec.errors import InputError

_NORMS = {
    "before": ("input_layernorm", None, "post_attention_layernorm", None),
    "around": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
    "after": (None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
}
"""Names of the norms before attention, after it, before the feed-forward layer and after it."""


def take_layer(
    config: ModelConfig,
    tensors: Tensors,
    prefix: str,
    computing: Computing,
    index: int = 0,
) -> DecoderLayer:
    """Fuse the weights of one decoder layer.

    Args:
        config: Dimensions and constants.
        tensors: Where the weights are.
        prefix: How their names begin, such as ``"model.layers.0."``.
        computing: How the layer computes.
        index: Which of the layers it is, 0-based: some differ in kind.

    Raises:
        InputError: A tensor is missing or has another shape.
    """
    layer = _LayerTensors(config, tensors, prefix, computing)
    before, after, before_mlp, after_mlp = _NORMS[config.architecture.norms]
    return DecoderLayer(
        layer.norm(before),
        layer.attention(index),
        layer.norm(before_mlp),
        layer.mlp(),
        config.rms_norm_eps,
        layer.norm(after),
        layer.norm(after_mlp),
        config.architecture.residual_factor,
    )


def take_draft_layer(
    config: ModelConfig, tensors: Tensors, prefix: str, computing: Computing, inputs: int | None = None
) -> DecoderLayer:
    """The same of a draft head, which is Llama's layer.

    Args:
        config: Dimensions and constants.
        tensors: Where the weights are.
        prefix: As for ``take_layer``.
        computing: Likewise.
        inputs: Width of what goes into attention; None for the hidden size, and then no norm stands before attention.

    Raises:
        InputError: A tensor is missing or has another shape, or the configuration is of another kind of layer.
    """
    if config.architecture.model_copy(update={"layers": ()}) != PLAIN:
        raise InputError(f"a draft layer of {config.shape.name}'s kind is not computed, allowed is that of Llama")
    layer = _LayerTensors(config, tensors, prefix, computing, inputs)
    before, _, before_mlp, _ = _NORMS["before"]
    norm = None if inputs is None else layer.norm(before)
    return DecoderLayer(norm, layer.attention(0), layer.norm(before_mlp), layer.mlp(), config.rms_norm_eps)


class _LayerTensors:
    """Takes the parts of one layer."""

    def __init__(
        self, config: ModelConfig, tensors: Tensors, prefix: str, computing: Computing, inputs: int | None = None
    ) -> None:
        self._config, self._tensors, self._prefix, self._computing = config, tensors, prefix, computing
        self._inputs = inputs or config.shape.hidden_size

    def norm(self, name: str | None, *shape: int) -> Tensor | None:
        """The scales of a norm, [hidden size] or of another shape; None where it has no name."""
        if name is None:
            return None
        shape = shape or (self._config.shape.hidden_size,)
        taken = take_norm(self._config, self._tensors, f"{self._prefix}{name}.weight", prod(shape), self._computing)
        return taken.view(*shape)

    def attention(self, index: int) -> Attention:
        """Attention of the layer with this index."""
        sizes, how = self._config.shape, self._config.architecture
        rows = {"q": sizes.query_width, "k": sizes.kv_width, "v": sizes.kv_width}
        fused = {"qkv_proj": sum(rows.values())} if how.fused else {f"{name}_proj": n for name, n in rows.items()}
        norms: dict[str, Tensor | None] = {"q_norm": None, "k_norm": None}
        if how.query_key_norm != "none":
            for name, heads in (("q_norm", sizes.heads), ("k_norm", sizes.kv_heads)):
                shape = (sizes.head_dim,) if how.query_key_norm == "head" else (heads, sizes.head_dim)
                norms[name] = self.norm(f"self_attn.{name}", *shape)
        return Attention(
            self._linear("self_attn.", fused, self._inputs, sizes.qkv_bias),
            self._linear("self_attn.", {"o_proj": sizes.hidden_size}, sizes.query_width, sizes.out_bias),
            sizes.heads,
            sizes.kv_heads,
            sizes.head_dim,
            how.kind(index),
            norms["q_norm"],
            norms["k_norm"],
            self._config.rms_norm_eps,
            how.attention_scale,
            how.attention_cap,
        )

    def mlp(self) -> GatedMlp:
        """The feed-forward layer."""
        sizes, how = self._config.shape, self._config.architecture
        width = sizes.intermediate_size
        fused = {"gate_up_proj": 2 * width} if how.fused else {"gate_proj": width, "up_proj": width}
        return GatedMlp(
            self._linear("mlp.", fused, sizes.hidden_size, how.mlp_bias),
            self._linear("mlp.", {"down_proj": sizes.hidden_size}, width, how.mlp_bias),
            how.activation,
        )

    def _linear(self, part: str, outputs: dict[str, int], inputs: int, bias: bool) -> Linear:
        named = {f"{self._prefix}{part}{name}": rows for name, rows in outputs.items()}
        return take_linear(self._tensors, named, inputs, bias, self._computing)


def take_norm(config: ModelConfig, tensors: Tensors, name: str, width: int, computing: Computing) -> Tensor:
    """The scales [width] of the norm of that name.

    Raises:
        InputError: The tensor is missing or has another shape.
    """
    weight = tensors.take(name, width)
    if config.architecture.norms_add_one:
        weight = weight.float() + 1
    return weight.to(computing.device, computing.dtype)
