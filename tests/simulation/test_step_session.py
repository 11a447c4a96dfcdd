"""A step in one session: every copy in its order, no resource twice at a time, as long as its phases measured apart."""

from dataclasses import replace
from itertools import pairwise

import pytest

from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.machine.loading import load_profile
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.step_phases import cost_of, in_order
from lpspec.simulation.step_session import PhaseRun, run_step

TINY = load_model("tinyllama")
PROFILE = load_profile("attacc")
KINDS = [("lp-spec", 4, 2), ("lp-spec", 13, 3), ("pim-spec", 3, 1)]


def costs_of(name: str) -> CommandCosts:
    costs = command_costs(make_system(name, TINY), 100, 100)
    assert costs is not None
    return costs


@pytest.fixture(scope="module", params=KINDS, ids=str)
def ran(request: pytest.FixtureRequest) -> tuple[CommandCosts, int, int, list[PhaseRun]]:
    name, l_spec, committed = request.param
    costs = costs_of(name)
    phases = costs.step_phases(l_spec, 150, committed)
    return costs, l_spec, committed, list(run_step(phases, costs.planner.memory))


Ran = tuple[CommandCosts, int, int, list[PhaseRun]]


def test_every_copy_runs_once_and_layer_by_layer() -> None:
    phases = costs_of("lp-spec").step_phases(4, 150, 2)
    names = [phase.name for phase in in_order(phases)]
    assert len(names) == sum(phase.copies for phase in phases)
    layer = names[names.index("attention_norm") : names.index("mlp_residual") + 1]
    first = names.index("attention_norm")
    assert names[first : first + TINY.layers * len(layer)] == layer * TINY.layers
    assert names[-8:] == ["medusa_block", "medusa_silu", "medusa_lm_head", "top_k"] * 2


def test_products_in_two_placements_share_the_layers() -> None:
    phases = costs_of("lp-spec").planner.verify(4, 160, 1)
    first = next(i for i, phase in enumerate(phases) if phase.name == "down")
    halves = [replace(phases[first], copies=copies) for copies in (TINY.layers - 5, 5)]
    mixed = [*phases[:first], *halves, *phases[first + 1 :]]
    ordered = [phase for phase in in_order(mixed) if phase.name == "down"]
    assert ordered == [halves[0]] * (TINY.layers - 5) + [halves[1]] * 5


def test_phases_follow_each_other_and_hold_their_intervals(ran: Ran) -> None:
    *_, done = ran
    for before, after in pairwise(done):
        assert after.begin_ns == before.end_ns
    for phase in done:
        assert phase.end_ns - phase.begin_ns >= phase.phase.npu_ns - 1e-6
        for interval in phase.intervals:
            assert phase.begin_ns <= interval.begin_ns < interval.end_ns <= phase.end_ns + 1e-6


def test_no_resource_works_twice_at_a_time(ran: Ran) -> None:
    *_, done = ran
    by_resource: dict[str, list[tuple[float, float]]] = {}
    for phase in done:
        for interval in phase.intervals:
            by_resource.setdefault(interval.resource, []).append((interval.begin_ns, interval.end_ns))
    assert {"PIM ranks", "NPU reads", "KV writes", "NPU vector units"} <= set(by_resource)
    for times in by_resource.values():
        assert all(before[1] <= after[0] + 1e-6 for before, after in pairwise(sorted(times)))


def test_a_step_takes_the_sum_of_its_phases(ran: Ran) -> None:
    """Phases are measured apart, as the mean of many copies; in a step refresh falls where it falls."""
    costs, l_spec, committed, done = ran
    expected = cost_of(costs.step_phases(l_spec, 150, committed), costs.planner.memory)
    assert done[-1].end_ns == pytest.approx(float(expected.latency_ns), rel=0.01)


def test_bursts_are_those_of_the_phases_measured_apart(ran: Ran) -> None:
    costs, *_, done = ran
    reads, writes, _ = (sum(phase.bursts[kind] for phase in done) for kind in range(3))
    bits = [
        sum(float(getattr(phase.phase.memory.activity, field)) for phase in done)
        for field in ("io_bits", "activation_memory_bits")
    ]
    assert [reads, writes] == pytest.approx([total / 256 / costs.planner.memory.channels for total in bits])
