"""Give every reader of the package inputs that nobody would write, and say what each brought about.

An input may be refused, in lines of at most 200 characters, or read. Anything else is a fault: another exception, a
warning, code that is run, a file that is written, more than two CPU seconds. The same seed gives the same inputs.

    python tools/fuzz.py --inputs 1000000 --seed 1 --faults out/faults
    python tools/fuzz.py --inputs 1000000 --seed 1 --only "study;store"    # of these, the same inputs
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzzing.guard import Fault, Guard, strict_warnings
from fuzzing.targets import Target, targets

MOST_MEMORY_BYTES = 16 << 30
"""Of this process: an input that makes a reader ask for more meets an error."""


@dataclass
class Findings:
    """What the inputs of one target brought about.

    Attributes:
        inputs: How many were read.
        refused: Of these, in a line that says why.
        faults: An input for each kind of fault, with how often it came.
        slowest_s: CPU seconds of the slowest.
    """

    inputs: int = 0
    refused: int = 0
    faults: dict[str, tuple[Fault, bytes]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


def fuzz(target: Target, count: int, seed: int, guard: Guard, folder: Path) -> Findings:
    """Give a target some inputs, after those that it accepts."""
    found = Findings()
    place = folder / "input"
    (place / "store").mkdir(parents=True)
    for name, content in target.beside.items():
        (place / name).write_bytes(content)
    for data in target.seeds:  # is accepted; what is loaded or compiled at the first is no fault
        (place / target.file).write_bytes(data)
        target.read(place / target.file)
    guard.slowest_s = 0.0
    for number in range(count):
        random = Random(f"{seed} {target.name} {number}")
        data = target.mutate(random, random.choice(target.seeds))
        (place / target.file).unlink()  # a database that is open still keeps its own
        (place / target.file).write_bytes(data)
        fault, refused = guard.fault_of(lambda: target.read(place / target.file), place if target.may_write else None)
        found.inputs += 1
        found.refused += refused
        if fault is not None:
            found.counts[fault.kind] += 1
            found.faults.setdefault(fault.kind, (fault, data))
        if target.may_write:
            _clean(place, target)
    found.slowest_s = guard.slowest_s
    left = {p.name for p in place.iterdir()} - {target.file, "store", *target.beside}
    if left and not target.may_write:
        found.faults["left files"] = (Fault("left files", ", ".join(sorted(left))), b"")
        found.counts["left files"] += 1
    return found


def _clean(place: Path, target: Target) -> None:
    for path in place.iterdir():
        if path.name != target.file and path.is_file():
            path.unlink()


def main() -> int:
    """Run all targets, or those named; 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="how many, over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names, or how they begin, after ;: of all targets, run these")
    parser.add_argument("--faults", type=Path, help="folder for an input of each fault")
    asked = parser.parse_args()
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    strict_warnings()
    wanted = tuple(asked.only.split(";"))
    guard, total, start_s = Guard(), Findings(), time.process_time()
    with tempfile.TemporaryDirectory() as made:
        every = list(targets(Path(made)))
        shares = sum(target.share for target in every)
        print(f"{'input':24}{'inputs':>9}{'refused':>9}{'faults':>8}{'slowest ms':>12}{'us each':>9}")
        for target in (target for target in every if target.name.startswith(wanted)):
            count = max(1, round(asked.inputs * target.share / shares))
            before_s = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                found = fuzz(target, count, asked.seed, guard, Path(folder))
            each_us = (time.process_time() - before_s) / count * 1e6
            faults = found.counts.total()
            slowest_ms = found.slowest_s * 1e3
            print(f"{target.name:24}{count:9}{found.refused:9}{faults:8}{slowest_ms:12.0f}{each_us:9.0f}", flush=True)
            for number, (kind, (fault, data)) in enumerate(found.faults.items()):
                print(f"    {found.counts[kind]} x {kind}: {fault.detail[:150]!r}", flush=True)
                if asked.faults is not None:
                    asked.faults.mkdir(parents=True, exist_ok=True)
                    (asked.faults / f"{target.name.replace(' ', '-')}-{number}").write_bytes(data)
            total.inputs += found.inputs
            total.refused += found.refused
            total.counts.update(found.counts)
            total.slowest_s = max(total.slowest_s, found.slowest_s)
    spent_s = time.process_time() - start_s
    print(f"{total.inputs} inputs, {total.refused} refused, {total.counts.total()} faults, {spent_s:.0f} CPU s")
    return 1 if total.counts else 0


if __name__ == "__main__":
    sys.exit(main())
