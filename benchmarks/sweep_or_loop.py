"""Points per CPU second of ``lpspec sweep`` at the analytic level, beside a shell loop over ``lpspec compare --json``.

LP-Spec variants with Llama2-7B over all turns of the trace; the loop runs a few of the same points, each in a process
of its own, as a script without sweeps would. CPU seconds are those of all processes. The sweep is run by one process
and by two, in wall time, which says something where nothing else runs on the machine.

    python benchmarks/sweep_or_loop.py --points 600 --loop 6
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

STUDY = """
[scenario]
model = "llama2-7b"
fidelity = "analytic"
[axes]
pim.alus = [2, 4, 6, 8]
npu.cores = [2, 4, 8]
workload.prompt_tokens = {{ from = 16, to = 1024, steps = {steps} }}
"""
VARIANTS = 12
"""Machines of the study."""


def timed(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command, its processes included."""
    start_s = time.perf_counter()
    before = os.times()
    subprocess.run([sys.executable, "-m", "lpspec", *words], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start_s, cpu_s


def loop_cpu_s(count: int, folder: Path) -> float:
    """CPU seconds of a point in a process of its own."""
    spent_s = 0.0
    for number in range(count):
        alus, cores, prompt = (2, 4, 6, 8)[number % 4], (2, 4, 8)[number % 3], 16 + 7 * number
        changes = ("--set", f"pim.alus={alus}", "--set", f"npu.cores={cores}")
        given = ("--systems", "lp-spec", "--fidelity", "analytic", "--prompt-tokens", str(prompt))
        spent_s += timed(("compare", *given, *changes, "--json", "one.json"), folder)[1]
    return spent_s / count


def main() -> None:
    """Time a sweep by one process, by two, and the loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=600)
    parser.add_argument("--loop", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, count = Path(made), max(2, asked.points // VARIANTS) * VARIANTS
        (folder / "study.toml").write_text(STUDY.format(steps=count // VARIANTS))
        timed(("compare", "--systems", "lp-spec", "--fidelity", "analytic", "--json", "warm.json"), folder)
        walls = {}
        for workers in (1, 2):
            words = ("sweep", "study.toml", "--store", f"by{workers}", "--workers", str(workers))
            walls[workers], cpu_s = timed(words, folder)
            each_ms = cpu_s / count * 1e3
            print(f"{count} points, {workers} worker(s): {walls[workers]:.1f} s, {each_ms:.1f} ms of CPU a point")
            if workers == 1:
                sweep_s = cpu_s / count
        loop_s = loop_cpu_s(asked.loop, folder)
        print(f"a loop over compare --json: {loop_s:.2f} s of CPU a point")
        print(f"points per CPU second: {loop_s / sweep_s:.0f} times those of the loop")
        print(f"two workers: {walls[1] / walls[2]:.2f} times one")


if __name__ == "__main__":
    main()
