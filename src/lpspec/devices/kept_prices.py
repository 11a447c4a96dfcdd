"""What phases took, kept from one process to the next in one file, so that nothing is run twice.

Entries are found by a digest of all that decides them: the die, the program, what is asked, and the sources of
this build. So a stale entry is never found, and one that was torn fails its check. A file that is not ours, or
cannot be used, is left alone, which is said once. ``LPSPEC_PRICES`` names another file, or is ``off``.
"""

import atexit
import hashlib
import os
import sqlite3
import warnings
import zlib
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np

from lpspec.arrays import FloatArray

VARIABLE = "LPSPEC_PRICES"
"""Environment variable: a file, or ``off``."""

OFF = "off"
APPLICATION = 0x4C505350
"""Marks a file as one of these (sqlite's ``application_id``)."""

MOST_KEPT = 200_000
"""Entries in a file, of which the oldest go first: about 100 MB."""

WRITTEN_AT_ONCE = 256
WAIT_S = 2.0
"""How long a process waits for others that write."""

ROOMS = ("arrays.py", "dram", "devices", "machine", "llm/counts.py")
"""Sources that decide what a phase takes."""


class KeptPricesWarning(UserWarning):
    """The file of prices can't be used."""


class KeptPrices:
    """Entries of one file."""

    def __init__(self, path: Path) -> None:
        """Take the file, which is made when the first entry is written."""
        self._path = path
        self._process = os.getpid()
        self._unwritten: dict[bytes, bytes] = {}
        self._connection: sqlite3.Connection | None = None
        self._usable = True

    def get(self, key: object) -> FloatArray | None:
        """What was kept, float64 [n]; None for nothing."""
        connection = self._connected(make=False)
        if connection is None:
            return None
        digest = _digest(key)
        try:
            found = connection.execute("SELECT entry FROM prices WHERE digest = ?", (digest,)).fetchone()
        except sqlite3.OperationalError:  # locked for longer than we wait: run it again
            return None
        except sqlite3.DatabaseError as error:
            self._give_up(error)
            return None
        return None if found is None else _unpacked(digest, found[0])

    def put(self, key: object, counts: FloatArray) -> None:
        """Keep float64 [n]; it is written with others."""
        digest = _digest(key)
        self._unwritten[digest] = _packed(digest, counts)
        if len(self._unwritten) >= WRITTEN_AT_ONCE:
            self.write()

    def write(self) -> None:
        """Write what isn't yet."""
        entries, self._unwritten = self._unwritten, {}
        connection = self._connected(make=True) if entries and os.getpid() == self._process else None
        if connection is None:
            return
        try:
            with connection:
                connection.executemany("INSERT OR IGNORE INTO prices (digest, entry) VALUES (?, ?)", entries.items())
                connection.execute("DELETE FROM prices WHERE n <= (SELECT MAX(n) FROM prices) - ?", (MOST_KEPT,))
        except sqlite3.OperationalError:  # locked, or no room: they are run again some day
            return
        except sqlite3.DatabaseError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write what isn't yet, and let go of the file."""
        self.write()
        if self._connection is not None and os.getpid() == self._process:
            self._connection.close()
        self._connection = None

    def _connected(self, make: bool) -> sqlite3.Connection | None:
        """The file, opened by this very process; None where it is not there yet, or can't be used."""
        if os.getpid() != self._process:  # a connection does not survive a fork
            self._process, self._connection, self._unwritten = os.getpid(), None, {}
        if self._connection is None and self._usable and (make or self._path.exists()):
            try:
                self._connection = _opened(self._path)
            except (OSError, sqlite3.Error) as error:
                self._give_up(error)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        self._usable, self._connection = False, None
        message = f"prices are not kept in {self._path}: {str(error) or type(error).__name__}"
        warnings.warn(message, KeptPricesWarning, stacklevel=2)


class NothingKept:
    """No file at all."""

    def get(self, key: object) -> None:
        """Nothing."""

    def put(self, key: object, counts: FloatArray) -> None:
        """Forget it."""

    def write(self) -> None:
        """Nothing is there to be written."""


def kept_prices() -> KeptPrices | NothingKept:
    """The file that the environment asks for."""
    asked = os.environ.get(VARIABLE, "")
    if asked == OFF:
        return NothingKept()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return _of_file(Path(asked) if asked else caches / "lpspec" / "prices.sqlite")


@cache
def _of_file(path: Path) -> KeptPrices:
    kept = KeptPrices(path)
    atexit.register(kept.close)
    return kept


def _opened(path: Path) -> sqlite3.Connection:
    """A file of ours, made if it is not there.

    Raises:
        OSError: Its folder can't be made.
        sqlite3.Error: It is no database, or that of another program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False)
    try:
        with closing(connection.cursor()) as cursor:
            mark = cursor.execute("PRAGMA application_id").fetchone()[0]
            tables = cursor.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            if tables and mark != APPLICATION:
                raise sqlite3.DatabaseError("it is the file of another program")
            if not tables:
                cursor.execute(f"PRAGMA application_id = {APPLICATION}")
                cursor.execute(
                    "CREATE TABLE IF NOT EXISTS prices (n INTEGER PRIMARY KEY, digest BLOB UNIQUE, entry BLOB)"
                )
                connection.commit()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _digest(key: object) -> bytes:
    """Of what decides an entry, as its ``repr`` says it."""
    return hashlib.sha256(f"{_build()}\n{key!r}".encode()).digest()


def _packed(digest: bytes, counts: FloatArray) -> bytes:
    """Numbers behind a check of them and of what they are for."""
    numbers = np.ascontiguousarray(counts, "<f8").tobytes()
    return zlib.crc32(digest + numbers).to_bytes(4, "little") + numbers


def _unpacked(digest: bytes, entry: object) -> FloatArray | None:
    """What was packed; None for what fails the check."""
    if not isinstance(entry, bytes) or entry[:4] != zlib.crc32(digest + entry[4:]).to_bytes(4, "little"):
        return None
    return np.frombuffer(entry[4:], "<f8").astype(np.float64)


@cache
def _build() -> str:
    """A digest of the sources that decide what a phase takes."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((package / room).rglob("*.py")) or [package / room]:
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
