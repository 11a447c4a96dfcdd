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
    assert described(_MIMO) == described(plain)
    as_qwen2 = {key: value for key, value in plain.items() if key not in ("architectures", "head_dim")}
    assert described(_MIMO).parameters == described(as_qwen2 | {"model_type": "qwen2"}).parameters


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_HUNYUAN | {"num_experts": 16}, "num_experts = 16"),
        ({"model_type": "dots1"}, "n_routed_experts"),
        ({"model_type": "glm_moe_dsa", "index_topk_freq": 4}, "index_topk_freq"),
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
