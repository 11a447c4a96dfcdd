"""Draft heads as others publish them: every tensor and key is used as its writers mean it, or refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_weights import Weights, config_json, eagle3_weights, eagle_weights, layer_shapes, medusa_weights, write_head
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_drafters import Plain, confident_tree, eagle3_guess, eagle_guess
from test_eagle_drafters import CONFIG, DRAFTED, FREE, MODEL, PLAIN, TEXT, Reader, assert_same, paths
from tiny_llama import tiny_config
from torch import Tensor

from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.drafters.confidence import ConfidenceDrafter
from lpspec.decoding.drafters.eagle import load_eagle
from lpspec.decoding.drafters.eagle3 import Eagle3, load_eagle3
from lpspec.decoding.drafters.medusa import load_medusa
from lpspec.errors import InputError
from lpspec.llm.model_spec import ModelSpec

SPEC: ModelSpec = CONFIG.spec.model_copy(update={"layers": 1})
DEPTH, WIDTH = 4, 3
SAID = config_json(SPEC, architectures=["LlamaForCausalLMEagle3"], draft_vocab_size=len(DRAFTED))


def drawn(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.3 + (1.0 if len(shape) == 1 else 0.0)


OWN = {"embed_tokens.weight": drawn(64, 32)}
NORMS = {f"fc_norm.{tap}.weight": drawn(32, seed=tap) for tap in range(3)}
INPUT_NORM = {"input_norm.weight": drawn(96)}


def refused(load: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def drafts(drafter: ConfidenceDrafter) -> Any:
    reader = Reader(drafter, TEXT)
    reader.start(9)
    return drafter.draft(FREE)


def eagle3(folder: Path, weights: Weights, said: dict[str, Any]) -> Eagle3:
    return load_eagle3(MODEL, write_head(folder / "head", "model.safetensors", weights, said), DEPTH, WIDTH)


FORMS: dict[str, tuple[Weights, dict[str, Any]]] = {
    "own embedding": (OWN, {}),
    "norm before the residual": ({}, {"norm_before_residual": True}),
    "a norm of each tap": (NORMS, {"fc_norm": True}),
    "a norm of all taps": (INPUT_NORM, {"norm_before_fc": True}),
    "normed output": ({}, {"norm_output": True}),
    "all of it": (OWN | NORMS, {"norm_before_residual": True, "fc_norm": True, "norm_output": True}),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_eagle3_layer_of_any_form_is_computed_as_the_plain_one(form: str, tmp_path: Path) -> None:
    added, keys = FORMS[form]
    weights = eagle3_weights(SPEC, DRAFTED) | added
    guess = eagle3_guess(weights, CONFIG, PLAIN, (1, 2, 3), TEXT[:9], keys)
    assert_same(drafts(eagle3(tmp_path, weights, SAID | keys)), confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1))
    other = eagle3_guess(eagle3_weights(SPEC, DRAFTED), CONFIG, PLAIN, (1, 2, 3), TEXT[:9])
    assert confident_tree(other, WIDTH, DEPTH, len(FREE) - 1) != confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1)


def test_a_norm_of_all_taps_may_be_said_in_the_nested_part(tmp_path: Path) -> None:
    weights = eagle3_weights(SPEC, DRAFTED) | INPUT_NORM
    guess = eagle3_guess(weights, CONFIG, PLAIN, (1, 2, 3), TEXT[:9], {"norm_before_fc"})
    drafter = eagle3(tmp_path, weights, SAID | {"eagle_config": {"norm_before_fc": True}})
    assert_same(drafts(drafter), confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1))


def test_ids_at_the_top_are_layer_inputs_and_nested_ones_layer_outputs(tmp_path: Path) -> None:
    ids = "eagle_aux_hidden_state_layer_ids"
    weights = eagle3_weights(SPEC, DRAFTED)
    assert eagle3(tmp_path, weights, SAID | {ids: [1, 4, 7]}).taps == (0, 3, 6)
    assert eagle3(tmp_path, weights, SAID | {"eagle_config": {ids: [0, 3, 6]}}).taps == (0, 3, 6)
    assert eagle3(tmp_path, weights, SAID | {ids: [1, 4, 7], "eagle_config": {ids: [0, 3, 6]}}).taps == (0, 3, 6)
    drafter = eagle3(tmp_path, weights, SAID | {ids: [1, 4, 7]})
    guess = eagle3_guess(weights, CONFIG, PLAIN, (0, 3, 6), TEXT[:9])
    assert_same(drafts(drafter), confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1))
    refused(lambda: eagle3(tmp_path, weights, SAID | {ids: [0, 3, 6], "eagle_config": {ids: [0, 3, 6]}}), "disagree")
    refused(lambda: eagle3(tmp_path, weights, SAID | {ids: [0, 3, 6]}), f"of the model's 7 are needed .'{ids}'")
    refused(lambda: eagle3(tmp_path, weights, SAID | {ids: "low"}), ids)


PUBLISHED: dict[str, dict[str, Any]] = {
    "EAGLE's own": {"pad_token_id": 0, "pretraining_tp": 1, "use_cache": True, "torch_dtype": "bfloat16"},
    "SpecForge's": {
        "max_window_layers": 36,
        "sliding_window": None,
        "use_sliding_window": False,
        "attention_bias": False,
    },
    "NVIDIA's": {
        "eagle_config": {
            "use_aux_hidden_state": True,
            "use_input_layernorm_in_first_layer": True,
            "use_last_layernorm": True,
            "use_mtp_layernorm": False,
        }
    },
}


@pytest.mark.parametrize("whose", PUBLISHED)
def test_keys_that_are_published_and_change_nothing_are_no_reason_to_refuse(whose: str, tmp_path: Path) -> None:
    said: dict[str, Any] = SAID | PUBLISHED[whose]
    plain, found = (eagle3(tmp_path, eagle3_weights(SPEC, DRAFTED), keys) for keys in (SAID, said))
    assert paths(drafts(plain)) == paths(drafts(found))


def speculators(weights: Weights, **more: Any) -> tuple[Weights, dict[str, Any]]:
    """The same layer as speculators writes it."""
    renamed = {name.replace("midlayer.", "layers.0."): tensor for name, tensor in weights.items()}
    said = {
        "architectures": ["Eagle3DraftModel"],
        "auto_map": {"": "eagle3.Eagle3DraftModel"},
        "speculators_model_type": "eagle3",
        "speculators_version": "0.5.0",
        "speculators_config": {"algorithm": "eagle3", "verifier": {"name_or_path": "org/model"}},
        "draft_vocab_size": len(DRAFTED),
        "norm_before_residual": True,
        "transformer_layer_config": config_json(SPEC),
    }
    return renamed, said | more


def test_speculators_files_are_read(tmp_path: Path) -> None:
    weights, said = speculators(eagle3_weights(SPEC, DRAFTED) | OWN, eagle_aux_hidden_state_layer_ids=[2, 3, 4])
    guess = eagle3_guess(weights, CONFIG, PLAIN, (1, 2, 3), TEXT[:9], {"norm_before_residual"})
    assert_same(drafts(eagle3(tmp_path, weights, said)), confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1))
    del said["norm_before_residual"]
    refused(lambda: eagle3(tmp_path, weights, said), "missing key 'norm_before_residual'")
    refused(lambda: eagle3(tmp_path, weights, said | {"norm_before_residual": 1}), "norm_before_residual")


SECOND = {name: torch.ones(shape) for name, shape in layer_shapes(SPEC, "layers.1.", 32).items()}


@pytest.mark.parametrize(
    ("added", "keys", "said"),
    [
        (NORMS, {}, r"holds 'fc_norm.0.weight' and 2 more, which"),
        (INPUT_NORM, {}, r"holds 'input_norm.weight', which"),
        (SECOND, {}, r"holds 'layers.1.\S+' and 7 more, which"),
        ({"midlayer.self_attn.q_norm.weight": torch.ones(8)}, {}, r"holds 'midlayer.self_attn.q_norm.weight', which"),
        ({"midlayer.self_attn.k_proj.bias": torch.ones(16)}, {}, r"holds 'midlayer.self_attn.k_proj.bias', which"),
        ({"fc.bias": torch.ones(32)}, {}, "holds 'fc.bias', which"),
        ({"lm_head.bias": torch.ones(37)}, {}, "holds 'lm_head.bias', which"),
        ({"embed_tokens.weight": torch.ones(65, 32)}, {}, r"'embed_tokens.weight' has shape \[65, 32\], expected is"),
        ({}, {"fc_norm": True}, "has no tensor 'fc_norm.0.weight'"),
        ({}, {"norm_before_fc": True}, "has no tensor 'input_norm.weight'"),
        (NORMS | INPUT_NORM, {"fc_norm": True, "norm_before_fc": True}, "norm_before_fc and fc_norm are both true"),
        ({}, {"draft_vocab_size": 38}, "can guess 37 tokens, but draft_vocab_size = 38"),
        ({}, {"target_hidden_size": 64}, "target_hidden_size = 64, the model's is 32"),
        ({}, {"vocab_size": 65}, "vocab_size is of a layer with 65 tokens, the model 64"),
        ({}, {"num_hidden_layers": 2}, "num_hidden_layers = 2, allowed is one draft layer"),
        ({}, {"attention_bias": True}, "attention_bias is true, but the layer's tensors have no biases"),
        ({}, {"eagle_config": {"use_aux_hidden_state": False}}, "eagle_config.use_aux_hidden_state"),
        ({}, {"eagle_config": {"use_mtp_layernorm": True}}, "eagle_config.use_mtp_layernorm"),
        ({}, {"eagle_config": {"parallel_draft_step": 2}}, "unknown key 'eagle_config.parallel_draft_step'"),
        ({}, {"sliding_window": 64}, "'sliding_window' may change what is computed"),
        ({}, {"logit_scale": 0.5}, "'logit_scale' may change what is computed"),
        ({}, {"parallel_drafting": True}, "'parallel_drafting' may change what is computed"),
        ({}, {"auto_map": {"AutoModel": "x.Y"}}, "'auto_map' asks for code of its own"),
        ({}, {"num_experts": 4}, "'num_experts' belongs to a model with experts"),
        ({}, {"hidden_act": "gelu"}, "hidden_act"),
        ({}, {"rope_scaling": {"rope_type": "longrope"}}, "longrope"),
    ],
)
def test_what_an_eagle3_layer_does_not_use_is_refused(
    added: Weights, keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    refused(lambda: eagle3(tmp_path, eagle3_weights(SPEC, DRAFTED) | added, SAID | keys), said)


def test_a_mask_without_distances_must_hold_every_token(tmp_path: Path) -> None:
    weights = eagle3_weights(SPEC, None)
    said = SAID | {"draft_vocab_size": 64}
    eagle3(tmp_path, weights | {"t2d": torch.ones(64, dtype=torch.bool)}, said)
    refused(
        lambda: eagle3(tmp_path, weights | {"t2d": torch.arange(64) > 3}, said), "'d2t' and 't2d' don't say the same"
    )


def eagle(folder: Path, weights: Weights, said: dict[str, Any] | None = None) -> ConfidenceDrafter:
    return load_eagle(MODEL, write_head(folder / "head", "model.safetensors", weights, said), DEPTH, WIDTH)


def test_an_eagle1_layer_brings_its_own_embedding(tmp_path: Path) -> None:
    weights = eagle_weights(SPEC) | OWN
    guess = eagle_guess(weights, CONFIG, PLAIN, TEXT[:9])
    assert_same(drafts(eagle(tmp_path, weights)), confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1))
    plain = drafts(eagle(tmp_path, eagle_weights(SPEC)))
    copy = {"embed_tokens.weight": MODEL.embedding.clone()}
    assert paths(drafts(eagle(tmp_path, eagle_weights(SPEC) | copy))) == paths(plain)
    assert paths(plain) != [path for path, _ in confident_tree(guess, WIDTH, DEPTH, len(FREE) - 1)]


def test_an_eagle1_configuration_may_say_max_sequence_length(tmp_path: Path) -> None:
    said = config_json(SPEC, max_sequence_length=2048, bias=False)
    del said["max_position_embeddings"]
    assert drafts(eagle(tmp_path, eagle_weights(SPEC, bias=False), said)).tree.size > 1


@pytest.mark.parametrize(
    ("added", "keys", "said"),
    [
        ({"layers.0.input_layernorm.weight": torch.ones(32)}, {}, "holds 'layers.0.input_layernorm.weight', which"),
        ({"norm.weight": torch.ones(32)}, {}, "holds 'norm.weight', which"),
        ({"lm_head.weight": torch.ones(64, 32)}, {}, "holds 'lm_head.weight', which"),
        ({"embed_layernorm.weight": torch.ones(32)}, {}, "holds 'embed_layernorm.weight', which"),
        ({"layers.0.mlp.up_proj.bias": torch.ones(48)}, {}, "holds 'layers.0.mlp.up_proj.bias', which"),
        ({}, {"bias": False}, "bias is false, but the tensors say otherwise of 'fc.bias'"),
        ({}, {"qkv_bias": True}, "qkv_bias is true, but the layer's tensors have no biases"),
        ({}, {"draft_vocab_size": 37}, "'draft_vocab_size' may change what is computed"),
        ({}, {"eagle_config": {"x": 1}}, "'eagle_config' may change what is computed"),
    ],
)
def test_what_an_eagle1_layer_does_not_use_is_refused(
    added: Weights, keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    refused(lambda: eagle(tmp_path, eagle_weights(SPEC) | added, config_json(SPEC, **keys)), said)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), what=st.sampled_from(["out", "renamed", "changed"]))
def test_every_tensor_of_an_eagle3_layer_counts(data: st.DataObject, what: str, tmp_path: Path) -> None:
    weights = eagle3_weights(SPEC, DRAFTED) | OWN | NORMS
    said = SAID | {"fc_norm": True}
    name = data.draw(st.sampled_from(sorted(set(weights) - {"d2t", "t2d", "embed_tokens.weight"})))
    changed = dict(weights)
    tensor = changed.pop(name)
    if what == "renamed":
        changed[f"{name}_ema"] = tensor
    elif what == "changed":
        changed[name] = tensor + drawn(*tensor.shape)
        before, after = (drafts(eagle3(tmp_path, w, said)) for w in (weights, changed))
        assert paths(before) != paths(after) or not np.array_equal(before.probability, after.probability)
        return
    refused(lambda: eagle3(tmp_path, changed, said), r"EAGLE-3 layer" if "q_proj" in name else f"'{name}'")


def medusa(folder: Path, weights: Weights, **said: Any) -> int:
    folder = write_head(folder / "heads", "medusa_lm_head.safetensors", weights, said or None)
    return load_medusa(MODEL, folder).depth


def test_heads_are_counted_in_the_file(tmp_path: Path) -> None:
    weights = medusa_weights(SPEC, heads=5)
    assert medusa(tmp_path, weights, medusa_num_heads=2, medusa_num_layers=1) == 5
    assert medusa(tmp_path, weights, medusa_choices=[[0], [1]]) == 5
    refused(lambda: medusa(tmp_path, weights, medusa_num_heads=6), "medusa_num_heads = 6, but the file holds 5")
    refused(lambda: medusa(tmp_path, weights, medusa_num_layers=2), "medusa_num_layers = 2, but the file holds 1")
    refused(lambda: medusa(tmp_path, weights, medusa_num_heads="5"), "medusa_num_heads = '5', but")
    refused(lambda: medusa(tmp_path, weights, medusa_fc_bias=True), "'medusa_fc_bias' may change what is computed")


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ({"0.1.bias": torch.ones(64)}, "holds '0.1.bias', which"),
        ({"6.0.linear.weight": torch.ones(32, 32)}, "holds '6.0.linear.weight', which"),
        ({"2.2.weight": torch.ones(64, 32)}, "holds '2.2.weight', which"),
        ({"lm_head.weight": torch.ones(64, 32)}, "holds 'lm_head.weight', which"),
        ({"1.1.linear.weight": torch.ones(32, 32)}, "holds '1.1.linear.weight', which"),
    ],
)
def test_what_medusa_heads_do_not_use_is_refused(added: Weights, said: str, tmp_path: Path) -> None:
    refused(lambda: medusa(tmp_path, medusa_weights(SPEC) | added), said)


def test_heads_in_float8_or_int8_mean_their_values(tmp_path: Path) -> None:
    weights = medusa_weights(SPEC)
    exact = load_medusa(MODEL, write_head(tmp_path / "a", "medusa_lm_head.safetensors", weights)).heads
    stored = dict(weights)
    scale = weights["0.1.weight"].abs().max() / 448
    stored |= {"0.1.weight": (weights["0.1.weight"] / scale).to(torch.float8_e4m3fn), "0.1.weight_scale": scale}
    found = load_medusa(MODEL, write_head(tmp_path / "b", "medusa_lm_head.safetensors", stored)).heads
    assert exact.out is not None
    assert found.out is not None
    assert torch.allclose(found.out, exact.out, rtol=1 / 16, atol=float(scale) * 2**-9)
    del stored["0.1.weight_scale"]
    refused(lambda: medusa(tmp_path, stored), "'0.1.weight' is float8_e4m3fn and has no scales")


def test_a_head_for_a_wider_model_is_refused(tmp_path: Path) -> None:
    wide = tiny_config(hidden_size=48).spec.model_copy(update={"layers": 1})
    folder = write_head(tmp_path / "h", "model.safetensors", eagle_weights(wide), config_json(wide))
    refused(lambda: load_drafter("eagle", MODEL, folder), "hidden states 48 wide, the model's are 32")


def test_the_plain_model_is_the_one_that_is_drafted_for() -> None:
    assert isinstance(PLAIN, Plain)
    assert PLAIN.config == MODEL.config
