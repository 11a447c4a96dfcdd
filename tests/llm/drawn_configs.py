"""Small configurations of every family, drawn by a seed: switches flipped, sizes changed, layers of all its kinds."""

import random
from typing import Any

from lpspec.llm.families import FAMILIES

NOT_IN_THE_LIBRARY = {
    "minicpm": "its own code; described as its configuration_minicpm.py and modeling_minicpm.py have it",
    "kimi_k2": "DeepSeek-V3 under another name",
    "internlm2": "its own code; described as its modeling_internlm2.py has it",
    "mimo": "its own code: Qwen2 with layers for multi-token prediction",
    "glm4v_text": "only within a multimodal model",
    "glm4v_moe_text": "only within a multimodal model",
    "qwen2_vl_text": "only within a multimodal model",
    "qwen2_5_vl_text": "only within a multimodal model",
    "qwen3_vl_text": "only within a multimodal model",
    "qwen3_vl_moe_text": "only within a multimodal model",
}
BUILT = sorted(set(FAMILIES) - set(NOT_IN_THE_LIBRARY))

_SIZES: dict[str, list[Any]] = {
    "vocab_size": [96, 130],
    "hidden_size": [64, 96],
    "n_embd": [64, 96],
    "intermediate_size": [48, 80],
    "intermediate_size_mlp": [40],
    "num_hidden_layers": [2, 5, 7],
    "n_layer": [2, 3],
    "num_attention_heads": [4, 8],
    "n_head": [4, 8],
    "num_key_value_heads": [1, 2, 4],
    "num_kv_heads": [2, 4],
    "head_dim": [8, 16],
    "global_head_dim": [16, 32],
    "v_head_dim": [8, 12],
    "qk_nope_head_dim": [8],
    "qk_rope_head_dim": [4, 8],
    "kv_lora_rank": [16],
    "q_lora_rank": [24],
    "rotary_dim": [4],
    "ffn_dim": [80],
    "ffn_hidden_size": [80, None],
    "n_inner": [None, 80],
    "word_embed_proj_dim": [None, 48],
    "max_position_embeddings": [64],
    "n_positions": [64],
    "sliding_window": [4, 9],
    "attention_chunk_size": [8],
    "max_window_layers": [0, 1, 9],
    "moe_intermediate_size": [24],
    "shared_expert_intermediate_size": [32],
    "shared_intermediate_size": [32],
    "moe_shared_expert_intermediate_size": [40],
    "moe_latent_size": [None, 16],
    "num_experts": [4, 8],
    "num_local_experts": [4, 8],
    "n_routed_experts": [4, 8],
    "moe_num_experts": [4],
    "num_experts_per_tok": [1, 2],
    "top_k_experts": [2],
    "moe_k": [2],
    "moe_topk": [1, 2],
    "n_shared_experts": [1, 2],
    "moe_num_shared_experts": [0, 2],
    "first_k_dense_replace": [0, 1, 2],
    "num_dense_layers": [0, 1],
    "moe_layer_start_index": [0, 1],
    "moe_layer_interval": [1, 2],
    "decoder_sparse_step": [1, 2],
    "interleave_moe_layer_step": [1, 2],
    "index_n_heads": [2],
    "index_head_dim": [16],
    "index_topk": [8],
    "linear_num_key_heads": [2],
    "linear_num_value_heads": [4],
    "linear_key_head_dim": [8],
    "linear_value_head_dim": [12],
    "linear_conv_kernel_dim": [3, 4],
    "mamba_n_heads": [8],
    "mamba_num_heads": [8],
    "mamba_head_dim": [8],
    "mamba_n_groups": [1, 2],
    "n_groups": [1, 2],
    "mamba_d_state": [16],
    "ssm_state_size": [16],
    "mamba_d_conv": [3, 4],
    "conv_kernel": [4],
    "mamba_d_ssm": [64],
    "conv_L_cache": [3],
    "block_multiple_of": [16],
    "block_ffn_dim_multiplier": [None, 1.0, 1.5],
    "vocab_size_per_layer_input": [90],
    "hidden_size_per_layer_input": [8],
    "altup_num_inputs": [3, 4],
    "laurel_rank": [4],
    "num_kv_shared_layers": [0],
    "num_layers_per_stack": [None],
    "H_cycles": [2],
    "L_cycles": [2, 3],
    "num_ln_in_parallel_attn": [None],
    "no_rope_layer_interval": [2, 4],
    "max_window": [4],
}
_ALWAYS = {  # switches that the library only has one way of, or whose other way it does not build
    "use_sliding_window",
    "add_cross_attention",
    "enable_moe_block",
    "use_double_wide_mlp",
    "alibi",
    "new_decoder_architecture",
    "block_auto_adjust_ff_dim",
    "_remove_final_layer_norm",
}
_TYPES = {
    "qwen3_next": ("linear_attention", "full_attention"),
    "qwen3_5_text": ("linear_attention", "full_attention"),
    "qwen3_5_moe_text": ("linear_attention", "full_attention"),
    "lfm2": ("conv", "full_attention"),
    "lfm2_moe": ("conv", "full_attention"),
    "granitemoehybrid": ("linear_attention", "full_attention"),
    "gemma2": ("sliding_attention", "full_attention"),
    "gemma3_text": ("sliding_attention", "full_attention"),
    "gemma4_text": ("sliding_attention", "full_attention"),
    "olmo3": ("sliding_attention", "full_attention"),
    "cohere2": ("sliding_attention", "full_attention"),
    "gpt_oss": ("sliding_attention", "full_attention"),
    "cwm": ("sliding_attention", "full_attention"),
    "dots1": ("sliding_attention", "full_attention"),
    "exaone4": ("sliding_attention", "full_attention"),
    "exaone_moe": ("sliding_attention", "full_attention"),
    "vaultgemma": ("sliding_attention", "full_attention"),
    "ministral": ("sliding_attention", "full_attention"),
    "mimo_v2_flash": ("sliding_attention", "full_attention"),
    "llama4_text": ("chunked_attention", "full_attention"),
}


def drawn(name: str, seed: int) -> dict[str, Any]:
    """A configuration of a family; seed 0 changes sizes only."""
    dice = random.Random(f"{name} {seed}")
    found: dict[str, Any] = {"model_type": name}
    for key, default in FAMILIES[name].keys.items():
        if key in _SIZES:
            found[key] = dice.choice(_SIZES[key])
        elif isinstance(default, bool) and seed and key not in _ALWAYS:
            found[key] = dice.random() < 0.5
    layers = found.get("num_hidden_layers", 2)
    if name == "internlm3" and seed:
        found["mlp_bias"] = found["attention_bias"]  # the library refuses one without the other
    found |= _own(name, dice, layers, seed)
    if name in _TYPES:
        kinds = [dice.choice(_TYPES[name]) for _ in range(layers - 2)]
        found["layer_types"] = [*kinds, *_TYPES[name]]
    return {key: value for key, value in found.items() if not (value is None and key in ("n_inner", "head_dim"))}


def _own(name: str, dice: random.Random, layers: int, seed: int) -> dict[str, Any]:
    """What only one family has."""
    flip = seed and dice.random() < 0.5
    match name:
        case "qwen2" | "qwen3" | "qwen2_moe" if seed:
            return {"use_sliding_window": bool(flip)}
        case "falcon":
            return {"new_decoder_architecture": bool(flip)}
        case "lfm2":
            return {"block_auto_adjust_ff_dim": not flip}
        case "granitemoehybrid" if flip:
            return {"num_local_experts": 0, "num_experts_per_tok": 0}
        case "gemma3n_text":
            widths = [dice.choice((48, 80)) for _ in range(10)]
            types = ["sliding_attention", "sliding_attention", "full_attention"] * 3 + ["full_attention"]
            shared = 4 if seed else 0
            return {"num_hidden_layers": 10, "intermediate_size": widths, "layer_types": types} | {
                "num_kv_shared_layers": shared
            }
        case "gemma4_text" if seed:
            return {"enable_moe_block": bool(flip), "use_double_wide_mlp": True}
        case "nemotron_h":
            kinds = ["linear_attention", "moe", "full_attention", "mlp"]
            said = {"num_hidden_layers": 7, "tie_word_embeddings": False}
            return said | {"layers_block_type": [*kinds, *(dice.choice(kinds) for _ in range(3))]}
        case "falcon_h1":
            return {"mamba_d_head": 8}
        case "deepseek_v32":
            return {"mlp_layer_types": None, "layer_types": None, "head_dim": 64}
        case "bamba":
            return {"attn_layer_indices": [1, layers - 1], "mamba_d_head": "auto"}
        case "dots1" | "solar_open" | "exaone_moe":
            return {"head_dim": None}
        case "glm_moe_dsa":
            found = {"mlp_layer_types": None, "layer_types": None, "indexer_types": None, "index_topk_pattern": None}
            return found | {"index_topk_freq": 1, "head_dim": 64}
        case "hunyuan_v1_dense":
            return {"num_experts": 1}
        case "stablelm" | "phi":
            return {"partial_rotary_factor": 0.5}
        case "glm" | "glm4" | "phi3" | "smollm3":
            return {"pad_token_id": 0}
        case "bitnet" | "helium":
            return {"head_dim": None if name == "bitnet" else 16, "num_attention_heads": 4} | {"hidden_size": 64}
        case "glm4_moe_lite":
            return {"first_k_dense_replace": 1}
        case "deepseek_v2" | "deepseek_v3" | "minicpm3" | "olmoe":
            return {"head_dim": None}
        case "phimoe":
            return {"num_experts_per_tok": 2}
        case _:
            return {}
