"""What quantised checkpoints store, by hand from the layouts that their libraries document."""

import copy
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.llm import load_model
from lpspec.llm.formats import LINEAR, Formats, WeightFormat
from lpspec.llm.quantization import METHODS, stored_precision
from lpspec.llm.stored_tensors import CLASSES

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True, "damp_percent": 0.1}
NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4"}
NF4_TWICE = NF4 | {"bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"}
LLM_INT8 = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}
MXFP4 = {
    "quant_method": "mxfp4",
    "modules_to_not_convert": [
        "model.layers.*.self_attn",
        "model.layers.*.mlp.router",
        "model.embed_tokens",
        "lm_head",
    ],
}
BITNET = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}


def compressed(layout: str, ignore: tuple[str, ...] = ("lm_head",), **weights: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors", "format": layout, "ignore": list(ignore),
        "config_groups": {"group_0": group}, "kv_cache_scheme": None, "quantization_status": "compressed",
    }  # fmt: skip


W4A16 = compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=128, symmetric=True)
W8A8 = compressed("int-quantized", num_bits=8, type="int", strategy="channel", symmetric=True, dynamic=False)
W8A8["config_groups"]["group_0"]["input_activations"] = {"num_bits": 8, "type": "int", "strategy": "token"}
W4A8 = compressed("int-quantized", num_bits=4, type="int", strategy="channel", symmetric=True)
W4_ZEROS = compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=64, symmetric=False)
FLOAT8 = compressed("float-quantized", num_bits=8, type="float", strategy="channel", symmetric=True)
FLOAT8_BLOCK = compressed("float-quantized", num_bits=8, type="float", strategy="block", block_structure=[128, 128])
NVFP4 = compressed("nvfp4-pack-quantized", num_bits=4, type="float", strategy="tensor_group", group_size=16)
MX4 = compressed("mxfp4-pack-quantized", num_bits=4, type="float", strategy="group", group_size=32)


def bits(stored: WeightFormat, rows: int = 2048, columns: int = 4096) -> Fraction:
    return Fraction(8 * int(stored.size_bytes(rows, columns)), rows * columns)


def linear(config: dict[str, Any], dtype: object = "bfloat16") -> WeightFormat:
    """The one format of the layers' products; everything else must be as it was."""
    formats = stored_precision(config, dtype).formats
    assert {formats.embedding, formats.head, formats.other} == {WeightFormat(16)}
    (stored,) = {formats.attention_in, formats.attention_out, formats.ffn_up, formats.ffn_down, formats.expert}
    return stored


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (AWQ, 4 + Fraction(16 + 4, 128)),
        (AWQ | {"group_size": 64, "modules_to_not_convert": ["lm_head"]}, 4 + Fraction(20, 64)),
        (AWQ | {"modules_to_not_convert": ["visual", "mlp.gate"]}, 4 + Fraction(20, 128)),
        (GPTQ, 4 + Fraction(20, 128)),
        (GPTQ | {"bits": 8, "group_size": 32}, 8 + Fraction(24, 32)),
        (GPTQ | {"bits": 3}, 3 + Fraction(19, 128)),
        (GPTQ | {"group_size": -1}, 4 + Fraction(20, 4096)),
        (LLM_INT8, 8 + Fraction(32, 4096)),
        (NF4, 4 + Fraction(32, 64)),
        (NF4 | {"bnb_4bit_blocksize": 128}, 4 + Fraction(32, 128)),
        (NF4_TWICE, 4 + Fraction(8, 64) + Fraction(32, 64 * 256)),  # 0.127 bits: QLoRA, arXiv 2305.14314, section 3
        (FP8, 8 + Fraction(32, 128 * 128)),
        ({"quant_method": "fp8", "weight_block_size": None}, Fraction(8)),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, 8 + Fraction(32, 4096)),
        (BITNET, Fraction(2)),
        (BITNET | {"quantization_mode": "online"}, Fraction(16)),
        (W4A16, 4 + Fraction(16, 128)),
        (W4_ZEROS, 4 + Fraction(16 + 4, 64)),
        (W8A8, 8 + Fraction(16, 4096)),
        (W8A8 | {"sparsity_config": {"format": "dense", "global_sparsity": 0.14}}, 8 + Fraction(16, 4096)),
        (W4A8, 8 + Fraction(16, 4096)),  # a byte a weight
        (FLOAT8, 8 + Fraction(16, 4096)),
        (FLOAT8_BLOCK, 8 + Fraction(16, 128 * 128)),
        (NVFP4, 4 + Fraction(8, 16)),
        (MX4, 4 + Fraction(8, 32)),
        (W4A16 | {"ignore": ["re:.*lm_head", "re:visual.*", "model.layers.3.mlp.gate"]}, 4 + Fraction(16, 128)),
    ],
)
def test_bits_of_a_linear_weight(config: dict[str, Any], expected: Fraction) -> None:
    assert bits(linear(config)) == expected


def test_mxfp4_stores_experts_alone() -> None:
    formats = stored_precision(MXFP4, "bfloat16").formats
    assert bits(formats.expert, columns=2880) == 4 + Fraction(8, 32)
    assert {formats.of(name) for name in CLASSES if name != "expert"} == {WeightFormat(16)}


def test_what_stays_is_as_wide_as_its_dtype() -> None:
    for dtype, width in ((None, 16), ("float16", 16), ("bfloat16", 16), ("float32", 32)):
        formats = stored_precision(AWQ, dtype).formats
        assert (formats.head.bits, formats.embedding.bits, formats.other.bits) == (width,) * 3


def two_groups(
    first: list[str], second: list[str], ignore: tuple[str, ...] = ("lm_head",), classes: tuple[str, ...] = LINEAR
) -> Formats:
    config = compressed("mixed-precision", ignore)
    eight = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
    four = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
    config["config_groups"] = {
        "eight": {"targets": first, "weights": eight, "format": "float-quantized"},
        "four": {"targets": second, "weights": four, "format": "nvfp4-pack-quantized"},
    }
    return stored_precision(config, "bfloat16", classes).formats


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["re:.*self_attn.*_proj$"], ["re:.*mlp.*"]),
        (["re:.*self_attn.(q|k|v|o)_proj$"], ["Linear"]),
        (["re:.*(qkv|[qkvo])_proj$"], ["re:.*(gate|up|down|gate_up)_proj"]),
        ([r"re:model\.layers\.\d+\.self_attn\..*"], [r"re:.*layers\.[0-9]+\.mlp.*"]),
    ],
)
def test_groups_named_by_patterns_are_classes(first: list[str], second: list[str]) -> None:
    formats = two_groups(first, second)
    assert [formats.attention_in.text, formats.attention_out.text] == ["fp8", "fp8"]
    assert [formats.ffn_up.text, formats.ffn_down.text, formats.expert.text] == ["nvfp4"] * 3
    assert formats.head == WeightFormat(16)


def test_ignored_classes_stay() -> None:
    dense = ("attention_in", "attention_out", "ffn_up", "ffn_down")
    formats = two_groups(["re:.*down_proj"], ["Linear"], ("lm_head", "re:.*self_attn.*"), dense)
    assert [formats.of(name).text for name in CLASSES[2:6]] == ["fp16", "fp16", "nvfp4", "fp8"]
    with pytest.raises(ValueError, match="expert in several formats"):
        two_groups(["re:.*down_proj"], ["Linear"])
    assert stored_precision(AWQ | {"modules_to_not_convert": ["self_attn"]}, None).formats.attention_in.bits == 16


def test_a_head_that_nothing_ignores_is_quantised_too() -> None:
    formats = stored_precision(W4A16 | {"ignore": []}, "float16").formats
    assert formats.head == formats.ffn_up
    assert stored_precision(GPTQ | {"lm_head": True}, "float16").formats.head.bits == 4


@pytest.mark.parametrize(
    ("targets", "ignore", "is_quantised"),
    [
        (["Linear"], [], False),
        (["Linear", "Embedding"], [], True),
        (["Linear", "Embedding"], ["re:.*embed_tokens"], False),
        (["Linear", "model.embed_tokens"], ["lm_head"], True),
        (["re:.*"], ["lm_head", "Embedding"], False),
    ],
)
def test_an_embedding_that_a_group_names_is_quantised_too(
    targets: list[str], ignore: list[str], is_quantised: bool
) -> None:
    config = copy.deepcopy(W4A16) | {"ignore": ignore}
    config["config_groups"]["group_0"]["targets"] = targets
    formats = stored_precision(config, "float16").formats
    assert formats.embedding == (formats.ffn_up if is_quantised else WeightFormat(16))


def test_the_cache_is_read_where_it_is_said() -> None:
    assert stored_precision(W8A8, None).kv_bits is None
    assert stored_precision(W8A8 | {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, None).kv_bits == 8


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"quant_method": "hqq"}, "quant_method = 'hqq': allowed are awq, bitnet"),
        ({"bits": 4}, "quant_method = None"),
        (AWQ | {"bits": 3}, "bits = 3"),
        (AWQ | {"bits": True}, "bits = True"),
        (AWQ | {"version": "marlin"}, "version = 'marlin'"),
        (AWQ | {"zero_point": False}, "zero_point"),
        (AWQ | {"modules_to_not_convert": ["q_proj"]}, "modules_to_not_convert names 'q_proj'"),
        (AWQ | {"modules_to_not_convert": ["model.layers.0.self_attn"]}, "model.layers.0.self_attn"),
        (AWQ | {"modules_to_not_convert": [3]}, "names 3"),
        (AWQ | {"group_size": 0}, "group_size = 0"),
        (AWQ | {"group_size": "128"}, "group_size = '128'"),
        (AWQ | {"new_trick": 1}, "new_trick"),
        (GPTQ | {"bits": 5}, "bits = 5"),
        (GPTQ | {"dynamic": {"-:.*gate": {}}}, "dynamic"),
        (GPTQ | {"is_marlin_format": True}, "is_marlin_format"),
        (GPTQ | {"checkpoint_format": "marlin"}, "checkpoint_format = 'marlin'"),
        (LLM_INT8 | {"load_in_4bit": True}, "one of load_in_8bit and load_in_4bit"),
        (NF4 | {"bnb_4bit_quant_type": "nf3"}, "bnb_4bit_quant_type = 'nf3'"),
        (NF4 | {"bnb_4bit_blocksize": 48}, "bnb_4bit_blocksize = 48"),
        (FP8 | {"weight_block_size": [128]}, "weight_block_size = [128]"),
        (FP8 | {"fmt": "e5m2"}, "fmt = 'e5m2'"),
        (MXFP4 | {"modules_to_not_convert": ["model.layers.*.mlp.experts"]}, "modules_to_not_convert names experts"),
        (BITNET | {"linear_class": "other"}, "linear_class = 'other'"),
        (W8A8 | {"format": "marlin-24"}, "format = 'marlin-24'"),
        (W8A8 | {"ignore": ["lm_head", "model.layers.0.mlp.down_proj"]}, "model.layers.0.mlp.down_proj"),
        (W8A8 | {"ignore": ["lm_head", r"re:.*layers\.5\.mlp.*"]}, "ffn_up in several formats"),
        (W8A8 | {"ignore": ["re:(a+)+b"]}, "could take for ever"),
        (W8A8 | {"ignore": ["re:" + "a*" * 9]}, "could take for ever"),
        (W8A8 | {"ignore": ["re:["]}, "no pattern"),
        (W8A8 | {"ignore": "lm_head"}, "ignore must be a list"),
        (W8A8 | {"ignore": ["Linear"]}, "none of the layers' products"),
        (W8A8 | {"config_groups": {}}, "config_groups"),
        (W8A8 | {"config_groups": {"g": 3}}, "config_groups.g must be an object"),
        (W8A8 | {"config_groups": {"g": {"targets": ["Linear"]}}}, "config_groups.g.weights is missing"),
        (W8A8 | {"sparsity_config": {"sparsity_structure": "2:4"}}, "sparsity_config"),
        (W8A8 | {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config"),
        (W8A8 | {"transform_config": {"u": {}}}, "transform_config"),
        (compressed("float-quantized", num_bits=4, type="float", group_size=16), "floats of 4 bits"),
        (compressed("nvfp4-pack-quantized", num_bits=4, type="float", strategy="group", group_size=32), "group_size"),
        (compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=-2), "group_size = -2"),
        (compressed("pack-quantized", num_bits=4, type="int", strategy="odd"), "strategy = 'odd'"),
        (compressed("pack-quantized", num_bits=4, type="int", twist=2), "twist"),
    ],
)  # fmt: skip
def test_what_stores_something_else_is_refused_by_name(config: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        stored_precision(config, None)
    message = str(caught.value)
    assert key in message
    assert len(message) <= 215
    assert "\n" not in message


# Model Optimizer's files, as NVIDIA publishes them


def by_optimizer(**said: Any) -> dict[str, Any]:
    return {"quant_method": "modelopt", "quant_algo": "NVFP4", "producer": {"name": "modelopt"}, **said}


_LATENT = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")
_DENSE = ("attention_in", "attention_out", "ffn_up", "ffn_down", "head")


@pytest.mark.parametrize(
    ("config", "sparse", "quantised"),
    [
        (by_optimizer(exclude_modules=["lm_head"], kv_cache_quant_algo="FP8"), [False] * 3, _DENSE[:-1]),
        (by_optimizer(ignore=["language_model.lm_head", "vision_model*"]), [False] * 3, _DENSE[:-1]),
        (by_optimizer(ignore=[f"model.layers.{i}.self_attn*" for i in range(3)]), [False] * 3, _DENSE[2:]),
        (by_optimizer(ignore=["*self_attn*", "lm_head"]), [False] * 3, _DENSE[2:-1]),
        (
            by_optimizer(ignore=["lm_head", "model.layers.0*", *(f"layers.{i}.mlp.shared_experts*" for i in (1, 2))]),
            [False, True, True],
            None,  # attention in the first layer alone
        ),
        (
            by_optimizer(
                ignore=["lm_head", "model.layers.0*"]
                + [f"model.layers.{i}.{part}*" for i in (1, 2) for part in ("mlp.shared_experts", "self_attn")]
            ),
            [False, True, True],
            ("expert",),
        ),
        (by_optimizer(), [False] * 3, _DENSE[:-1]),  # the head is left out by default
        (by_optimizer(ignore=["model.layers.3.self_attn.o_proj", "mtp.*"]), [False] * 3, _DENSE[:-1]),  # of drafting
        (
            by_optimizer(
                ignore=["lm_head"]
                + [f"model.layers.{i}.self_attn.{name}" for i in range(3) for name in ("indexer*", *_LATENT)]
            ),
            [False] * 3,
            ("attention_out", "ffn_up", "ffn_down"),
        ),
        (by_optimizer(ignore=[f"model.layers.{i}.self_attn.indexer*" for i in range(3)]), [False] * 3, None),
        (by_optimizer(ignore=["model.layers.0.mlp.gate_proj"]), [False] * 3, None),
        (by_optimizer(ignore=["model.layers.0.mixer*"]), [False] * 3, None),
        (by_optimizer(quantized_layers={"model.layers.0.mlp.up_proj": {"quant_algo": "FP8"}}), [False] * 3, None),
        (by_optimizer(quant_algo="W4A8_AWQ"), [False] * 3, None),
        (by_optimizer(group_size=32), [False] * 3, None),
    ],
)
def test_the_optimizer_s_files_leave_out_whole_classes(
    config: dict[str, Any], sparse: list[bool], quantised: tuple[str, ...] | None
) -> None:
    classes = {*_DENSE, *(("expert",) if any(sparse) else ())}
    if quantised is None:
        with pytest.raises(ValueError, match="quantization_config"):
            stored_precision(config, "bfloat16", classes, sparse)
        return
    formats = stored_precision(config, "bfloat16", classes, sparse).formats
    assert {kind for kind in classes if formats.of(kind).name == "nvfp4"} == set(quantised)
    assert formats.embedding.bits == 16


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        *(
            ("quantization_config", {"quant_method": name, "bits": 4}, f"quant_method = '{name}': allowed are awq")
            for name in ("hqq", "eetq", "quanto", "torchao", "vptq", "intel/auto-round")
        ),
        ("quantization_config", by_optimizer(quant_algo="MIXED_PRECISION", quantized_layers={"a": {}}), "NVFP4"),
        ("quantization_config", by_optimizer(quantized_layers={"a": {}}), "allowed is one precision"),
        ("quantization", {"group_size": 64, "bits": 4}, "'quantization' is MLX's: allowed is a quantization_config"),
    ],
)
def test_formats_that_are_not_read_are_refused_with_all_that_are(
    key: str, content: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a-model-of-somebody-with-a-long-name-4bit" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"model_type": "llama", key: content}))
    with pytest.raises(InputError) as error:
        load_model(str(path))
    line = str(error.value)
    assert said in line
    assert "config.json'" in line
    assert len(f"lpspec: {line}") <= 200
    assert line.endswith(METHODS[-1]) or said in ("NVFP4", "allowed is one precision")


def test_the_optimizer_s_own_file_beside_a_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": "bfloat16"}))
    assert load_model(str(tmp_path)).formats.ffn_up.bits == 8  # as configurations without formats are priced
    said = {"quant_algo": "FP8", "kv_cache_quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"producer": {}, "quantization": said}))
    model = load_model(str(tmp_path))
    assert (model.formats.ffn_up.name, model.formats.head.bits, model.kv_bits) == ("fp8", 16, 4)
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": said | {"quant_algo": "W4A8_AWQ"}}))
    with pytest.raises(InputError, match="quant_algo"):
        load_model(str(tmp_path))


def test_methods_are_known_by_their_keys_where_old_files_do_not_name_them() -> None:
    assert stored_precision({"load_in_8bit": True, "llm_int8_threshold": 6.0}, "float16").formats.ffn_up.bits == 8
    assert stored_precision({"quant_algo": "FP8"}, "float16", {"ffn_up"}, [False]).formats.ffn_up.name == "fp8"
    kept = {"quant_method": "fp8", "activation_scheme": "static", "kv_cache_scheme": "static"}
    assert stored_precision(kept, "float16").kv_bits == 8


@pytest.mark.parametrize(
    ("name", "said", "format_name"),
    [
        ("quantize_config.json", {"bits": 4, "group_size": 128, "desc_act": False, "sym": True}, "gptq 4g128"),
        (
            "quant_config.json",
            {"zero_point": True, "q_group_size": 64, "w_bit": 4, "version": "GEMM"},
            "awq 4g64",
        ),
    ],
)
def test_files_of_autogptq_and_autoawq_beside_a_configuration_are_read(
    name: str, said: dict[str, Any], format_name: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / name).write_text(json.dumps(said))
    formats = load_model(str(tmp_path)).formats
    assert (formats.ffn_up.name, formats.embedding.bits) == (format_name, 16)
    other = "quant_config.json" if name == "quantize_config.json" else "quantize_config.json"
    (tmp_path / other).write_text("{}")
    with pytest.raises(InputError, match="keep one"):
        load_model(str(tmp_path))
