"""Attention divided by positions: nothing lost, never worse than by heads, and commands as the closed form says."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.key_blocks import in_whole_blocks
from lpspec.allocation.position_splits import scores_cost, values_cost
from lpspec.devices.cost import Activity, Cost
from lpspec.devices.kv_share import KeyShare
from lpspec.devices.package_commands import PackageCommands
from lpspec.llm.operators import Attention, verify_operators
from lpspec.machine.loading import load_platform, load_profile
from lpspec.simulation.step_phases import PhasePlanner, cost_of

PROFILE = load_profile("attacc")
MODELS = ["llama2-7b", "llama3-8b", "llama3.2-1b", "llama3.2-3b", "qwen2.5-1.5b"]


@cache
def made(name: str, allocator: str, split: str) -> BalancedAllocator:
    platform = load_platform("lp-spec", {"allocator": allocator, "pim.attention_split": split})
    found = make_allocator(platform, medusa_model(name), 16, 4000, PROFILE)
    assert isinstance(found, BalancedAllocator)
    return found


def attention(name: str, tokens: Any, context: Any) -> Attention:
    found = next(op for op in verify_operators(medusa_model(name), tokens, context) if isinstance(op, Attention))
    return in_whole_blocks(found, 32)


def energy_pj(cost: Cost) -> Any:
    return np.asarray(sum(cost.activity.energy_pj(PROFILE).values()))


@pytest.mark.parametrize("name", MODELS)
def test_all_positions_of_some_heads_cost_what_whole_heads_cost(name: str) -> None:
    """The closed form of heads is the twin: PIM and NPU together do the same work."""
    allocator = made(name, "replicated", "positions")
    op = attention(name, 5, 700)
    for heads in range(0, op.kv_heads + 1, allocator.pim.kv_share(op).quantum):
        share = KeyShare(np.asarray(heads), np.asarray(op.keys), np.asarray(op.keys))
        cost = allocator._share_cost(op, share)
        assert float(cost.latency_ns) == pytest.approx(float(allocator._attention_makespan_ns(op, heads)), rel=1e-12)
        by_heads = allocator._heads_activity(replace(op, count=1), heads)
        for event in Activity._fields:
            found, wanted = getattr(cost.activity, event), getattr(by_heads, event)
            assert float(found) == pytest.approx(float(wanted), rel=1e-12), event


@settings(max_examples=40)
@given(st.sampled_from(MODELS), st.integers(1, 12), st.integers(1, 60), st.integers(0, 60), st.integers(0, 60))
def test_positions_that_go_to_pim_are_the_ones_that_the_npu_leaves(
    name: str, tokens: int, blocks: int, on_scores: int, on_values: int
) -> None:
    """MACs of arrays, by count: of PIM those that its lanes serve with a query; of the NPU all other positions."""
    allocator = made(name, "replicated", "positions")
    op = attention(name, tokens, 32 * blocks)
    keys = np.asarray(op.keys)
    scores, values = (np.minimum(32 * n, keys) for n in (on_scores, on_values))
    share = KeyShare(np.asarray(op.kv_heads), scores, values)
    left = allocator.npu.scores_left(op, share), allocator.npu.values_left(op, share)
    added = op.heads * op.value_width * tokens / 2 * (0 < values < keys)
    wanted = op.heads * tokens * (op.head_dim * (keys - scores) + op.value_width * (keys - values))
    assert float(left[0].activity.macs_int8 + left[1].activity.macs_int8) == pytest.approx(float(wanted + added))
    read = op.kv_heads * (op.head_dim * (keys - scores) + op.value_width * (keys - values))
    assert float(np.asarray(left[0].read_bytes) + np.asarray(left[1].read_bytes)) == pytest.approx(float(read))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("allocator", ["replicated", "least-edp"])
def test_no_step_is_worse_than_with_whole_heads(name: str, allocator: str) -> None:
    sizes = np.arange(1, 9)[None]
    for context in (100, 1000, 3900):
        step = verify_operators(medusa_model(name), sizes, np.array([[context]]))
        heads, positions = (made(name, allocator, split).decode_cost(step) for split in ("heads", "positions"))
        slack = 1e-3 if allocator == "least-edp" else 2e-4  # both weigh by the power of other contexts, or of products
        if allocator == "replicated":
            assert np.all(positions.latency_ns <= np.asarray(heads.latency_ns) * (1 + 1e-9))
        products = [np.asarray(cost.latency_ns * energy_pj(cost)) for cost in (positions, heads)]
        assert np.all(products[0] <= products[1] * (1 + slack))


def test_long_contexts_with_grouped_heads_gain() -> None:
    """Eight key-value heads on four channels: by heads PIM takes none, half or all of them, by positions any part."""
    op = attention("llama3-8b", 4, 3900)
    took = [made("llama3-8b", "replicated", split)._heads_cost(op) for split in ("positions", "heads")]
    assert float(took[0].latency_ns) < 0.9 * float(took[1].latency_ns)


CASES = [("llama3-8b", 4, 3900), ("llama3.2-1b", 1, 2000)]


@pytest.mark.parametrize(("name", "tokens", "context"), CASES)
def test_commands_take_what_the_closed_form_says(name: str, tokens: int, context: int) -> None:
    allocator = made(name, "replicated", "positions")
    op = attention(name, tokens, context)
    (division,) = allocator.divided(op)
    share = division.shares[0][1]
    assert isinstance(share, KeyShare)
    assert 0 < float(share.values_keys) < float(op.keys)  # both sides have a part
    platform = load_platform("lp-spec", {"pim.attention_split": "positions"})
    planner = PhasePlanner(medusa_model(name), PackageCommands(platform), allocator)
    phases = [phase for phase in planner.chain((replace(op, count=1),), 1) if phase.name in ("scores", "values")]
    found = cost_of(tuple(phases), planner.memory)
    closed = scores_cost(allocator.npu, allocator.pim, op, share) + values_cost(allocator.npu, allocator.pim, op, share)
    assert float(found.latency_ns) == pytest.approx(float(closed.latency_ns), rel=0.03)
    assert float(energy_pj(found)) == pytest.approx(float(energy_pj(closed)), rel=0.03)


def test_latent_attention_and_a_cache_on_one_side_stay_whole() -> None:
    allocator = made("llama3-8b", "replicated", "positions")
    op = attention("llama3-8b", 4, 3900)
    latent = replace(op, latent=True)
    share = allocator.key_share(latent)
    assert int(share.scores_keys) == int(share.values_keys) == int(op.keys)
    one_side = load_platform("lp-spec", {"allocator": "least-energy", "pim.attention_split": "positions"})
    kept = make_allocator(one_side, medusa_model("llama3-8b"), 16, 4000, PROFILE)
    assert isinstance(kept, BalancedAllocator)
    assert int(kept.key_share(op).heads) in (0, op.kv_heads)
