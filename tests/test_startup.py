"""The command answers at once: asking for help loads nothing heavy."""

import importlib
import subprocess
import sys

import pytest

from lpspec.cli.main import run
from lpspec.cli.overview import COMMANDS, GROUPS

HEAVY = ("numpy", "numba", "pydantic", "matplotlib", "torch", "tokenizers", "cyclopts", "rich")
ASK_FOR_HELP = f"""
import sys
from lpspec.cli.main import main
sys.argv = ["lpspec", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *[name for name in {HEAVY} if name in sys.modules])
"""


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", ASK_FOR_HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_command_at_any_width(
    argv: list[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(argv) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= max(width, 40)
    words = " ".join(said.split())
    assert all(f" {name} {summary}" in words for name, summary in COMMANDS.items())


def test_the_overview_says_what_the_commands_say_first() -> None:
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"lpspec.cli.{name}")
        said = module.app.help if name in GROUPS else getattr(module, name).__doc__
        assert said.strip().startswith(summary.rstrip(".")), name
