"""GGUF files of many families: names as package gguf maps them, shapes and counts as transformers builds the models."""

import re
from pathlib import Path
from typing import Any

import pytest
from gguf_files import Row, write_gguf
from test_safetensors_header import write as write_safetensors

from lpspec.llm import load_model

gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
HEADS = {"head_dim": 32}
EXPERTS = {"num_experts_per_tok": 2}
FINE = {"num_experts": 4, "moe_intermediate_size": 48}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "mixtral": ("llama", EXPERTS | {"num_local_experts": 4}),
    "qwen2": ("qwen2", {}),
    "qwen2_moe": ("qwen2moe", EXPERTS | FINE | {"shared_expert_intermediate_size": 80}),
    "qwen3": ("qwen3", HEADS),
    "qwen3_moe": ("qwen3moe", HEADS | EXPERTS | FINE),
    "gemma": ("gemma", HEADS),
    "gemma2": ("gemma2", HEADS | {"sliding_window": 64}),
    "gemma3_text": ("gemma3", HEADS | {"sliding_window": 64}),
    "phi3": ("phi3", {}),
    "smollm3": ("smollm3", {}),
    "granite": ("granite", {"embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22}),
    "granitemoe": ("granitemoe", EXPERTS | {"num_local_experts": 4}),
    "gpt_oss": ("gpt-oss", HEADS | EXPERTS | {"num_local_experts": 4, "sliding_window": 64}),
    "lfm2": ("lfm2", {"block_auto_adjust_ff_dim": False, "layer_types": ["conv", "full_attention", "conv", "conv"]}),
    "olmo2": ("olmo2", {}),
    "glm4": ("glm4", {"head_dim": 16}),
    "hunyuan_v1_dense": ("hunyuan-dense", {"head_dim": 16}),
    "ernie4_5": ("ernie4_5", HEADS),
    "starcoder2": ("starcoder2", {}),
    "bitnet": ("bitnet", {"tie_word_embeddings": True}),
}  # fmt: skip
BY_HAND = {  # names that the package maps from layouts of older releases
    r"(block_sparse_moe|mlp)\.(router|gate)\.(?=weight)": "ffn_gate_inp.",
    r"(block_sparse_moe|mlp)\.experts\.gate_up_proj$": "ffn_gate_up_exps.weight",
    r"(block_sparse_moe|mlp)\.experts\.down_proj$": "ffn_down_exps.weight",
    r"mlp\.experts\.gate_up_proj_bias": "ffn_gate_up_exps.bias",
    r"mlp\.experts\.down_proj_bias": "ffn_down_exps.bias",
    r"self_attn\.attn_sub_norm\.": "attn_sub_norm.",
    r"mlp\.ffn_sub_norm\.": "ffn_sub_norm.",
}


def gguf_name(names: Any, name: str) -> str:
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is not None:
        return str(found)
    for pattern, own in BY_HAND.items():
        if (match := re.search(pattern, name)) and (layer := re.search(r"layers\.(\d+)\.", name)):
            return f"blk.{layer[1]}.{own}{name[match.end() :]}"
    raise AssertionError(f"{name} has no name in GGUF")


def keys_of(arch: str, config: Any) -> dict[str, Any]:
    """What llama.cpp's converter writes of a configuration."""
    said = {
        "block_count": config.num_hidden_layers, "embedding_length": config.hidden_size,
        "context_length": config.max_position_embeddings, "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads, "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1e4, "vocab_size": config.vocab_size,
    }  # fmt: skip
    optional = {
        "attention.key_length": "head_dim", "attention.value_length": "head_dim",
        "embedding_scale": "embedding_multiplier",
        "attention.sliding_window": "sliding_window", "expert_used_count": "num_experts_per_tok",
        "residual_scale": "residual_multiplier", "logit_scale": "logits_scaling", "expert_count": "num_local_experts",
        "attention.scale": "attention_multiplier", "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping", "shortconv.l_cache": "conv_L_cache",
        "expert_feed_forward_length": "moe_intermediate_size",
        "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    }  # fmt: skip
    for key, name in optional.items():
        if (value := getattr(config, name, None)) is not None:
            said[key] = value
    if arch in ("qwen2moe", "qwen3moe"):
        said["expert_count"] = config.num_experts
    if arch == "gpt-oss":
        said["expert_feed_forward_length"] = config.intermediate_size
    if arch == "lfm2":
        said["attention.head_count_kv"] = [2 if kind == "full_attention" else 0 for kind in config.layer_types]
    if arch == "glm4":
        said["rope.dimension_count"] = 8
    return {"general.architecture": arch, **{f"{arch}.{key}": value for key, value in said.items()}}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gguf_file_has_the_weights_of_its_model(tmp_path: Path, family: str) -> None:
    torch = pytest.importorskip("torch")
    arch, own = FAMILIES[family]
    config = transformers.AutoConfig.for_model(family, **SMALL | own)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    known = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(known[arch], SMALL["num_hidden_layers"])
    rows: list[Row] = []
    for name, tensor in model.state_dict().items():
        if not (name == "lm_head.weight" and config.tie_word_embeddings):
            shape = [width for width in reversed(tensor.shape) if width > 1 or tensor.dim() == 1]
            rows.append((gguf_name(names, name), tuple(shape), 1, 2 * tensor.numel()))
    found = load_model(str(write_gguf(tmp_path / "m.gguf", keys_of(arch, config), rows)))
    assert found.parameters == model.num_parameters()
    assert found.weight_bytes == sum(size for *_, size in rows) == 2 * found.parameters
    expected = load_json_twin(tmp_path, config)
    assert [(g.count, g.layer.kind) for g in found.layer_groups] == [
        (g.count, g.layer.kind) for g in expected.layer_groups
    ]
    assert found.cache_bytes(300) == expected.cache_bytes(300)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_has_the_bytes_of_its_tensors(tmp_path: Path, family: str) -> None:
    """Names of the Hugging Face hub fall into the classes of the description, weight by weight."""
    torch = pytest.importorskip("torch")
    config = transformers.AutoConfig.for_model(family, **SMALL | FAMILIES[family][1])
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    header, end = {}, 0
    for name, tensor in model.state_dict().items():
        if not (name == "lm_head.weight" and config.tie_word_embeddings):
            size = 2 * tensor.numel()
            header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end, end + size]}
            end += size
    write_safetensors(tmp_path / "model.safetensors", header, end)
    load_json_twin(tmp_path, config)
    assert load_model(str(tmp_path)).weight_bytes == end == 2 * model.num_parameters()


def load_json_twin(folder: Path, config: Any) -> Any:
    """The model of the same configuration as transformers writes it."""
    if not getattr(config, "sliding_window", None):
        config.sliding_window = None  # some classes make it 0 where nothing slides
    config.save_pretrained(folder)
    return load_model(str(folder / "config.json"))
