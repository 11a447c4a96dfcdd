"""Description files: those that the package ships, by name, and a user's by path, each laid over the one it extends."""

from functools import cache
from importlib.resources import files
from os.path import abspath
from pathlib import Path
from typing import Any, NamedTuple

from lpspec.errors import InputError, shown, unknown_name
from lpspec.machine.tables import copied, overlay, tables_of
from lpspec.text_files import read_text


class Shipped(NamedTuple):
    """The descriptions of one kind that come with the package.

    Attributes:
        kind: What messages call one.
        folder: Theirs, in ``lpspec.machine``.
    """

    kind: str
    folder: str


PLATFORMS = Shipped("platform", "platforms")
PROFILES = Shipped("energy profile", "energy_profiles")
DIES = Shipped("die", "dies")
OPERATING_POINTS = Shipped("operating points", "operating_points")


@cache
def names_of(shipped: Shipped) -> tuple[str, ...]:
    """Names of the descriptions of a kind, in alphabetical order."""
    folder = files("lpspec.machine") / shipped.folder
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def is_path(name_or_path: str) -> bool:
    """Whether a text means a file rather than a shipped name."""
    return "/" in name_or_path or name_or_path.endswith(".toml")


def resolved(shipped: Shipped, name_or_path: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a description and lay it over the one that it extends.

    Args:
        shipped: Its kind.
        name_or_path: A shipped name, or the path of a TOML file.
        seen: Those that extend it.

    Raises:
        InputError: Unknown name, unreadable file, no TOML, or a description that extends itself.
    """
    if name_or_path in seen:
        raise InputError(f"{shipped.kind} '{name_or_path}' extends itself: {' -> '.join((*seen, name_or_path))}")
    data = own_tables(shipped, name_or_path)
    if isinstance(memory := data.get("memory"), dict) and "die" in memory:
        data["memory"] = {**memory, "die": beside(memory["die"], name_or_path)}
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise InputError(f"{shipped.kind} '{name_or_path}': extends must be a name in quotes")
    return overlay(resolved(shipped, beside(base, name_or_path), (*seen, name_or_path)), data)


def own_tables(shipped: Shipped, name_or_path: str) -> dict[str, Any]:
    """What a file says itself, not laid over anything.

    Raises:
        InputError: Unknown name, unreadable file, or no TOML.
    """
    text = _text(shipped, name_or_path)
    try:
        return copied(tables_of(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shipped.kind} '{shown(name_or_path, 60)}' is not valid TOML: {error}") from error


def beside(name: Any, file: str) -> Any:
    """A path that a file says, from the folder of that file; a name as it is."""
    if not (isinstance(name, str) and is_path(name) and is_path(file)):
        return name
    return abspath(Path(file).parent / name)  # noqa: PTH100 - by its letters alone: nothing is read yet


def _text(shipped: Shipped, name_or_path: str) -> str:
    if is_path(name_or_path):
        try:
            return read_text(Path(name_or_path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise InputError(f"cannot read {shipped.kind} file {name_or_path}: {reason}") from error
    if name_or_path not in names_of(shipped):
        raise unknown_name(shipped.kind, name_or_path, names_of(shipped))
    return (files("lpspec.machine") / shipped.folder / f"{name_or_path}.toml").read_text(encoding="utf-8")
