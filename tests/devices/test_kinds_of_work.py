"""Windows, latents, states and experts on every device, against counts made by hand and against plain operators."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.devices.cost import Cost, table_of
from lpspec.devices.device import Device
from lpspec.devices.expert_loads import price_on
from lpspec.devices.gpu import Gpu
from lpspec.devices.hbm_pim import HbmPim
from lpspec.devices.npu import Npu
from lpspec.devices.pim import LpddrPim
from lpspec.llm.formats import WeightFormat
from lpspec.llm.work import Attention, ExpertGemm, Gemm, StateUpdate
from lpspec.machine.loading import load_platform

NPU = Npu.of(load_platform("lp-spec"))
PIM = LpddrPim.of(load_platform("lp-spec"))
GPU = Gpu.of(load_platform("rtx3090"))
HBM = HbmPim.of(load_platform("attacc"))
BUS_GB_PER_S = 51.2 * (1 - (8 + 17 + 168 + 2 + 15) / 3125)


def numbers(cost: Cost) -> list[float]:
    found: list[float] = table_of(cost, 1)[0].tolist()
    return found


@pytest.mark.parametrize("device", [NPU, PIM, GPU], ids=["npu", "pim", "gpu"])
@pytest.mark.parametrize(("tokens", "experts", "top_k"), [(1, 4, 2), (3, 4, 2), (4, 3, 1), (6, 2, 1)])
def test_experts_cost_the_mean_over_every_routing(device: Device, tokens: int, experts: int, top_k: int) -> None:
    """Each expert that is chosen is a plain product of the tokens that are sent to it."""
    op = ExpertGemm("experts", 2, tokens, 128, 192, experts, top_k, WeightFormat(8), 8)
    choices = list(combinations(range(experts), top_k))
    routings = list(product(choices, repeat=tokens))
    total = np.zeros(len(numbers(Cost())))
    for routing in routings:
        for e in range(experts):
            if load := sum(e in chosen for chosen in routing):
                total += numbers(device.price(Gemm("experts", 2, load, 128, 192, WeightFormat(8), 8)))
    assert numbers(price_on(device, op)) == pytest.approx((total / len(routings)).tolist())


@pytest.mark.parametrize("device", [NPU, PIM, GPU], ids=["npu", "pim", "gpu"])
def test_experts_of_a_grid_agree_with_numbers_and_never_get_cheaper(device: Device) -> None:
    sizes = np.arange(1, 33)
    grid = price_on(device, ExpertGemm("experts", 3, sizes[None], 256, 320, 16, 4, WeightFormat(8), 8))
    each = [
        price_on(device, ExpertGemm("experts", 3, size, 256, 320, 16, 4, WeightFormat(8), 8)) for size in sizes.tolist()
    ]
    assert np.ravel(grid.latency_ns) == pytest.approx([float(cost.latency_ns) for cost in each])
    assert (np.diff([numbers(cost) for cost in each], axis=0) >= -1e-9).all()


@pytest.mark.parametrize("device", [NPU, PIM, GPU, HBM], ids=["npu", "pim", "gpu", "hbm-pim"])
@settings(max_examples=30)
@given(tokens=st.integers(1, 20), context=st.integers(0, 900), window=st.integers(2, 300))
def test_a_window_costs_what_its_keys_cost(device: Device, tokens: int, context: int, window: int) -> None:
    op = Attention("attention", 3, tokens, context, 0, 8, 2, 64, 8, 8, window=window)
    op = replace(op, pairs=tokens * op.keys)
    kept = min(context, window - 1)
    plain = Attention("attention", 3, tokens, kept, tokens * (kept + tokens), 8, 2, 64, 8, 8)
    assert numbers(device.price(op)) == numbers(device.price(plain))


@settings(max_examples=60)
@given(tokens=st.integers(1, 150), window=st.integers(1, 160))
def test_a_prompt_in_a_window_streams_the_tiles_that_its_tokens_see(tokens: int, window: int) -> None:
    """Tiles of 32 keys: a token passes those that hold a key inside its window, and no others."""
    at = np.arange(tokens)
    sees = (at[:, None] >= at) & (at[:, None] - at < window)
    op = Attention("attention", 1, tokens, 0, int(sees.sum()), 4, 2, 64, 8, 8, window=window)
    tiles = [sees[:, first : first + 32] for first in range(0, tokens, 32)]
    streamed = sum(int(tile.any(axis=1).sum()) for tile in tiles)
    passed = sum(int(tile.any(axis=1).sum()) * tile.shape[1] for tile in tiles)
    scores, values = NPU.dataflow.scores(op), NPU.dataflow.values(op)
    assert (scores.streamed_tokens, scores.sums) == (2 * 2 * streamed, 2 * 2 * passed)
    assert (values.streamed_tokens, values.input_reads) == (2 * 2 * streamed, 2 * 2 * passed)


def test_a_state_is_read_and_written_once_whatever_the_tree() -> None:
    """Qwen3-Next's layer: 557,056 numbers; its vector lanes do two operations a MAC, 8,192 a ns."""
    for tokens in (1, 16, 64):
        op = StateUpdate("state", 36, tokens, 557_056, 4 * 557_056)
        cost = NPU.price(op)
        read_ns, lanes_ns = 36 * 557_056 / BUS_GB_PER_S, 2 * 36 * tokens * 4 * 557_056 / 8192
        assert float(cost.latency_ns) == pytest.approx(max(read_ns, lanes_ns) + read_ns)
        assert cost.activity.io_bits == cost.activity.activation_memory_bits == 36 * 557_056 * 8
        assert cost.activity.macs_int8 == 36 * tokens * 4 * 557_056
        on_gpu = GPU.price(op)
        assert float(on_gpu.latency_ns) >= 2 * 36 * 557_056 / (936 * 0.85)
    (part,) = NPU.phase_parts(StateUpdate("state", 36, 64, 557_056, 4 * 557_056))
    assert (part.read_bytes, part.unit) == (557_056, "vector")
    assert float(part.busy_ns) == pytest.approx(2 * 64 * 4 * 557_056 / 8192)


def test_a_latent_is_read_once_by_the_npu_and_twice_in_the_banks() -> None:
    """Banks hold keys by position and values by width, so a latent lies there twice; heads share it as queries do."""
    tokens, keys = 2, 512
    op = Attention("latent", 1, tokens, keys - tokens, tokens * keys, 16, 1, 576, 8, 8, 512, latent=True)
    apart = replace(op, latent=False)
    assert NPU.price(op).activity.io_bits == keys * 576 * 8
    assert NPU.price(apart).activity.io_bits == keys * (576 + 512) * 8
    assert NPU.price(op).activity.macs_int8 == 16 * tokens * keys * (576 + 512)
    assert NPU.halves_read_bytes(op, 1) == (keys * 576, 0.0)
    assert numbers(PIM.price(op)) == numbers(PIM.price(apart))
    assert numbers(HBM.price(op)) == numbers(HBM.price(apart))
    assert HBM.price(op).activity.column_bits == 32 * keys * (576 + 512) * 8  # each of 16 x 2 queries reads anew


ADDED: dict[str, Callable[[Any], Any]] = {
    "tokens": lambda op: replace(op, tokens=op.tokens + 1, pairs=(op.tokens + 1) * (op.keys + 1)),
    "context": lambda op: replace(
        op, context=op.context + 1, pairs=op.tokens * replace(op, context=op.context + 1).keys
    ),
    "window": lambda op: replace(op, window=op.window + 1, pairs=op.tokens * replace(op, window=op.window + 1).keys),
    "heads": lambda op: replace(op, heads=op.heads + op.kv_heads),
    "layers": lambda op: replace(op, count=op.count + 1),
    "value_dim": lambda op: replace(op, value_dim=op.value_dim + 8),
}


@pytest.mark.parametrize("what", ADDED)
@settings(max_examples=40)
@given(
    tokens=st.integers(1, 16),
    context=st.integers(0, 700),
    window=st.integers(2, 400),
    kv_heads=st.integers(1, 6),
    group=st.integers(1, 4),
    value_dim=st.sampled_from([32, 64, 128]),
)
def test_more_attention_never_costs_less(
    what: str, tokens: int, context: int, window: int, kv_heads: int, group: int, value_dim: int
) -> None:
    op = Attention("attention", 2, tokens, context, 0, kv_heads * group, kv_heads, 64, 8, 8, value_dim, window)
    op = replace(op, pairs=tokens * op.keys)
    more = ADDED[what](op)
    devices: tuple[Device, ...] = (NPU, GPU, HBM)
    for device in devices:
        before, after = numbers(device.price(op)), numbers(device.price(more))
        assert all(b <= a * (1 + 1e-12) for b, a in zip(before, after, strict=True)), device
