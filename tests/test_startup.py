"""The command answers at once: asking for help loads nothing heavy."""

import importlib
import subprocess
import sys

from lpspec.cli.main import COMMANDS, GROUPS

HEAVY = ("numpy", "numba", "pydantic", "matplotlib", "torch", "tokenizers")
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
    for command in ("compare", "inspect", "reproduce"):
        assert command in done.stdout


def test_the_overview_says_what_the_commands_say_first() -> None:
    for name, summary in COMMANDS.items():
        module = importlib.import_module(f"lpspec.cli.{name}")
        said = module.app.help if name in GROUPS else getattr(module, name).__doc__
        assert said.strip().startswith(summary.rstrip(".")), name
