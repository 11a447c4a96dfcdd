from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.llm import (
    Attention,
    Count,
    Elementwise,
    Gemm,
    ModelSpec,
    Operator,
    draft_operators,
    llama_spec,
    load_model,
    model_names,
    packed_bytes,
    prefill_operators,
    verify_operators,
)
from lpspec.llm.draft_work import DraftedModel, Drafter, drafted, level_operators
from lpspec.llm.formats import WeightFormat
from lpspec.llm.medusa_heads import MedusaHeads

models = st.builds(
    lambda layers, hidden, inner, kv_heads, group, head_dim, vocab, tied, qkv_bias, out_bias, bits: llama_spec(
        name="random",
        source="test",
        layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        heads=kv_heads * group,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=vocab,
        tied_embeddings=tied,
        qkv_bias=qkv_bias,
        out_bias=out_bias,
        max_context=64,
    ).with_bits(*bits),
    *[st.integers(1, 5)] * 7,
    *[st.booleans()] * 3,
    st.tuples(*[st.sampled_from([4, 8, 16, 32])] * 3),
)


def gemms(operators: Iterable[Operator]) -> list[Gemm]:
    return [operator for operator in operators if isinstance(operator, Gemm)]


def attention(operators: Iterable[Operator]) -> Attention:
    (found,) = (operator for operator in operators if isinstance(operator, Attention))
    return found


def elementwise(operators: Iterable[Operator]) -> dict[str, Elementwise]:
    return {operator.name: operator for operator in operators if isinstance(operator, Elementwise)}


def counts(operator: Operator) -> dict[str, Count]:
    """Every public count of an operator, by name."""
    names = (name for name in dir(operator) if not name.startswith("_") and name != "name")
    found = {name: getattr(operator, name) for name in names}
    not_counted = (bool, float, WeightFormat, type(None))
    return {name: value for name, value in found.items() if not (isinstance(value, not_counted) or callable(value))}


@pytest.mark.parametrize("name", model_names())
def test_decoding_multiplies_every_matrix_weight_once(name: str) -> None:
    model = load_model(name)
    table = model.vocab_size * model.hidden_size
    vectors = sum(tensor.elements for tensor in model.tensors if tensor.rows == 1)
    embedding_only = 0 if model.tied_embeddings else table
    macs = sum(gemm.macs for gemm in gemms(verify_operators(model, 1, 7)))
    assert macs == model.parameters - vectors - embedding_only - model.position_rows * model.hidden_size


@given(models, st.integers(1, 9), st.integers(0, 9))
def test_pass_reads_every_resident_byte_once(model: ModelSpec, tokens: int, context: int) -> None:
    operators = verify_operators(model, tokens, context)
    vectors = elementwise(operators)
    read: Count = sum(gemm.weight_bytes for gemm in gemms(operators))
    read += sum(vector.memory_bytes for name, vector in vectors.items() if name != "embedding")
    table = model.vocab_size * packed_bytes(model.hidden_size, model.weight_bits)
    assert read == model.weight_bytes - (0 if model.tied_embeddings else table)
    assert vectors["embedding"].memory_bytes * model.vocab_size == tokens * table


@given(models, st.integers(1, 6), st.integers(0, 6))
def test_verify_attention_by_brute_force(model: ModelSpec, tokens: int, context: int) -> None:
    macs = read_elements = written_elements = 0
    for _layer in range(model.layers):
        for _head in range(model.heads):
            for _query in range(tokens):
                for _key in range(context + tokens):
                    macs += model.head_dim  # QK^T
                    macs += model.head_dim  # PV
        for _kv_head in range(model.kv_heads):
            read_elements += 2 * (context + tokens) * model.head_dim
            written_elements += 2 * tokens * model.head_dim
    found = attention(verify_operators(model, tokens, context))
    assert found.macs == macs
    scale_bits = 16 if model.kv_bits < 8 else 0  # of every vector, which has head_dim elements
    bits = model.kv_bits + Fraction(scale_bits, model.head_dim)
    assert found.kv_read_bytes * 8 == read_elements * bits
    assert found.kv_write_bytes * 8 == written_elements * bits
    assert found.kv_write_bytes == tokens * model.kv_bytes_per_token


@given(models, st.integers(1, 12))
def test_prefill_attention_by_brute_force(model: ModelSpec, prompt_tokens: int) -> None:
    pairs = sum(1 for query in range(prompt_tokens) for key in range(prompt_tokens) if key <= query)
    operators = prefill_operators(model, prompt_tokens)
    found = attention(operators)
    assert (found.pairs, found.context, found.keys) == (pairs, 0, prompt_tokens)
    softmax = elementwise(operators)["softmax"]
    assert softmax.count * softmax.elements == model.layers * model.heads * pairs


@given(models, st.integers(1, 9))
def test_gemm_macs_by_layer(model: ModelSpec, tokens: int) -> None:
    per_layer = 0
    for width in (model.query_width, model.kv_width, model.kv_width):  # Q, K, V
        per_layer += tokens * model.hidden_size * width
    per_layer += tokens * model.query_width * model.hidden_size  # output projection
    per_layer += 3 * tokens * model.hidden_size * model.intermediate_size  # gate, up, down
    layers = model.layers * per_layer
    head = model.hidden_size * model.vocab_size
    assert sum(gemm.macs for gemm in gemms(verify_operators(model, tokens, 3))) == layers + tokens * head
    assert sum(gemm.macs for gemm in gemms(prefill_operators(model, tokens))) == layers + head


@given(models)
def test_one_token_prompt_is_decoding_without_context(model: ModelSpec) -> None:
    assert prefill_operators(model, 1) == verify_operators(model, 1, 0)


@given(models, st.integers(1, 3), st.integers(1, 3))
def test_draft_reads_every_medusa_byte_once(model: ModelSpec, heads: int, layers: int) -> None:
    of = MedusaHeads(count=heads, layers=layers)
    model = DraftedModel.model_validate({**dict(model), "drafter": Drafter(kind="medusa", heads=of)})
    operators = draft_operators(model)
    read: Count = sum(gemm.weight_bytes for gemm in gemms(operators))
    read += sum(vector.memory_bytes for vector in elementwise(operators).values())
    assert read == model.draft_weight_bytes
    biases = heads * layers * model.hidden_size
    assert sum(gemm.macs for gemm in gemms(operators)) == sum(tensor.elements for tensor in of.tensors(model)) - biases


@given(models, st.integers(1, 9), st.integers(0, 5))
def test_eagle_reads_every_byte_once(model: ModelSpec, tokens: int, context: int) -> None:
    """But for the embedding, of which rows are read, and the LM head, which is the model's own."""
    assert level_operators(model, tokens, context, 1) == ()
    with_eagle = drafted(model, "eagle")
    operators = level_operators(with_eagle, tokens, context, 1)
    read: Count = sum(gemm.weight_bytes for gemm in gemms(operators) if gemm.name != "lm_head")
    read += sum(v.memory_bytes for name, v in elementwise(operators).items() if name != "eagle_embedding")
    assert read == with_eagle.draft_weight_bytes
    assert with_eagle.kv_bytes_per_token - model.kv_bytes_per_token == model.kv_bytes_per_token / model.layers


def test_eagle_of_llama2_7b_by_hand() -> None:
    """Ten nodes looked beyond after a context of 100: the fc layer, one decoder layer, the LM head."""
    operators = level_operators(drafted(load_model("llama2-7b"), "eagle"), 10, 100, 3)
    assert {gemm.name: gemm.macs for gemm in gemms(operators)} == {
        "eagle_mix": 10 * 8192 * 4096,
        "eagle_qkv": 10 * 4096 * 3 * 4096,
        "eagle_out": 10 * 4096 * 4096,
        "eagle_gate_up": 10 * 4096 * 2 * 11008,
        "eagle_down": 10 * 11008 * 4096,
        "lm_head": 3 * 4096 * 32000,
    }
    assert attention(operators).macs == 2 * 32 * 128 * 10 * 110
    assert {name: vector.vector_ops for name, vector in elementwise(operators).items()} == {
        "eagle_embedding": 10 * 4096,
        "eagle_rope": 10 * 8192 * 3,
        "eagle_attention_softmax": 32 * 10 * 110 * 5,
        "eagle_attention_residual": 10 * 4096,
        "eagle_mlp_norm": 10 * 4096 * 4,
        "eagle_gated_silu": 10 * 11008 * 4,
        "eagle_mlp_residual": 10 * 4096,
        "eagle_confidence": 3 * 32000 * 5,
        "eagle_top_k": 3 * 32000,
    }


@given(models, st.integers(0, 2), st.integers(0, 3))
def test_grid_agrees_with_scalars(model: ModelSpec, row: int, column: int) -> None:
    tokens, context = np.array([[1], [2], [9]]), np.array([[0, 5, 9, 33]])
    grid = verify_operators(model, tokens, context)
    cell = verify_operators(model, int(tokens[row, 0]), int(context[0, column]))
    for many, one in zip(grid, cell, strict=True):
        assert many.name == one.name
        for name, value in counts(one).items():
            assert type(value) is int
            assert np.broadcast_to(counts(many)[name], (3, 4))[row, column] == value


@pytest.mark.parametrize("index", range(4))
def test_prefill_lengths_agree_with_scalars(index: int) -> None:
    model, prompts = load_model("tinyllama").with_bits(weight=4), np.array([1, 2, 77, 2048])
    single = prefill_operators(model, int(prompts[index]))
    for many, one in zip(prefill_operators(model, prompts), single, strict=True):
        for name, value in counts(one).items():
            assert np.broadcast_to(counts(many)[name], (4,))[index] == value


def test_large_grid_does_not_overflow() -> None:
    model = load_model("vicuna-33b")
    prompt = np.array([131_072])
    macs = attention(prefill_operators(model, prompt)).macs
    assert not isinstance(macs, int)
    assert macs[0] == attention(prefill_operators(model, 131_072)).macs


@given(models, st.integers(0, 5), st.integers(1, 9))
def test_split_by_columns_keeps_every_byte(model: ModelSpec, left: int, tokens: int) -> None:
    for gemm in gemms(verify_operators(model, tokens, 0)):
        share = min(left, gemm.n)
        columns = gemm.column_bytes * share + gemm.column_bytes * (gemm.n - share)
        assert gemm.count * columns == gemm.weight_bytes


def test_activation_bytes_of_llama2_7b() -> None:
    model = load_model("llama2-7b").with_bits(activation=16)
    operators = verify_operators(model, 3, 100)
    qkv, out, gate_up, down, lm_head = gemms(operators)
    assert qkv.input_bytes == out.input_bytes == 32 * 3 * 4096 * 2
    assert (gate_up.n, down.k, lm_head.n) == (2 * 11008, 11008, 32000)
    assert attention(operators).query_bytes == 32 * 3 * 4096 * 2
    assert attention(operators).score_bytes == 32 * 32 * 3 * 103 * 2


def test_vector_ops_of_llama2_7b() -> None:
    vectors = elementwise(verify_operators(load_model("llama2-7b"), 3, 100))
    assert {name: vector.vector_ops for name, vector in vectors.items()} == {
        "embedding": 3 * 4096,
        "attention_norm": 32 * 3 * 4096 * 4,
        "rope": 32 * 3 * 8192 * 3,
        "softmax": 32 * 32 * 3 * 103 * 5,
        "attention_residual": 32 * 3 * 4096,
        "mlp_norm": 32 * 3 * 4096 * 4,
        "gated_silu": 32 * 3 * 11008 * 4,
        "mlp_residual": 32 * 3 * 4096,
        "final_norm": 3 * 4096 * 4,
        "argmax": 3 * 32000,
    }
