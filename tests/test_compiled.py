"""Compiled loops are kept where they can be, and a stale one is never found."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lpspec import compiled
from lpspec.arrays import IntArray

PACKAGE_FILES = list(compiled.PACKAGE.rglob("*.py"))
cache_folder: Callable[[], Path] = compiled._cache_folder.__wrapped__


def test_the_folder_follows_the_sources_of_all_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, other = tmp_path / "deep" / "any.py", tmp_path / "other.py"
    kernel.parent.mkdir()
    kernel.write_text("@cached_njit()\n")
    other.write_text("x = 1\n")
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    before = cache_folder()
    assert before.parent == tmp_path / "__pycache__"
    other.write_text("x = 2\n")
    assert cache_folder() == before
    kernel.write_text("@cached_njit(nogil=True)\n")
    assert cache_folder() != before


def test_a_package_that_cannot_be_written_is_cached_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled, "_writable", lambda folder: tmp_path in folder.parents)
    assert cache_folder().parent == tmp_path / "lpspec"
    monkeypatch.setattr(compiled, "_writable", lambda folder: False)
    assert cache_folder().is_dir()


def test_every_compiled_function_is_watched() -> None:
    files = {path.relative_to(compiled.PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE_FILES}
    direct = {name for name, text in files.items() if re.search(r"from numba import.*jit|numba\.njit\(", text)}
    assert direct == {"compiled.py"}, "use cached_njit, whose sources are watched"
    emitting = {name for name, text in files.items() if "import intrinsic" in text}
    assert emitting
    assert all(compiled.DECORATOR.decode() in files[name] for name in emitting), "only kernels' sources are watched"


def test_loops_imported_as_a_library_go_to_that_folder_and_no_other(tmp_path: Path) -> None:
    """Also when numba was loaded first, and without changing where anybody else's functions are cached."""
    code = """
import os, numba
from lpspec import compiled
from lpspec.decoding.compiled import exponential, layer_kernels
for loop in (layer_kernels.attend, layer_kernels.decoder_layer, layer_kernels.decoder_stack):
    print(loop._cache.cache_path)
print(compiled._cache_folder(), numba.config.CACHE_DIR == "", "NUMBA_CACHE_DIR" in os.environ)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    *paths, last = done.stdout.splitlines()
    folder, untouched, leaked = last.split()
    assert (untouched, leaked) == ("True", "False")
    assert {Path(path).parent for path in paths} == {Path(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    *paths, _ = done.stdout.splitlines()
    assert {Path(path).parent for path in paths} == {tmp_path}


def compiled_functions(call: Callable[[], object]) -> list[str]:
    """Names of the functions of this file that are compiled during a call, once for each time."""
    from numba.core import event

    with event.install_recorder("numba:compile") as recorder:
        call()
    started = [entry.data["dispatcher"].py_func for _, entry in recorder.buffer if entry.is_start]
    return [function.__name__ for function in started if function.__module__ == __name__]


def test_constants_are_no_reason_to_compile_again() -> None:
    @compiled.cached_njit()
    def added(first: int, second: int) -> int:
        return first + second

    @compiled.cached_njit()
    def added_twice(first: int) -> int:
        return added(first, 3) + added(4, first) + added(5, 6)

    found: list[int] = []
    names = compiled_functions(lambda: found.append(added_twice(1)))
    assert found == [4 + 5 + 11]
    assert os.environ.get("NUMBA_DISABLE_JIT") or sorted(names) == ["added", "added_twice"]


def test_a_function_serves_python_and_other_compiled_functions() -> None:
    @compiled.cached_njit()
    def largest(values: IntArray) -> int:
        if len(values) == 0:
            raise ValueError("no values")
        most = values[0]
        for value in values:
            most = max(most, value)
        return int(most)

    @compiled.cached_njit()
    def of_both(first: IntArray, second: IntArray) -> int:
        return largest(first) + largest(second)

    one, two = np.array([1, 5, 2]), np.array([7, 3])
    assert of_both(one, two) == 12
    assert (largest(one), largest(two)) == (5, 7)
    for call in (lambda: largest(one[:0]), lambda: of_both(one, two[:0])):
        with pytest.raises(ValueError, match="no values"):
            call()


def test_native_code_has_a_folder_beside_that_of_numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native_folder: Callable[[], Path] = compiled.native_folder.__wrapped__
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert native_folder() == compiled.PACKAGE / "__pycache__" / "native"
    assert native_folder() in compiled.cache_folders()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert native_folder() == tmp_path / "native"
