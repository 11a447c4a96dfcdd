"""Rows as files: what another program reads of them, whatever part they were written in."""

import csv
import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.report import rows_files
from lpspec.report.rows_files import row_form

ROWS: list[tuple[Any, ...]] = [
    ("a", 1, None, [1, 2], None),
    ("b", 2, None, [3], None),
    ("c", 2.5, "late", [], None),
    ("d", None, None, [4, 5], None),
    ("e", 7, "x|y", [6], None),
]
COLUMNS = ("key", "number", "error", "tree", "nothing")


def written(suffix: str, rows: list[tuple[Any, ...]]) -> io.BytesIO:
    out = io.BytesIO()
    row_form(Path(f"rows{suffix}"))(out, iter(rows), COLUMNS)
    out.seek(0)
    return out


def test_parquet_is_one_table_of_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column whose first part has whole numbers, or nothing at all, has the type that all its values need."""
    polars = pytest.importorskip("polars")
    monkeypatch.setattr(rows_files, "ROWS_AT_ONCE", 2)
    found = polars.read_parquet(written(".parquet", ROWS))
    assert found.columns == list(COLUMNS)
    assert found.dtypes[:4] == [polars.String, polars.Float64, polars.String, polars.String]
    assert found.rows() == [
        ("a", 1.0, None, "1,2", None),
        ("b", 2.0, None, "3", None),
        ("c", 2.5, "late", "", None),
        ("d", None, None, "4,5", None),
        ("e", 7.0, "x|y", "6", None),
    ]
    assert polars.read_parquet(written(".parquet", [])).columns == list(COLUMNS)


def test_rows_are_taken_as_they_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No more of them are held than a part has: the first are on disk before the last are asked for."""
    polars = pytest.importorskip("polars")
    monkeypatch.setattr(rows_files, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[int] = []

    def rows() -> Iterator[tuple[Any, ...]]:
        for row in ROWS:
            seen.append(len(list(tmp_path.rglob("*.parquet"))))
            yield row

    row_form(Path("rows.parquet"))(out := io.BytesIO(), rows(), COLUMNS)
    assert seen == [0, 0, 1, 1, 2]
    assert polars.read_parquet(io.BytesIO(out.getvalue())).height == len(ROWS)
    assert list(tmp_path.iterdir()) == []


class FullDisk(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_as_such() -> None:
    pytest.importorskip("polars")
    with pytest.raises(OSError, match="No space left on device"):
        row_form(Path("rows.parquet"))(FullDisk(), iter(ROWS), COLUMNS)


def test_csv_has_a_line_for_each_row() -> None:
    found = list(csv.reader(io.TextIOWrapper(written(".csv", ROWS), "utf-8")))
    assert found == [list(COLUMNS), ["a", "1", "", "1,2", ""], ["b", "2", "", "3", ""], *found[3:]]
    assert [row[0] for row in found[1:]] == list("abcde")


def test_another_form_is_refused() -> None:
    with pytest.raises(InputError, match=r"must end in \.csv, \.md, \.tex, \.parquet"):
        row_form(Path("rows.xls"))
