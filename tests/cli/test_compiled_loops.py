"""The user hears when the inner loops have to be compiled."""

import os
import subprocess
import sys
from pathlib import Path

from lpspec.cli.compiled import NOTICE

COMPARE = [sys.executable, "-m", "lpspec", "compare", "--systems", "npu", "--new-tokens", "2"]


def test_the_user_is_told_once_and_only_when_it_compiles(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    environment.pop("NUMBA_DISABLE_JIT", None)
    cold, warm = (
        subprocess.run(COMPARE, env=environment, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert cold.stderr == f"{NOTICE}\n"
    assert warm.stderr == ""
    assert cold.stdout == warm.stdout
