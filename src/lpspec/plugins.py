"""Parts that installed packages offer through entry points."""

from importlib.metadata import EntryPoint
from typing import Any

from lpspec.errors import InputError, shown


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
