"""The command line that is being answered: it repeats a result that no scenario does."""

from contextvars import ContextVar
from typing import Any

from lpspec import __version__

ASKED: ContextVar[tuple[str, ...]] = ContextVar("ASKED", default=())
"""Arguments after the program's name, as they were given."""


def with_command(document: dict[str, Any]) -> dict[str, Any]:
    """A result's document with the command that gives it again."""
    origin = {"lpspec": __version__, "command": ["lpspec", *ASKED.get()], **document.get("provenance", {})}
    return {**document, "provenance": origin}
