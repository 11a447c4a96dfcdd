"""The entry point: parse, run one command, and say any bad input in one line."""

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnknownCommandError, UnusedCliTokensError

from lpspec import __version__
from lpspec.cli.calibrate import calibrate
from lpspec.cli.compare import compare
from lpspec.cli.dram import app as dram
from lpspec.cli.generate import generate
from lpspec.cli.inspect import inspect
from lpspec.cli.peers import peers
from lpspec.cli.placement import placement
from lpspec.cli.record import record
from lpspec.cli.reproduce import reproduce
from lpspec.cli.signals import Ended, catch_signals
from lpspec.cli.validate import validate
from lpspec.errors import InputError, shown, unknown_name

BROKEN_PIPE, BAD_INPUT, SIGNALLED, INTERRUPTED = 1, 2, 128, 130

app = App(
    name="lpspec",
    help="Speculative LLM decoding on a mobile NPU beside hybrid LPDDR5-PIM memory (LP-Spec, ICCAD 2025).",
    help_format="plaintext",
    version=__version__,
    version_format="plaintext",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.command(reproduce)
app.command(compare)
app.command(peers)
app.command(placement)
app.command(inspect)
app.command(validate)
app.command(generate)
app.command(record)
app.command(calibrate)
app.command(dram)


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``lpspec`` and exit: 0 when done, 1 when a check finds fault, 2 for bad input, 128 + n at signal n.

    Args:
        argv: Arguments after the program's name; None for the process's own.
    """
    catch_signals()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows "?", not a traceback
    try:
        answer = app(_joined(argv))
        sys.stdout.flush()
    except InputError as error:
        return _refuse(*str(error).splitlines())
    except CycloptsError as error:
        return _refuse(_said(error))
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
    return answer if isinstance(answer, int) else 0


def _joined(argv: Sequence[str]) -> list[str]:
    """Arguments with ``--json -`` written as ``--json=-``, since a value that begins with a hyphen needs it."""
    joined: list[str] = []
    for argument in argv:
        if argument == "-" and joined and joined[-1] == "--json":
            joined[-1] = "--json=-"
        else:
            joined.append(argument)
    return joined


def _refuse(*lines: str) -> int:
    for line in lines:
        _complain(line)
    return BAD_INPUT


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):
        words = (shown(word) for word in message.split())  # of a long path or name, its end
        print(f"lpspec: {' '.join(words)}", file=sys.stderr, flush=True)


def _said(error: CycloptsError) -> str:
    """What cyclopts found wrong, in the words of the other messages."""
    tokens = list(getattr(error, "unused_tokens", None) or [])
    if tokens and isinstance(error, UnknownCommandError):
        is_option = tokens[0].startswith("-")
        return str(unknown_name("option" if is_option else "command", tokens[0], _names(error.app or app, is_option)))
    if tokens and isinstance(error, UnusedCliTokensError):
        return f"unexpected argument '{tokens[0]}': values follow their option, such as --model llama2-7b"
    message = str(error).rstrip(".")
    return message[:1].lower() + message[1:]


def _names(group: App, options: bool) -> list[str]:
    return [name for name in group if name.startswith("-") == options]


def _silence_stdout() -> None:
    """Let nothing more be written: the reader has gone, and Python would complain once more at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
