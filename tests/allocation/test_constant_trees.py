"""Trees of one size on weights that lie on one side: placed for that size, not for one pass over the weights."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.sharing import Sharing
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.llm.draft_work import draft_operators
from lpspec.llm.operators import verify_operators
from lpspec.machine.loading import load_platform
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import TreePolicy
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.rank_trace import RankTrace, load_trace

SIZES = (1, 4, 5, 9, 16, 33, 64)
ONE_PER_PASS = (4, 12, 16, 36, 48, 64)
ROOMY = [("llama2-7b", "3"), ("llama3.2-1b", "1")]
"""Models, and ranks that compute at once, where there is room for the columns that any tree wants."""
CROWDED = [("llama2-7b", "1"), ("vicuna-13b", "3")]
"""The same where some columns give way to others."""


@cache
def step_ns(model: str, ranks_at_once: str, placed_for: int | None, tokens: int) -> float:
    """Time of a verify pass and of all draft heads under the static placement for trees of a size."""
    spec, changes = medusa_model(model), {"allocator": "static", "pim.concurrent_ranks": ranks_at_once}
    made = make_allocator(load_platform("lp-spec", changes), spec, 64, 264, None, Sharing(placed_for))
    passes = verify_operators(spec, np.array([tokens]), np.array([200])) + draft_operators(spec)
    return float(np.sum(made.decode_cost(passes).latency_ns))


@pytest.mark.parametrize(("model", "ranks"), ROOMY)
def test_no_tree_is_faster_under_the_placement_for_another_size(model: str, ranks: str) -> None:
    for tokens in SIZES:
        own = step_ns(model, ranks, tokens, tokens)
        others = {size: step_ns(model, ranks, size, tokens) for size in (*SIZES, None)}
        assert own <= min(others.values()) * (1 + 1e-12), (tokens, min(others, key=lambda size: others[size]))
    assert step_ns(model, ranks, 33, 33) < 0.9 * step_ns(model, ranks, None, 33)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "ranks"), CROWDED)
def test_nor_where_columns_give_way_for_want_of_room(model: str, ranks: str) -> None:
    """Of the placements for one size per pass over the weights; those between them differ by 0.2 %."""
    for tokens in (16, 33, 48):
        own = step_ns(model, ranks, tokens, tokens)
        assert own <= min(step_ns(model, ranks, size, tokens) for size in (*ONE_PER_PASS, None)) * (1 + 1e-12)


@cache
def trace() -> RankTrace:
    whole = load_trace("vicuna-7b")
    lengths = whole.turn_lengths[:4]
    return replace(whole, ranks=whole.ranks[: lengths.sum()], turn_lengths=lengths, labels=whole.labels[:4])


def run(allocator: str, policy: TreePolicy, root_counts: bool = True) -> Run:
    scenario = Scenario(changes={"allocator": allocator}, root_counts=root_counts)
    system = make_system("lp-spec", load_model("llama2-7b"), scenario)
    return simulate(system, trace(), Workload(128, 40), policy)


CONSTANT = [TreePolicy(size=16), TreePolicy(size=24, depth=3), TreePolicy(fixed=named_tree("mc_sim_7b_63"))]


@pytest.mark.parametrize("policy", CONSTANT)
def test_a_run_with_one_tree_starts_where_it_stays(policy: TreePolicy) -> None:
    """With room for copies, columns on one side do what copies do, or less slowly: these serve all sizes, of which none
    may cost more than a larger one, while columns on one side are placed for the size of every tree."""
    runs = [run(allocator, policy) for allocator in ("static", "dynamic", "replicated")]
    assert [one.migrations for one in runs] == [0, 0, 0]
    assert runs[0].decode_ns == runs[1].decode_ns <= runs[2].decode_ns * (1 + 1e-12)
    assert runs[2].decode_ns <= runs[0].decode_ns * 1.004


def test_commands_find_the_weights_there_too() -> None:
    system = make_system("lp-spec", load_model("llama2-7b"), Scenario(changes={"allocator": "static"}))
    for policy, tokens in ((TreePolicy(size=16), 16), (TreePolicy(fixed=named_tree("mc_sim_7b_63")), 64)):
        commands = command_costs(system.under(policy), 128, 40)
        placed = make_allocator(system.platform, system.model, 64, 168, None, Sharing(tokens))
        assert commands is not None
        assert isinstance(placed, BalancedAllocator)
        assert isinstance(layout := commands.planner.layout, BalancedAllocator)
        assert layout.placements == placed.placements


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_placement_is_left_at_a_loss(objective: Objective) -> None:
    """The split saves time; where energy is to be saved, columns may move once, and that pays."""
    policy = TreePolicy(size=16, objective=objective)
    static, dynamic = run("static", policy), run("dynamic", policy)
    assert dynamic.migrations <= (0 if objective == "throughput" else 1)
    value = {"throughput": static.decode_ns, "energy": static.mj_per_token}.get(objective, static.edp_s_mj)
    found = {"throughput": dynamic.decode_ns, "energy": dynamic.mj_per_token}.get(objective, dynamic.edp_s_mj)
    assert found <= value * (1 + 1e-12)


def test_what_is_charged_counts() -> None:
    """Where the root is not charged for, a tree of 9 tokens takes as many passes as one of 8."""
    whole, rootless = run("static", TreePolicy(size=9)), run("static", TreePolicy(size=9), root_counts=False)
    eight = run("static", TreePolicy(size=8))
    assert rootless.decode_ns / len(rootless.steps.position) == pytest.approx(
        eight.decode_ns / len(eight.steps.position), rel=0.01
    )
    assert rootless.decode_ns < whole.decode_ns


def test_trees_of_one_size_are_split_where_columns_settled() -> None:
    """With one ALU and 16 tokens the search for a placement has priced others, whose splits must not stay."""
    changes = {"allocator": "dynamic", "pim.alus": "1"}
    system = make_system("lp-spec", load_model("llama2-7b"), Scenario(changes=changes))
    run = simulate(system, load_trace("vicuna-7b"), Workload(1000, new_tokens=8), TreePolicy(size=16))
    assert run.tokens_per_s > 0
