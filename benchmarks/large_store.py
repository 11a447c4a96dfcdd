"""What a point costs in a store that grows, and what it takes to list, filter and export it.

The points are made up (a scenario of LP-Spec with other numbers, figures at random), so that only the store and what
reads it are measured: a sweep adds to this what computing its points takes.

    python benchmarks/large_store.py --points 1000000
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lpspec.explore.evaluate import METRICS
from lpspec.explore.points import Point
from lpspec.explore.store import FILE, Outcome, Store
from lpspec.explore.sweep import CLAIMED_AT_ONCE
from lpspec.scenario import Scenario

BLOCKS = 10
"""Parts of the store that are timed one by one."""

READS = (
    ("the first 20 rows", ()),
    ("a filter", ("--where", "tokens_per_s > 99.9 and pim.alus = 4")),
    ("the 20 best", ("--sort", "tokens_per_s:desc", "--limit", "20")),
    ("the front of two figures", ("--pareto", "tokens_per_s,tokens_per_j")),
    ("all rows as CSV", ("--export", "rows.csv")),
    ("all rows as Parquet", ("--export", "rows.parquet")),
)


def made_up(count: int, chance: random.Random) -> Iterator[tuple[Point, Outcome]]:
    """Points with figures, all different."""
    scenario = Scenario(systems=("lp-spec",), changes={"pim.alus": "4"})
    for number in range(count):
        values = {"pim.alus": chance.choice((2, 4, 6, 8)), "workload.prompt_tokens": number, "systems": "lp-spec"}
        figures = {name: chance.random() * 100 for name in METRICS}
        yield Point(scenario, values, f"{chance.getrandbits(256):064x}"), Outcome(figures, "analytic", None, 0.02)


def fill(folder: Path, count: int) -> None:
    """Keep points as a sweep does, and print what each takes, block by block."""
    chance, block = random.Random(0), max(1, count // BLOCKS)
    source = made_up(count, chance)
    with Store(folder, create=True) as store:
        done = 0
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        while some := [pair for _, pair in zip(range(CLAIMED_AT_ONCE), source, strict=False)]:
            store.claim([point for point, _ in some])
            for point, outcome in some:
                store.keep(point, outcome)
            done += len(some)
            if done % block < CLAIMED_AT_ONCE:
                now_s, now_cpu_s = time.perf_counter(), time.process_time()
                each_us, cpu_us = (now_s - start_s) / block * 1e6, (now_cpu_s - start_cpu_s) / block * 1e6
                print(f"{done:9} points: {each_us:6.0f} us each, {cpu_us:6.0f} us of CPU", flush=True)
                start_s, start_cpu_s = time.perf_counter(), time.process_time()


def read(folder: Path) -> None:
    """Time each command, in a process of its own."""
    for what, options in READS:
        start_s = time.perf_counter()
        pid = subprocess.Popen(
            [sys.executable, "-m", "lpspec", "results", str(folder), *options],
            stdout=subprocess.DEVNULL,
            cwd=folder,
        ).pid
        _, status, used = os.wait4(pid, 0)
        spent_s = time.perf_counter() - start_s
        said = "" if status == 0 else f" (exit code {os.waitstatus_to_exitcode(status)})"
        print(f"{what:26}{spent_s:7.1f} s, {used.ru_maxrss / 1024:7.0f} MB of memory{said}", flush=True)


def main() -> None:
    """Fill a store, then read it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made, "store")
        fill(folder, asked.points)
        size_mb = (folder / FILE).stat().st_size / 1e6
        print(f"{size_mb:.0f} MB; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory")
        read(folder)


if __name__ == "__main__":
    main()
