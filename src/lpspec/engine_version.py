"""Which engine made a result: results of different ones are never taken for each other."""

import functools
import hashlib
from pathlib import Path

import lpspec

SHOWN_DIGITS = 12
_PACKAGE = Path(lpspec.__file__).parent
_NO_ENGINE = ("cli", "report", "explore", "decoding")
"""Folders of the package that change no figure of a simulation."""
_SUFFIXES = (".py", ".toml", ".npz")


@functools.cache
def engine_version() -> str:
    """The package's version with the start of a hash over all code and data that a simulation's figures come from."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        place = path.relative_to(_PACKAGE)
        if path.suffix in _SUFFIXES and place.parts[0] not in _NO_ENGINE:
            digest.update(f"{place.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return f"{lpspec.__version__}+{digest.hexdigest()[:SHOWN_DIGITS]}"
