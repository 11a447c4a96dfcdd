"""The entry point: parse, run one command, and say any bad input in one line."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, UnknownCommandError, UnusedCliTokensError

from lpspec import __version__
from lpspec.cli.asked import ASKED
from lpspec.cli.signals import Ended, catch_signals
from lpspec.errors import InputError, printable, shown, unknown_name

BROKEN_PIPE, BAD_INPUT, SIGNALLED, INTERRUPTED = 1, 2, 128, 130

COMMANDS = {
    "reproduce": "Put every published number of LP-Spec beside the simulated one.",
    "compare": "Compare LP-Spec with other systems on the same requests.",
    "peers": "Put what neighbouring simulators and measurements give beside ours, under their conditions.",
    "clocks": "Find the data rate and NPU clock with which a demanded token/s takes the least energy.",
    "sustained": "Compare what machines do on a cold phone with what they keep up on a warm one.",
    "price": "Price one matrix product on every device of a system: time, counts and energy at each level.",
    "sweep": "Run every point of a study, and keep each in a store as soon as it is finished.",
    "search": "Search a study for the points that no other beats, and confirm the best by commands.",
    "results": "Show, filter, draw and export the points of a store.",
    "study": "Make every table and figure of a comparison: LP-Spec+ against LP-Spec.",
    "report": "Write a result or the points of a store as one page of HTML that needs nothing besides itself.",
    "serve": "Open a local page with sliders for machine, model and workload, whose table and pictures follow.",
    "placement": "Compare static, dynamic and replicated placement of weights on LP-Spec.",
    "traffic": "Decode on LP-Spec while a CPU reads and writes beside it.",
    "inspect": "Show every value of a platform, die, energy profile, model, trace, tree or file of weights.",
    "validate": "Compare every level of the model with the one below it, and with what is published.",
    "generate": "Continue a text with a real model and token trees, and price the steps on a platform.",
    "record": "Decode greedily and record what the drafter guessed at every token.",
    "acceptance": "Show how far drafts are right in a trace, or make a trace of what others measured.",
    "calibrate": "Time verify passes and drafts on this machine.",
    "completion": "Print what completes commands and options in a shell.",
    "doctor": "Say what this installation has: versions, cores, caches and extras.",
    "dram": "LPDDR5 and its PIM, command by command: serve requests, check command streams, compute products.",
}
"""What the overview says of each command, so that it loads none; a command's own page has its docstring."""

GROUPS = ("dram", "study")
"""Those that have commands of their own."""


def make_app(overview: bool) -> App:
    """The command line; each command is loaded when it is called.

    Args:
        overview: Whether all commands are to be listed, and none is to be called.
    """
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
    for name, summary in COMMANDS.items():
        where = f"lpspec.cli.{name}:{'app' if name in GROUPS else name}"
        app.command(where, name=name, **({"help": summary} if overview else {}))
    return app


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
        answer = make_app(overview=all(word.startswith("-") for word in argv))(_joined(argv))
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


def _open_closed_streams() -> None:
    """Let what is written to a stream that the caller has closed go nowhere, as with ``>&-``."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


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
        words = (shown(word) for word in printable(message).split())  # of a long path or name, its end
        print(f"lpspec: {' '.join(words)}", file=sys.stderr, flush=True)


def _said(error: CycloptsError) -> str:
    """What cyclopts found wrong, in the words of the other messages."""
    tokens = list(getattr(error, "unused_tokens", None) or [])
    if tokens and isinstance(error, UnknownCommandError):
        is_option = tokens[0].startswith("-")
        return str(
            unknown_name(
                "option" if is_option else "command", tokens[0], _names(error.app or make_app(overview=True), is_option)
            )
        )
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
