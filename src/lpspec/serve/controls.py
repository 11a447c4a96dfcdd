"""What can be moved on the page, read from the schema: options of a scenario, and constants of a machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from math import ceil, floor
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from lpspec.allocation.allocator import ALLOCATORS
from lpspec.experiments.setting import model_of
from lpspec.experiments.systems import KNOWN_SYSTEMS, platform_of, system_constants
from lpspec.llm.dimensions import DIMENSIONS, PREFIX, dimensions_of, split_changes
from lpspec.llm.formats import NAMED
from lpspec.llm.loading import model_names
from lpspec.machine.loading import die_names, profile_names
from lpspec.machine.quantity import Count, Described, Quantity, Size
from lpspec.scenario import Scenario
from lpspec.scenario.checking import LARGEST
from lpspec.scenario.option import Option, options_of
from lpspec.serve.folder import platform_files
from lpspec.simulation.workload import PRUNERS
from lpspec.speculation.medusa_trees import tree_names
from lpspec.speculation.rank_trace import trace_names

HIDDEN = ("systems", "changes", "fidelity", "exact", "workload.requests", "workload.batch")
"""Options with controls of their own, what the page shows both of, and requests that are served, which it does not."""

SPAN = 16
"""How far a slider goes up and down from where it stands first, as a factor, where the schema allows as much."""

OF_WORKLOAD = ("model", "weights")
"""Options that stand beside those of the workload and the model's dimensions."""

LOGARITHMIC = 20
"""A slider whose ends lie further apart than this factor moves by factors."""

Lister = Callable[[], Iterable[str]]

NAMES: dict[str, Lister] = {
    "model": model_names,
    "trace": trace_names,
    "energy_profile": profile_names,
    "weights": lambda: ("4", "8", "16", "4g128", *NAMED),
    "tree": lambda: ("dtp", *(name for name in PRUNERS if name != "dtp"), *tree_names()),
}
"""Names that an option of free text knows."""

CONSTANT_NAMES: dict[str, Lister] = {"memory.die": die_names, "allocator": lambda: tuple(ALLOCATORS)}
"""The same of constants."""

FOLDED = ("memory.organisation", "memory.timing", "memory.mode")
"""Tables of constants that are shown when asked for."""


def controls_of(scenario: Scenario, machine: str) -> dict[str, Any]:
    """Every control as plain data.

    Args:
        scenario: Whose values they have.
        machine: The system whose constants are shown.

    Raises:
        InputError: There is no such system or model, or its file cannot be used.
    """
    files = platform_files(Path.cwd())
    return {
        "options": [_option(one, scenario) for one in options_of(Scenario) if one.path not in HIDDEN],
        "systems": [{"name": name, "help": known.summary} for name, known in KNOWN_SYSTEMS.items()]
        + [{"name": name, "help": "platform file of the folder"} for name in files],
        "model": list(_dimensions(scenario)),
        "machine": machine,
        "tables": list(_tables(machine, scenario.changes)),
    }


def _option(option: Option, scenario: Scenario) -> dict[str, Any]:
    value = reduce(getattr, option.path.split("."), scenario)
    about = {"path": option.path, "label": option.name.replace("_", " "), "help": option.help, "value": value}
    about["default"] = option.default
    about["of_workload"] = option.path in OF_WORKLOAD or option.path.startswith("workload.")
    if option.kind is bool:
        return {**about, "kind": "flag"}
    if option.choices:
        return {**about, "kind": "choice", "choices": list(option.choices)}
    if option.kind is int and not option.or_text:
        low = option.least or 0
        ends = _ends(float(option.default), low, LARGEST, whole=True) if option.default else {}
        return {**about, "kind": "number", "unit": "", "whole": True, "least": low, **ends}
    return {**about, "kind": "text", "names": list(NAMES[option.path]()) if option.path in NAMES else []}


def _dimensions(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """A model's dimensions, those that change with their new value."""
    dimensions, machines = split_changes(scenario.changes)
    plain = dimensions_of(model_of(scenario.replace(changes=machines)))
    changed = dimensions_of(model_of(scenario)) if dimensions else plain
    for name, default in plain.items():
        about = {"path": PREFIX + name, "label": name.replace("_", " "), "help": DIMENSIONS[name].meaning}
        ends = _ends(float(default), 1, DIMENSIONS[name].most, whole=True)
        number = {"kind": "number", "unit": "", "whole": True, "least": 1, **ends}
        yield {**about, **number, "value": changed[name], "default": default}


def _tables(machine: str, changes: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Constants of a machine by table, those that change with their new value."""
    keys = system_constants(machine)
    plain = platform_of(machine, {})
    changed = platform_of(machine, {key: text for key, text in changes.items() if key in keys})
    by_table: dict[str, list[dict[str, Any]]] = {}
    for key in keys:
        control = _constant(changed, key)
        if control is not None:
            default = _constant(plain, key)
            control["default"] = None if default is None else default["value"]
            by_table.setdefault(key.rpartition(".")[0], []).append(control)
    for name in sorted(by_table, key=lambda name: name in FOLDED):
        yield {"name": name, "folded": name in FOLDED, "controls": by_table[name]}


def _constant(platform: BaseModel, key: str) -> dict[str, Any] | None:
    """The control of a constant; None for what is no number and has no list of names."""
    *tables, name = key.split(".")
    holder = reduce(getattr, tables, platform)
    field, value = type(holder).model_fields[name], getattr(holder, name)
    about = {"path": key, "label": name, "help": field.description or ""}
    if isinstance(value, Quantity):
        return {**about, "kind": "number", "source": value.source, **_number(value, holder, name)}
    choices = tuple(CONSTANT_NAMES[key]()) if key in CONSTANT_NAMES else _literals(field.annotation)
    if len(choices) < 2:
        return None
    return {**about, "kind": "choice", "choices": list(choices), "value": value}


def _literals(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _number(quantity: Quantity, holder: BaseModel, name: str) -> dict[str, Any]:
    """Value, unit and ends of a slider; sizes in the unit that people read them in."""
    unit = quantity.text().rpartition(" ")[2] if isinstance(quantity, Size) else quantity.UNIT
    scale = quantity.SCALES[unit]
    ranges: Mapping[str, tuple[float, float]] = holder.RANGES if isinstance(holder, Described) else {}
    low, high = ranges.get(name, ranges.get("*", (quantity.MINIMUM, quantity.MAXIMUM)))
    within = max(low, quantity.MINIMUM) / scale, min(high, quantity.MAXIMUM) / scale
    value, whole = quantity.value / scale, isinstance(quantity, Count | Size)
    return {"value": _plain(value), "unit": unit, "whole": whole, **_ends(value, *within, whole)}


def _ends(value: float, low: float, high: float, whole: bool) -> dict[str, Any]:
    start, end = max(low, value / SPAN), min(high, value * SPAN or SPAN)
    if whole:
        start, end = ceil(start), floor(end)
    return {"from": _plain(start), "to": _plain(end), "logarithmic": start > 0 and end / start > LOGARITHMIC}


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
