"""Parts by name: those of the package, those that a script adds, and those that installed packages offer."""

import functools
import runpy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib.metadata import EntryPoint, entry_points
from inspect import Signature, signature
from typing import Any, Generic, TypeVar

from lpspec.errors import InputError, shown, unknown_name

T = TypeVar("T")

FROM_FILE = ".py:"
"""In a name that is a Python file and what it defines: ``mine.py:MyPruner``."""


class Registry(MutableMapping[str, T], Generic[T]):
    """Parts of one kind by name. One line adds one: ``PRUNERS["mine"] = MyPruner``, or an entry point of its group.

    A part may be given as the text ``module:name``, as entry points are, and is imported when it is first asked for.

    Attributes:
        kind: What the parts are, for messages.
        group: Entry-point group under which installed packages offer further ones.
    """

    def __init__(self, kind: str, group: str, shipped: Mapping[str, T | str]) -> None:
        """Begin with the parts of the package."""
        self.kind, self.group = kind, group
        self._parts: dict[str, T | str] = dict(shipped)

    def load(self, name: str) -> T:
        """The part of that name.

        Raises:
            InputError: There is none, or it cannot be imported.
        """
        if FROM_FILE in name:
            return self._from_file(name)
        try:
            return self[name]
        except KeyError:
            raise unknown_name(self.kind, name, self) from None

    def _from_file(self, name: str) -> T:
        """A part that a Python file of the user's has: ``mine.py:MyPruner``."""
        path, _, attribute = name.rpartition(":")
        try:
            return _file_content(path)[attribute]  # type: ignore[no-any-return]
        except KeyError:
            raise InputError(f"{self.kind} '{shown(name, 60)}': {shown(path, 40)} has no '{attribute}'") from None
        except OSError as error:
            why = f"{error.filename or path} cannot be read: {error.strerror}"
            raise InputError(f"{self.kind} '{shown(name, 40)}': {why}") from error
        except Exception as error:  # whatever the file raises while it runs
            reason = shown(" ".join(f"{type(error).__name__}: {error}".split()), 80)
            raise InputError(f"{self.kind} '{shown(name, 60)}' cannot be loaded: {reason}") from error

    def __contains__(self, name: object) -> bool:
        """Whether there is such a part; one in a file is said to be there until it is asked for."""
        if name in self._parts or (isinstance(name, str) and FROM_FILE in name):
            return True  # installed packages are looked through for other names only, which takes a tenth of a second
        return name in list(self)

    def __getitem__(self, name: str) -> T:
        """The part of that name, imported if need be; raises InputError where that fails."""
        part = self._parts.get(name)
        if isinstance(part, str):
            part = load_plugin(self.kind, EntryPoint(name, part, self.group))
        if part is None:
            part = load_plugin(self.kind, entry_points(group=self.group)[name])
        return part

    def __setitem__(self, name: str, part: T) -> None:
        """Add a part, or replace one."""
        self._parts[name] = part

    def __delitem__(self, name: str) -> None:
        """Forget a part."""
        del self._parts[name]

    def __iter__(self) -> Iterator[str]:
        """Names: of the package and the script, then of installed packages."""
        return iter(dict.fromkeys([*self._parts, *entry_points(group=self.group).names]))

    def __len__(self) -> int:
        """How many names there are."""
        return len(list(iter(self)))


@functools.cache
def _file_content(path: str) -> dict[str, Any]:
    """What a Python file defines; it runs once in a process."""
    return runpy.run_path(path, run_name="lpspec_user_file")


def load_plugin(kind: str, offered: EntryPoint) -> Any:
    """What an installed package offers.

    Args:
        kind: What it is, for messages.
        offered: Its entry point.

    Raises:
        InputError: It cannot be imported.
    """
    try:
        return offered.load()
    except Exception as error:  # whatever the package raises while it is imported
        reason = shown(" ".join(f"{type(error).__name__}: {error}".split()), 80)
        raise InputError(f"{kind} '{offered.name}' ({offered.value}) cannot be loaded: {reason}") from error


def signature_of(part: Callable[..., Any]) -> Signature:
    """What a class or function takes; of a class it is found once."""
    return _of_class(part) if isinstance(part, type) else signature(part)


_of_class = functools.lru_cache(64)(signature)


def made(kind: str, name: str, part: Callable[..., T], *given: object, **known: object) -> T:
    """What a part makes of what it is given; errors of its own are its author's to see.

    Args:
        kind: What it is, for messages.
        name: Its name.
        part: A class or function.
        given: Its arguments.
        known: Those that it takes by name.

    Raises:
        InputError: It cannot be called with them.
    """
    try:
        signature_of(part).bind(*given, **known)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} '{shown(name, 60)}' cannot be made: {shown(str(error), 80)}") from None
    return part(*given, **known)
