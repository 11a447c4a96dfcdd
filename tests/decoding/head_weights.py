"""Random draft heads under the names of published checkpoints."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpspec.llm.model_spec import ModelSpec

Weights = dict[str, Tensor]


def draw(shapes: dict[str, tuple[int, ...]], seed: int = 0, scale: float = 0.3) -> Weights:
    """Normal weights; norms are around 1, so that a missing one is seen."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=random) * scale + (1.0 if "norm" in name else 0.0)
        for name, shape in shapes.items()
    }


def medusa_weights(spec: ModelSpec, heads: int = 3, blocks: int = 1, own: bool = True, prefix: str = "") -> Weights:
    hidden = spec.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for head in range(heads):
        for block in range(blocks):
            shapes[f"{prefix}{head}.{block}.linear.weight"] = (hidden, hidden)
            shapes[f"{prefix}{head}.{block}.linear.bias"] = (hidden,)
        if own:
            shapes[f"{prefix}{head}.{blocks}.weight"] = (spec.vocab_size, hidden)
    return draw(shapes)


def layer_shapes(spec: ModelSpec, prefix: str, inputs: int) -> dict[str, tuple[int, ...]]:
    hidden, wide = spec.hidden_size, spec.intermediate_size
    return {
        f"{prefix}self_attn.q_proj.weight": (spec.query_width, inputs),
        f"{prefix}self_attn.k_proj.weight": (spec.kv_width, inputs),
        f"{prefix}self_attn.v_proj.weight": (spec.kv_width, inputs),
        f"{prefix}self_attn.o_proj.weight": (hidden, spec.query_width),
        f"{prefix}mlp.gate_proj.weight": (wide, hidden),
        f"{prefix}mlp.up_proj.weight": (wide, hidden),
        f"{prefix}mlp.down_proj.weight": (hidden, wide),
        f"{prefix}post_attention_layernorm.weight": (hidden,),
    }


def eagle_weights(spec: ModelSpec, bias: bool = True, qkv_bias: bool = False) -> Weights:
    hidden = spec.hidden_size
    shapes = {"fc.weight": (hidden, 2 * hidden), **layer_shapes(spec, "layers.0.", hidden)}
    if bias:
        shapes["fc.bias"] = (hidden,)
    if qkv_bias:
        widths = {"q": spec.query_width, "k": spec.kv_width, "v": spec.kv_width}
        shapes |= {f"layers.0.self_attn.{name}_proj.bias": (width,) for name, width in widths.items()}
    return draw(shapes, scale=0.2)


def eagle3_weights(spec: ModelSpec, drafted: list[int] | None) -> Weights:
    """With a draft vocabulary of these tokens, ascending; None for the model's own."""
    hidden = spec.hidden_size
    shapes = {
        "fc.weight": (hidden, 3 * hidden),
        **layer_shapes(spec, "midlayer.", 2 * hidden),
        "midlayer.input_layernorm.weight": (hidden,),
        "midlayer.hidden_norm.weight": (hidden,),
        "norm.weight": (hidden,),
        "lm_head.weight": (spec.vocab_size if drafted is None else len(drafted), hidden),
    }
    weights = draw(shapes, scale=0.2)
    if drafted is not None:
        weights["d2t"] = torch.tensor(drafted) - torch.arange(len(drafted))
        weights["t2d"] = torch.tensor(np.isin(np.arange(spec.vocab_size), drafted))
    return weights


def config_json(spec: ModelSpec, **more: Any) -> dict[str, Any]:
    """What a ``config.json`` says of such a model."""
    return {
        "model_type": "llama",
        "num_hidden_layers": spec.layers,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.head_dim,
        "vocab_size": spec.vocab_size,
        "max_position_embeddings": spec.max_context,
        "rms_norm_eps": 1e-6,
        **more,
    }


def write_head(folder: Path, name: str, weights: Weights, config: dict[str, Any] | None = None) -> Path:
    """Write a published folder: ``name`` decides whether it is safetensors or a torch file."""
    folder.mkdir(exist_ok=True)
    if name.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(weights, folder / name)
    else:
        torch.save(weights, folder / name)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
