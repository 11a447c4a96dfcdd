"""Platforms, dies, energy profiles and operating points by name or path, with single values changed."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, TypeAlias

from pydantic import BaseModel, create_model

from lpspec.errors import InputError, shown, unknown_name
from lpspec.machine.description_files import (
    DIES,
    OPERATING_POINTS,
    PLATFORMS,
    PROFILES,
    beside,
    names_of,
    own_tables,
    resolved,
)
from lpspec.machine.device_kinds import DEVICES, device_kind
from lpspec.machine.die import DieSpec
from lpspec.machine.die_tables import as_die, as_platform, derive
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.operating_points import OperatingPoints
from lpspec.machine.pim_die import pim_in_ns
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.tables import copied, overlay
from lpspec.machine.validation import validated, with_defaults

SET_BY_USER = "set by the user to"
"""How the source of a changed constant begins."""
DEFAULT_DIE = "lpddr5-6400-8gb"
"""The die of LP-Spec's package."""

_Places: TypeAlias = dict[str, tuple[dict[str, Any], str]]


def platform_names() -> tuple[str, ...]:
    """Names of the platforms that the package ships."""
    return names_of(PLATFORMS)


def profile_names() -> tuple[str, ...]:
    """Names of the energy profiles that the package ships."""
    return names_of(PROFILES)


def die_names() -> tuple[str, ...]:
    """Names of the dies that the package ships."""
    return names_of(DIES)


def load_platform(name_or_path: str, changes: Mapping[str, str] | None = None) -> PlatformSpec:
    """Load a platform by name or from a TOML file, with some values changed.

    Args:
        name_or_path: A shipped name, or the path of a TOML file (it holds a ``/`` or ends in ``.toml``).
            A file may say ``extends = "lp-spec"`` and give only its differences.
            A path there is relative to the folder of the file that says it.
        changes: Dotted key to text, such as ``{"pim.mac_interval": "10 ns"}``.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    changes = changes or {}
    if name_or_path in platform_names() and changes.get("memory.die", DEFAULT_DIE) in die_names():
        return _shipped_platform(name_or_path, tuple(changes.items()))
    return _platform(name_or_path, changes)


@lru_cache(64)
def _shipped_platform(name: str, changes: tuple[tuple[str, str], ...]) -> PlatformSpec:
    """One that comes with the package, kept: where workloads are explored, many points share a machine.

    Where machines are explored, most tables are those of the shipped one, which have been checked with it.
    """
    at = dict(changes)
    named = (("memory.die", at["memory.die"]),) if "memory.die" in at else ()
    if changes == named:
        return _platform(name, at)
    shipped, (schema, data, die, unchanged) = _shipped_platform(name, named), _template(name, at.get("memory.die"))
    where = f"platform '{name}'"
    changed = _changed(copied(data), die, at, where)
    same = {key for key, table in changed.items() if isinstance(table, dict) and table == unchanged.get(key)}
    if "memory" in same:
        changed = pim_in_ns(changed, changed["memory"])  # as long as this is a table
    else:
        same.discard("pim")  # whose times may be in CK
    known = {key: part for key in same if isinstance(part := getattr(shipped, key, None), BaseModel)}
    return validated(schema, {**changed, **known}, where)


@lru_cache(64)
def _template(
    name: str, die_name: str | None
) -> tuple[type[PlatformSpec], dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    """Schema and tables of a shipped platform, those of a die, and its own with what is derived from that."""
    where = f"platform '{name}'"
    data, die = _over_die(resolved(PLATFORMS, name), where, die_name)
    schema = _schema_of(data)
    data = with_defaults(schema, data)
    return schema, data, die, _changed(copied(data), die, {}, where)


def _platform(name_or_path: str, changes: Mapping[str, str]) -> PlatformSpec:
    where = f"platform '{shown(name_or_path, 60)}'"
    data, die = _over_die(resolved(PLATFORMS, name_or_path), where, changes.get("memory.die"))
    schema = _schema_of(data)
    if changes:
        data = with_defaults(schema, data)
    return validated(schema, _changed(data, die, changes, where), where, in_full=not changes)


def load_die(name_or_path: str = DEFAULT_DIE, changes: Mapping[str, str] | None = None) -> DieSpec:
    """Load a die by name or from a TOML file, with some values changed.

    Args:
        name_or_path: As for a platform; a file may say ``extends = "lpddr5-6400-8gb"`` and give only its differences.
        changes: Keys as a platform has them, such as ``{"memory.timing.nRCD": "16", "pim.alus": "1"}``.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    if "memory.die" in (changes or {}):
        raise InputError("memory.die is the die itself: name that one instead of changing it")
    tables, where = _die_tables(name_or_path), f"die '{shown(name_or_path, 60)}'"
    data = _changed(as_platform(tables), as_platform(copied(tables)), changes or {}, where)
    return validated(DieSpec, as_die(data, tables["summary"]), where)


def _schema_of(data: Mapping[str, Any]) -> type[PlatformSpec]:
    """The schema of a platform, with the tables of devices that are not the package's own."""
    tables = [name for name, table in data.items() if isinstance(table, dict) and name not in PlatformSpec.model_fields]
    added = tuple((name, device_kind(name).Spec) for name in tables if name in DEVICES)
    return _extended_schema(added) if added else PlatformSpec


@lru_cache(64)
def _extended_schema(added: tuple[tuple[str, Any], ...]) -> type[PlatformSpec]:
    fields: dict[str, Any] = {name: (spec | None, None) for name, spec in added}
    schema = create_model("PlatformSpec", __base__=PlatformSpec, **fields)
    schema.DEVICES = (*PlatformSpec.DEVICES, *fields)
    return schema


def constant_keys(name_or_path: str, die: str | None = None) -> list[str]:
    """Dotted keys of the constants of a platform, its die's among them, as ``changes`` takes them.

    Args:
        name_or_path: The platform.
        die: Another die than it names.

    Raises:
        InputError: Unknown name or unreadable file.
    """
    shipped = name_or_path in platform_names() and (die is None or die in die_names())
    return list((_shipped_keys if shipped else _constant_keys)(name_or_path, die))


def _constant_keys(name_or_path: str, die: str | None) -> tuple[str, ...]:
    data = resolved(PLATFORMS, name_or_path)
    over, _ = _over_die(data, f"platform '{shown(name_or_path, 60)}'", die)
    return tuple(_places(with_defaults(_schema_of(over), over)))


_shipped_keys = cache(_constant_keys)


def load_profile(name_or_path: str) -> EnergyProfile:
    """Load an energy profile by name or from a TOML file.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    return _shipped_profile(name_or_path) if name_or_path in profile_names() else _profile(name_or_path)


def _profile(name_or_path: str) -> EnergyProfile:
    data = resolved(PROFILES, name_or_path)
    return validated(EnergyProfile, data, f"energy profile '{shown(name_or_path, 60)}'")


_shipped_profile = cache(_profile)


def load_operating_points(name_or_path: str) -> OperatingPoints:
    """Load the clocks of a SoC and their voltages by name or from a TOML file.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    data = resolved(OPERATING_POINTS, name_or_path)
    return validated(OperatingPoints, data, f"operating points '{shown(name_or_path, 60)}'")


def unknown_constant(key: str, known: Iterable[str], where: str = "") -> InputError:
    """Build the error for a key that is none of the constants: it lists the nearest ones, or those of its section."""
    known, section = list(known), key.rpartition(".")[0] + "."
    spelt = {each.lower(): each for each in known}
    near = [spelt[each] for each in get_close_matches(key.lower(), spelt, n=5, cutoff=0.8)]
    return unknown_name(f"constant{where}", key, near or [each for each in known if each.startswith(section)] or known)


def _die_tables(name_or_path: str) -> dict[str, Any]:
    """What a die's file says, as it says it, once all of it is right."""
    tables = resolved(DIES, name_or_path)
    if name_or_path in die_names():
        _check_die(name_or_path)
        return tables
    where = f"die '{shown(name_or_path, 60)}'"
    said = own_tables(DIES, name_or_path)
    if "extends" in said:
        base = _die_tables(beside(said.pop("extends"), name_or_path))
        over = _changed(as_platform(overlay(copied(base), said)), as_platform(base), {}, where)
        tables = {**tables, **as_die(over, tables["summary"]), "name": tables["name"]}
    validated(DieSpec, tables, where)
    return tables


@cache
def _check_die(name: str) -> None:
    """Validate a shipped die, once."""
    validated(DieSpec, resolved(DIES, name), f"die '{name}'")


def _over_die(data: dict[str, Any], where: str, instead: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A platform laid over the die that it names, and that die, under the same keys.

    Args:
        data: The platform's tables.
        where: The platform, for messages.
        instead: Another die than it names.
    """
    memory = data.get("memory")
    if not isinstance(memory, dict):
        return data, None
    name = instead or memory.get("die")
    if not isinstance(name, str):
        raise InputError(f"{where}: memory.die must be a name in quotes, such as '{DEFAULT_DIE}', or a TOML file")
    die = as_platform(_die_tables(name))
    below = {key: table for key, table in die.items() if key in data}
    over = overlay(copied(below), data)
    over["memory"]["die"] = die["memory"]["die"]
    return over, die


def _changed(
    data: dict[str, Any], die: dict[str, Any] | None, changes: Mapping[str, str], where: str
) -> dict[str, Any]:
    """Make the changes, then derive what they change in turn in the timings of the die."""
    places = _places(data)
    for key, value in changes.items():
        if key != "memory.die":
            _change(places, key, value, where)
    if die is not None and all(isinstance(data["memory"][key], dict) for key in ("timing", "organisation")):
        derive(data["memory"], die["memory"])
    return data


def _change(places: _Places, dotted: str, text: str, where: str) -> None:
    """Set one constant, keeping its place in the file and saying that it was changed."""
    if dotted not in places:
        raise unknown_constant(dotted, places, f" of {where}")
    table, key = places[dotted]
    table[key] = {"value": text, "source": f"{SET_BY_USER} {text}"} if isinstance(table.get(key), dict) else text


def _places(table: dict[str, Any], prefix: str = "") -> _Places:
    """Dotted name of every constant, with the table and the key under which it lies."""
    places: _Places = {}
    for key, value in table.items():
        if isinstance(value, dict) and "value" not in value:
            places |= _places(value, f"{prefix}{key}.")
        elif key not in ("name", "summary"):
            places[prefix + key] = (table, key)
    return places
