"""Rows as files for other programs: CSV, Markdown, LaTeX and Parquet."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lpspec.errors import InputError
from lpspec.report.results_table import cell

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    letter: f"\\{letter}" for letter in "&%$#_{}"
}

Rows = Sequence[Mapping[str, Any]]


def _csv_bytes(rows: Rows, columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(row[name]) for name in columns] for row in rows)
    return text.getvalue().encode()


def _markdown_bytes(rows: Rows, columns: Sequence[str]) -> bytes:
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[cell(row[name]).replace("|", "\\|") for name in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).encode()


def _latex_bytes(rows: Rows, columns: Sequence[str]) -> bytes:
    """A tabular with the rules of package booktabs."""
    lines = [[_latex(name) for name in columns], *([_latex(cell(row[name])) for name in columns] for row in rows)]
    body = [" & ".join(line) + r" \\" for line in lines]
    head = [rf"\begin{{tabular}}{{{'r' * len(columns)}}}", r"\toprule", body[0], r"\midrule"]
    return "\n".join([*head, *body[1:], r"\bottomrule", r"\end{tabular}", ""]).encode()


def _parquet_bytes(rows: Rows, columns: Sequence[str]) -> bytes:
    try:
        import polars
    except ModuleNotFoundError:
        raise InputError("a .parquet file needs polars: pip install 'lpspec[frames]'") from None
    buffer = io.BytesIO()
    data = {name: [_plain(row[name]) for row in rows] for name in columns}
    polars.DataFrame(data, strict=False).write_parquet(buffer)
    return buffer.getvalue()


_FORMS: dict[str, Callable[[Rows, Sequence[str]], bytes]] = {
    ".csv": _csv_bytes,
    ".md": _markdown_bytes,
    ".tex": _latex_bytes,
    ".parquet": _parquet_bytes,
}


def row_form(path: Path) -> Callable[[Rows, Sequence[str]], bytes]:
    """What makes the content of a file of rows and names of columns, by its suffix.

    Raises:
        InputError: The suffix is none of those known.
    """
    if path.suffix not in _FORMS:
        raise InputError(f"--export {path} must end in {', '.join(_FORMS)}")
    return _FORMS[path.suffix]


def _plain(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
