"""What quantised checkpoints store, against the bytes of published files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.llm import Gemm, ModelSpec, load_model, verify_operators
from lpspec.llm.quantization import stored_precision

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True, "damp_percent": 0.1}
W4A16 = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True},
            "input_activations": None,
        }
    },
}
W8A8 = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "ignore": ["lm_head"],
    "kv_cache_scheme": None,
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False},
            "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True},
        }
    },
}


def quantised(preset: str, config: dict[str, Any]) -> ModelSpec:
    return load_model(preset).model_copy(update=stored_precision(config, "float16"))


@pytest.mark.parametrize(
    ("preset", "gigabytes"),
    [("llama3.2-1b", 1.031), ("qwen2.5-1.5b", 1.148), ("llama3-8b", 5.728)],
)
def test_awq_files_are_as_large_as_published(preset: str, gigabytes: float) -> None:
    assert quantised(preset, AWQ).weight_bytes / 1e9 == pytest.approx(gigabytes, rel=1e-3)


@pytest.mark.parametrize(
    ("config", "bits"),
    [
        (AWQ, 4 + 20 / 128),
        (AWQ | {"group_size": 64, "modules_to_not_convert": ["lm_head"]}, 4 + 20 / 64),
        (GPTQ, 4 + 20 / 128),
        (GPTQ | {"bits": 8, "group_size": 32}, 8 + 24 / 32),
        (GPTQ | {"group_size": -1}, 4 + 20 / 4096),
        (W4A16, 4 + 16 / 128),
        (W8A8, 8 + 16 / 4096),
        (W8A8 | {"sparsity_config": {"format": "dense", "global_sparsity": 0.14}}, 8 + 16 / 4096),
    ],
)
def test_bits_of_a_linear_weight(config: dict[str, Any], bits: float) -> None:
    qkv = next(op for op in verify_operators(quantised("llama2-7b", config), 1, 0) if isinstance(op, Gemm))
    assert qkv.weight_bytes * 8 / (qkv.count * qkv.k * qkv.n) == pytest.approx(bits, rel=1e-12)


def test_embedding_head_and_norms_stay_wide() -> None:
    model = quantised("llama3-8b", AWQ)
    stored = {
        tensor.name: model.stored_bytes(tensor) * 8 / tensor.elements for tensor in model.tensors if tensor.copies
    }
    assert {name for name, bits in stored.items() if bits == 16} == {
        "embedding",
        "attention_norm",
        "mlp_norm",
        "final_norm",
        "lm_head",
    }
    assert {bits for bits in stored.values() if bits != 16} == {4 + 20 / 128}


@given(st.integers(1, 300), st.integers(1, 40), st.sampled_from([0, 1, 7, 32, 128]), st.sampled_from([4, 8]))
def test_bytes_by_counting_groups(columns: int, rows: int, group_size: int, bits: int) -> None:
    sizes = {"hidden_size": columns, "intermediate_size": rows, "weight_bits": bits, "layers": 1}
    stored = {"group_size": group_size, "group_bits": 20, "other_bits": 16}
    model = load_model("tinyllama").model_copy(update={**sizes, **stored})
    gate_up = next(tensor for tensor in model.tensors if tensor.name == "gate_up")
    codes = groups = 0
    for _row in range(2 * rows):
        codes += -(-columns * bits // 8)
        groups += len(range(0, columns, group_size or columns))
    assert model.stored_bytes(gate_up) == codes + -(-groups * 20 // 8)


@given(st.sampled_from([AWQ, GPTQ, W4A16, W8A8]), st.sampled_from(["llama2-7b", "qwen2.5-1.5b"]))
def test_a_pass_reads_what_is_stored(config: dict[str, Any], preset: str) -> None:
    model = quantised(preset, config)
    operators = verify_operators(model, 1, 0)
    read = sum(op.weight_bytes for op in operators if isinstance(op, Gemm))
    read += sum(int(op.memory_bytes) for op in operators if not isinstance(op, Gemm) and hasattr(op, "memory_bytes"))
    row = 2 * model.hidden_size
    unread = 0 if model.tied_embeddings else model.vocab_size * row
    assert read == model.weight_bytes - unread + row


def test_with_bits_makes_all_weights_alike() -> None:
    assert quantised("llama2-7b", AWQ).with_bits(weight=8) == load_model("llama2-7b")


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "quant_method = 'bitsandbytes'"),
        ({"quant_method": "fp8"}, "quant_method = 'fp8'"),
        ({"bits": 4}, "quant_method = None"),
        (AWQ | {"bits": 3}, "bits = 3"),
        (AWQ | {"bits": True}, "bits = True"),
        (AWQ | {"version": "marlin"}, "version = 'marlin'"),
        (AWQ | {"zero_point": False}, "zero_point"),
        (AWQ | {"modules_to_not_convert": ["visual"]}, "modules_to_not_convert names 'visual'"),
        (AWQ | {"group_size": 0}, "group_size = 0"),
        (AWQ | {"group_size": "128"}, "group_size = '128'"),
        (AWQ | {"new_trick": 1}, "new_trick"),
        (GPTQ | {"bits": 3}, "bits = 3"),
        (GPTQ | {"lm_head": True}, "lm_head"),
        (W8A8 | {"sparsity_config": {"sparsity_structure": "2:4"}}, "sparsity_config"),
        (GPTQ | {"dynamic": {"-:.*gate": {}}}, "dynamic"),
        (GPTQ | {"is_marlin_format": True}, "is_marlin_format"),
        (GPTQ | {"checkpoint_format": "marlin"}, "checkpoint_format = 'marlin'"),
        (W8A8 | {"format": "float-quantized"}, "format = 'float-quantized'"),
        (W8A8 | {"ignore": []}, "ignore"),
        (W8A8 | {"ignore": ["lm_head", "model.layers.0.mlp.down_proj"]}, "model.layers.0.mlp.down_proj"),
        (W8A8 | {"config_groups": {}}, "config_groups"),
        (W8A8 | {"kv_cache_scheme": {"num_bits": 8}}, "kv_cache_scheme"),
        (W8A8 | {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config"),
    ],
)
def test_what_stores_something_else_is_refused_by_name(tmp_path: Path, config: dict[str, Any], key: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "llama", "quantization_config": config}))
    with pytest.raises(InputError) as caught:
        load_model(str(file))
    assert key in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "models/some-model")) <= 200
    assert load_model(str(file), weight_bits=8).weight_bits == 8, "at a precision of one's own it does not matter"
