"""A run by commands is the sum of its steps, each the sum of its phases; GPUs stay analytic."""

from dataclasses import replace

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.machine.loading import load_profile
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import FIDELITIES, Fidelity
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.price_grid import priced
from lpspec.simulation.run import simulate
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.step_phases import cost_of
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.rank_trace import load_trace

Y52P = Scenario(energy_profile="micron-y52p")  # refresh and standby are priced, too
PROFILE = load_profile("micron-y52p")
TINY = load_model("tinyllama")
TRACE = load_trace("vicuna-7b")
WORKLOAD = Workload(100, 40)
NAMES = ("npu", "npu-spec", "pim", "pim-spec", "lp-spec")


def system(name: str, root_counts: bool = True) -> System:
    return make_system(name, TINY, Y52P.replace(root_counts=root_counts))


def costs_of(one: System) -> CommandCosts:
    costs = command_costs(one, WORKLOAD.prompt_tokens, 40)
    assert costs is not None
    return costs


@pytest.mark.parametrize("root_counts", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_costs_what_its_steps_cost_one_by_one(name: str, root_counts: bool) -> None:
    one = replace(system(name, root_counts), exact=True)
    run = simulate(one, TRACE, WORKLOAD, TreePolicy(objective="edp"), "command")
    costs = costs_of(one)
    known: dict[tuple[int, int, int, int], tuple[float, float]] = {}
    total_ns = total_pj = 0.0
    columns = run.steps.position, run.steps.l_spec, run.steps.moved, run.steps.heads
    for position, l_spec, moved, heads in zip(*columns, strict=True):
        kind = (int(l_spec), WORKLOAD.prompt_tokens + int(position), int(moved), int(heads))
        if kind not in known:
            cost = cost_of(costs.step_phases(*kind), costs.planner.memory)
            known[kind] = float(cost.latency_ns), float(sum(cost.activity.energy_pj(PROFILE).values()))
        total_ns += known[kind][0]
        total_pj += known[kind][1]
    assert run.decode_ns == pytest.approx(total_ns)
    assert run.decode_pj.sum() == pytest.approx(total_pj)
    assert run.fidelity == "command"


@pytest.mark.parametrize("name", NAMES)
def test_both_levels_take_the_same_steps(name: str) -> None:
    closed, commands = (
        simulate(system(name), TRACE, WORKLOAD, TreePolicy(objective="edp"), level) for level in FIDELITIES
    )
    for field in ("position", "l_spec", "committed", "heads", "moved"):
        assert np.array_equal(getattr(closed.steps, field), getattr(commands.steps, field))
    assert (commands.decode_pj >= 0).all()
    assert sum(commands.energy_by_component_mj.values()) == pytest.approx(commands.mj_per_token)
    assert commands.prefill_ns > 0
    assert commands.prefill_pj > 0


@pytest.mark.parametrize("name", ["pim-spec", "lp-spec"])
@pytest.mark.parametrize("profile", ["attacc", "micron-y52p"])
def test_compaction_costs_the_same_at_both_levels(name: str, profile: str) -> None:
    one = make_system(name, load_model("llama2-7b"), Scenario(energy_profile=profile))
    closed, commands = step_costs(one, 140, 1), command_costs(one, 140, 1)
    assert commands is not None
    nowhere = np.zeros(1, np.int64)
    still = priced(one, commands.decode(nowhere, nowhere + 4, nowhere, nowhere, nowhere), (1, 1))
    assert closed.compaction_ns[0] == 0
    for moved in range(1, 5):
        step = priced(one, commands.decode(nowhere, nowhere + 4, nowhere + moved, nowhere, nowhere), (1, 1))
        assert closed.compaction_ns[moved] == pytest.approx(float((step[0] - still[0]).sum()), rel=0.1)
        assert closed.compaction_pj[:, moved].sum() == pytest.approx(float((step[1] - still[1]).sum()), rel=0.1)


@pytest.mark.parametrize("model", ["tinyllama", "llama3-8b"])
@pytest.mark.parametrize("name", ["npu-spec", "pim-spec", "lp-spec"])
def test_compaction_differs_by_little_of_a_step(name: str, model: str) -> None:
    """In plain DRAM, or with few key-value heads, commands take longer by turns of the bus: next to nothing.

    At most 0.22 % of a step, with four heads in PIM ranks: 0.2 % as long as a CAS might go while WCK still ran.
    """
    one = make_system(name, load_model(model), Y52P)
    closed, commands = step_costs(one, 140, 1), command_costs(one, 140, 1)
    assert commands is not None
    for moved in (1, 3):
        by_commands = priced(one, cost_of(commands.planner.compaction(moved), commands.planner.memory), (1, 1))
        for ours, theirs, step in (
            (closed.compaction_ns[moved], by_commands[0], closed.latency_ns[0, 3]),
            (closed.compaction_pj[:, moved].sum(), by_commands[1], closed.energy_pj[:, 0, 3].sum()),
        ):
            assert abs(ours - theirs.sum()) < 2.5e-3 * step


@pytest.mark.parametrize("name", ["attacc", "rtx3090-spec"])
def test_gpus_have_no_command_level(name: str) -> None:
    assert command_costs(system(name), 100, 40) is None
    closed, asked = (
        simulate(system(name), TRACE, WORKLOAD, TreePolicy(size=4, objective="edp"), level) for level in FIDELITIES
    )
    assert asked.fidelity == "analytic"
    assert asked.decode_ns == closed.decode_ns


@pytest.mark.parametrize("level", FIDELITIES)
def test_bus_efficiency_limits_both_levels(level: Fidelity) -> None:
    """Half of the peak is less than commands sustain, 0.95 of it is more."""
    policy = TreePolicy(size=1, objective="edp")
    took_ns = {}
    for share in ("0.5", "0.95", "1"):
        one = make_system("npu", TINY, Y52P.replace(changes={"memory.bus_efficiency": share}))
        took_ns[share] = simulate(one, TRACE, WORKLOAD, policy, level).decode_ns
    assert took_ns["0.95"] == took_ns["1"]
    assert took_ns["0.5"] == pytest.approx(took_ns["1"] * 0.9325 / 0.5, rel=0.005)


@pytest.mark.parametrize("name", ["npu", "lp-spec"])
def test_a_die_that_the_command_level_lacks_is_refused_there(name: str) -> None:
    """Analytic costs were taken instead, without a word."""
    odd = make_system(name, TINY, Y52P.replace(changes={"memory.organisation.bank_groups": "2"}))
    policy = TreePolicy(objective="edp")
    with pytest.raises(InputError, match=r"memory.organisation.bank_groups is 2: .* for 4; .* takes any"):
        simulate(odd, TRACE, WORKLOAD, policy, "command")
    assert simulate(odd, TRACE, WORKLOAD, policy).fidelity == "analytic"


@pytest.mark.parametrize("name", ["npu", "lp-spec"])
def test_a_density_that_no_shipped_die_has_runs_by_commands(name: str) -> None:
    """12 Gb refreshes as long as 16 Gb, and 8 Gb less long, so it lies within 2 % of both; analytically too."""
    policy, took_ns = TreePolicy(objective="edp"), {}
    for rows in ("32768", "49152", "65536"):
        sized = make_system(name, TINY, Y52P.replace(changes={"memory.organisation.rows": rows}))
        took_ns[rows] = simulate(sized, TRACE, WORKLOAD, policy, "command").decode_ns
    assert took_ns["32768"] < took_ns["49152"] < took_ns["32768"] * 1.03
    assert took_ns["49152"] == pytest.approx(took_ns["65536"], rel=1e-9)


def test_static_power_flows_at_command_level_too() -> None:
    powered = make_system("npu", TINY, Y52P.replace(changes={"static_power": "2 W"}))
    policy = TreePolicy(objective="edp")
    plain, more = (simulate(one, TRACE, WORKLOAD, policy, "command") for one in (system("npu"), powered))
    assert more.decode_pj.sum() - plain.decode_pj.sum() == pytest.approx(2e3 * plain.decode_ns)


@pytest.mark.parametrize(
    ("l_spec", "context", "kind"),
    [
        (1, 100, (1, 128, 1)),
        (4, 124, (4, 128, 1)),
        (5, 124, (5, 160, 2)),
        (4, 127, (4, 160, 2)),
        (33, 128, (33, 192, 2)),
    ],
)
def test_steps_are_alike_by_blocks_of_keys(l_spec: int, context: int, kind: tuple[int, int, int]) -> None:
    assert costs_of(system("lp-spec")).kind_of(l_spec, context) == kind


@pytest.mark.parametrize("policy", ["static", "dynamic"])
def test_every_placement_policy_has_a_command_level(policy: str) -> None:
    """Steps are priced where the weights lie; moves stay analytic."""
    platform = system("lp-spec").platform.model_copy(update={"allocator": policy})
    one = replace(system("lp-spec"), platform=platform)
    runs = [simulate(one, TRACE, WORKLOAD, TreePolicy(objective="energy"), level) for level in FIDELITIES]
    assert runs[0].migration_ns == runs[1].migration_ns
    assert runs[1].decode_ns == pytest.approx(runs[0].decode_ns, rel=0.35)
