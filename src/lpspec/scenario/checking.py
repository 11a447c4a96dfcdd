"""What is wrong with the values of a description: every fault, each with its path."""

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from lpspec.errors import listed, shown, unknown_name
from lpspec.scenario.changes import says_a_value
from lpspec.scenario.option import Option, groups_of, options_of

LARGEST = 10**9
"""Beyond every context length; keeps counts of tokens in machine integers."""

SHOWN_DIGITS = 40
"""Of a number in a message; Python writes out no number of more than 4,300."""

FILE_SUFFIXES = (".toml", ".json", ".jsonl", ".csv", ".npz")
"""Of files that an option may name."""

DRAWN = "poisson:"
"""How requests that are drawn at random begin, which are no file however they go on."""


def is_path(text: str) -> bool:
    """Whether a text names a file rather than something that has a name."""
    if text.startswith(DRAWN):
        return False
    return "/" in text or os.sep in text or text.endswith(FILE_SUFFIXES)


def faults(description: type, values: Mapping[str, Any]) -> list[str]:
    """Say all that is wrong with nested values; what is missing has its default.

    Args:
        description: The dataclass whose options they are.
        values: Values by name, those of a group in a mapping of their own or as the group itself.
    """
    return list(_faults(values, "", _known(description), groups_of(description)))


@cache
def _known(description: type) -> dict[str, Option]:
    """Options by their paths."""
    return {option.path: option for option in options_of(description)}


def _faults(
    values: Mapping[str, Any], prefix: str, known: Mapping[str, Option], groups: Mapping[str, type]
) -> Iterator[str]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if path in known:
            yield from _value_faults(known[path], value)
        elif path not in groups:
            yield f"{path}: {unknown_key(str(name), known)}"
        elif isinstance(value, Mapping):
            yield from _faults(value, f"{path}.", known, groups)
        elif not isinstance(value, groups[path]):
            yield f"{path}: must be a table, not {_said(value)}"


def unknown_key(name: str, known: Mapping[str, Option]) -> str:
    """Say that a name is no key, with the nearest that is, wherever it lies."""
    by_name = {option.name: path for path, option in known.items()} | {path: path for path in known}
    near = get_close_matches(name.lower(), by_name, n=1)
    hint = f"did you mean '{by_name[near[0]]}'? " if near else ""
    return f"is no known key: {hint}known are {listed(list(known), 100)}"


def _value_faults(option: Option, value: Any) -> Iterator[str]:
    """Say all that is wrong with the value of one option, each with its path."""
    if value is None and option.may_be_none:
        return
    if option.is_list:
        yield from _list_faults(option, value)
    elif option.is_table:
        yield from _table_faults(option.path, value)
    elif option.kind in (int, float, bool) and not (option.or_text and isinstance(value, str)):
        yield from _scalar_faults(option, value)
    else:
        yield from _text_faults(option, value)


def _scalar_faults(option: Option, value: Any) -> Iterator[str]:
    if type(value) is not option.kind and not (option.kind is float and type(value) is int):
        expected = {int: "a whole number" + " or a text" * option.or_text, float: "a number", bool: "true or false"}[
            option.kind
        ]
        yield f"{option.path}: must be {expected}, not {_said(value)}"
    elif option.kind is int and option.least is not None and value < option.least:
        yield f"{option.path}: must be at least {option.least}, not {_said(value)}"
    elif option.kind is int and value > LARGEST:
        yield f"{option.path}: must be at most {LARGEST}, not {_said(value)}"


def _text_faults(option: Option, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{option.path}: must be a text, not {_said(value)}"
    elif option.choices and value not in option.choices:
        yield f"{option.path}: {unknown_name('value', value, option.choices)}"


def _list_faults(option: Option, value: Any) -> Iterator[str]:
    path = option.path
    if isinstance(value, str) or not isinstance(value, Sequence):
        yield f'{path}: must be a list of names, such as ["npu-spec", "lp-spec"], not {_said(value)}'
        return
    if not value and option.default != ():
        yield f"{path}: is empty: name one at least, or leave it out"
    for place, item in enumerate(value):
        if not isinstance(item, str):
            yield f"{path}[{place}]: must be a text, not {_said(item)}"
        elif option.is_path and not item.strip():
            yield f"{path}[{place}]: is an empty name"
        elif option.is_path and "," in item and not is_path(item):
            yield f'{path}[{place}]: each name is a text of its own, such as ["npu-spec", "lp-spec"], not {_said(item)}'


def _table_faults(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f'{path}: must be a table such as {{"pim.mac_interval" = "10 ns"}}, not {_said(value)}'
        return
    for key, item in value.items():
        if not (isinstance(key, str) and key.strip()):
            yield f"{path}: {_said(key)} is the name of no constant"
        elif not says_a_value(item):
            yield f'{path}.{key}: must be a text or a number, such as "10 ns" or 4, not {_said(item)}'


def _said(value: Any) -> str:
    """A value as a message shows it."""
    if isinstance(value, str):
        return f"the text '{shown(value, 40)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**SHOWN_DIGITS:
        return f"a number of more than {SHOWN_DIGITS} digits"
    return shown(repr(value), SHOWN_DIGITS)
