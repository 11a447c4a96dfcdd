"""The pruner against greedy trees of every size and depth, chosen after the fact."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.errors import InputError
from lpspec.experiments.systems import SYSTEMS, make_system
from lpspec.llm.loading import load_model, model_names
from lpspec.llm.medusa_heads import MedusaHeads
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.kernels import replay_pruned
from lpspec.simulation.run import Run, decode_steps, price_by_commands, price_steps, turn_bounds
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.steps import Steps
from lpspec.simulation.workload import MAX_TREE_SIZE, System, TreePolicy
from lpspec.speculation.kernels import make_growth
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.optimism import make_runs
from lpspec.speculation.pruner import DEFAULT_MEMORY, PRIOR_WEIGHT
from lpspec.speculation.rank_trace import RankTrace, load_trace
from lpspec.speculation.settled import nothing_settled

PROMPT_TOKENS = 128
PROFILES = ("attacc", "specpim", "micron-y52p")
ALLOWED = 1.01
ELSEWHERE = ("gpt2-345m", "gpt3-175b", "devstral2-123b")
"""Models that read fewer tokens than the turns have, or that none of these machines holds."""


@dataclass(frozen=True)
class Fixed:
    """Greedy trees of one size and depth each, learning as the pruner does: what they do depends on no price.

    Attributes:
        size: [trees].
        depth: [trees], heads that run; 0 with the root alone.
        steps: [trees, positions], how many begin at each position of a turn.
    """

    size: IntArray
    depth: IntArray
    steps: IntArray

    def costs(self, of: StepCosts) -> tuple[FloatArray, FloatArray]:
        """Time, ns, and energy, pJ, of all steps: [trees] each."""
        count = self.steps.sum(axis=1)
        ns = np.einsum("tp,pt->t", self.steps, of.latency_ns[:, self.size - 1]) + count * of.draft_ns[self.depth]
        energy = of.energy_pj.sum(axis=0)[:, self.size - 1]
        pj = np.einsum("tp,pt->t", self.steps, energy) + count * of.draft_pj.sum(axis=0)[self.depth]
        return ns, pj


@cache
def trace_and_turns(name: str) -> tuple[RankTrace, IntArray]:
    trace = load_trace(name)
    return trace, turn_bounds(trace, Workload())


def replay(trace: RankTrace, turns: IntArray, size: int, depth: int, prior: FloatArray | None = None) -> Steps:
    """Decode with the likeliest tree of one size, at most so deep; Medusa's prior if left out."""
    price = np.full((1, int(turns[:, 0].max()), 1, MAX_TREE_SIZE), np.inf)
    price[..., size - 1] = 1.0
    accuracy = prior_accuracy(depth, trace.top_k) if prior is None else prior.copy()
    out = np.empty((6, int(turns[:, 0].sum())), np.int64)
    ranks: NDArray[np.int8] = np.ascontiguousarray(trace.ranks[:, :depth])
    weight, growth = np.full_like(accuracy, PRIOR_WEIGHT), make_growth(depth, trace.top_k, MAX_TREE_SIZE)
    stay = np.zeros((1, 1))
    rest = nothing_settled(price, depth, trace.top_k), stay, out
    runs = make_runs((1, *accuracy.shape), PRIOR_WEIGHT)
    taken = replay_pruned(ranks, turns, price, accuracy, weight, True, False, DEFAULT_MEMORY, 0.0, runs, growth, *rest)
    l_spec, committed, position, placement, heads, moved = out[:, :taken]
    return Steps(position, l_spec, committed, placement, heads, moved)


@cache
def fixed_trees(name: str, heads: int) -> Fixed:
    trace, turns = trace_and_turns(name)
    longest = int(turns[:, 0].max())
    plain = np.concatenate([np.arange(wanted) for wanted in turns[:, 0].tolist()])
    found = [(1, 0, np.bincount(plain, minlength=longest))]
    for depth in range(1, heads + 1):
        most = min(MAX_TREE_SIZE, sum(trace.top_k**level for level in range(depth + 1)))
        for size in range(depth + 1, most + 1):
            steps = replay(trace, turns, size, depth)
            found.append((size, depth, np.bincount(steps.position, minlength=longest)))
    size_of, depth_of, steps_of = zip(*found, strict=True)
    return Fixed(np.array(size_of), np.array(depth_of), np.array(steps_of))


def per_token(objective: Objective, ns: FloatArray, pj: FloatArray, tokens: int) -> FloatArray:
    """What the objective has least of."""
    return {"throughput": ns / tokens, "energy": pj / tokens, "edp": ns * pj / tokens**2}[objective]


def value_of(run: Run, objective: Objective) -> float:
    return float(per_token(objective, np.array(run.decode_ns), run.decode_pj.sum(), run.tokens))


def systems(model: str, profile: str) -> list[tuple[System, StepCosts]]:
    spec = load_model(model)
    _, turns = trace_and_turns(spec.default_trace or "vicuna-7b")
    found = []
    for name, named in SYSTEMS.items():
        if named.speculates:
            one = make_system(name, spec, Scenario(energy_profile=profile))
            try:
                found.append((one, step_costs(one, PROMPT_TOKENS, int(turns[:, 0].max()))))
            except InputError:  # the model is too large for it
                continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in model_names() if name not in ELSEWHERE])
def test_no_fixed_size_and_depth_is_better_by_more_than_a_hundredth(model: str) -> None:
    """On every system, for every objective and energy profile, at the level that the pruner plans with."""
    spec = load_model(model)
    name = spec.default_trace or "vicuna-7b"
    trace, turns = trace_and_turns(name)
    fixed, tokens = fixed_trees(name, min(MedusaHeads().count, trace.heads)), int(turns[:, 0].sum())
    worse: dict[tuple[str, ...], float] = {}
    for profile in PROFILES:
        for one, costs in systems(model, profile):
            ns, pj = fixed.costs(costs)
            for objective in OBJECTIVES:
                run = price_steps(
                    one, costs, decode_steps(one, trace, Workload(), TreePolicy(objective=objective), costs)
                )
                best = per_token(objective, ns, pj, tokens).min()
                worse[profile, one.name, objective] = value_of(run, objective) / float(best)
    assert len(worse) >= 9
    assert {case: found for case, found in worse.items() if found > ALLOWED} == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["llama2-7b", "llama3.2-1b"])
@pytest.mark.parametrize("name", ["lp-spec", "npu-spec"])
def test_by_commands_none_of_the_analytic_best_is_better_either(name: str, model: str) -> None:
    """The four best analytically, priced by commands."""
    one = make_system(name, load_model(model))
    trace, turns = trace_and_turns("vicuna-7b")
    costs = step_costs(one, PROMPT_TOKENS, int(turns[:, 0].max()))
    commands = command_costs(one, PROMPT_TOKENS, int(turns[:, 0].max()))
    assert commands is not None
    fixed, tokens = fixed_trees("vicuna-7b", one.model.most_drafts), int(turns[:, 0].sum())
    for objective in OBJECTIVES:
        nearest = np.argsort(per_token(objective, *fixed.costs(costs), tokens))[:4]
        steps = decode_steps(one, trace, Workload(), TreePolicy(objective=objective), costs)
        pruned = value_of(price_by_commands(one, commands, steps), objective)
        for tree in nearest.tolist():
            size, depth = int(fixed.size[tree]), int(fixed.depth[tree])
            other = replay(trace, turns, size, depth) if depth else steps_of_root(turns)
            assert pruned <= ALLOWED * value_of(price_by_commands(one, commands, other), objective), (size, depth)


def steps_of_root(turns: IntArray) -> Steps:
    position = np.concatenate([np.arange(wanted) for wanted in turns[:, 0].tolist()])
    one, none = np.ones_like(position), np.zeros_like(position)
    return Steps(position, one, one, none, none, none)


@pytest.mark.parametrize("fidelity", ["analytic", "command"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_small_model_gains_by_speculating_on_lp_spec(objective: Objective, fidelity: str) -> None:
    """Heads of a 1B model cost nearly as much as the model: with all of them running, plain decoding is best."""
    one = make_system("lp-spec", load_model("llama3.2-1b"))
    trace, turns = trace_and_turns("vicuna-7b")
    costs = step_costs(one, PROMPT_TOKENS, int(turns[:, 0].max()))
    commands = command_costs(one, PROMPT_TOKENS, int(turns[:, 0].max()))
    assert commands is not None

    def value(policy: TreePolicy, objective: Objective) -> float:
        steps = decode_steps(one, trace, Workload(), policy, costs)
        run = price_steps(one, costs, steps) if fidelity == "analytic" else price_by_commands(one, commands, steps)
        return value_of(run, objective)

    pruned, plain = TreePolicy(objective=objective), TreePolicy(size=1)
    assert value(plain, "edp") > 1.25**2 * value(pruned, "edp")
    assert value(plain, "throughput") > 1.25 * value(pruned, "throughput")
    always = TreePolicy(objective=objective, heads="all")
    assert value(always, objective) > 1.2 * value(pruned, objective)
