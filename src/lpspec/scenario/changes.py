"""Constants to change: a mapping that cannot be written to, compares by content and has a hash."""

import sys
from collections.abc import Iterator, Mapping


def as_text(value: object) -> str:
    """A value as the command line says it: of 8 the text 8, of True the text true."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def says_a_value(value: object) -> bool:
    """Whether it can be a constant's value: a text that is not blank, a finite number, or true or false."""
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


class Changes(Mapping[str, str]):
    """Dotted key to text, such as ``{"pim.mac_interval": "10 ns"}``, sorted by key."""

    def __init__(self, changes: Mapping[str, str | float] | None = None) -> None:
        """Take a copy, numbers as texts."""
        self._texts = {key: as_text(value) for key, value in sorted((changes or {}).items())}

    def __getitem__(self, key: str) -> str:
        """The text of a key."""
        return self._texts[key]

    def __iter__(self) -> Iterator[str]:
        """Keys in order."""
        return iter(self._texts)

    def __len__(self) -> int:
        """How many constants change."""
        return len(self._texts)

    def __hash__(self) -> int:
        """Equal changes have equal hashes."""
        return hash(tuple(self._texts.items()))

    def __repr__(self) -> str:
        """As a dict shows itself."""
        return repr(self._texts)
