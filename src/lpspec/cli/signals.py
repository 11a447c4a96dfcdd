"""Signals that end the program end it in order: what is half written goes, and what is moved into place is moved whole.

Python raises KeyboardInterrupt for SIGINT alone; SIGTERM and SIGHUP would stop it where it stands.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # no SIGHUP on Windows
)

_held = 0
_waiting: list[int] = []


class Ended(BaseException):
    """A signal asks the program to end.

    Attributes:
        number: Which signal.
    """

    def __init__(self, number: int) -> None:
        """Keep the number."""
        super().__init__(signal.Signals(number).name)
        self.number = number


def catch_signals() -> None:
    """Raise an exception at each signal that ends the program; one that the caller has ignored stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _take)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals wait until the block is done."""
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if not _held and _waiting:
            number = _waiting[0]
            _waiting.clear()
            end_by(number)


def _take(number: int, _frame: FrameType | None) -> None:
    if _held:
        _waiting.append(number)
    else:
        end_by(number)


def end_by(number: int) -> NoReturn:
    """End as a signal ends the program.

    Raises:
        KeyboardInterrupt: It is SIGINT.
        Ended: It is another.
    """
    raise KeyboardInterrupt if number == signal.SIGINT else Ended(number)
