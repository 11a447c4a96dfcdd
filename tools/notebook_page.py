"""Notebooks as Python files with cells (``# %%``, jupytext's percent format): run one, and write it as a page."""

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

CELL = re.compile(r"^# %%(?P<kind> \[markdown\])?\s*$", re.MULTILINE)
WIDTH = 130
"""Letters in a line of a printed result."""


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook.

    Attributes:
        is_text: Whether it is Markdown, given without the ``#`` before each line.
        source: Markdown or Python.
        line: Where its source begins in the file, from 0.
    """

    is_text: bool
    source: str
    line: int


def cells(text: str) -> Iterator[Cell]:
    """Every cell of a notebook's text.

    Raises:
        ValueError: Something stands before the first cell.
    """
    marks = list(CELL.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        raise ValueError("a notebook begins with '# %%'")
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)]
        line = text.count("\n", 0, mark.end())
        if mark["kind"]:
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        yield Cell(bool(mark["kind"]), body.strip("\n") if mark["kind"] else body.rstrip(), line)


def run_cell(cell: Cell, where: str, names: dict[str, Any]) -> tuple[str, Any]:
    """Run a cell of Python, and return what it printed and the value of its last line, None if that has none.

    Args:
        cell: The cell.
        where: Name of the file, for tracebacks.
        names: What earlier cells defined; this one adds to it.
    """
    tree = ast.parse("\n" * cell.line + cell.source, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, where, "exec"), names)
        value = eval(compile(ast.Expression(last.value), where, "eval"), names) if isinstance(last, ast.Expr) else None
    return printed.getvalue(), value


def page(notebook: Path, folder: Path) -> str:
    """Run a notebook and return it as Markdown; its figures are written beside the page.

    Args:
        notebook: The .py file.
        folder: Where the page will lie.
    """
    parts: list[str] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells(notebook.read_text("utf-8"))):
        if cell.is_text:
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source.strip()}\n```")
        printed, value = run_cell(cell, str(notebook), names)
        if isinstance(value, Figure):
            figure = folder / f"{notebook.stem}-{number}.svg"
            value.savefig(figure, metadata={"Date": None})
            parts.append(f"![{_title(value)}]({figure.name})")
        elif value is not None:
            printed += shown(value)
        if printed.strip():
            text = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
            parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def shown(value: Any) -> str:
    """What a terminal shows of a value: results and tables as rich prints them."""
    written = io.StringIO()
    console = Console(file=written, width=WIDTH, highlight=False, markup=False)
    console.print(value if hasattr(value, "__rich__") or hasattr(value, "__rich_console__") else str(value))
    return written.getvalue()


def _title(figure: Figure) -> str:
    """What a figure says above its axes, or along them, for who cannot see it."""
    said = [text for axes in figure.axes for text in (axes.get_title(), axes.get_ylabel(), axes.get_xlabel()) if text]
    return re.sub(r"[\[\]\n]", " ", ", ".join(dict.fromkeys(said))) or "figure"
