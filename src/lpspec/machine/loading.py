"""Find platforms and energy profiles by name or path, and change single values of a platform."""

import tomllib
from collections.abc import Mapping
from copy import deepcopy
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from os.path import abspath
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError, create_model

from lpspec.errors import LONGEST, InputError, listed, shown, unknown_name
from lpspec.machine.device_kinds import DEVICES, device_kind
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.text_files import read_text

_PLATFORMS = files("lpspec.machine") / "platforms"
_PROFILES = files("lpspec.machine") / "energy_profiles"
_T = TypeVar("_T", bound=BaseModel)


def platform_names() -> tuple[str, ...]:
    """Names of the platforms that the package ships."""
    return _names(_PLATFORMS)


def profile_names() -> tuple[str, ...]:
    """Names of the energy profiles that the package ships."""
    return _names(_PROFILES)


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
    data = _resolve("platform", name_or_path, _PLATFORMS, seen=())
    for key, value in (changes or {}).items():
        _change(data, key, value, where=f"platform '{shown(name_or_path, 60)}'")
    return _validated(_schema_of(data), data, f"platform '{shown(name_or_path, 60)}'")


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


def constant_keys(name_or_path: str) -> list[str]:
    """Dotted keys of the constants of a platform, as ``changes`` takes them.

    Raises:
        InputError: Unknown name or unreadable file.
    """
    return list(_places(_resolve("platform", name_or_path, _PLATFORMS, seen=())))


def load_profile(name_or_path: str) -> EnergyProfile:
    """Load an energy profile by name or from a TOML file.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    data = _resolve("energy profile", name_or_path, _PROFILES, seen=())
    return _validated(EnergyProfile, data, f"energy profile '{shown(name_or_path, 60)}'")


def load_described(model: type[_T], kind: str, name_or_path: str, folder: Traversable) -> _T:
    """Load a description of any kind by name from a folder of shipped ones, or from a TOML file.

    Args:
        model: The validated form.
        kind: What the description is of, for messages.
        name_or_path: A shipped name, or the path of a TOML file.
        folder: Where the shipped descriptions lie.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    return _validated(model, _resolve(kind, name_or_path, folder, seen=()), f"{kind} '{shown(name_or_path, 60)}'")


def shipped_names(folder: Traversable) -> tuple[str, ...]:
    """Names of the descriptions in a folder of the package."""
    return _names(folder)


def is_path(name_or_path: str) -> bool:
    """Whether a text means a file rather than a shipped name."""
    return "/" in name_or_path or name_or_path.endswith(".toml")


def _names(folder: Traversable) -> tuple[str, ...]:
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def _resolve(kind: str, name_or_path: str, folder: Traversable, seen: tuple[str, ...]) -> dict[str, Any]:
    """Read a description and lay it over the one that it extends."""
    if name_or_path in seen:
        raise InputError(f"{kind} '{name_or_path}' extends itself: {' -> '.join((*seen, name_or_path))}")
    data = dict(_parse(_read(kind, name_or_path, folder), f"{kind} '{shown(name_or_path, 60)}'"))
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise InputError(f"{kind} '{name_or_path}': extends must be a name in quotes")
    if is_path(base) and is_path(name_or_path):
        base = abspath(Path(name_or_path).parent / base)  # noqa: PTH100 - by its letters alone: nothing is read yet
    return _overlay(_resolve(kind, base, folder, (*seen, name_or_path)), data)


def _read(kind: str, name_or_path: str, folder: Traversable) -> str:
    if is_path(name_or_path):
        try:
            return read_text(Path(name_or_path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise InputError(f"cannot read {kind} file {name_or_path}: {reason}") from error
    if name_or_path not in _names(folder):
        raise unknown_name(kind, name_or_path, _names(folder))
    return (folder / f"{name_or_path}.toml").read_text(encoding="utf-8")


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return deepcopy(_tables(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error


@lru_cache(64)
def _tables(text: str) -> dict[str, Any]:
    """Tables of a TOML text, kept: many machines are made from the same few files, which take ms to read."""
    return tomllib.loads(text)


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Lay the tables of ``top`` over those of ``base``; a constant is replaced whole, source and all."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        is_section = isinstance(value, dict) and "value" not in value
        merged[key] = _overlay(below, value) if is_section and isinstance(below, dict) else value
    return merged


def _change(data: dict[str, Any], dotted: str, text: str, where: str) -> None:
    """Set one constant, keeping its place in the file and saying that it was changed."""
    places = _places(data)
    if dotted not in places:
        raise unknown_name(f"constant of {where}", dotted, places)
    table, key = places[dotted]
    is_constant = isinstance(table.get(key), dict)
    table[key] = {"value": text, "source": f"set by the user to {text}"} if is_constant else text


def _places(table: dict[str, Any], prefix: str = "") -> dict[str, tuple[dict[str, Any], str]]:
    """Dotted name of every constant, with the table and the key under which it lies."""
    places: dict[str, tuple[dict[str, Any], str]] = {}
    for key, value in table.items():
        if isinstance(value, dict) and "value" not in value:
            places |= _places(value, f"{prefix}{key}.")
        elif key not in ("name", "summary"):
            places[prefix + key] = (table, key)
    return places


def _validated(model: type[_T], data: dict[str, Any], where: str) -> _T:
    """Check the whole description and report the first errors at once, each with its path, and how many more."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_one_problem(model, e["type"], e["loc"], e["msg"]) for e in error.errors()]
        raise InputError(f"{where}: {listed(problems, LONGEST - len(where) - 2, '; ')}") from error


def _one_problem(model: type[BaseModel], kind: str, loc: tuple[int | str, ...], message: str) -> str:
    place = ".".join(map(str, loc))
    if kind == "extra_forbidden":
        message = _unknown_key(model, loc)
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _unknown_key(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """Say that the last part of ``loc`` is no key of its section, with the nearest one that is."""
    *sections, key = map(str, loc)
    for section in sections:
        model = _section_model(model.model_fields[section].annotation)
    prefix = "".join(f"{section}." for section in sections)
    near = get_close_matches(key.lower(), model.model_fields, n=1)
    hint = f"did you mean '{prefix}{near[0]}'? " if near else ""
    return f"is not a known key: {hint}known are {listed([prefix + name for name in model.model_fields], 70)}"


def _section_model(annotation: Any) -> type[BaseModel]:
    """The model of a section, optional or not."""
    models: list[type[BaseModel]] = [
        a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)
    ]
    return models[0]
