"""A disk that is full and a folder that cannot be written: one line, exit code 2, and what was kept stays."""

import importlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Said

from lpspec.explore.evaluate import evaluate
from lpspec.explore.points import points
from lpspec.explore.results import Results
from lpspec.explore.store import Outcome, Store
from lpspec.explore.study_file import load_study

STUDY = """
[scenario]
model = "tinyllama"
fidelity = "analytic"
workload.new_tokens = 2
[axes]
workload.prompt_tokens = { from = 1, to = 100, steps = 100 }
"""
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may read: those of pytest are the user's own."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        path.chmod(0o755)
        (path / "study.toml").write_text(STUDY)
        yield path


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit of the system")
def test_a_disk_that_fills_up_is_one_line(folder: Path) -> None:
    def fill_up() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as if no byte more had room

    assert evaluate(next(points(load_study(folder / "study.toml"))).scenario.to_dict()).error is None  # compiles loops
    command = [sys.executable, "-B", "-m", "lpspec", "sweep", "study.toml", "--store", "s", "--workers", "1"]
    done = subprocess.run(command, cwd=folder, preexec_fn=fill_up, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lpspec: store 's/study.sqlite' cannot be used: ")
    assert done.stderr.count("\n") == 1
    with Store(folder / "s") as store:
        assert 0 < store.count() < 100


@pytest.fixture
def as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    for module in ("cli.results", "cli.report", "explore.sweep", "report.rows_files", "report.page.study"):
        importlib.import_module(f"lpspec.{module}")  # Python itself may lie where nobody may read
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.fixture
def kept(folder: Path) -> Path:
    with Store(folder / "s", create=True) as store:
        for point in points(load_study(folder / "study.toml")):
            store.keep(point, Outcome({"tokens_per_s": 1.0}, "analytic", None, 0.1))
    (folder / "s" / "study.sqlite").chmod(0o444)
    (folder / "s").chmod(0o555)
    folder.chmod(0o555)
    return folder


def test_a_folder_that_cannot_be_written_is_one_line(
    kept: Path, as_nobody: None, monkeypatch: pytest.MonkeyPatch, lpspec: Callable[..., Said]
) -> None:
    monkeypatch.chdir(kept)
    for argv in (
        ("sweep", "study.toml", "--store", "new", "--workers", "1"),
        ("sweep", "study.toml", "--store", "s", "--workers", "1"),
        ("results", "s", "--export", "rows.csv"),
        ("report", "s", "-o", "page.html"),
    ):
        said = lpspec(*argv)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert len(said.err) <= 201
    assert sorted(path.name for path in kept.rglob("*")) == ["s", "study.sqlite", "study.toml"]


def test_after_it_all_points_are_there(kept: Path) -> None:
    found = Results(kept / "s")
    assert found.count() == 100
    found.close()
