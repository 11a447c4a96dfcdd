"""Whatever a model's layers are, every machine prices it: both levels, a second derivation, and more is never less."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds_twin import mixed_pass
from layer_kinds import CONVOLUTION, DENSE, FEW, FULL, LATENT, LINEAR, MODELS, SHARED, SLIDING, SPACE, layer, spec
from step_twin import energy_pj

from lpspec.errors import InputError
from lpspec.experiments.systems import make_system
from lpspec.llm.feed_forward import FeedForward
from lpspec.llm.operators import verify_operators
from lpspec.scenario import Scenario
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.step_phases import in_order

SYSTEMS = ("npu-spec", "pim-spec", "lp-spec", "rtx3090-spec", "attacc-spec")
NONE = np.array([0])


def costs_of(system: str, model: Any, context: int, contexts: int) -> StepCosts:
    return step_costs(make_system(system, model, Scenario()), context, contexts)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", MODELS)
def test_larger_trees_and_longer_contexts_never_cost_less(system: str, name: str) -> None:
    """Contexts in steps of a block: within one, new keys fall into one block or two."""
    costs = costs_of(system, MODELS[name], 1, 300)
    for cost in (costs.latency_ns, costs.energy_pj.sum(axis=0)):
        assert (np.diff(cost, axis=1) >= -1e-9 * cost[:, 1:]).all()
    assert (costs.latency_ns[32:] >= costs.latency_ns[:-32] * (1 - 1e-9)).all()
    assert costs.prefill_ns > 0


@pytest.mark.parametrize("system", ["npu-spec", "pim-spec", "lp-spec"])
@pytest.mark.parametrize("name", MODELS)
def test_both_levels_agree(system: str, name: str) -> None:
    built = make_system(system, MODELS[name], Scenario())
    costs = step_costs(built, 140, 2)
    commands = command_costs(built, 140, 2, costs.allocator)
    assert commands is not None
    for size in (1, 8):
        found = commands.decode(NONE, np.array([size]), NONE, NONE, NONE)
        assert float(found.latency_ns) == pytest.approx(costs.latency_ns[0, size - 1], rel=0.02)


def decided(allocator: Any, op: Any) -> Iterator[tuple[float, int]]:
    for part in allocator.divided(op):
        yield part.copies, int(part.shares[-1][1])


@pytest.mark.parametrize("system", ["npu-spec", "lp-spec"])
@pytest.mark.parametrize("name", MODELS)
def test_a_second_derivation_of_every_kind_of_layer(system: str, name: str) -> None:
    for context in (30, 140, 501):
        costs = costs_of(system, MODELS[name], context, 1)
        allocator: Any = costs.allocator
        for size in (1, 3, 8, 33):
            split = None if system == "npu-spec" else lambda op, a=allocator: decided(a, op)
            total_ns, events = mixed_pass(verify_operators(MODELS[name], size, context), split)
            assert costs.latency_ns[0, size - 1] == pytest.approx(total_ns, rel=1e-3)
            total_pj = costs.energy_pj[:, 0, size - 1].sum()
            assert total_pj == pytest.approx(energy_pj(events, "attacc"), rel=1e-3)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_layer_more_never_costs_less_and_order_does_not_matter(system: str) -> None:
    groups = [(1, layer(SLIDING)), (1, layer(FULL, FEW)), (1, layer(LATENT)), (1, layer(LINEAR, FEW))]
    base = costs_of(system, spec("base", *groups), 64, 2)
    turned = costs_of(system, spec("turned", *groups[::-1]), 64, 2)
    assert turned.latency_ns == pytest.approx(base.latency_ns, rel=1e-9)
    assert turned.energy_pj.sum(axis=0) == pytest.approx(base.energy_pj.sum(axis=0), rel=1e-9)
    for i in range(len(groups)):
        more = [(count + (at == i), one) for at, (count, one) in enumerate(groups)]
        larger = costs_of(system, spec("larger", *more), 64, 2)
        assert (larger.latency_ns > base.latency_ns).all()
        assert (larger.energy_pj.sum(axis=0) > base.energy_pj.sum(axis=0)).all()


MIXERS = st.sampled_from([FULL, SLIDING, SHARED, LATENT, LINEAR, SPACE, CONVOLUTION])
NETWORKS = st.sampled_from(
    [DENSE, FEW, FeedForward(width=640, gated=False), FEW.model_copy(update={"shared_width": 256})]
)
GROUPS = st.lists(st.tuples(st.integers(1, 3), st.builds(layer, MIXERS, NETWORKS)), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=25)
@given(groups=GROUPS, system=st.sampled_from(SYSTEMS), context=st.integers(1, 400), data=st.data())
def test_no_model_costs_less_for_more(groups: Any, system: str, context: int, data: st.DataObject) -> None:
    """Of any layers: larger trees, a block of context more, a layer more."""
    base = costs_of(system, spec("any", *groups), context, 33)
    cost = base.latency_ns, base.energy_pj.sum(axis=0)
    assert all((np.diff(one, axis=1) >= -1e-9 * one[:, 1:]).all() for one in cost)
    assert (base.latency_ns[32] >= base.latency_ns[0] * (1 - 1e-9)).all()
    at = data.draw(st.integers(0, len(groups) - 1))
    more = [(count + (i == at), one) for i, (count, one) in enumerate(groups)]
    larger = costs_of(system, spec("larger", *more), context, 1)
    assert (larger.latency_ns[0] > base.latency_ns[0]).all()
    assert (larger.energy_pj.sum(axis=0)[0] > cost[1][0]).all()


@pytest.mark.parametrize("what", ["top_k", "experts", "width"])
def test_more_of_an_expert_network_never_costs_less(what: str) -> None:
    """More experts to choose from are more that a tree reads; a single token reads as many."""
    for system in ("npu-spec", "lp-spec", "rtx3090-spec"):
        before, after = (
            costs_of(system, spec("experts", (3, layer(FULL, few))), 64, 1).latency_ns[0]
            for few in (FEW, FEW.model_copy(update={what: 2 * getattr(FEW, what)}))
        )
        assert (after >= before * (1 - 1e-12)).all()
        if what == "experts":
            assert after[0] == pytest.approx(before[0], rel=0.01)  # the router alone grew
        assert after[7] > before[7]


def test_one_step_in_its_order_is_refused_where_only_expected_numbers_are_known() -> None:
    built = make_system("npu-spec", MODELS["experts"], Scenario())
    commands = command_costs(built, 140, 2)
    assert commands is not None
    with pytest.raises(
        InputError, match=r"'expert_gate_up' runs 8 times a step on average.*without experts only"
    ) as caught:
        list(in_order(commands.step_phases(1, 140)))
    assert len(str(caught.value)) <= 200
