"""Options that commands share, and the checks that the parser cannot do."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter, Token

from lpspec.errors import InputError, unknown_name

_Choice = TypeVar("_Choice", bound=str)

LARGEST = 10**9
"""Beyond every context length; keeps counts of tokens in machine integers."""


def whole_number(_type: Any, tokens: Sequence[Token]) -> int:
    """Read an int; 1.5 is refused, not rounded."""
    text = tokens[0].value
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f'"{text}" is no whole number') from None
    if abs(number) > LARGEST:
        raise ValueError(f"at most {LARGEST} is possible")
    return number


WholeNumber = Annotated[int, Parameter(allow_leading_hyphen=True, converter=whole_number)]
JsonFile = Annotated[str | None, Parameter(name="--json")]
FigureFile = Annotated[str | None, Parameter(name="--figure")]
Names = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
Changes = Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)]


def one_of(option: str, text: str, allowed: Sequence[_Choice]) -> _Choice:
    """The choice that a text names.

    Raises:
        InputError: It names none of those allowed.
    """
    for choice in allowed:
        if choice == text:
            return choice
    raise unknown_name(f"value of {option}", text, allowed)


def rank_numbers(option: str, text: str | None) -> tuple[int, ...]:
    """Ranks from a list such as 0,1,2; none when the option was not given.

    Raises:
        InputError: Something in the list is no rank.
    """
    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if not all(part.isascii() and part.isdecimal() and len(part) < 3 for part in parts):
        raise InputError(f"{option} {text} must be ranks with commas between them, such as 0,1,2")
    return tuple(map(int, parts))


def split_names(option: str, texts: Iterable[str]) -> list[str] | None:
    """Names from the comma-separated lists of an option; None when it was not given.

    Raises:
        InputError: A list with nothing between its commas.
    """
    texts = list(texts)
    names = [name.strip() for text in texts for name in text.split(",")]
    if not all(names):
        raise InputError(f"{option} {','.join(texts)} has an empty name: write names with commas between them")
    return names or None


def parse_changes(texts: Iterable[str]) -> dict[str, str]:
    """Constants to change, from KEY=VALUE texts.

    Raises:
        InputError: A text without key or value, or a key given twice.
    """
    changes: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise InputError(f"--set {text} must be KEY=VALUE, such as --set pim.mac_interval='10 ns'")
        if key in changes:
            raise InputError(f"--set {key} is given twice")
        changes[key] = value
    return changes
