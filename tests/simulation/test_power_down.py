"""Dies that wait in power-down: the same time, less energy, at both levels alike, or refused."""

import pytest

from lpspec.dram.run.traffic import Traffic
from lpspec.errors import InputError
from lpspec.experiments.one_step import both_levels
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.scenario import Scenario
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.shared_step import run_shared_step

TINY = load_model("tinyllama")
DOWN = {"memory.idle_dies": "power-down"}


@pytest.mark.parametrize("name", ["npu-spec", "pim-spec", "lp-spec"])
def test_power_down_saves_what_idle_dies_draw_and_no_time(name: str) -> None:
    awake, down = (
        both_levels(make_system(name, TINY, Scenario(energy_profile="micron-y52p", changes=changes)), 4, 200)
        for changes in ({}, DOWN)
    )
    for before, after in zip(awake, down, strict=True):
        assert after.decode_ns == before.decode_ns
        saved = before.energy_by_component_mj["static"] - after.energy_by_component_mj["static"]
        assert 0 < saved < before.energy_by_component_mj["static"]
        unchanged = [part for part in before.energy_by_component_mj if part != "static"]
        assert [after.energy_by_component_mj[p] for p in unchanged] == pytest.approx(
            [before.energy_by_component_mj[p] for p in unchanged], rel=1e-13
        )
    closed, commands = down
    assert float(commands.decode_pj.sum()) == pytest.approx(float(closed.decode_pj.sum()), rel=0.05)


def test_power_down_of_all_but_one_rank_is_what_the_currents_say() -> None:
    """An NPU that reads one rank keeps a row of it open; the other twelve dies draw 4.1 mW but when they refresh."""
    system = make_system("npu-spec", TINY, Scenario(energy_profile="micron-y52p", changes=DOWN))
    closed, _ = both_levels(system, 1, 200)
    static_mw = float(closed.energy_by_component_mj["static"]) * float(closed.tokens_per_s)  # mJ/token x token/s
    refreshing = 16 * 181.125 * 210 / 3906.25
    awake = 12 * (220 / 3906.25)
    by_hand = refreshing + 4 * 47.34 + awake * 36.825 + (12 - awake) * 4.095
    assert static_mw == pytest.approx(by_hand, rel=0.03)


def test_dies_wait_in_power_down_beside_a_cpu_too() -> None:
    """Of one step, whole and in its order: the same time, and what stood by is in power-down but for refreshes."""
    steps = []
    for changes in ({}, DOWN):
        system = make_system("lp-spec", TINY, Scenario(energy_profile="micron-y52p", changes=changes))
        costs = command_costs(system, 200, 2)
        assert costs is not None
        phases, memory = costs.step_phases(4, 200), costs.planner.memory
        steps.append(run_shared_step(phases, memory, Traffic(0.0), 1.0))
    awake, down = (step.activity for step in steps)
    assert steps[0].latency_ns == steps[1].latency_ns
    assert awake.power_down_die_ns == 0
    assert down.power_down_die_ns + down.idle_die_ns == pytest.approx(awake.idle_die_ns)
    assert down.idle_die_ns == pytest.approx(down.refreshing_die_ns * 220 / 210)


@pytest.mark.parametrize("profile", ["attacc", "specpim"])
def test_power_down_without_a_price_is_refused(profile: str) -> None:
    with pytest.raises(InputError, match=f"energy profile '{profile}' has no power_down: take one that has"):
        make_system("npu", TINY, Scenario(energy_profile=profile, changes=DOWN))
