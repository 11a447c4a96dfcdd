"""Models of transformers written as llama.cpp's converter writes them, with package gguf."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.qkv_proj": "attn_qkv", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
AROUND = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def gguf_name(name: str, around: bool) -> str:
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
    if found is None:
        return WHOLE[name]
    return f"blk.{found[1]}.{(PARTS | AROUND if around else PARTS)[found[2]]}.{found[3]}"


def neighbours_first(tensor: Tensor, heads: int) -> Tensor:
    """Rows of each head in the order 0, half, 1, half + 1 and so on, one at a time."""
    width = len(tensor) // heads
    order = [
        head * width + part * (width // 2) + i for head in range(heads) for i in range(width // 2) for part in (0, 1)
    ]
    return tensor[order]


def write_gguf(
    file: Path,
    model: Any,
    architecture: str,
    kinds: dict[str, str] | None = None,
    extra: dict[str, Tensor] | None = None,
    **keys: Any,
) -> dict[str, Tensor]:
    """Write a model, and return the values that the file means, by the model's names.

    Args:
        kinds: Endings of names in the file, and the type that tensors so named are stored as; else float32.
        extra: Further tensors.
        keys: Further keys, after the architecture's name, dots as double underscores; None leaves one out.
    """
    config = model.config
    said = {
        "block_count": config.num_hidden_layers, "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size, "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads, "context_length": config.max_position_embeddings,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "attention.key_length": getattr(config, "head_dim", config.hidden_size // config.num_attention_heads),
    } | {key.replace("__", "."): value for key, value in keys.items()}  # fmt: skip
    writer = gguf.GGUFWriter(str(file), architecture)
    for key, value in said.items():
        add = writer.add_string if isinstance(value, str) else writer.add_float32 if isinstance(value, float) else None
        if isinstance(value, list):
            writer.add_array(f"{architecture}.{key}", value)
        elif value is not None:
            (add or writer.add_uint32)(f"{architecture}.{key}", value)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    meant: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored = tensor + 1 if architecture.startswith("gemma") and "norm" in name else tensor
        turned = next((count for part, count in heads.items() if f".{part}." in name), 0)
        reorders = architecture in ("llama", "smollm3", "granite") and turned > 0
        stored = neighbours_first(stored, turned) if reorders else stored
        to = gguf_name(name, around=architecture in ("gemma2", "gemma3", "olmo2"))
        kind = next((kind for end, kind in (kinds or {}).items() if to.endswith(end)), "F32")
        values = add_tensor(writer, to, stored, kind)
        if reorders:
            back = neighbours_first(torch.arange(len(values))[:, None], turned)[:, 0].argsort()
            values = values[back]
        meant[name] = values - 1 if architecture.startswith("gemma") and "norm" in name else values
    for name, tensor in (extra or {}).items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant


def add_tensor(writer: Any, name: str, tensor: Tensor, kind: str) -> Tensor:
    """Store a tensor in a type of the package, and return what it then means by the package."""
    numbers, of_type = tensor.float().numpy(), gguf.GGMLQuantizationType[kind]
    if kind == "F32":
        writer.add_tensor(name, numbers)
        return tensor.float()
    data = (
        random_blocks(numbers.shape, of_type)
        if kind.endswith(("_K", "_XS"))
        else gguf.quants.quantize(numbers, of_type)
    )
    writer.add_tensor(name, data, raw_dtype=of_type)
    return torch.from_numpy(gguf.quants.dequantize(data, of_type).reshape(numbers.shape).copy())


def random_blocks(shape: tuple[int, ...], of_type: Any) -> Any:
    """Rows of random blocks with small scales: the package quantises to none of these types."""
    weights, size_bytes = gguf.GGML_QUANT_SIZES[of_type]
    rows, blocks = shape[0], shape[1] // weights
    random = np.random.default_rng(rows * blocks)
    data = random.integers(0, 256, (rows * blocks, size_bytes), np.uint8)
    places = {"Q6_K": (208,), "Q2_K": (80, 82), "Q3_K": (108,), "IQ4_XS": (0,)}.get(of_type.name, (0, 2))
    for place in places:
        halves = random.uniform(-2e-4, 2e-4, (rows * blocks, 1)).astype("<f2")
        data[:, place : place + 2] = halves.view(np.uint8)
    return data.reshape(rows, blocks * size_bytes)
