"""A model's weights by their Hugging Face names: their shapes, a random set of them, and a model's own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lpspec.decoding.architecture import Shape
from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.model_config import ModelConfig


def weight_shapes(sizes: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a checkpoint of such a model."""
    table = (sizes.vocab_size, sizes.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": table}
    for layer in range(sizes.layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in _layer_shapes(sizes).items()}
    shapes["model.norm.weight"] = (sizes.hidden_size,)
    return shapes if sizes.tied_embeddings else {**shapes, "lm_head.weight": table}


def _layer_shapes(sizes: Shape) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for (name, rows), columns, bias in _projections(sizes):
        shapes[f"{name}.weight"] = (rows, columns)
        if bias:
            shapes[f"{name}.bias"] = (rows,)
    norms = ("input_layernorm.weight", "post_attention_layernorm.weight")
    return {**shapes, **dict.fromkeys(norms, (sizes.hidden_size,))}


def _projections(sizes: Shape) -> Iterator[tuple[tuple[str, int], int, bool]]:
    """(name, outputs), inputs and bias of each projection, those that are fused side by side."""
    for name, rows in (("q", sizes.query_width), ("k", sizes.kv_width), ("v", sizes.kv_width)):
        yield (f"self_attn.{name}_proj", rows), sizes.hidden_size, sizes.qkv_bias
    yield ("self_attn.o_proj", sizes.hidden_size), sizes.query_width, sizes.out_bias
    for name in ("gate", "up"):
        yield (f"mlp.{name}_proj", sizes.intermediate_size), sizes.hidden_size, False
    yield ("mlp.down_proj", sizes.hidden_size), sizes.intermediate_size, False


def random_weights(config: ModelConfig, seed: int, scale: float = 0.02) -> Checkpoint:
    """Weights as before training: norms are 1, biases 0, all else normal with standard deviation ``scale``."""
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Tensor:
        if "norm" in name:
            return torch.ones(shape)
        return torch.zeros(shape) if name.endswith(".bias") else torch.randn(shape, generator=generator) * scale

    drawn = {name: draw(name, shape) for name, shape in weight_shapes(config.shape).items()}
    return Checkpoint(drawn, "random weights")
