"""The pruner under every kind of drafter, against greedy trees of every size and depth, chosen after the fact.

The whole table takes minutes: ``pytest -m slow tests/simulation/test_best_fixed_drafters.py``; a few cells always run.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from test_best_fixed import ALLOWED, per_token, replay, steps_of_root, value_of

from lpspec.arrays import FloatArray, IntArray
from lpspec.experiments.setting import trace_of
from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import OBJECTIVES
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import decode_steps, price_by_commands, price_steps, turn_bounds
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.steps import Steps
from lpspec.simulation.workload import MAX_TREE_SIZE, TreePolicy
from lpspec.speculation.measured import prior_of_levels
from lpspec.speculation.rank_trace import RankTrace

MODELS = ("llama2-7b", "llama3-8b", "llama3.2-1b", "llama3.2-3b", "qwen2.5-7b")
DRAFTERS = {
    "medusa": {"trace": "vicuna-7b"},
    "eagle3": {"trace": "llama3.1-8b-eagle3-gsm8k"},
    "mtp": {"acceptance": "3.32@3"},  # a 27B class model with MTP: .851 .762 .708
    "draft-model:tinyllama": {"trace": "llama3.1-8b-eagle3"},
}
SYSTEMS = ("lp-spec", "npu-spec")
PROMPT_TOKENS = 128
NEW_TOKENS = 128
NEAREST = 3
"""Trees that are best analytically, which commands price too."""


@dataclass(frozen=True)
class Fixed:
    """Steps of greedy trees of one size and depth each, which depend on no price.

    Attributes:
        size: [trees].
        depth: [trees].
        steps: [trees].
    """

    size: IntArray
    depth: IntArray
    steps: tuple[Steps, ...]

    def costs(self, of: StepCosts) -> tuple[FloatArray, FloatArray]:
        """Time, ns, and energy, pJ, of all steps: [trees] each."""
        totals = [self._of_one(steps, of) for steps in self.steps]
        return np.array([ns for ns, _ in totals]), np.array([pj for _, pj in totals])

    @staticmethod
    def _of_one(steps: Steps, of: StepCosts) -> tuple[float, float]:
        draft_ns, draft_pj = of.drafted(steps.position, steps.l_spec, steps.committed, steps.heads)
        at = steps.position, steps.l_spec - 1
        ns = of.latency_ns[at] + draft_ns + of.compaction_ns[steps.moved]
        pj = of.energy_pj[:, *at] + draft_pj + of.compaction_pj[:, steps.moved]
        return float(ns.sum()), float(pj.sum())


@cache
def fixed_trees(drafter: str, heads: int) -> Fixed:
    trace, turns = trace_and_turns(drafter)
    found = [(1, 0, steps_of_root(turns))]
    for depth in range(1, heads + 1):
        most = min(MAX_TREE_SIZE, sum(trace.top_k**level for level in range(depth + 1)))
        for size in sizes(depth + 1, most):
            prior = None if drafter == "medusa" else prior_of_levels(depth, trace.top_k)
            steps = replay(trace, turns, size, depth, prior)
            found.append((size, depth, steps))
    size_of, depth_of, steps_of = zip(*found, strict=True)
    return Fixed(np.array(size_of), np.array(depth_of), tuple(steps_of))


def sizes(least: int, most: int) -> list[int]:
    """All small ones, then fewer and fewer."""
    every = [*range(1, 17), 20, 24, 32, 48, 64]
    return [size for size in every if least <= size <= most] or [most]


@cache
def trace_and_turns(drafter: str) -> tuple[RankTrace, IntArray]:
    trace = trace_of(Scenario(drafter=drafter).replace(**DRAFTERS[drafter]), None)
    return trace, turn_bounds(trace, Workload(new_tokens=NEW_TOKENS))


def worst(model: str, drafter: str, name: str, by_commands: bool = False) -> dict[str, float]:
    """What the pruner takes, over what the best fixed tree takes, by objective and level."""
    trace, turns = trace_and_turns(drafter)
    one = make_system(name, load_model(model), Scenario(drafter=drafter))
    workload, contexts = Workload(new_tokens=NEW_TOKENS), int(turns[:, 0].max())
    costs = step_costs(one, PROMPT_TOKENS, contexts)
    fixed, tokens = fixed_trees(drafter, min(one.model.most_drafts, trace.heads)), int(turns[:, 0].sum())
    ns, pj = fixed.costs(costs)
    commands = command_costs(one, PROMPT_TOKENS, contexts, costs.allocator) if by_commands else None
    found: dict[str, float] = {}
    for objective in OBJECTIVES:
        steps = decode_steps(one, trace, workload, TreePolicy(objective=objective), costs)
        values = per_token(objective, ns, pj, tokens)
        found[f"{objective}, analytic"] = value_of(price_steps(one, costs, steps), objective) / float(values.min())
        if commands is not None:
            pruned = value_of(price_by_commands(one, commands, steps), objective)
            nearest = [fixed.steps[tree] for tree in np.argsort(values)[:NEAREST].tolist()]
            best = min(value_of(price_by_commands(one, commands, other), objective) for other in nearest)
            found[f"{objective}, command"] = pruned / best
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("model", MODELS)
def test_no_fixed_size_and_depth_is_better_by_more_than_a_hundredth(model: str, drafter: str, name: str) -> None:
    found = worst(model, drafter, name, by_commands=True)
    assert {case: ratio for case, ratio in found.items() if ratio > ALLOWED} == {}


@pytest.mark.parametrize(("model", "drafter"), [("llama3-8b", "eagle3"), ("llama2-7b", "mtp")])
def test_nor_in_the_cells_that_always_run(model: str, drafter: str) -> None:
    found = worst(model, drafter, "lp-spec")
    assert {case: ratio for case, ratio in found.items() if ratio > ALLOWED} == {}
