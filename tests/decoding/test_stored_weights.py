"""Weights in INT8 and float8 mean their values times their scales, in every layout that is read; others are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_folders import (
    CONFIG,
    Stored,
    Tensors,
    float8,
    float8_blocks,
    llm_int8,
    logits,
    stored_model,
    w8a8,
    w8a8_of_a_tensor,
    weights,
    write_model,
)
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint, open_checkpoint
from lpspec.decoding.quantized import QuantizedLinear, quantized
from lpspec.decoding.storage_config import read_storage
from lpspec.decoding.stored_weights import Storage
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
PREFIX = "model.layers.1.mlp.down_proj."
ROUNDED = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


def compressed(kind: str = "int", strategy: str = "channel", layout: str = "int-quantized", **more: Any) -> Any:
    """The ``quantization_config`` of a compressed-tensors folder."""
    weight_scheme = {"num_bits": 8, "type": kind, "symmetric": True, "strategy": strategy, "dynamic": False}
    group = {"targets": ["Linear"], "weights": weight_scheme, "input_activations": ROUNDED | {"type": kind}}
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group | more.pop("group", {})},
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "quantization_status": "compressed",
        **more,
    }


FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [16, 24]}
BITSANDBYTES = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}
WEIGHT_ONLY = compressed(group={"input_activations": None})

DEQUANTISED: dict[str, tuple[Callable[[Tensor], Stored], Any]] = {
    "float8, scale_inv of a tensor": (lambda w: float8(w, E4M3, (), "weight_scale_inv"), None),
    "float8, scale_inv of a tensor, said": (lambda w: float8(w, E4M3, (1,), "weight_scale_inv"), FP8),
    "float8 of the wider kind": (lambda w: float8(w, E5M2, (1,)), None),
    "float8, rows": (lambda w: float8(w, E4M3, (len(w), 1)), compressed("float", layout="float-quantized")),
    "float8, rows, not said": (lambda w: float8(w, E4M3, (len(w), 1)), None),
    "float8, blocks": (lambda w: float8_blocks(w, 16, 24), FP8),
    "float8, blocks that are cut": (lambda w: float8_blocks(w, 20, 7), FP8 | {"weight_block_size": [20, 7]}),
    "float8, the usual blocks": (lambda w: float8_blocks(w, 128, 128), {"quant_method": "fp8"}),
    "bitsandbytes": (llm_int8, BITSANDBYTES),
    "bitsandbytes, not said": (llm_int8, None),
    "INT8, activations not rounded": (w8a8, WEIGHT_ONLY),
}


@pytest.mark.parametrize("layout", DEQUANTISED)
def test_what_is_not_computed_in_int8_means_its_values(layout: str, tmp_path: Path) -> None:
    store, said = DEQUANTISED[layout]
    stored, meant = stored_model(store)
    loaded = load_transformer(write_model(tmp_path / "m", stored, quantization_config=said))
    torch.testing.assert_close(
        logits(loaded), logits(Transformer(CONFIG, Checkpoint(meant, "meant"))), atol=1e-4, rtol=1e-4
    )


W8A8: dict[str, tuple[Callable[[Tensor], Stored], Any]] = {
    "the project's own": (lambda w: w8a8(w, column=False), None),
    "compressed-tensors, rows": (w8a8, compressed()),
    "compressed-tensors, a tensor": (w8a8_of_a_tensor, compressed(strategy="tensor")),
}


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("layout", W8A8)
def test_w8a8_is_computed_with_the_stored_integers(layout: str, int8: bool, tmp_path: Path) -> None:
    """Asking for INT8 rounds nothing a second time."""
    store, said = W8A8[layout]
    stored, meant = stored_model(store)
    loaded = load_transformer(write_model(tmp_path / "m", stored, quantization_config=said), int8=int8)
    down = loaded.layers[1].mlp.down
    assert isinstance(down, QuantizedLinear)
    assert torch.equal(down.weight, stored[f"{PREFIX}weight"])
    torch.testing.assert_close(down.weight * down.scale[:, None], meant[f"{PREFIX}weight"])
    x, weight = torch.randn(5, 48, generator=torch.Generator().manual_seed(0)), meant[f"{PREFIX}weight"]
    half_a_step = x.abs().amax(1, keepdim=True) / 254
    assert ((down(x) - x @ weight.T).abs() <= half_a_step * weight.abs().sum(1) * 1.001).all()


def test_asking_for_int8_takes_the_integers_of_bitsandbytes_and_rounds_float8(tmp_path: Path) -> None:
    stored, meant = stored_model(llm_int8)
    down = (
        load_transformer(write_model(tmp_path / "a", stored, quantization_config=BITSANDBYTES), int8=True)
        .layers[1]
        .mlp.down
    )
    assert isinstance(down, QuantizedLinear)
    assert torch.equal(down.weight, stored[f"{PREFIX}weight"])
    torch.testing.assert_close(down.scale[:, None] * down.weight, meant[f"{PREFIX}weight"])
    stored, meant = stored_model(lambda w: float8_blocks(w, 16, 24))
    down = load_transformer(write_model(tmp_path / "b", stored, quantization_config=FP8), int8=True).layers[1].mlp.down
    assert isinstance(down, QuantizedLinear)
    step = meant[f"{PREFIX}weight"].abs().amax(1, keepdim=True) / 127
    assert ((down.scale[:, None] * down.weight - meant[f"{PREFIX}weight"]).abs() <= 0.501 * step).all()


def test_int8_weights_of_a_float8_checkpoint_keep_none_of_its_scales(tmp_path: Path) -> None:
    stored, meant = stored_model(lambda w: float8_blocks(w, 16, 24))
    found = quantized(open_checkpoint(write_model(tmp_path / "float8", stored, quantization_config=FP8)))
    assert not any(name.endswith("weight_scale_inv") for name in found.tensors)
    exact = logits(Transformer(CONFIG, Checkpoint(meant, "meant")))
    assert (logits(Transformer(CONFIG, found)) - exact).norm() / exact.norm() < 0.1


def test_every_tensor_may_be_in_fewer_bits_if_it_has_its_scale(tmp_path: Path) -> None:
    tensors = weights()
    for name, rows in (("model.embed_tokens", 64), ("lm_head", 64)):
        parts, meant = w8a8(tensors[f"{name}.weight"])
        tensors |= {f"{name}.{end}": part for end, part in parts.items()}
        assert tensors[f"{name}.weight_scale"].shape == (rows, 1)
        if name == "model.embed_tokens":
            embedding = meant.float()
    loaded = load_transformer(write_model(tmp_path / "m", tensors))
    torch.testing.assert_close(loaded.embedding, embedding)
    assert isinstance(loaded.head, QuantizedLinear)


def test_a_bias_of_an_int8_layer_is_added(tmp_path: Path) -> None:
    stored, _ = stored_model(w8a8, weights(qkv_bias=True, out_bias=True))
    folder = write_model(tmp_path / "m", stored, attention_bias=True)
    biased = logits(load_transformer(folder))
    stored["model.layers.0.self_attn.o_proj.bias"] = torch.ones(32)
    assert not torch.equal(logits(load_transformer(write_model(tmp_path / "m", stored, attention_bias=True))), biased)


def _with(**parts: Tensor) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors.update({f"{PREFIX}{end}": part for end, part in parts.items()})

    return change


def _without(*ends: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for end in ends:
            del tensors[f"{PREFIX}{end}"]

    return change


def _packed(name: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        _without("weight", "weight_scale")(tensors)
        tensors[f"{PREFIX}{name}"] = torch.zeros(32, 6, dtype=torch.int32)

    return change


REFUSED: dict[str, tuple[Callable[[Tensors], None], str]] = {
    "no scales": (_without("weight_scale"), f"'{PREFIX}weight' is int8 and has no scales"),
    "float8 without scales": (
        lambda t: (_without("weight_scale")(t), _with(weight=torch.zeros(32, 48).to(E4M3))(t))[0],
        f"'{PREFIX}weight' is float8_e4m3fn and has no scales",
    ),
    "two scales": (_with(SCB=torch.ones(32)), "int8 and has weight_scale and SCB: one of its scales is needed"),
    "float8 with bitsandbytes' scale": (
        lambda t: (_without("weight_scale")(t), _with(weight=torch.zeros(32, 48).to(E4M3), SCB=torch.ones(32))(t))[0],
        "is float8_e4m3fn and has SCB",
    ),
    "scales of groups": (_with(weight_scale=torch.ones(32, 3)), r"weight_scale' has shape \[32, 3\], expected is one"),
    "scales of columns": (_with(weight_scale=torch.ones(48)), r"weight_scale' has shape \[48\], expected is one scale"),
    "scales that are whole": (_with(weight_scale=torch.ones(32, dtype=torch.uint8)), "weight_scale' is uint8"),
    "a scale that is not finite": (_with(weight_scale=torch.full((32,), torch.nan)), "scales that are not finite"),
    "zero points": (_with(weight_zero_point=torch.ones(32, 1, dtype=torch.int8)), "weight_zero_point' is not 0"),
    "another order": (_with(weight_format=torch.tensor(2, dtype=torch.uint8)), "weight_format' is not 0"),
    "static activations": (_with(input_scale=torch.ones(1)), "holds '.*down_proj.input_scale', which"),
    "4 bits in bytes": (_with(weight=torch.zeros(32, 48, dtype=torch.uint8)), "weight' is uint8|not int8 or float8"),
    "GPTQ and AWQ": (_packed("qweight"), "'.*down_proj.qweight' holds packed weights"),
    "W4A16": (_packed("weight_packed"), "'.*down_proj.weight_packed' holds packed weights"),
    "cache scales": (
        lambda t: t.update({"model.layers.0.self_attn.k_scale": torch.ones(1)}),
        "holds 'model.layers.0.self_attn.k_scale', which",
    ),
    "an embedding in whole numbers": (
        lambda t: t.update({"model.embed_tokens.weight": torch.zeros(64, 32, dtype=torch.int8)}),
        "'model.embed_tokens.weight' is int8 and has no scales",
    ),
    "a norm in whole numbers": (
        lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.int64)}),
        "'model.norm.weight' is int64, allowed are floating point, int8 and float8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("fault", REFUSED)
def test_integers_whose_values_are_not_known_are_refused_by_name(fault: str, int8: bool, tmp_path: Path) -> None:
    change, said = REFUSED[fault]
    tensors, _ = stored_model(w8a8)
    change(tensors)
    with pytest.raises(InputError, match=said) as caught:
        load_transformer(write_model(tmp_path / "m", tensors), int8=int8)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_a_product_half_in_int8_is_refused_unless_the_other_half_is_to_be_rounded(tmp_path: Path) -> None:
    tensors, _ = stored_model(w8a8)
    tensors["model.layers.1.mlp.up_proj.weight"] = weights()["model.layers.1.mlp.up_proj.weight"]
    del tensors["model.layers.1.mlp.up_proj.weight_scale"]
    folder = write_model(tmp_path / "m", tensors)
    with pytest.raises(InputError, match=r"up_proj' is not stored in INT8, but a layer that shares its input is"):
        load_transformer(folder)
    load_transformer(folder, int8=True)


def test_zero_points_of_zero_say_nothing(tmp_path: Path) -> None:
    tensors, _ = stored_model(w8a8)
    _with(weight_zero_point=torch.zeros(32, 1, dtype=torch.int8))(tensors)
    load_transformer(write_model(tmp_path / "m", tensors))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"quant_method": "aqlm"}, "quant_method = 'aqlm' is not read, allowed are gptq, awq, compressed-tensors"),
        ({"quant_method": "gptq"}, "missing key 'bits'"),
        ({"quant_method": "fbgemm_fp8"}, "quant_method = 'fbgemm_fp8' is not read"),
        ({"bits": 4}, "quant_method = None is not read"),
        ({"quant_method": ["fp8"]}, "quant_method = .*is not read"),
        ("fp8", "must be an object"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}, "load_in_8bit"),
        ({"quant_method": "bitsandbytes"}, "load_in_8bit"),
        (FP8 | {"activation_scheme": "static"}, "activation_scheme"),
        (FP8 | {"weight_block_size": [0, 16]}, "weight_block_size"),
        (compressed(layout="pack-quantized", strategy="tensor"), "packed weights of type int by tensor"),
        (compressed(layout="pack-quantized"), "input_activations beside packed weights"),
        (compressed(layout="marlin-24"), "format"),
        (compressed(strategy="group"), "weights.strategy = group is not read"),
        (compressed(kv_cache_scheme={"num_bits": 8}), "kv_cache_scheme"),
        (compressed(transform_config={"config_groups": {}}), "transform_config"),
        (compressed(sparsity_config={"format": "sparse-24-bitmask"}), "sparsity_config.format"),
        (compressed(config_groups={}), "config_groups"),
        (compressed(group={"output_activations": ROUNDED}), "output_activations"),
        (compressed(group={"input_activations": ROUNDED | {"dynamic": False}}), "input_activations.dynamic"),
        (compressed(group={"input_activations": ROUNDED | {"symmetric": False}}), "input_activations.symmetric"),
        (compressed(group={"input_activations": ROUNDED | {"strategy": "tensor"}}), "strategy = tensor"),
        (compressed(group={"input_activations": ROUNDED | {"num_bits": 4}}), "input_activations.num_bits"),
    ],
)
def test_layouts_that_are_not_read_are_refused_by_name(said: object, message: str, tmp_path: Path) -> None:
    tensors, _ = stored_model(w8a8)
    with pytest.raises(InputError, match=f"quantization_config.*{message}") as caught:
        load_transformer(write_model(tmp_path / "m", tensors, quantization_config=said))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_groups_that_differ_are_refused_and_like_ones_are_one() -> None:
    said = compressed()
    group = said["config_groups"]["group_0"]
    said["config_groups"]["group_1"] = group
    assert read_storage(said, "config") == Storage(int8_activations=True, method="compressed-tensors")
    said["config_groups"]["group_1"] = group | {"input_activations": None}
    with pytest.raises(InputError, match="config_groups that differ in blocks or activations are not read"):
        read_storage(said, "config")


@pytest.mark.parametrize("said", [FP8, BITSANDBYTES, compressed()])
def test_weights_in_full_under_a_configuration_that_says_otherwise_are_refused(said: Any, tmp_path: Path) -> None:
    """Its writer meant them to be rounded on loading."""
    with pytest.raises(InputError, match=f"no weight is stored as quantization_config says .{said['quant_method']}"):
        load_transformer(write_model(tmp_path / "m", weights(), quantization_config=said))
    load_transformer(write_model(tmp_path / "m", weights(), quantization_config=compressed(layout="dense")))


def test_a_block_scale_of_another_block_is_refused(tmp_path: Path) -> None:
    stored, _ = stored_model(lambda w: float8_blocks(w, 16, 16))
    with pytest.raises(InputError, match=r"weight_scale_inv' has shape .* each block of 128 x 128"):
        load_transformer(write_model(tmp_path / "m", stored))
