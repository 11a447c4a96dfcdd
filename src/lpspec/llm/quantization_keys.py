"""Checks of the keys of a ``quantization_config``: what is not known and says something is refused by name."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lpspec.errors import shown
from lpspec.llm.formats import LINEAR
from lpspec.llm.stored_tensors import TensorClass, is_outside, tensor_class

_WHOLE_CLASSES = {
    "attention_in": ({"q_proj", "k_proj", "v_proj"}, {"qkv_proj"}),
    "attention_out": ({"o_proj"},),
    "ffn_up": ({"gate_proj", "up_proj"}, {"gate_up_proj"}),
    "ffn_down": ({"down_proj"},),
    "expert": ({"experts"},),
}
"""Names of modules that make up a class: all of one set must be named."""

_PARTS = {
    **{name: {"q_proj", "k_proj", "v_proj", "o_proj"} for name in ("self_attn", "attn", "attention")},
    **{name: {"gate_proj", "up_proj", "down_proj", "experts"} for name in ("mlp", "feed_forward")},
    "experts": {"experts"},
}
"""Modules that hold several products."""


def allow(key: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """The value, if it is one of these, type included.

    Raises:
        ValueError: It is not.
    """
    if type(value) is not type(allowed[0]) or value not in allowed:
        said_allowed = ", ".join(map(str, allowed))
        raise ValueError(f"quantization_config.{key} = {said(value)} is not known: allowed is {said_allowed}")
    return value


def check_keys(config: Mapping[str, Any], known: Collection[str], at: str = "") -> None:
    """Refuse what is not known and says something.

    Raises:
        ValueError: A key is not known, and its value is neither null, false, 0 nor empty.
    """
    for key, value in config.items():
        if key not in known and value:
            raise ValueError(f"quantization_config.{at}{shown(key, 30)} is not known, and may change what is stored")


def kept_classes(key: str, modules: object) -> set[str]:
    """Classes of the layers' products that stay as they were, from the names of modules that do.

    Raises:
        ValueError: The names make up no whole classes: a model of several precisions within a class.
    """
    names = modules if isinstance(modules, list) else [modules] if modules else []
    leaves: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"quantization_config.{key} names {said(name)}: names of modules are needed")
        leaves |= _leaves(name.removesuffix("."))
    kept = {kind for kind, wholes in _WHOLE_CLASSES.items() if any(whole <= leaves for whole in wholes)}
    for leaf in leaves:
        kind = "expert" if leaf == "experts" else tensor_class(f"{leaf}.weight")
        if kind in LINEAR and kind not in kept:
            raise ValueError(
                f"quantization_config.{key} names {said(leaf)}: layers of several precisions are not known"
            )
    return kept


def _leaves(name: str) -> set[str]:
    """What a name covers, as a part of modules' names: a whole attention or network, or one product of all layers."""
    last = name.rpartition(".")[2]
    parts = _PARTS.get(last, {last})
    if is_outside(name):
        return set()
    if any(part.isdecimal() for part in name.split(".")):
        if last not in _PARTS and tensor_class(f"{name}.weight") not in LINEAR:
            return set()  # such as the router of one layer
        raise ValueError(f"quantization_config names '{shown(name, 50)}': layers of several precisions are not known")
    return set(parts)


def group_size(value: object) -> int:
    """Weights of a group from a checkpoint's ``group_size``, where -1 is a whole row: that is 0 here.

    Raises:
        ValueError: It is neither -1 nor 1 and more.
    """
    if type(value) is not int or (value < 1 and value != -1):
        raise ValueError(f"quantization_config.group_size = {said(value)}: allowed is -1, or 1 and more")
    return max(value, 0)


def said(value: object) -> str:
    """A value as a message shows it."""
    return shown(repr(value), 30)


def without(classes: Iterable[str]) -> tuple[TensorClass, ...]:
    """Classes of the layers' products but these."""
    left_out = set(classes)
    return tuple(name for name in LINEAR if name not in left_out)
