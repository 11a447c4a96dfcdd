"""Constants to change: a mapping that cannot be written to, compares by content and has a hash."""

from collections.abc import Iterator, Mapping


class Changes(Mapping[str, str]):
    """Dotted key to text, such as ``{"pim.mac_interval": "10 ns"}``, sorted by key."""

    def __init__(self, changes: Mapping[str, str] | None = None) -> None:
        """Take a copy."""
        self._texts = dict(sorted((changes or {}).items()))

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
