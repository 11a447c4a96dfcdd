"""Weights of 3 and 4 bits as GPTQ, bitsandbytes and compressed-tensors write them mean the values that they stand for.

Each layout is written here one number at a time from its description, not by the code that reads it.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from head_weights import config_json
from packed_by_hand import neighbours, rounded
from safetensors.torch import save_file
from stored_folders import Stored, logits, stored_model, weights
from tiny_llama import tiny_config
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.generate import Generation
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError

transformers = pytest.importorskip("transformers")

SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "heads": 4, "kv_heads": 2, "head_dim": 16}
CONFIG = tiny_config(**SIZES)

NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""arXiv 2305.14314, appendix E."""

FP4 = tuple(sign * value / 12 for sign in (1, -1) for value in (0, 0.0625, 8, 12, 4, 6, 2, 3))
"""bitsandbytes 0.48, functional.py, create_fp4_map."""

E2M1 = [
    (-1) ** (code >> 3) * ((1 + (code & 1) / 2) * 2 ** ((code >> 1 & 3) - 1) if code & 6 else (code & 1) / 2)
    for code in range(16)
]
"""Sign, exponent with bias 1, mantissa; below the least exponent halves."""


def bits_in_a_row(rows: Tensor) -> Tensor:
    """Numbers of 3 bits, each row one long binary number, its lowest 32 bits the first integer."""
    packed = []
    for row in rows.tolist():
        whole = sum(number << (3 * place) for place, number in enumerate(row))
        words = [(whole >> (32 * word)) & 0xFFFFFFFF for word in range(len(row) * 3 // 32)]
        packed.append([word - (1 << 32) if word >> 31 else word for word in words])
    return torch.tensor(packed, dtype=torch.int32)


def gptq_3(weight: Tensor, size: int | None = 16, shuffled: bool = False) -> Stored:
    group = neighbours(weight.shape[1], size)
    if shuffled:
        group = group[torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(1))]
    numbers, zeros, scales, values = rounded(weight, group, 3, symmetric=False)
    parts = {
        "qweight": bits_in_a_row(numbers).T,
        "qzeros": bits_in_a_row(((zeros - 1) % 8).T),
        "scales": scales.T,
        "g_idx": group.int(),
    }
    return parts, values


def of_table(values: list[float], table: tuple[float, ...] | list[float]) -> list[int]:
    return [min(range(16), key=lambda code: abs(table[code] - value)) for value in values]


def bitsandbytes(weight: Tensor, kind: str = "nf4", block: int = 64, double: bool = False) -> Stored:
    table = NF4 if kind == "nf4" else FP4
    flat = weight.double().flatten().tolist()
    scales = [max(abs(value) for value in flat[at : at + block]) for at in range(0, len(flat), block)]
    state: dict[str, Any] = {"quant_type": kind, "blocksize": block, "dtype": "float32", "shape": list(weight.shape)}
    parts: dict[str, Tensor] = {}
    if double:
        nested, offset = 4, sum(scales) / len(scales)
        inner = [(code - 127) / 128 for code in range(256)]
        outer = [
            max(1e-9, *(abs(scale - offset) for scale in scales[at : at + nested]))
            for at in range(0, len(scales), nested)
        ]
        codes = [
            min(range(256), key=lambda code: abs(inner[code] * outer[at // nested] - (scale - offset)))
            for at, scale in enumerate(scales)
        ]
        scales = [inner[code] * outer[at // nested] + offset for at, code in enumerate(codes)]
        parts |= {
            "weight.absmax": torch.tensor(codes, dtype=torch.uint8),
            "weight.nested_absmax": torch.tensor(outer),
            "weight.nested_quant_map": torch.tensor(inner),
        }
        state |= {"nested_blocksize": nested, "nested_dtype": "float32", "nested_offset": offset}
    else:
        parts["weight.absmax"] = torch.tensor(scales)
    numbers = of_table([value / scales[at // block] for at, value in enumerate(flat)], table)
    meant = [table[number] * scales[at // block] for at, number in enumerate(numbers)]
    pairs = [high << 4 | low for high, low in zip(numbers[::2], numbers[1::2], strict=True)]
    parts |= {
        "weight": torch.tensor(pairs, dtype=torch.uint8)[:, None],
        "weight.quant_map": torch.tensor(table),
        f"weight.quant_state.bitsandbytes__{kind}": torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8),
    }
    return parts, torch.tensor(meant).double().view(weight.shape)


def microscaled(weight: Tensor, kind: str) -> Stored:
    size = 32 if kind == "mxfp4" else 16
    rows, columns = weight.shape
    whole = torch.tensor(2688.0 / float(weight.abs().max()))
    packed, meant = [], torch.zeros(rows, columns).double()
    scales = torch.zeros(rows, columns // size, dtype=torch.uint8 if kind == "mxfp4" else torch.float8_e4m3fn)
    for row in range(rows):
        numbers: list[int] = []
        for at in range(0, columns, size):
            values = weight[row, at : at + size].double().tolist()
            largest = max(abs(value) for value in values)
            if kind == "mxfp4":
                exponent = 0
                while 6 * 2.0**exponent < largest:
                    exponent += 1
                while 6 * 2.0 ** (exponent - 1) >= largest:
                    exponent -= 1
                scales[row, at // size], scale = exponent + 127, 2.0**exponent
            else:
                scales[row, at // size] = (largest / 6 * whole).to(torch.float8_e4m3fn)
                scale = float(scales[row, at // size]) / float(whole)
            found = of_table([value / scale for value in values], E2M1)
            meant[row, at : at + size] = torch.tensor([E2M1[code] * scale for code in found])
            numbers += found
        packed.append([low | high << 4 for low, high in zip(numbers[::2], numbers[1::2], strict=True)])
    parts = {"weight_packed": torch.tensor(packed, dtype=torch.uint8), "weight_scale": scales}
    if kind == "nvfp4":
        parts["weight_global_scale"] = whole.reshape(1)
    return parts, meant


def compressed(kind: str, **weights: Any) -> dict[str, Any]:
    strategy, size = ("group", 32) if kind == "mxfp4" else ("tensor_group", 16)
    numbers = {"type": "float", "num_bits": 4, "strategy": strategy, "group_size": size, "symmetric": True} | weights
    group = {"targets": ["Linear"], "weights": numbers, "input_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": f"{kind}-pack-quantized",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


GPTQ = {"quant_method": "gptq", "bits": 3, "group_size": 16, "sym": False, "desc_act": False}
BNB = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": False,
    "bnb_4bit_compute_dtype": "bfloat16",
}
LAYOUTS: dict[str, tuple[Callable[[Tensor], Stored], dict[str, Any], str]] = {
    "gptq": (gptq_3, GPTQ, "GPTQ, 3 bits"),
    "gptq, whole rows": (partial(gptq_3, size=None), GPTQ | {"group_size": -1}, "GPTQ, 3 bits"),
    "gptq, any order": (partial(gptq_3, shuffled=True), GPTQ | {"desc_act": True}, "GPTQ, 3 bits"),
    "nf4": (bitsandbytes, BNB, "bitsandbytes, 4 bits"),
    "nf4, other blocks": (partial(bitsandbytes, block=256), BNB, "bitsandbytes, 4 bits"),
    "nf4, doubly": (partial(bitsandbytes, double=True), BNB | {"bnb_4bit_use_double_quant": True}, "bitsandbytes, 4"),
    "fp4": (partial(bitsandbytes, kind="fp4"), BNB | {"bnb_4bit_quant_type": "fp4"}, "bitsandbytes, 4 bits"),
    "mxfp4": (partial(microscaled, kind="mxfp4"), compressed("mxfp4"), "MXFP4, 4 bits"),
    "nvfp4": (partial(microscaled, kind="nvfp4"), compressed("nvfp4"), "NVFP4, 4 bits"),
}


def write(folder: Path, tensors: dict[str, Tensor], **keys: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_json(CONFIG.spec, eos_token_id=None, **keys)))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_and_greedy_text_are_those_of_transformers(layout: str, tmp_path: Path) -> None:
    store, said, named = LAYOUTS[layout]
    stored, meant = stored_model(store, weights(**SIZES))
    loaded = load_transformer(write(tmp_path / "m", stored, quantization_config=said))
    plain = Transformer(CONFIG, Checkpoint(meant, "meant"))
    torch.testing.assert_close(logits(loaded), logits(plain), atol=1e-4, rtol=1e-4)
    assert re.match(f"weights stored as {named}", loaded.notes[0])
    theirs = transformers.LlamaForCausalLM.from_pretrained(write(tmp_path / "meant", meant))
    prompt = torch.arange(12) * 5 % CONFIG.spec.vocab_size
    with torch.inference_mode():
        wanted = theirs.generate(prompt[None], max_new_tokens=24, do_sample=False, eos_token_id=-1)[0, 12:].tolist()
    ours = Generation(loaded, prompt.numpy(), 24)
    list(ours)
    assert ours.tokens == wanted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_come_back_to_the_last_digits(layout: str) -> None:
    from lpspec.decoding.storage_config import read_storage

    store, said, _ = LAYOUTS[layout]
    parts, values = store(torch.randn(32, 64, generator=torch.Generator().manual_seed(0)))
    tensors = {f"a.{end}": part for end, part in parts.items()}
    checkpoint = Checkpoint(tensors, "packed", read_storage(said, "config"))
    assert checkpoint.packed_weights == {"a.weight": (32, 64)}
    torch.testing.assert_close(checkpoint.take("a.weight", 32, 64).double(), values, atol=1e-6, rtol=1e-6)
    checkpoint.refuse_rest()


Change = Callable[[dict[str, Tensor]], Any]
WRONG: dict[str, tuple[str, dict[str, Any], Change, str]] = {
    "no scales": (
        "nf4",
        {},
        lambda t: t.pop("weight.absmax"),
        "down_proj.weight' has shape [3072, 1], expected is [64, 96]",
    ),
    "no table": ("nf4", {}, lambda t: t.pop("weight.quant_map"), "weight.quant_map', which its packed weights need"),
    "no state": ("nf4", {}, lambda t: t.pop("weight.quant_state.bitsandbytes__nf4"), "bitsandbytes__nf4', which"),
    "a damaged state": ("nf4", {}, lambda t: t["weight.quant_state.bitsandbytes__nf4"].fill_(7), "must be JSON"),
    "infinite scales": ("nf4", {}, lambda t: t["weight.absmax"].fill_(torch.inf), "absmax' holds numbers that are not"),
    "too few bytes": ("nf4", {}, lambda t: t.update(weight=t["weight"][:9]), "holds 9 of uint8, expected"),
    "no inner scales": ("nf4, doubly", {}, lambda t: t.pop("weight.nested_absmax"), "nested_absmax', which"),
    "both widths": ("nf4", {"load_in_8bit": True}, lambda t: None, "one of load_in_8bit and load_in_4bit"),
    "no exponents": ("mxfp4", {}, lambda t: t.pop("weight_scale"), "weight_scale', which its packed weights need"),
    "no number": ("mxfp4", {}, lambda t: t["weight_scale"].fill_(255), "weight_scale' must hold finite scales"),
    "scales of another kind": (
        "mxfp4",
        {},
        lambda t: t.update(weight_scale=t["weight_scale"].float()),
        "weight_scale' is float32, expected is uint8",
    ),
    "no global scale": ("nvfp4", {}, lambda t: t.pop("weight_global_scale"), "weight_global_scale', which"),
    "a global scale of 0": ("nvfp4", {}, lambda t: t["weight_global_scale"].fill_(0), "must be above 0"),
    "another group": ("mxfp4", compressed("mxfp4", group_size=16), lambda t: None, "by group of 16: read are 4"),
    "too few zero points": ("gptq", {}, lambda t: t.update(qzeros=t["qzeros"][:, :2]), "qzeros' has shape"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_cannot_be_told_is_refused_by_name(fault: str, tmp_path: Path) -> None:
    layout, keys, change, said = WRONG[fault]
    store, config, _ = LAYOUTS[layout]
    stored, _ = stored_model(store, weights(**SIZES))
    start = "model.layers.1.mlp.down_proj."
    own = {name.removeprefix(start): tensor for name, tensor in stored.items() if name.startswith(start)}
    changed = dict(own)
    change(changed)
    stored = {name: tensor for name, tensor in stored.items() if not name.startswith(start)}
    stored |= {f"{start}{end}": tensor for end, tensor in changed.items()}
    with pytest.raises(InputError) as caught:
        load_transformer(write(tmp_path / "m", stored, quantization_config=config | keys))
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)
