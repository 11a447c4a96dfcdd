"""Keys of published configurations that say nothing more about the work; parameters as the library counts them.

Counts: models of transformers 5.23.0 without data, built from the same keys.
"""

from typing import Any

import pytest
from test_families import described

from lpspec.errors import InputError

_QWEN_480B = {
    "model_type": "qwen3_moe",
    "head_dim": 128,
    "hidden_size": 6144,
    "intermediate_size": 8192,
    "max_window_layers": 62,
    "mlp_only_layers": [],
    "moe_intermediate_size": 2560,
    "num_attention_heads": 96,
    "num_experts": 160,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 62,
    "num_key_value_heads": 8,
    "qkv_bias": False,
    "shared_expert_intermediate_size": 0,
    "use_qk_norm": True,
    "vocab_size": 151_936,
}
_FALCON2 = {
    "model_type": "falcon",
    "ff_factor": 4,
    "ffn_hidden_size": 16_384,
    "hidden_size": 4096,
    "multi_query": True,
    "new_decoder_architecture": True,
    "num_attention_heads": 32,
    "num_hidden_layers": 60,
    "num_kv_heads": 8,
    "num_ln_in_parallel_attn": 1,
    "tie_word_embeddings": False,
}
_MINITRON = {
    "model_type": "nemotron",
    "head_dim": 128,
    "hidden_size": 3072,
    "intermediate_size": 9216,
    "kv_channels": 128,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "rope_percent": 0.5,
}
_EXAONE = {
    "model_type": "exaone4",
    "head_dim": 64,
    "hidden_size": 2048,
    "intermediate_size": 4096,
    "layer_types": ["full_attention"] * 30,
    "num_hidden_layers": 30,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "sliding_window_pattern": None,
    "tie_word_embeddings": True,
}
_HUNYUAN = {
    "model_type": "hunyuan_v1_dense",
    "dense_list": [1024, 0],
    "head_dim": 128,
    "hidden_size": 1024,
    "intermediate_size": 3584,
    "num_attention_heads": 8,
    "num_experts": 1,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "pad_id": 120_002,
    "tie_word_embeddings": True,
    "vocab_size": 120_818,
}
_ERNIE = {"model_type": "ernie4_5_moe", "num_nextn_predict_layers": 1, "moe_capacity": [64, 64, 64]}
_STARCODER = {
    "model_type": "gpt_bigcode",
    "activation_function": "gelu",
    "n_embd": 6144,
    "n_head": 48,
    "n_inner": 24_576,
    "n_layer": 40,
    "n_positions": 8192,
    "pad_key_length": True,
    "vocab_size": 49_152,
}
_STABLELM = {"model_type": "stablelm", "num_hidden_layers": 32, "num_attention_heads": 32, "rope_pct": 0.25}
_DOTS = {
    "model_type": "dots1",
    "architectures": ["Dots1ForCausalLM"],
    "first_k_dense_replace": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "moe_layer_freq": 1,
    "n_routed_experts": 128,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "scoring_func": "noaux_tc",
    "sliding_window": None,
    "use_sliding_window": False,
}
_MIMO = {
    "model_type": "mimo",
    "architectures": ["MiMoForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_mimo.MiMoConfig",
        "AutoModelForCausalLM": "modeling_mimo.MiMoForCausalLM",
    },
    "attention_bias": True,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_nextn_predict_layers": 1,
    "vocab_size": 151_680,
}
_INTERNLM2 = {
    "model_type": "internlm2",
    "architectures": ["InternLM2ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_internlm2.InternLM2Config",
        "AutoModel": "modeling_internlm2.InternLM2ForCausalLM",
        "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
    },
    "bias": False,
    "intermediate_size": 14_336,
    "num_key_value_heads": 8,
    "vocab_size": 92_544,
}


@pytest.mark.parametrize(
    ("content", "parameters"),
    [
        (_QWEN_480B, 480_154_875_392),
        (_FALCON2, 11_102_822_400),
        (_MINITRON, 4_190_509_056),
        (_EXAONE, 1_279_391_488),
        (_HUNYUAN, 488_678_400),
        (_ERNIE, 21_825_437_888),
        (_STARCODER, 15_517_456_384),
        (_STABLELM, 2_795_443_200),
        (_DOTS, 142_774_373_888),
        ({"model_type": "nemotron_h", "norm_eps": 1e-5}, 1_968_355_712),
        (_INTERNLM2, 7_737_708_544),  # as its card has it: 7.7 x 10^9
    ],
)
def test_keys_without_effect_are_no_reason_to_refuse(content: dict[str, Any], parameters: int) -> None:
    assert described(content).parameters == parameters


def test_what_smolvlm_repeats_of_its_other_parts_says_nothing() -> None:
    text = {"model_type": "llama", "hidden_size": 960, "intermediate_size": 2560, "num_attention_heads": 15}
    text |= {"num_hidden_layers": 32, "num_key_value_heads": 5, "head_dim": 64, "vocab_size": 49_280}
    repeated = {"perceiver_config": {"model_type": "vllama3"}, "pixel_shuffle_factor": 4, "use_resampler": False}
    repeated |= {"architectures": ["VLlama3ForCausalLM"], "qk_layer_norms": False}
    whole = {"model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"], "vision_config": {}}
    assert described(whole | {"text_config": text | repeated}).parameters == 409_252_800
    with pytest.raises(InputError, match="perceiver_config"):
        described(text | {"perceiver_config": {"model_type": "vllama3"}})


def test_mimo_without_its_drafting_layer_is_qwen2() -> None:
    plain = {key: value for key, value in _MIMO.items() if key not in ("auto_map", "num_nextn_predict_layers")}
    assert described(_MIMO) == described(plain).model_copy(update={"mtp_layers": 1})
    as_qwen2 = {key: value for key, value in plain.items() if key not in ("architectures", "head_dim")}
    assert described(_MIMO).parameters == described(as_qwen2 | {"model_type": "qwen2"}).parameters


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_HUNYUAN | {"num_experts": 16}, "num_experts = 16"),
        ({"model_type": "dots1"}, "n_routed_experts"),
        ({"model_type": "dots1", "n_routed_experts": 4, "max_window_layers": None}, "max_window_layers = None"),
        ({"model_type": "dots1", "n_routed_experts": 4, "first_k_dense_replace": None}, "first_k_dense_replace = None"),
        ({"model_type": "glm_moe_dsa", "index_topk_pattern": "FX" * 39}, "index_topk_pattern names 'X'"),
        ({"model_type": "glm_moe_dsa", "indexer_types": ["full", "shared"]}, "indexer_types"),
        ({"model_type": "bamba", "mamba_d_head": 7}, "mamba_d_head"),
        ({"model_type": "cwm", "layer_types": ["chunked_attention"] * 64}, "layer_types names 'chunked_attention'"),
    ],
)
def test_what_would_change_the_work_is_refused_by_name(content: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        described(content)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


# As Google's Gemma 2 9B, XiaomiMiMo's MiMo-V2-Flash, Z.ai's GLM-5.2, NVIDIA's MiniMax-M2.5-NVFP4, Moonshot's Kimi-K2.5
# and Microsoft's Phi-mini-MoE have them.
_GEMMA2 = {
    "model_type": "gemma2",
    "architectures": ["Gemma2ForCausalLM"],
    "head_dim": 256,
    "hidden_size": 3584,
    "intermediate_size": 14_336,
    "num_attention_heads": 16,
    "num_hidden_layers": 42,
    "num_key_value_heads": 8,
    "sliding_window": 4096,
    "sliding_window_size": 4096,
    "vocab_size": 256_000,
}
_MIMO_V2 = {
    "model_type": "mimo_v2_flash",
    "architectures": ["MiMoV2FlashForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 48,
    "hybrid_layer_pattern": [0, 1, 1, 1, 1, *[0, 1, 1, 1, 1, 1] * 7, 0],
    "moe_layer_freq": [0] + [1] * 47,
    "sliding_window": 128,
    "sliding_window_size": 128,
    "attention_chunk_size": 128,
    "swa_num_attention_heads": 64,
    "swa_num_key_value_heads": 8,
    "swa_head_dim": 192,
    "swa_v_head_dim": 128,
    "swa_rope_theta": 10_000,
    "n_shared_experts": None,
    "add_swa_attention_sink_bias": True,
    "add_full_attention_sink_bias": False,
    "partial_rotary_factor": 0.334,
    "routed_scaling_factor": None,
}
_GLM_52 = {
    "model_type": "glm_moe_dsa",
    "architectures": ["GlmMoeDsaForCausalLM"],
    "index_share_for_mtp_iteration": True,
    "index_skip_topk_offset": 3,
    "index_topk_freq": 4,
    "index_topk_pattern": None,
    "indexer_types": ["full"] * 2 + ["full", "shared", "shared", "shared"] * 19,
    "moe_layer_freq": 1,
    "moe_router_dtype": "float32",
    "max_position_embeddings": 1_048_576,
    "mlp_layer_types": ["dense"] * 3 + ["sparse"] * 75,
}
_MINIMAX = {
    "model_type": "minimax_m2",
    "architectures": ["MiniMaxM2ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_minimax_m2.MiniMaxM2Config",
        "AutoModelForCausalLM": "modeling_minimax_m2.MiniMaxM2ForCausalLM",
    },
    "attn_type_list": [1] * 62,
    "num_mtp_modules": 3,
    "partial_rotary_factor": 0.5,
    "rotary_dim": 64,
}
_KIMI = {
    "model_type": "kimi_k25",
    "architectures": ["KimiK25ForConditionalGeneration"],
    "auto_map": {
        "AutoConfig": "configuration_kimi_k25.KimiK25Config",
        "AutoModelForCausalLM": "modeling_kimi_k25.KimiK25ForConditionalGeneration",
    },
    "text_config": {
        "model_type": "kimi_k2",
        "architectures": ["DeepseekV3ForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_deepseek.DeepseekV3Config",
            "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
        },
        "first_k_dense_replace": 1,
        "n_routed_experts": 384,
        "num_attention_heads": 64,
        "num_key_value_heads": 64,
        "vocab_size": 163_840,
    },
    "vision_config": {"vt_hidden_size": 1152},
}
_PHI_MINI = {
    "model_type": "phimoe",
    "architectures": ["PhiMoEForCausalLM"],
    "attention_bias": True,
    "auto_map": {
        "AutoConfig": "configuration_slimmoe.PhiMoEConfig",
        "AutoModelForCausalLM": "modeling_slimmoe.PhiMoEForCausalLM",
    },
    "head_dim": 128,
    "intermediate_size": 960,
    "lm_head_bias": True,
    "max_position_embeddings": 4096,
    "sliding_window": 2047,
}
_PALIGEMMA = {
    "model_type": "paligemma",
    "architectures": ["PaliGemmaForConditionalGeneration"],
    "text_config": {
        "model_type": "gemma",
        "hidden_size": 2048,
        "intermediate_size": 16_384,
        "num_attention_heads": 8,
        "num_hidden_layers": 18,
        "num_image_tokens": 256,
        "num_key_value_heads": 1,
        "vocab_size": 257_216,
    },
    "vision_config": {},
}
_GALACTICA = {
    "model_type": "opt",
    "architectures": ["OPTForCausalLM"],
    "activation_function": "gelu",
    "enable_bias": False,
    "ffn_dim": 16_384,
    "hidden_size": 4096,
    "layer_norm_elementwise_affine": False,
    "learned_embeddings": True,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "scale_embeddings": False,
    "vocab_size": 50_000,
    "word_embed_proj_dim": 4096,
}


@pytest.mark.parametrize(
    ("content", "parameters"),
    [
        (_GEMMA2, 9_241_705_984),
        (_MIMO_V2, 308_778_768_832),
        (_GLM_52, 743_377_000_704),
        (_MINIMAX, 228_689_748_992),
        (_KIMI, 1_026_408_209_408),
        (_PHI_MINI, 7_647_632_704),
        (_PALIGEMMA, 2_508_662_784),
        (_GALACTICA, 6_655_647_744),
        ({"model_type": "gpt2", "output_past": True}, 124_439_808),
    ],
)
def test_published_files_say_what_the_library_does_not_read(content: dict[str, Any], parameters: int) -> None:
    assert described(content).parameters == parameters


def test_keys_of_published_files_change_the_work_where_they_say_another() -> None:
    assert described(_GLM_52 | {"indexer_types": None}).parameters == 743_377_000_704  # by frequency and offset
    by_letters = {"indexer_types": None, "index_topk_pattern": "FF" + "FSSS" * 19}
    assert described(_GLM_52 | by_letters).parameters == 743_377_000_704
    windows = described(_MIMO_V2 | {"hybrid_layer_pattern": [0] * 48, "sliding_window_size": None})
    assert windows.cache_bytes(9999) > described(_MIMO_V2).cache_bytes(9999)
    in_window = described(_MIMO_V2 | {"sliding_window_size": 64})
    assert in_window.cache_bytes(9999) < described(_MIMO_V2).cache_bytes(9999)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_GEMMA2 | {"sliding_window_size": 1024}, "sliding_window_size and sliding_window"),
        (_MIMO_V2 | {"swa_num_key_value_heads": 4}, "swa_num_key_value_heads = 4: allowed is 8"),
        (_MIMO_V2 | {"hybrid_layer_pattern": [0, 2] * 24}, "hybrid_layer_pattern"),
        (_MIMO_V2 | {"moe_layer_freq": [0] * 3}, "moe_layer_freq"),
        (_GLM_52 | {"indexer_types": ["shared"] * 78}, "indexer_types"),
        (_GLM_52 | {"moe_what": 3}, "'moe_what' may change"),
        (_KIMI | {"auto_map": {"AutoModelForCausalLM": "modeling_other.KimiK25ForConditionalGeneration"}}, "auto_map"),
        ({"peft_type": "LORA", "r": 64, "base_model_name_or_path": "x"}, "'peft_type' belongs to an adapter"),
    ],
)
def test_what_a_published_file_could_say_otherwise_is_refused_by_name(content: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        described(content)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("hidden", [1024, 4096])
def test_a_single_wide_layer_is_a_draft_head_though_nothing_else_says_so(hidden: int) -> None:
    """As EAGLE's configurations for Llama, Vicuna and Mixtral are: a Llama of one layer."""
    one = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "num_hidden_layers": 1}
    with pytest.raises(InputError, match="num_hidden_layers = 1"):
        described(one)
    assert described(one | {"num_hidden_layers": 2}).layer_groups[0].count == 2
    assert described(one | {"hidden_size": 512, "num_attention_heads": 8}).layer_groups[0].count == 1
