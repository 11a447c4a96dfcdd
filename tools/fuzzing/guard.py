"""What an input must never bring about: code that is run, a file that is written, two seconds that pass."""

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import numba.core.event

import lpspec
from lpspec.errors import InputError

MOST_S = 2.0
"""CPU seconds of one input: the machine may be busy with other work."""

LONGEST = 200 - len("lpspec: ")

_NEVER = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class")
_NO_CHANGE = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_LOOPS = Path(lpspec.__file__).parent / "__pycache__"
"""Where compiled loops are kept."""

_OWN_CODE = ("<template>", "<frozen", "<unknown>")
"""What jinja2 makes of a template or of the place where one failed, and modules."""


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _writes(file: object, mode: object, flags: int) -> bool:
    """Whether a file is opened for writing; a number is of one that was seen when it was opened."""
    if isinstance(file, int):
        return False
    return bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(flags & _WRITING)


class TooSlowError(BaseException):
    """The time is over."""


class _Told(numba.core.event.Listener):
    """Calls a function whenever numba begins to compile or to load."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    def on_start(self, event: object) -> None:
        self.tell()

    def on_end(self, event: object) -> None:
        pass


@dataclass(frozen=True)
class Fault:
    """Something that an input brought about.

    Attributes:
        kind: What: the same for all inputs that do the same at the same place.
        detail: The line, or where it was raised.
    """

    kind: str
    detail: str


class Guard:
    """Watches this process while an input is read."""

    def __init__(self) -> None:
        """Begin to watch; a hook stays until the process ends, and is silent between inputs."""
        self.armed = False
        self.seen: list[str] = []
        self.slowest_s = 0.0
        self.may_write: Path | None = None
        self.loaded_loops = False
        events: Any = numba.core.event
        events.register("numba:compiler_lock", _Told(self._loops))
        sys.addaudithook(self._event)
        signal.signal(signal.SIGPROF, self._late)

    def _event(self, event: str, details: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in _NEVER or event.startswith(("socket.connect", "socket.bind", "webbrowser")):
            self.seen.append(f"{event} {details!r:.80}")
        elif event in _NO_CHANGE or (event == "open" and _writes(*details)):
            own = [str(folder) for folder in (_LOOPS, self.may_write) if folder is not None]
            if not str(details[0]).startswith(tuple(own)):
                self.seen.append(f"{event} {details!r:.80}")
        elif event == "exec" and isinstance(details[0], CodeType) and not self._is_own(details[0].co_filename):
            self.seen.append(f"exec of {details[0].co_filename}")

    @staticmethod
    def _is_own(file: str) -> bool:
        """Modules that are loaded when they are first needed, and what libraries make of templates and classes."""
        return file.endswith((".py", ".pyc")) or file.startswith(_OWN_CODE)

    def _loops(self) -> None:
        self.loaded_loops |= self.armed

    def _late(self, *_: object) -> None:
        if self.armed:
            raise TooSlowError

    def fault_of(self, read: Callable[[], object], may_write: Path | None = None) -> tuple[Fault | None, bool]:
        """Read one input; give what is wrong, and whether it was refused.

        An input that is the first to need a compiled loop has numba compile it, or load it by pickle from the package's
        own folder. It is read again, when the loop is there, and what it brings about then counts.

        Args:
            read: Reads it.
            may_write: A folder that it may write to, as a store does to its own.
        """
        fault, refused = self._read_once(read, may_write)
        for_loops = self.loaded_loops and all(event.startswith("pickle.find_class") for event in self.seen)
        if fault is not None and (for_loops or fault.kind.startswith("longer")):
            fault, refused = self._read_once(read, may_write)
        return fault, refused

    def _read_once(self, read: Callable[[], object], may_write: Path | None) -> tuple[Fault | None, bool]:
        self.seen, self.may_write, self.loaded_loops = [], may_write, False
        start_s = time.process_time()
        fault, refused = None, False
        try:
            self._read_armed(read)
        except InputError as error:
            refused = True
            fault = _bad_line(str(error))
        except TooSlowError as error:
            fault = Fault(f"longer than {MOST_S} s at {_place(error)}", "")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            fault = Fault(f"{type(error).__name__} at {_place(error)}", str(error)[:300])
        spent_s = time.process_time() - start_s
        self.slowest_s = max(self.slowest_s, spent_s)
        if fault is None and spent_s > MOST_S:  # what was raised meanwhile was caught by the reader
            fault = Fault(f"longer than {MOST_S} s in all", "")
        if self.seen:
            fault = Fault(f"did {self.seen[0].split()[0]}", self.seen[0])
        return fault, refused

    def _read_armed(self, read: Callable[[], object]) -> None:
        """Watch as long as it reads, and no longer: whoever looks at what it raised is not to be interrupted."""
        signal.setitimer(signal.ITIMER_PROF, MOST_S)
        try:
            self.armed = True
            read()
        finally:
            self.armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)


def _bad_line(text: str) -> Fault | None:
    for line in text.split("\n"):
        if len(line) > LONGEST or len(line.splitlines()) != 1:
            return Fault(f"a message of {len(line)} characters or several lines", line[:300])
        control = [letter for letter in line if ord(letter) < 32 or ord(letter) == 127]
        if control:
            return Fault(f"a message with control character {control[0]!r}", line[:300])
    return None


def _place(error: BaseException) -> str:
    """The innermost line of the package in a traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/lpspec/" in f.filename]
    return "?" if not frames else f"{frames[-1].filename.rpartition('/lpspec/')[2]}:{frames[-1].lineno}"


def strict_warnings() -> None:
    """Let every warning be a fault: a command would print it among its own lines."""
    warnings.simplefilter("error")
