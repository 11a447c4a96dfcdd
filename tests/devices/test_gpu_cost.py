import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.devices.expert_loads import price_on
from lpspec.devices.gpu import Gpu
from lpspec.devices.hbm_pim import HbmPim
from lpspec.llm import Attention, Elementwise, Gemm, load_model, verify_operators
from lpspec.llm.formats import WeightFormat
from lpspec.machine.loading import load_platform, load_profile

_RTX3090 = load_platform("rtx3090", {"gpu.bus_efficiency": "1"}).gpu
_HBM = load_platform("attacc").hbm_pim
assert _RTX3090 is not None
assert _HBM is not None
GPU, HBM_PIM = Gpu(_RTX3090), HbmPim(_HBM)


def heads_over(tokens: int, context: int, heads: int, kv_heads: int, bits: int, count: int = 1) -> Attention:
    pairs = tokens * (context + tokens)
    return Attention("attention", count, tokens, context, pairs, heads, kv_heads, 16, bits, bits)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([8, 16]))
def test_products_lie_on_the_roofline(tokens: int, k: int, n: int, bits: int) -> None:
    peak_ops_per_ns = {8: 284e3, 16: 142e3}[bits]
    cost = GPU.price(Gemm("product", 3, tokens, k, n, WeightFormat(bits), bits))
    compute_ns, memory_ns = 2 * tokens * k * n / peak_ops_per_ns, k * n * bits / 8 / 936
    assert cost.latency_ns == pytest.approx(3 * max(compute_ns, memory_ns), rel=1e-12)
    assert cost.activity.io_bits == 3 * k * n * bits
    assert (cost.activity.macs_int8, cost.activity.macs_fp16)[bits == 16] == 3 * tokens * k * n
    assert (cost.activity.macs_int8, cost.activity.macs_fp16)[bits == 8] == 0


def test_roofline_of_7b_decoding_is_the_published_one() -> None:
    """AttAcc's simulator without launch overhead: 59.7 token/s at 85 % of 936 GB/s, FP16, context 204."""
    model = load_model("llama2-7b").with_bits(16, 16, 16)
    spec = load_platform("rtx3090", {"gpu.bus_efficiency": "0.85"}).gpu
    assert spec is not None
    gpu = Gpu(spec)
    latency_ns = sum(float(price_on(gpu, op).latency_ns) for op in verify_operators(model, 1, 204))
    assert 1e9 / latency_ns == pytest.approx(59.7, rel=0.02)


def test_attention_reads_the_cache_and_writes_what_is_new() -> None:
    op = heads_over(2, 8, 4, 2, 16, count=3)
    cost, written_bytes = GPU.price(op), 3 * 2 * 2 * 2 * 16 * 2
    read_bytes = sum(
        2 for _ in range(3) for _kv in "kv" for _head in range(2) for _key in range(10) for _d in range(16)
    )
    assert cost.activity.io_bits == 8 * read_bytes
    assert cost.activity.activation_memory_bits == 8 * written_bytes
    assert cost.latency_ns == pytest.approx((read_bytes + written_bytes) / 936)


@given(
    st.integers(1, 300), st.sampled_from([2, 8, 60]), st.integers(1, 300), st.sampled_from([(8, 8), (16, 16), (4, 16)])
)
def test_products_cost_every_access_of_their_tiles(tokens: int, k: int, n: int, bits: tuple[int, int]) -> None:
    """Blocks of 128 x 128 outputs fetch weights and inputs from L2 to L1; tiles of 16 x 16 read them from there."""
    weight_bits, input_bits = bits
    fetched = read = 0
    for side, into in ((128, "L1"), (16, "registers")):
        moved = 0
        for row in range(0, tokens, side):
            for column in range(0, n, side):
                moved += k * (min(side, n - column) * weight_bits + min(side, tokens - row) * input_bits)
        fetched, read = (moved, read) if into == "L1" else (fetched, moved)
    weights, outputs = k * n * weight_bits, tokens * n * input_bits
    activity = GPU.price(Gemm("product", 3, tokens, k, n, WeightFormat(weight_bits), input_bits)).activity
    assert activity.scratchpad_bits == 3 * (weights + fetched + outputs)  # from memory, to L1, results
    assert activity.local_buffer_bits == 3 * (fetched + read)
    assert activity.register_bits == 3 * 3 * tokens * k * n * max(bits)


def test_elementwise_lies_on_the_vector_roofline() -> None:
    assert GPU.price(Elementwise("norm", 2, 35600, 4, 0)).latency_ns == pytest.approx(8)
    assert GPU.price(Elementwise("embedding", 1, 1, 1, 9360)).latency_ns == pytest.approx(10)


@given(st.integers(1, 8), st.integers(0, 30), st.integers(1, 3), st.integers(1, 3), st.sampled_from([8, 16]))
def test_hbm_units_read_the_cache_once_per_query(tokens: int, context: int, kv: int, group: int, bits: int) -> None:
    """GEMV units keep nothing: each query of each head streams the keys and the values of its head."""
    read_bits = macs = 0
    for _layer in range(2):
        for _query_head in range(kv * group):
            for _token in range(tokens):
                for _key in range(context + tokens):
                    read_bits += 2 * 16 * bits
                    macs += 2 * 16
    cost = HBM_PIM.price(heads_over(tokens, context, kv * group, kv, bits, count=2))
    assert cost.activity.column_bits == cost.activity.activate_bits == cost.activity.pim_register_bits == read_bits
    assert cost.activity.macs_int8 + cost.activity.macs_fp16 == macs
    assert cost.activity.io_bits == cost.activity.activation_memory_bits == 0
    assert cost.latency_ns == pytest.approx(read_bits / 8 / 13995, rel=1e-12)


def test_attention_in_the_memory_costs_the_in_bank_energy() -> None:
    energy_pj = HBM_PIM.price(heads_over(1, 99, 1, 1, 16)).activity.energy_pj(load_profile("attacc"))
    assert energy_pj["array"] == pytest.approx(0.55 * 100 * 2 * 16 * 16)
    assert energy_pj["io"] == 0


def test_one_query_gains_the_ratio_of_the_bandwidths() -> None:
    op = heads_over(1, 4000, 32, 32, 16)
    a100 = load_platform("attacc", {"gpu.bus_efficiency": "1"}).gpu
    assert a100 is not None
    on_gpu_ns = float(Gpu(a100).price(op).latency_ns) - float(Gpu(a100).kv_write(op).latency_ns)
    assert on_gpu_ns / float(HBM_PIM.price(op).latency_ns) == pytest.approx(9.0)


def test_grids_agree_with_numbers() -> None:
    tokens, contexts = np.array([1, 40]), np.array([[0], [500], [2000]])
    op = Attention("attention", 2, tokens, contexts, tokens * (contexts + tokens), 8, 4, 16, 8, 8)
    for device in (GPU, HBM_PIM):
        grid_ns = np.asarray(device.price(op).latency_ns)
        for i, context in enumerate([0, 500, 2000]):
            for j, t in enumerate([1, 40]):
                assert grid_ns[i, j] == device.price(heads_over(t, context, 8, 4, 8, count=2)).latency_ns
