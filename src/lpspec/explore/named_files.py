"""The files that a scenario names, so that a point is computed anew where one of them has changed."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

from lpspec.scenario import Scenario
from lpspec.scenario.checking import is_path
from lpspec.scenario.option import options_of
from lpspec.text_files import is_file, is_folder, is_there, read_bytes


def point_key(scenario: Scenario) -> str:
    """SHA-256, in hexadecimal, of a scenario and of the content of every file that it names."""
    digests = [_digest(path) for path in _named(scenario)]
    if not digests:
        return scenario.key
    return hashlib.sha256("".join([scenario.key, *digests]).encode()).hexdigest()


def _named(scenario: Scenario) -> Iterator[Path]:
    texts: list[str] = list(scenario.changes.values())
    for option in options_of(Scenario):
        value: Any = reduce(getattr, option.path.split("."), scenario) if option.is_path else None
        texts += [value] if isinstance(value, str) else list(value or ())
    yield from (Path(text) for text in texts if is_path(text) and is_there(text))


def _digest(path: Path) -> str:
    """Of a file's content, or of a folder's configuration; a file that cannot be read is said where it is used."""
    file = path / "config.json" if is_folder(path) else path
    try:
        state = file.stat()
    except OSError:
        return ""
    return _content_digest(file, state.st_mtime_ns, state.st_size)


@lru_cache(1024)
def _content_digest(file: Path, mtime_ns: int, size: int) -> str:
    """Of a file and of those that it names in turn; ``mtime_ns`` and ``size`` tell when it has changed."""
    content = read_bytes(file)
    digest = hashlib.sha256(content)
    if file.suffix == ".toml":
        for text in _texts(_table(content)):
            other = file.parent / text
            if is_path(text) and is_file(other) and other != file:
                digest.update(_digest(other).encode())
    return digest.hexdigest()


def _table(content: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) < 4096 and "\n" not in value and "\0" not in value:
            yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
