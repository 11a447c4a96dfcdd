import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.devices.cost import Activity, Cost
from lpspec.devices.npu import Npu
from lpspec.errors import InputError
from lpspec.hardware.loading import load_platform, load_profile, profile_names
from lpspec.llm import load_model, prefill_operators, verify_operators
from lpspec.llm.operators import Attention, Elementwise, Gemm, Operator


def npu(**changes: object) -> Npu:
    platform = load_platform("mobile-npu", {key.replace("__", "."): str(value) for key, value in changes.items()})
    assert platform.npu is not None
    assert platform.memory is not None
    return Npu(platform.npu, platform.memory)


PEAK = npu(memory__bus_efficiency=1)  # 51.2 GB/s, 16 arrays of 32 x 32 at 1 GHz
SMALL_SPAD = npu(memory__bus_efficiency=1, npu__scratchpad="1 KiB")


def product(tokens: int, k: int, n: int, count: int = 1, bits: int = 8) -> Gemm:
    return Gemm("product", count, tokens, k, n, bits, 8)


def heads_over(tokens: int, context: int, heads: int, kv_heads: int, head_dim: int, count: int = 1) -> Attention:
    pairs = tokens * (context + tokens)
    return Attention("attention", count, tokens, context, pairs, heads, kv_heads, head_dim, 8, 8)


# Twins: weight tiles one by one


def tile_cycles(tokens: int, k: int, n: int) -> list[int]:
    """Cycles of every tile of weights: its 32 rows load while the tokens stream through the one before."""
    found = []
    for _ in range(0, k, 32):
        for _ in range(0, n, 32):
            load_cycles = 32
            found.append(load_cycles if load_cycles > tokens else tokens)
    return found


def dealt_ns(cycles: list[int], cores: int = 16) -> int:
    """Time at 1 GHz of the core with most work when tiles are dealt in turn."""
    busy = [0] * cores
    for i, tile in enumerate(cycles):
        busy[i % cores] += tile
    return max(busy)


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 400), st.integers(0, 900))
def test_arrays_take_the_time_of_their_tiles(tokens: int, k: int, n: int) -> None:
    assert PEAK.gemm_compute_ns(tokens, k, n) == dealt_ns(tile_cycles(tokens, k, n))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 200), st.integers(1, 8), st.integers(1, 4), st.integers(1, 130))
def test_attention_takes_the_time_of_its_tiles(tokens: int, context: int, kv_heads: int, group: int, dim: int) -> None:
    op = heads_over(tokens, context, kv_heads * group, kv_heads, dim)
    keys, queries = context + tokens, tokens * group
    cycles = []
    for _ in range(kv_heads):
        cycles += tile_cycles(queries, dim, keys)  # scores: keys are the weights
        cycles += tile_cycles(queries, keys, dim)  # values
    even_ns = sum(cycles) / 16  # layers follow each other without waiting for the slowest core
    assert PEAK.attention_compute_ns(op, kv_heads) == pytest.approx(even_ns, rel=1e-12)
    assert even_ns <= dealt_ns(cycles)


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(1, 300), st.integers(1, 300), st.integers(1, 5), st.sampled_from([4, 8]))
def test_products_take_the_longer_of_arrays_and_memory(tokens: int, k: int, n: int, count: int, bits: int) -> None:
    weight_bytes = sum((k * bits + 7) // 8 for _ in range(n))
    spilled_bytes = max(0, tokens * k + tokens * n - 1024)
    memory_ns = (weight_bytes + spilled_bytes) / 51.2
    expected_ns = count * max(dealt_ns(tile_cycles(tokens, k, n)), memory_ns)
    cost = SMALL_SPAD.price(product(tokens, k, n, count, bits))
    assert cost.latency_ns == pytest.approx(expected_ns, rel=1e-12)
    activity = cost.activity
    for name in ("activate_bits", "column_bits", "io_bits", "buffer_bits"):
        assert getattr(activity, name) == 8 * count * weight_bytes
    assert activity.macs_int8 == count * tokens * k * n
    assert activity.activation_memory_bits == pytest.approx(8 * count * spilled_bytes)
    assert activity.activation_buffer_bits == 8 * count * tokens * (k + n)
    assert activity.pim_register_bits == activity.macs_fp16 == activity.activation_io_bits == 0


def test_attention_reads_the_cache_once_and_writes_the_new_tokens() -> None:
    cost = PEAK.price(heads_over(3, 17, 8, 2, 16, count=5))
    read_bits = sum(8 for _ in range(5) for _kv in "kv" for _head in range(2) for _key in range(20) for _d in range(16))
    assert cost.activity.io_bits == cost.activity.column_bits == cost.activity.activate_bits == read_bits
    assert cost.activity.activation_memory_bits == 5 * 2 * 2 * 3 * 16 * 8
    assert cost.activity.macs_int8 == 2 * 5 * 8 * 3 * 20 * 16


def test_elementwise_runs_on_the_lanes_or_waits_for_memory() -> None:
    """16 cores of 256 lanes, two operations a cycle: 8192 operations per ns."""
    busy = PEAK.price(Elementwise("softmax", 2, 8192 * 100, 5, 0))
    assert busy.latency_ns == pytest.approx(2 * 5 * 100)
    waiting = PEAK.price(Elementwise("embedding", 1, 64, 1, 5120))
    assert waiting.latency_ns == pytest.approx(100)
    assert waiting.activity.io_bits == 5120 * 8


# Limits


@pytest.mark.parametrize("tokens", [1, 2, 4, 16, 32])
def test_thin_products_take_the_papers_time(tokens: int) -> None:
    """T_NPU = N_params / BW_NPU, memory bound."""
    for k, n in ((4096, 12288), (4096, 22016), (11008, 4096), (4096, 32000)):
        assert PEAK.price(product(tokens, k, n)).latency_ns == pytest.approx(k * n / 51.2, rel=1e-12)


def test_wide_products_approach_the_peak_rate() -> None:
    op = product(4096, 4096, 4096)
    peak_ns = 2 * 4096**3 / 32768
    assert PEAK.gemm_compute_ns(4096, 4096, 4096) == pytest.approx(peak_ns)
    assert float(PEAK.price(op).latency_ns) >= peak_ns


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000))
def test_no_product_beats_the_peak_rate(tokens: int, k: int, n: int) -> None:
    assert PEAK.gemm_compute_ns(tokens, k, n) * (1 + 1e-12) >= 2 * tokens * k * n / 32768


def test_bus_efficiency_stretches_memory_time() -> None:
    op = product(1, 4096, 4096)
    half = npu(memory__bus_efficiency="50 %")
    assert half.price(op).latency_ns == pytest.approx(2 * float(PEAK.price(op).latency_ns))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 500), st.integers(0, 500), st.integers(0, 70), st.integers(0, 70))
def test_more_work_never_takes_less_time(tokens: int, k: int, n: int, more: int, wider: int) -> None:
    assert PEAK.gemm_compute_ns(tokens, k, n) <= PEAK.gemm_compute_ns(tokens + more, k + more, n + wider)
    small, large = (SMALL_SPAD.price(product(t, k, 1 + w)) for t, w in ((tokens, n), (tokens + more, n + wider)))
    assert small.latency_ns <= large.latency_ns


def test_no_columns_cost_nothing() -> None:
    assert PEAK.gemm_compute_ns(7, 100, 0) == 0
    assert PEAK.attention_compute_ns(heads_over(3, 5, 4, 2, 8), 0) == 0
    activity = PEAK.gemm_activity(product(7, 100, 50), columns_share=0.0)
    assert activity.io_bits == activity.column_bits == activity.macs_int8 == activity.buffer_bits == 0
    assert PEAK.attention_activity(heads_over(3, 5, 4, 2, 8), heads_share=0.0) == Activity() * 0.0


def test_shares_add_up_to_the_whole() -> None:
    op = heads_over(3, 100, 8, 8, 64, count=4)
    parts = PEAK.attention_activity(op, 0.25) + PEAK.attention_activity(op, 0.75)
    assert parts == PEAK.attention_activity(op)
    gemm = product(3, 64, 128)
    halves = PEAK.gemm_activity(gemm, 0.5) + PEAK.gemm_activity(gemm, 0.5)
    assert halves.io_bits == PEAK.gemm_activity(gemm).io_bits
    assert halves.macs_int8 == PEAK.gemm_activity(gemm).macs_int8


# Grids


def fields_equal(grid: Cost, one: Cost, at: tuple[int, int], shape: tuple[int, int]) -> None:
    assert np.broadcast_to(np.asarray(grid.latency_ns), shape)[at] == one.latency_ns
    for name in Activity.__slots__:
        assert np.broadcast_to(getattr(grid.activity, name), shape)[at] == pytest.approx(getattr(one.activity, name))


def test_grids_of_a_whole_pass_agree_with_numbers() -> None:
    model = load_model("tinyllama")
    tokens, contexts = [1, 5, 64], [0, 700]
    grid = verify_operators(model, np.array(tokens), np.array(contexts)[:, None])
    for i, context in enumerate(contexts):
        for j, t in enumerate(tokens):
            for of_grid, alone in zip(grid, verify_operators(model, t, context), strict=True):
                fields_equal(PEAK.price(of_grid), PEAK.price(alone), (i, j), (2, 3))


# Energy and the published anchor


@pytest.mark.parametrize("name", profile_names())
def test_weights_cost_the_way_off_chip_and_through_both_buffers(name: str) -> None:
    profile = load_profile(name)
    energy_pj = PEAK.price(product(1, 512, 1024)).activity.energy_pj(profile)
    bits = 8 * 512 * 1024
    assert energy_pj["array"] + energy_pj["io"] == pytest.approx(profile.off_chip_pj_per_bit * bits, rel=1e-12)
    assert energy_pj["buffer"] == pytest.approx((0.3 + 0.16) * bits, rel=1e-12)
    assert energy_pj["mac"] == pytest.approx(profile.mac_int8.pj * 512 * 1024)


def test_autoregressive_decoding_costs_what_the_paper_measured() -> None:
    """LP-Spec's abstract and Table III give 4.312 token/J for the NPU. Ours has no share for the CPU, for refresh or
    for static power, and a context of a few hundred tokens, so it may be a tenth better but not worse."""
    model = load_model("llama2-7b")
    energy_pj = 0.0
    for op in verify_operators(model, 1, 200):
        energy_pj += sum(float(pj) for pj in PEAK.price(op).activity.energy_pj(load_profile("attacc")).values())
    assert 4.312 <= 1e12 / energy_pj <= 1.1 * 4.312


@pytest.mark.parametrize(
    "op",
    [
        Gemm("qkv", 1, 1, 8, 8, 8, 16),
        Attention("attention", 1, 1, 1, 2, 1, 1, 8, 16, 8),
    ],
)
def test_wide_operands_are_refused_in_one_line(op: Operator) -> None:
    with pytest.raises(InputError) as caught:
        PEAK.price(op)
    assert "16-bit operands are not supported" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prefill_is_bound_by_arithmetic() -> None:
    model = load_model("llama2-7b")
    products = [op for op in prefill_operators(model, 512) if isinstance(op, Gemm) and op.name != "lm_head"]
    assert all(PEAK.price(op).latency_ns > op.weight_bytes / 51.2 for op in products)


def test_a_weight_of_16_bits_takes_the_arrays_twice_and_the_bus_twice() -> None:
    narrow, wide = Gemm("lm_head", 1, 512, 64, 128, 8, 8), Gemm("lm_head", 1, 512, 64, 128, 16, 8)
    assert PEAK.product_compute_ns(wide) == 2 * PEAK.product_compute_ns(narrow)
    assert PEAK.price(Gemm("lm_head", 1, 1, 4096, 4096, 16, 8)).latency_ns == pytest.approx(4096 * 4096 * 2 / 51.2)


def test_grouped_weights_are_read_with_their_scales() -> None:
    grouped = Gemm("qkv", 1, 1, 4096, 4096, 4, 8, group_size=128, group_bits=20)
    assert PEAK.price(grouped).latency_ns == pytest.approx(4096 * 4096 * (4 + 20 / 128) / 8 / 51.2)
    assert PEAK.product_compute_ns(grouped) == PEAK.gemm_compute_ns(1, 4096, 4096)
