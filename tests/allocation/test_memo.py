"""What is kept of a machine from run to run is what a run by itself finds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.memo import MOST_PLACEMENTS, Memo, memo_of
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.llm.operators import Attention, verify_operators
from lpspec.machine.loading import load_platform
from lpspec.machine.platform_spec import NpuSpec
from lpspec.scenario import Scenario
from lpspec.simulation.step_cost import allocator_of, step_costs
from lpspec.simulation.workload import System

MACHINES = st.fixed_dictionaries({"pim.alus": st.sampled_from("1348"), "npu.cores": st.sampled_from(["2", "4", "16"])})


def system_of(changes: dict[str, str], model: str) -> System:
    return make_system("lp-spec", load_model(model), Scenario(changes=changes))


@settings(max_examples=8)
@given(MACHINES, st.sampled_from(["llama3.2-1b", "llama2-7b"]), st.permutations([1, 100, 900]))
def test_a_run_finds_the_same_after_others_of_its_machine(
    changes: dict[str, str], model: str, contexts: list[int]
) -> None:
    system = system_of(changes, model)
    memo_of.cache_clear()
    after_others = [step_costs(system, first, 70) for first in contexts]
    for first, found in zip(contexts, after_others, strict=True):
        memo_of.cache_clear()
        alone = step_costs(system, first, 70)
        assert np.array_equal(found.latency_ns, alone.latency_ns)
        assert np.array_equal(found.energy_pj, alone.energy_pj)
        assert np.array_equal(found.energy.total_pj, alone.energy.total_pj)
        assert np.array_equal(found.prices("edp"), alone.prices("edp"))
        passes = np.arange(found.latency_ns.size)
        assert np.array_equal(found.energy.summed(passes), alone.energy.summed(passes))
        assert np.array_equal(found.draft_pj, alone.draft_pj)
        assert np.array_equal(found.compaction_pj, alone.compaction_pj)


def test_machines_that_differ_share_nothing() -> None:
    memo_of.cache_clear()
    for changes in ({}, {"pim.alus": "8"}, {"npu.cores": "4"}, {"memory.data_rate": "8533 Mbps"}):
        allocator_of(system_of(changes, "tinyllama"), 300)
    assert memo_of.cache_info().hits == 0


@pytest.mark.parametrize("tokens", [1, 5, 64])
def test_a_number_of_keys_is_divided_alike_alone_and_beside_others(tokens: int) -> None:
    system, made = system_of({}, "llama2-7b"), []
    for _ in range(2):
        memo_of.cache_clear()
        made.append(allocator_of(system, 2000))
    alone, beside = made
    assert isinstance(alone, BalancedAllocator)
    assert isinstance(beside, BalancedAllocator)
    keys = np.arange(64, 2048, 32)
    (op,) = (
        op
        for op in verify_operators(system.model, np.array([[tokens]]), keys[:, None] - tokens)
        if isinstance(op, Attention)
    )
    each = [
        alone.attention_split(one)
        for k in keys.tolist()
        for one in verify_operators(system.model, tokens, k - tokens)
        if isinstance(one, Attention)
    ]
    latency_ns, heads = beside.attention_split(op)
    assert latency_ns[:, 0].tolist() == [float(ns) for ns, _ in each]
    assert heads[:, 0].tolist() == [int(n) for _, n in each]


def test_prices_of_the_placements_used_last_are_kept() -> None:
    known = Memo()
    for number in range(MOST_PLACEMENTS):
        known.kept_prices((number,))["price"] = number
    assert known.kept_prices((0,)) == {"price": 0}  # used again
    known.kept_prices((MOST_PLACEMENTS,))
    assert known.kept_prices((0,)) == {"price": 0}
    assert known.kept_prices((1,)) == {}


def test_a_platform_is_loaded_as_its_file_is_now_and_a_shipped_one_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for cores in ("2", "8"):
        file.write_text(
            f'extends = "lp-spec"\nname = "mine"\n[npu]\ncores = {{ value = {cores}, source = "assumed" }}\n'
        )
        assert load_platform(str(file), {"pim.alus": "6"}).device(NpuSpec).cores.n == int(cores)
    assert load_platform("lp-spec", {"pim.alus": "6"}) is load_platform("lp-spec", {"pim.alus": "6"})
    assert load_platform("lp-spec", {"pim.alus": "8"}) != load_platform("lp-spec", {"pim.alus": "6"})
