"""Run command lines in this process and keep what they left behind."""

import contextlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lpspec.cli.compiled import NOTICE
from lpspec.cli.main import run


@dataclass(frozen=True)
class Said:
    """What a command line left behind."""

    code: int
    out: str
    err: str

    @property
    def numbers(self) -> list[list[str]]:
        """Rows of the first table, cell by cell."""
        lines = self.out.splitlines()
        rule = next(i for i, line in enumerate(lines) if "────" in line)
        rows = lines[rule + 1 :]
        return [row.split() for row in rows[: next(i for i, row in enumerate(rows) if not row.strip())]]


def run_command(argv: Sequence[str]) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patch.dict(os.environ):
        os.environ.pop("COLUMNS", None)  # whatever width the tests are run at
        try:
            code = run(argv)
        except SystemExit as stop:  # --help and --version
            code = int(stop.code or 0)
    # which test is the first to compile is chance; tests/cli/test_compiled_loops.py sees to what is said then
    return Said(code, out.getvalue(), err.getvalue().replace(f"{NOTICE}\n", ""))


def document(said: Said) -> dict[str, Any]:
    """What a command that succeeded printed as JSON."""
    assert said.code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


def assert_refused(said: Said, *hints: str) -> None:
    """One line on the error stream that says why, exit code 2, and nothing printed."""
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("lpspec: ")
    assert said.err.endswith("\n")
    assert len(said.err) <= 201
    for hint in hints:
        assert hint in said.err


@dataclass(frozen=True)
class Results:
    """A command that wrote everything it can write."""

    said: Said
    document: dict[str, Any]
    folder: Path
