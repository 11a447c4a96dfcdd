"""CPU of one point of a sweep, process warm: variants of LP-Spec, Llama2-7B, 160 turns, analytically.

python benchmarks/earlier_build.py benchmarks/sweep_speed.py --revision 443f59d
"""

import json
from itertools import product
from time import process_time

from lpspec.explore.evaluate import evaluate
from lpspec.scenario import Scenario

CHANGES = [
    {"pim.alus": alus, "pim.concurrent_ranks": ranks, "memory.data_rate": rate, "npu.cores": cores}
    for alus, ranks, (rate, cores) in product("2346", "123", (("6400 Mbps", "16"), ("8533 Mbps", "8")))
]


def cpu_s(changes: dict[str, str]) -> float:
    """Of one machine that was not met before."""
    point = Scenario(model="llama2-7b", systems=("lp-spec",), changes=changes, fidelity="analytic").to_dict()
    begin = process_time()
    outcome = evaluate(point)
    took_s = process_time() - begin
    assert outcome.error is None, outcome.error
    return took_s


if __name__ == "__main__":
    cpu_s({})
    cpu_s({"pim.alus": "5"})
    took_s = [cpu_s(changes) for changes in CHANGES]
    print(json.dumps({"a point, ms": 1e3 * sum(took_s) / len(took_s), "the worst, ms": 1e3 * max(took_s)}))
