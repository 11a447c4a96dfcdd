"""Descriptions as text: read from TOML and JSON, written to both, and told apart by a hash."""

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from lpspec.errors import InputError, shown
from lpspec.scenario.changes import Changes
from lpspec.scenario.checking import faults, is_path
from lpspec.scenario.option import groups_of, options_of
from lpspec.scenario.toml_text import toml_text
from lpspec.text_files import each_key_once, text_of


class Description:
    """Options with defaults, checked all at once; subclasses are frozen dataclasses with fields made by ``option``.

    Raises:
        InputError: A value is of another type than its option or not allowed; a line for each fault.
    """

    KIND = "description"
    """What it is called in messages."""

    def __post_init__(self) -> None:
        """Check every value, and keep lists and tables as what cannot change."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        if found := faults(type(self), own):
            raise _refusal(found, self.KIND)
        groups = groups_of(type(self))
        for name, value in own.items():
            if value is None or isinstance(value, str | int | float):
                continue
            if name in groups and isinstance(value, Mapping):
                object.__setattr__(self, name, groups[name](**value))
            elif isinstance(value, list | tuple):
                object.__setattr__(self, name, tuple(value))
            elif isinstance(value, Mapping):
                object.__setattr__(self, name, Changes(value))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Read plain data; what is left out has its default.

        Args:
            values: Values by name, those of a group in a mapping of their own.
            where: Begins what is said of faults; empty for the kind of description.

        Raises:
            InputError: An unknown key, or a value that is not allowed; a line for each fault.
        """
        values = dict(values)
        for option in options_of(cls):
            if option.is_table and isinstance(table := values.get(option.path), Mapping):
                values[option.path] = dict(_flat(table))
        try:
            return cls(**values)
        except (TypeError, InputError):
            if found := faults(cls, values):
                raise _refusal(found, cls.KIND, where) from None
            raise

    @classmethod
    def from_toml(cls, text: str, where: str = "") -> Self:
        """Read TOML text.

        Raises:
            InputError: It is no TOML, or as for ``from_dict``.
        """
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where or cls.KIND} is not valid TOML: {error}") from None
        return cls.from_dict(values, where)

    @classmethod
    def from_json(cls, text: str, where: str = "") -> Self:
        """Read JSON text: a description, or a result that says what it was made from.

        Raises:
            InputError: It is no JSON object, or as for ``from_dict``.
        """
        try:
            values = json.loads(text, object_pairs_hook=each_key_once)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where or cls.KIND} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise InputError(f"{where or cls.KIND} must hold a JSON object, not a {type(values).__name__}")
        origin = values.get("provenance")
        if isinstance(origin, dict) and isinstance(origin.get(cls.KIND), dict):
            values = origin[cls.KIND]
        return cls.from_dict(values, where)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file. Relative paths in it, which hold a ``/`` or end in .toml, .json or .npz, start at its folder.

        Args:
            path: A .toml file, or a .json file; that may be a result, which says what it was made from.

        Raises:
            InputError: It cannot be read, or as for ``from_toml`` and ``from_json``.
        """
        path, where = Path(path), f"{cls.KIND} file '{path}'"
        if path.suffix not in (".toml", ".json"):
            raise InputError(f"{where} must end in .toml or .json")
        text = text_of(path, where)
        read = cls.from_toml if path.suffix == ".toml" else cls.from_json
        return read(text, where).with_paths(lambda name: str(path.parent / name) if is_path(name) else name)

    def with_paths(self, place: Callable[[str], str]) -> Self:
        """The same with every text that may name a file replaced by what a function gives for it."""
        placed: dict[str, Any] = {}
        mine = self._by_path()
        for option in options_of(type(self)):
            value = mine[option.path]
            if not option.is_path or value is None or isinstance(value, int):
                continue
            there = place(value) if isinstance(value, str) else list(map(place, value))
            if there != value:
                placed[option.name] = there
        return self.replace(**placed) if placed else self

    def replace(self, **options: Any) -> Self:
        """The same with other values.

        Args:
            options: Values by name; an option of a group may be given by its own name, too.

        Raises:
            InputError: As for ``from_dict``.
        """
        values = self.to_dict()
        of_groups = {option.name: option.path for option in options_of(type(self)) if "." in option.path}
        for name, value in options.items():
            if name in of_groups:
                values[of_groups[name].partition(".")[0]][name] = value
            else:
                values[name] = value
        return self.from_dict(values)

    def only(self, names: Sequence[str], what: str, base: Self | None = None) -> Self:
        """The base with some options as they are here; others that are set are refused, rather than ignored.

        Args:
            names: Of the options that something takes.
            what: What it is, for messages.
            base: The values of all others; None for the defaults.

        Raises:
            InputError: Another option is neither as in the base nor left out; a line for each.
        """
        base = base or type(self)()
        mine, others = self._by_path(), base._by_path()
        found = [
            f"{option.path}: {what} takes no other value than {_shown(others[option.path])}, not {_shown(value)}"
            for option in options_of(type(self))
            if option.name not in names
            if (value := mine[option.path]) not in (others[option.path], _plain(option.default))
        ]
        if found:
            raise _refusal(found, self.KIND)
        taken = {option.name: mine[option.path] for option in options_of(type(self)) if option.name in names}
        return base.replace(**taken)

    def _by_path(self) -> dict[str, Any]:
        values = self.to_dict()
        groups = {name: values.pop(name) for name in groups_of(type(self))}
        return values | {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, every option with its value."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    def to_json(self) -> str:
        """JSON text, every option with its value."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def to_toml(self) -> str:
        """TOML text; options that have no value are left out."""
        return toml_text(self.to_dict())

    @property
    def key(self) -> str:
        """SHA-256, in hexadecimal, of every option with its value: the same in every process."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def _refusal(found: list[str], kind: str, where: str = "") -> InputError:
    """One line for one fault; for several a line that says how many, then a line each."""
    if len(found) == 1:
        return InputError(f"{where}: {found[0]}" if where else found[0])
    return InputError(f"{where or kind}: {len(found)} faults", *found)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of nested tables with dots between them, as TOML reads a dotted key without quotes."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}" if prefix else key, item


def _shown(value: Any) -> str:
    return "none" if value is None else shown(json.dumps(value, ensure_ascii=False), 60)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Description):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
