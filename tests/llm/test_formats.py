"""Formats by class: what people write, and the bytes that follow, by counting."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_quantization import AWQ, GPTQ, LLM_INT8, NF4_TWICE, NVFP4, W4A16, W8A8

from lpspec.errors import InputError
from lpspec.llm import Elementwise, Gemm, ModelSpec, load_model, verify_operators
from lpspec.llm.formats import WeightFormat, read_format
from lpspec.llm.quantization import stored_precision
from lpspec.llm.stored_tensors import CLASSES


def quantised(preset: str, config: dict[str, Any]) -> ModelSpec:
    model = load_model(preset)
    return model.model_copy(update={"formats": stored_precision(config, "float16", model.classes).formats})


@pytest.mark.parametrize(
    ("preset", "gigabytes"),
    [("llama3.2-1b", 1.031), ("qwen2.5-1.5b", 1.148), ("llama3-8b", 5.728)],
)
def test_awq_files_are_as_large_as_published(preset: str, gigabytes: float) -> None:
    assert quantised(preset, AWQ).weight_bytes / 1e9 == pytest.approx(gigabytes, rel=1e-3)


@given(st.integers(1, 300), st.integers(1, 40), st.sampled_from([0, 1, 7, 32, 128]), st.sampled_from([4, 8]))
def test_bytes_by_counting_groups(columns: int, rows: int, group_size: int, bits: int) -> None:
    codes = groups = 0
    for _row in range(rows):
        codes += -(-columns * bits // 8)
        groups += len(range(0, columns, group_size or columns))
    assert WeightFormat(bits, group_size, 20).size_bytes(rows, columns) == codes + -(-groups * 20 // 8)


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 10**9), st.integers(1, 10**9))
def test_measured_bytes_round_up_once(rows: int, columns: int, size_bytes: int, weights: int) -> None:
    exact = Fraction(rows * columns * size_bytes, weights)
    found = int(WeightFormat(4).filling(size_bytes, weights).size_bytes(rows, columns))
    assert exact <= found < exact + 1


@given(
    st.sampled_from([AWQ, GPTQ, W4A16, W8A8, LLM_INT8, NF4_TWICE, NVFP4]), st.sampled_from(["llama2-7b", "tinyllama"])
)
def test_a_pass_reads_what_is_stored(config: dict[str, Any], preset: str) -> None:
    model = quantised(preset, config)
    operators = verify_operators(model, 1, 0)
    read = sum(op.weight_bytes for op in operators if isinstance(op, Gemm))
    read += sum(int(op.memory_bytes) for op in operators if isinstance(op, Elementwise))
    row = 2 * model.hidden_size
    unread = 0 if model.tied_embeddings else model.vocab_size * row
    assert abs(read - (model.weight_bytes - unread + row)) <= len(operators), "each rounds up at most a byte"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", 4),
        ("16", 16),
        ("int8", 8),
        ("bf16", 16),
        ("4g128", 4 + Fraction(16, 128)),
        ("4g64z", 4 + Fraction(20, 64)),
        ("Q4_K", Fraction(144 * 8, 256)),
        ("q6_k", Fraction(210 * 8, 256)),
        ("iq2_xxs", Fraction(66 * 8, 256)),
        ("tq1_0", Fraction(54 * 8, 256)),
        ("mxfp4", Fraction(17 * 8, 32)),
        ("nvfp4", Fraction(36 * 8, 64)),
        ("ternary", 2),
    ],
)
def test_formats_that_people_write(text: str, expected: Fraction) -> None:
    assert Fraction(8 * int(read_format(text).size_bytes(7, 1024)), 7 * 1024) == expected


def test_classes_are_given_one_by_one() -> None:
    model = load_model("llama2-7b").with_weights("ffn_up=4g128, ffn_down=mxfp4,head=16")
    plain = load_model("llama2-7b")
    bits = {"ffn_up": 4 + Fraction(16, 128), "ffn_down": 4 + Fraction(8, 32), "head": Fraction(16)}
    for tensor in model.tensors:
        stored = Fraction(8 * model.stored_bytes(tensor), tensor.elements)
        assert stored == bits.get(tensor.kind, 8)
    assert model.weights_text == "int8 (fp16 in head; 4g128 in ffn_up; mxfp4 in ffn_down)"
    assert plain.with_weights("8") == plain.with_bits(weight=8) == plain
    assert plain.with_weights("4").weight_bytes * 2 == plain.weight_bytes


def test_operators_carry_the_format_of_their_class() -> None:
    model = load_model("llama2-7b").with_weights("attention_in=q4_k,ffn_down=16")
    stored = {op.name: op.stored.text for op in verify_operators(model, 4, 100) if isinstance(op, Gemm)}
    assert stored == {"qkv": "q4_k", "out": "int8", "gate_up": "int8", "down": "fp16", "lm_head": "int8"}


@pytest.mark.parametrize(
    ("model", "text", "hint"),
    [
        ("llama2-7b", "5", "5 bits: allowed are 4, 8, 16, 32"),
        ("llama2-7b", "q4_z", "unknown weight format 'q4_z': did you mean 'q4_"),
        ("llama2-7b", "", "unknown weight format"),
        ("llama2-7b", "4g0", "unknown weight format"),
        ("llama2-7b", "mlp=4", "'mlp' is no class"),
        ("llama2-7b", "head=4,head=8", "given twice"),
        ("llama2-7b", "head=", "unknown weight format"),
        ("llama2-7b", "expert=4", "no tensors of class expert"),
        ("llama3.2-1b", "head=4", "its head is its embedding"),
    ],
)
def test_formats_that_cannot_be_are_refused(model: str, text: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        load_model(model, text)
    assert hint in str(refused.value)
    assert len(str(refused.value)) <= 200


def test_rows_must_be_whole_blocks() -> None:
    narrow = load_model("tinyllama").model_copy(update={"hidden_size": 896})  # as of Qwen2.5-0.5B
    with pytest.raises(InputError, match="gate_up cannot be q4_k, its rows of 896 are no whole blocks of 256"):
        narrow.with_weights("ffn_up=q4_k")
    assert narrow.with_weights("ffn_up=q5_0").stored_as("ffn_up").text == "q5_0"


def test_every_class_is_known() -> None:
    assert load_model("llama2-7b").classes == set(CLASSES) - {"expert"}
