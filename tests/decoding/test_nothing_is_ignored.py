"""Whatever a model folder holds is used or refused by name: tensors added, taken out, renamed or changed."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_folders import CONFIG, logits, weights, write_model
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.generate import Generation
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError

TENSORS = weights()
CHANGES = ["out", "renamed", "changed", "cut"]
PLAIN = logits(Transformer(CONFIG, Checkpoint(TENSORS, "plain")))
ADDED = [
    *(f"model.layers.{i}.self_attn.{name}_proj.bias" for i in range(2) for name in "qkvo"),
    *(f"model.layers.1.mlp.{name}_proj.bias" for name in ("gate", "up", "down")),
    *(f"model.layers.0.self_attn.{name}_norm.weight" for name in "qk"),
    *(f"model.layers.2.{name}" for name in ("input_layernorm.weight", "self_attn.q_proj.weight")),
    "model.layers.0.pre_feedforward_layernorm.weight",
    "model.layers.0.mlp.experts.0.up_proj.weight",
    "model.layers.0.self_attn.rotary_emb.scale",
    "model.norm.bias",
    "lm_head.bias",
    "score.weight",
    "model.embed_positions.weight",
    "visual.patch_embed.weight",
    "base_model.model.layers.0.self_attn.q_proj.lora_A.weight",
]
"""What other models have: each changes what is computed."""


@pytest.mark.parametrize("name", ADDED)
def test_a_tensor_that_the_configuration_has_no_use_for_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"holds '{name}', which by its configuration is not used") as caught:
        load_transformer(write_model(tmp_path / "m", TENSORS | {name: torch.ones(32)}))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_several_are_counted(tmp_path: Path) -> None:
    added = {name: torch.ones(32) for name in ADDED}
    with pytest.raises(InputError, match=rf"holds '\S+' and {len(ADDED) - 1} more, which"):
        load_transformer(write_model(tmp_path / "m", TENSORS | added))


@pytest.mark.parametrize("name", ["model.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"])
def test_what_follows_from_the_configuration_may_be_there(name: str, tmp_path: Path) -> None:
    loaded = load_transformer(write_model(tmp_path / "m", TENSORS | {name: torch.ones(4)}), backend="torch")
    assert torch.equal(logits(loaded), PLAIN)


def test_heads_in_one_checkpoint_with_the_model_belong_to_their_drafter(tmp_path: Path) -> None:
    together = TENSORS | {"medusa_head.0.0.linear.weight": torch.ones(32, 32)}
    loaded = load_transformer(write_model(tmp_path / "m", together), backend="torch")
    assert torch.equal(logits(loaded), PLAIN)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(TENSORS)),
    what=st.sampled_from(["out", "renamed", "changed", "cut"]),
    seed=st.integers(0, 9),
)
def test_every_tensor_counts(name: str, what: str, seed: int, tmp_path: Path) -> None:
    """A change of values changes the output; any other change is refused, and the line names the tensor."""
    tensors = dict(TENSORS)
    tensor = tensors.pop(name)
    random = torch.Generator().manual_seed(seed)
    if what == "renamed":
        tensors[f"{name}_ema"] = tensor
    elif what == "changed":
        tensors[name] = tensor + torch.randn(tensor.shape, generator=random)
    elif what == "cut":
        tensors[name] = tensor[:-1]
    folder = write_model(tmp_path / "m", tensors)
    if what == "changed":
        assert not torch.equal(logits(load_transformer(folder)), PLAIN)
        return
    with pytest.raises(InputError, match=f"'{name}'") as caught:
        load_transformer(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


KEYS: dict[str, object] = {
    "rms_norm_eps": 0.5,
    "rope_theta": 500.0,
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    "partial_rotary_factor": 0.5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "hidden_size": 64,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "vocab_size": 63,
    "attention_bias": True,
    "mlp_bias": True,
    "hidden_act": "gelu",
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "use_qk_norm": True,
    "attention_multiplier": 0.5,
    "final_logit_softcapping": 30.0,
    "num_experts": 4,
    "quantization_config": {"quant_method": "fp8"},
    "model_type": "qwen2",
    "architectures": ["LlamaForSequenceClassification"],
    "auto_map": {"AutoModel": "own.Model"},
}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_counts(key: str, tmp_path: Path) -> None:
    """What it changes is computed, or a line says what does not fit."""
    folder = write_model(tmp_path / "m", TENSORS, **{key: KEYS[key]})
    try:
        model = load_transformer(folder)
    except InputError as error:
        line = str(error)
    else:
        line = "" if torch.equal(logits(model), PLAIN) else "used"
    assert 0 < len(line) <= 200
    assert "\n" not in line


def tied(**changes: Tensor) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in TENSORS.items() if name != "lm_head.weight"} | changes


def test_a_copy_of_a_tied_embedding_is_no_second_matrix(tmp_path: Path) -> None:
    copy = {"lm_head.weight": TENSORS["model.embed_tokens.weight"].clone()}
    loaded = load_transformer(write_model(tmp_path / "m", tied(**copy), tie_word_embeddings=True))
    assert loaded.config.spec.tied_embeddings
    assert torch.equal(
        logits(loaded), logits(load_transformer(write_model(tmp_path / "t", tied(), tie_word_embeddings=True)))
    )


@pytest.mark.parametrize("int8", [False, True])
def test_a_head_unlike_the_tied_embedding_is_used(int8: bool, tmp_path: Path) -> None:
    """As transformers 5.23 does, which says that it won't tie them."""
    loaded = load_transformer(write_model(tmp_path / "m", TENSORS, tie_word_embeddings=True), int8=int8)
    assert torch.equal(logits(loaded), logits(load_transformer(write_model(tmp_path / "u", TENSORS), int8=int8)))
    assert not loaded.config.spec.tied_embeddings


def test_an_untied_model_needs_its_head(tmp_path: Path) -> None:
    """Absent, tie_word_embeddings is false in all three families."""
    with pytest.raises(InputError, match=r"has no tensor 'lm_head.weight'"):
        load_transformer(write_model(tmp_path / "m", tied()))


def test_an_adapter_beside_the_weights_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds an adapter \(adapter_config.json\), which is not applied: merge it"):
        load_transformer(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_weight_that_is_no_number_is_refused(dtype: torch.dtype, value: float, tmp_path: Path) -> None:
    """The likeliest token of scores that are no numbers is the first, again and again."""
    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"):
        changed = TENSORS[name].to(dtype, copy=True)
        changed.view(-1)[-1] = value if dtype == torch.float64 or abs(value) == float("inf") else value * 1e300
        with pytest.raises(InputError, match=f"'{name}' holds values that are not finite"):
            load_transformer(write_model(tmp_path / "m", TENSORS | {name: changed}))


def test_a_model_whose_numbers_grow_beyond_all_limits_is_refused(tmp_path: Path) -> None:
    norm = torch.full_like(TENSORS["model.norm.weight"], 3e38)
    model = load_transformer(write_model(tmp_path / "m", TENSORS | {"model.norm.weight": norm}))
    with pytest.raises(InputError, match="scores that are not finite"):
        Generation(model, [1, 2, 3], 4)


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("hf_quant_config.json", {"quantization": {"quant_algo": "NVFP4"}}, "quant_method = 'modelopt' is not read"),
        ("quantize_config.json", {"bits": 4, "group_size": 128}, r"as quantization_config says \(gptq\)"),
        ("quant_config.json", {"w_bit": 4, "q_group_size": 128}, r"as quantization_config says \(awq\)"),
        ("adapter_model.safetensors", {}, "holds an adapter"),
    ],
)
def test_files_beside_the_weights_that_say_what_they_are_count(
    name: str, said: dict[str, object], hint: str, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "m", TENSORS)
    (folder / name).write_text(json.dumps(said))
    with pytest.raises(InputError, match=hint):
        load_transformer(folder)


@pytest.mark.parametrize("kind", [torch.float8_e8m0fnu, torch.float4_e2m1fn_x2])
def test_numbers_that_are_only_parts_of_a_format_are_no_weights(kind: torch.dtype, tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    alone = torch.ones(TENSORS[name].shape, dtype=torch.uint8).view(kind)
    with pytest.raises(InputError, match=f"'{name}' is float"):
        load_transformer(write_model(tmp_path / "m", TENSORS | {name: alone}))
