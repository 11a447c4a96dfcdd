"""Models in GGUF files: what their keys say of the decoder, and their tensors under the names of the hub.

Keys, names and the order of rows are those that ggml-org/llama.cpp's convert_hf_to_gguf.py writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.families import DECODED
from lpspec.decoding.gguf_blocks import block_values
from lpspec.decoding.model_config import ModelConfig, as_decoded
from lpspec.decoding.rope import LongRope
from lpspec.decoding.stored_weights import Storage
from lpspec.errors import InputError, shown
from lpspec.llm.gguf import GgufFile, read_gguf
from lpspec.llm.stored_tensors import StoredTensor

_FAMILIES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "smollm3": "smollm3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi3": "phi3",
    "granite": "granite",
    "olmo2": "olmo2",
}
"""``general.architecture`` to ``model_type``. Mistral's files are Llama's, too, and OLMo 3's OLMo 2's with a window."""

_TURNED_BY_NEIGHBOURS = ("llama", "smollm3", "granite")
"""Architectures that turn neighbouring numbers of a head, for which the rows of queries and keys were reordered."""

_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
}
_KEYS_OF = {
    "gemma2": {
        "attention.sliding_window": "sliding_window",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping",
    },
    "gemma3": {"attention.sliding_window": "sliding_window", "rope.freq_base_swa": "rope_local_base_freq"},
    "phi3": {
        "attention.sliding_window": "sliding_window",
        "rope.scaling.original_context_length": "original_max_position_embeddings",
    },
    "olmo2": {"attention.sliding_window": "sliding_window", "attention.sliding_window_pattern": "layer_types"},
    "granite": {
        "embedding_scale": "embedding_multiplier",
        "residual_scale": "residual_multiplier",
        "logit_scale": "logits_scaling",
        "attention.scale": "attention_multiplier",
    },
}
"""Keys, after the architecture's name, and what they are called in a ``config.json``."""

_ROTATION = "rope.dimension_count", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length"
_SAYS_NOTHING = {"vocab_size", "rope.scaling.finetuned", "rope.scaling.attn_factor", "attention.value_length"}
_FACTORS = "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"

_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_PARTS_AROUND = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_BIASES = (("attention", "attn_q"), ("mlp", "ffn_gate"))
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")


def open_gguf(path: str | Path) -> tuple[ModelConfig, Checkpoint]:
    """What a GGUF file says of its decoder, and its weights, whose values are told when they are taken.

    Raises:
        InputError: It is damaged, of an architecture that is not computed, or holds keys that are not known.
    """
    file, found = Path(path), read_gguf(path)
    where = f"GGUF file '{shown(str(file), 50)}'"
    tensors = {tensor.name: tensor for tensor in found.tensors}
    architecture = _architecture(found, where)
    content = _content(found, architecture, tensors, where)
    config = _as_stored(as_decoded(content, file, where), found, architecture, tensors, where)
    types = {tensor.type_name for tensor in found.tensors if len(tensor.shape) > 1}
    checkpoint = Checkpoint(_GgufTensors(config, architecture, tensors, where), where, Storage(method="gguf"))
    checkpoint.dequantised = {f"GGUF ({', '.join(sorted(types))})"}
    return config, checkpoint


def _architecture(found: GgufFile, where: str) -> str:
    named = found.keys.get("general.architecture")
    if not isinstance(named, str) or named not in _FAMILIES:
        raise InputError(
            f"{where}: general.architecture = {shown(repr(named), 30)}: allowed are {', '.join(_FAMILIES)}"
        )
    return named


def _content(found: GgufFile, architecture: str, tensors: Mapping[str, StoredTensor], where: str) -> dict[str, Any]:
    """The same as a ``config.json`` would say it.

    Raises:
        InputError: A key is not known.
    """
    start = f"{architecture}."
    keys = {key.removeprefix(start): value for key, value in found.keys.items() if key.startswith(start)}
    names = _KEYS | _KEYS_OF.get(architecture, {})
    unknown = [key for key in keys if key not in names and key not in _ROTATION and key not in _SAYS_NOTHING]
    if unknown:
        raise InputError(f"{where}: '{start}{shown(unknown[0], 50)}' may change what is computed, and is not known")
    content: dict[str, Any] = {names[key]: value for key, value in keys.items() if key in names}
    if architecture == "olmo2":
        _third_olmo(content, where)
    content |= {
        "model_type": content.get("model_type", _FAMILIES[architecture]),
        "tie_word_embeddings": "output.weight" not in tensors,
    }
    if "token_embd.weight" in tensors:
        content["vocab_size"] = tensors["token_embd.weight"].shape[0]
    content |= {f"{part}_bias": f"blk.0.{name}.bias" in tensors for part, name in _BIASES if architecture != "phi3"}
    ends = [found.keys.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    content["eos_token_id"] = [end for end in ends if end is not None] or None
    heads, width = keys.get("attention.head_count"), keys.get("embedding_length")
    if isinstance(heads, int) and isinstance(width, int) and heads > 0:
        content.setdefault("head_dim", width // heads)
    if keys.get("attention.value_length", content.get("head_dim")) != content.get("head_dim"):
        raise InputError(f"{where}: '{start}attention.value_length' differs from the width of keys: not computed")
    if architecture in ("gemma2", "gemma3"):
        largest = keys.get("block_count") == {"gemma2": 46, "gemma3": 62}[architecture]  # 27B, whose scale is another
        content["query_pre_attn_scalar"] = width // heads if largest else content["head_dim"]  # type: ignore[operator]
    return content | _rotation(keys, architecture, content, where)


def _third_olmo(content: dict[str, Any], where: str) -> None:
    """OLMo 3: layers that slide, of which the others' rotation alone is scaled."""
    slides = content.pop("layer_types", None)
    if content.get("sliding_window") is None:
        return
    content["model_type"] = "olmo3"
    if isinstance(slides, tuple):
        content["layer_types"] = [f"{'sliding' if slide else 'full'}_attention" for slide in slides]
    elif slides is not None:
        raise InputError(f"{where}: 'olmo2.attention.sliding_window_pattern' must say of each layer whether it slides")
    if content.get("rope_theta") != DECODED["olmo3"]["rope_theta"]:
        said = content.get("rope_theta")
        raise InputError(f"{where}: 'olmo2.rope.freq_base' = {said}: with a window only 500000 is computed")


def _rotation(
    keys: Mapping[str, object], architecture: str, content: Mapping[str, Any], where: str
) -> dict[str, object]:
    """What is said of the rotation of positions."""
    turned, width = keys.get("rope.dimension_count", content.get("head_dim")), content.get("head_dim")
    if architecture == "phi3" and isinstance(turned, int) and isinstance(width, int) and width:
        return {"partial_rotary_factor": turned / width}
    if turned != width:
        raise InputError(f"{where}: '{architecture}.rope.dimension_count' = {turned}, expected is {width}")
    kind = keys.get("rope.scaling.type", "none")
    scaling = {"rope_type": kind, "factor": keys.get("rope.scaling.factor")}
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = keys.get("rope.scaling.original_context_length")
    return {} if kind == "none" else {"rope_scaling": scaling}


def _as_stored(
    config: ModelConfig, found: GgufFile, architecture: str, tensors: Mapping[str, StoredTensor], where: str
) -> ModelConfig:
    """Gemma's norms are stored with the one added, and factors of single frequencies as tensors."""
    changes: dict[str, object] = {"architecture": config.architecture.model_copy(update={"norms_add_one": False})}
    factors = next((tensors[name] for name in _FACTORS[:2] if name in tensors), None)
    if factors is not None:
        attention = found.keys.get(f"{architecture}.rope.scaling.attn_factor", 1.0)
        values = tuple(_values(factors, where).tolist())
        if 2 * len(values) != config.rope.turned(config.shape.head_dim):
            raise InputError(f"{where}: '{factors.name}' has {len(values)} factors, another number than is turned")
        scaling = LongRope(short_factor=values, attention_factor=float(str(attention)))
        changes["rope"] = config.rope.model_copy(update={"scaling": scaling})
        if architecture == "phi3":
            trained = found.keys.get("phi3.rope.scaling.original_context_length", config.shape.max_context)
            return config.with_shape(max_context=trained).model_copy(update=changes)
    return config.model_copy(update=changes)


class _GgufTensors(Mapping[str, Tensor]):
    """A file's tensors under their names on the hub, as float32; told anew whenever one is asked for but the last."""

    def __init__(self, config: ModelConfig, architecture: str, tensors: Mapping[str, StoredTensor], where: str) -> None:
        parts = _PARTS | (_PARTS_AROUND if config.architecture.norms != "before" else {})
        if config.architecture.fused:
            parts = parts | {"ffn_up": "mlp.gate_up_proj"}
        self._stored = {_hub_name(name, parts): tensor for name, tensor in tensors.items() if name not in _FACTORS}
        self._where, self._last = where, ("", torch.empty(0))
        shape = config.shape
        reordered = architecture in _TURNED_BY_NEIGHBOURS
        self._heads = {"q_proj": shape.heads, "k_proj": shape.kv_heads} if reordered else {}

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._stored:
            raise KeyError(name)
        if self._last[0] != name:
            stored = self._stored[name]
            self._last = name, self._in_order(name, torch.from_numpy(_values(stored, self._where)).view(stored.shape))
        return self._last[1]

    def _in_order(self, name: str, tensor: Tensor) -> Tensor:
        """Rows of queries and keys as on the hub, where number i of a head is turned with i + head_dim / 2."""
        heads = next((count for layer, count in self._heads.items() if f".{layer}." in name), None)
        if heads is None or len(tensor) % (2 * heads):
            return tensor
        by_pairs = tensor.view(heads, len(tensor) // heads // 2, 2, -1)
        return by_pairs.transpose(1, 2).reshape(tensor.shape)


def _hub_name(name: str, parts: Mapping[str, str]) -> str:
    """A tensor's name on the hub; its own where it has no other."""
    found = _BLOCK.fullmatch(name)
    if found is None or found[2] not in parts:
        return _WHOLE.get(name, name)
    return f"model.layers.{found[1]}.{parts[found[2]]}.{found[3]}"


def _values(stored: StoredTensor, where: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    data = np.fromfile(stored.file, np.uint8, stored.size_bytes, offset=stored.offset)
    if len(data) != stored.size_bytes:
        raise InputError(f"{where}: '{shown(stored.name, 40)}' ends after its file: cut short?")
    return block_values(data, stored.type_name, f"{where}: '{shown(stored.name, 40)}'")
