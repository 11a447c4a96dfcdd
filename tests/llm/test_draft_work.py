"""What drafters compute: bytes and products by hand, and everything that is stored is read."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.llm import Attention, Count, Elementwise, Gemm, load_model, verify_operators
from lpspec.llm.draft_work import (
    DRAFT_WORK,
    DraftedModel,
    Drafter,
    draft_operators,
    draft_prompt_operators,
    drafted,
    drafter_kind,
    level_operators,
    network_of,
)
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Operator

LLAMA = load_model("llama3-8b")
NETWORKS = ("eagle", "eagle3", "mtp", "draft-model:llama3.2-1b")
SHARED = ("lm_head",)


def gemms(operators: tuple[Operator, ...]) -> dict[str, Gemm]:
    return {op.name: op for op in operators if isinstance(op, Gemm)}


def test_eagle3_of_llama_has_the_products_of_the_published_head() -> None:
    """yuhuili/EAGLE3-LLaMA3.1-Instruct-8B: fc 12288 x 4096; a layer whose q, k, v read 8192; 32,000 tokens."""
    operators = level_operators(drafted(LLAMA, "eagle3"), 5, 100, 1, fills=True)
    assert {name: (op.tokens, op.k, op.n) for name, op in gemms(operators).items()} == {
        "eagle3_fuse": (5, 12288, 4096),
        "eagle3_qkv": (5, 8192, 4096 + 2 * 1024),
        "eagle3_out": (5, 4096, 4096),
        "eagle3_gate_up": (5, 4096, 2 * 14336),
        "eagle3_down": (5, 14336, 4096),
        "eagle3_lm_head": (1, 4096, 32000),
    }
    further = gemms(level_operators(drafted(LLAMA, "eagle3"), 5, 100, 5))
    assert "eagle3_fuse" not in further  # hidden states of drafts are the head's own
    assert further["eagle3_lm_head"].tokens == 5
    (attention,) = (op for op in operators if isinstance(op, Attention))
    assert (attention.count, attention.heads, attention.kv_heads, attention.pairs) == (1, 32, 8, 5 * 105)


def test_eagle3_of_llama_takes_the_bytes_of_the_published_file() -> None:
    """Weights of its matrices and of four norms, at one byte each: input, hidden, behind attention, before the head."""
    matrices = 12288 * 4096 + 8192 * 6144 + 4096 * 4096 + 3 * 4096 * 14336 + 4096 * 32000
    assert drafted(LLAMA, "eagle3").draft_weight_bytes == matrices + 4 * 4096


def test_mtp_mixes_two_normed_vectors_before_a_layer_of_the_model() -> None:
    operators = level_operators(drafted(LLAMA, "mtp"), 3, 10, 2)
    assert {name: (op.tokens, op.k, op.n) for name, op in gemms(operators).items()} == {
        "mtp_mix": (3, 8192, 4096),
        "mtp_qkv": (3, 4096, 6144),
        "mtp_out": (3, 4096, 4096),
        "mtp_gate_up": (3, 4096, 28672),
        "mtp_down": (3, 14336, 4096),
        "lm_head": (2, 4096, 128256),
    }
    norms = [op.name for op in operators if isinstance(op, Elementwise) and "norm" in op.name]
    assert norms == ["mtp_input_norm_1", "mtp_input_norm_2", "mtp_attention_norm", "mtp_mlp_norm", "mtp_final_norm"]


def deepseek(tmp_path: Path, **keys: object) -> ModelSpec:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "deepseek_v3", **keys}))
    return load_model(str(file))


def test_deepseeks_mtp_module_has_the_parameters_that_are_published(tmp_path: Path) -> None:
    """11.5 billion of its own (deepseek-ai/DeepSeek-V3, README_WEIGHTS.md); its mix and norms are there once."""
    model = drafted(deepseek(tmp_path, num_nextn_predict_layers=1), "mtp")
    network = network_of(model)
    assert network is not None
    elements = sum(tensor.elements for tensor in network.tensors(model))
    attention = 7168 * (1536 + 576) + 1536 * 128 * 192 + 512 * 128 * 256 + 128 * 128 * 7168 + 1536 + 512 + 7168
    experts = 257 * 3 * 7168 * 2048 + 256 * 7168 + 7168
    biases = elements - attention - experts - 2 * 7168**2 - 3 * 7168
    assert 0 <= biases <= 256  # of the router
    assert elements == pytest.approx(11.5e9, rel=0.01)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_model_says_how_many_mtp_layers_it_has(layers: int, tmp_path: Path) -> None:
    """Three alike, as XiaomiMiMo/MiMo-V2-Flash and stepfun-ai/Step-3.5-Flash have them, draft a level each."""
    shape = {"hidden_size": 256, "num_hidden_layers": 2, "n_routed_experts": 8, "n_group": 2, "topk_group": 1}
    model = deepseek(tmp_path, num_nextn_predict_layers=layers, **shape)
    one = drafted(deepseek(tmp_path, **shape), "mtp")
    several = drafted(model, "mtp")
    assert model.mtp_layers == layers
    assert several.most_drafts == (63 if layers == 1 else 3)
    assert several.draft_weight_bytes == layers * one.draft_weight_bytes
    assert several.kv_bytes_per_token - model.kv_bytes_per_token == layers * (
        one.kv_bytes_per_token - model.kv_bytes_per_token
    )


@pytest.mark.parametrize("value", [-1, True, "3", 1.5, 64, 10**30])
def test_a_number_of_mtp_layers_that_is_none_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="num_nextn_predict_layers") as caught:
        deepseek(tmp_path, num_nextn_predict_layers=value)
    assert len(str(caught.value)) <= 200


def test_a_draft_model_does_what_it_does_alone() -> None:
    """But that a softmax over its vocabulary says how sure it is."""
    body = load_model("llama3.2-1b")
    model = drafted(LLAMA, "draft-model:llama3.2-1b")
    alone = [op for op in verify_operators(body, 3, 50) if op.name != "argmax"]
    drafting = level_operators(model, 3, 50, 3)
    names = [f"draft_model_{op.name}".replace("_softmax", "_attention_softmax") for op in alone]
    assert [op.name for op in drafting[: len(alone)]] == names
    for own, drafts in zip(alone, drafting, strict=False):
        for field in own.__dataclass_fields__:
            assert field == "name" or getattr(own, field) == getattr(drafts, field), (own.name, field)
    assert [op.name for op in drafting[len(alone) :]] == ["draft_model_confidence", "draft_model_top_k"]
    assert model.draft_weight_bytes == body.weight_bytes
    assert model.kv_bytes_per_token == LLAMA.kv_bytes_per_token + body.kv_bytes_per_token
    assert model.cache_bytes(77) == LLAMA.cache_bytes(77) + body.cache_bytes(77)


@given(
    st.sampled_from(["llama3-8b", "llama3.2-1b", "qwen2.5-7b", "tinyllama"]),
    st.sampled_from(NETWORKS),
    st.integers(1, 9),
)
def test_a_pass_that_fills_reads_every_byte_that_is_stored_once(name: str, drafter: str, tokens: int) -> None:
    """But for tables of which rows are read, and what is the model's."""
    model = drafted(load_model(name), drafter)
    network = network_of(model)
    assert network is not None
    operators = level_operators(model, tokens, 20, 1, fills=True)
    embedding, head = network.name("embedding"), network.name("lm_head")
    tied = network.body.tied_embeddings and not network.shares_head
    read: Count = sum(op.weight_bytes for op in gemms(operators).values() if op.name not in SHARED)
    read += sum(op.memory_bytes for op in operators if isinstance(op, Elementwise) and op.name != embedding)
    table = network.body.vocab_size * network.body.hidden_size
    stored = model.draft_weight_bytes
    if not network.shares_embedding and not tied:
        stored -= table  # one byte a weight
    assert read == stored
    assert tied == (network.kind == "draft-model")
    assert (head in gemms(operators)) == (not network.shares_head)


@given(st.sampled_from(NETWORKS), st.integers(1, 40))
def test_a_prompt_fills_the_cache_and_guesses_nothing(drafter: str, tokens: int) -> None:
    model = drafted(LLAMA, drafter)
    operators = draft_prompt_operators(model, tokens)
    assert not [op for op in operators if op.name.endswith(("lm_head", "confidence", "top_k"))]
    filling = [op for op in operators if isinstance(op, Attention)]
    assert {int(op.pairs) for op in filling} == {tokens * (tokens + 1) // 2}
    written = sum(int(op.kv_write_bytes) for op in filling)
    assert written == tokens * (model.kv_bytes_per_token - LLAMA.kv_bytes_per_token)


def test_drafters_without_a_network_store_and_compute_nothing_more() -> None:
    for drafter, kind, most in (("medusa", "medusa", 4), ("none", "none", 0), ("prompt-lookup", "prompt-lookup", 63)):
        model = drafted(LLAMA, drafter)
        assert (drafter_kind(model), model.most_drafts) == (kind, most)
        assert level_operators(model, 1, 1, 1) == draft_prompt_operators(model, 5) == ()
        assert model.kv_bytes_per_token == LLAMA.kv_bytes_per_token
        assert (model.draft_weight_bytes > 0) == (drafter == "medusa")


@pytest.mark.parametrize("drafter", [*NETWORKS, "medusa", "prompt-lookup"])
def test_another_drafter_takes_the_place_of_the_one_before(drafter: str) -> None:
    assert drafted(drafted(LLAMA, drafter), "mtp") == drafted(LLAMA, "mtp")
    assert drafted(drafted(LLAMA, drafter), "none") == LLAMA


def test_draft_heads_are_stored_as_the_feed_forward_layers() -> None:
    """So a pass reads what is stored, too, where those differ."""
    model = drafted(LLAMA.with_weights("ffn_up=4,ffn_down=16"), "medusa")
    read: Count = sum(op.weight_bytes for op in draft_operators(model) if isinstance(op, Gemm))
    read += sum(op.memory_bytes for op in draft_operators(model) if isinstance(op, Elementwise))
    assert read == model.draft_weight_bytes == 4 * (4096 * 4096 // 2 + 4096 + 2 * 128256 * 4096)


def test_precision_of_the_model_is_that_of_its_drafter() -> None:
    wide = LLAMA.with_bits(weight=16, activation=16, kv=16)
    for drafter in NETWORKS:
        assert drafted(wide, drafter).draft_weight_bytes == 2 * drafted(LLAMA, drafter).draft_weight_bytes


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("eagel", "did you mean 'eagle'"),
        ("eagle:llama3-8b", "eagle takes nothing behind its name"),
        ("draft-model", "draft-model takes a model behind a colon"),
        ("draft-model:", "unknown model ''"),
        ("draft-model:llama9", "unknown model 'llama9'"),
        ("", "unknown drafter ''"),
    ],
)
def test_what_is_no_drafter_is_refused_in_one_line(text: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        drafted(LLAMA, text)
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_drafter_of_ones_own_is_one_entry() -> None:
    DRAFT_WORK["shallow"] = lambda model, argument: DraftedModel.model_validate(
        {**dict(model), "drafter": Drafter(kind="shallow")}
    )
    try:
        assert drafter_kind(drafted(LLAMA, "shallow")) == "shallow"
    finally:
        del DRAFT_WORK["shallow"]
