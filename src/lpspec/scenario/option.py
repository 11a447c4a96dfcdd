"""One description of each option: its default, what it means, and what is allowed.

The command line takes its help from here, the Python API its signatures and texts, and every reader its checks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints


def option(
    default: Any,
    help: str,  # noqa: A002 - what cyclopts, too, calls it
    *,
    choices: tuple[str, ...] = (),
    least: int | None = None,
    flag: str = "",
    is_path: bool = False,
) -> Any:
    """A field of a description.

    Args:
        default: Its value where nothing is said, or the class that makes one.
        help: What it means, for people.
        choices: The only texts that are allowed; none for any.
        least: The least number that is allowed.
        flag: What the command line calls it, where that is not its name.
        is_path: Whether it may name a file.
    """
    metadata = {"help": help, "choices": choices, "least": least, "flag": flag, "is_path": is_path}
    return field(metadata=metadata, **{"default_factory" if isinstance(default, type) else "default": default})


def same_option(description: type, name: str, **differences: Any) -> Any:
    """A field as another description has it.

    Args:
        description: Which.
        name: Of the option.
        differences: Arguments of ``option`` that differ.
    """
    like = next(f for f in fields(description) if f.name == name)
    default = like.default if like.default_factory is MISSING else like.default_factory
    return option(default, **{**like.metadata, **differences})


@dataclass(frozen=True)
class Option:
    """One option of a description.

    Attributes:
        path: Dotted place in the description, such as ``workload.prompt_tokens``.
        kind: Its type, without None.
        may_be_none: Whether None is allowed.
        default: Its value where nothing is said.
        help: What it means, for people.
        choices: The only texts that are allowed; none for any.
        least: The least number that is allowed.
        flag: What the command line calls it, without hyphens; empty where that is its name.
        is_path: Whether it may name a file.
        or_text: Whether a text may stand in place of a number.
    """

    path: str
    kind: Any
    may_be_none: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    least: int | None
    flag: str
    is_path: bool
    or_text: bool = False

    @property
    def hint(self) -> Any:
        """Its type as an annotation."""
        kind = self.kind | str if self.or_text else self.kind
        return kind | None if self.may_be_none else kind

    @cached_property
    def is_table(self) -> bool:
        """Whether its value is a table of texts."""
        return isinstance(origin := get_origin(self.kind), type) and issubclass(origin, Mapping)

    @cached_property
    def is_list(self) -> bool:
        """Whether its value is a list of texts."""
        return get_origin(self.kind) is tuple

    @cached_property
    def name(self) -> str:
        """The last part of its path, which no other option of the description has."""
        return self.path.rpartition(".")[2]


def options_of(description: type) -> tuple[Option, ...]:
    """Every option of a description, those of its groups among them, in order."""
    return _all_options(description)


def groups_of(description: type) -> dict[str, type]:
    """Groups of options: fields that are descriptions themselves."""
    return _all_groups(description)


@cache
def _all_options(description: type) -> tuple[Option, ...]:
    return tuple(_options(description, ""))


@cache
def _all_groups(description: type) -> dict[str, type]:
    hints = get_type_hints(description)
    return {f.name: hints[f.name] for f in fields(description) if is_dataclass(hints[f.name])}


def _options(description: type, prefix: str) -> Iterator[Option]:
    hints = get_type_hints(description)
    for f in fields(description):
        if f.name in groups_of(description):
            yield from _options(hints[f.name], f"{prefix}{f.name}.")
            continue
        kinds = [kind for kind in get_args(hints[f.name]) if kind is not NoneType]
        may_be_none = NoneType in get_args(hints[f.name])
        kind = kinds[0] if may_be_none else hints[f.name]
        default = f.default if f.default_factory is MISSING else f.default_factory()
        yield Option(prefix + f.name, kind, may_be_none, default, **f.metadata, or_text=kind is int and str in kinds)
