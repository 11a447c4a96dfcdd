"""The store of a study: a SQLite file that keeps every finished point at once, whoever ends when.

A point is kept under the hash of its scenario and the version of the engine that priced it, so it is computed once, and
points of another engine stay apart. Processes that share a store claim points before they compute them; the claims of a
process that has ended are free again.
"""

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lpspec.engine_version import engine_version
from lpspec.errors import InputError, shown
from lpspec.explore.points import Point

FILE = "study.sqlite"
FORMAT = 3
"""Of the tables; a store of another format is refused."""

FOREIGN_CLAIM_S = 600.0
"""How long a claim of another host stands: whether its process lives cannot be seen from here."""

_WAIT_S = 60.0
"""How long a writer waits for another."""

_TABLES = """
create table if not exists points (
    number integer primary key, key text not null, engine text not null, system text not null, fidelity text,
    error text, cpu_s real, varied text not null, metrics text, scenario text not null, unique (key, engine)
);
create table if not exists names (name text primary key);
create table if not exists counts (
    engine text not null, system text not null, fidelity text not null, failed integer not null,
    points integer not null, primary key (engine, system, fidelity, failed)
) without rowid;
create table if not exists claims (
    key text not null, engine text not null, host text, pid integer, started text, since real,
    primary key (key, engine)
) without rowid;
create table if not exists studies (text text not null primary key, name text not null);
"""


_COLUMNS = "key, engine, system, fidelity, error, cpu_s, varied, metrics, scenario"
_NAMES_OF_ALL = "insert into names select distinct each.key from points, json_each(points.varied) as each"
_COUNTS_OF_ALL = """
insert into counts select engine, system, coalesce(fidelity, '') as f, error is not null as e, count(*) from points
group by engine, system, f, e
"""
"""What format 1 lacks: names and counts kept beside the points, so that nobody reads all of these to know them."""

_SET_ASIDE = "alter table points rename to older"
_MOVED = (f"insert into points ({_COLUMNS}) select {_COLUMNS} from older", "drop table older")
"""Until format 2 whole points were sorted by key: each in a page of its own, and ten pages to find one of a million."""

ENGINES = "select engine, sum(points) from counts group by engine order by engine"
"""Versions and how many points each has."""

_PAGES_KB = 65_536
"""Of the file that a process keeps in memory: keys are spread over all of it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a point.

    Attributes:
        metrics: Figures by name; None where it cannot be run.
        fidelity: What priced it; None likewise.
        error: Why it cannot be run, one line; None where it was.
        cpu_s: What it took, CPU seconds.
    """

    metrics: Mapping[str, Any] | None
    fidelity: str | None
    error: str | None
    cpu_s: float


class Store:
    """The points of one study, in a folder of its own.

    Raises:
        InputError: The folder cannot be used, or its file is no store.
    """

    def __init__(self, folder: str | Path, create: bool = False) -> None:
        """Open the store.

        Args:
            folder: Where it lies.
            create: Make it where there is none, below a folder that exists.
        """
        if not str(folder):
            raise InputError("a store needs the name of a folder, not ''")
        self.path = Path(folder) / FILE
        self.engine = engine_version()
        if not self.path.is_file() and not create:
            raise InputError(f"'{shown(str(folder))}' holds no study: lpspec sweep makes one")
        parent = Path(folder).absolute().parent
        if create and not parent.is_dir():
            where = f"there is no folder '{shown(str(parent), 60)}'"
            raise InputError(f"store '{shown(str(folder), 60)}' cannot be made: {where}")
        with self._blamed():
            if create:
                Path(folder).mkdir(exist_ok=True)
            self._file = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            self._names: set[str] = set()
            self._prepare()

    def _prepare(self) -> None:
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = normal")
        self._file.execute(f"pragma cache_size = -{_PAGES_KB}")
        with self._transaction():
            found = self._file.execute("pragma user_version").fetchone()[0]
            if found not in (0, 1, 2, FORMAT):
                raise InputError(f"'{shown(str(self.path))}' has format {found}: this version reads format {FORMAT}")
            older = found in (1, 2)
            tables = filter(str.strip, _TABLES.split(";"))
            for statement in (*([_SET_ASIDE] if older else []), *tables, *(_MOVED if older else ())):
                self._file.execute(statement)
            if found == 1:
                self._file.execute(_NAMES_OF_ALL)
                self._file.execute(_COUNTS_OF_ALL)
            self._file.execute(f"pragma user_version = {FORMAT}")

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError:  # of the text of an error that SQLite has about a damaged file
            raise InputError(f"store '{shown(str(self.path))}' cannot be used: the file is damaged") from None
        except (sqlite3.Error, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"store '{shown(str(self.path))}' cannot be used: {why}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._file.execute("rollback")
            raise
        self._file.execute("commit")

    def keep_study(self, text: str, name: str) -> None:
        """Keep the text of a study's file, once, so that the store says what it is of.

        Args:
            text: Of the file.
            name: Of the file, without its folder.
        """
        with self._blamed(), self._transaction():
            self._file.execute("insert or ignore into studies values (?, ?)", (text, name))

    def claim(self, points: Sequence[Point]) -> tuple[list[Point], list[Point]]:
        """Take points to compute.

        Args:
            points: Candidates.

        Returns:
            Those that are to be computed now, and those that somebody computes already.
        """
        mine: list[Point] = []
        others: list[Point] = []
        with self._blamed(), self._transaction():
            for point in points:
                key = point.key
                if self._file.execute(
                    "select 1 from points where key = ? and engine = ?", (key, self.engine)
                ).fetchone():
                    continue
                if self._claimed(key):
                    others.append(point)
                    continue
                claim = (key, self.engine, socket.gethostname(), os.getpid(), _started(os.getpid()), time.time())
                self._file.execute("insert or replace into claims values (?, ?, ?, ?, ?, ?)", claim)
                mine.append(point)
        return mine, others

    def _claimed(self, key: str) -> bool:
        """Whether a process that lives computes a point, this one included."""
        row = self._file.execute(
            "select host, pid, started, since from claims where key = ? and engine = ?", (key, self.engine)
        ).fetchone()
        if row is None:
            return False
        host, pid, started, since = row
        if host != socket.gethostname():
            return bool(time.time() - since < FOREIGN_CLAIM_S)
        return started is not None and _started(pid) == started

    def keep(self, point: Point, outcome: Outcome) -> None:
        """Keep a finished point, and give up the claim to it."""
        with self._blamed(), self._transaction():
            self._insert(point, outcome)
            self._file.execute("delete from claims where key = ? and engine = ?", (point.key, self.engine))
        self._names.update(point.values)

    def _insert(self, point: Point, outcome: Outcome) -> None:
        row = (
            point.key,
            self.engine,
            (point.scenario.systems or ("",))[0],
            outcome.fidelity,
            outcome.error,
            outcome.cpu_s,
            json.dumps(dict(point.values), ensure_ascii=False),
            None if outcome.metrics is None else json.dumps(dict(outcome.metrics), allow_nan=False),
            json.dumps(point.scenario.to_dict(), ensure_ascii=False),
        )
        sql = f"insert or ignore into points ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        done = self._file.execute(sql, row)
        if done.rowcount:
            self._count(row[2], outcome, point.values)

    def _count(self, system: str, outcome: Outcome, names: Iterable[str]) -> None:
        kind = self.engine, system, outcome.fidelity or "", outcome.error is not None
        where = "engine = ? and system = ? and fidelity = ? and failed = ?"
        if not self._file.execute(f"update counts set points = points + 1 where {where}", kind).rowcount:
            self._file.execute("insert into counts values (?, ?, ?, ?, 1)", kind)
        for name in names:
            if name not in self._names:
                self._file.execute("insert or ignore into names values (?)", (name,))

    def release(self, points: Iterable[Point]) -> None:
        """Give up claims to points that were not finished."""
        with self._blamed(), self._transaction():
            for point in points:
                claim = point.key, self.engine
                self._file.execute("delete from claims where key = ? and engine = ?", claim)

    def count(self) -> int:
        """Points of this engine."""
        with self._blamed():
            found = self._file.execute("select sum(points) from counts where engine = ?", (self.engine,))
            return int(found.fetchone()[0] or 0)

    def engines(self) -> dict[str, int]:
        """How many points each engine priced."""
        with self._blamed():
            return dict(self._file.execute(ENGINES))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *details: object) -> None:
        """Close the file."""
        self.close()


def _started(pid: int) -> str | None:
    """When a process of this host started, as the system counts it; None where there is none.

    Numbers of processes are used again, so a number alone does not tell that the process lives.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _lives(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _lives(pid: int) -> str | None:
    """The same where the system does not say when: a word for every process that lives."""
    if Path("/proc/self").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "lives"
