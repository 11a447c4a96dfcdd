"""The keys of a GGUF file as those of a ``config.json``: one reader of families serves both.

Names and defaults of keys: llama.cpp, gguf-py/gguf/constants.py and src/llama-hparams.h (MIT). What it leaves to the
tensors, such as biases and a tied head, is seen from their names here too.
"""

from collections.abc import Mapping
from typing import Any

from lpspec.errors import shown
from lpspec.llm.config_keys import words
from lpspec.llm.gguf import GgufFile, GgufValue

_LLAMA = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
}
"""Keys that nearly all architectures have."""

_EXPERTS = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}
_LOCAL_EXPERTS = {"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"}
_WINDOW = {"attention.sliding_window": "sliding_window"}
_CAPS = {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}
_GRANITE = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}

_ARCHITECTURES: dict[str, tuple[str, dict[str, str]]] = {
    "llama": ("llama", _LOCAL_EXPERTS),
    "mistral3": ("ministral3", {}),
    "qwen2": ("qwen2", {}),
    "qwen2moe": ("qwen2_moe", _EXPERTS | {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"}),
    "qwen3": ("qwen3", {}),
    "qwen3moe": ("qwen3_moe", _EXPERTS),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", _WINDOW | _CAPS),
    "gemma3": ("gemma3_text", _WINDOW | _CAPS),
    "phi3": ("phi3", _WINDOW),
    "smollm3": ("smollm3", {}),
    "granite": ("granite", _GRANITE),
    "granitemoe": ("granitemoe", _GRANITE | _LOCAL_EXPERTS),
    "gpt-oss": ("gpt_oss", _LOCAL_EXPERTS | _WINDOW | {"expert_feed_forward_length": "intermediate_size"}),
    "lfm2": ("lfm2", {"shortconv.l_cache": "conv_L_cache", "attention.layer_norm_rms_epsilon": "norm_eps"}),
    "olmo2": ("olmo2", {}),
    "glm4": ("glm4", {}),
    "hunyuan-dense": ("hunyuan_v1_dense", {}),
    "ernie4_5": ("ernie4_5", {}),
    "starcoder2": ("starcoder2", {"attention.layer_norm_epsilon": "norm_epsilon"}),
    "bitnet": ("bitnet", {}),
}
"""By ``general.architecture``: the ``model_type``, and keys that others have not or name otherwise."""

_WITHOUT_WORK = words(
    """
    attention.causal attention.value_length attention.temperature_scale attention.temperature_length
    rope.dimension_count rope.freq_base_swa rope.dimension_count_swa expert_weights_norm expert_weights_scale
    expert_gating_func expert_group_count expert_group_used_count expert_shared_count tensor_data_layout
    attention.sliding_window_pattern attention.layer_norm_epsilon attention.layer_norm_rms_epsilon
    """
)
"""Keys that are used otherwise, are checked by the tensors' sizes, or change numbers and no work."""

_NOT_MODELS = ("adapter", "mmproj", "imatrix", "control-vector")


def config_of(file: GgufFile) -> dict[str, Any]:
    """A ``config.json`` that says the same.

    Raises:
        ValueError: Architecture, key or value that is not known; the message names it.
    """
    keys = file.keys
    kind = keys.get("general.type", "model")
    if kind in _NOT_MODELS:
        raise ValueError(f"general.type = '{kind}': give a model")
    arch = keys.get("general.architecture")
    if not isinstance(arch, str) or arch not in _ARCHITECTURES:
        allowed = ", ".join(_ARCHITECTURES)
        raise ValueError(f"general.architecture = {_said(arch)} is not known: allowed are {allowed}")
    model_type, own = _ARCHITECTURES[arch]
    names = _LLAMA | own
    config: dict[str, Any] = {"model_type": model_type}
    if not keys.get(f"{arch}.attention.causal", True):
        raise ValueError(f"{arch}.attention.causal = False: allowed is True, which decoders are")
    for key, value in keys.items():
        if not key.startswith(f"{arch}."):
            continue
        name = key.removeprefix(f"{arch}.")
        if name in names:
            config[names[name]] = list(value) if isinstance(value, tuple) else value
        elif name not in _WITHOUT_WORK and not name.startswith("rope.scaling.") and _says_something(value):
            raise ValueError(f"{shown(key, 60)} = {_said(value)} may change what is computed, and is not known")
    if arch == "llama" and config.get("num_local_experts"):
        config["model_type"] = "mixtral"
    elif arch == "llama":
        config = {key: value for key, value in config.items() if key not in _LOCAL_EXPERTS.values()}
    _from_tensors(config, file)
    _complete(config, arch, keys)
    return config


def _from_tensors(config: dict[str, Any], file: GgufFile) -> None:
    """Tied head, size of the vocabulary and biases, which tensors tell."""
    shapes = {tensor.name: tensor.shape for tensor in file.tensors}
    embedding = shapes.get("token_embd.weight")
    if embedding is None or len(embedding) != 2:
        raise ValueError("there is no tensor token_embd.weight of two dimensions: not a whole model")
    config["vocab_size"] = embedding[0]
    config["tie_word_embeddings"] = "output.weight" not in shapes
    biases = {name.split(".")[2] for name in shapes if name.startswith("blk.") and name.endswith(".bias")}
    biased = {
        "llama": {"attention_bias": "attn_q", "mlp_bias": "ffn_up"},
        "granite": {"attention_bias": "attn_q", "mlp_bias": "ffn_up"},
        "qwen3": {"attention_bias": "attn_q"},
        "qwen3_moe": {"attention_bias": "attn_q"},
        "ernie4_5": {"use_bias": "attn_q"},
        "starcoder2": {"use_bias": "attn_q"},
        "glm4": {"attention_bias": "attn_q"},
        "hunyuan_v1_dense": {"attention_bias": "attn_q"},
    }
    config |= {key: name in biases for key, name in biased.get(config["model_type"], {}).items()}


def _complete(config: dict[str, Any], arch: str, keys: Mapping[str, GgufValue]) -> None:
    """What llama.cpp takes for absent keys, and what families name otherwise."""
    for key in ("num_hidden_layers", "hidden_size", "num_attention_heads", "max_position_embeddings"):
        if key not in config:
            raise ValueError(f"{arch}.{next(name for name, own in _LLAMA.items() if own == key)} is missing")
    config.setdefault("num_key_value_heads", config["num_attention_heads"])
    if arch == "lfm2":
        _short_convolutions(config)
    for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if isinstance(value := config.get(key), list):
            if len(set(value)) != 1:
                raise ValueError(f"{arch}: {key} differs from layer to layer, which is not known")
            config[key] = value[0]
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    if type(heads) is int and heads > 0 and type(hidden) is int:
        config.setdefault("head_dim", hidden // heads)
    if arch in ("phi3", "mistral3"):
        config.setdefault("sliding_window", None)
    rotated, width = keys.get(f"{arch}.rope.dimension_count"), config.get("head_dim")
    if type(rotated) is int and type(width) is int and rotated != width > 0:
        config["partial_rotary_factor"] = rotated / width


def _short_convolutions(config: dict[str, Any]) -> None:
    """LFM2: layers without key-value heads are convolutions; its feed-forward width is final."""
    heads = config["num_key_value_heads"]
    if isinstance(heads, list):
        config["layer_types"] = ["full_attention" if count else "conv" for count in heads]
        config["num_key_value_heads"] = max(heads, default=0)
    config |= {"block_auto_adjust_ff_dim": False}


def _says_something(value: GgufValue) -> bool:
    return any(value) if isinstance(value, tuple) else bool(value)


def _said(value: object) -> str:
    return shown(repr(value), 30)
