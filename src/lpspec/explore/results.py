"""What a store holds, as rows: filtered and sorted by SQL, exported to files."""

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpspec.engine_version import engine_version
from lpspec.errors import InputError, listed, shown
from lpspec.explore.evaluate import METRICS
from lpspec.explore.store import ENGINES, FILE, Store

OWN = ("key", "engine", "system", "fidelity", "error", "cpu_s")
"""Columns that every row has besides what varies and what was measured."""

MOST_STEPS = 2_000_000_000
"""Instructions of a query, after which it is given up: no filter of a million rows needs as many."""

LONGEST_VALUE = 10_000_000
"""Bytes of a value of a row, or of one that a condition makes."""

_KEYS_AT_ONCE = 500
"""Keys in one statement, below what any build of SQLite takes."""

_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}


@dataclass(frozen=True)
class Query:
    """Which rows are wanted.

    Attributes:
        where: An SQL condition over the columns; empty for all rows.
        order: A column to sort by, with ``:desc`` behind it for the largest first; empty for the order of the store.
        limit: Rows at most; None for all.
        engine: Version of the engine; None for this one.
        keys: Of the rows that are wanted; None for all.
    """

    where: str = ""
    order: str = ""
    limit: int | None = None
    engine: str | None = None
    keys: tuple[str, ...] | None = None


class Results:
    """The rows of a store.

    Attributes:
        varied: Names of what the study varies or derives, in order.
    """

    def __init__(self, folder: str | Path) -> None:
        """Look at a store, without changing it.

        Raises:
            InputError: There is none.
        """
        Store(folder).close()  # says what is wrong with it, and makes what a reader needs
        self.path = Path(folder) / FILE
        with self._blamed():
            self._file = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
            self._prepare()

    def _prepare(self) -> None:
        self._file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        names = self._file.execute("select name from names order by rowid").fetchall()
        if not all(isinstance(name, str) for (name,) in names):
            raise ValueError("a name is no text")
        self.varied = tuple(name for (name,) in names if name not in (*METRICS, *OWN, "systems"))
        parts = [f"json_extract(varied, {_path(name)}) as {_quoted(name)}" for name in self.varied]
        parts += [f"json_extract(metrics, {_path(name)}) as {_quoted(name)}" for name in METRICS]
        columns = ", ".join([*OWN, *parts, "scenario", "varied", "metrics"])
        self._file.execute(f"create temp view results as select {columns} from points")
        self._file.execute("create temp table chosen (key text primary key) without rowid")
        self._guard()

    def _guard(self) -> None:
        """From here on, conditions may read alone."""
        self._file.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """What is wrong with the file itself is said of it, in a line."""
        try:
            yield
        except (sqlite3.Error, ValueError) as error:  # ValueError: text that is no JSON, or no text
            raise InputError(f"store '{shown(str(self.path))}' is damaged: {shown(str(error), 60)}") from None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a condition may name."""
        return (*OWN, *self.varied, *METRICS)

    def shown_columns(self, query: Query = Query()) -> tuple[str, ...]:
        """The columns of a table: what varies, the figures, and what tells rows apart besides.

        Raises:
            InputError: As for ``rows``.
        """
        kinds = [kind for kind, _ in self._kinds(query)]
        apart = [len({kind[i] for kind in kinds}) > 1 for i in range(2)]
        failed = any(kind[2] for kind in kinds)
        own = zip(("system", "fidelity", "error"), (*apart, failed), strict=True)
        return (*(name for name, is_shown in own if is_shown), *self.varied, *METRICS)

    def count(self, query: Query = Query()) -> int:
        """How many rows there are, whatever the limit.

        Raises:
            InputError: As for ``rows``.
        """
        return sum(points for _, points in self._kinds(query))

    def _kinds(self, query: Query) -> list[tuple[tuple[str, str, int], int]]:
        """Systems, fidelities, and whether they failed, each with how many points there are."""
        if query.where.strip() or query.keys is not None:
            select = "select system, coalesce(fidelity, '') as f, error is not null as e, count(*) from results"
            found = self._found(query, f"{select} where {self._conditions(query)} group by system, f, e")
        else:
            found = self._found(query, "select system, fidelity, failed, points from counts where engine = ?")
        return [((system, fidelity, failed), points) for system, fidelity, failed, points in found]

    @property
    def engines(self) -> dict[str, int]:
        """How many points each version has."""
        with self._blamed():
            return dict(self._file.execute(ENGINES))

    @property
    def studies(self) -> list[dict[str, str]]:
        """Name and text of every study's file whose points are here, in the order in which they came."""
        found = self._file.execute("select name, text from studies order by rowid")
        return [{"name": name, "text": text} for name, text in found]

    def rows(self, query: Query = Query()) -> Iterator[dict[str, Any]]:
        """Rows by column, with ``scenario``, ``varied`` and ``metrics`` as plain data.

        Raises:
            InputError: The condition is no SQL, or names a column that does not exist.
        """
        names = (*self.columns, "scenario", "varied", "metrics")
        for values in self.table(query, names):
            row = dict(zip(names, values, strict=True))
            with self._blamed():
                for name in names[-3:]:
                    row[name] = None if row[name] is None else json.loads(row[name])
            yield row

    def table(self, query: Query, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Rows as some columns alone have them: a million of them take no more memory than one.

        Raises:
            InputError: As for ``rows``.
        """
        yield from self._found(query, f"select {', '.join(map(_quoted, columns))} from results {self._rest(query)}")

    def _found(self, query: Query, sql: str) -> Iterator[tuple[Any, ...]]:
        steps = 0

        def give_up() -> bool:
            nonlocal steps
            steps += 1
            return steps * 10_000 > MOST_STEPS

        self._file.set_progress_handler(give_up, 10_000)
        try:
            self._choose(query.keys)
            yield from self._file.execute(sql, (query.engine or engine_version(),))
        except (sqlite3.Error, sqlite3.Warning) as error:
            if not query.where.strip():
                with self._blamed():
                    raise
            raise self._refusal(query, error) from None
        except ValueError as error:
            with self._blamed():
                raise error from None

    def of_keys(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Rows of this engine by key, of those points that there are."""
        names, found = ("key", "fidelity", "error", "scenario", "varied", "metrics"), {}
        with self._blamed():
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                part = keys[start : start + _KEYS_AT_ONCE]
                marks = ", ".join("?" * len(part))
                sql = f"select {', '.join(names)} from points where engine = ? and key in ({marks})"
                for *own, scenario, varied, metrics in self._file.execute(sql, (engine_version(), *part)):
                    plain = (None if text is None else json.loads(text) for text in (scenario, varied, metrics))
                    found[own[0]] = dict(zip(names, (*own, *plain), strict=True))
        return found

    def _choose(self, keys: Sequence[str] | None) -> None:
        if keys is not None:
            self._file.set_authorizer(None)
            self._file.execute("delete from chosen")
            self._file.executemany("insert into chosen values (?)", ((key,) for key in keys))
            self._guard()

    def _conditions(self, query: Query) -> str:
        conditions = ["engine = ?"]
        if query.keys is not None:
            conditions.append("key in (select key from chosen)")
        if query.where.strip():
            conditions.append(f"({self._with_quotes(query.where)}\n)")
        return " and ".join(conditions)

    def _rest(self, query: Query) -> str:
        column, _, way = query.order.partition(":")
        if way not in ("", "asc", "desc"):
            raise InputError(f"--sort {shown(query.order, 40)} must end in :asc or :desc, or in neither")
        if column and column not in self.columns:
            raise InputError(f"no column '{shown(column, 40)}': known are {listed(self.columns[::-1], 100)}")
        order = f" order by {_quoted(column)} {way or 'asc'}" if column else ""
        limit = "" if query.limit is None else f" limit {query.limit}"
        return f"where {self._conditions(query)}{order}{limit}"

    def _with_quotes(self, where: str) -> str:
        """Names with dots as SQL wants them, outside texts in quotes."""
        names = sorted((name for name in self.varied if not name.isidentifier()), key=len, reverse=True)
        if not names:
            return where
        pattern = re.compile(rf"""(?<![\w."])({"|".join(map(re.escape, names))})(?![\w."])""")
        parts = re.split(r"""('[^']*'|"[^"]*")""", where)
        return "".join(part if i % 2 else pattern.sub(r'"\1"', part) for i, part in enumerate(parts))

    def _refusal(self, query: Query, error: Exception) -> InputError:
        known = listed(self.columns[::-1], 60)
        return InputError(f"--where '{shown(query.where, 40)}': {shown(str(error), 50)}; columns are {known}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _path(name: str) -> str:
    """A key of a JSON object as SQLite's functions take it."""
    return "'$.\"" + name.replace("'", "''") + "\"'"
