"""Models that see and hear too: which part of their configuration describes the text decoder."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lpspec.llm.families.family import Family
from lpspec.llm.families.latent import FAMILIES as LATENT
from lpspec.llm.families.llama_like import FAMILIES as LLAMA_LIKE
from lpspec.llm.families.mixtures import FAMILIES as MIXTURES


def _as(family: Family, **keys: Any) -> Family:
    return replace(family, keys=family.keys | keys)


_QWEN2_VL = _as(
    LLAMA_LIKE["qwen2"],
    vocab_size=152_064,
    hidden_size=8192,
    intermediate_size=29_568,
    num_hidden_layers=80,
    num_attention_heads=64,
    num_key_value_heads=8,
    max_window_layers=80,
)

FAMILIES: dict[str, Family] = {
    "qwen2_vl_text": _QWEN2_VL,
    "qwen2_5_vl_text": _QWEN2_VL,
    "qwen3_vl_text": _as(LLAMA_LIKE["qwen3"], max_position_embeddings=128_000),
    "qwen3_vl_moe_text": _as(
        MIXTURES["qwen3_moe"],
        intermediate_size=5632,
        num_attention_heads=16,
        num_key_value_heads=16,
        max_position_embeddings=128_000,
        moe_intermediate_size=1408,
        num_experts_per_tok=4,
        num_experts=60,
    ),
    "kimi_k2": LATENT["deepseek_v3"],
}
"""Text decoders that stand only within others, and a name of the same kind."""

TEXT_PARTS = {
    "audioflamingo3": "qwen2",
    "aya_vision": "cohere2",
    "cohere2_vision": "cohere2",
    "deepseek_vl": "llama",
    "exaone4_5": "exaone4",
    "fast_vlm": "qwen2",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "glm46v": "glm4v_text",
    "glm4v": "glm4v_text",
    "glm4v_moe": "glm4v_moe_text",
    "got_ocr2": "qwen2",
    "granite_speech": "granite",
    "idefics2": "mistral",
    "idefics3": "llama",
    "internvl": "qwen2",
    "janus": "llama",
    "kimi_k25": "kimi_k2",
    "lfm2_vl": "lfm2",
    "llama4": "llama4_text",
    "lighton_ocr": "qwen3",
    "llava": "llama",
    "llava_next": "llama",
    "llava_next_video": "llama",
    "llava_onevision": "qwen2",
    "mistral3": "mistral",
    "ovis2": "qwen2",
    "paligemma": "gemma",
    "perception_lm": "llama",
    "qwen2_audio": "qwen2",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "smolvlm": "llama",
    "video_llama_3": "qwen2",
    "video_llava": "llama",
    "vipllava": "llama",
    "voxtral": "llama",
}
"""What ``text_config`` describes where it does not say its own ``model_type``."""

_OF_OTHER_PARTS = ("vision", "image", "video", "audio", "mm_", "projector", "boi_", "eoi_", "boa_", "eoa_", "spatial")


_OF_OTHERS = {
    "paligemma": re.compile("num_image_tokens"),
    **dict.fromkeys(
        ("idefics3", "smolvlm"),
        re.compile("perceiver_config|pixel_shuffle_factor|transformers_js_config|resampler_.*"),
    ),
}
"""Keys of a model's other parts that its text decoder's configuration repeats."""

OWN_CODE = {"kimi_k25": ("kimi_k25",)}
"""Names of the code that a multimodal model had before the library had it, without ``modeling_``."""


def text_part(content: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the text decoder in that of a multimodal model, with what is said for all parts."""
    kind = str(content["model_type"])
    nested = content.get("text_config")
    if nested is None:  # as the first Qwen2-VL and 2.5-VL were saved
        text = {key: value for key, value in content.items() if not key.startswith(_OF_OTHER_PARTS)}
        text.pop("architectures", None)
        text.pop("text_config", None)
        return text | {"model_type": TEXT_PARTS[kind]}
    if not isinstance(nested, Mapping):
        raise ValueError("text_config must be an object")
    for_all = ("quantization_config", "torch_dtype", "dtype", "tie_word_embeddings")
    shared = {key: content[key] for key in for_all if key in content}
    repeated = _OF_OTHERS.get(kind)
    text = {key: value for key, value in nested.items() if repeated is None or not repeated.fullmatch(key)}
    if text.get("architectures") == ["VLlama3ForCausalLM"]:  # Llama, as SmolVLM's training code called it
        del text["architectures"]
    return shared | {"model_type": TEXT_PARTS[kind]} | text
