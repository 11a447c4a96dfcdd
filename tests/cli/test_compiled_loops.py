"""Compiled loops are kept where they can be, and the user hears when they have to be made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lpspec.cli import compiled

COMPARE = [sys.executable, "-m", "lpspec", "compare", "--systems", "npu", "--new-tokens", "2", "--tree", "mc_sim_7b_63"]


def test_the_user_is_told_once_and_only_when_it_compiles(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    environment.pop("NUMBA_DISABLE_JIT", None)
    cold, warm = (
        subprocess.run(COMPARE, env=environment, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert cold.stderr == f"{compiled.NOTICE}\n"
    assert warm.stderr == ""
    assert cold.stdout == warm.stdout


def test_the_folder_follows_the_sources_of_all_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in compiled.KERNELS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    before = compiled._cache_folder()
    assert before.parent == tmp_path / "__pycache__"
    (tmp_path / compiled.KERNELS[1]).write_text("x = 2\n")
    assert compiled._cache_folder() != before


def test_a_package_that_cannot_be_written_is_cached_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled, "_writable", lambda folder: tmp_path in folder.parents)
    assert compiled._cache_folder().parent == tmp_path / "lpspec"
    monkeypatch.setattr(compiled, "_writable", lambda folder: False)
    assert compiled._cache_folder().is_dir()


def test_every_kernel_file_is_watched() -> None:
    found = {path.relative_to(compiled.PACKAGE).as_posix() for path in compiled.PACKAGE.rglob("kernels.py")}
    assert set(compiled.KERNELS) == found
