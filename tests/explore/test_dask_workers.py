"""Points computed by Dask: the same rows as here, and every fault of a scheduler in one line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said

from lpspec.devices.kept_prices import VARIABLE
from lpspec.engine_version import engine_version
from lpspec.errors import InputError
from lpspec.explore import dask_workers
from lpspec.explore.chosen_workers import workers
from lpspec.explore.evaluate import evaluate
from lpspec.explore.points import points
from lpspec.explore.results import Query, Results
from lpspec.explore.store import Outcome, Store
from lpspec.explore.study_file import load_study
from lpspec.explore.sweep import sweep
from lpspec.explore.workers import ThisProcess
from lpspec.scenario import Scenario

STUDY = """
[scenario]
model = "tinyllama"
fidelity = "analytic"
[scenario.workload]
new_tokens = 2
[axes]
pim.alus = [2, 4]
workload.prompt_tokens = [1, 16, 128, 4000]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def rows(store: Path) -> list[dict[str, object]]:
    return [{**row, "cpu_s": 0} for row in Results(store).rows(Query(order="key"))]


def test_rows_of_dask_are_those_of_this_process(
    lpspec: Callable[..., Said], study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setenv(VARIABLE, "off")
    by_dask = ("sweep", str(study), "--store", str(tmp_path / "there"), "--dask", "local", "--workers", "2")
    command = [sys.executable, "-m", "lpspec", *by_dask]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    *paces, last = done.stderr.splitlines()  # a line a minute, on a machine that is slow
    assert all(line.startswith("lpspec: points of study.toml: ") for line in paces)
    instead = f"lpspec results {tmp_path / 'there'} --where 'error is not null' says why"
    assert last == f"lpspec: note: 2 points cannot be run: {instead}"
    assert done.stdout.startswith("8 points computed, 0 found")
    with Store(tmp_path / "here", create=True) as store:
        sweep(load_study(study), store, ThisProcess())
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
    again = lpspec(*by_dask[:-2])  # nothing is left to compute, so nothing is started
    assert again.out.startswith("0 points computed, 8 found")


def test_interrupted_it_goes_on(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    command = [sys.executable, "-m", "lpspec", "sweep", str(study), "--store", str(tmp_path / "s"), "--dask", "local"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 120
    while not (tmp_path / "s").is_dir() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2.0)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to every process
    out, err = running.communicate(timeout=120)
    assert running.returncode in (0, 130)
    assert running.returncode == 0 or (out, err) == (b"", b"lpspec: interrupted\n")
    with Store(tmp_path / "s", create=True) as store:
        done = sweep(load_study(study), store, ThisProcess())
        assert store.count() == 8
    assert done.computed + done.found == 8


def test_what_cannot_be_used_is_said(lpspec: Callable[..., Said], study: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    for address, options, hint in (
        ("tcp://127.0.0.1:1", (), "cannot be used"),
        ("nowhere", (), "cannot be used"),
        ("spam://127.0.0.1:1", (), "cannot be used"),
        ("tcp://127.0.0.1:1", ("--workers", "2"), "has its own workers"),
    ):
        said = lpspec("sweep", str(study), "--store", str(tmp_path / "s"), "--dask", address, *options)
        assert (said.code, said.out) == (2, "")
        assert said.err.count("\n") == 1
        assert hint in said.err
        assert len(said.err) <= 201


def test_without_dask_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'lpspec\[dask\]'"):
        workers(None, "local")


def test_a_worker_of_another_version_computes_nothing(study: Path) -> None:
    values = next(points(load_study(study))).scenario.to_dict()
    assert dask_workers._computed(evaluate, values, "0.1+other") == (
        f"a worker has version {engine_version()}, and this is 0.1+other: install the same on all"
    )
    outcome = dask_workers._computed(evaluate, values, engine_version())
    assert isinstance(outcome, Outcome)
    assert outcome.metrics == evaluate(values).metrics


def test_phases_are_known_to_other_workers_after_the_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the process ends, so that those that run beside it need not time them again."""
    import sqlite3

    monkeypatch.setenv(VARIABLE, str(tmp_path / "prices.sqlite"))
    scenario = Scenario(model="tinyllama", systems=("lp-spec",), fidelity="command")
    assert evaluate(scenario.replace(new_tokens=2, prompt_tokens=8).to_dict()).error is None
    count = sqlite3.connect(tmp_path / "prices.sqlite").execute("select count(*) from prices").fetchone()[0]
    assert count > 0
