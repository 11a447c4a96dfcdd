"""Dies that wait in power-down: the same time, less energy, at both levels alike, or refused."""

import pytest

from lpspec.errors import InputError
from lpspec.experiments.one_step import both_levels
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.scenario import Scenario

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
        assert [after.energy_by_component_mj[p] for p in unchanged] == [
            before.energy_by_component_mj[p] for p in unchanged
        ]
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


@pytest.mark.parametrize("profile", ["attacc", "specpim"])
def test_power_down_without_a_price_is_refused(profile: str) -> None:
    with pytest.raises(InputError, match=f"energy profile '{profile}' has no power_down: take one that has"):
        make_system("npu", TINY, Scenario(energy_profile=profile, changes=DOWN))
