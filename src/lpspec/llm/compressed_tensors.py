"""How compressed-tensors (0.20.0) stores weights: integers and floats in groups of layers that patterns name."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from lpspec.errors import shown
from lpspec.llm.config_keys import words
from lpspec.llm.formats import LINEAR, MXFP4, NVFP4, SCALE_BITS, WeightFormat, plain
from lpspec.llm.quantization_keys import allow, check_keys, group_size, said
from lpspec.llm.stored_tensors import TensorClass, is_outside, tensor_class

_CONFIG_HARMLESS = words("quantization_status global_compression_ratio version transform_config quant_method format")
_ARGS_HARMLESS = words("observer observer_kwargs actorder dynamic scale_dtype zp_dtype")

_LAYOUTS = (
    "pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "nvfp4-pack-quantized",
    "mxfp4-pack-quantized", "mixed-precision",
)  # fmt: skip

_MODULES: dict[TensorClass, tuple[tuple[str, ...], ...]] = {
    "attention_in": (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("self_attn.qkv_proj",)),
    "attention_out": (("self_attn.o_proj",),),
    "ffn_up": (("mlp.gate_proj", "mlp.up_proj"), ("mlp.gate_up_proj",)),
    "ffn_down": (("mlp.down_proj",),),
    "expert": (
        tuple(f"mlp.experts.{e}.{name}_proj" for e in (0, 1, 17, 100) for name in ("gate", "up", "down")),
        ("mlp.experts",),
    ),
}
"""Products of a class by the names that nearly all families give them: each by itself, or fused."""

_TABLES: dict[TensorClass, str] = {"embedding": "model.embed_tokens", "head": "lm_head"}
"""The module of each class that stands beside the layers."""

_LAYERS = 128
"""Layers in whose names patterns are tried: what they tell apart is not one precision."""

_LONGEST, _MOST_STARS = 300, 5
"""Of a pattern: those in use are far shorter, and more stars could take for ever."""


def compressed_formats(
    config: Mapping[str, Any], classes: Collection[str]
) -> tuple[dict[TensorClass, WeightFormat], int | None]:
    """Formats of the classes that are quantised, and bits of a number of the cache where they are said.

    Args:
        config: The ``quantization_config``.
        classes: Classes of products that the model has.

    Raises:
        ValueError: Something whose stored bytes are not known, or a class in several formats.
    """
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise ValueError("quantization_config.config_groups must hold a group at least")
    check_keys(config, {"config_groups", "ignore", "kv_cache_scheme", "sparsity_config"} | _CONFIG_HARMLESS)
    allow("transform_config", bool(config.get("transform_config")), (False,))
    sparsity = config.get("sparsity_config")
    if sparsity and not (isinstance(sparsity, dict) and sparsity.get("format") == "dense"):
        raise ValueError("quantization_config.sparsity_config is not known, and may change what is stored")
    layout = config.get("format") or "mixed-precision"
    read = [_group(shown(str(name), 30), group, layout) for name, group in groups.items()]
    ignored = _patterns("ignore", config.get("ignore") or [])
    found: dict[TensorClass, WeightFormat] = {}
    for kind in (*(kind for kind in LINEAR if kind in classes), *_TABLES):
        if (stored := _class_format(kind, read, ignored)) is not None:
            found[kind] = stored
    if not found:
        raise ValueError("quantization_config.config_groups name none of the layers' products")
    return found, _cache_bits(config.get("kv_cache_scheme"))


_Name = re.Pattern[str] | str
_Group = tuple[list[_Name], WeightFormat]


def _group(name: str, group: object, layout: object) -> _Group:
    at = f"config_groups.{name}"
    if not isinstance(group, dict):
        raise ValueError(f"quantization_config.{at} must be an object")
    check_keys(group, {"targets", "weights", "input_activations", "format"}, f"{at}.")
    targets = _patterns(f"{at}.targets", group.get("targets"))
    if not targets:
        raise ValueError(f"quantization_config.{at}.targets is empty")
    inputs = group.get("input_activations")
    if inputs is not None:
        _number(inputs, f"{at}.input_activations")
    return targets, _weights(group.get("weights"), group.get("format") or layout, f"{at}.weights")


def _weights(weights: object, layout: object, at: str) -> WeightFormat:
    allow(f"{at.rpartition('.')[0]}.format", layout, _LAYOUTS)
    kind, bits = _number(weights, at)
    assert isinstance(weights, dict)
    used = {"type", "num_bits", "strategy", "group_size", "symmetric", "block_structure"}
    check_keys(weights, used | _ARGS_HARMLESS, f"{at}.")
    strategy = allow(
        f"{at}.strategy", weights.get("strategy") or "tensor", ("group", "channel", "tensor", "block", "tensor_group")
    )
    if kind == "float" and bits == 4:
        return _float4(weights, strategy, layout, at)
    name = f"{'fp' if kind == 'float' else 'int'}{bits}"
    stored = bits if layout == "pack-quantized" else 8
    zero = 0 if weights.get("symmetric", True) else stored
    if strategy == "tensor":
        return plain(stored, name)
    if strategy == "block":
        high, wide = _block(weights.get("block_structure"), at)
        return plain(stored, name).filling(high * wide * stored // 8 + SCALE_BITS // 8, high * wide)
    size = group_size(weights.get("group_size")) if strategy != "channel" else 0
    return WeightFormat(stored, size, SCALE_BITS + zero, f"{name}g{size}" if size else name)


def _float4(weights: Mapping[str, Any], strategy: str, layout: object, at: str) -> WeightFormat:
    for stored, named in ((NVFP4, "nvfp4-pack-quantized"), (MXFP4, "mxfp4-pack-quantized")):
        if layout == named:
            allow(f"{at}.group_size", weights.get("group_size"), (stored.group_size,))
            allow(f"{at}.strategy", strategy, ("group", "tensor_group"))
            return stored
    raise ValueError(f"quantization_config.{at}: floats of 4 bits are read as nvfp4- or mxfp4-pack-quantized alone")


def _number(args: object, at: str) -> tuple[str, int]:
    if not isinstance(args, dict):
        raise ValueError(f"quantization_config.{at} is missing")
    kind = allow(f"{at}.type", args.get("type", "int"), ("int", "float"))
    return kind, int(allow(f"{at}.num_bits", args.get("num_bits"), (2, 4, 8) if kind == "int" else (4, 8)))


def _block(value: object, at: str) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 < n < 2**20 for n in value):
        return value[0], value[1]
    raise ValueError(f"quantization_config.{at}.block_structure = {said(value)}: allowed are two sizes")


def _cache_bits(scheme: object) -> int | None:
    return None if not scheme else _number(scheme, "kv_cache_scheme")[1]


def _patterns(key: str, names: object) -> list[_Name]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"quantization_config.{key} must be a list of names")
    return [_pattern(key, name) if name.startswith("re:") else _whole(key, name) for name in names]


def _whole(key: str, name: str) -> str:
    """A name that is no pattern: of all products, of the head, or of what is none of the layers' products."""
    if name not in ("Linear", "lm_head") and not is_outside(name) and tensor_class(f"{name}.weight") in LINEAR:
        raise ValueError(f"quantization_config.{key} names {said(name)}: layers of several precisions are not known")
    return name


def _pattern(key: str, name: str) -> re.Pattern[str]:
    text = name.removeprefix("re:")
    stars = sum(text.count(letter) for letter in "*+{")
    if len(text) > _LONGEST or stars > _MOST_STARS or re.search(r"\)[*+{]", text):
        raise ValueError(f"quantization_config.{key}: pattern {said(text)} is not tried, it could take for ever")
    try:
        return re.compile(text)
    except re.error:
        raise ValueError(f"quantization_config.{key}: {said(text)} is no pattern") from None


def _class_format(kind: TensorClass, groups: list[_Group], ignored: list[_Name]) -> WeightFormat | None:
    """The one format of a class, None where it is not quantised."""
    for modules in _MODULES.get(kind, ((),)):
        names = [f"model.layers.{layer}.{module}" for module in modules for layer in range(_LAYERS)]
        names = names or [_TABLES[kind]]
        stored = {_stored_in(name, groups, ignored) for name in names}
        if len(stored) > 1:
            raise ValueError(f"quantization_config.config_groups store {kind} in several formats, which is not known")
        if (one := stored.pop()) is not None:
            return one
    return None


def _covers(pattern: _Name, name: str) -> bool:
    """As the library matches: a pattern from the start of the name, a name as a whole, or the class of the module."""
    if isinstance(pattern, re.Pattern):
        return pattern.match(name) is not None
    return pattern in (_class_of(name), name)


def _class_of(name: str) -> str:
    return "Embedding" if name == _TABLES["embedding"] else "Linear"


def _stored_in(name: str, groups: list[_Group], ignored: list[_Name]) -> WeightFormat | None:
    if any(_covers(pattern, name) for pattern in ignored):
        return None
    for exact in (True, False):  # names and patterns go before the class of the module
        for targets, stored in groups:
            if any((target != _class_of(name)) is exact and _covers(target, name) for target in targets):
                return stored
    return None
