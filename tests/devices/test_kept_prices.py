"""Prices kept in a file are those that would be run, whoever writes, and never those of another build or program."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lpspec.cli.compiled import NOTICE
from lpspec.devices import kept_prices as keeping
from lpspec.devices import phase_prices
from lpspec.devices.kept_prices import KeptPrices, KeptPricesWarning
from lpspec.devices.package_commands import PackageCommands
from lpspec.machine.loading import load_platform

COUNTS = np.array([1.5, -2.0, 1e-300, 3e9])


def kept(path: Path, **entries: float) -> KeptPrices:
    store = KeptPrices(path)
    for key, number in entries.items():
        store.put(key, COUNTS * number)
    store.close()
    return KeptPrices(path)


def test_what_was_kept_is_found_to_the_last_bit_and_nothing_else(tmp_path: Path) -> None:
    found = kept(tmp_path / "a" / "prices.sqlite", one=1.0, third=1 / 3)
    for key, number in (("one", 1.0), ("third", 1 / 3)):
        counts = found.get(key)
        assert counts is not None
        assert np.array_equal(counts, COUNTS * number)
    assert found.get("two") is None


def test_nothing_is_made_before_something_is_kept(tmp_path: Path) -> None:
    store = KeptPrices(tmp_path / "prices.sqlite")
    assert store.get("one") is None
    store.close()
    assert not list(tmp_path.iterdir())


def write_many(path: Path, first: int) -> None:
    store = KeptPrices(path)
    for i in range(first, first + 600):
        store.put(f"entry {i}", COUNTS * i)
    store.close()


def test_several_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    start = multiprocessing.get_context("spawn")
    writers = [start.Process(target=write_many, args=(path, first)) for first in (0, 300, 600, 900)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = KeptPrices(path)
    for i in range(1500):
        counts = store.get(f"entry {i}")
        assert counts is not None, i
        assert np.array_equal(counts, COUNTS * i)


def test_entries_of_another_build_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.sqlite"
    found = kept(path, one=1.0)
    monkeypatch.setattr(keeping, "_build", lambda: "another")
    assert found.get("one") is None
    assert kept(path, one=2.0).get("one") is not None
    monkeypatch.undo()
    again = KeptPrices(path).get("one")
    assert again is not None
    assert np.array_equal(again, COUNTS)


def test_the_build_is_that_of_every_source_that_counts() -> None:
    keeping._build.cache_clear()
    package = Path(keeping.__file__).parents[1]
    assert all((package / room).exists() for room in keeping.ROOMS)
    assert keeping._build() == keeping._build()
    assert len(keeping._build()) == 64


@pytest.mark.parametrize("byte", [0, 3, 4, 20, -1])
def test_an_entry_with_a_wrong_byte_is_not_found(tmp_path: Path, byte: int) -> None:
    path = tmp_path / "prices.sqlite"
    kept(path, one=1.0, two=2.0).close()
    with sqlite3.connect(path) as database:
        ((entry,),) = database.execute("SELECT entry FROM prices WHERE n = 1").fetchall()
        torn = bytearray(entry)
        torn[byte] ^= 16
        database.execute("UPDATE prices SET entry = ? WHERE n = 1", (bytes(torn),))
    database.close()
    assert KeptPrices(path).get("one") is None
    assert KeptPrices(path).get("two") is not None


def other_program(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bookmarks (title TEXT)")
    database.close()


def truncated(path: Path) -> None:
    kept(path, **{f"k{i}": float(i) for i in range(200)}).close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\0" * 100)


@pytest.mark.parametrize(
    "make",
    [other_program, lambda path: path.write_text("my notes\n" * 300), lambda path: path.mkdir()],
    ids=["another program's", "text", "a folder"],
)
def test_a_file_that_is_not_ours_is_left_alone_and_said_once(tmp_path: Path, make: object) -> None:
    path = tmp_path / "prices.sqlite"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    store = KeptPrices(path)
    with pytest.warns(KeptPricesWarning, match=r"prices are not kept in .*prices\.sqlite") as said:
        assert store.get("one") is None
    store.put("one", COUNTS)
    store.close()
    assert store.get("one") is None
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_file_that_was_cut_gives_what_was_kept_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    truncated(path)
    store = KeptPrices(path)
    with pytest.warns(KeptPricesWarning):
        found = [store.get(f"k{i}") for i in range(200)]
    store.put("new", COUNTS)
    store.close()
    for i, counts in enumerate(found):
        assert counts is None or np.array_equal(counts, COUNTS * i)


def test_the_oldest_entries_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_KEPT", 10)
    path = tmp_path / "prices.sqlite"
    found = kept(path, **{f"k{i}": float(i) for i in range(25)})
    assert [i for i in range(25) if found.get(f"k{i}") is not None] == list(range(15, 25))


def price(monkeypatch: pytest.MonkeyPatch, path: Path) -> float:
    """Of one phase in a process that knows nothing yet."""
    monkeypatch.setenv(keeping.VARIABLE, str(path))
    monkeypatch.setattr(phase_prices, "_KNOWN", {})
    package = PackageCommands(load_platform("lp-spec"), refresh_intervals=4)
    took = package.product(2, 512, 1024, package.jobs.computing(3), 0).latency_ns
    keeping._of_file(path).close()
    return float(took)


def test_another_process_runs_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = price(monkeypatch, tmp_path / "one.sqlite")
    monkeypatch.setattr(phase_prices, "without_refresh", None)  # a run would fail
    monkeypatch.setattr(phase_prices, "refreshed", None)
    assert price(monkeypatch, tmp_path / "one.sqlite") == first
    with pytest.raises(TypeError):
        price(monkeypatch, tmp_path / "two.sqlite")


def test_the_command_line_says_in_one_line_what_it_cannot_use(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    path.write_text("my notes\n" * 300)
    asked = ["compare", "--model", "tinyllama", "--systems", "lp-spec", "--fidelity", "command", "--new-tokens", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "lpspec", *asked],
        env={**os.environ, keeping.VARIABLE: str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    said = done.stderr.replace(f"{NOTICE}\n", "")  # which process is the first to compile is chance
    assert said == f"lpspec: note: prices are not kept in {path}: file is not a database\n"
