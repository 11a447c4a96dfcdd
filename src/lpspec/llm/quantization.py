"""How many bits a quantised checkpoint stores per weight, from the ``quantization_config`` of its ``config.json``.

The layers' products are quantised; embedding, LM head, norms and biases stay as they were. Whatever stores anything
else is refused by name. GPTQ's order of inputs (32 bits per input of a matrix, 0.2 % at 4,096 inputs) is not counted:
kernels read it once per product at most.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lpspec.errors import shown
from lpspec.llm.config_keys import words

KEPT = frozenset({"lm_head", "embed_tokens", "model.embed_tokens"})
"""Modules that stay as they were under every method."""

_SCALE_BITS = 16
"""Bits of a group's scale: half precision in AutoAWQ, AutoGPTQ and compressed-tensors 0.20.0."""

_DTYPE_BITS = {None: 16, "float16": 16, "bfloat16": 16, "float32": 32}

_AWQ_HARMLESS = words("do_fuse fuse_max_seq_len modules_to_fuse exllama_config backend")
_GPTQ_HARMLESS = words(
    """
    desc_act sym true_sequential static_groups damp_percent damp_auto_increment dataset tokenizer model_name_or_path
    model_file_base_name use_cuda_fp16 model_seqlen block_name_to_quantize module_name_preceding_first_block batch_size
    pad_token_id use_exllama max_input_length exllama_config cache_block_outputs meta pack_dtype quantizer mse
    disable_exllama hyb_act backend
    """
)
_PACKED_HARMLESS = words("quantization_status global_compression_ratio version")
_ARGS_HARMLESS = words("observer observer_kwargs actorder dynamic")


def stored_precision(config: Mapping[str, Any], dtype: object) -> dict[str, int]:
    """The fields of ``ModelSpec`` that say how weights are stored.

    Args:
        config: The ``quantization_config``.
        dtype: The ``torch_dtype`` beside it, of what is not quantised.

    Raises:
        ValueError: Method, or something in it, whose stored bytes are not known; the message names the key.
    """
    method = config.get("quant_method")
    reader = _METHODS.get(method) if isinstance(method, str) else None
    if reader is None:
        allowed = ", ".join(sorted(_METHODS))
        raise ValueError(f"quantization_config.quant_method = {_said(method)} is not known: allowed are {allowed}")
    if not (dtype is None or isinstance(dtype, str)) or dtype not in _DTYPE_BITS:
        raise ValueError(f"torch_dtype = {_said(dtype)} is not known: allowed are float16, bfloat16 and float32")
    return reader(config) | {"other_bits": _DTYPE_BITS[dtype]}


def _awq(config: Mapping[str, Any]) -> dict[str, int]:
    """AutoAWQ's gemm layout: 4-bit weights, a scale and a 4-bit zero point per group."""
    _allow("bits", config.get("bits", config.get("w_bit", 4)), (4,))
    _allow("zero_point", config.get("zero_point", True), (True,))
    _allow("version", str(config.get("version") or "gemm").lower(), ("gemm",))
    _check_kept("modules_to_not_convert", config.get("modules_to_not_convert"))
    used = {"quant_method", "bits", "w_bit", "group_size", "q_group_size", "zero_point", "version"}
    _check_keys(config, used | {"modules_to_not_convert"} | _AWQ_HARMLESS)
    return _grouped(4, config.get("group_size", config.get("q_group_size", 128)), _SCALE_BITS + 4)


def _gptq(config: Mapping[str, Any]) -> dict[str, int]:
    """GPTQ: a scale and a zero point per group, the latter also where it is symmetric."""
    bits = _allow("bits", config.get("bits"), (4, 8))
    for key in ("checkpoint_format", "format"):
        _allow(key, config.get(key, "gptq"), ("gptq", "gptq_v2"))
    _check_kept("modules_to_not_convert", config.get("modules_to_not_convert"))
    used = {"quant_method", "bits", "group_size", "checkpoint_format", "format", "modules_to_not_convert"}
    _check_keys(config, used | _GPTQ_HARMLESS)
    return _grouped(bits, config.get("group_size", 128), _SCALE_BITS + bits)


def _compressed_tensors(config: Mapping[str, Any]) -> dict[str, int]:
    """Integers in one group for all linear layers: packed, or one byte each."""
    layout = _allow("format", config.get("format"), ("pack-quantized", "int-quantized"))
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or len(groups) != 1:
        raise ValueError("quantization_config.config_groups must hold one group for all linear layers")
    used = {"quant_method", "format", "config_groups", "ignore"}
    sparsity = config.get("sparsity_config")
    if isinstance(sparsity, dict) and sparsity.get("format") == "dense":
        used.add("sparsity_config")  # zeros that are stored as any other number
    _check_keys(config, used | _PACKED_HARMLESS)
    ignored = config.get("ignore")
    _check_kept("ignore", ignored)
    if "lm_head" not in (ignored or ()):
        raise ValueError("quantization_config.ignore must name lm_head: a quantised LM head is not known")
    ((name, group),) = groups.items()
    at = f"config_groups.{shown(name, 30)}"
    if not isinstance(group, dict) or group.get("targets") != ["Linear"]:
        raise ValueError(f"quantization_config.{at}.targets must be ['Linear']")
    _check_keys(group, {"targets", "weights", "input_activations", "format"}, f"{at}.")
    _check_integers(group.get("input_activations") or {"type": "int", "num_bits": 8}, f"{at}.input_activations")
    return _packed(group.get("weights"), layout, f"{at}.weights")


def _packed(weights: object, layout: str, at: str) -> dict[str, int]:
    bits = _check_integers(weights, at)
    assert isinstance(weights, dict)
    used = {"type", "num_bits", "strategy", "group_size", "symmetric"}
    _check_keys(weights, used | _ARGS_HARMLESS, f"{at}.")
    strategy = _allow(f"{at}.strategy", weights.get("strategy"), ("group", "channel", "tensor"))
    zero_bits = 0 if weights.get("symmetric", True) else bits
    stored_bits = bits if layout == "pack-quantized" else 8
    if strategy == "tensor":
        return _grouped(stored_bits, -1, 0)
    return _grouped(stored_bits, weights.get("group_size") if strategy == "group" else -1, _SCALE_BITS + zero_bits)


def _check_integers(args: object, at: str) -> int:
    if not isinstance(args, dict):
        raise ValueError(f"quantization_config.{at} is missing")
    _allow(f"{at}.type", args.get("type", "int"), ("int",))
    return int(_allow(f"{at}.num_bits", args.get("num_bits"), (4, 8)))


_METHODS: dict[str, Callable[[Mapping[str, Any]], dict[str, int]]] = {
    "awq": _awq,
    "gptq": _gptq,
    "compressed-tensors": _compressed_tensors,
}


def _grouped(bits: int, group_size: object, group_bits: int) -> dict[str, int]:
    """``group_size`` -1 is the whole row."""
    if type(group_size) is not int or (group_size < 1 and group_size != -1):
        raise ValueError(f"quantization_config.group_size = {_said(group_size)}: allowed is -1, or 1 and more")
    return {"weight_bits": bits, "group_size": max(group_size, 0), "group_bits": group_bits}


def _allow(key: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if type(value) is not type(allowed[0]) or value not in allowed:
        said = ", ".join(map(str, allowed))
        raise ValueError(f"quantization_config.{key} = {_said(value)} is not known: allowed is {said}")
    return value


def _check_kept(key: str, modules: object) -> None:
    names = modules if isinstance(modules, list) else [modules] if modules else []
    other = [name for name in names if not isinstance(name, str) or name not in KEPT]
    if other:
        raise ValueError(
            f"quantization_config.{key} names {_said(other[0])}: layers of several precisions are not known"
        )


def _check_keys(config: Mapping[str, Any], known: frozenset[str] | set[str], at: str = "") -> None:
    """Refuse what is not known and says something."""
    for key, value in config.items():
        if key not in known and value:
            raise ValueError(f"quantization_config.{at}{shown(key, 30)} is not known, and may change what is stored")


def _said(value: object) -> str:
    return shown(repr(value), 30)
