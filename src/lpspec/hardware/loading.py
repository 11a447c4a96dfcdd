"""Find platforms and energy profiles by name or path, and change single values of a platform."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lpspec.errors import InputError, unknown_name
from lpspec.hardware.energy_profile import EnergyProfile
from lpspec.hardware.platform_spec import PlatformSpec

_PLATFORMS = files("lpspec.hardware") / "platforms"
_PROFILES = files("lpspec.hardware") / "energy_profiles"
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
            A path there is relative to the file that says it.
        changes: Dotted key to text, such as ``{"pim.mac_interval": "10 ns"}``.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    data = _resolve("platform", name_or_path, _PLATFORMS, seen=())
    for key, value in (changes or {}).items():
        _change(data, key, value, where=f"platform '{name_or_path}'")
    return _validated(PlatformSpec, data, f"platform '{name_or_path}'")


def constant_keys(name_or_path: str) -> list[str]:
    """Dotted keys of the constants of a platform, as ``changes`` takes them.

    Raises:
        InputError: Unknown name or unreadable file.
    """
    return _dotted_keys(_resolve("platform", name_or_path, _PLATFORMS, seen=()))


def load_profile(name_or_path: str) -> EnergyProfile:
    """Load an energy profile by name or from a TOML file.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    data = _resolve("energy profile", name_or_path, _PROFILES, seen=())
    return _validated(EnergyProfile, data, f"energy profile '{name_or_path}'")


def is_path(name_or_path: str) -> bool:
    """Whether a text means a file rather than a shipped name."""
    return "/" in name_or_path or name_or_path.endswith(".toml")


def _names(folder: Traversable) -> tuple[str, ...]:
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def _resolve(kind: str, name_or_path: str, folder: Traversable, seen: tuple[str, ...]) -> dict[str, Any]:
    """Read a description and lay it over the one that it extends."""
    if name_or_path in seen:
        raise InputError(f"{kind} '{name_or_path}' extends itself: {' -> '.join((*seen, name_or_path))}")
    data = dict(_parse(_read(kind, name_or_path, folder), f"{kind} '{name_or_path}'"))
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise InputError(f"{kind} '{name_or_path}': extends must be a name in quotes")
    return _overlay(_resolve(kind, base, folder, (*seen, name_or_path)), data)


def _read(kind: str, name_or_path: str, folder: Traversable) -> str:
    if is_path(name_or_path):
        try:
            return Path(name_or_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise InputError(f"cannot read {kind} file {name_or_path}: {reason}") from error
    if name_or_path not in _names(folder):
        raise unknown_name(kind, name_or_path, _names(folder))
    return (folder / f"{name_or_path}.toml").read_text(encoding="utf-8")


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error


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
    *sections, key = dotted.split(".")
    table: Any = data
    known = _dotted_keys(data)
    if dotted not in known:
        raise unknown_name(f"constant of {where}", dotted, known)
    for section in sections:
        table = table[section]
    is_constant = isinstance(table.get(key), dict)
    table[key] = {"value": text, "source": f"set by the user to {text}"} if is_constant else text


def _dotted_keys(data: dict[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in data.items():
        if isinstance(value, dict) and "value" not in value:
            keys += _dotted_keys(value, f"{prefix}{key}.")
        elif key not in ("name", "summary"):
            keys.append(prefix + key)
    return keys


def _validated(model: type[_T], data: dict[str, Any], where: str) -> _T:
    """Check the whole description and report every error at once, each with its path."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_one_problem(e) for e in error.errors()]
        raise InputError(f"{where}: {'; '.join(problems)}") from error


def _one_problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "is not a known key"
    return f"{place}: {message}" if place else message
