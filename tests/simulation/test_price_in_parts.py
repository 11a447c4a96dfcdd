"""Prices of a grid that was filled from parts are those of each pass by itself, on any machine."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.parts import CostInParts
from lpspec.devices.cost import COMPONENTS
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.llm.operators import verify_operators
from lpspec.machine.energy_profile import EVENTS
from lpspec.scenario import Scenario
from lpspec.simulation.price_grid import priced
from lpspec.simulation.step_cost import step_costs

MACHINES = st.fixed_dictionaries(
    {},
    optional={
        "pim.alus": st.sampled_from("123468"),
        "pim.concurrent_ranks": st.sampled_from("123"),
        "pim.banks_per_mpu": st.sampled_from("12"),
        "memory.data_rate": st.sampled_from(["6400 Mbps", "8533 Mbps"]),
        "memory.command_buses": st.sampled_from("12"),
        "npu.cores": st.sampled_from(["4", "8", "32"]),
        "allocator": st.sampled_from(["replicated", "static", "pim-only", "least-energy"]),
    },
)


@settings(max_examples=12)
@given(MACHINES, st.sampled_from(["llama3.2-1b", "tinyllama"]), st.integers(1, 900), st.data())
def test_every_price_is_that_of_its_pass_alone(
    changes: dict[str, str], name: str, first: int, data: st.DataObject
) -> None:
    model = load_model(name)
    system = make_system("lp-spec", model, Scenario(changes=changes))
    costs = step_costs(system, first, 100)
    assert costs.allocator is not None
    for _ in range(8):
        at, tokens = data.draw(st.integers(0, 99)), data.draw(st.integers(1, 64))
        alone = costs.allocator.decode_cost(verify_operators(model, tokens, first + at))
        ns, pj = priced(system, alone, (1, 1))
        assert costs.latency_ns[at, tokens - 1] == pytest.approx(ns[0, 0], rel=1e-12)
        assert costs.energy_pj[:, at, tokens - 1] == pytest.approx(pj[:, 0, 0], rel=1e-12, abs=1e-12 * pj.sum())


@pytest.mark.parametrize("idle_dies", ["standby", "power-down"])
def test_parts_are_priced_as_their_sum(idle_dies: str) -> None:
    """In power-down a die is awake for a while beside each refresh, which does not add up over parts."""
    scenario = Scenario(changes={"memory.idle_dies": idle_dies}, energy_profile="micron-y52p")
    system = make_system("lp-spec", load_model("llama3.2-1b"), scenario)
    allocator = step_costs(system, 100, 80).allocator
    assert allocator is not None
    passes = verify_operators(system.model, np.arange(1, 65)[None], np.arange(100, 180)[:, None])
    found = allocator.decode_cost(passes)
    assert isinstance(found, CostInParts)
    whole = found * 1.0
    assert not isinstance(whole, CostInParts)
    for parts, sums in zip(priced(system, found, (80, 64)), priced(system, whole, (80, 64)), strict=True):
        assert parts == pytest.approx(sums, rel=1e-12)
    static = COMPONENTS.index("static")
    assert (priced(system, found, (80, 64))[1][static] > 0).all()


def test_a_part_is_spread_over_the_grid_by_its_rows() -> None:
    system = make_system("lp-spec", load_model("tinyllama"), Scenario())
    allocator = step_costs(system, 50, 40).allocator
    assert allocator is not None
    passes = verify_operators(system.model, np.arange(1, 65)[None], np.arange(50, 90)[:, None])
    found = allocator.decode_cost(passes)
    assert isinstance(found, CostInParts)
    assert [part.row is None for part in found.parts].count(True) == 1  # softmax has a row for each context
    for part in found.parts:
        rows = np.arange(40)[:, None] if part.row is None else part.row
        for (at, size), row in np.ndenumerate(np.broadcast_to(rows, (40, 64))):
            few = np.broadcast_to(part.cost.latency_ns, part.shape)
            assert np.asarray(part.whole.latency_ns)[at, size] == few[row, size]


@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_tiles_are_looked_up_as_they_are_computed(tokens: int) -> None:
    system = make_system("lp-spec", load_model("llama3.2-1b"), Scenario())
    allocator = step_costs(system, 100, 80).allocator
    assert isinstance(allocator, BalancedAllocator)
    for placed in allocator.placements:
        columns = np.minimum(np.arange(placed.tiles + 1) * placed.tile_columns, placed.gemm.n)
        op = replace(placed.gemm, count=1, tokens=tokens)
        found_ns = allocator._tiled(placed).latency_ns[tokens - 1]
        assert (found_ns == allocator.makespan_ns(tokens, placed.gemm, columns)).all()
        looked_up, computed = allocator._split_events(op, placed, columns, 1), allocator._split_activity(op, columns)
        for name in EVENTS:
            assert getattr(looked_up, name) == pytest.approx(getattr(computed, name), rel=1e-14)


def test_passes_of_no_request_cost_nothing() -> None:
    system = make_system("lp-spec", load_model("tinyllama"), Scenario())
    allocator = step_costs(system, 50, 40).allocator
    assert allocator is not None
    none = np.zeros(0, np.int64)
    assert np.size(allocator.decode_cost(verify_operators(system.model, none, none)).latency_ns) == 0
