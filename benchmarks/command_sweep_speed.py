"""CPU of a point of a sweep at command level, process warm: variants of LP-Spec, Llama2-7B, 160 turns, in random order.

    python benchmarks/command_sweep_speed.py --points 300

Points are taken at random from a grid of 20,736 machines and policies, and nothing is kept from earlier processes. The
first 50 are priced before the clock starts, for a sweep of thousands knows by then what its machines share. The last
number is how long 10,000 points take on two cores, each at that pace.
"""

import argparse
import json
import os
from itertools import product
from math import prod
from random import Random
from time import process_time
from typing import Any

from lpspec.devices.kept_prices import OFF, VARIABLE
from lpspec.explore.evaluate import evaluate
from lpspec.scenario import Scenario

AXES: dict[str, tuple[str, ...]] = {
    "pim.alus": ("1", "2", "3", "4", "6", "8"),
    "pim.concurrent_ranks": ("1", "2", "3"),
    "pim.mac_interval": ("5 ns", "6.25 ns", "7.5 ns"),
    "pim.mode_switch": ("60 ns", "180 ns"),
    "memory.data_rate": ("6400 Mbps", "8533 Mbps"),
    "memory.bus_efficiency": ("0.7", "0.85"),
    "npu.cores": ("8", "16", "32"),
    "npu.clock": ("800 MHz", "1 GHz"),
}
TREES = ("dtp", "4", "8", "16")
OBJECTIVES = ("edp", "throughput")
WARM = 50


def points(n: int) -> list[dict[str, Any]]:
    """So many different scenarios of the grid, always the same."""
    sizes = [len(values) for values in (*AXES.values(), TREES, OBJECTIVES)]
    chosen = Random(1).sample(range(prod(sizes)), n)
    grid = list(product(*AXES.values(), TREES, OBJECTIVES))
    return [scenario(*grid[place]) for place in chosen]


def scenario(*place: Any) -> dict[str, Any]:
    """One point as a table of a sweep has it."""
    *values, tree, objective = place
    changes = dict(zip(AXES, values, strict=True))
    one = Scenario(
        model="llama2-7b", systems=("lp-spec",), changes=changes, fidelity="command", tree=tree, objective=objective
    )
    return one.to_dict()


def cpu_s(point: dict[str, Any]) -> float:
    """Of one point."""
    begin = process_time()
    outcome = evaluate(point)
    took_s = process_time() - begin
    assert outcome.error is None, outcome.error
    return took_s


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="CPU of points of a sweep at command level.")
    parser.add_argument("--points", type=int, default=300)
    asked = parser.parse_args()
    os.environ[VARIABLE] = OFF
    found = [cpu_s(point) for point in points(WARM + asked.points)]
    first, later = found[:WARM], found[WARM:]
    mean_s = sum(later) / len(later)
    numbers = {
        "each of the first 50, ms": 1e3 * sum(first) / WARM,
        "a point, ms": 1e3 * mean_s,
        "the worst, ms": 1e3 * max(later),
        "10,000 points on two cores, min": 1e4 * mean_s / 2 / 60,
    }
    print(json.dumps({name: round(number, 1) for name, number in numbers.items()}))
