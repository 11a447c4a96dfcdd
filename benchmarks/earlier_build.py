"""Run one script under an earlier build and under this one, in turns, and print how they compare.

    python benchmarks/earlier_build.py benchmarks/memory_speed.py
    python benchmarks/earlier_build.py SCRIPT --revision 7a34079 --rounds 5

The script runs unchanged under both, each time in a process of its own, and prints one JSON object of numbers by name,
such as seconds of CPU that it has measured itself after a warm-up. Of each number the least of all rounds counts. The
earlier source is taken from git into a temporary folder that stays, so that its loops are compiled once.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

Numbers = dict[str, float]

ROOT = Path(__file__).parents[1]
BASELINE = "7a34079"
"""The build before the memory model became faster; every stated ratio is against it."""


def source_of(revision: str) -> Path:
    """The folder to import an earlier build from."""
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    folder = Path(tempfile.gettempdir()) / f"lpspec-{commit[:12]}-{os.getuid()}"
    if not folder.exists():
        packed = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, check=True, capture_output=True).stdout
        with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked, tarfile.open(fileobj=BytesIO(packed)) as tar:
            tar.extractall(unpacked, filter="data")
            Path(unpacked, "src").rename(folder)
    return folder


def numbers_of(script: Path, source: Path) -> Numbers:
    """What a script prints when it imports the package from a folder."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    environment.pop("NUMBA_CACHE_DIR", None)  # each build keeps its compiled loops beside its own source
    done = subprocess.run([sys.executable, str(script)], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return {name: float(number) for name, number in json.loads(done.stdout).items()}


def in_turns(script: Path, revision: str = BASELINE, rounds: int = 3) -> tuple[Numbers, Numbers]:
    """The least of each number under the earlier build and under this one, the two taking turns.

    Args:
        script: Prints one JSON object of numbers by name, the same names under both.
        revision: The earlier build.
        rounds: Runs of each that count; one more goes before, which compiles.
    """
    sources = (source_of(revision), ROOT / "src")
    for source in sources:
        numbers_of(script, source)
    runs = [tuple(numbers_of(script, source) for source in sources) for _ in range(rounds)]
    earlier, now = ({name: min(run[k][name] for run in runs) for name in runs[0][k]} for k in range(2))
    return earlier, now


def main() -> None:
    """Print a line for each number: under the earlier build, under this one, and the ratio."""
    parser = argparse.ArgumentParser(description="Run one script under an earlier build and under this one.")
    parser.add_argument("script", type=Path)
    parser.add_argument("--revision", default=BASELINE)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    earlier, now = in_turns(asked.script, asked.revision, asked.rounds)
    width = max(map(len, earlier))
    print(f"{'':{width}}  {asked.revision:>10}  {'now':>10}  ratio")
    for name in earlier:
        print(f"{name:{width}}  {earlier[name]:10.4g}  {now[name]:10.4g}  {earlier[name] / now[name]:5.2f}")


if __name__ == "__main__":
    main()
