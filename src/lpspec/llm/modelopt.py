"""How NVIDIA's Model Optimizer stores weights: FP8 or NVFP4, but for modules that patterns leave out."""

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from lpspec.errors import shown
from lpspec.llm.formats import LINEAR, NVFP4, WeightFormat, plain
from lpspec.llm.quantization_keys import allow, check_keys, said
from lpspec.llm.stored_tensors import TensorClass, is_outside, tensor_class

_FORMATS = {"FP8": plain(8, "fp8"), "NVFP4": NVFP4, "W4A16_NVFP4": NVFP4}

_MODULES = {
    "attention_in": (
        "self_attn.q_proj self_attn.k_proj self_attn.v_proj",
        "self_attn.q_a_proj self_attn.q_b_proj self_attn.kv_a_proj_with_mqa self_attn.kv_b_proj",
        "self_attn.q_proj self_attn.kv_a_proj_with_mqa self_attn.kv_b_proj",
    ),
    "attention_out": ("self_attn.o_proj",),
    "ffn_up": ("mlp.gate_proj mlp.up_proj",),
    "ffn_down": ("mlp.down_proj",),
    "expert": ("mlp.experts",),
}
"""Modules that make up a class in one layer, by the names that most families give them."""

_SHARED = ("mlp.shared_expert", "mlp.shared_experts")
"""What stands for ``mlp`` in layers with experts, of a network that all tokens pass."""

_BEFORE = re.compile(r"^[^*]*?(?=layers\.|lm_head)")
"""What stands before the names of a decoder's parts, such as ``language_model.model.``."""

_LAYER = re.compile(r"layers\.([0-9]{1,6})(?![0-9*])")

_OTHER_MIXERS = ("linear_attn", "mixer", "mamba", "conv", "short_conv")
"""Parts of layers whose products are of the classes of attention, and are not told apart here."""


def modelopt_formats(
    config: Mapping[str, Any], classes: Collection[str], sparse: Sequence[bool]
) -> tuple[dict[TensorClass, WeightFormat], int | None]:
    """Formats of the classes that are quantised, and bits of a number of the cache where they are said.

    Args:
        config: The ``quantization_config``, or what ``hf_quant_config.json`` has under ``quantization``.
        classes: Classes of products that the model has.
        sparse: Of each layer, whether it has experts.

    Raises:
        ValueError: Something whose stored bytes are not known, or a class in several formats.
    """
    stored = _FORMATS[allow("quant_algo", str(config.get("quant_algo")), tuple(_FORMATS))]
    if config.get("quantized_layers"):
        raise ValueError("quantization_config.quantized_layers: allowed is one precision for all layers")
    used = {"quant_method", "quant_algo", "kv_cache_quant_algo", "kv_cache_scheme", "group_size", "exclude_modules"}
    check_keys(config, used | {"ignore", "producer", "config_groups"})
    if stored is NVFP4:
        allow("group_size", config.get("group_size") or NVFP4.group_size, (NVFP4.group_size,))
    unused = dict.fromkeys(_patterns(config, len(sparse)))
    patterns = tuple(unused)
    found: dict[TensorClass, WeightFormat] = {}
    for kind in (kind for kind in LINEAR if kind in classes):
        kept = {_is_left_out(variants, patterns, unused) for variants in _by_layer(kind, sparse)}
        if len(kept) > 1 or None in kept:
            raise ValueError(f"quantization_config.exclude_modules: {kind} in several precisions is not known")
        if kept != {True}:
            found[kind] = stored
    if patterns and not _covered("lm_head", patterns, unused):  # left out where nothing is named
        found["head"] = stored
    _check_rest(unused, found)
    return found, _cache_bits(config)


def _patterns(config: Mapping[str, Any], layers: int) -> list[str]:
    """What is left out of the decoder, by names from ``layers`` on; layers behind its last one only draft."""
    names = [name for key in ("exclude_modules", "ignore") for name in config.get(key) or ()]
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"quantization_config.exclude_modules names {said(name)}: names of modules are needed")
    own = [name for name in names if not is_outside(name.rstrip("*.")) and not name.startswith(("mtp", "model.mtp"))]
    own = [name.replace("block_sparse_moe", "mlp") for name in own]
    own = [_BEFORE.sub("", name) for name in own]
    return [name for name in own if not ((at := _LAYER.match(name)) and int(at[1]) >= layers)]


def _by_layer(kind: str, sparse: Sequence[bool]) -> list[list[list[str]]]:
    """The modules of a class in each layer that has it, as one of several families may name them."""
    found = []
    for i, has_experts in enumerate(sparse):
        if kind == "expert" and not has_experts:
            continue
        variants = list(_MODULES[kind])
        if has_experts and kind.startswith("ffn"):
            variants = [text.replace("mlp", shared) for text in variants for shared in _SHARED]
        found.append([[f"layers.{i}.{name}" for name in text.split()] for text in variants])
    return found


def _is_left_out(variants: list[list[str]], patterns: Sequence[str], unused: dict[str, None]) -> bool | None:
    """Whether all modules of a class are left out, or none; None for some of them."""
    covered = [[_covered(name, patterns, unused) for name in names] for names in variants]
    if any(all(each) for each in covered):
        return True
    return None if any(any(each) for each in covered) else False


def _covered(name: str, patterns: Sequence[str], unused: dict[str, None]) -> bool:
    """Whether a pattern names a module or one that it lies in; such patterns are taken out of ``unused``."""
    parts = name.split(".")
    within = [".".join(parts[: i + 1]) for i in range(len(parts))]
    found = [one for one in patterns if any(fnmatchcase(each, one.removesuffix(".*")) for each in within)]
    for one in found:
        unused.pop(one, None)
    return bool(found)


def _check_rest(unused: Collection[str], found: Collection[str]) -> None:
    """Refuse names that leave out products which are not told apart here."""
    for name in unused:
        last = name.rstrip("*.").rpartition(".")[2]
        if (last in _OTHER_MIXERS and {"attention_in", "attention_out"} & set(found)) or (
            last == "indexer" and "attention_in" in found
        ):
            raise ValueError(f"quantization_config.exclude_modules: '{shown(name, 50)}' has no class of its own")
        if tensor_class(f"{last}.weight") in LINEAR:
            raise ValueError(f"quantization_config.exclude_modules: no module is '{shown(name, 50)}'")


def _cache_bits(config: Mapping[str, Any]) -> int | None:
    scheme = config.get("kv_cache_quant_algo") or config.get("kv_cache_scheme")
    if isinstance(scheme, Mapping):
        return int(allow("kv_cache_scheme.num_bits", scheme.get("num_bits"), (8, 4)))
    bits = {"None": None, "FP8": 8, "INT8": 8, "NVFP4": 4}
    return bits[allow("kv_cache_quant_algo", str(scheme), tuple(bits))]
