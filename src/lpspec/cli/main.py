"""The entry point: run one command, and say any bad input in one line."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from lpspec.cli.asked import ASKED
from lpspec.cli.overview import overview
from lpspec.cli.signals import Ended, catch_signals
from lpspec.errors import InputError, printable, shown

BROKEN_PIPE, BAD_INPUT, SIGNALLED, INTERRUPTED = 1, 2, 128, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``lpspec`` and exit: 0 when done, 1 when a check finds fault, 2 for bad input, 128 + n at signal n.

    Args:
        argv: Arguments after the program's name; None for the process's own.
    """
    catch_signals()
    warnings.showwarning = lambda message, *_where, **_line: _complain(f"note: {message}")
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows "?", not a traceback
    ASKED.set(tuple(argv))
    try:
        code = _answer(argv)
        sys.stdout.flush()
    except InputError as error:
        return _refuse(*str(error).splitlines())
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except Ended as ended:
        _complain(f"ended by {ended}")
        return SIGNALLED + ended.number
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        _silence_stdout()
        return _refuse(f"{error.filename or 'output'}: {error.strerror or error}")
    return code


def _answer(argv: Sequence[str]) -> int:
    """Show the overview at once; what takes a command line apart is loaded for commands alone."""
    if set(argv) <= {"--help", "-h"}:
        print(overview())
        return 0
    from lpspec.cli.command_line import call

    return call(argv) or 0


def _open_closed_streams() -> None:
    """Let what is written to a stream that the caller has closed go nowhere, as with ``>&-``."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _refuse(*lines: str) -> int:
    for line in lines:
        _complain(line)
    return BAD_INPUT


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):
        words = (shown(word) for word in printable(message).split())  # of a long path or name, its end
        print(f"lpspec: {' '.join(words)}", file=sys.stderr, flush=True)


def _silence_stdout() -> None:
    """Let nothing more be written: the reader has gone, and Python would complain once more at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
