"""The one folder whose files the page may use, and where it may write."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lpspec.errors import InputError, shown
from lpspec.plugins import FROM_FILE
from lpspec.scenario import Scenario
from lpspec.scenario.checking import is_path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}\.toml")
"""Of a file that the page may write."""

MOST_LISTED = 200
"""Files of the folder that are offered as platforms or models."""


def check_inside(scenario: Scenario, folder: Path) -> None:
    """Refuse a scenario that names a file outside the folder, or code.

    Args:
        scenario: Its relative paths start at the folder.
        folder: Resolved.

    Raises:
        InputError: It does.
    """
    for place, text in _texts(scenario.to_dict()):
        if FROM_FILE in text or text.endswith(".py"):
            raise InputError(f"{place}: '{shown(text, 60)}' is code, which lpspec serve does not run")
        for part in {text, text.rpartition(":")[2]}:
            if "\0" in part or not _resolved(folder / part).is_relative_to(folder):
                raise InputError(f"{place}: '{shown(text, 60)}' lies outside the folder that lpspec serve was given")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return Path("/")


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, place)


def from_folder(scenario: Scenario, folder: Path) -> Scenario:
    """A scenario of the command line with its paths as they are from the folder.

    Args:
        scenario: Its relative paths start at the current folder.
        folder: Resolved.

    Raises:
        InputError: One of its files lies outside.
    """

    def place(name: str) -> str:
        if not is_path(name):
            return name
        path = Path(name).resolve()
        if not path.is_relative_to(folder):
            raise InputError(
                f"scenario: '{shown(name, 60)}' lies outside '{shown(str(folder), 60)}': serve that folder"
            )
        return f"./{path.relative_to(folder).as_posix()}"

    return scenario.with_paths(place)


def platform_files(folder: Path) -> list[str]:
    """Names of files in the folder that may be platforms: those whose text says ``[npu]``, ``extends`` or the like.

    Raises:
        OSError: The folder cannot be read.
    """
    files = sorted(path for path in folder.glob("*.toml") if path.is_file() and not path.is_symlink())[:MOST_LISTED]
    return [path.name for path in files if _is_platform(path)]


def _is_platform(path: Path) -> bool:
    try:
        start = path.read_bytes()[:65_536].decode("utf-8-sig", "replace")
    except OSError:
        return False
    return re.search(r"^\s*(extends\s*=|allocator\s*=|\[(npu|memory|gpu)\])", start, re.MULTILINE) is not None


def save(scenario: Scenario, name: str, folder: Path) -> None:
    """Write a scenario into the folder, as a new file.

    Args:
        scenario: What the page shows.
        name: Of the file, which ends in .toml.
        folder: Where to.

    Raises:
        InputError: The name is none, is taken, or the file cannot be written; nothing is left behind.
    """
    if NAME.fullmatch(name) is None:
        raise InputError(
            f"'{shown(name, 60)}' is no file name: letters, digits, '_', '-' and '.', with .toml at the end"
        )
    path = folder / name
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except FileExistsError:
        raise InputError(f"'{name}' is there already: choose another name") from None
    except OSError as error:
        raise InputError(f"'{name}' cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(scenario.to_toml().encode())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"'{name}' cannot be written: {error.strerror}") from None
