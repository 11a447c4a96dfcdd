"""Tables of descriptions, as TOML has them: read, copied, and laid over each other."""

import tomllib
from functools import lru_cache
from typing import Any


@lru_cache(64)
def tables_of(text: str) -> dict[str, Any]:
    """Tables of a TOML text, kept: many machines are made from the same few files, which take ms to read."""
    return tomllib.loads(text)


def copied(table: dict[str, Any]) -> dict[str, Any]:
    """Tables that may be changed; what lies in a list stays one."""
    return {key: copied(value) if isinstance(value, dict) else value for key, value in table.items()}


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Lay the tables of ``top`` over those of ``base``; a constant is replaced whole, source and all."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        is_section = isinstance(value, dict) and "value" not in value
        merged[key] = overlay(below, value) if is_section and isinstance(below, dict) else value
    return merged
