"""The command answers at once: asking for help loads nothing heavy."""

import subprocess
import sys

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
