"""Sweeps: the figures of single runs, resumed after any end, shared by processes, filtered and exported."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused

from lpspec.api import compare
from lpspec.errors import InputError
from lpspec.explore.evaluate import METRICS, evaluate, metrics_of
from lpspec.explore.points import points
from lpspec.explore.results import Query, Results
from lpspec.explore.store import Store
from lpspec.explore.study_file import load_study
from lpspec.explore.sweep import sweep
from lpspec.explore.workers import IN_A_ROW, Processes, Rows, ThisProcess

Lpspec = Callable[..., Said]

STUDY = """
[scenario]
model = "tinyllama"
fidelity = "analytic"
[scenario.workload]
new_tokens = 2
[axes]
pim.alus = [2, 4]
"memory.data_rate" = ["6400 Mbps", "8533 Mbps"]
workload.prompt_tokens = [1, 16, 128, 4000]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def test_points_have_the_figures_of_single_runs(study: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        done = sweep(load_study(study), store, ThisProcess())
    assert (done.computed, done.found, done.failed) == (16, 0, 4)
    for row in Results(tmp_path / "store").rows():
        if row["workload.prompt_tokens"] == 4000:
            assert "2048 tokens" in row["error"]
            assert row["metrics"] is None
            continue
        (run,) = compare(**row["scenario"]).runs
        assert row["metrics"] == metrics_of(run)
        assert set(row["metrics"]) == set(METRICS)


def test_processes_give_the_same_rows_and_find_what_is_there(study: Path, tmp_path: Path) -> None:
    asked = load_study(study)
    for name, by in (("here", ThisProcess()), ("there", Processes(2))):
        with Store(tmp_path / name, create=True) as store:
            assert sweep(asked, store, by).computed == 16
            again = sweep(asked, store, ThisProcess())
            assert (again.computed, again.found) == (0, 16)

    def rows(name: str) -> list[dict[str, object]]:
        return [{**row, "cpu_s": 0} for row in Results(tmp_path / name).rows(Query(order="key"))]

    assert rows("here") == rows("there")


def start(study: Path, store: Path, workers: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "lpspec", "sweep", str(study), "--store", str(store), "--workers", str(workers)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def kept(store: Path) -> dict[str, str]:
    """Every point with its metrics, read while others write."""
    try:
        found = Results(store)
    except InputError:
        return {}
    rows = {row["key"]: json.dumps(row["metrics"]) for row in found.rows()}
    found.close()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_goes_on(study: Path, tmp_path: Path, workers: int) -> None:
    store, chance = tmp_path / "store", random.Random(workers)
    before: dict[str, str] = {}
    for _ in range(4):
        running = start(study, store, workers)
        wanted, end = min(len(before) + chance.randint(0, 4), 16), time.monotonic() + 120
        while len(kept(store)) < wanted and running.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.05)
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        now = kept(store)
        assert before.items() <= now.items()  # nothing lost, nothing changed
        before = now
    assert start(study, store, workers).wait() == 0
    whole = kept(store)
    assert set(whole) == {point.key for point in points(load_study(study))}
    assert before.items() <= whole.items()


@pytest.mark.slow
def test_two_sweeps_share_a_store(study: Path, tmp_path: Path) -> None:
    both = [start(study, tmp_path / "store", 1) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    assert len(kept(tmp_path / "store")) == 16


def test_workers_end_with_a_parent_that_is_killed(study: Path, tmp_path: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("finds processes in /proc")
    running = start(study, tmp_path / "store", 2)

    def session() -> list[int]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == running.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    end = time.monotonic() + 120
    while len(session()) < 4 and time.monotonic() < end and running.poll() is None:
        time.sleep(0.05)
    running.kill()
    running.wait()
    while session() and time.monotonic() < end:
        time.sleep(0.05)
    assert session() == []


def test_neighbours_go_to_one_worker_and_nobody_waits_while_another_has_some(study: Path) -> None:
    asked = list(points(load_study(study)))
    every = [*asked, *asked[: IN_A_ROW // 2]]
    rows = Rows(every, 2)
    first = [rows.next_for(0) for _ in range(2)]
    assert [rows.next_for(1) for _ in range(IN_A_ROW)] == every[IN_A_ROW : 2 * IN_A_ROW]
    assert [rows.next_for(1) for _ in range(IN_A_ROW // 2)] == every[2 * IN_A_ROW :]
    assert [rows.next_for(1) for _ in range(IN_A_ROW - 3)] == every[IN_A_ROW - 1 : 2 : -1]
    assert [*first, rows.next_for(0)] == every[:3]
    assert rows.next_for(0) is rows.next_for(1) is None


def test_a_worker_that_is_ended_is_replaced(study: Path) -> None:
    by, asked = Processes(2), list(points(load_study(study)))
    found = []
    for point, outcome in by.outcomes(asked):
        found.append((point.key, outcome.metrics))
        if len(found) == 3:
            for pool in by._pools:
                assert pool is not None
                for number in list(pool._processes):
                    os.kill(number, signal.SIGKILL)
    by.close()
    assert sorted(key for key, _ in found) == sorted(point.key for point in asked)
    expected = {point.key: evaluate(point.scenario.to_dict()).metrics for point in asked[:3]}
    assert expected.items() <= dict(found).items()


def test_filters_are_sql_and_change_nothing(study: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        sweep(load_study(study), store, ThisProcess())
    results = Results(tmp_path / "store")
    every = list(results.rows())
    found = list(results.rows(Query("pim.alus = 4 and memory.data_rate = '8533 Mbps' and tokens_per_s > 0")))
    expected = [r for r in every if r["pim.alus"] == 4 and r["memory.data_rate"] == "8533 Mbps" and r["metrics"]]
    assert found == expected != []
    fast = list(results.rows(Query("error is null", "tokens_per_s:desc", 3)))
    speeds = sorted((r["tokens_per_s"] for r in every if r["metrics"]), reverse=True)
    assert [row["tokens_per_s"] for row in fast] == speeds[:3]
    for where in ("1); delete from points; --", "no_such > 1", "(", "1 union select 1", "load_extension('x')"):
        with pytest.raises(InputError, match="columns are"):
            list(results.rows(Query(where)))
    with pytest.raises(InputError, match="no column 'x'"):
        list(results.rows(Query(order="x:desc")))
    assert list(results.rows()) == every


def test_the_commands_end_to_end(study: Path, tmp_path: Path, lpspec: Lpspec) -> None:
    store, table = tmp_path / "store", tmp_path / "rows.csv"
    said = lpspec("sweep", str(study), "--store", str(store), "--workers", "1")
    assert (said.code, said.out) == (0, f"16 points computed, 0 found in {store}\n")
    assert "4 points cannot be run" in said.err
    said = lpspec("results", str(store), "--json", "-", "--where", "error is null")
    document = json.loads(said.out)
    assert len(document["points"]) == 12
    assert document["provenance"]["studies"] == [{"name": "study.toml", "text": STUDY}]
    assert "study     study.toml" in lpspec("results", str(store)).out
    said = lpspec(
        "results",
        str(store),
        "--pareto",
        "tokens_per_s,tokens_per_j",
        "--export",
        str(table),
        "--figure",
        str(tmp_path / "f"),
    )
    assert said.code == 0, said.err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    points_of = {(p["metrics"]["tokens_per_s"], p["metrics"]["tokens_per_j"]) for p in document["points"]}
    assert {(float(row["tokens_per_s"]), float(row["tokens_per_j"])) for row in rows} <= points_of
    assert (tmp_path / "f.png").stat().st_size > 1000
    for suffix, words in ((".md", "| pim.alus |"), (".tex", "\\begin{tabular}")):
        assert lpspec("results", str(store), "--export", str(tmp_path / f"rows{suffix}")).code == 0
        assert words in (tmp_path / f"rows{suffix}").read_text()


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("sweep", "none.toml", "--store", "s"), "cannot be read"),
        (("results", "none"), "holds no study"),
        (("results", ".", "--export", "rows.xls"), "must end in"),
        (("results", ".", "--limit", "0"), "limit: must be at least 1"),
    ],
)
def test_wrong_input_is_one_line(
    argv: tuple[str, ...], why: str, lpspec: Lpspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = lpspec(*argv)
    assert_refused(said, why)
    assert list(tmp_path.iterdir()) == []
