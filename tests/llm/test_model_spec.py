from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lpspec.errors import InputError
from lpspec.llm import ModelSpec, llama_spec, load_model, model_names
from lpspec.llm.draft_work import drafted
from lpspec.llm.medusa_heads import MedusaHeads
from lpspec.llm.structure import PLAIN_NUMBERS

# Published totals; a Vicuna has that of the LLaMA it was tuned from. Below, each is summed by tensor too.
PUBLISHED_PARAMETERS = {
    "devstral2-123b": 125_025_988_608,
    "gpt2-345m": 354_823_168,
    "gpt3-175b": 174_604_259_328,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama3-8b": 8_030_261_248,
    "llama3.1-8b": 8_030_261_248,
    "llama3.2-1b": 1_235_814_400,
    "llama3.2-3b": 3_212_749_824,
    "opt-1.3b": 1_315_758_080,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-32b": 32_762_123_264,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "tinyllama": 1_100_048_384,
    "vicuna-7b": 6_738_415_616,
    "vicuna-13b": 13_015_864_320,
    "vicuna-33b": 32_528_943_616,
}
POSITIONS = {"gpt2-345m": 1024, "gpt3-175b": 2048, "opt-1.3b": 2050}
"""Rows of the table of positions: these have layer norms, biases everywhere and no gates."""


def biased_shapes(model: ModelSpec) -> list[tuple[int, ...]]:
    """The same of a model after GPT-2, whose heads are as wide together as the residual stream."""
    hidden, inner = model.hidden_size, 4 * model.hidden_size
    shapes: list[tuple[int, ...]] = [(model.vocab_size, hidden), (POSITIONS[model.name], hidden)]
    for _ in range(model.layers):
        for rows, columns in ((3 * hidden, hidden), (hidden, hidden), (inner, hidden), (hidden, inner)):
            shapes += [(rows, columns), (rows,)]  # q, k and v, out, up, down, each with a bias
        shapes += [(hidden,)] * 4  # two norms with weight and bias
    return [*shapes, (hidden,), (hidden,)]  # the last norm; the head is the embedding


def checkpoint_shapes(model: ModelSpec) -> list[tuple[int, ...]]:
    """The shapes of all tensors, one by one, as a Hugging Face checkpoint lists them."""
    if model.name in POSITIONS:
        return biased_shapes(model)
    hidden, inner = model.hidden_size, model.intermediate_size
    queries, keys = model.heads * model.head_dim, model.kv_heads * model.head_dim
    shapes: list[tuple[int, ...]] = [(model.vocab_size, hidden)]  # embed_tokens
    for _ in range(model.layers):
        shapes += [(queries, hidden), (keys, hidden), (keys, hidden), (hidden, queries)]  # q, k, v, o
        if model.qkv_bias:
            shapes += [(queries,), (keys,), (keys,)]
        if model.name.startswith("qwen3-"):
            shapes += [(model.head_dim,), (model.head_dim,)]  # q_norm, k_norm
        shapes += [(inner, hidden), (inner, hidden), (hidden, inner)]  # gate, up, down
        shapes += [(hidden,), (hidden,)]  # input and post-attention norms
    shapes += [(hidden,)]  # norm
    if not model.tied_embeddings:
        shapes += [(model.vocab_size, hidden)]  # lm_head
    return shapes


def product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def numbers_of(model: ModelSpec) -> dict[str, Any]:
    """What ``llama_spec`` makes the same model of."""
    fields = {name: value for name, value in model if name != "layer_groups"}
    return fields | {name: getattr(model, name) for name in PLAIN_NUMBERS}


def is_plain(name: str) -> bool:
    """Whether the numbers of a Llama-like model's layers say all of them."""
    return name not in POSITIONS and not name.startswith("qwen3-")


@pytest.mark.parametrize("name", [name for name in model_names() if is_plain(name)])
def test_a_plain_model_is_rebuilt_from_its_numbers(name: str) -> None:
    model = load_model(name)
    assert llama_spec(**numbers_of(model)) == model
    assert ModelSpec.model_validate(model.model_dump()) == model
    deeper = model.model_copy(update={"layers": 3, "head_dim": 2, "max_context": 7})
    assert deeper == llama_spec(**numbers_of(model) | {"layers": 3, "head_dim": 2, "max_context": 7})


def test_every_preset_has_a_published_total() -> None:
    assert set(model_names()) == set(PUBLISHED_PARAMETERS)


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_parameters_match_checkpoint(name: str) -> None:
    model = load_model(name)
    assert model.parameters == PUBLISHED_PARAMETERS[name]
    assert model.parameters == sum(map(product, checkpoint_shapes(model)))
    assert model.weight_bytes == model.parameters  # INT8


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_preset_names_source_and_trace(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert "Hugging Face" in model.source
    assert model.default_trace in {"vicuna-7b", "vicuna-13b", "vicuna-33b"}


def parameters_of(heads: MedusaHeads, model: ModelSpec) -> int:
    return sum(tensor.elements for tensor in heads.tensors(model))


def test_medusa_heads_of_vicuna_7b() -> None:
    model = load_model("vicuna-7b")
    one_head = 4096 * 4096 + 4096 + 32000 * 4096
    assert parameters_of(MedusaHeads(), model) == drafted(model, "medusa").draft_weight_bytes == 4 * one_head
    assert parameters_of(MedusaHeads(layers=2), model) == 4 * (one_head + 4096 * 4096 + 4096)


def test_kv_bytes_of_llama2_7b() -> None:
    model = load_model("llama2-7b")
    assert model.kv_bytes_per_token == 2 * 32 * 4096
    assert model.with_bits(kv=16).kv_bytes_per_token == 4 * 32 * 4096


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_weight_bytes_scale_with_bits(bits: int) -> None:
    model = load_model("qwen2.5-1.5b").with_bits(weight=bits)
    assert model.weight_bytes * 8 == model.parameters * bits
    assert type(model.weight_bytes) is int


@given(st.integers(1, 64), st.integers(1, 64))
def test_odd_rows_round_up_to_whole_bytes(hidden: int, inner: int) -> None:
    sizes = {"hidden_size": hidden, "intermediate_size": inner}
    model = llama_spec(**numbers_of(load_model("tinyllama")) | sizes).with_bits(weight=4)
    exact_bits = model.parameters * 4
    rows = sum(tensor.copies * tensor.rows for tensor in model.tensors)
    assert exact_bits <= model.weight_bytes * 8 <= exact_bits + 4 * rows


def test_with_bits_changes_only_what_is_given() -> None:
    model = load_model("llama2-7b")
    assert model.with_bits() == model
    changed = model.with_bits(weight=4, activation=16, kv=32)
    assert (changed.weight_bits, changed.activation_bits, changed.kv_bits) == (4, 16, 32)
    assert changed.with_bits(weight=8, activation=8, kv=8) == model


def test_with_bits_reports_all_widths_in_one_line() -> None:
    with pytest.raises(InputError) as caught:
        load_model("llama2-7b").with_bits(activation=5, kv=0)
    assert str(caught.value) == (
        "model 'llama2-7b': activation_bits = 5: input should be 4, 8, 16 or 32; "
        "kv_bits = 0: input should be 4, 8, 16 or 32"
    )
    with pytest.raises(InputError, match="weights of 5 bits: allowed are 4, 8, 16, 32"):
        load_model("llama2-7b").with_bits(weight=5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layers", 0),
        ("hidden_size", -1),
        ("heads", 32.0),
        ("kv_heads", 5),
        ("vocab_size", "32000"),
        ("max_context", True),
        ("qkv_bias", 1),
        ("activation_bits", 12),
        ("colour", "red"),
    ],
)
def test_wrong_field_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        llama_spec(**numbers_of(load_model("llama2-7b")) | {field: value})


def test_spec_is_frozen_and_hashable() -> None:
    model = load_model("llama2-7b")
    with pytest.raises(ValidationError):
        model.vocab_size = 1  # type: ignore[misc]
    assert hash(model) == hash(load_model("llama2-7b"))
