"""The one error that means "your input is wrong": a single line, shown as is, exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Bad input, said in one line: what is wrong, where, and what is allowed."""


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> InputError:
    """Build the error for a name that is not in a list, with the nearest match if there is one.

    Args:
        kind: What the name should have been, such as ``"platform"``.
        name: The name as the user gave it.
        allowed: Every name that would have been accepted.
    """
    names = sorted(allowed)
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return InputError(f"unknown {kind} '{name}': {hint}known are {', '.join(names)}")
