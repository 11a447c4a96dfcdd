"""Compiled loops are kept where they can be, and a stale one is never found."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import pytest

from lpspec import compiled

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
from lpspec.simulation import kernels as simulation
from lpspec.speculation import kernels as speculation
for loop in (simulation.replay_pruned, simulation.replay_fixed, speculation.grow_best_tree, speculation.learn_node):
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


def test_constants_are_no_reason_to_compile_again() -> None:
    @compiled.cached_njit(inner=True)
    def added(first: int, second: int) -> int:
        return first + second

    @compiled.cached_njit()
    def added_twice(first: int) -> int:
        return added(first, 3) + added(4, first) + added(5, 6)

    assert added_twice(1) == 4 + 5 + 11
    assert os.environ.get("NUMBA_DISABLE_JIT") or len(added.signatures) == 1  # type: ignore[attr-defined]


REPOSITORY = Path(__file__).parent.parent
CODE = [
    p for folder in ("src", "tests", "tools", "benchmarks", "examples") for p in (REPOSITORY / folder).rglob("*.py")
]


def test_inner_loops_are_called_by_loops_only() -> None:
    """Numba builds no bridge from Python to them: a call would end the process."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in CODE}
    inner = {
        (module_of(path), node.name): node
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and "inner" in keywords_of(node) and module_of(path)
    }
    assert len(inner) > 20
    wrong = [f"{path.name}:{line} {name}" for path, tree in trees.items() for line, name in outside(path, tree, inner)]
    assert not wrong


def keywords_of(function: ast.FunctionDef) -> set[str | None]:
    """Options of ``cached_njit`` on a function, with the name itself."""
    calls = [d for d in function.decorator_list if isinstance(d, ast.Call) and "cached_njit" in ast.unparse(d.func)]
    return {"cached_njit", *(k.arg for call in calls for k in call.keywords)} if calls else set()


def module_of(path: Path) -> str:
    """Name by which a file of the package is imported; empty for others."""
    source = REPOSITORY / "src"
    return ".".join(path.relative_to(source).with_suffix("").parts) if source in path.parents else ""


def outside(path: Path, tree: ast.Module, inner: Container[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    """Where a file names an inner loop outside of every compiled function: as its own, imported, or of a module."""
    origin = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def named(node: ast.AST) -> tuple[str, str]:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return ".".join(origin.get(node.value.id, ("", ""))), node.attr
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return origin.get(node.id, (module_of(path), node.id))
        return "", ""

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef) and keywords_of(child):
                continue
            if named(child) in inner:
                yield getattr(child, "lineno", 0), named(child)[1]
            yield from walk(child)

    return walk(tree)


def test_a_call_of_an_inner_loop_is_found() -> None:
    text = """
from lpspec.dram.check import log
from lpspec.dram.check.log import need as needs
@cached_njit()
def loop(): needs(1)
def plain(): needs(2)
plain(log.note)
"""
    inner = {("lpspec.dram.check.log", "need"), ("lpspec.dram.check.log", "note")}
    found = outside(REPOSITORY / "tests" / "any.py", ast.parse(text), inner)
    assert list(found) == [(6, "need"), (7, "note")]
