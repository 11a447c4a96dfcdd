"""Defaults of every family that decodes, and keys that change what is computed, against transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import KINDS, SIZES, save_random, transformers
from safetensors.torch import load_file, save_file

from lpspec.decoding.config_reader import architecture, dimensions, read_keys, rotations
from lpspec.decoding.families import DECODED
from lpspec.decoding.transformer import load_transformer
from lpspec.errors import InputError

SAME = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps",
    "tie_word_embeddings", "max_position_embeddings", "eos_token_id", "sliding_window", "query_pre_attn_scalar",
    "attn_logit_softcapping", "final_logit_softcapping", "embedding_multiplier", "logits_scaling",
    "residual_multiplier", "attention_multiplier", "original_max_position_embeddings",
)  # fmt: skip


@pytest.mark.parametrize("family", DECODED)
def test_an_absent_key_is_the_librarys_default(family: str) -> None:
    theirs = transformers.CONFIG_MAPPING["qwen2" if family == "mimo" else family]()
    keys = read_keys({"model_type": family})
    for name in SAME:
        if hasattr(theirs, name) and not (name == "sliding_window" and family in ("qwen2", "qwen3", "mimo")):
            assert getattr(keys, name) == getattr(theirs, name), name
    sizes = dimensions(keys)
    assert sizes["kv_heads"] == (theirs.num_key_value_heads or theirs.num_attention_heads)
    assert sizes["head_dim"] == getattr(theirs, "head_dim", theirs.hidden_size // theirs.num_attention_heads)
    ropes = theirs.rope_parameters
    nested = ropes if "full_attention" in ropes else {"full_attention": ropes}
    for found, kind in zip(rotations(keys), ("full_attention", "sliding_attention"), strict=True):
        assert (None if found is None else found["theta"]) == nested.get(kind, {}).get("rope_theta")
    if getattr(theirs, "layer_types", None):
        slides = [architecture(keys).kind(layer).window is not None for layer in range(keys.num_hidden_layers)]
        assert slides == [kind == "sliding_attention" for kind in theirs.layer_types]


CHANGES: dict[str, dict[str, object]] = {
    "qwen3": {
        "attention_bias": True, "head_dim": 16, "use_sliding_window": True, "layer_types": ["full_attention"],
        "rope_theta": 100.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 5e5},
        "hidden_act": "gelu", "mlp_bias": True, "partial_rotary_factor": 0.5, "num_experts": 8, "q_lora_rank": 8,
    },
    "smollm3": {
        "no_rope_layers": [1, 1], "no_rope_layer_interval": 3, "use_sliding_window": True, "mlp_bias": True,
        "layer_types": ["sliding_attention", "full_attention"], "attention_bias": True, "rope_theta": 100.0,
    },
    "gemma2": {
        "query_pre_attn_scalar": 3, "attn_logit_softcapping": None, "final_logit_softcapping": 9.0,
        "sliding_window": 5, "layer_types": ["full_attention", "full_attention"], "hidden_activation": "gelu",
        "use_bidirectional_attention": True, "rms_norm_eps": 0.1, "tie_word_embeddings": False,
    },
    "gemma3": {
        "sliding_window_pattern": 2, "rope_local_base_freq": 50.0, "rope_theta": 77.0, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 9.0, "rope_parameters": {"rope_type": "linear", "factor": 4.0},
        "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "query_pre_attn_scalar": 3, "head_dim": 8,
    },
    "phi3": {
        "sliding_window": None, "original_max_position_embeddings": 4, "hidden_act": "gelu", "attention_bias": True,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "partial_rotary_factor": 0.5, "rope_theta": 77.0,
        "auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}, "trust_remote_code": True,
    },
    "olmo3": {
        "sliding_window": 5, "rope_theta": 77.0, "layer_types": ["full_attention"] * 5, "attention_bias": True,
        "rope_parameters": None, "clip_qkv": 8.0,
    },
    "granite": {
        "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22, "attention_multiplier": 0.5,
        "attention_bias": True, "mlp_bias": True, "shared_intermediate_size": 8, "position_embedding_type": "nope",
    },
}  # fmt: skip
CASES = [(kind, key) for kind, keys in CHANGES.items() for key in keys]


@pytest.mark.parametrize(("kind", "key"), CASES, ids=[f"{kind}-{key}" for kind, key in CASES])
def test_a_changed_key_is_computed_as_by_the_library_or_refused(kind: str, key: str, tmp_path: Path) -> None:
    save_random(kind, tmp_path)
    file = tmp_path / "config.json"
    said: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if key in ("rope_theta", "rope_scaling", "rope_local_base_freq"):
        said.pop("rope_parameters")
    file.write_text(json.dumps(said | {key: CHANGES[kind][key]}))
    tokens = torch.arange(50) * 7 % 64
    try:
        ours = load_transformer(tmp_path, backend="torch")
    except InputError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert len(refusal) <= 200
    assert "\n" not in refusal
    if refusal:
        return
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.inference_mode():
        logits = ours.logits(ours.forward(tokens).hidden)
        torch.testing.assert_close(logits, theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4)


def test_code_that_the_library_has_taken_in_is_not_of_its_own(tmp_path: Path) -> None:
    save_random("phi3", tmp_path)
    file = tmp_path / "config.json"
    said = json.loads(file.read_text("utf-8"))
    code = {"AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}
    file.write_text(json.dumps(said | {"auto_map": code}))
    assert load_transformer(tmp_path).config.spec.vocab_size == SIZES["vocab_size"]


def test_longrope_ends_where_its_training_did(tmp_path: Path) -> None:
    """Behind that place all positions are turned otherwise."""
    save_random("phi3-longrope", tmp_path)
    assert load_transformer(tmp_path).config.shape.max_context == 128


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_of_every_family_counts(kind: str, tmp_path: Path) -> None:
    """One that is missing or too many is named, and one that is changed changes the scores."""
    save_random(kind, tmp_path)
    file, tokens = tmp_path / "model.safetensors", torch.arange(40) * 7 % 64
    tensors, random = load_file(file), torch.Generator().manual_seed(sum(map(ord, kind)))
    names = [name for name in sorted(tensors) if "layers.0." not in name]

    def scores(changed: dict[str, torch.Tensor]) -> torch.Tensor:
        save_file(changed, file)
        model = load_transformer(tmp_path, backend="torch")
        with torch.inference_mode():
            return model.logits(model.forward(tokens).hidden)

    plain = scores(tensors)
    for place in torch.randperm(len(names), generator=random)[:3].tolist():
        name = names[place]
        other = tensors[name] + torch.randn(tensors[name].shape, generator=random)
        assert not torch.equal(scores(tensors | {name: other}), plain)
        with pytest.raises(InputError, match=f"'{name}'"):
            scores({key: tensor for key, tensor in tensors.items() if key != name})
    with pytest.raises(InputError, match=r"holds 'model\.layers\.1\.self_attn\.sinks', which"):
        scores(tensors | {"model.layers.1.self_attn.sinks": torch.ones(4)})
