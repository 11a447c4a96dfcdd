"""A command line taken apart: which command is called with which values."""

from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnknownCommandError, UnusedCliTokensError

from lpspec import __version__
from lpspec.cli.overview import COMMANDS, GROUPS, SUMMARY
from lpspec.errors import InputError, unknown_name


def make_app() -> App:
    """The command line; each command is loaded when it is called."""
    app = App(
        name="lpspec",
        help=SUMMARY,
        help_format="plaintext",
        version=__version__,
        version_format="plaintext",
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name in COMMANDS:
        app.command(f"lpspec.cli.{name}:{'app' if name in GROUPS else name}", name=name)
    return app


def call(argv: Sequence[str]) -> int | None:
    """Run the command that a command line calls, and return its exit code if it has one.

    Raises:
        InputError: There is no such command, option or value.
    """
    try:
        answer = make_app()(joined(argv))
    except CycloptsError as error:
        raise InputError(_said(error)) from None
    return answer if isinstance(answer, int) else None


def joined(argv: Sequence[str]) -> list[str]:
    """Arguments with ``--json -`` written as ``--json=-``, since a value that begins with a hyphen needs it."""
    joined: list[str] = []
    for argument in argv:
        if argument == "-" and joined and joined[-1] == "--json":
            joined[-1] = "--json=-"
        else:
            joined.append(argument)
    return joined


def _said(error: CycloptsError) -> str:
    """What cyclopts found wrong, in the words of the other messages."""
    tokens = list(getattr(error, "unused_tokens", None) or [])
    if tokens and isinstance(error, UnknownCommandError):
        is_option = tokens[0].startswith("-")
        return str(
            unknown_name("option" if is_option else "command", tokens[0], _names(error.app or make_app(), is_option))
        )
    if tokens and isinstance(error, UnusedCliTokensError):
        return f"unexpected argument '{tokens[0]}': values follow their option, such as --model llama2-7b"
    message = str(error).rstrip(".")
    return message[:1].lower() + message[1:]


def _names(group: App, options: bool) -> list[str]:
    return [name for name in group if name.startswith("-") == options]
