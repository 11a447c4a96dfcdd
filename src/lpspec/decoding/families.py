"""What an absent key of a ``config.json`` means, family by family, of those that decode.

Source: the configuration classes of transformers 5.23.0; 5.24.0 has the same. MiMo's is XiaomiMiMo/MiMo-7B's own,
configuration_mimo.py: Qwen2 with layers for multi-token prediction, which are their drafter's.
"""

from __future__ import annotations

from typing import Any

from lpspec.llm.families.family import COMMON

_LLAMA: dict[str, Any] = COMMON | {
    "attention_bias": False,
    "mlp_bias": False,
    "layer_types": None,
    "eos_token_id": 2,
}
_QWEN2: dict[str, Any] = _LLAMA | {
    "vocab_size": 151_936,
    "intermediate_size": 22_016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32_768,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "eos_token_id": None,
}
_GEMMA: dict[str, Any] = _LLAMA | {
    "vocab_size": 256_000,
    "hidden_size": 3072,
    "intermediate_size": 24_576,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "use_bidirectional_attention": None,
    "eos_token_id": 1,
}
_GEMMA2: dict[str, Any] = {key: value for key, value in _GEMMA.items() if key != "hidden_act"} | {
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "final_logit_softcapping": 30.0,
    "attn_logit_softcapping": 50.0,
}
_OLMO2: dict[str, Any] = _LLAMA | {"vocab_size": 50_304, "rms_norm_eps": 1e-5, "eos_token_id": 50_279}

DECODED: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA
    | {
        "intermediate_size": 14_336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131_072,
        "sliding_window": 4096,
    },
    "qwen2": _QWEN2,
    "qwen3": _QWEN2 | {"head_dim": 128},
    "mimo": _QWEN2 | {"num_nextn_predict_layers": 0},
    "smollm3": _LLAMA
    | {
        "vocab_size": 128_256,
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 32_768,
        "rope_theta": 2_000_000.0,
        "use_sliding_window": False,
        "sliding_window": None,
        "no_rope_layers": None,
        "no_rope_layer_interval": 4,
        "tie_word_embeddings": True,
        "eos_token_id": 128_001,
    },
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2
    | {
        "vocab_size": 262_208,
        "max_position_embeddings": 131_072,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
        "sliding_window_pattern": 6,
        "final_logit_softcapping": None,
        "attn_logit_softcapping": None,
    },
    "phi3": _LLAMA
    | {
        "vocab_size": 32_064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "sliding_window": None,
        "eos_token_id": 32_000,
    },
    "olmo2": _OLMO2,
    "olmo3": _OLMO2 | {"rope_theta": 500_000.0, "sliding_window": 4096},
    "granite": _LLAMA
    | {"embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 1.0},
}
"""By ``model_type``: every key that is used, and what its absence means."""

CLASSES = {
    "LLaMAForCausalLM",
    *(f"{name}ForCausalLM" for name in ("Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3", "Gemma", "Gemma2", "Gemma3")),
    *(f"{name}ForCausalLM" for name in ("Phi3", "Olmo2", "Olmo3", "Granite", "MiMo")),
}
"""Classes that compute a whole decoder with its LM head and nothing else; which of them it is, ``model_type`` says."""

OWN_CODE = {"phi3": "Phi3ForCausalLM", "mimo": "MiMoForCausalLM"}
"""Families whose published files name code of their own, and the class in it whose computation is known."""

NESTED_ROTATIONS = ("gemma3_text", "olmo3")
"""Families that give full and sliding layers a rotation each."""
