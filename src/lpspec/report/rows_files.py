"""Rows as files for other programs: CSV, Markdown, LaTeX and Parquet, of as many rows as there may be."""

import csv
import errno
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from lpspec.errors import InputError, shown
from lpspec.report.results_table import cell

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    letter: f"\\{letter}" for letter in "&%$#_{}"
}

ROWS_AT_ONCE = 20_000
"""Rows of a part of a Parquet file."""

Rows = Iterable[tuple[Any, ...]]


def _write_csv(out: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_plain, row) for row in rows)
    text.detach()


def _write_markdown(out: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    lines: Iterator[list[str]] = iter((list(columns), ["---"] * len(columns)))
    for line in lines:
        out.write(f"| {' | '.join(line)} |\n".encode())
    for row in rows:
        out.write(f"| {' | '.join(cell(value).replace('|', chr(92) + '|') for value in row)} |\n".encode())


def _write_latex(out: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    """A tabular with the rules of package booktabs."""
    head = [rf"\begin{{tabular}}{{{'r' * len(columns)}}}", r"\toprule", _latex_line(columns), r"\midrule", ""]
    out.write("\n".join(head).encode())
    for row in rows:
        out.write(f"{_latex_line([cell(value) for value in row])}\n".encode())
    out.write(b"\\bottomrule\n\\end{tabular}\n")


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join(map(_latex, texts)) + r" \\"


def _write_parquet(out: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    try:
        import polars
    except ModuleNotFoundError:
        raise InputError("a .parquet file needs polars: pip install 'lpspec[frames]'") from None
    try:
        _join_parquet(out, rows, columns)
    except polars.exceptions.ComputeError as error:  # what the disk said, in its words
        raise OSError(errno.EIO, shown(str(error), 100)) from None


def _join_parquet(out: BinaryIO, rows: Rows, columns: Sequence[str]) -> None:
    """Write parts, each with the types of its own values, then one file of them with the types that all need."""
    import polars

    source = iter(rows)
    parts: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="lpspec-rows-") as folder:
        while some := [list(map(_plain, row)) for row in islice(source, ROWS_AT_ONCE)]:
            data = dict(zip(columns, zip(*some, strict=True), strict=True))
            parts.append(Path(folder) / f"{len(parts)}.parquet")
            polars.DataFrame(data, strict=False).write_parquet(parts[-1])
        if not parts:
            polars.DataFrame({name: [] for name in columns}).write_parquet(out)
            return
        polars.concat(map(polars.scan_parquet, parts), how="vertical_relaxed").sink_parquet(out)


Writer = Callable[[BinaryIO, Rows, Sequence[str]], None]

_FORMS: dict[str, Writer] = {
    ".csv": _write_csv,
    ".md": _write_markdown,
    ".tex": _write_latex,
    ".parquet": _write_parquet,
}


def row_form(path: Path) -> Writer:
    """What writes a file of rows with names of columns, by its suffix.

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
