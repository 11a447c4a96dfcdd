"""CPU of new machines at command level, process warm: LP-Spec, 160 turns, 24 machines of the kinds that are explored.

    python benchmarks/earlier_build.py benchmarks/new_machine_speed.py --rounds 1
    python benchmarks/new_machine_speed.py --exact llama2-7b

With ``--exact`` it prints, instead of the object of numbers, how far token/s, token/J and the time of the prompt are
from those of phases that were all run by themselves over 256 refresh intervals, and the error bound, in per cent.
"""

import json
import os
import sys
from dataclasses import replace
from time import process_time

from lpspec.api import run

CHANGES: tuple[dict[str, str], ...] = (
    {"pim.alus": "2"},
    {"pim.alus": "6"},
    {"pim.alus": "8"},
    {"pim.banks_per_mpu": "1"},
    {"pim.mode_switch": "60 ns"},
    {"pim.mac_interval": "10 ns"},
    {"pim.mac_interval": "6.25 ns"},
    {"pim.concurrent_ranks": "1"},
    {"pim.concurrent_ranks": "2"},
    {"pim.concurrent_ranks": "2", "pim.alus": "6"},
    {"memory.pim_ranks": "2", "pim.concurrent_ranks": "2"},
    {"memory.pim_ranks": "1", "pim.concurrent_ranks": "1", "memory.organisation.rows": "131072"},
    {"memory.channels": "2", "memory.organisation.rows": "131072"},
    {"memory.channels": "8"},
    {"memory.data_rate": "8533 Mbps"},
    {"memory.data_rate": "9600 Mbps", "pim.alus": "8"},
    {"memory.command_buses": "1"},
    {"npu.cores": "8"},
    {"npu.cores": "32"},
    {"npu.clock": "800 MHz"},
    {"npu.clock": "1500 MHz", "pim.alus": "3"},
    {"npu.array_rows": "64"},
    {"memory.dram_ranks": "2"},
    {"memory.bus_efficiency": "0.85"},
)
WARM = {"pim.alus": "5"}
MODELS = ("llama2-7b", "llama3-8b")


def known(changes: dict[str, str]) -> dict[str, str]:
    """Without what an earlier build has no name for."""
    if "exact" in (run.__doc__ or ""):
        return changes
    return {key: value for key, value in changes.items() if key != "memory.command_buses"}


def cpu_s(model: str, changes: dict[str, str]) -> float:
    """Of one machine that was never priced before."""
    begin = process_time()
    run("lp-spec", model=model, changes=known(changes), fidelity="command")
    return process_time() - begin


def show_errors(model: str) -> None:
    """How far each machine is from exact runs of 256 refresh intervals, and its bound, in per cent."""
    from lpspec.dram.run.steady import REFRESH_INTERVALS
    from lpspec.experiments.setting import load_setting
    from lpspec.scenario import Scenario
    from lpspec.simulation.command_cost import command_costs
    from lpspec.simulation.run import decode_steps, price_by_commands, turn_bounds
    from lpspec.simulation.step_cost import step_costs

    for changes in CHANGES:
        setting = load_setting(Scenario(model=model, systems=("lp-spec",), changes=changes))
        workload, trace = setting.scenario.workload, setting.trace
        system, contexts = setting.systems[0].under(setting.policy), int(turn_bounds(trace, workload)[:, 0].max())
        costs = step_costs(system, workload.prompt_tokens, contexts)
        steps = decode_steps(system, trace, workload, setting.policy, costs)
        found = []
        for exact in (False, True):
            one = replace(system, exact=exact)
            intervals = 256 if exact else REFRESH_INTERVALS
            commands = command_costs(one, workload.prompt_tokens, contexts, costs.allocator, intervals)
            assert commands is not None
            found.append(price_by_commands(one, commands, steps))
        combined, exactly = found
        of = ("tokens_per_s", "tokens_per_j", "prefill_ns")
        off = " ".join(f"{100 * (getattr(combined, name) / getattr(exactly, name) - 1):+.4f}" for name in of)
        print(f"{off}  bound {100 * (combined.error_bound or 0.0):.4f}  {changes}", flush=True)


if __name__ == "__main__":
    os.environ["LPSPEC_PRICES"] = "off"  # a round before would have kept what these machines take
    if sys.argv[1:2] == ["--exact"]:
        show_errors(sys.argv[2])
        sys.exit()
    for model in MODELS:
        cpu_s(model, WARM)
        cpu_s(model, {})
    numbers: dict[str, float] = {}
    for model in MODELS:
        took_s = [cpu_s(model, changes) for changes in CHANGES]
        numbers |= {f"{model} {i + 1}": took for i, took in enumerate(took_s)}
        numbers |= {f"{model}, all": sum(took_s)}
    print(json.dumps(numbers))
