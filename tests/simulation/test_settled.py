"""Decisions that stand are those that would be made anew: replays against the loop that always decides."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import LEARNING_RULES, OBJECTIVES, LearningRule, Objective
from lpspec.simulation import run as simulating
from lpspec.simulation.decode_loop import decode
from lpspec.simulation.run import allowed_prices, decode_steps, most_depth
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.rank_trace import RankTrace, load_trace
from lpspec.speculation.settled import Settled, nothing_settled

PROMPT, TURNS = 128, 12


def trace() -> RankTrace:
    whole = load_trace("vicuna-7b")
    lengths = whole.turn_lengths[:TURNS]
    return replace(whole, ranks=whole.ranks[: lengths.sum()], turn_lengths=lengths, labels=whole.labels[:TURNS])


TRACE = trace()


def always_deciding(system: System, costs: StepCosts, policy: TreePolicy, new_tokens: int | None) -> list[list[int]]:
    heads = most_depth(policy, min(system.model.most_drafts, TRACE.heads))
    pruner = DraftTokenPruner(prior_accuracy(heads, TRACE.top_k), rule=policy.rule, memory=policy.memory)
    price = allowed_prices(costs, policy, heads, new_tokens)
    move = costs.move_price(policy.objective)
    return [list(astuple(step)) for step in decode(TRACE.with_heads(heads), pruner, price, new_tokens, move)]


def compared(
    model: str, policy: TreePolicy, changes: dict[str, str], profile: str = "attacc", new_tokens: int | None = None
) -> int:
    """Compare all steps, and count them."""
    system = make_system("lp-spec", load_model(model), Scenario(changes=changes, energy_profile=profile))
    costs = step_costs(system, PROMPT, int(TRACE.turn_lengths.max()))
    steps = decode_steps(system, TRACE, Workload(PROMPT, new_tokens), policy, costs)
    found = np.column_stack([steps.position, steps.l_spec, steps.committed, steps.placement, steps.heads, steps.moved])
    expected = always_deciding(system, costs, policy, new_tokens)
    assert found.tolist() == expected
    return len(expected)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Settled]:
    """What replays have settled."""
    made: list[Settled] = []

    def watched(*arguments: object) -> Settled:
        made.append(nothing_settled(*arguments))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(simulating, "nothing_settled", watched)
    return made


@pytest.mark.parametrize("rule", LEARNING_RULES)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", ["llama2-7b", "llama3.2-1b", "qwen2.5-1.5b"])
def test_every_step_is_that_of_the_loop_which_always_decides(
    model: str, objective: Objective, rule: LearningRule
) -> None:
    for memory in (4096.0, 200.0):
        compared(model, TreePolicy(objective=objective, rule=rule, memory=memory), {})


@pytest.mark.parametrize("alus", ["1", "2", "6", "8", "16"])
def test_near_the_border_of_two_sizes_too(alus: str) -> None:
    compared("llama2-7b", TreePolicy(), {"pim.alus": alus})
    compared("llama3-8b", TreePolicy(objective="edp"), {"pim.alus": alus, "pim.mac_interval": "7.5 ns"}, "specpim")


@pytest.mark.parametrize(
    "policy", [TreePolicy(size=8), TreePolicy(size=24, depth=3), TreePolicy(heads="all"), TreePolicy(memory=2.0)]
)
def test_under_every_policy(policy: TreePolicy) -> None:
    compared("llama2-7b", policy, {}, new_tokens=90)


def test_most_decisions_stand(settled: list[Settled]) -> None:
    steps = compared("llama2-7b", TreePolicy(), {})
    assert int(settled[0].made[0]) < steps / 2


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_trees_of_one_size_are_those_of_the_loop(size: int) -> None:
    for objective in OBJECTIVES:
        compared("llama2-7b", TreePolicy(size=size, objective=objective), {"pim.alus": "6"})


def test_most_decisions_for_one_size_stand(settled: list[Settled]) -> None:
    """Sizes that are forbidden have no finite price, which says nothing about the others."""
    steps = compared("llama2-7b", TreePolicy(size=4), {})
    assert int(settled[0].made[0]) < steps / 2


@pytest.mark.parametrize("alus", ["6", "8"])
def test_which_of_a_few_sizes_is_best_is_looked_up(settled: list[Settled], alus: str) -> None:
    """Over the whole trace the best size changes hundreds of times, and hardly one of these steps decides anew."""
    system = make_system("lp-spec", load_model("llama2-7b"), Scenario(changes={"pim.alus": alus}))
    whole = load_trace("vicuna-7b")
    costs = step_costs(system, PROMPT, int(whole.turn_lengths.max()))
    steps = decode_steps(system, whole, Workload(PROMPT), TreePolicy(objective="edp"), costs)
    assert np.count_nonzero(np.diff(steps.l_spec)) > 200
    assert int(settled[0].made[0]) < len(steps.l_spec) / 8


def test_weights_that_move_are_decided_anew_at_every_step(settled: list[Settled]) -> None:
    steps = compared("llama2-7b", TreePolicy(), {"allocator": "dynamic"})
    assert int(settled[0].made[0]) == steps
