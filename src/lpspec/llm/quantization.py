"""How a quantised checkpoint stores its weights, from the ``quantization_config`` of its ``config.json``.

The layers' products are quantised; embedding, LM head, norms and biases stay as they were. Whatever stores anything
else is refused by name. Not counted are single numbers per tensor, such as the scale of a whole one, and GPTQ's order
of inputs (32 bits per input of a matrix, 0.2 % at 4,096 inputs): kernels read it once per product at most.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from lpspec.llm.compressed_tensors import compressed_formats
from lpspec.llm.config_keys import words
from lpspec.llm.formats import LINEAR, MXFP4, SCALE_BITS, TERNARY, Formats, WeightFormat, all_alike, plain
from lpspec.llm.modelopt import modelopt_formats
from lpspec.llm.quantization_keys import allow, check_keys, group_size, kept_classes, said, without
from lpspec.llm.stored_tensors import TensorClass

_DTYPE_BITS = {None: 16, "float16": 16, "bfloat16": 16, "float32": 32, "auto": 16}

_AWQ_HARMLESS = words("do_fuse fuse_max_seq_len modules_to_fuse exllama_config backend")
_GPTQ_HARMLESS = words(
    """
    desc_act sym true_sequential static_groups damp_percent damp_auto_increment dataset tokenizer model_name_or_path
    model_file_base_name use_cuda_fp16 model_seqlen block_name_to_quantize module_name_preceding_first_block batch_size
    pad_token_id use_exllama max_input_length exllama_config cache_block_outputs meta pack_dtype quantizer mse
    disable_exllama hyb_act backend
    """
)
_BITSANDBYTES_HARMLESS = words(
    """
    _load_in_4bit _load_in_8bit bnb_4bit_compute_dtype bnb_4bit_quant_storage llm_int8_enable_fp32_cpu_offload
    llm_int8_has_fp16_weight llm_int8_threshold
    """
)
_FLOAT8_HARMLESS = words("activation_scheme fmt scale_fmt activation_scale_ub kv_cache_quant_algo dequantize")


class StoredPrecision(NamedTuple):
    """What a configuration says: weights by class, and the bits of a number of the cache where it names them."""

    formats: Formats
    kv_bits: int | None = None


_Reader = Callable[[Mapping[str, Any], WeightFormat], dict[TensorClass, WeightFormat]]
"""From the configuration and the format of what is not quantised to the classes that are."""


def stored_precision(
    config: Mapping[str, Any], dtype: object, classes: Collection[str] = LINEAR, sparse: Sequence[bool] = ()
) -> StoredPrecision:
    """How weights are stored.

    Args:
        config: The ``quantization_config``.
        dtype: The ``dtype`` or ``torch_dtype`` beside it, of what is not quantised.
        classes: Classes of products that the model has.
        sparse: Of each layer, whether it has experts.

    Raises:
        ValueError: Method, or something in it, whose stored bytes are not known; the message names the key.
    """
    method = config.get("quant_method") or _method_by_keys(config)
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"quant_method = {said(method)}: allowed are {', '.join(METHODS)}")
    if not (dtype is None or isinstance(dtype, str)) or dtype not in _DTYPE_BITS:
        raise ValueError(f"torch_dtype = {said(dtype)} is not known: allowed are float16, bfloat16 and float32")
    rest = plain(_DTYPE_BITS[dtype])
    if method == "compressed-tensors":
        found, kv_bits = compressed_formats(config, classes)
    elif method == "modelopt":
        found, kv_bits = modelopt_formats(config, classes, sparse)
    else:
        found, kv_bits = _METHODS[method](config, rest), _cache_bits(config)
    return StoredPrecision(all_alike(rest).with_formats(found), kv_bits)


def _method_by_keys(config: Mapping[str, Any]) -> str | None:
    """The method of a file that does not name it, as those of before the name was saved."""
    if "quant_algo" in config:
        return "modelopt"
    return "bitsandbytes" if config.get("load_in_8bit") or config.get("load_in_4bit") else None


def _cache_bits(config: Mapping[str, Any]) -> int | None:
    """Bits of a number of the cache where a file of FP8 has scales for it."""
    scheme = config.get("kv_cache_scheme")
    return None if scheme is None else 8 if allow("kv_cache_scheme", scheme, ("static",)) else None


def _awq(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """AutoAWQ's gemm layout: 4-bit weights, a scale and a 4-bit zero point per group."""
    allow("bits", config.get("bits", config.get("w_bit", 4)), (4,))
    allow("zero_point", config.get("zero_point", True), (True,))
    allow("version", str(config.get("version") or "gemm").lower(), ("gemm",))
    used = {"quant_method", "bits", "w_bit", "group_size", "q_group_size", "zero_point", "version"}
    check_keys(config, used | {"modules_to_not_convert"} | _AWQ_HARMLESS)
    size = group_size(config.get("group_size", config.get("q_group_size", 128)))
    return _but(config, "modules_to_not_convert", WeightFormat(4, size, SCALE_BITS + 4, _named("awq", 4, size)))


def _gptq(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """GPTQ: a scale and a zero point per group, the latter also where it is symmetric."""
    bits = allow("bits", config.get("bits"), (2, 3, 4, 8))
    for key in ("checkpoint_format", "format"):
        allow(key, config.get(key, "gptq"), ("gptq", "gptq_v2"))
    used = {"quant_method", "bits", "group_size", "checkpoint_format", "format", "modules_to_not_convert", "lm_head"}
    check_keys(config, used | _GPTQ_HARMLESS)
    size = group_size(config.get("group_size", 128))
    stored = WeightFormat(bits, size, SCALE_BITS + bits, _named("gptq", bits, size))
    found = _but(config, "modules_to_not_convert", stored)
    return found | {"head": stored} if allow("lm_head", bool(config.get("lm_head")), (False, True)) else found


def _bitsandbytes(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """INT8 with a float32 per row, or 4 bits with a float32 per block of 64, which may be quantised itself.

    Blocks go on over the ends of rows. Double quantisation stores a byte per block and a float32 per 256 of them.
    """
    used = {"quant_method", "load_in_8bit", "load_in_4bit", "llm_int8_skip_modules"}
    of_4 = {"bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_blocksize"}
    check_keys(config, used | of_4 | _BITSANDBYTES_HARMLESS)
    in_8, in_4 = (allow(key, config.get(key, False), (True, False)) for key in ("load_in_8bit", "load_in_4bit"))
    if in_8 is in_4:
        raise ValueError("quantization_config must have one of load_in_8bit and load_in_4bit")
    if in_8:
        stored = WeightFormat(8, 0, 32, "llm.int8")
    else:
        name = allow("bnb_4bit_quant_type", config.get("bnb_4bit_quant_type", "fp4"), ("fp4", "nf4"))
        block = allow("bnb_4bit_blocksize", config.get("bnb_4bit_blocksize", 64), (64, 128, 256, 512, 1024, 2048, 4096))
        blocks = 256
        double = allow("bnb_4bit_use_double_quant", config.get("bnb_4bit_use_double_quant", False), (True, False))
        scales = blocks + 4 if double else 4 * blocks
        stored = WeightFormat(4, name=name).filling(block * blocks // 2 + scales, block * blocks)
    return _but(config, "llm_int8_skip_modules", stored)


def _float8(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """Float8 with a float32 per block of rows and columns, or one for all."""
    used = {"quant_method", "weight_block_size", "modules_to_not_convert", "ignored_layers", "kv_cache_scheme"}
    check_keys(config, used | _FLOAT8_HARMLESS)
    allow("fmt", config.get("fmt", "e4m3"), ("e4m3", "float8_e4m3fn"))
    block = config.get("weight_block_size")
    stored = plain(8, "fp8")
    if block is not None:
        if not (isinstance(block, list) and len(block) == 2 and all(type(n) is int and 0 < n < 2**20 for n in block)):
            raise ValueError(f"quantization_config.weight_block_size = {said(block)}: allowed are two sizes")
        weights = block[0] * block[1]
        stored = stored.filling(weights + 4, weights)
    kept = [*_names(config, "modules_to_not_convert"), *_names(config, "ignored_layers")]
    return dict.fromkeys(without(kept_classes("modules_to_not_convert", kept)), stored)


def _fbgemm(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """Float8 with a float32 per row."""
    check_keys(config, {"quant_method", "modules_to_not_convert"} | _FLOAT8_HARMLESS)
    return _but(config, "modules_to_not_convert", WeightFormat(8, 0, 32, "fp8"))


def _mxfp4(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """Experts in MXFP4, as gpt-oss has them; all else as it was."""
    check_keys(config, {"quant_method", "modules_to_not_convert", "dequantize"})
    allow("dequantize", bool(config.get("dequantize")), (False,))
    stays = kept_classes("modules_to_not_convert", _names(config, "modules_to_not_convert"))
    if "expert" in stays:
        raise ValueError("quantization_config.modules_to_not_convert names experts, which are all that mxfp4 stores")
    return {"expert": MXFP4}


def _bitnet(config: Mapping[str, Any], rest: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """Ternary weights, four a byte; or as they were where they are rounded only when they are loaded."""
    used = {"quant_method", "linear_class", "quantization_mode", "modules_to_not_convert", "use_rms_norm"}
    check_keys(config, used | {"rms_norm_eps"})
    allow("linear_class", config.get("linear_class", "bitlinear"), ("bitlinear", "autobitlinear"))
    mode = allow("quantization_mode", config.get("quantization_mode", "offline"), ("offline", "online"))
    return _but(config, "modules_to_not_convert", TERNARY if mode == "offline" else rest)


_METHODS: dict[str, _Reader] = {
    "awq": _awq,
    "gptq": _gptq,
    "bitsandbytes": _bitsandbytes,
    "fp8": _float8,
    "fbgemm_fp8": _fbgemm,
    "mxfp4": _mxfp4,
    "bitnet": _bitnet,
}


_OF_LAYERS = ("compressed-tensors", "modelopt")
"""Methods that name the modules of each layer."""

METHODS = tuple(sorted((*_METHODS, *_OF_LAYERS)))
"""Every ``quant_method`` that is read."""


def _but(config: Mapping[str, Any], key: str, stored: WeightFormat) -> dict[TensorClass, WeightFormat]:
    """The layers' products stored like this, but for those that a key names."""
    return dict.fromkeys(without(kept_classes(key, _names(config, key))), stored)


def _names(config: Mapping[str, Any], key: str) -> list[object]:
    value = config.get(key)
    return list(value) if isinstance(value, list) else [value] if value else []


def _named(method: str, bits: int, size: int) -> str:
    return f"{method} {bits}g{size}" if size else f"{method} {bits}"
