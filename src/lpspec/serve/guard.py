"""What a process that answers the page may open while it reads what a scenario names: the folder, and the program.

A platform file may extend another, a model's index may name shards, requests may name traces: whatever the way, the
interpreter says each file that it opens to a hook, which refuses those that lie elsewhere.
"""

import errno
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lpspec.compiled import PACKAGE, cache_folders

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LISTS = ("os.listdir", "os.scandir")
_NEVER = (
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
)
WHY = "outside the folder that lpspec serve was given"


class Guard:
    """Refuses files of no business here, while it is on.

    The hook of an interpreter cannot be taken out again, so a process has one guard.
    """

    def __init__(self, folder: Path) -> None:
        """Look from now on.

        Args:
            folder: Resolved.
        """
        program = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
        program |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
        self._reads = tuple({folder, PACKAGE.resolve(), *(Path(path).resolve() for path in program)})
        self._caches: tuple[Path, ...] = ()
        self._on = False
        sys.addaudithook(self._look)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Refuse within the block."""
        chosen = os.environ.get("NUMBA_CACHE_DIR")
        self._caches = tuple(Path(one).resolve() for one in (*cache_folders(), *([chosen] if chosen else ())))
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open" and not isinstance(arguments[0], int):
            self._check(arguments[0], writes=bool((arguments[2] or 0) & _WRITES))
        elif event in _LISTS and not isinstance(arguments[0], int):
            self._check(arguments[0] or ".", writes=False)
        elif event in _NEVER:
            if event == "os.remove" and self._lies_in(arguments[0], self._caches):
                return
            raise PermissionError(errno.EACCES, "lpspec serve does no such thing", event)

    def _check(self, path: Any, writes: bool) -> None:
        if not self._lies_in(path, self._caches if writes else (*self._reads, *self._caches)):
            raise PermissionError(errno.EACCES, WHY, os.fsdecode(path))

    def _lies_in(self, path: Any, folders: tuple[Path, ...]) -> bool:
        self._on = False  # to find what a path means opens nothing, but may list
        try:
            found = Path(os.fsdecode(path)).resolve()
            return any(found.is_relative_to(folder) for folder in folders)
        finally:
            self._on = True
