from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from npu_twin import causal, dealt_cycles, even_pieces, fetches, walk

from lpspec.devices.cost import Activity, Cost
from lpspec.devices.expert_loads import price_on
from lpspec.devices.npu import Npu
from lpspec.errors import InputError
from lpspec.llm import load_model, prefill_operators, verify_operators
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Attention, Elementwise, Gemm, PlainOperator
from lpspec.machine.loading import load_platform, load_profile, profile_names


def npu(**changes: object) -> Npu:
    platform = load_platform("mobile-npu", {key.replace("__", "."): str(value) for key, value in changes.items()})
    assert platform.npu is not None
    assert platform.memory is not None
    return Npu(platform.npu, platform.memory)


PEAK = npu()  # 51.2 GB/s less refresh, 16 arrays of 32 x 32 at 1 GHz
BUILT_IN = npu()
SMALL_SPAD = npu(npu__scratchpad="1 KiB")
BUS_GB_PER_S = 51.2 * (1 - (8 + 17 + 168 + 2 + 15) / 3125)  # rows closed, refreshed, and opened again per nREFI


def product(tokens: int, k: int, n: int, count: int = 1, bits: int = 8) -> Gemm:
    return Gemm("product", count, tokens, k, n, WeightFormat(bits), 8)


def heads_over(tokens: int, context: int, heads: int, kv_heads: int, head_dim: int, count: int = 1) -> Attention:
    pairs = tokens * (context + tokens)
    return Attention("attention", count, tokens, context, pairs, heads, kv_heads, head_dim, 8, 8)


# Twins: tiles one by one


@given(st.integers(1, 100), st.integers(1, 400), st.integers(1, 900))
def test_arrays_take_the_time_of_their_tiles(tokens: int, k: int, n: int) -> None:
    """No dealing of tiles is faster, and an even one is slower by a tile at most."""
    pieces = even_pieces(tokens, k, n, (32, 32))
    dealt, closed_ns = dealt_cycles(pieces, 16), float(PEAK.gemm_compute_ns(tokens, k, n))
    assert closed_ns <= dealt <= closed_ns + max(pieces)
    columns_for_each_core = 512 * -(-n // 512)
    pieces = even_pieces(tokens, k, columns_for_each_core, (32, 32))
    assert PEAK.gemm_compute_ns(tokens, k, columns_for_each_core) == sum(pieces) / 16


@given(
    st.integers(1, 12),
    st.integers(1, 90),
    st.integers(1, 200),
    st.integers(1, 6),
    st.sampled_from([(32, 32), (16, 8)]),
    st.sampled_from(["local-buffer", "registers"]),
)
def test_products_cost_every_access_of_their_tiles(
    tokens: int, k: int, n: int, cores: int, array: tuple[int, int], where: str
) -> None:
    room = 512
    small = npu(
        npu__cores=cores,
        npu__array_rows=array[0],
        npu__array_columns=array[1],
        npu__partial_sums=where,
        npu__accumulator_bits=24,
        npu__local_buffer=f"{room} B",
    )
    found, activity = walk(tokens, k, n, array), small.gemm_on_chip(product(tokens, k, n), n)
    fetched = fetches(tokens * k, -(-n // array[1]), cores, room)
    sums = 24 * (found.sum_reads + found.sum_writes)
    assert activity.scratchpad_bits == 8 * (fetched + found.outputs)
    assert activity.local_buffer_bits == 8 * (fetched + found.input_reads) + (sums if where == "local-buffer" else 0)
    assert activity.register_bits == (sums if where == "registers" else 0)
    assert activity.macs_int8 == found.macs == tokens * k * n
    assert activity.io_bits == activity.activation_memory_bits == activity.pim_register_bits == 0


@given(
    st.integers(1, 40),
    st.integers(0, 60),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 40),
    st.booleans(),
)
def test_attention_costs_every_access_of_its_tiles(
    tokens: int, context: int, kv_heads: int, group: int, dim: int, is_causal: bool
) -> None:
    """Causal attention skips the tiles whose keys a token does not see, whole tiles only."""
    rows, columns, room = 8, 16, 300
    small = npu(npu__array_rows=rows, npu__array_columns=columns, npu__local_buffer=f"{room} B")
    op = heads_over(tokens, context, kv_heads * group, kv_heads, dim)
    sees = causal(context) if is_causal else lambda token, keys: True
    if is_causal:
        op = replace(op, pairs=sum(context + token + 1 for token in range(tokens)))
    queries, keys = group * tokens, context + tokens  # the queries of a group lie one after the other
    scores = walk(
        queries,
        dim,
        keys,
        (rows, columns),
        lambda q, r, c: sees(q % tokens, c),
        lambda q, c: sees(q % tokens, range(c, c + 1)),
    )
    values = walk(queries, keys, dim, (rows, columns), lambda q, r, c: sees(q % tokens, r))
    key_tiles, dim_tiles = -(-keys // columns), -(-dim // columns)
    inputs = (queries * dim, group * int(op.pairs))
    found = (small.scores_on_chip(op, kv_heads), small.values_on_chip(op, kv_heads))
    for activity, one, went_in, tiles in zip(found, (scores, values), inputs, (key_tiles, dim_tiles), strict=True):
        fetched = fetches(went_in, tiles, 1, room)
        assert activity.scratchpad_bits == kv_heads * 8 * (fetched + one.outputs)
        sums = 32 * (one.sum_reads + one.sum_writes)
        assert activity.local_buffer_bits == kv_heads * (8 * (fetched + one.input_reads) + sums)
        assert activity.macs_int8 == kv_heads * dim * group * op.pairs
    for one, took_ns in (
        (scores, small.scores_compute_ns(op, kv_heads)),
        (values, small.values_compute_ns(op, kv_heads)),
    ):
        assert took_ns == pytest.approx(kv_heads * max(one.loading, one.streaming) / 16, rel=1e-12)


@given(st.integers(1, 64), st.integers(1, 300), st.integers(1, 300), st.integers(1, 5), st.sampled_from([4, 8]))
def test_products_take_the_longer_of_arrays_and_memory(tokens: int, k: int, n: int, count: int, bits: int) -> None:
    weight_bytes = sum((k * bits + 7) // 8 for _ in range(n))
    spilled_bytes = max(0, tokens * k + tokens * n - 1024)
    blocks_of_inputs, blocks_of_weights = -(-tokens * k // 1024), -(-weight_bytes // 1024)
    again = min((blocks_of_inputs - 1) * weight_bytes, (blocks_of_weights - 1) * tokens * k)
    read_bytes = weight_bytes + spilled_bytes + again
    expected_ns = count * max(float(PEAK.gemm_compute_ns(tokens, k, n)), read_bytes / BUS_GB_PER_S)
    cost = SMALL_SPAD.price(product(tokens, k, n, count, bits))
    assert cost.latency_ns == pytest.approx(expected_ns, rel=1e-12)
    for name in ("activate_bits", "column_bits", "io_bits"):
        assert getattr(cost.activity, name) == 8 * count * read_bytes
    on_chip = SMALL_SPAD.gemm_on_chip(product(tokens, k, n, bits=bits), n)
    for name in ("scratchpad_bits", "local_buffer_bits"):
        passing = 2 * 8 * read_bytes  # written and read
        assert getattr(cost.activity, name) == pytest.approx(count * (passing + getattr(on_chip, name)))


def test_attention_reads_the_cache_once_and_writes_the_new_tokens() -> None:
    cost = PEAK.price(heads_over(3, 17, 8, 2, 16, count=5))
    read_bits = sum(8 for _ in range(5) for _kv in "kv" for _head in range(2) for _key in range(20) for _d in range(16))
    assert cost.activity.io_bits == cost.activity.column_bits == cost.activity.activate_bits == read_bits
    assert cost.activity.activation_memory_bits == 5 * 2 * 2 * 3 * 16 * 8
    assert cost.activity.macs_int8 == 2 * 5 * 8 * 3 * 20 * 16


def test_keys_are_read_again_for_every_block_of_queries_that_fits() -> None:
    """Queries and results of a head are 2 x 12 x 16 B: one block at 384 B, two below; 3072 B for all eight heads."""
    op = heads_over(12, 8, 8, 8, 16)
    cache, both_ways = 8 * 2 * 20 * 16, 8 * 2 * 12 * 16
    for room, blocks in ((8192, 1), (384, 1), (383, 2), (192, 2), (191, 3)):
        found = npu(npu__scratchpad=f"{room} B").attention_read_bytes(op, 8)
        assert found == pytest.approx(blocks * cache + max(0, both_ways - room))


def test_elementwise_runs_on_the_lanes_or_waits_for_memory() -> None:
    """16 cores of 256 lanes, two operations a cycle: 8192 operations per ns."""
    busy = PEAK.price(Elementwise("softmax", 2, 8192 * 100, 5, 0))
    assert busy.latency_ns == pytest.approx(2 * 5 * 100)
    waiting = PEAK.price(Elementwise("embedding", 1, 64, 1, 5120))
    assert waiting.latency_ns == pytest.approx(5120 / BUS_GB_PER_S)
    assert waiting.activity.io_bits == 5120 * 8


# Limits


@pytest.mark.parametrize("tokens", [1, 2, 4, 16, 32])
def test_thin_products_take_the_papers_time(tokens: int) -> None:
    """T_NPU = N_params / BW_NPU, memory bound."""
    for k, n in ((4096, 12288), (4096, 22016), (11008, 4096), (4096, 32000)):
        assert PEAK.price(product(tokens, k, n)).latency_ns == pytest.approx(k * n / BUS_GB_PER_S, rel=1e-12)


def test_wide_products_approach_the_peak_rate() -> None:
    op = product(4096, 4096, 4096)
    peak_ns = 2 * 4096**3 / 32768
    assert PEAK.gemm_compute_ns(4096, 4096, 4096) == pytest.approx(peak_ns)
    assert float(PEAK.price(op).latency_ns) >= peak_ns


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000))
def test_no_product_beats_the_peak_rate(tokens: int, k: int, n: int) -> None:
    assert PEAK.gemm_compute_ns(tokens, k, n) * (1 + 1e-12) >= 2 * tokens * k * n / 32768


def test_bus_efficiency_stretches_memory_time() -> None:
    """It is a limit: what refresh leaves anyway is no less for it."""
    op = product(1, 4096, 4096)
    half, nearly = npu(memory__bus_efficiency="50 %"), npu(memory__bus_efficiency="95 %")
    assert half.price(op).latency_ns == pytest.approx(4096 * 4096 / 25.6)
    assert nearly.price(op).latency_ns == PEAK.price(op).latency_ns


@given(st.integers(1, 200), st.integers(1, 500), st.integers(0, 500), st.integers(0, 70), st.integers(0, 70))
def test_more_work_never_takes_less_time(tokens: int, k: int, n: int, more: int, wider: int) -> None:
    assert PEAK.gemm_compute_ns(tokens, k, n) <= PEAK.gemm_compute_ns(tokens + more, k + more, n + wider)
    small, large = (SMALL_SPAD.price(product(t, k, 1 + w)) for t, w in ((tokens, n), (tokens + more, n + wider)))
    assert small.latency_ns <= large.latency_ns


def test_no_columns_cost_nothing() -> None:
    assert PEAK.gemm_compute_ns(7, 100, 0) == 0
    assert PEAK.attention_compute_ns(heads_over(3, 5, 4, 2, 8), 0) == 0
    assert SMALL_SPAD.gemm_activity(product(7, 1000, 50), columns=0) == Activity() * 0.0
    assert SMALL_SPAD.attention_activity(heads_over(3, 5, 4, 2, 8), kv_heads=0) == Activity() * 0.0


def test_shares_add_up_to_the_whole() -> None:
    """Whole tiles of columns, and inputs that fit the local buffers: only what every part fetches comes twice."""
    op = heads_over(3, 100, 8, 8, 64, count=4)
    assert PEAK.attention_activity(op, 2) + PEAK.attention_activity(op, 6) == PEAK.attention_activity(op, 8)
    gemm = product(3, 64, 1024)
    halves, whole = PEAK.gemm_activity(gemm, 512) + PEAK.gemm_activity(gemm, 512), PEAK.gemm_activity(gemm)
    fetched = 8 * 16 * 3 * 64
    assert halves.scratchpad_bits - whole.scratchpad_bits == fetched
    assert halves == whole._replace(
        scratchpad_bits=halves.scratchpad_bits,
        local_buffer_bits=whole.local_buffer_bits + fetched,
    )


larger = st.integers(0, 70)


@given(st.integers(1, 200), st.integers(1, 500), st.integers(1, 500), larger, larger, larger, st.booleans())
def test_more_work_never_costs_less_of_anything(
    tokens: int, k: int, n: int, more: int, deeper: int, wider: int, roomy: bool
) -> None:
    one = PEAK if roomy else SMALL_SPAD
    small, large = one.price(product(tokens, k, n)), one.price(product(tokens + more, k + deeper, n + wider))
    assert small.latency_ns <= large.latency_ns
    for name in Activity._fields:
        assert getattr(small.activity, name) <= getattr(large.activity, name)


@given(st.integers(1, 100), st.integers(0, 500), st.integers(0, 70), larger, larger, st.booleans(), st.booleans())
def test_longer_attention_never_costs_less_of_anything(
    tokens: int, context: int, dim: int, more: int, longer: int, is_causal: bool, roomy: bool
) -> None:
    def price(tokens: int, context: int) -> Cost:
        op = heads_over(tokens, context, 6, 2, dim + 1)
        op = replace(op, pairs=op.pairs - tokens * (tokens - 1) // 2) if is_causal else op
        return (PEAK if roomy else SMALL_SPAD).price(op)

    small, large = price(tokens, context), price(tokens + more, context + longer)
    assert small.latency_ns <= large.latency_ns * (1 + 1e-12)
    for name in Activity._fields:
        assert getattr(small.activity, name) <= getattr(large.activity, name)


@given(st.integers(1, 300), st.integers(1, 500), st.integers(1, 500), st.integers(64, 9000), st.integers(0, 9000))
def test_larger_memories_on_the_chip_never_cost_more(tokens: int, k: int, n: int, room: int, more: int) -> None:
    def build(room: int) -> Npu:
        return npu(npu__scratchpad=f"{room} B", npu__local_buffer=f"{room} B")

    for op in (product(tokens, k, n), heads_over(tokens, n, 6, 2, k)):
        small, large = build(room).price(op), build(room + more).price(op)
        assert large.latency_ns <= small.latency_ns
        for name in Activity._fields:
            assert getattr(large.activity, name) <= getattr(small.activity, name)


@given(
    st.integers(1, 100),
    st.integers(1, 400),
    st.integers(1, 400),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20)),
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20)),
)
def test_a_larger_array_or_more_cores_never_take_longer(
    tokens: int, k: int, n: int, machine: tuple[int, int, int], more: tuple[int, int, int]
) -> None:
    def build(rows: int, columns: int, cores: int) -> Npu:
        return npu(npu__array_rows=rows, npu__array_columns=columns, npu__cores=cores)

    small, large = build(*machine), build(*(one + other for one, other in zip(machine, more, strict=True)))
    assert large.gemm_compute_ns(tokens, k, n) <= small.gemm_compute_ns(tokens, k, n)
    op = heads_over(tokens, n, 6, 2, k)
    triangle = replace(op, pairs=op.pairs - tokens * (tokens - 1) // 2)
    for attention in (op, triangle):
        slow_ns, fast_ns = small.attention_compute_ns(attention, 2), large.attention_compute_ns(attention, 2)
        assert fast_ns <= float(slow_ns) * (1 + 1e-12)


# Grids


def fields_equal(grid: Cost, one: Cost, at: tuple[int, int], shape: tuple[int, int]) -> None:
    assert np.broadcast_to(np.asarray(grid.latency_ns), shape)[at] == one.latency_ns
    for name in Activity._fields:
        assert np.broadcast_to(getattr(grid.activity, name), shape)[at] == pytest.approx(getattr(one.activity, name))


def test_grids_of_a_whole_pass_agree_with_numbers() -> None:
    model = load_model("tinyllama")
    tokens, contexts = [1, 5, 64], [0, 700]
    grid = verify_operators(model, np.array(tokens), np.array(contexts)[:, None])
    for i, context in enumerate(contexts):
        for j, t in enumerate(tokens):
            for of_grid, alone in zip(grid, verify_operators(model, t, context), strict=True):
                fields_equal(price_on(PEAK, of_grid), price_on(PEAK, alone), (i, j), (2, 3))


# Energy and the published anchor


@pytest.mark.parametrize("name", profile_names())
def test_weights_cost_the_way_off_chip_and_through_both_buffers(name: str) -> None:
    profile = load_profile(name)
    energy_pj = PEAK.price(product(1, 512, 1024)).activity.energy_pj(profile)
    bits = 8 * 512 * 1024
    assert energy_pj["array"] + energy_pj["io"] == pytest.approx(profile.off_chip_pj_per_bit * bits, rel=1e-12)
    scratchpad_bits = 2 * bits + 8 * (16 * 512 + 1024)  # inputs to every core
    buffer_bits = 2 * bits + 8 * (16 * 512 + 512 * 32) + 2 * 32 * 1024 * 16  # 32 tiles of outputs, 16 of k
    expected_pj = 0.41 * scratchpad_bits + 0.066 * buffer_bits
    assert energy_pj["buffer"] == pytest.approx(expected_pj, rel=1e-12)
    assert energy_pj["mac"] == pytest.approx(profile.mac_int8.value * 512 * 1024)


def test_autoregressive_decoding_costs_what_the_paper_measured() -> None:
    """LP-Spec's abstract and Table III give 4.312 token/J for the NPU. Writing a weight into the buffers that it is
    read from, which few simulators charge, is a tenth of our energy; we count no CPU, refresh or static power."""
    model = load_model("llama2-7b")
    energy_pj = 0.0
    for op in verify_operators(model, 1, 200):
        energy_pj += sum(float(pj) for pj in price_on(PEAK, op).activity.energy_pj(load_profile("attacc")).values())
    assert 1e12 / energy_pj == pytest.approx(4.312, rel=0.1)


@pytest.mark.parametrize(
    "op",
    [
        Gemm("qkv", 1, 1, 8, 8, WeightFormat(8), 16),
        Attention("attention", 1, 1, 1, 2, 1, 1, 8, 16, 8),
    ],
)
def test_wide_operands_are_refused_in_one_line(op: PlainOperator) -> None:
    with pytest.raises(InputError) as caught:
        PEAK.price(op)
    assert "16-bit operands are not supported" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prefill_is_bound_by_arithmetic() -> None:
    model = load_model("llama2-7b")
    products = [op for op in prefill_operators(model, 512) if isinstance(op, Gemm) and op.name != "lm_head"]
    assert all(PEAK.price(op).latency_ns > op.weight_bytes / 51.2 for op in products)


def test_a_weight_of_16_bits_takes_the_arrays_twice_and_the_bus_twice() -> None:
    narrow, wide = (
        Gemm("lm_head", 1, 512, 64, 128, WeightFormat(8), 8),
        Gemm("lm_head", 1, 512, 64, 128, WeightFormat(16), 8),
    )
    assert PEAK.product_compute_ns(wide) == 2 * PEAK.product_compute_ns(narrow)
    thin = PEAK.price(Gemm("lm_head", 1, 1, 4096, 4096, WeightFormat(16), 8))
    assert thin.latency_ns == pytest.approx(4096 * 4096 * 2 / BUS_GB_PER_S)
    once, twice = PEAK.gemm_on_chip(narrow, 128), PEAK.gemm_on_chip(wide, 128)
    arrays_bits = 8 * 512 * 64 * 4 + 2 * 32 * 512 * 128 * 2  # inputs for 4 tiles of outputs, sums for 2 of k
    assert twice.local_buffer_bits - once.local_buffer_bits == arrays_bits
    assert twice.scratchpad_bits == once.scratchpad_bits


def test_activations_of_16_bits_take_the_arrays_in_turns_where_a_machine_says_so() -> None:
    platform = load_platform("lp5x-pim")
    npu = Npu.of(platform)
    narrow, wide = (Gemm("qkv", 1, 512, 64, 128, WeightFormat(8), bits) for bits in (8, 16))
    assert npu.spec.wide_turns.n == 2
    assert npu.product_compute_ns(wide) == 2 * npu.product_compute_ns(narrow)
    assert npu.price(wide).activity.macs_fp16 == npu.price(narrow).activity.macs_int8 == 512 * 64 * 128
    once, twice = (Attention("attention", 1, 4, 60, 256, 2, 1, 64, 8, bits) for bits in (8, 16))
    assert npu.attention_compute_ns(twice, 1) == 2 * npu.attention_compute_ns(once, 1)
    assert float(npu.price(twice).activity.macs_fp16) == float(npu.price(once).activity.macs_int8) == 2 * 2 * 64 * 256
    with pytest.raises(InputError, match="32-bit operands are not supported"):
        npu.price(Gemm("qkv", 1, 1, 8, 8, WeightFormat(8), 32))


def test_grouped_weights_are_read_with_their_scales() -> None:
    grouped = Gemm("qkv", 1, 1, 4096, 4096, WeightFormat(4, 128, 20), 8)
    assert PEAK.price(grouped).latency_ns == pytest.approx(4096 * 4096 * (4 + 20 / 128) / 8 / BUS_GB_PER_S)
    assert PEAK.product_compute_ns(grouped) == PEAK.gemm_compute_ns(1, 4096, 4096)


def test_a_long_prompt_takes_the_time_of_its_triangle() -> None:
    """A square of queries and keys would take 263 s."""
    model = load_model("qwen2.5-7b")
    latency_ns = sum(float(price_on(BUILT_IN, op).latency_ns) for op in prefill_operators(model, 130_000))
    assert latency_ns / 1e9 == pytest.approx(160, rel=0.03)
    (op,) = (op for op in prefill_operators(model, 130_000) if isinstance(op, Attention))
    peak_ns = op.macs / (16 * 1024)
    assert op.count * float(BUILT_IN.attention_compute_ns(op, op.kv_heads)) == pytest.approx(peak_ns, rel=1e-3)
