"""The price list: every cell is what that step costs when it is priced alone."""

from dataclasses import replace

import numpy as np
import pytest

from lpspec.allocation.allocator import make_allocator
from lpspec.devices.cost import COMPONENTS, Activity
from lpspec.errors import InputError
from lpspec.experiments.systems import SYSTEMS, make_system
from lpspec.llm import ModelSpec, load_model
from lpspec.llm.draft_work import draft_operators, with_heads
from lpspec.llm.operators import prefill_operators, verify_operators
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.loading import load_profile
from lpspec.scenario import Scenario
from lpspec.scenario.names import BASES, OBJECTIVES, Basis
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import MAX_TREE_SIZE, System

PROFILE = load_profile("attacc")
TINY = load_model("tinyllama")
HEADS = 4
FIRST, CONTEXTS = 61, 5
SPECULATING = [name for name, system in SYSTEMS.items() if system.speculates]


def system(name: str, model: ModelSpec = TINY, basis: Basis = "equal", **changes: str) -> System:
    constants = {key.replace("__", "."): text for key, text in changes.items()}
    return make_system(name, model, Scenario(basis=basis, changes=constants))


def prices_of(activity: Activity, profile: EnergyProfile) -> dict[str, float]:
    """Energy of scalar counts by component, written out."""
    a, p = activity, profile
    on_chip = (
        a.scratchpad_bits * p.scratchpad.pj_per_bit
        + a.local_buffer_bits * p.local_buffer.pj_per_bit
        + a.register_bits * p.core_register.pj_per_bit
    )
    off_chip = p.activate.pj_per_bit + p.column.pj_per_bit + p.io.pj_per_bit
    priced = {
        "array": a.activate_bits * p.activate.pj_per_bit + a.column_bits * p.column.pj_per_bit,
        "io": a.io_bits * p.io.pj_per_bit,
        "buffer": on_chip + a.pim_register_bits * p.pim_register.pj_per_bit,
        "mac": (a.macs_int8 + a.pim_macs_int8) * p.mac_int8.value + a.macs_fp16 * p.mac_fp16.value,
        "activation": (a.activation_io_bits + a.activation_input_bits) * p.io.pj_per_bit
        + a.activation_memory_bits * off_chip,
    }
    return {name: float(pj) for name, pj in priced.items()}


def cell(costs: StepCosts, row: int, tokens: int) -> tuple[float, dict[str, float]]:
    energy = {name: float(costs.energy_pj[i, row, tokens - 1]) for i, name in enumerate(COMPONENTS)}
    return float(costs.latency_ns[row, tokens - 1]), energy


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_cell_is_the_price_of_that_step_alone(name: str, basis: Basis) -> None:
    one = system(name, basis=basis)
    costs = step_costs(one, FIRST, CONTEXTS)
    sizes = MAX_TREE_SIZE if one.speculates else 1
    assert costs.latency_ns.shape == (CONTEXTS, sizes)
    assert costs.energy_pj.shape == (len(COMPONENTS), CONTEXTS, sizes)
    allocator = make_allocator(one.platform, one.model, sizes, FIRST + CONTEXTS, one.profile)
    for row in (0, 2, CONTEXTS - 1):
        for tokens in {1, 2, 4, 5, 33, sizes} & set(range(1, sizes + 1)):
            operators = verify_operators(one.model, tokens, FIRST + row)
            alone = [allocator.decode_cost((op,)) for op in operators]
            latency_ns = sum(float(cost.latency_ns) for cost in alone)
            by_operator = [prices_of(cost.activity, one.profile) for cost in alone]
            energy = {key: sum(priced[key] for priced in by_operator) for key in by_operator[0]}
            found_ns, found_pj = cell(costs, row, tokens)
            assert found_ns == pytest.approx(latency_ns, rel=1e-12)
            assert found_pj == pytest.approx({"static": 0.0, "migration": 0.0} | energy, rel=1e-12)


@pytest.mark.parametrize("name", SYSTEMS)
def test_prefill_is_one_pass_over_the_prompt(name: str) -> None:
    one = system(name)
    costs = step_costs(one, FIRST, 3)
    allocator = make_allocator(one.platform, one.model, costs.latency_ns.shape[1], FIRST + 3)
    alone = allocator.prefill_cost(prefill_operators(one.model, FIRST))
    assert costs.prefill_ns == pytest.approx(float(alone.latency_ns), rel=1e-12)
    assert costs.prefill_pj.sum() == pytest.approx(sum(prices_of(alone.activity, one.profile).values()), rel=1e-12)
    assert costs.prefill_ns < FIRST * costs.latency_ns[0, 0]  # one pass, not a pass per token


@pytest.mark.parametrize("name", SPECULATING)
def test_every_number_of_heads_is_priced_as_a_model_with_so_many(name: str) -> None:
    """No head runs for nothing, the first ones run first, and all cost what they did when all always ran."""
    costs = step_costs(system(name), FIRST, 2)
    assert costs.draft_ns.shape == (HEADS + 1,)
    for heads in range(HEADS + 1):
        one = system(name)
        one = replace(one, model=with_heads(one.model, heads))
        allocator = make_allocator(one.platform, one.model, MAX_TREE_SIZE, FIRST + 2)
        alone = [allocator.decode_cost((op,)) for op in draft_operators(one.model)]
        assert costs.draft_ns[heads] == pytest.approx(sum(float(cost.latency_ns) for cost in alone), rel=1e-12)
        energy_pj = sum(sum(prices_of(cost.activity, one.profile).values()) for cost in alone)
        assert costs.draft_pj[:, heads].sum() == pytest.approx(energy_pj, rel=1e-12)
    assert (np.diff(costs.draft_ns) > 0).all()


@pytest.mark.parametrize("name", ["npu", "lp-spec", "attacc-spec"])
def test_static_power_is_charged_for_all_the_time(name: str) -> None:
    plain, warm = step_costs(system(name), FIRST, 3), step_costs(system(name, static_power="2.5 W"), FIRST, 3)
    static = COMPONENTS.index("static")
    assert (plain.energy_pj[static] == 0).all()
    assert warm.energy_pj[static] == pytest.approx(2500 * warm.latency_ns, rel=1e-15)  # 2.5 W is 2500 pJ per ns
    assert np.array_equal(np.delete(warm.energy_pj, static, 0), np.delete(plain.energy_pj, static, 0))
    assert np.array_equal(warm.latency_ns, plain.latency_ns)
    assert warm.prefill_pj[static] == pytest.approx(2500 * warm.prefill_ns, rel=1e-15)


@pytest.mark.parametrize("name", SPECULATING)
def test_the_pruner_weighs_the_energy_that_its_basis_counts(name: str) -> None:
    """A GPU's board draws 350 or 400 W whatever runs, a phone 3.3 W beside its memory and MACs."""
    parts = step_costs(system(name), FIRST, 3)
    board = step_costs(system(name, basis="board"), FIRST, 3)
    assert np.array_equal(board.energy_pj, parts.energy_pj)
    watts = {"attacc-spec": 400, "rtx3090-spec": 350}.get(name, 3.3)
    counted_pj = board.latency_ns * watts * 1e3
    if watts == 3.3:
        counted_pj = counted_pj + parts.energy_pj.sum(axis=0)
    verified_only = [0]
    assert parts.prices("energy", verified_only)[0, :, 0] == pytest.approx(parts.energy_pj.sum(axis=0), rel=1e-15)
    assert board.prices("energy", verified_only)[0, :, 0] == pytest.approx(counted_pj, rel=1e-14)
    edp = board.prices("edp", verified_only)[0, :, 0]
    assert edp == pytest.approx(np.sqrt(counted_pj * board.latency_ns), rel=1e-14)
    assert np.array_equal(board.prices("throughput"), parts.prices("throughput"))


@pytest.mark.parametrize("name", SPECULATING)
def test_where_the_root_is_not_charged_a_tree_costs_what_its_drafts_do(name: str) -> None:
    """Size n is charged as n - 1 tokens, and at least one; drafting is charged apart."""
    counted = step_costs(system(name), FIRST, 2)
    uncounted = step_costs(replace(system(name), root_counts=False), FIRST, 2)
    assert uncounted.latency_ns[:, 2:] == pytest.approx(counted.latency_ns[:, 1:-1], rel=1e-12)
    assert uncounted.energy_pj[:, :, 2:] == pytest.approx(counted.energy_pj[:, :, 1:-1], rel=1e-12)
    assert uncounted.latency_ns[:, :2] == pytest.approx(counted.latency_ns[:, [0, 0]], rel=1e-12)
    assert np.array_equal(uncounted.draft_ns, counted.draft_ns)


def test_objectives_are_time_energy_and_the_root_of_their_product() -> None:
    costs = step_costs(system("lp-spec"), FIRST, 2)
    for heads in range(HEADS + 1):
        latency_ns = costs.latency_ns + costs.draft_ns[heads]
        total_pj = costs.energy_pj.sum(axis=0) + costs.draft_pj[:, heads].sum()
        found = {name: costs.prices(name)[0, :, heads] for name in OBJECTIVES}
        assert found["throughput"] == pytest.approx(latency_ns, rel=1e-12)
        assert found["energy"] == pytest.approx(total_pj, rel=1e-12)
        assert found["edp"] ** 2 == pytest.approx(latency_ns * total_pj, rel=1e-12)
        assert np.array_equal(costs.prices("edp", [heads])[0, :, 0], found["edp"])


def test_longer_contexts_and_larger_trees_never_cost_less_energy_on_the_npu() -> None:
    costs = step_costs(system("npu-spec"), FIRST, 6)
    total = costs.prices("energy")[0, :, 0]
    assert (np.diff(total, axis=0) > 0).all()
    assert (np.diff(total, axis=1) > 0).all()


def test_the_last_context_the_model_can_read_is_the_limit() -> None:
    limit = TINY.max_context
    assert step_costs(system("npu"), limit - 4, 4).latency_ns.shape == (4, 1)
    with pytest.raises(InputError) as refused:
        step_costs(system("npu"), limit - 3, 4)
    assert str(refused.value) == (
        f"tinyllama reads at most {limit} tokens: a prompt of {limit - 3} with 4 new tokens needs {limit + 1}"
    )
