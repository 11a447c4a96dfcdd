"""Two commands issued as one, and a command known before it is chosen: the same stream as without these shortcuts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import run_requests
from lpspec.machine.loading import load_die

GAPS = [0, 0, 1, 9, 90]
CASES: list[tuple[str, dict[str, str | int], float, list[int]]] = [
    ("lpddr5-6400-8gb", {"ranks": 1}, 0.0, GAPS),
    ("lpddr5-6400-8gb", {"ranks": 4, "refresh": "per-bank"}, 0.3, GAPS),
    ("lpddr5-6400-8gb", {"ranks": 2, "age_cap": 250}, 0.2, [0]),
    ("lpddr5x-9600", {"ranks": 2, "page": "closed", "age_cap": 300}, 0.3, GAPS),
    ("lpddr5x-9600", {"ranks": 3, "page": "timeout", "page_timeout": 40, "wck": "always-on"}, 0.5, GAPS),
    ("lpddr6-10667-16gb", {"ranks": 1}, 0.1, [0]),
    ("lpddr6-10667-16gb", {"ranks": 4, "postpone": 3}, 0.3, [0, 3]),
]
WITHOUT = """
import sys
from lpspec.dram.engine import loop
loop.opens_at_once = lambda *_: False
loop.column_is_next = lambda *_: False
sys.path.insert(0, sys.argv[1])
from test_shortcuts import CASES, stream_of
for case in CASES:
    print(stream_of(*case).tolist())
"""


def stream_of(die: str, policies: dict[str, str | int], writes: float, gaps: list[int]) -> NDArray[np.int64]:
    """CK, command, bank and row of each command for some requests that come at random times."""
    device, controller, draw = load_die(die), Controller(**policies), np.random.default_rng(3)  # type: ignore[arg-type]
    requests = np.zeros((150, 5), np.int64)
    requests[:, 0] = np.cumsum(draw.choice(gaps, 150))
    requests[:, 1] = draw.random(150) < writes
    for column, limit, step in ((2, 16 * controller.ranks, 1), (3, 3, 1), (4, 4, 16)):
        requests[:, column] = draw.integers(0, limit, 150) * step
    run = run_requests(requests, device, controller, keep_commands=True)
    assert run.commands is not None
    code = np.unique(run.commands["command"], return_inverse=True)[1]
    return np.stack([run.commands["ck"], code, run.commands["rank"], run.commands["row"]], 1).astype(np.int64)


@pytest.fixture(scope="module")
def without() -> list[NDArray[np.int64]]:
    """The streams as plain Python has them, each command chosen anew and issued by itself."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    given = [sys.executable, "-c", WITHOUT, str(Path(__file__).parent)]
    done = subprocess.run(given, env=environment, check=True, capture_output=True, text=True)
    return [np.array(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_shortcuts_change_no_command(case: int, without: list[NDArray[np.int64]]) -> None:
    np.testing.assert_array_equal(stream_of(*CASES[case]), without[case])
