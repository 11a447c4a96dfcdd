"""A model's weights by their Hugging Face names: their shapes, a random set of them, and a model's own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.llama_config import LlamaConfig
from lpspec.llm.model_spec import ModelSpec


def weight_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a checkpoint of such a model."""
    table = (spec.vocab_size, spec.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": table}
    for layer in range(spec.layers):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in _layer_shapes(spec).items()}
    shapes["model.norm.weight"] = (spec.hidden_size,)
    return shapes if spec.tied_embeddings else {**shapes, "lm_head.weight": table}


def _layer_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for (name, rows), columns, bias in _projections(spec):
        shapes[f"{name}.weight"] = (rows, columns)
        if bias:
            shapes[f"{name}.bias"] = (rows,)
    norms = ("input_layernorm.weight", "post_attention_layernorm.weight")
    return {**shapes, **dict.fromkeys(norms, (spec.hidden_size,))}


def _projections(spec: ModelSpec) -> Iterator[tuple[tuple[str, int], int, bool]]:
    """(name, outputs), inputs and bias of each projection, those that are fused side by side."""
    for name, rows in (("q", spec.query_width), ("k", spec.kv_width), ("v", spec.kv_width)):
        yield (f"self_attn.{name}_proj", rows), spec.hidden_size, spec.qkv_bias
    yield ("self_attn.o_proj", spec.hidden_size), spec.query_width, spec.out_bias
    for name in ("gate", "up"):
        yield (f"mlp.{name}_proj", spec.intermediate_size), spec.hidden_size, False
    yield ("mlp.down_proj", spec.hidden_size), spec.intermediate_size, False


def random_weights(config: LlamaConfig, seed: int, scale: float = 0.02) -> Checkpoint:
    """Weights as before training: norms are 1, biases 0, all else normal with standard deviation ``scale``."""
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Tensor:
        if "norm" in name:
            return torch.ones(shape)
        return torch.zeros(shape) if name.endswith(".bias") else torch.randn(shape, generator=generator) * scale

    return Checkpoint({name: draw(name, shape) for name, shape in weight_shapes(config.spec).items()}, "random weights")
