"""No tree costs more than the next larger one, in time or in energy, whatever the split has least of."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.larger_trees import no_dearer_than_larger
from lpspec.experiments.one_step import both_levels
from lpspec.experiments.random_machines import draw
from lpspec.llm import verify_operators
from lpspec.machine.loading import load_platform, load_profile


@settings(deadline=None)  # the first call compiles
@given(arrays(np.int64, (2, 3, 5), elements=st.integers(0, 5)))
def test_of_all_ways_in_which_no_cost_falls_the_one_that_loses_least_time_is_taken(steps: np.ndarray) -> None:
    latency_ns, energy_pj = 1.0 + np.cumsum(steps, axis=2)  # each choice costs more as trees grow
    best, sizes = latency_ns.argmin(axis=0), np.arange(5)
    chosen = no_dearer_than_larger(best, latency_ns, energy_pj)
    own_ns = latency_ns[best, sizes]
    lost = {
        way: float((latency_ns[way, sizes] / own_ns - 1).sum())
        for way in product(range(3), repeat=5)
        if all((np.diff(cost[way, sizes]) >= 0).all() for cost in (latency_ns, energy_pj))
    }
    assert lost[tuple(chosen.tolist())] == pytest.approx(min(lost.values()), abs=1e-9)
    assert tuple(best.tolist()) not in lost or (chosen == best).all()


def test_rows_are_decided_each_by_itself() -> None:
    generator = np.random.default_rng(0)
    latency_ns, energy_pj = 1.0 + np.cumsum(generator.random((2, 4, 20, 9)), axis=3)
    best = latency_ns.argmin(axis=0)
    together = no_dearer_than_larger(best, latency_ns, energy_pj)
    for row in range(20):
        assert (together[row] == no_dearer_than_larger(best[row], latency_ns[:, row], energy_pj[:, row])).all()


def test_no_rule_keeps_both_better_machines_and_larger_trees() -> None:
    """Two machines take the fastest way, which breaks no rule; one better than both must then break one of the two."""
    few_alus, many_alus = (5.0, 10.0), (1.04, 1.05)  # of trees of two sizes on PIM, in time
    few_cores, many_cores = (4.0, 4.4), (1.0, 1.1)  # and on the NPU
    energy_pj = np.array([(3.0, 6.0), (10.0, 10.1)])
    sizes = np.arange(2)

    def taken_ns(*latency_ns: tuple[float, float]) -> np.ndarray:
        costs = np.array(latency_ns)
        best = costs.argmin(axis=0)
        chosen = no_dearer_than_larger(best, costs, energy_pj)
        assert (chosen == best).all()
        return np.asarray(costs[chosen, sizes])

    no_longer = np.minimum(taken_ns(few_alus, many_cores), taken_ns(many_alus, few_cores))
    better = np.array([many_alus, many_cores])
    for way in product(range(2), repeat=2):
        costs = better[way, sizes], energy_pj[way, sizes]
        assert (costs[0] > no_longer).any() or any((np.diff(cost) < 0).any() for cost in costs)


def test_leaving_alus_idle_does_not_keep_both_either() -> None:
    """The better machine may compute as if it had few ALUs, at any energy between the two: still one of the rules."""
    few_alus, many_alus = (5.0, 10.0), (1.04, 1.05)
    many_cores = (1.0, 1.1)
    no_longer = np.minimum(many_alus, many_cores)
    for idle_pj in product((3.0, 4.0, 9.0), (6.0, 7.0, 11.0)):
        ways_ns = np.array([many_alus, many_cores, few_alus])
        ways_pj = np.array([(3.0, 6.0), (10.0, 10.1), idle_pj])
        for way in product(range(3), repeat=2):
            costs = ways_ns[way, np.arange(2)], ways_pj[way, np.arange(2)]
            assert (costs[0] > no_longer).any() or any((np.diff(cost) < 0).any() for cost in costs)


@pytest.mark.parametrize("allocator", ["replicated", "static", "dynamic", "pim-only"])
@pytest.mark.parametrize(("name", "context"), [("llama3.2-3b", 32_768), ("qwen2.5-1.5b", 4_096), ("llama2-7b", 140)])
def test_no_tree_is_cheaper_than_a_smaller_one(name: str, context: int, allocator: str) -> None:
    """By least time alone, 11 tokens of Llama3.2-3B over 32,768 keys took a fifth less energy than 10."""
    model = medusa_model(name).model_copy(update={"max_context": 1 << 16})
    profile = load_profile("specpim")
    made = make_allocator(load_platform("lp-spec", {"allocator": allocator}), model, 64, context + 64, profile)
    cost = made.decode_cost(verify_operators(model, np.arange(1, 65)[None], np.array([[context]])))
    energy_pj = np.broadcast_to(sum(cost.activity.energy_pj(profile).values()), (1, 64))[0]
    for found in (np.asarray(cost.latency_ns)[0], energy_pj):
        assert (found[1:] >= found[:-1] * (1 - 1e-12)).all()


def test_splits_that_are_fastest_for_no_size_are_tried_too() -> None:
    """With the others alone 1.52 % were lost over all sizes; which splits those are hangs on the machine as well."""
    model, profile = medusa_model("llama2-7b"), load_profile("attacc")
    made = make_allocator(load_platform("lp-spec"), model, 64, 4096 + 64, profile)
    own = make_allocator(load_platform("lp-spec"), model, 64, 4096 + 64)
    step = verify_operators(model, np.arange(1, 65)[None], np.array([[4096]]))
    taken_ns, own_ns = (np.asarray(each.decode_cost(step).latency_ns)[0] for each in (made, own))
    assert (taken_ns / own_ns - 1).sum() < 0.013


def test_twice_the_alus_cost_no_time_where_a_split_between_two_keeps_both_rules() -> None:
    """With splits alone that are fastest for some size, this machine lost 1.0 % to one of half the ALUs."""
    scenario = draw(1228)
    few, many = (
        both_levels(each.build(), each.l_spec, each.context, by_commands=False)[0].decode_ns
        for each in (scenario, scenario.with_change("pim.alus", 2))
    )
    assert many <= few


def test_numbers_and_grids_take_the_same_split() -> None:
    model, profile = medusa_model("llama3.2-1b"), load_profile("attacc")
    made = make_allocator(load_platform("lp-spec"), model, 64, 5000, profile)
    sizes, contexts = np.array([1, 4, 5, 17, 64]), np.array([100, 1500, 4900])
    grid = np.asarray(made.decode_cost(verify_operators(model, sizes[None], contexts[:, None])).latency_ns)
    for (i, j), found in np.ndenumerate(grid):
        one = made.decode_cost(verify_operators(model, int(sizes[j]), int(contexts[i])))
        assert found == pytest.approx(float(one.latency_ns), rel=1e-12)
