"""Plain data as TOML: texts, whole numbers, truth values, lists of texts, and tables of those."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(table: Mapping[str, Any]) -> str:
    """Write a table; what is None is left out.

    Args:
        table: Values by name, tables in mappings of their own, one level deep.
    """
    groups = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    lines = list(_lines({name: value for name, value in table.items() if name not in groups}))
    for name, group in groups.items():
        if any(value is not None for value in group.values()):
            lines += ["", f"[{_key(name)}]", *_lines(group)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        if value is not None:
            yield f"{_key(name)} = {_value(value)}"


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return f"[{', '.join(map(_value, value))}]"
