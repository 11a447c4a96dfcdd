"""Model folders as others store them: the same tiny model in float, INT8 and float8 layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from head_weights import config_json
from safetensors.torch import save_file
from tiny_llama import tiny_config
from torch import Tensor

from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.transformer import Transformer

Tensors = dict[str, Tensor]
Stored = tuple[Tensors, Tensor]
"""What stands in place of a weight, by the ends of the names after the layer's, and the values that it means."""

CONFIG = tiny_config()


def weights(seed: int = 3, **sizes: Any) -> Tensors:
    return dict(random_weights(tiny_config(**sizes), seed, scale=0.3).tensors)


def write_model(folder: Path, tensors: Tensors, **keys: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_json(CONFIG.spec, **keys)), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def w8a8(weight: Tensor, column: bool = True) -> Stored:
    scale = weight.abs().amax(1) / 127
    whole = (weight / scale[:, None]).round().to(torch.int8)
    stored = (scale[:, None] if column else scale).bfloat16() if column else scale
    return {"weight": whole, "weight_scale": stored}, whole.double() * stored.double().reshape(-1, 1)


def w8a8_of_a_tensor(weight: Tensor) -> Stored:
    scale = weight.abs().max() / 127
    whole = (weight / scale).round().to(torch.int8)
    return {"weight": whole, "weight_scale": scale.reshape(1)}, whole.double() * scale.double()


def llm_int8(weight: Tensor) -> Stored:
    largest = weight.abs().amax(1)
    whole = (weight / largest[:, None] * 127).round().to(torch.int8)
    beside = {"SCB": largest, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return {"weight": whole, **beside}, whole.double() * largest.double()[:, None] / 127


def float8(weight: Tensor, kind: torch.dtype, shape: tuple[int, ...], name: str = "weight_scale") -> Stored:
    """With one scale for all where the shape is () or (1,), or for each row where it is (rows, 1)."""
    largest = weight.abs().amax(1, keepdim=True) if len(shape) == 2 else weight.abs().max()
    scale = largest / torch.finfo(kind).max
    whole = (weight / scale).to(kind)
    return {"weight": whole, name: scale.reshape(shape)}, whole.double() * scale.double()


def float8_blocks(weight: Tensor, high: int, wide: int, name: str = "weight_scale_inv") -> Stored:
    """Every block scaled by itself, one element at a time; the last blocks may be cut."""
    rows, columns = weight.shape
    scale = torch.empty(-(-rows // high), -(-columns // wide))
    whole, values = torch.empty(rows, columns, dtype=torch.float8_e4m3fn), torch.empty(rows, columns).double()
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            part = slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide)
            scale[i, j] = weight[part].abs().max() / 448
            whole[part] = (weight[part] / scale[i, j]).to(torch.float8_e4m3fn)
            values[part] = whole[part].double() * scale[i, j].double()
    return {"weight": whole, name: scale}, values


def stored_model(store: Callable[[Tensor], Stored], tensors: Tensors | None = None) -> tuple[Tensors, Tensors]:
    """Every projection stored in a layout, and the float model that this means."""
    stored: Tensors = {}
    meant: Tensors = {}
    for name, tensor in (tensors or weights()).items():
        if not name.endswith("_proj.weight"):
            stored[name] = meant[name] = tensor
            continue
        parts, values = store(tensor)
        stored |= {f"{name.removesuffix('weight')}{end}": part for end, part in parts.items()}
        meant[name] = values.float()
    return stored, meant


@torch.inference_mode()
def logits(model: Transformer) -> Tensor:
    tokens = torch.arange(24) * 5 % model.config.spec.vocab_size
    return model.logits(model.forward(tokens).hidden)
