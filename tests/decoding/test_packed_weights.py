"""Checkpoints of GPTQ, AWQ and compressed-tensors mean the values that they were packed from."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from packed_by_hand import awq, compressed, gptq, rounded, rows_packed
from stored_folders import CONFIG, Stored, logits, stored_model, write_model
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.generate import Generation
from lpspec.decoding.quantized import QuantizedLinear
from lpspec.decoding.storage_config import read_storage
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError

transformers = pytest.importorskip("transformers")


def packed(**weights: Any) -> dict[str, Any]:
    numbers = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": True} | weights
    group = {"targets": ["Linear"], "weights": numbers, "input_activations": None}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": group}}


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": False, "desc_act": False, "true_sequential": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 16, "zero_point": True, "version": "gemm"}
ZERO_POINTS = packed(symmetric=False)

LAYOUTS: dict[str, tuple[Callable[[Tensor], Stored], dict[str, Any]]] = {
    "gptq": (gptq, GPTQ),
    "gptq, version 2": (partial(gptq, v2=True), GPTQ | {"checkpoint_format": "gptq_v2"}),
    "gptq, inputs in any order": (partial(gptq, shuffled=True), GPTQ | {"desc_act": True}),
    "gptq, whole rows": (partial(gptq, size=None), GPTQ | {"group_size": -1}),
    "gptq, 8 bits": (partial(gptq, bits=8), GPTQ | {"bits": 8}),
    "gptq, 2 bits": (partial(gptq, bits=2), GPTQ | {"bits": 2}),
    "awq": (awq, AWQ),
    "awq, whole rows, older names": (
        partial(awq, size=None),
        {"quant_method": "awq", "w_bit": 4, "q_group_size": -1, "version": "GEMM"},
    ),
    "compressed-tensors": (compressed, packed()),
    "compressed-tensors, zero points": (partial(compressed, symmetric=False), ZERO_POINTS),
    "compressed-tensors, rows": (
        partial(compressed, size=None, symmetric=False),
        packed(strategy="channel", group_size=None, symmetric=False),
    ),
    "compressed-tensors, inputs in any order": (
        partial(compressed, shuffled=True, symmetric=False),
        packed(symmetric=False, actorder="group"),
    ),
    "compressed-tensors, 8 bits": (partial(compressed, bits=8), packed(num_bits=8)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_weights_mean_their_values(layout: str, tmp_path: Path) -> None:
    store, said = LAYOUTS[layout]
    stored, meant = stored_model(store)
    loaded = load_transformer(write_model(tmp_path / "m", stored, quantization_config=said))
    plain = Transformer(CONFIG, Checkpoint(meant, "meant"))
    torch.testing.assert_close(logits(loaded), logits(plain), atol=1e-4, rtol=1e-4)
    (note,) = loaded.notes
    assert re.fullmatch(
        r"weights stored as (GPTQ|AWQ|compressed-tensors), [248] bits a weight are computed in float32", note
    )


@pytest.mark.parametrize("layout", ["gptq", "awq", "compressed-tensors, zero points"])
def test_greedy_text_is_that_of_transformers_with_the_same_values(layout: str, tmp_path: Path) -> None:
    store, said = LAYOUTS[layout]
    stored, meant = stored_model(store)
    theirs = transformers.LlamaForCausalLM.from_pretrained(write_model(tmp_path / "meant", meant))
    prompt = torch.arange(12) * 5 % CONFIG.spec.vocab_size
    with torch.inference_mode():
        wanted = theirs.generate(prompt[None], max_new_tokens=24, do_sample=False, eos_token_id=-1)[0, 12:].tolist()
    ours = Generation(
        load_transformer(write_model(tmp_path / "m", stored, quantization_config=said)), prompt.numpy(), 24
    )
    list(ours)
    assert ours.tokens == wanted


@pytest.mark.parametrize("layout", ["gptq", "awq", "compressed-tensors"])
def test_asking_for_int8_rounds_the_packed_values(layout: str, tmp_path: Path) -> None:
    store, said = LAYOUTS[layout]
    stored, meant = stored_model(store)
    folder = write_model(tmp_path / "m", stored, quantization_config=said)
    down = load_transformer(folder, int8=True).layers[1].mlp.down
    assert isinstance(down, QuantizedLinear)
    wanted = meant["model.layers.1.mlp.down_proj.weight"]
    step = wanted.abs().amax(1, keepdim=True) / 127
    assert ((down.scale[:, None] * down.weight - wanted).abs() <= 0.501 * step).all()


def test_a_zero_point_of_0_comes_back_from_version_1() -> None:
    """Less one it is the largest number: adding one wraps."""
    weight = torch.rand(8, 32, generator=torch.Generator().manual_seed(0)) + 0.1
    _, zeros, _, _ = rounded(weight, torch.arange(32) // 16, 4, symmetric=False)
    assert not zeros.any()
    parts, values = gptq(weight)
    assert bool((parts["qzeros"] == -1).all())
    tensors = {f"a.{end}": part for end, part in parts.items()}
    taken = Checkpoint(tensors, "gptq", read_storage(GPTQ, "config")).take("a.weight", 8, 32)
    torch.testing.assert_close(taken.double(), values)


def test_rows_that_fill_no_integer_are_cut() -> None:
    weight = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    parts, values = compressed(weight, size=4, symmetric=False)
    assert parts["weight_packed"].shape == (5, 2)
    tensors = {f"a.{end}": part for end, part in parts.items()}
    storage = read_storage(packed(group_size=4, symmetric=False), "config")
    torch.testing.assert_close(Checkpoint(tensors, "packed", storage).take("a.weight", 5, 12).double(), values)


WRONG: dict[str, tuple[str, dict[str, Any], Callable[[dict[str, Tensor]], None], str]] = {
    "no scales": ("gptq", {}, lambda t: t.pop("scales"), "scales', which its packed weights need"),  # type: ignore
    "no zero points": ("gptq", {}, lambda t: t.pop("qzeros"), "qzeros', which"),  # type: ignore
    "no order": ("gptq", {"desc_act": True}, lambda t: t.pop("g_idx"), "g_idx', which"),  # type: ignore
    "order beyond groups": ("gptq", {}, lambda t: t["g_idx"].fill_(3), "g_idx' names groups outside 0 to 2"),  # type: ignore
    "another group size": ("awq", {"group_size": 8}, lambda t: None, "qzeros' has shape"),
    "scales that are not finite": ("awq", {}, lambda t: t["scales"].fill_(torch.inf), "scales' must hold finite"),  # type: ignore
    "biases that are not 0": ("gptq", {}, lambda t: t["bias"].fill_(1), "down_proj.bias', which by its config"),  # type: ignore
    "5 bits": ("gptq", {"bits": 5}, lambda t: None, "bits = 5"),
    "another version": ("awq", {"version": "gemv"}, lambda t: None, "version = 'gemv'"),
    "no zero point": ("awq", {"zero_point": False}, lambda t: None, "zero_point = False"),
    "marlin": ("gptq", {"is_marlin_format": True}, lambda t: None, "is_marlin_format"),
    "layer by layer": ("gptq", {"dynamic": {"-:lm_head": {}}}, lambda t: None, "dynamic"),
    "an unknown key": ("awq", {"rotation": "hadamard"}, lambda t: None, "unknown key 'rotation'"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_cannot_be_told_is_refused_by_name(fault: str, tmp_path: Path) -> None:
    layout, changes, spoil, line = WRONG[fault]
    store, said = LAYOUTS[layout]
    stored, _ = stored_model(store)
    prefix = "model.layers.1.mlp.down_proj."
    layer = {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}
    spoil(layer)
    rest = {name: tensor for name, tensor in stored.items() if not name.startswith(prefix)}
    folder = write_model(
        tmp_path / "m",
        rest | {f"{prefix}{end}": part for end, part in layer.items()},
        quantization_config=said | changes,
    )
    with pytest.raises(InputError, match=line) as caught:
        load_transformer(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_packed_numbers_are_refused_where_nothing_says_so(tmp_path: Path) -> None:
    stored, _ = stored_model(gptq)
    with pytest.raises(InputError, match=r"qweight' holds packed weights"):
        load_transformer(write_model(tmp_path / "m", stored))


def test_numbers_are_packed_lowest_bits_first() -> None:
    assert rows_packed(torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]]), 4).tolist() == [[0x87654321 - (1 << 32)]]
