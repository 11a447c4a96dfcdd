"""The store: finished points stay, claims end with their process, other versions stay apart."""

import multiprocessing
import sqlite3
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from command_line import run_command
from pages import fill_store

from lpspec.errors import InputError
from lpspec.explore import store as stores
from lpspec.explore.points import Point, points
from lpspec.explore.results import Query, Results
from lpspec.explore.store import FILE, Outcome, Store
from lpspec.explore.study_file import parse_study
from lpspec.report.documents import json_text
from lpspec.report.results_table import results_document, results_json

DONE = Outcome({"tokens_per_s": 1.5}, "analytic", None, 0.1)


def some(count: int) -> list[Point]:
    return list(points(parse_study({"axes": {"workload.prompt_tokens": list(range(1, count + 1))}})))


def test_a_kept_point_is_not_claimed_again(tmp_path: Path) -> None:
    few = some(5)
    with Store(tmp_path, create=True) as store:
        assert store.claim(few[:3]) == (few[:3], [])
        store.keep(few[0], DONE)
        assert store.claim(few) == (few[3:], few[1:3])
        store.release(few[1:2])
        assert store.claim(few[:2]) == (few[1:2], [])
    with Store(tmp_path) as store:
        assert store.count() == 1
    (row,) = Results(tmp_path).rows()
    assert (row["key"], row["tokens_per_s"], row["scenario"]) == (few[0].key, 1.5, few[0].scenario.to_dict())


def test_keeping_twice_keeps_the_first(tmp_path: Path) -> None:
    (point,) = some(1)
    with Store(tmp_path, create=True) as store:
        store.keep(point, DONE)
        store.keep(point, Outcome(None, None, "other", 9))
    assert [row["error"] for row in Results(tmp_path).rows()] == [None]


def _claim_and_wait(folder: Path, pipe: Connection) -> None:
    store = Store(folder)
    pipe.send(len(store.claim(some(2))[0]))
    pipe.recv()


def test_claims_of_a_process_end_with_it(tmp_path: Path) -> None:
    Store(tmp_path, create=True).close()
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=_claim_and_wait, args=(tmp_path, theirs))
    other.start()
    assert ours.recv() == 2
    with Store(tmp_path) as store:
        assert [len(part) for part in store.claim(some(3))] == [1, 2]
        other.kill()
        other.join()
        assert [len(part) for part in store.claim(some(2))] == [2, 0]


def test_claims_of_other_hosts_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path, create=True) as store:
        with monkeypatch.context() as patched:
            patched.setattr("socket.gethostname", lambda: "elsewhere")
            assert len(store.claim(some(1))[0]) == 1
        assert [len(part) for part in store.claim(some(1))] == [0, 1]
        now = time.time()
        monkeypatch.setattr("time.time", lambda: now + stores.FOREIGN_CLAIM_S + 1)
        assert [len(part) for part in store.claim(some(1))] == [1, 0]


def test_points_of_another_engine_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (point,) = some(1)
    with Store(tmp_path, create=True) as store:
        store.keep(point, DONE)
        own = store.engine
    monkeypatch.setattr(stores, "engine_version", lambda: "0.0.1+other")
    with Store(tmp_path) as store:
        assert store.claim([point]) == ([point], [])
        store.keep(point, Outcome({"tokens_per_s": 3.0}, "analytic", None, 0.1))
        assert store.engines() == {"0.0.1+other": 1, own: 1}
    results = Results(tmp_path)
    assert [row["tokens_per_s"] for row in results.rows()] == [1.5]
    assert [row["tokens_per_s"] for row in results.rows(Query(engine="0.0.1+other"))] == [3.0]


def test_a_store_keeps_the_text_of_each_study_once(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        for text, name in (("[axes]\na = [1]\n", "b.toml"), ("[axes]\n", "a.toml"), ("[axes]\na = [1]\n", "b.toml")):
            store.keep_study(text, name)
    found = Results(tmp_path).studies
    assert found == [{"name": "b.toml", "text": "[axes]\na = [1]\n"}, {"name": "a.toml", "text": "[axes]\n"}]


def test_results_of_another_version_say_which_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty table alone would look as if nothing had been computed."""
    with Store(tmp_path, create=True) as store:
        store.keep(some(1)[0], DONE)
        own = store.engine
    for module in ("lpspec.explore.results", "lpspec.report.results_table"):
        monkeypatch.setattr(f"{module}.engine_version", lambda: "0.0.1+other")
    said = run_command(["results", str(tmp_path)])
    assert said.code == 0
    assert f"no point of version 0.0.1+other: the store has {own} (1 points); --engine shows them" in said.out
    assert "no point of version" not in run_command(["results", str(tmp_path), "--engine", own]).out


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        Store(tmp_path / "none")
    with pytest.raises(InputError, match=r"below' cannot be made: there is no folder '.*none'$"):
        Store(tmp_path / "none" / "below", create=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="cannot be used: file is not a database"):
        Store(tmp_path / "torn")
    (tmp_path / "new").mkdir()
    with sqlite3.connect(tmp_path / "new" / FILE) as file:
        file.execute("pragma user_version = 99")
    with pytest.raises(InputError, match="has format 99"):
        Store(tmp_path / "new")


SECOND_FORMAT = """
alter table points rename to new;
create table points (
    key text not null, engine text not null, system text not null, scenario text not null, varied text not null,
    metrics text, fidelity text, error text, cpu_s real, primary key (key, engine)
) without rowid;
insert into points select key, engine, system, scenario, varied, metrics, fidelity, error, cpu_s from new;
drop table new;
pragma user_version = 2;
"""
FIRST_FORMAT = SECOND_FORMAT + "drop table names; drop table counts; pragma user_version = 1;"


def test_a_name_that_is_none_is_damage(tmp_path: Path) -> None:
    fill_store(tmp_path / "store", {"pim.alus": [2]})
    file = sqlite3.connect(tmp_path / "store" / FILE)
    file.executescript("drop table names; create table names (name); insert into names values (null)")
    file.close()
    with pytest.raises(InputError, match="is damaged: a name is no text"):
        Results(tmp_path / "store")


def test_a_damaged_store_is_said_to_be_one(tmp_path: Path) -> None:
    """One byte of the tables' text at a time: SQLite's own error may quote what is no text."""
    Store(tmp_path / "s", create=True).close()
    whole = (tmp_path / "s" / FILE).read_bytes()
    first, damaged = whole.index(b"create table points".replace(b"create table", b"CREATE TABLE")), 0
    for place in range(first, first + 120):
        (tmp_path / "s" / FILE).write_bytes(whole[:place] + b"\x80" + whole[place + 1 :])
        with suppress(InputError):
            Store(tmp_path / "s").close()
            damaged -= 1
        damaged += 1
    assert damaged


@pytest.mark.parametrize("older", [FIRST_FORMAT, SECOND_FORMAT])
def test_a_store_of_an_older_format_is_read(tmp_path: Path, older: str) -> None:
    """The first had no names and counts beside its points; both had their points in the order of their keys."""
    few = some(3)
    with Store(tmp_path, create=True) as store:
        store.keep(few[0], DONE)
        store.keep(few[1], Outcome(None, None, "no", 0.1))
    before = {row["key"]: row for row in Results(tmp_path).rows()}
    file = sqlite3.connect(tmp_path / FILE)
    file.executescript(older)
    file.close()
    with Store(tmp_path) as store:
        assert (store.count(), store.engines()) == (2, {store.engine: 2})
        store.keep(few[2], DONE)
        assert store.count() == 3
        assert store.claim(few) == ([], [])
    found = Results(tmp_path)
    assert {row["key"]: row for row in found.rows() if row["key"] in before} == before
    assert found.varied == ("workload.prompt_tokens",)
    assert found.count() == found.count(Query(where="key is not null")) == 3
    assert found.shown_columns()[:2] == ("fidelity", "error")
    assert found.shown_columns() == found.shown_columns(Query(where="1"))


def test_rows_stand_in_the_order_in_which_they_were_finished(tmp_path: Path) -> None:
    few = some(9)[::-1]
    with Store(tmp_path, create=True) as store:
        for point in few:
            store.keep(point, DONE)
    assert [row["key"] for row in Results(tmp_path).rows()] == [point.key for point in few]


def test_rows_of_some_keys(tmp_path: Path) -> None:
    few = some(5)
    with Store(tmp_path, create=True) as store:
        for point in few:
            store.keep(point, DONE)
    found = Results(tmp_path)
    keys = sorted(point.key for point in few[1:4])
    assert [row["key"] for row in found.rows(Query(order="key", keys=tuple(keys)))] == keys
    assert found.count(Query(keys=tuple(keys))) == 3
    assert list(found.rows(Query(keys=()))) == []
    with pytest.raises(InputError, match="syntax error"):
        list(found.rows(Query(where="(delete from chosen)")))


def test_json_piece_by_piece_is_that_of_the_document(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        found = Results(tmp_path)
        assert "".join(results_json([], found)) == json_text(results_document([], found))
        for point in some(3):
            store.keep(point, DONE)
    found = Results(tmp_path)
    rows = list(found.rows())
    assert "".join(results_json(rows, found)) == json_text(results_document(rows, found))
    assert len(rows) == 3
