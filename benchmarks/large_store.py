"""What a point costs in a store that grows, and what it takes to list, filter, sort and export it, and to report on it.

The points are made up (a scenario of LP-Spec with other numbers, figures at random), so that only the store and what
reads it are measured: a sweep adds to this what computing its points takes. Some are claimed and kept one by one, as a
sweep does; between these the file is filled with more rows of the same kind.

    python benchmarks/large_store.py --points 1000000
"""

import argparse
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lpspec.explore.evaluate import METRICS
from lpspec.explore.points import Point
from lpspec.explore.store import FILE, Outcome, Store
from lpspec.explore.sweep import CLAIMED_AT_ONCE
from lpspec.scenario import Scenario

KEPT_ONE_BY_ONE = 2_000
"""Points that are timed at each size of the store."""

SMALLEST = 10_000
FILLED_AT_ONCE = 20_000

READS = (
    ("the first 20 rows", ("results",), ()),
    ("a filter", ("results",), ("--where", "tokens_per_s > 99.9 and pim.alus = 4")),
    ("the 20 best", ("results",), ("--sort", "tokens_per_s:desc", "--limit", "20")),
    ("the front of two figures", ("results",), ("--pareto", "tokens_per_s,tokens_per_j")),
    ("all rows as CSV", ("results",), ("--export", "rows.csv")),
    ("all rows as Parquet", ("results",), ("--export", "rows.parquet")),
    ("all rows, sorted, as CSV", ("results",), ("--sort", "edp_s_mj", "--export", "sorted.csv")),
    ("all rows as JSON", ("results",), ("--json", "rows.json")),
    ("a page of 1 in 100", ("report",), ("--output", "page.html", "--where", "tokens_per_s > 99")),
    ("a page of all", ("report",), ("--output", "all.html")),
)

MORE_ROWS = f"""
with recursive numbers(i) as (select :from union all select i + 1 from numbers where i < :to)
insert into points (key, engine, system, fidelity, error, cpu_s, varied, metrics, scenario)
select lower(hex(randomblob(32))), engine, system, fidelity, error, cpu_s,
json_object('pim.alus', 2 + 2 * (abs(random()) % 4), 'workload.prompt_tokens', i, 'systems', 'lp-spec'),
json_object({", ".join(f"'{name}', abs(random()) / 9223372036854775808.0 * 100" for name in METRICS)}), scenario
from numbers, (select * from points limit 1)
"""


def made_up(count: int, chance: random.Random) -> Iterator[tuple[Point, Outcome]]:
    """Points with figures, all different."""
    scenario = Scenario(systems=("lp-spec",), changes={"pim.alus": "4"})
    for number in range(count):
        values = {"pim.alus": chance.choice((2, 4, 6, 8)), "workload.prompt_tokens": number, "systems": "lp-spec"}
        figures = {name: chance.random() * 100 for name in METRICS}
        yield Point(scenario, values, f"{chance.getrandbits(256):064x}"), Outcome(figures, "analytic", None, 0.02)


def keep_some(folder: Path, count: int, chance: random.Random) -> None:
    """Keep points as a sweep does, and print what each takes."""
    source = made_up(count, chance)
    with Store(folder, create=True) as store:
        held = store.count()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        while some := list(islice(source, CLAIMED_AT_ONCE)):
            store.claim([point for point, _ in some])
            for point, outcome in some:
                store.keep(point, outcome)
        each_us = (time.perf_counter() - start_s) / count * 1e6
        cpu_us = (time.process_time() - start_cpu_s) / count * 1e6
        print(f"beside {held:9} points: {each_us:6.0f} us each, {cpu_us:6.0f} us of CPU", flush=True)


def fill(folder: Path, count: int) -> None:
    """Add rows like those that are there, until there are so many."""
    file = sqlite3.connect(folder / FILE, isolation_level=None)
    held = file.execute("select sum(points) from counts").fetchone()[0]
    while held < count:
        more = min(FILLED_AT_ONCE, count - held)
        file.execute("begin immediate")
        file.execute(MORE_ROWS, {"from": held, "to": held + more - 1})
        file.execute("update counts set points = points + ?", (more,))
        file.execute("commit")
        held += more
    file.close()


def grow(folder: Path, count: int) -> None:
    """Fill a store to ten, a hundred and more thousand points, and time some at each size."""
    chance, size = random.Random(0), SMALLEST
    keep_some(folder, min(KEPT_ONE_BY_ONE, count), chance)
    while size < count:
        fill(folder, size)
        keep_some(folder, KEPT_ONE_BY_ONE, chance)
        size *= 10
    fill(folder, count - KEPT_ONE_BY_ONE)
    keep_some(folder, KEPT_ONE_BY_ONE, chance)


def read(folder: Path, only: str) -> None:
    """Time each command, in a process of its own."""
    for what, command, options in READS:
        if not what.startswith(only):
            continue
        start_s = time.perf_counter()
        pid = subprocess.Popen(
            [sys.executable, "-m", "lpspec", *command, str(folder), *options],
            stdout=subprocess.DEVNULL,
            cwd=folder,
        ).pid
        _, status, used = os.wait4(pid, 0)
        spent_s, cpu_s = time.perf_counter() - start_s, used.ru_utime + used.ru_stime
        said = "" if status == 0 else f" (exit code {os.waitstatus_to_exitcode(status)})"
        memory_mb = used.ru_maxrss / 1024
        print(f"{what:26}{spent_s:7.1f} s, {cpu_s:6.1f} s of CPU, {memory_mb:5.0f} MB of memory{said}", flush=True)


def main() -> None:
    """Fill a store, then read it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--store", type=Path, help="where it is kept, and read again if it is there")
    parser.add_argument("--only", default="", help="ways of reading whose name begins so")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (asked.store or Path(made, "store")).resolve()
        if not (folder / FILE).is_file():
            grow(folder, asked.points)
        size_mb = (folder / FILE).stat().st_size / 1e6
        print(f"{size_mb:.0f} MB; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory")
        read(folder, asked.only)


if __name__ == "__main__":
    main()
