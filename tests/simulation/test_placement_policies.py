"""Runs under static, dynamic and replicated placement: what they add up, and which is better when."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lpspec.arrays import FloatArray
from lpspec.devices.cost import COMPONENTS
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.simulation.decode_loop import decode
from lpspec.simulation.run import Run, allowed_prices, decode_steps, price_steps, simulate
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.rank_trace import RankTrace, load_trace
from lpspec.speculation.token_tree import TokenTree

POLICIES = ("static", "dynamic", "replicated")
WORK = Workload(128, 90)


@cache
def system(policy: str, model: str = "llama2-7b") -> System:
    return make_system("lp-spec", load_model(model), Scenario(changes={"allocator": policy}))


@cache
def costs_of(policy: str, model: str = "llama2-7b") -> StepCosts:
    return step_costs(system(policy, model), 128, 90)


@cache
def trace() -> RankTrace:
    whole = load_trace("vicuna-7b")
    lengths = whole.turn_lengths[:24]
    return replace(whole, ranks=whole.ranks[: lengths.sum()], turn_lengths=lengths, labels=whole.labels[:24])


def run(policy: str, tree: TreePolicy, model: str = "llama2-7b") -> Run:
    one, costs = system(policy, model), costs_of(policy, model)
    return price_steps(one, costs, decode_steps(one, trace(), WORK, tree, costs))


class SizesByBlock:
    """A controller that knows no machine: a few turns with small trees, as many with large ones."""

    def __init__(self, sizes: tuple[int, ...], turns: int, accuracy: FloatArray) -> None:
        self.pruner, self.sizes, self.turns, self.turn = DraftTokenPruner(accuracy), sizes, turns, -1

    def choose(self, price: FloatArray) -> TokenTree:
        """The likeliest tree of the size that is due."""
        turn = max(self.turn, 0)
        only = np.full_like(price, np.inf)
        only[:, self.sizes[turn // self.turns % len(self.sizes)] - 1] = 1.0
        return self.pruner.choose(only)

    def observe(self, position: int, ranks: object, tree: TokenTree, committed: int) -> None:
        """Count turns."""
        self.turn += position == 0


def by_block(sizes: tuple[int, ...], turns: int, objective: Objective = "throughput") -> TreePolicy:
    return TreePolicy(pruner=lambda accuracy: SizesByBlock(sizes, turns, accuracy), objective=objective)


# What a run adds up


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_totals_are_those_of_steps_and_moves_one_by_one(objective: Objective) -> None:
    found, costs = run("dynamic", by_block((4, 24), 6, objective)), costs_of("dynamic")
    placed = costs.placements
    assert placed is not None
    ns, moved_ns, pj = 0.0, 0.0, np.zeros(len(COMPONENTS))
    steps = found.steps
    where = steps.placement.tolist()
    columns = steps.position, steps.l_spec, steps.heads, steps.placement, steps.moved
    for position, size, heads, place, drafts in zip(*(column.tolist() for column in columns), strict=True):
        ns += costs.latency_ns[position, size - 1] + costs.draft_ns[heads] + placed.latency_ns[place, size - 1]
        pj += costs.energy_pj[:, position, size - 1] + costs.draft_pj[:, heads] + placed.energy_pj[:, place, size - 1]
        ns += costs.compaction_ns[drafts]
        pj += costs.compaction_pj[:, drafts]
    for a, b in pairwise(where):
        moved_ns += placed.move_ns[a, b]
        pj += placed.move_pj[:, a, b]
    assert found.migrations == sum(a != b for a, b in pairwise(where))
    assert (found.migrations > 0) == (objective != "energy")  # balanced splits save time, never energy
    assert found.migration_ns == pytest.approx(moved_ns)
    assert found.decode_ns == pytest.approx(ns + moved_ns)
    assert found.decode_pj == pytest.approx(pj)
    assert (found.decode_pj[COMPONENTS.index("migration")] > 0) == (found.migrations > 0)
    assert sum(found.energy_by_component_mj.values()) == pytest.approx(found.mj_per_token)


def test_a_price_under_a_placement_is_that_of_its_allocator_alone() -> None:
    """Against the price list of a run that never moves, made for the placement where it stays."""
    costs, stays = costs_of("dynamic"), costs_of("static")
    assert costs.placements is not None
    for objective in OBJECTIVES:
        prices = costs.prices(objective)
        assert prices[:1] == pytest.approx(stays.prices(objective), rel=1e-12)
        assert (prices > 0).all()
        assert costs_of("static").prices(objective).shape[0] == 1
    assert costs.move_price("edp") ** 2 == pytest.approx(costs.move_price("throughput") * costs.move_price("energy"))


@pytest.mark.parametrize("tree", [TreePolicy(), TreePolicy(size=24), TreePolicy(objective="edp", size=16)])
def test_a_run_that_moves_takes_the_steps_of_the_readable_loop(tree: TreePolicy) -> None:
    costs = costs_of("dynamic")
    steps = run("dynamic", tree).steps
    heads = system("dynamic").model.most_drafts
    pruner = DraftTokenPruner(prior_accuracy(heads, trace().top_k), 64, tree.rule, tree.memory)
    price, move = allowed_prices(costs, tree, heads, WORK.new_tokens), costs.move_price(tree.objective)
    expected = list(decode(trace().with_heads(heads), pruner, price, 90, move))
    assert steps.l_spec.tolist() == [step.l_spec for step in expected]
    assert steps.committed.tolist() == [step.committed for step in expected]
    assert steps.placement.tolist() == [step.placement for step in expected]
    assert steps.heads.tolist() == [step.heads for step in expected]
    assert steps.moved.tolist() == [step.moved for step in expected]
    if tree.size is not None:
        assert steps.placement[-1] != 0


def test_a_published_tree_moves_as_a_pruner_that_always_gives_it() -> None:
    class Always:
        def choose(self, price: FloatArray) -> TokenTree:
            return named_tree("mc_sim_7b_63")

        def observe(self, position: int, ranks: object, tree: TokenTree, committed: int) -> None:
            pass

    fixed = run("dynamic", TreePolicy(fixed=named_tree("mc_sim_7b_63")))
    always = run("dynamic", TreePolicy(pruner=lambda _: Always()))
    assert fixed.steps.placement.tolist() == always.steps.placement.tolist()
    assert fixed.decode_ns == always.decode_ns
    assert fixed.migrations >= 1


# Which is better when


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_pruner_of_lp_spec_leaves_nothing_to_move(objective: Objective) -> None:
    """Its trees take one pass on PIM, whose split is the first placement: all three policies do the same."""
    runs = [run(policy, TreePolicy(objective=objective)) for policy in POLICIES]
    assert {one.migrations for one in runs} == {0}
    assert len({one.decode_ns for one in runs}) == 1


@pytest.mark.parametrize("size", [12, 16, 24, 64])
def test_large_trees_make_moving_pay_and_copies_more_so(size: int) -> None:
    free, moves, stays = (run(policy, TreePolicy(size=size)) for policy in ("replicated", "dynamic", "static"))
    assert free.decode_ns <= moves.decode_ns < 0.95 * stays.decode_ns
    assert moves.migrations >= 1
    assert moves.decode_ns - moves.migration_ns < 1.02 * free.decode_ns


def test_moving_pays_only_where_sizes_last() -> None:
    """Blocks of one turn of 24 tokens' trees are too short to move back and forth for; blocks of six are not."""
    short, long = (run("dynamic", by_block((4, 24), turns)) for turns in (1, 6))
    assert long.migrations > 1
    gains = [
        run("static", by_block((4, 24), turns)).decode_ns / one.decode_ns for turns, one in ((1, short), (6, long))
    ]
    assert gains[1] > 1.05
    for turns, one in ((1, short), (6, long)):
        assert run("replicated", by_block((4, 24), turns)).decode_ns <= one.decode_ns


def test_turns_of_a_run_are_all_there_under_every_policy() -> None:
    tokens = {simulate(system(policy), trace(), WORK, TreePolicy(size=16)).tokens for policy in POLICIES}
    assert tokens == {int(np.minimum(trace().turn_lengths, 90).sum())}
