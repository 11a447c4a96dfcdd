"""One axis of a study: the values that an option or a constant takes."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lpspec.errors import InputError, unknown_name
from lpspec.scenario.option import Option

Value: TypeAlias = float | int | bool | str | tuple[str, ...] | None

MOST_VALUES = 1_000_000
"""On one axis; a longer one is a mistake."""

LARGEST_END = 1e15
"""Of a range; below it every whole number is one of floating point, too."""

_RANGE_KEYS = ("from", "to", "steps", "scale")
_WITH_UNIT = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Axis:
    """What one option of the scenario, or one constant of the machine, takes.

    Attributes:
        name: Path of the option, such as ``workload.prompt_tokens``, or key of the constant, such as ``pim.alus``.
        values: In the order of the file, each once.
    """

    name: str
    values: tuple[Value, ...]


def read_axis(name: str, given: Any, option: Option | None, where: str) -> Axis:
    """An axis from a list of values, or from {from, to, steps} and a scale.

    Args:
        name: What it is of.
        given: The list or table.
        option: Of the scenario; None for a constant of the machine.
        where: Begins what is said of any fault.

    Raises:
        InputError: Neither a list nor such a table, or a value that no axis has.
    """
    if isinstance(given, Mapping):
        values = _steps(given, option is not None and option.kind is int, where)
    elif isinstance(given, list) and given:
        values = given
    else:
        raise InputError(f"{where} must be a list of values, or a table such as {{ from = 2, to = 12, steps = 6 }}")
    if len(values) > MOST_VALUES:
        raise InputError(f"{where} has {len(values)} values: at most {MOST_VALUES} are possible")
    return Axis(name, tuple(dict.fromkeys(_checked(value, option, where) for value in values)))


def _checked(value: Any, option: Option | None, where: str) -> Value:
    if option is not None and option.is_list:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    elif type(value) in (int, float, bool, str) and not (isinstance(value, float) and not math.isfinite(value)):
        return value  # type: ignore[no-any-return]
    raise InputError(f"{where}: {str(value)[:40]!r} is no value: allowed are numbers, texts, true and false")


def _steps(given: Mapping[str, Any], whole: bool, where: str) -> Sequence[Value]:
    """Values from one end to the other; of ends that are whole numbers, whole numbers."""
    for key in given:
        if key not in _RANGE_KEYS:
            raise InputError(f"{where}: {unknown_name('key', key, _RANGE_KEYS)}")
    (first, unit), (last, other) = (_number(given.get(end), where) for end in ("from", "to"))
    if max(abs(first), abs(last)) > LARGEST_END:
        raise InputError(f"{where}: from and to must be at most {LARGEST_END:g}")
    steps, scale = given.get("steps", 2), given.get("scale", "linear")
    if type(steps) is not int or not 2 <= steps <= MOST_VALUES:
        raise InputError(f"{where}: steps must be a whole number, 2 to {MOST_VALUES}")
    if scale not in ("linear", "log"):
        raise InputError(f"{where}: {unknown_name('scale', str(scale), ('linear', 'log'))}")
    if unit != other:
        raise InputError(f"{where}: from and to must have one unit, not '{unit}' and '{other}'")
    if scale == "log" and not (first > 0 and last > 0):
        raise InputError(f"{where}: a log scale needs from and to above 0")
    numbers = (np.geomspace if scale == "log" else np.linspace)(first, last, steps).tolist()
    numbers[0], numbers[-1] = first, last
    if whole or (isinstance(first, int) and isinstance(last, int)):
        numbers = [round(number) for number in numbers]
    return [f"{number:.12g} {unit}" for number in numbers] if unit else numbers


def _number(written: Any, where: str) -> tuple[float | int, str]:
    if type(written) is int or (isinstance(written, float) and math.isfinite(written)):
        return written, ""
    match = _WITH_UNIT.fullmatch(written) if isinstance(written, str) else None
    try:
        if match is None:
            raise ValueError
        return (int(match[1]) if match[1].isdecimal() else float(match[1])), match[2]
    except ValueError:
        raise InputError(f'{where}: from and to must be numbers, such as 2 or "6400 Mbps"') from None
