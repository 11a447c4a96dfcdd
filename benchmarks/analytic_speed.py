"""CPU of new machines at the analytic level, process warm: LP-Spec, Llama2-7B, 160 turns.

python benchmarks/earlier_build.py benchmarks/analytic_speed.py
"""

import json
from time import process_time

from lpspec.api import run

CHANGES = (
    {"pim.alus": "2"},
    {"pim.alus": "6"},
    {"pim.alus": "8"},
    {"npu.cores": "8"},
    {"memory.channels": "2"},
    {"pim.mac_interval": "10 ns"},
    {"npu.clock": "800 MHz"},
    {"pim.mode_switch": "60 ns"},
)


def cpu_s(changes: dict[str, str]) -> float:
    begin = process_time()
    run("lp-spec", model="llama2-7b", changes=changes, fidelity="analytic")
    return process_time() - begin


if __name__ == "__main__":
    cpu_s({})
    cpu_s({"pim.alus": "3"})
    took_s = [cpu_s(changes) for changes in CHANGES]
    print(json.dumps({"8 machines, s": sum(took_s), "worst, s": max(took_s)}))
