"""CPU of one replay, process warm: the pruner's decisions over 160 turns, Llama2-7B on LP-Spec, on four machines.

Prices do not count, only the loop over the steps; on two of the machines the best tree changes often. The steps are
counted beside it, since both builds must take as many.

    python benchmarks/earlier_build.py benchmarks/replay_speed.py
"""

import json
from importlib import import_module
from time import process_time
from typing import Any

from lpspec.api import run

CHANGES: tuple[dict[str, str], ...] = ({}, {"pim.alus": "2"}, {"pim.alus": "6"}, {"pim.alus": "8"})
ROUNDS = 7


def main() -> None:
    """Time the replay inside of whole runs, the least of some rounds."""
    took_s: list[float] = []
    simulating: Any = import_module("lpspec.simulation.run")
    replay = simulating.replay_pruned

    def timed(*arguments: Any) -> int:
        begin = process_time()
        steps: int = replay(*arguments)
        took_s.append(process_time() - begin)
        return steps

    simulating.replay_pruned = timed
    found = {}
    for changes in CHANGES:
        took_s.clear()
        for _ in range(ROUNDS):
            steps = len(run("lp-spec", model="llama2-7b", changes=changes, fidelity="analytic").steps.position)
        machine = " ".join(f"{key} = {value}" for key, value in changes.items()) or "as shipped"
        found[f"{machine}, ms"] = 1e3 * min(took_s)
        found[f"{machine}, steps"] = float(steps)
    found["all, ms"] = sum(ms for name, ms in found.items() if name.endswith("ms"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
