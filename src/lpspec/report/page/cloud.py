"""Points for the script of a page: columns, short where values repeat."""

from collections.abc import Mapping, Sequence
from typing import Any

FEW = 256
"""Values of a column that are written once each, with an index for every point."""


def coded(values: Sequence[Any]) -> Any:
    """The values, or those that differ and where each stands, if that is shorter."""
    known: dict[str, int] = {}
    distinct: list[Any] = []
    places = []
    for value in values:
        key = repr(value)
        if key not in known:
            if len(known) == FEW:
                return list(values)
            known[key] = len(distinct)
            distinct.append(value)
        places.append(known[key])
    return list(values) if len(distinct) * 2 > len(values) else {"of": distinct, "at": places}


def shared_scenario(scenarios: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all scenarios say alike, and what differs: a path and the values at it.

    A change of a constant that a scenario does not make is None.
    """
    flat = [_flat(scenario) for scenario in scenarios]
    paths = list(dict.fromkeys(path for one in flat for path in one))
    base: dict[str, Any] = {}
    changed = []
    for path in paths:
        values = [one.get(path) for one in flat]
        if all(value == values[0] and type(value) is type(values[0]) for value in values):
            _put(base, path, values[0])
        else:
            changed.append({"path": list(path), "values": coded(values)})
    return base, changed


def _flat(scenario: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in scenario.items():
        path = (*prefix, name)
        found.update(_flat(value, path) if isinstance(value, Mapping) and value else {path: value})
    return found


def _put(base: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        base = base.setdefault(name, {})
    base[path[-1]] = value
