"""Sustained against peak: a case that warms up, integrated; powers that add up; the best of all paces."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.experiments.sustained import (
    BASE,
    Endurance,
    Pace,
    SustainedStudy,
    fastest,
    sustained_study,
)
from lpspec.machine.loading import load_operating_points
from lpspec.machine.operating_points import Thermal
from lpspec.scenario import Scenario

QUICK = BASE.replace(model="tinyllama", new_tokens=4, fidelity="analytic")
POINTS = load_operating_points("phone")
assert POINTS.thermal is not None
THERMAL: Thermal = POINTS.thermal


@cache
def study(systems: tuple[str, ...] = ("npu", "lp-spec")) -> SustainedStudy:
    return sustained_study(QUICK.replace(systems=systems, changes={"pim.concurrent_ranks": "2"}))


def machine(name: str) -> Endurance:
    return next(each for each in study().machines if each.system.name == name)


@given(st.floats(0.1, 30))
def test_a_cold_phone_lasts_as_long_as_its_warming_takes(watts: float) -> None:
    """Its temperature above the room's, as a share of the most that is allowed, integrated in small steps."""
    limit, constant_s, step_s = THERMAL.sustained_power.watts, THERMAL.time_constant.seconds, 0.5
    warmth, seconds = 0.0, 0.0
    while warmth < 1 and seconds < 20 * constant_s:
        warmth += (watts / limit - warmth) * step_s / constant_s
        seconds += step_s
    expected = THERMAL.cold_seconds(watts)
    if watts <= limit:
        assert math.isinf(expected)
    elif seconds < 20 * constant_s:
        assert seconds == pytest.approx(expected, abs=2 * step_s, rel=0.01)


def test_rests_bring_the_mean_power_down_to_what_may_flow() -> None:
    for pace in machine("lp-spec").paces:
        for watts in (2.0, 4.9, 6.0, 20.0):
            busy = pace.busy_share(watts)
            assert 0 <= busy <= 1
            mean_w = busy * pace.soc_w + (1 - busy) * pace.waiting_w
            assert mean_w == pytest.approx(min(watts, pace.soc_w)) or busy == 0
            assert pace.tokens_per_s_under(watts) == pytest.approx(busy * pace.run.tokens_per_s)


def test_the_soc_draws_memory_macs_and_the_rest_of_it() -> None:
    for each in study().machines:
        for pace in each.paces:
            rest = pace.run.system.platform.rest_of_soc_power
            assert rest is not None
            assert pace.soc_w == pytest.approx(pace.package_w + rest.watts)
            assert rest.watts * 0.3 < pace.waiting_w < pace.soc_w  # 30 % of it stays on, and dies wait


def test_paces_are_every_rate_voltage_and_number_of_ranks() -> None:
    ranks = {name: sorted({pace.ranks for pace in machine(name).paces}) for name in ("npu", "lp-spec")}
    assert ranks == {"npu": [0], "lp-spec": [1, 2]}
    rates = {pace.clocks.data_rate_mbps for pace in machine("lp-spec").paces}
    assert rates == {1600, 3200, 4267, 5500, 6400}
    assert {round(pace.clocks.npu_ghz, 9) for pace in machine("npu").paces} == {0.7, 0.8, 0.9, 1.0}
    assert len(machine("lp-spec").paces) == 5 * 4 * 2
    for pace in machine("lp-spec").paces:
        pim = pace.run.system.platform.pim
        assert pim is not None
        assert pim.concurrent_ranks.n == pace.ranks


def test_what_is_chosen_is_the_best_of_all_paces() -> None:
    limit, package_w = THERMAL.sustained_power.watts, THERMAL.package_power.watts
    for each in study().machines:
        allowed = [pace for pace in each.paces if pace.package_w <= package_w]
        assert each.peak.run.tokens_per_s == max(pace.run.tokens_per_s for pace in allowed)
        rates = [
            pace.run.tokens_per_s * min(1, (limit - pace.waiting_w) / (pace.soc_w - pace.waiting_w)) for pace in allowed
        ]
        assert each.warm.tokens_per_s_under(limit) == pytest.approx(max(rates))
        least, most = each.range_tokens_per_s
        assert least <= each.warm.tokens_per_s_under(limit) <= most <= each.peak.run.tokens_per_s


def test_a_package_that_may_draw_less_slows_the_peak() -> None:
    paces = machine("lp-spec").paces
    powers = sorted(pace.package_w for pace in paces)
    middle = powers[len(powers) // 2]
    limited: Pace = fastest(paces, math.inf, middle)
    assert limited.package_w <= middle
    assert limited.run.tokens_per_s <= machine("lp-spec").peak.run.tokens_per_s
    with pytest.raises(InputError, match=r"draw .* W at least: package_power allows 0\.01 W"):
        fastest(paces, math.inf, 0.01)


def test_a_session_is_its_cold_and_its_warm_part() -> None:
    each, limit = machine("lp-spec"), THERMAL.sustained_power.watts
    assert math.isfinite(each.cold_s)
    assert each.mean_tokens_per_s(each.cold_s / 2, limit) == pytest.approx(each.peak.run.tokens_per_s)
    seconds = np.arange(0.5, 1800)
    warm = each.warm.tokens_per_s_under(limit)
    tokens = np.where(seconds < each.cold_s, each.peak.run.tokens_per_s, warm).sum()
    assert each.mean_tokens_per_s(1800, limit) == pytest.approx(tokens / 1800, rel=1e-3)


def test_commands_price_what_is_chosen() -> None:
    (each,) = sustained_study(QUICK.replace(systems=["npu"], fidelity="command")).machines
    assert each.confirmed is not None
    for found, chosen in zip(each.confirmed, (each.peak, each.warm), strict=True):
        assert (found.clocks, found.ranks) == (chosen.clocks, chosen.ranks)
        assert found.run.fidelity == "command"
        assert found.run.tokens_per_s == pytest.approx(chosen.run.tokens_per_s, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "points", "why"),
    [
        ({"systems": ["attacc"]}, "phone", "clocks of an NPU and of LPDDR are chosen: 'attacc' has neither"),
        ({"batch": 4}, "phone", "one request at a time"),
        ({}, "cool.toml", "operating points 'cool' have no \\[thermal\\]: what lasts depends on it"),
    ],
)
def test_what_cannot_be_told_is_refused(changes: dict[str, object], points: str, why: str, tmp_path: Path) -> None:
    if points != "phone":
        clock, rate = '{ value = "1 GHz", source = "x" }', '{ value = "6400 Mbps", source = "x" }'
        volt, share = '{ value = "1 V", source = "x" }', '{ value = "50 %", source = "x" }'
        text = f'name = "cool"\nsummary = "one"\n[[npu]]\nclock = {clock}\nvoltage = {volt}\n'
        text += f"[[memory]]\ndata_rate = {rate}\ncore = {volt}\nio = {volt}\n[assumed]\n"
        text += f"clocked_standby = {share}\nio_charge = {share}\nwaiting_soc = {share}\n"
        (tmp_path / points).write_text(text)
        points = str(tmp_path / points)
    asked: Scenario = QUICK.replace(**changes)
    with pytest.raises(InputError, match=why):
        sustained_study(asked, points)


def test_ends_of_what_lasts_are_in_order() -> None:
    values = {name: getattr(THERMAL, name).model_dump() for name in Thermal.model_fields}
    values = {name: {"value": getattr(THERMAL, name).text(), "source": "x"} for name in values}
    values["least_power"]["value"] = "5 W"
    with pytest.raises(ValueError, match="sustained_power must lie between least_power and most_power"):
        Thermal.model_validate(values)
