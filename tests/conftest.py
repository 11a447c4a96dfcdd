"""What every test runs under, and commands for tests; the two big ones run once."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Results, Said, run_command
from hypothesis import settings

settings.register_profile("drawn", deadline=None)  # a first call compiles, and processors differ
settings.register_profile("same", settings.get_profile("drawn"), derandomize=True)
settings.load_profile("same")  # what is green for one is green for all; `make draw` draws anew
os.environ["LPSPEC_PRICES"] = "off"  # what an earlier run kept must not hide what this one does


@pytest.fixture
def lpspec() -> Callable[..., Said]:
    """Run ``lpspec`` with these arguments."""
    return lambda *argv: run_command(argv)


def _results(folder: Path, *argv: str) -> Results:
    said = run_command([*argv, "--json", str(folder / "result.json"), "--figure", str(folder / "new" / "figure")])
    assert said.code == 0, said.err
    return Results(said, json.loads((folder / "result.json").read_text("utf-8")), folder)


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every system, a few tokens a turn."""
    return _results(tmp_path_factory.mktemp("compare"), "compare", "--new-tokens", "40", "--basis", "published")


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The main job."""
    return _results(tmp_path_factory.mktemp("reproduce"), "reproduce")
