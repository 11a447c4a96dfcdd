"""CPU of a point of a sweep at command level, process warm: variants of LP-Spec, Llama2-7B, 160 turns.

    python benchmarks/command_sweep_speed.py --memories 4

The whole sweep would be 10,000 points: 216 memories with PIM, whose phases differ, 46 NPUs and policies each. Of these,
all points of some memories are taken at random, so that phases are run as often as they would be in all of it; nothing
is kept from earlier processes. The last number is how long 10,000 points take on two cores, each at that pace.
"""

import argparse
import json
import os
from itertools import product
from random import Random
from time import process_time
from typing import Any

from lpspec.devices.kept_prices import OFF, VARIABLE
from lpspec.explore.evaluate import evaluate
from lpspec.scenario import Scenario

MEMORIES: dict[str, tuple[str, ...]] = {
    "pim.alus": ("1", "2", "3", "4", "6", "8"),
    "pim.concurrent_ranks": ("1", "2", "3"),
    "pim.mac_interval": ("5 ns", "6.25 ns", "7.5 ns"),
    "pim.mode_switch": ("60 ns", "180 ns"),
    "memory.data_rate": ("6400 Mbps", "8533 Mbps"),
}
NPUS: dict[str, tuple[str, ...]] = {
    "memory.bus_efficiency": ("0.7", "0.85"),
    "npu.cores": ("8", "16", "32"),
    "npu.clock": ("800 MHz", "1 GHz"),
}
TREES = ("dtp", "4", "8", "16")
OBJECTIVES = ("edp", "throughput")
OF_EACH = 46


def points(memories: int) -> list[dict[str, Any]]:
    """The scenarios of so many memories, always the same."""
    random = Random(1)
    others = list(product(*NPUS.values(), TREES, OBJECTIVES))
    found = []
    for memory in random.sample(list(product(*MEMORIES.values())), memories):
        for *npu, tree, objective in random.sample(others, OF_EACH):
            changes = dict(zip((*MEMORIES, *NPUS), (*memory, *npu), strict=True))
            one = Scenario(
                model="llama2-7b",
                systems=("lp-spec",),
                changes=changes,
                fidelity="command",
                tree=tree,
                objective=objective,  # type: ignore[arg-type]
            )
            found.append(one.to_dict())
    return found


def cpu_s(point: dict[str, Any]) -> float:
    """Of one point."""
    begin = process_time()
    outcome = evaluate(point)
    took_s = process_time() - begin
    assert outcome.error is None, outcome.error
    return took_s


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="CPU of points of a sweep at command level.")
    parser.add_argument("--memories", type=int, default=4, help="of how many memories all points are priced")
    asked = parser.parse_args()
    os.environ[VARIABLE] = OFF
    cpu_s(Scenario(model="llama2-7b", systems=("lp-spec",), fidelity="command").to_dict())
    took_s = [cpu_s(point) for point in points(asked.memories)]
    firsts = took_s[::OF_EACH]
    mean_s = sum(took_s) / len(took_s)
    numbers = {
        "points": len(took_s),
        "the first of a memory, ms": 1e3 * sum(firsts) / len(firsts),
        "a point, ms": 1e3 * mean_s,
        "10,000 points on two cores, min": 1e4 * mean_s / 2 / 60,
    }
    print(json.dumps({name: round(number, 1) for name, number in numbers.items()}))
