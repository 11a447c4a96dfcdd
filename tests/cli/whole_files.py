"""Files written together, in one call."""

from collections.abc import Iterable
from pathlib import Path

from lpspec.cli.outputs import FilesTogether


def write_all(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Write every file, or none."""
    with FilesTogether() as files:
        for path, content in contents:
            files.write(path, content)
