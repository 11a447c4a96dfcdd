"""Kill commands at random moments, run them again, and hold what they kept against an undisturbed run.

    python tools/kill_trials.py --trials 200

Sweeps (in one process, with processes of their own, by two commands at once, by Dask), searches, recordings and reports
are started and killed by SIGKILL, with all their processes, at a random moment of the time that they take undisturbed.
After each kill the command is run again on what is there, perhaps to be killed again. At the end no point is lost, none
is there twice, none differs from the undisturbed run's, and no file is half written.
"""

import argparse
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

STUDY = """
[scenario]
model = "tinyllama"
fidelity = "analytic"
workload.new_tokens = 2
[axes]
pim.alus = [2, 4, 6]
workload.prompt_tokens = { from = 16, to = 128, steps = 4 }
"""
KILLS_OF_A_STORE = 6
LONGEST_S = 600.0
"""After which a command that was not killed is taken for one that hangs."""


@dataclass
class Tally:
    """What became of the trials of one kind.

    Attributes:
        kills: Commands that were killed before their end.
        ended: Commands that ended by themselves before they were to be killed.
        lost: Points that were kept before a kill and not after it, or not there at the end.
        doubled: Points that were there twice, or computed though they were kept.
        torn: Points or files that differ from the undisturbed run's.
        half_written: Files that were left beside a whole store.
    """

    kills: int = 0
    ended: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    half_written: int = 0


Rows = dict[str, tuple[object, ...]]


def rows_of(store: Path) -> tuple[Rows, int]:
    """What a store holds by key, all but the CPU seconds, and how many rows there are."""
    if not (store / "study.sqlite").is_file():
        return {}, 0
    file = sqlite3.connect(store / "study.sqlite", timeout=60)
    try:
        if not file.execute("select 1 from sqlite_master where name = 'points'").fetchone():
            return {}, 0
        columns = "key, engine, system, scenario, varied, metrics, fidelity, error"
        found = file.execute(f"select {columns} from points").fetchall()
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)
    finally:
        file.close()
    return {row[0]: row[1:] for row in found}, len(found)


def start(words: Sequence[str], folder: Path) -> "subprocess.Popen[bytes]":
    """Begin a command in a session of its own, so that all its processes can be killed."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", "lpspec", *words], cwd=folder, stdout=quiet, stderr=quiet, start_new_session=True
    )


def finish(words: Sequence[str], folder: Path) -> float:
    """Run a command to its end; seconds that it took."""
    start_s = time.monotonic()
    code = start(words, folder).wait(LONGEST_S)
    if code != 0:
        raise SystemExit(f"lpspec {' '.join(words)} ended with {code}")
    return time.monotonic() - start_s


def kill(running: "subprocess.Popen[bytes]", after_s: float) -> bool:
    """Kill a command and all its processes after a while; false where it had ended by itself."""
    try:
        running.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        pass
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    return True


class Kept:
    """Trials of commands that keep points in a store."""

    def __init__(self, words: Sequence[str], at_once: int = 1) -> None:
        """Say what is run.

        Args:
            words: The command, without its store.
            at_once: How many of it share a store.
        """
        self.words, self.at_once = words, at_once

    def trials(self, count: int, folder: Path, chance: random.Random) -> Tally:
        """Kill so many, on stores that go on until they are whole."""
        tally = Tally()
        took_s = finish([*self.words, "--store", "whole"], folder)
        whole, _ = rows_of(folder / "whole")
        number = 0
        while tally.kills < count:
            number += 1
            self._one_store(f"store{number}", folder, chance, tally, (count, took_s, whole))
        return tally

    def _one_store(
        self, name: str, folder: Path, chance: random.Random, tally: Tally, of: tuple[int, float, Rows]
    ) -> None:
        count, took_s, whole = of
        words = [*self.words, "--store", name]
        before: Rows = {}
        for _ in range(KILLS_OF_A_STORE):
            running = [start(words, folder) for _ in range(self.at_once)]
            after_s = chance.random() * took_s
            died = [kill(one, after_s if i == 0 else 0.01) for i, one in enumerate(running)]
            tally.kills += sum(died)
            tally.ended += len(died) - sum(died)
            now, rows = rows_of(folder / name)
            tally.lost += len(before.keys() - now.keys())
            tally.doubled += rows - len(now)
            tally.torn += sum(now[key] != row for key, row in before.items() if key in now)
            before = now
            if tally.kills >= count:
                break
        finish(words, folder)
        now, rows = rows_of(folder / name)
        tally.lost += len(whole.keys() - now.keys())
        tally.doubled += rows - len(now) + len(now.keys() - whole.keys())
        tally.torn += sum(now[key] != row for key, row in whole.items() if key in now)
        tally.half_written += len({file.name for file in (folder / name).iterdir()} - {"study.sqlite"})


class Written:
    """Trials of commands that write a file, whole or not at all."""

    def __init__(self, words: Sequence[str], output: str, prepare: Callable[[Path], None] = lambda _: None) -> None:
        """Say what is run.

        Args:
            words: The command, all but its output.
            output: Name of the file that follows them.
            prepare: Makes what it reads.
        """
        self.words, self.output, self.prepare = words, output, prepare

    def trials(self, count: int, folder: Path, chance: random.Random) -> Tally:
        """Kill so many; each time the file is as it was before, or whole."""
        tally = Tally()
        self.prepare(folder)
        (folder / "undisturbed").mkdir()
        took_s = finish([*self.words, f"undisturbed/{self.output}"], folder)
        whole = self._digest(folder / "undisturbed" / self.output)
        while tally.kills < count:
            died = kill(start([*self.words, self.output], folder), chance.random() * took_s)
            tally.kills += died
            tally.ended += not died
            file = folder / self.output
            tally.torn += file.exists() and self._digest(file) != whole
            file.unlink(missing_ok=True)
        finish([*self.words, self.output], folder)
        tally.torn += self._digest(folder / self.output) != whole
        return tally

    @staticmethod
    def _digest(file: Path) -> str:
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _with_store(folder: Path) -> None:
    finish(["sweep", "study.toml", "--store", "whole", "--workers", "1"], folder)


def _with_prompts(folder: Path) -> None:
    (folder / "prompts.jsonl").write_text('{"prompt": "The cat"}\n{"prompt": "Why"}\n')


RECORD = ["record", "--model", "demo", "--prompts", "prompts.jsonl", "--new-tokens", "4", "--to"]
KINDS: dict[str, tuple[float, Kept | Written]] = {
    "sweep, one process": (0.2, Kept(["sweep", "study.toml", "--workers", "1"])),
    "sweep, two processes": (0.2, Kept(["sweep", "study.toml", "--workers", "2"])),
    "two sweeps, one store": (0.15, Kept(["sweep", "study.toml", "--workers", "1"], at_once=2)),
    "sweep by Dask": (0.15, Kept(["sweep", "study.toml", "--dask", "local", "--workers", "2"])),
    "search": (0.1, Kept(["search", "study.toml", "--workers", "1", "--trials", "12", "--confirm", "1"])),
    "record": (0.1, Written(RECORD, "trace.npz", _with_prompts)),
    "report": (0.1, Written(["report", "whole", "--output"], "page.html", _with_store)),
}
"""Commands, and their share of the trials."""


def main() -> int:
    """Run all kinds, or those named, and print what became of each; 1 where anything is lost, doubled or torn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="kills, over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name begins so")
    asked = parser.parse_args()
    if any(name.startswith(asked.only) for name in KINDS if "Dask" in name) and find_spec("distributed") is None:
        parser.error("trials by Dask need it: pip install 'lpspec[dask]', or name other kinds by --only")
    wrong = total = 0
    print(f"{'command':24}{'kills':>6}{'ended':>7}{'lost':>6}{'doubled':>9}{'torn':>6}{'half written':>14}", flush=True)
    for name, (share, kind) in KINDS.items():
        if not name.startswith(asked.only):
            continue
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "study.toml").write_text(STUDY)
            count = max(1, round(asked.trials * share))
            tally = kind.trials(count, folder, random.Random(f"{asked.seed} {name}"))
        t = tally
        print(f"{name:24}{t.kills:6}{t.ended:7}{t.lost:6}{t.doubled:9}{t.torn:6}{t.half_written:14}", flush=True)
        total += t.kills
        wrong += t.lost + t.doubled + t.torn + t.half_written
    print(f"{total} kills, {wrong} points or files lost, doubled, torn or half written")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
