"""What the documentation says of trading ranks, and of a governor that would set more than clocks."""

from typing import Any

import pytest

from lpspec.experiments.clocks import BASE, clocks_study
from lpspec.experiments.setting import load_setting
from lpspec.scenario import Scenario
from lpspec.simulation.run import Run, simulate


def run_of(changes: dict[str, str], **options: Any) -> Run:
    found = load_setting(Scenario(systems=("lp-spec",)).replace(changes=changes, new_tokens=8, **options))
    return simulate(found.systems[0], found.trace, found.scenario.workload, found.policy)


def ranks(dram: int, pim: int) -> dict[str, str]:
    return {"memory.dram_ranks": str(dram), "memory.pim_ranks": str(pim), "pim.concurrent_ranks": str(pim)}


@pytest.mark.parametrize(("model", "prompt"), [("llama2-7b", 128), ("llama3.2-1b", 128), ("llama3.2-1b", 32768)])
def test_of_four_ranks_one_of_plain_dram_is_best(model: str, prompt: int) -> None:
    edp = [run_of(ranks(4 - pim, pim), model=model, prompt_tokens=prompt).edp_s_mj for pim in (3, 2, 1)]
    assert edp == sorted(edp)
    assert edp[1] > 1.15 * edp[0]
    assert run_of(ranks(1, 4), model=model, prompt_tokens=prompt).edp_s_mj < 0.9 * edp[0]


@pytest.mark.slow
def test_a_governor_gains_nothing_by_ranks_and_little_by_trees() -> None:
    """Joules of a token at each demand, waiting included, at the best clocks for it."""
    demands = (20.0, 60.0, 80.0)

    def joules(**options: Any) -> list[float]:
        asked = BASE.replace(new_tokens=8, fidelity="analytic", **options)
        found = clocks_study(asked, demands).demands
        return [demand.chosen.mj_at(demand.tokens_per_s) for demand in found if demand.chosen is not None]

    best = joules()
    assert len(best) == len(demands)
    for objective in ("edp", "throughput"):
        assert joules(objective=objective) == pytest.approx(best, rel=2e-3)
    fewer = joules(changes={"pim.concurrent_ranks": "2"})
    assert all(two > 1.03 * three for two, three in zip(fewer, best, strict=True))


def test_under_the_pruner_no_column_moves() -> None:
    assert run_of({"allocator": "dynamic"}).migrations == 0
