"""Configurations of other people: transformers is the oracle of what their keys mean."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.llm.families import FAMILIES
from lpspec.llm.hugging_face import DecoderConfig, parse_config
from lpspec.llm.loading import config_spec, load_model
from lpspec.llm.model_spec import ModelSpec, validated_spec

CASES = Path(__file__).parents[3] / "shared/cases/models"
SMALL: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 512,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
}


def parsed(family: str, **keys: Any) -> DecoderConfig:
    return parse_config({"model_type": family, **SMALL, **keys}, "config")


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        parse_config(content, "model config 'models/some-model/config.json'")
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) <= 200
    return line


def read(content: dict[str, Any]) -> tuple[DecoderConfig, ModelSpec]:
    config = parse_config(content, "config")
    return config, validated_spec({"name": "drawn", "source": "test", **config.dimensions}, "config")


# Keys that change the work


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clip_qkv", 8.0),
        ("attn_logit_softcapping", 50.0),
        ("final_logit_softcapping", 30.0),
        ("residual_multiplier", 0.22),
        ("embedding_multiplier", 12.0),
        ("logits_scaling", 8.0),
        ("qk_norm", True),
        ("use_qk_norm", True),
        ("parallel_residual", True),
        ("alibi", True),
        ("rope_interleaved", True),
        ("vocab_size_per_layer_input", 262144),
        ("num_kv_shared_layers", 15),
        ("num_nextn_predict_layers", 1),
        ("position_embedding_type", "alibi"),
        ("norm_type", "layernorm"),
        ("mlp_type", "gelu"),
        ("activation", "relu2"),
        ("attention_activation", "silu"),
        ("text_config", {"hidden_size": 64}),
        ("per_layer_config", {"0": {"hidden_size": 64}}),
        ("quantization", {"bits": 4, "group_size": 64}),
        ("vision_config", {"hidden_size": 1024}),
        ("mm_vision_tower", "openai/clip-vit-large-patch14-336"),
        ("is_encoder_decoder", True),
        ("add_cross_attention", True),
        ("attention_chunk_size", 8192),
        ("no_rope_layers", [1, 1, 1, 0]),
        ("cross_attention_layers", [3, 8]),
        ("sliding_window", 4096),
        ("original_max_position_embeddings", 4096),
        ("layer_norm_eps", 1e-5),
        ("pruned_heads", {"1": [0]}),
        ("is_causal", False),
        ("use_rope", False),
        ("rotary_pct", 0.0),
        ("bidirectional", True),
    ],
)
def test_a_key_that_may_change_the_work_is_refused_by_name(key: str, value: object) -> None:
    assert f"'{key}'" in refused({"model_type": "llama", **SMALL, key: value})
    parsed("llama", **{key: None})


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("qwen2", "mlp_bias", True),
        ("mistral", "attention_bias", True),
        ("llama", "partial_rotary_factor", 0.5),
        ("llama", "rope_theta", None),
        ("llama", "rope_theta", "1e4"),
        ("llama", "rope_theta", float("inf")),
        ("mistral", "num_key_value_heads", None),
        ("llama", "vocab_size", 32000.0),
        ("llama", "vocab_size", "32000"),
        ("llama", "vocab_size", 10**12),
        ("llama", "num_hidden_layers", True),
        ("llama", "tie_word_embeddings", None),
        ("qwen2", "layer_types", ["full_attention", "linear_attention"]),
        ("qwen2", "layer_types", ["full_attention", "sliding_attention"]),
        ("qwen2", "layer_types", ["full_attention"]),
        ("mistral", "layer_types", ["full_attention", "sliding_attention"]),
        ("llama", "layer_types", ["chunked_attention"] * 2),
        ("llama", "eos_token_id", "2"),
        ("llama", "quantization_config", 4),
    ],
)
def test_a_known_key_with_another_value_is_refused_by_name(family: str, key: str, value: object) -> None:
    said = refused({"model_type": family, **SMALL, key: value})
    assert key in said


@pytest.mark.parametrize(
    "note",
    [
        {"_name_or_path": "meta-llama/Llama-3.2-1B", "transformers_version": "4.45.0", "torch_dtype": "bfloat16"},
        {"unsloth_fixed": True, "unsloth_version": "2024.9"},
        {"bos_token_id": 128000, "eos_token_id": [128001, 128008], "pad_token_id": 128004},
        {"pretraining_tp": 4, "use_cache": True, "initializer_range": 0.02, "attention_dropout": 0.1},
        {"is_llama_config": True, "rope_interleaved": False},
        {"num_experts": 0, "sliding_window": None, "auto_map": {}, "draft_vocab_size": None},
        {"license": "apache-2.0", "language": ["en", "de"], "base_model": "x/y", "finetuned_from": "z"},
        {"architectures": ["LlamaForCausalLM"], "do_sample": True, "temperature": 0.6, "max_length": 4096},
        {"layer_types": ["full_attention"] * 2, "id2label": {"0": "a"}, "task_specific_params": {"a": 1}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        {"transformers.js_config": {"dtype": "fp16", "kv_cache_dtype": {"fp16": "float16"}}},
        {"seq_length": 2048, "generation_config": {"top_p": 0.9}, "tokenizer_padding": 1, "learning_rate": 1e-4},
        {"activation": "swiglu", "act_fn": "silu"},
        {"use_sdpa": True, "use_fused_rope": True, "fuse_attention_qkv": True, "use_recompute": False},
        {"virtual_pp_degree": 1, "tensor_parallel_size": 2, "rope_scaling_factor": 1.0, "logits_scaling": 1},
        {"alibi": False, "use_mrope": False, "max_window_layers": 28, "mask_token_id": 3, "unk_token": "<unk>"},
        {"quantization_config": None, "pruned_heads": {}, "torchscript": True, "model_max_length": 4096},
    ],
)
def test_a_note_is_no_reason_to_refuse(note: dict[str, Any]) -> None:
    assert parsed("llama", **note).dimensions == parsed("llama").dimensions


@pytest.mark.parametrize("name", ["LlamaForSequenceClassification", "LlamaModel", "LlavaLlamaForCausalLM", "BertModel"])
def test_classifiers_and_encoders_are_refused(name: str) -> None:
    for said in ([name], name):
        assert f"architectures = {name}" in refused({"model_type": "llama", **SMALL, "architectures": said})


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ({"architectures": ["LlamaForCausalLMEagle3"]}, "architectures"),
        ({"architectures": ["MedusaModel"]}, "architectures"),
        ({"draft_vocab_size": 32000}, "draft_vocab_size"),
        ({"eagle_config": {"use_aux_hidden_state": True}}, "eagle_config"),
        ({"medusa_num_heads": 4}, "medusa_num_heads"),
        ({"speculators_model_type": "eagle3", "transformer_layer_config": {"a": 1}}, "speculators_model_type"),
        ({"auto_map": {"AutoModelForCausalLM": "modeling.Own"}}, "auto_map"),
        ({"trust_remote_code": True}, "trust_remote_code"),
        ({"num_local_experts": 8, "num_experts_per_tok": 2}, "num_local_experts"),
        ({"n_routed_experts": 64}, "n_routed_experts"),
        ({"moe_intermediate_size": 256}, "moe_intermediate_size"),
    ],
)
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma2", "smollm3"])
def test_heads_experts_and_custom_code_are_refused_by_name(family: str, extra: dict[str, Any], key: str) -> None:
    assert f"'{key}'" in refused({"model_type": family, **SMALL, **extra})


@pytest.mark.parametrize("given", [{}, {"model_type": "bert"}, {"model_type": None}, {"model_type": ["llama"]}])
def test_another_type_is_told_which_are_read(given: dict[str, Any]) -> None:
    assert "allowed are apertus, arcee, bamba" in refused({**SMALL, **given})


def test_the_first_llamas_said_their_context_otherwise() -> None:
    keys = {key: value for key, value in SMALL.items() if key != "max_position_embeddings"}
    assert (
        parse_config({"model_type": "llama", **keys, "max_sequence_length": 512}, "c").dimensions["max_context"] == 512
    )
    assert parse_config({"model_type": "llama", **keys}, "c").dimensions["max_context"] == 2048


def test_many_faults_are_one_short_line() -> None:
    line = refused({"model_type": "llama", **dict.fromkeys(SMALL, "many")})
    assert "and 4 more" in line or "and 3 more" in line
    assert "vocab_size = 'many'" in line


def test_cases_from_public_reports() -> None:
    if not CASES.is_dir():
        pytest.skip("the cases lie beside the checkout")
    for name, key in (
        ("draft_head_eagle3", "architectures"),
        ("experts_under_a_dense_type", "num_experts"),
        ("custom_code", "auto_map"),
    ):
        with pytest.raises(InputError, match=key):
            load_model(str(CASES / f"{name}.json"))
    mistral = load_model(str(CASES / "mistral_without_kv_heads.json"))
    assert (mistral.kv_heads, mistral.parameters) == (8, 3_910_144)
    awq = load_model(str(CASES / "awq_4bit_group128.json"))
    assert awq.formats.ffn_up[:3] == (4, 128, 20)
    assert {awq.formats.of(kind).bits for kind in ("embedding", "head", "other")} == {16}
    rope = json.loads((CASES / "rope_scaling_and_rope_parameters.json").read_text())
    assert parse_config(rope, "c").dimensions == parsed("llama").dimensions  # rotation takes no more or less work


# Whatever somebody writes


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([10**400, -1, 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
QUANTISED: list[dict[str, Any]] = [
    {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "modules_to_not_convert": None},
    {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "channel"}}},
    },
]


@settings(max_examples=300)
@given(st.sampled_from(sorted(FAMILIES)), st.data())
def test_junk_is_read_or_refused_in_one_line(family: str, data: st.DataObject) -> None:
    others = ["architectures", "quantization_config", "auto_map", "layer_types", "torch_dtype", "x_dim"]
    changes = data.draw(st.dictionaries(st.sampled_from([*FAMILIES[family].keys, *others]), junk, max_size=3))
    quantised = dict(data.draw(st.sampled_from(QUANTISED)))
    quantised |= data.draw(st.dictionaries(st.sampled_from([*quantised, "lm_head"]), junk, max_size=2))
    content = {"model_type": family, **SMALL, "quantization_config": quantised, **changes}
    said = ""
    try:
        config = parse_config(content, "model config 'models/some-model/config.json'")
        spec = config_spec(config, "models/some-model/config.json")
    except InputError as error:
        said = str(error)
    else:
        assert 0 < spec.weight_bytes < 2**62
    assert len(said) <= 200
    assert "\n" not in said
