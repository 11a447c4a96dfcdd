"""Counts of every family: transformers' models without data, instrumented small ones, and published tables."""

import copy
import dataclasses
from typing import Any

import pytest
from drawn_configs import BUILT, NOT_IN_THE_LIBRARY, drawn

from lpspec.errors import InputError
from lpspec.llm import ModelSpec
from lpspec.llm.config_keys import unknown_keys
from lpspec.llm.families import FAMILIES, known_keys
from lpspec.llm.families.multimodal import TEXT_PARTS
from lpspec.llm.hugging_face import parse_config
from lpspec.llm.model_spec import validated_spec


def described(content: dict[str, Any]) -> ModelSpec:
    config = parse_config(content, "config")
    return validated_spec({"name": "drawn", "source": "test", **config.dimensions}, "config")


def parameters_in_the_library(content: dict[str, Any]) -> int:
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    config = transformers.AutoConfig.for_model(**copy.deepcopy(content))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", BUILT)
def test_parameters_equal_the_library_s(family: str, seed: int) -> None:
    content = drawn(family, seed)
    assert described(content).parameters == parameters_in_the_library(content)


LATENT = {"deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "minicpm3", "youtu"}
MEASURED = sorted(set(BUILT) - {"llama4_text"})


@pytest.mark.slow
@pytest.mark.parametrize("family", MEASURED)
def test_reads_and_cache_equal_those_of_an_instrumented_model(family: str) -> None:
    pytest.importorskip("transformers")
    from instrumented import built, one_step

    content = drawn(family, 0)
    if family in LATENT:  # the library unfolds keys for as many heads; ours does not use the number
        content["num_key_value_heads"] = content["num_attention_heads"]
    if family in ("deepseek_v3", "deepseek_v32"):
        content |= {"n_group": 2, "topk_group": 1}  # by default more groups than these few experts make
    if family == "youtu":
        del content["head_dim"]
    model, ours = built(content), described(content)
    for context in (3, 14):  # before and behind most windows
        read, held = one_step(model, context)
        assert (ours.weight_read_bytes(), ours.cache_bytes(context)) == (read, held)  # a byte a number
        assert ours.read_bytes(1, context) == read + held


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_llama_4_reads_all_experts_in_the_library_and_needs_those_that_are_chosen(seed: int) -> None:
    """Its code multiplies what is sent to no expert with 0: the experts that get anything else are counted."""
    pytest.importorskip("transformers")
    from instrumented import built, one_step

    content = drawn("llama4_text", seed)
    model, ours = built(content), described(content)
    chosen = []
    for module in model.modules():
        if type(module).__name__ == "Llama4TextExperts":

            def count(of: Any, inputs: Any) -> None:
                by_expert = inputs[0].view(of.num_experts, -1)
                chosen.append(int(by_expert.any(dim=1).sum()))

            module.register_forward_pre_hook(count)
    expert = sum(tensor.elements for tensor in ours.tensors if tensor.kind == "expert")
    for context in (3, 14):
        read, held = one_step(model, context)
        layers = len([group for group in chosen if group])
        step = chosen[layers // 2 :]  # behind those of the prompt
        share = sum(step) / len(step) / content["num_local_experts"]
        assert ours.weight_read_bytes() == read - expert + round(expert * share)
        assert ours.cache_bytes(context) == held
        chosen.clear()


LFM2_1_2B = {
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "norm_eps": 1e-5,
}
# transformers 5.24.0, counted on its own classes: stored, read by a step; cache numbers a token before any window is
# full, and behind all of them; numbers of states.
COUNTED: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "gpt_oss of 4 layers": (
        "gpt_oss",
        {"num_hidden_layers": 4},
        (14_010_590_528, 1_085_107_328, 4096, 2048, 0),
    ),
    "gpt_oss": ("gpt_oss", {}, (116_829_156_672, 5_132_852_352, 36_864, 18_432, 0)),
    "gemma3n_text": ("gemma3n_text", {}, (6_835_235_568, 4_486_434_288, 20_480, 4096, 0)),
    "gemma4_text": ("gemma4_text", {}, (5_077_177_856, 3_063_919_616, 71_680, 20_480, 0)),
    "qwen3_next": ("qwen3_next", {"num_hidden_layers": 4}, (7_210_003_520, 582_218_816, 1024, 1024, 1_671_168)),
    "qwen3_5_text": ("qwen3_5_text", {"num_hidden_layers": 4}, (2_899_186_752, 1_882_072_128, 2048, 2048, 1_671_168)),
    "deepseek_v3": ("deepseek_v3", {"num_hidden_layers": 5}, (26_618_387_456, 3_847_780_352, 2880, 2880, 0)),
    "deepseek_v32": ("deepseek_v32", {"num_hidden_layers": 5}, (26_688_184_576, 3_917_577_472, 3520, 3520, 0)),
    "glm4_moe": ("glm4_moe", {"num_hidden_layers": 3}, (5_948_207_104, 1_175_093_248, 2016, 2016, 0)),
    "minimax_m2": ("minimax_m2", {"num_hidden_layers": 2}, (8_566_633_472, 930_775_040, 4096, 4096, 0)),
    "nemotron_h": ("nemotron_h", {}, (1_968_355_712, 1_053_608_320, 2048, 2048, 1_089_536)),
    "lfm2": ("lfm2", LFM2_1_2B, (1_170_340_608, 1_170_340_608, 6144, 6144, 61_440)),
    "smollm3": ("smollm3", {}, (3_075_098_624, 3_075_098_624, 36_864, 36_864, 0)),
    "phi3": ("phi3", {}, (3_821_079_552, 3_722_582_016, 196_608, 196_608, 0)),
    "olmo3": ("olmo3", {}, (6_888_624_128, 6_682_583_040, 262_144, 65_536, 0)),
    "ministral3": ("ministral3", {}, (8_489_553_920, 7_952_687_104, 69_632, 69_632, 0)),
    "glm4": ("glm4", {}, (9_400_279_040, 8_779_526_144, 20_480, 20_480, 0)),
    "hrm_text": ("hrm_text", {}, (1_447_822_848, 1_214_647_296, 393_216, 393_216, 0)),
    "apertus": ("apertus", {}, (6_979_596_352, 6_442_729_536, 262_144, 262_144, 0)),
    "bitnet": ("bitnet", {}, (2_741_155_840, 2_412_823_040, 38_400, 38_400, 0)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_counts_of_published_shapes(name: str) -> None:
    family, keys, expected = COUNTED[name]
    model = described({"model_type": family, **keys})
    far = model.cache_bytes(9999) - model.cache_bytes(9998)
    near = model.cache_bytes(1) - model.cache_bytes(0)
    assert (model.parameters, model.weight_read_bytes(), near, far, model.state_bytes) == expected


def test_a_stack_that_is_passed_many_times_is_multiplied_each_time() -> None:
    from lpspec.llm import Gemm, verify_operators

    model = described({"model_type": "hrm_text"})
    multiplied = sum(op.weight_bytes for op in verify_operators(model, 1, 0) if isinstance(op, Gemm))
    assert multiplied == 4_159_048_704 - 2 * 1536  # but for the embedding's row and the state that cycles start from


# Keys


@pytest.mark.parametrize("family", BUILT)
def test_the_defaults_of_a_family_are_the_library_s(family: str) -> None:
    """But for those that take no part in the work: end tokens, and what norms add."""
    transformers = pytest.importorskip("transformers")
    kind = transformers.CONFIG_MAPPING[family]
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    idle = {key for key in FAMILIES[family].keys if key == "eos_token_id" or key.endswith(("_eps", "epsilon"))}
    idle.add("use_bidirectional_attention")  # null and false are the same
    ours = {key: value for key, value in FAMILIES[family].keys.items() if key in fields and key not in idle}
    assert ours == {key: fields[key] for key in ours}
    assert {"hidden_size", "n_embd"} & set(FAMILIES[family].keys)


@pytest.mark.parametrize("family", BUILT)
def test_nothing_that_the_library_saves_of_a_family_is_unknown(family: str) -> None:
    transformers = pytest.importorskip("transformers")
    saved = transformers.CONFIG_MAPPING[family]().to_dict()
    set_to_something = dict.fromkeys(set(saved) - set(FAMILIES[family].keys), 3)
    unknown = set(unknown_keys(set_to_something, known_keys(family)))
    assert unknown <= {"is_encoder_decoder", "apply_residual_connection_post_layernorm"}


def test_every_architecture_of_the_library_is_read_or_refused_by_name() -> None:
    transformers = pytest.importorskip("transformers")
    names = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    known = set(FAMILIES) | set(TEXT_PARTS)
    assert len(names) > 180
    assert len(set(names) & known) > 80
    for name in sorted(set(names) - known):
        with pytest.raises(InputError) as caught:
            described({"model_type": name, "hidden_size": 64})
        assert f"model_type = '{name}'" in str(caught.value)
        assert len(str(caught.value)) <= 200
        assert "\n" not in str(caught.value)


def test_what_the_library_cannot_build_is_named() -> None:
    assert set(NOT_IN_THE_LIBRARY) < set(FAMILIES)


# Models within others, code of their own


TEXT = {"model_type": "gemma3_text", "hidden_size": 1152, "num_hidden_layers": 26, "intermediate_size": 6912}


def test_the_text_decoder_of_a_multimodal_model_is_read() -> None:
    whole = {"architectures": ["Gemma3ForConditionalGeneration"], "vision_config": {"hidden_size": 1152}}
    nested = described({"model_type": "gemma3", "text_config": TEXT, "mm_tokens_per_image": 256, **whole})
    assert nested == described(TEXT)
    untyped = {key: value for key, value in TEXT.items() if key != "model_type"}
    assert described({"model_type": "gemma3", "text_config": untyped}) == described(TEXT)


def test_the_first_qwen2_vl_lie_flat() -> None:
    flat = {"model_type": "qwen2_vl", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28}
    flat |= {"num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True}
    flat |= {"architectures": ["Qwen2VLForConditionalGeneration"], "vision_config": {"depth": 32}}
    assert described(flat).parameters == 1_543_714_304  # Qwen2.5-1.5B has the same shape


def test_code_of_its_own_is_fine_where_the_library_took_it_over() -> None:
    said = {"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}
    content = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "auto_map": said}
    assert described(content).parameters == 3_821_079_552
    for other in ({"AutoModelForCausalLM": "modeling_own.Own"}, {"AutoModelForCausalLM": "modeling_phi3.Other"}):
        with pytest.raises(InputError, match="'auto_map' asks for code of its own"):
            described(content | {"auto_map": other})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model_type": "gemma4_text", "enable_moe_block": True}, "enable_moe_block needs num_experts"),
        ({"model_type": "deepseek_v2"}, "num_experts_per_tok is needed"),
        ({"model_type": "deepseek_v3", "moe_layer_freq": 2}, "moe_layer_freq = 2"),
        ({"model_type": "qwen3_next", "layer_types": ["conv"] * 48}, "layer_types names 'conv'"),
        ({"model_type": "qwen3_next", "layer_types": ["full_attention"] * 3}, "layer_types must be 48 entries"),
        ({"model_type": "olmo3", "sliding_window": None}, "sliding_window is null"),
        ({"model_type": "gemma3n_text", "intermediate_size": [1, 2]}, "intermediate_size must be one number"),
        ({"model_type": "mixtral", "num_experts": 4, "num_local_experts": 8}, "two names, and differ"),
        ({"model_type": "mixtral", "num_experts_per_tok": 9}, "cannot be sent to 9 of 8 experts"),
        ({"model_type": "smollm3", "n_routed_experts": 8}, "'n_routed_experts' belongs to a model with experts"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"model_type": "internlm3", "attention_bias": True}, "attention_bias (True) and mlp_bias (False) must agree"),
        ({"model_type": "internlm3", "qkv_bias": False, "bias": True}, "(False) and mlp_bias (True) must agree"),
        ({"model_type": "minicpm", "sparse_config": {"block_size": 64}}, "'sparse_config'"),
        ({"model_type": "gemma3", "text_config": 4}, "text_config must be an object"),
        ({"model_type": "gemma3", "text_config": {"model_type": "bert"}}, "model_type = 'bert'"),
        (
            {"model_type": "llava", "architectures": ["LlamaForSequenceClassification"], "text_config": {}},
            "architectures",
        ),
    ],
)
def test_what_is_not_understood_is_refused_in_one_line(content: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        described(content)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


def test_no_window_may_be_written_as_0_where_windows_are_off() -> None:
    off = {"model_type": "qwen2_moe", "use_sliding_window": False, "sliding_window": 0}
    assert described(off) == described({"model_type": "qwen2_moe"})
    with pytest.raises(InputError, match="sliding_window = 0"):
        described(off | {"use_sliding_window": True})


def test_expected_experts_of_a_pass() -> None:
    """Mixtral: of 8 experts, 2 a token; 3 tokens are expected to need 8 * (1 - 0.75**3)."""
    model = described({"model_type": "mixtral"})
    expert = 3 * 4096 * 14_336 * 32
    assert model.weight_read_bytes(1) == model.parameters - 6 * expert - 32_000 * 4096 + 4096
    assert model.weight_read_bytes(3) - model.weight_read_bytes(1) == round(expert * (8 * (1 - 0.75**3) - 2)) + 2 * 4096
