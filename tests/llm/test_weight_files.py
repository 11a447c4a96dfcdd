"""Models from GGUF files and from folders with safetensors: dimensions, and every byte of the tensors."""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
from gguf_files import Row, write_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from test_quantization import W4A16, W8A8
from test_safetensors_header import write as write_safetensors

from lpspec.errors import InputError
from lpspec.llm import Gemm, load_model, verify_operators
from lpspec.llm.gguf import BLOCK_TYPES

DEMO = Path(__file__).parents[2] / "src/lpspec/decoding/demo"
LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, WORDS = 4, 256, 512, 4, 2, 320
KV_WIDTH = HIDDEN // HEADS * KV_HEADS
KEYS = {
    "general.architecture": "llama", "llama.block_count": LAYERS, "llama.context_length": 2048,
    "llama.embedding_length": HIDDEN, "llama.feed_forward_length": INNER, "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KV_HEADS, "llama.rope.freq_base": 1e5, "llama.rope.dimension_count": 64,
    "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.vocab_size": WORDS,
}  # fmt: skip
NUMBER = {name: number for number, (name, *_) in BLOCK_TYPES.items()}
COUNTED = [NUMBER[name] for name in ("f16", "q4_0", "q4_1", "q5_1", "q8_0", "q4_k", "q6_k", "iq4_xs", "mxfp4", "nvfp4")]


def row(name: str, number: int, *columns_first: int) -> Row:
    _, weights, size = BLOCK_TYPES[number]
    count = 1
    for width in columns_first:
        count *= width
    return name, columns_first, number, count // weights * size


def llama_rows(pick: Any, tied: bool = True) -> list[Row]:
    """Tensors of a small Llama; ``pick`` gives the type of each matrix."""
    rows = [row("token_embd.weight", pick("token_embd"), HIDDEN, WORDS), row("output_norm.weight", 0, HIDDEN)]
    rows += [] if tied else [row("output.weight", pick("output"), HIDDEN, WORDS)]
    for layer in range(LAYERS):
        shapes = {
            "attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN, KV_WIDTH), "attn_v": (HIDDEN, KV_WIDTH),
            "attn_output": (HIDDEN, HIDDEN), "ffn_gate": (HIDDEN, INNER), "ffn_up": (HIDDEN, INNER),
            "ffn_down": (INNER, HIDDEN),
        }  # fmt: skip
        rows += [row(f"blk.{layer}.{name}.weight", pick(name), *shape) for name, shape in shapes.items()]
        rows += [row(f"blk.{layer}.{name}.weight", 0, HIDDEN) for name in ("attn_norm", "ffn_norm")]
    return [*rows, row("rope_freqs.weight", 0, 32)]


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        load_model(str(path), **options)
    assert len(str(refused.value)) <= 200
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_gguf_file_is_a_model(tmp_path: Path) -> None:
    path = write_gguf(
        tmp_path / "tiny.gguf", KEYS, llama_rows(lambda name: NUMBER["q8_0" if "emb" in name else "q4_1"])
    )
    model = load_model(str(path))
    assert (model.name, model.layers, model.heads, model.kv_heads, model.head_dim) == ("tiny", LAYERS, 4, 2, 64)
    assert (model.intermediate_size, model.max_context, model.tied_embeddings) == (INNER, 2048, True)
    products = LAYERS * (HIDDEN * (2 * HIDDEN + 2 * KV_WIDTH) + 3 * HIDDEN * INNER)
    norms = (2 * LAYERS + 1) * HIDDEN
    assert model.parameters == WORDS * HIDDEN + products + norms
    assert model.weight_bytes == WORDS * HIDDEN * 34 // 32 + products * 20 // 32 + 4 * norms
    assert model.read_bytes(1) == model.weight_bytes
    assert model.weights_text == "q4_1 (q8_0 in embedding; f32 in other)"
    head = next(op for op in verify_operators(model, 1, 0) if op.name == "lm_head")
    assert isinstance(head, Gemm)
    assert head.weight_bytes == WORDS * HIDDEN * 34 // 32, "the head is the embedding, in its type"


def test_the_bits_asked_for_stand_in_place_of_the_files(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", KEYS, llama_rows(lambda _: NUMBER["q4_k"], tied=False))
    assert load_model(str(path), 8).weight_bytes == load_model(str(path)).parameters
    half = load_model(str(path), "head=8")
    assert (half.stored_as("head").text, half.stored_as("ffn_up").text) == ("int8", "q4_k")


@settings(max_examples=30)
@given(st.data(), st.booleans())
def test_mixes_are_exact_to_the_byte(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, tied: bool) -> None:
    rows = llama_rows(lambda _: data.draw(st.sampled_from(COUNTED)), tied)
    path = write_gguf(tmp_path_factory.getbasetemp() / "mixed.gguf", KEYS, rows)
    model = load_model(str(path))
    assert model.weight_bytes == sum(size for *_, size in rows) - 128  # without the factors of rope, 32 x F32
    of_head = next(size for name, *_, size in rows if name == ("token_embd.weight" if tied else "output.weight"))
    read = sum(op.weight_bytes for op in verify_operators(model, 1, 0) if isinstance(op, Gemm))
    products = sum(size for name, *_, size in rows if name.startswith("blk.") and "norm" not in name)
    assert products + of_head <= read <= products + of_head + 5 * LAYERS


@pytest.mark.parametrize(
    ("keys", "leave_out", "hint"),
    [
        ({"general.architecture": "clip"}, "", "general.architecture = 'clip' is not known: allowed are llama"),
        ({"general.type": "adapter"}, "", "general.type = 'adapter'"),
        ({"llama.attention.causal": False}, "", "llama.attention.causal = False: allowed is True"),
        ({"llama.attention.clamp_kqv": 8.0}, "", "llama.attention.clamp_kqv"),
        ({"llama.block_count": 3}, "", "weights of class"),
        ({"llama.block_count": "4"}, "", "num_hidden_layers"),
        ({"llama.feed_forward_length": [512, 512, 256, 512]}, "", "intermediate_size differs from layer to layer"),
        ({"llama.feed_forward_length": 511}, "", "weights of class ffn_up"),
        ({}, "token_embd.weight", "token_embd.weight"),
        ({}, "blk.2.attn_v.weight", "weights of class attention_in"),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, keys: dict[str, Any], leave_out: str, hint: str
) -> None:
    rows = [one for one in llama_rows(lambda _: NUMBER["q8_0"]) if one[0] != leave_out]
    assert hint in refusal(write_gguf(tmp_path / "odd.gguf", KEYS | keys, rows))


def test_further_tensors_are_refused(tmp_path: Path) -> None:
    rows = [*llama_rows(lambda _: NUMBER["q8_0"]), row("blk.0.ffn_up_exps.weight", 8, HIDDEN, 32, 4)]
    assert "class expert, its description has none" in refusal(write_gguf(tmp_path / "odd.gguf", KEYS, rows))


# Safetensors

CONFIG = {
    "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": WORDS, "torch_dtype": "bfloat16",
    "max_position_embeddings": 2048, "tie_word_embeddings": False, "architectures": ["LlamaForCausalLM"],
}  # fmt: skip
BYTES = {"BF16": 2, "I8": 1, "I32": 4, "F32": 4, "I64": 8}
MODULES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KV_WIDTH, HIDDEN),
    "self_attn.v_proj": (KV_WIDTH, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}  # fmt: skip


def write_folder(folder: Path, config: dict[str, Any], linear: Any) -> int:
    """A checkpoint whose products are stored as ``linear`` says: endings with types and shapes; its bytes."""
    tensors: dict[str, tuple[str, list[int]]] = {
        "model.embed_tokens.weight": ("BF16", [WORDS, HIDDEN]), "lm_head.weight": ("BF16", [WORDS, HIDDEN]),
        "model.norm.weight": ("BF16", [HIDDEN]),
    }  # fmt: skip
    for layer in range(LAYERS):
        for module, (rows, columns) in MODULES.items():
            for ending, kind in linear(rows, columns).items():
                tensors[f"model.layers.{layer}.{module}.{ending}"] = kind
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = ("BF16", [HIDDEN])
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = BYTES[dtype]
        size *= prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    write_safetensors(folder / "model.safetensors", header, end)
    (folder / "config.json").write_text(json.dumps(CONFIG | config), "utf-8")
    return end


def test_a_folder_counts_its_own_bytes(tmp_path: Path) -> None:
    size = write_folder(tmp_path, {}, lambda rows, columns: {"weight": ("BF16", [rows, columns])})
    model = load_model(str(tmp_path))
    assert model.weight_bytes == size == 2 * model.parameters
    assert model.weights_text == "bf16"
    assert load_model(str(tmp_path / "model.safetensors")).weight_bytes == size
    assert load_model(str(tmp_path), 8).weight_bytes == model.parameters
    assert load_model(str(tmp_path / "config.json")).weight_bytes == model.parameters, "the configuration alone"
    assert load_model(str(DEMO)).weight_bytes == 5_640_704


def test_quantised_folders_count_their_own_bytes(tmp_path: Path) -> None:
    def packed(rows: int, columns: int) -> dict[str, tuple[str, list[int]]]:
        return {
            "weight_packed": ("I32", [rows, columns // 8]), "weight_scale": ("BF16", [rows, columns // 128]),
            "weight_shape": ("I64", [2]),
        }  # fmt: skip

    size = write_folder(tmp_path, {"quantization_config": W4A16}, packed)
    model = load_model(str(tmp_path))
    assert model.weight_bytes == size
    assert model.stored_as("ffn_up").bits == 4
    assert model.stored_as("head").text == "bf16"
    size = write_folder(
        tmp_path, {"quantization_config": W8A8},
        lambda rows, columns: {"weight": ("I8", [rows, columns]), "weight_scale": ("BF16", [rows, 1])},
    )  # fmt: skip
    assert load_model(str(tmp_path)).weight_bytes == size
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": W4A16}), "utf-8")
    assert "as int4g128 they were about" in refusal(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    assert "weights of class attention_in" in refusal(tmp_path)


def test_the_path_of_nothing_is_one_line(tmp_path: Path) -> None:
    for name in ("gone.gguf", "gone.safetensors", "gone/config.json"):
        assert "cannot" in refusal(tmp_path / name)
