"""HTML put together from tags, where every text that is no tag is escaped."""

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

VOID = ("meta", "link", "input")


class Html(str):
    """Text that is HTML already; any other text is escaped where it becomes part of it."""

    __slots__ = ()


def tag(name: str, /, *inside: str, **attributes: str | int | bool) -> Html:
    """An element.

    Args:
        name: Of the element.
        inside: Its content: tags as they are, texts escaped.
        attributes: By name, an underscore before or in it for what Python does not allow; False leaves one out, True
            gives one without a value.
    """
    given = "".join(_attribute(key.strip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(inside)}</{name}>")


def _attribute(name: str, value: str | int | bool) -> str:
    if value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def joined(parts: Iterable[str]) -> Html:
    """Tags and texts one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1, **attributes: str | int | bool) -> Html:
    """A table that scrolls sideways where the page is narrow.

    Args:
        head: Names of the columns.
        rows: Cells by column.
        texts: How many columns hold texts, which stand left; numbers stand right.
        attributes: Of the table.
    """
    names = joined(
        tag("th", _breakable(name), scope="col", _class="t" if i < texts else False) for i, name in enumerate(head)
    )
    lines = joined(
        tag("tr", *(tag("td", cell, _class="t" if i < texts else False) for i, cell in enumerate(row))) for row in rows
    )
    body = tag("table", tag("thead", tag("tr", names)), tag("tbody", lines), **attributes)
    return tag("div", body, _class="wide", tabindex="0", role="region", aria_label=head[0])


def _breakable(name: str) -> Html:
    """A name that may be broken behind its dots and underscores."""
    return Html(re.sub(r"([._])", r"\1<wbr>", escape(name)))


def data_block(name: str, content: Any) -> Html:
    """Plain data for the script of the page, in a form that cannot end the element it stands in."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)  # ASCII only
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Html(f'<script type="application/json" id="{name}">{text}</script>')
