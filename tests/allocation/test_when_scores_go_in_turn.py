"""Scores by ranks in turn: no size of trees has a larger product of time and energy than where ranks stay together."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.llm.operators import verify_operators
from lpspec.machine.loading import load_platform, load_profile

SIZES = np.arange(1, 65)


@cache
def step(name: str, context: int, profile: str, order: str) -> tuple[Any, Any]:
    """Time and energy of verify passes of 1 to 64 tokens."""
    prices, platform = load_profile(profile), load_platform("lp-spec", {"pim.scores_order": order})
    made = make_allocator(platform, medusa_model(name), 64, context + 64, prices)
    cost = made.decode_cost(verify_operators(medusa_model(name), SIZES[None], np.array([[context]])))
    energy_pj = sum(cost.activity.energy_pj(prices).values())
    return np.asarray(cost.latency_ns)[0], np.broadcast_to(energy_pj, (1, 64))[0]


@pytest.mark.parametrize("profile", ["attacc", "specpim"])
@pytest.mark.parametrize(
    ("name", "context"),
    [("qwen2.5-7b", 32_030), ("llama3.1-8b", 32_000), ("llama3.2-3b", 32_768), ("llama3-8b", 7_500)],
)
def test_no_size_is_worse_in_turn(name: str, context: int, profile: str) -> None:
    """Four tokens of Qwen2.5-7B went to PIM, faster by 18 % than there before, at 1.25 times the NPU's product."""
    (before_ns, before_pj), (ns, pj) = (step(name, context, profile, order) for order in ("together", "in-turn"))
    assert (ns * pj <= before_ns * before_pj * (1 + 1e-9)).all()
    assert ns[0] < before_ns[0]


@pytest.mark.parametrize(("name", "context"), [("qwen2.5-7b", 32_030), ("llama3.1-8b", 32_000)])
def test_no_tree_is_cheaper_in_turn_than_a_smaller_one(name: str, context: int) -> None:
    for cost in step(name, context, "specpim", "in-turn"):
        assert (cost[1:] >= cost[:-1] * (1 - 1e-12)).all()
