"""The clocks chosen for a demand are the cheapest of all that are fast enough, and commands agree."""

from dataclasses import replace
from itertools import pairwise

import pytest

from lpspec.devices.cost import Cost
from lpspec.errors import InputError
from lpspec.experiments.clocks import BASE, ClocksStudy, PointRun, clocks_study, waiting_w
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.machine.loading import load_operating_points
from lpspec.machine.operating_points import Shares, priced_at
from lpspec.simulation.run import simulate
from lpspec.simulation.workload import tree_policy
from lpspec.speculation.rank_trace import load_trace

QUICK = BASE.replace(model="tinyllama", new_tokens=8, trace="vicuna-7b", changes={"npu.clock": "700 MHz"})
DEMANDS = (1.0, 40.0, 150.0, 300.0, 1e5)


@pytest.fixture(scope="module")
def study() -> ClocksStudy:
    return clocks_study(QUICK.replace(fidelity="analytic"), DEMANDS)


def by_hand(point: PointRun, demand: float) -> float:
    """mJ of a token: busy, then waiting for what is left of its time."""
    busy_s = 1 / point.run.tokens_per_s
    return point.run.mj_per_token + 1e3 * point.waiting_w * (1 / demand - busy_s)


def test_the_chosen_clocks_are_the_cheapest_that_are_fast_enough(study: ClocksStudy) -> None:
    assert len(study.points) == 5 * 3
    for demand in study.demands:
        fast = [point for point in study.points if point.run.tokens_per_s >= demand.tokens_per_s]
        assert (demand.chosen is None) == (not fast)
        if demand.chosen is not None:
            costs = {point.clocks: by_hand(point, demand.tokens_per_s) for point in fast}
            alike = [point for point in fast if costs[point.clocks] == pytest.approx(min(costs.values()), rel=1e-9)]
            assert demand.chosen == max(alike, key=lambda point: point.run.tokens_per_s)
            assert demand.chosen.clocks.npu_ghz == pytest.approx(0.7)  # one voltage allows all three
            assert demand.chosen.mj_at(demand.tokens_per_s) == pytest.approx(min(costs.values()))
            least, most = demand.range_mj
            assert least <= demand.chosen.mj_at(demand.tokens_per_s) <= most
    assert study.demands[-1].chosen is None  # 100,000 token/s


def test_a_point_is_the_machine_at_these_clocks(study: ClocksStudy) -> None:
    """Made anew from the options that say so."""
    point = next(p for p in study.points if p.clocks.data_rate_mbps == 3200 and p.clocks.npu_ghz < 0.4)
    model, trace = load_model("tinyllama"), load_trace("vicuna-7b")
    changes = {"npu.clock": "300 MHz", "memory.data_rate": "3200 Mbps"}
    system = make_system("lp-spec", model, QUICK.replace(changes=changes))
    phone = load_operating_points("phone")
    nominal = phone.clocks(6400, 0.7)
    profile = priced_at(system.profile, phone.clocks(3200, 0.3), nominal, phone.shares)
    run = simulate(replace(system, profile=profile), trace, QUICK.workload, tree_policy(QUICK))
    assert point.run.tokens_per_s == pytest.approx(run.tokens_per_s, rel=1e-12)
    assert point.run.mj_per_token == pytest.approx(run.mj_per_token, rel=1e-12)


def test_full_clocks_are_the_machine_as_it_is(study: ClocksStudy) -> None:
    model, trace = load_model("tinyllama"), load_trace("vicuna-7b")
    run = simulate(make_system("lp-spec", model, QUICK), trace, QUICK.workload, tree_policy(QUICK))
    own = study.demands[0].nominal
    assert (own.clocks.data_rate_mbps, own.clocks.npu_ghz) == pytest.approx((6400, 0.7))
    assert own.run.mj_per_token == pytest.approx(run.mj_per_token, rel=1e-12)
    assert own.run.tokens_per_s == run.tokens_per_s


def test_what_is_asked_for_more_often_costs_no_more(study: ClocksStudy) -> None:
    """At given clocks a token that is wanted sooner waits less; and a demand that more clocks meet is met no slower."""
    for point in study.points:
        costs = [point.mj_at(point.run.tokens_per_s * share) for share in (0.1, 0.3, 0.9, 1.0)]
        assert costs == sorted(costs, reverse=True)
        assert costs[-1] == pytest.approx(point.run.mj_per_token)
    speeds = [demand.chosen.run.tokens_per_s for demand in study.demands if demand.chosen is not None]
    assert all(demand.saved >= 0 for demand in study.demands)
    assert len(speeds) == 4


def test_faster_clocks_are_never_slower(study: ClocksStudy) -> None:
    by_rate: dict[float, list[PointRun]] = {}
    for point in study.points:
        by_rate.setdefault(point.clocks.data_rate_mbps, []).append(point)
    for points in by_rate.values():
        for slow, fast in pairwise(sorted(points, key=lambda p: p.clocks.npu_ghz)):
            assert fast.run.time_to_first_token_ms <= slow.run.time_to_first_token_ms * (1 + 1e-9)
    first = [points[0].run.time_to_first_token_ms for _, points in sorted(by_rate.items())]
    assert first == sorted(first, reverse=True)


def test_a_limit_of_the_first_token_leaves_out_what_is_late() -> None:
    free = clocks_study(QUICK.replace(fidelity="analytic"), (1.0,))
    assert free.demands[0].chosen is not None
    late_ms = free.demands[0].chosen.run.time_to_first_token_ms
    bound = clocks_study(QUICK.replace(fidelity="analytic"), (1.0,), first_token_ms=0.9 * late_ms)
    (demand,) = bound.demands
    assert demand.chosen is not None
    assert demand.chosen.run.time_to_first_token_ms <= 0.9 * late_ms < late_ms
    assert demand.chosen.mj_at(1.0) >= free.demands[0].chosen.mj_at(1.0)
    nothing = clocks_study(QUICK.replace(fidelity="analytic"), (1.0,), first_token_ms=0.001)
    assert nothing.demands[0].chosen is None


def test_commands_confirm_what_is_chosen() -> None:
    quick = QUICK.replace(new_tokens=4, changes={"npu.clock": "300 MHz", "memory.data_rate": "3200 Mbps"})
    study = clocks_study(quick, (20.0, 60.0))
    for demand in study.demands:
        assert demand.chosen is not None
        assert demand.confirmed is not None
        assert demand.confirmed.run.fidelity == "command"
        assert demand.confirmed.clocks == demand.chosen.clocks
        assert demand.confirmed.run.tokens_per_s >= demand.tokens_per_s
        wanted = demand.tokens_per_s
        assert demand.confirmed.mj_at(wanted) == pytest.approx(demand.chosen.mj_at(wanted), rel=0.1)


def test_a_machine_that_waits_draws_what_its_dies_draw() -> None:
    """Sixteen dies of 36.8 mW, refreshed for 210 ns in 3,906 at 181 mW beyond; and a share of the rest of the SoC."""
    model = load_model("tinyllama")
    system = make_system("lp-spec", model, BASE)
    dies_w = 16 * (36.825 + 181.125 * 210 / 3906.25) / 1e3
    assert waiting_w(system, Shares(0.5, 0.5, 0.3)) == pytest.approx(dies_w, rel=1e-6)
    board = make_system("lp-spec", model, BASE.replace(basis="board"))
    assert waiting_w(board, Shares(0.5, 0.5, 0.3)) == pytest.approx(dies_w + 0.3 * 3.3, rel=1e-6)
    assert Cost().latency_ns == 0


def test_an_objective_that_nobody_asked_for_is_not_said_to_have_no_effect() -> None:
    npu = QUICK.replace(fidelity="analytic", systems=["npu"], new_tokens=2)
    assert clocks_study(npu, (5.0,)).notes == ()
    assert any("--objective" in note for note in clocks_study(npu.replace(objective="throughput"), (5.0,)).notes)


def test_profiles_that_price_no_waiting_say_so() -> None:
    quick = QUICK.replace(fidelity="analytic", energy_profile="attacc", new_tokens=2)
    study = clocks_study(quick, (5.0, 10.0))
    assert any("prices no waiting" in note for note in study.notes)
    assert any("has no currents" in note for note in study.notes)
    one, other = study.demands
    assert one.chosen is not None
    assert other.chosen is not None
    assert one.chosen.mj_at(5.0) == other.chosen.mj_at(10.0)


@pytest.mark.parametrize(
    ("changes", "demands", "said"),
    [
        ({"systems": ["rtx3090"], "changes": {}}, (5.0,), "'rtx3090' has neither"),
        ({"systems": ["lp-spec", "npu"]}, (5.0,), "for one system"),
        ({"systems": None}, (5.0,), "for one system"),
        ({}, (0.0,), "a demand of 0 token/s is not possible"),
        ({"changes": {"npu.clock": "2 GHz"}}, (5.0,), "NPU clock 2 GHz is above 1 GHz"),
    ],
)
def test_what_has_no_clocks_is_refused(changes: dict[str, object], demands: tuple[float, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        clocks_study(QUICK.replace(**{"fidelity": "analytic", **changes}), demands)
