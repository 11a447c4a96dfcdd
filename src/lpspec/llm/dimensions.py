"""Dimensions of a model that may be changed by name, as constants of a platform may: ``model.layers`` and the like."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lpspec.errors import InputError, shown, unknown_name
from lpspec.llm.model_spec import ModelSpec, validated_spec
from lpspec.llm.structure import PLAIN_NUMBERS

PREFIX = "model."
"""Begins the key of a dimension."""


class Dimension(NamedTuple):
    """A number of a model.

    Attributes:
        meaning: What it counts.
        most: The largest value that is taken: beyond all models of today, and far below what arithmetic takes.
    """

    meaning: str
    most: int


DIMENSIONS = {
    "layers": Dimension("Decoder layers, all alike.", 1024),
    "hidden_size": Dimension("Width of the residual stream.", 1 << 17),
    "heads": Dimension("Query heads per layer.", 1024),
    "kv_heads": Dimension("Key and value heads per layer; each serves as many query heads as the others.", 1024),
    "head_dim": Dimension("Width of one head.", 4096),
    "intermediate_size": Dimension("Width of the feed-forward layer.", 1 << 19),
    "vocab_size": Dimension("Rows of the embedding table and of the LM head.", 1 << 21),
}
"""By name; of models whose layers are not all Llama's, those that are no number of a layer alone."""

KEYS = tuple(PREFIX + name for name in DIMENSIONS)


def split_changes(changes: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Changes of dimensions by name, and the others, which are of machines."""
    own = {key.removeprefix(PREFIX): text for key, text in changes.items() if key.startswith(PREFIX)}
    return own, {key: text for key, text in changes.items() if not key.startswith(PREFIX)}


def check_dimensions(names: Iterable[str]) -> None:
    """Refuse names that are no dimensions.

    Raises:
        InputError: One is none.
    """
    for name in names:
        if name not in DIMENSIONS:
            raise unknown_name("dimension of a model", PREFIX + name, KEYS)


def dimensions_of(model: ModelSpec) -> dict[str, int]:
    """The dimensions of a model that can be changed, by name."""
    plain = _is_plain(model)
    return {name: getattr(model, name) for name in DIMENSIONS if plain or name not in PLAIN_NUMBERS}


def with_dimensions(model: ModelSpec, changes: Mapping[str, str]) -> ModelSpec:
    """The same model with other dimensions, which its name then says.

    Args:
        model: Any.
        changes: Texts by name of the dimension.

    Raises:
        InputError: One is none, is no whole number in its range, contradicts another, or is not one of this model's.
    """
    if not changes:
        return model
    check_dimensions(changes)
    numbers = {name: _number(name, text) for name, text in changes.items()}
    known = dimensions_of(model)
    if missing := [name for name in numbers if name not in known]:
        can = ", ".join(PREFIX + name for name in known)
        raise InputError(f"{PREFIX}{missing[0]}: the layers of {shown(model.name, 40)} are not Llama's: change {can}")
    said = ", ".join(f"{name} {number}" for name, number in numbers.items() if number != known[name])
    if not said:
        return model
    name = f"{model.name} ({said})"
    fields = dict(model) | {"name": name} | {key: n for key, n in numbers.items() if key not in PLAIN_NUMBERS}
    if layers := {key: n for key, n in numbers.items() if key in PLAIN_NUMBERS}:
        del fields["layer_groups"]
        fields |= {key: getattr(model, key) for key in PLAIN_NUMBERS} | layers
    return validated_spec(fields, f"model '{shown(model.name, 40)}'")


def _is_plain(model: ModelSpec) -> bool:
    """Whether its layers are what their numbers alone make of them."""
    try:
        return model.model_copy(update={"layers": model.layers}).layer_groups == model.layer_groups
    except InputError:
        return False


def _number(name: str, text: str) -> int:
    most = DIMENSIONS[name].most
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= most and len(text) < 9):
        raise InputError(f"{PREFIX}{name} = '{shown(text, 40)}': allowed is a whole number from 1 to {most}")
    return int(text)
