"""Random models of every family that decodes, made and saved by transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
SLIDING = ["sliding_attention", "full_attention"]
WINDOW = {"sliding_window": 9, "use_sliding_window": True}
TRAINED = {"original_max_position_embeddings": 128}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.1, 1.5, 2.0],
    "long_factor": [1.0, 2.0, 4.0, 9.0],
}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"num_key_value_heads": 4}),
    "llama-gqa-biased": ("Llama", {"attention_bias": True}),
    "llama-tied-head-dim": ("Llama", {"tie_word_embeddings": True, "head_dim": 12}),
    "llama-mlp-bias": ("Llama", {"mlp_bias": True}),
    "llama-rope-linear": ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
    "llama-rope-llama3": ("Llama", {"rope_parameters": LLAMA3}),
    "llama-rope-yarn": ("Llama", {"rope_parameters": YARN}),
    "mistral": ("Mistral", {"sliding_window": None, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2", {}),
    "qwen2-tied": ("Qwen2", {"tie_word_embeddings": True, "rope_parameters": {"rope_theta": 1e6}}),
    "mistral-window": ("Mistral", {"sliding_window": 12}),
    "qwen2-window": ("Qwen2", {"sliding_window": 12, "use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {"head_dim": 12}),
    "qwen3-biased-window": ("Qwen3", {"head_dim": 8, "attention_bias": True, "layer_types": SLIDING, **WINDOW}),
    "smollm3": ("SmolLM3", {"no_rope_layer_interval": 2}),
    "smollm3-window": (
        "SmolLM3", {"no_rope_layers": [0, 1], "use_sliding_window": True, "sliding_window": 10},
    ),
    "gemma": ("Gemma", {"head_dim": 16}),
    "gemma2": ("Gemma2", {"head_dim": 16, "sliding_window": 11, "query_pre_attn_scalar": 24, **CAPS}),
    "gemma3": (
        "Gemma3Text",
        {"head_dim": 16, "sliding_window": 11, "query_pre_attn_scalar": 24, "num_hidden_layers": 7, "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }},
    ),
    "phi3": ("Phi3", {"sliding_window": 30}),
    "phi3-partial": ("Phi3", {"partial_rotary_factor": 0.5, "num_key_value_heads": 2}),
    "phi3-longrope": ("Phi3", {"rope_parameters": LONGROPE, **TRAINED}),
    "olmo2": ("Olmo2", {}),
    "olmo3": (
        "Olmo3",
        {"sliding_window": 11, "num_hidden_layers": 5, "rope_parameters": {
            "full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }},
    ),
    "granite": (
        "Granite",
        {"embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.4, "attention_multiplier": 0.2},
    ),
    "granite-biased": ("Granite", {"attention_bias": True, "mlp_bias": True}),
}  # fmt: skip


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm3-of-4": ("SmolLM3", {"num_hidden_layers": 5}),
    "gemma2-own-scale": ("Gemma2", KINDS["gemma2"][1] | {"query_pre_attn_scalar": 16}),
    "gemma3-own-scale": ("Gemma3Text", KINDS["gemma3"][1] | {"query_pre_attn_scalar": 16}),
    "olmo3-one-base": (
        "Olmo3",
        {
            "sliding_window": 11,
            "num_hidden_layers": 5,
            "rope_parameters": {
                "full_attention": YARN | {"rope_theta": 5e5},
                "sliding_attention": {"rope_type": "default", "rope_theta": 5e5},
            },
        },
    ),
}
"""The same as GGUF files have them, which don't say every key."""


def save_random(kind: str, folder: Path, **saving: Any) -> Any:
    family, changes = (KINDS | OTHERS)[kind]
    torch.manual_seed(sum(map(ord, kind)))
    config = getattr(transformers, f"{family}Config")(**SIZES | changes)
    model = getattr(transformers, f"{family.removesuffix('Text')}ForCausalLM")(config).eval()
    for name, tensor in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            torch.nn.init.normal_(tensor, mean=float("norm" in name), std=0.3)
    model.save_pretrained(folder, **saving)
    return model
