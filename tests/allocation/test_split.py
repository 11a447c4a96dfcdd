from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medusa_model import medusa_model

from lpspec.allocation.division import GemmSplit
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.pim_only import PimOnlyAllocator
from lpspec.allocation.placement import PlacedGemm
from lpspec.devices.cost import Activity
from lpspec.devices.npu import Npu
from lpspec.devices.pim import LpddrPim
from lpspec.devices.pim_work import PimWork
from lpspec.llm import Attention, Gemm, ModelSpec, draft_operators, load_model, verify_operators
from lpspec.llm.draft_work import drafted
from lpspec.llm.formats import WeightFormat
from lpspec.machine.loading import load_platform, load_profile
from lpspec.machine.platform_spec import PlatformSpec

TREES = [1, 2, 3, 4, 5, 8, 13, 16, 32, 63, 64]
MODELS = {name: medusa_model(name) for name in ("vicuna-7b", "vicuna-13b", "llama3.2-1b")}


def lp_spec(**changes: object) -> PlatformSpec:
    return load_platform("lp-spec", {key.replace("__", "."): str(value) for key, value in changes.items()})


def balanced(model: ModelSpec, platform: PlatformSpec | None = None, context: int = 2048) -> BalancedAllocator:
    return BalancedAllocator(platform or lp_spec(), model, 64, context)


DAU = {name: balanced(model) for name, model in MODELS.items()}
PIM_ONLY = PimOnlyAllocator(lp_spec(), MODELS["vicuna-13b"], 64, 2048)


STREAM = 1 - (8 + 17 + 168 + 2 + 15) / 3125
"""What refresh leaves of the bus: rows closed (nRTP, nRPab), refreshed, and the first one opened again, per nREFI."""

BUS_GB_PER_S = 51.2 * STREAM


def both_sides(platform: PlatformSpec) -> tuple[Npu, LpddrPim, float]:
    assert platform.npu is not None
    assert platform.memory is not None
    assert platform.pim is not None
    memory = platform.memory
    bus_gb_per_s = memory.channels.n * memory.organisation.data_pins.n * memory.data_rate.mbps / 8000
    share = min(STREAM, memory.bus_efficiency.fraction)
    return Npu(platform.npu, memory), LpddrPim(platform.pim, memory), bus_gb_per_s * share


def products(model: ModelSpec, tokens: int) -> list[Gemm]:
    passes = verify_operators(model, tokens, 0) + draft_operators(model)
    return [op for op in passes if isinstance(op, Gemm)]


def attention(model: ModelSpec, tokens: int, context: int) -> Attention:
    (op,) = (op for op in verify_operators(model, tokens, context) if isinstance(op, Attention))
    return op


# Search by hand: every division of the columns into a first part for PIM and a last part for the NPU


def beside_ns(pim: LpddrPim, work: PimWork, read_bytes: int, bus_gb_per_s: float) -> float:
    """PIM, or the bus with all bursts on it, which turns from reads to each set of inputs and back (nCL + 2 - nCWL)."""
    bursts = int(work.input_bursts + work.output_bursts) * pim.channels
    turns_ns = int(work.input_sets) * 12.5 if read_bytes else 0.0
    return max(float(pim.busy_ns(work)), (read_bytes + 32 * bursts) / bus_gb_per_s + turns_ns)


def product_ns(platform: PlatformSpec, op: Gemm, pim_columns: int) -> float:
    """The slowest of PIM, arrays and bus for one copy, sides priced by devices that have their own tests."""
    npu, pim, bus_gb_per_s = both_sides(platform)
    weight_bytes = (op.n - pim_columns) * op.k
    arrays_ns = float(npu.gemm_compute_ns(op.tokens, op.k, op.n - pim_columns))
    return max(beside_ns(pim, pim.gemm(op.tokens, op.k, pim_columns), weight_bytes, bus_gb_per_s), arrays_ns)


def possible_splits(placed: PlacedGemm, tile: int) -> list[int]:
    """PIM computes whole tiles that PIM ranks hold, the NPU the rest from DRAM ranks; or the NPU everything.

    With PIM idle its ranks are memory like any other, so the NPU alone is always possible.
    """
    found = {0}
    for tiles in range(-(-placed.gemm.n // tile) + 1):
        if placed.fewest <= tiles <= placed.most:
            found.add(min(tiles * tile, placed.gemm.n))
    return sorted(found)


def attention_ns(platform: PlatformSpec, op: Attention, pim_heads: int) -> float:
    """One layer with some key-value heads on PIM: scores, then values."""
    npu, pim, bus_gb_per_s = both_sides(platform)
    npu_heads = op.kv_heads - pim_heads
    read_bytes = npu_heads * op.head_dim * int(op.keys)
    scores_ns = beside_ns(pim, pim.scores(op, pim_heads), read_bytes, bus_gb_per_s)
    values_ns = beside_ns(pim, pim.values(op, pim_heads), read_bytes, bus_gb_per_s)
    arrays = float(npu.scores_compute_ns(op, npu_heads)), float(npu.values_compute_ns(op, npu_heads))
    return max(scores_ns, arrays[0]) + max(values_ns, arrays[1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tokens", TREES)
def test_product_splits_are_the_best_that_tiles_allow(name: str, tokens: int) -> None:
    for op in products(MODELS[name], tokens):
        splits = DAU[name].gemm_splits(op)
        assert sum(split.placed.gemm.count for split in splits) == op.count
        for split in splits:
            trials = {c: product_ns(lp_spec(), op, c) for c in possible_splits(split.placed, 3072)}
            assert float(split.latency_ns) == pytest.approx(min(trials.values()), rel=1e-12)
            assert trials[int(split.pim_columns)] == pytest.approx(min(trials.values()), rel=1e-12)


@settings(max_examples=50)
@given(
    st.integers(1, 70),
    st.integers(1, 512),
    st.integers(1, 5000),
    st.integers(1, 4),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["1 ns", "5 ns", "40 ns"]),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
def test_splits_of_any_product_on_any_package(
    tokens: int, k: int, n: int, channels: int, alus: int, interval: str, held: tuple[int, int]
) -> None:
    platform = lp_spec(memory__channels=channels, pim__alus=alus, pim__mac_interval=interval, npu__cores=2)
    allocator = balanced(MODELS["llama3.2-1b"].model_copy(update={"layers": 1}), platform)
    tile = 3 * channels * 8 * 32
    tiles = -(-n // tile)
    fewest, most = sorted(min(h, tiles) for h in held)
    op = Gemm("any", 1, tokens, k, n, WeightFormat(8), 8)
    placed = PlacedGemm(op, tile, fewest, most)
    allocator.placements = [placed]
    (split,) = allocator.gemm_splits(op)
    best_ns = min(product_ns(platform, op, c) for c in possible_splits(placed, tile))
    assert float(split.latency_ns) == pytest.approx(best_ns, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("context", [0, 100, 1900])
def test_attention_splits_are_the_best_over_heads(name: str, context: int) -> None:
    for tokens in TREES:
        op = attention(MODELS[name], tokens, context)
        latency_ns, heads = DAU[name].attention_split(op)
        copied = DAU[name].kv_on_dram
        choices = range(0, op.kv_heads + 1, 4) if copied else (0, op.kv_heads)  # as many on each channel
        trials = {h: attention_ns(lp_spec(), op, h) for h in choices}
        assert float(latency_ns) == pytest.approx(min(trials.values()), rel=1e-12)
        assert trials[int(heads)] == pytest.approx(min(trials.values()), rel=1e-12)


# No worse than either side alone


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tokens", [*TREES, 96, 256])
def test_products_are_never_slower_than_the_npu_alone(name: str, tokens: int) -> None:
    npu, _, _ = both_sides(lp_spec())
    allocator = BalancedAllocator(lp_spec(), MODELS[name], 256, 1024)
    for op in products(MODELS[name], tokens):
        alone_ns = float(npu.price(op).latency_ns)
        assert float(allocator.decode_cost((op,)).latency_ns) <= alone_ns * (1 + 1e-12)


@pytest.mark.parametrize("name", ["vicuna-7b", "llama3.2-1b"])  # the 13B model does not fit on PIM alone
@pytest.mark.parametrize("tokens", TREES)
def test_products_are_never_slower_than_pim_alone(name: str, tokens: int) -> None:
    _, pim, _ = both_sides(lp_spec())
    for op in products(MODELS[name], tokens):
        assert float(DAU[name].decode_cost((op,)).latency_ns) <= float(pim.price(op).latency_ns) * (1 + 1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("context", [0, 500, 1900])
@pytest.mark.parametrize("tokens", [1, 4, 16, 64])
def test_attention_is_never_slower_than_either_side_alone(name: str, context: int, tokens: int) -> None:
    op = attention(MODELS[name], tokens, context)
    latency_ns, _ = DAU[name].attention_split(op)
    npu, pim, bus_gb_per_s = both_sides(lp_spec())
    half_ns = int(op.kv_read_bytes) / op.count / 2 / bus_gb_per_s
    arrays = npu.scores_compute_ns(op, op.kv_heads), npu.values_compute_ns(op, op.kv_heads)
    npu_alone_ns = sum(max(float(ns), half_ns) for ns in arrays)
    assert float(latency_ns) <= npu_alone_ns * (1 + 1e-12)
    assert float(latency_ns) <= float(pim.price(op).latency_ns) / op.count * (1 + 1e-12)


# The continuous ideal: both sides finish together with r = t_p / (t_n + t_p) of the columns on the NPU


def paper_times_ns(op: Gemm, bus_gb_per_s: float) -> tuple[float, float]:
    weights = op.k * op.n
    return weights / bus_gb_per_s, weights / 614.4 * -(-int(op.tokens) // 4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tokens", TREES)
def test_no_split_beats_the_continuous_ideal(name: str, tokens: int) -> None:
    for op in products(MODELS[name], tokens):
        t_n, t_p = paper_times_ns(op, BUS_GB_PER_S)
        ideal_ns = op.count * t_n * t_p / (t_n + t_p)
        assert float(DAU[name].decode_cost((op,)).latency_ns) >= ideal_ns


def wide_split(tiles: int, tokens: int) -> tuple[float, float]:
    """Time over the ideal, and the NPU's share over r, of one deep and wide product without capacity limits."""
    platform = lp_spec(pim__mode_switch="0 ns")
    allocator = balanced(MODELS["llama3.2-1b"], platform)
    op = Gemm("wide", 1, tokens, 65536, tiles * 3072, WeightFormat(8), 8)
    allocator.placements = [PlacedGemm(op, 3072, 0, tiles)]
    (split,) = allocator.gemm_splits(op)
    t_n, t_p = paper_times_ns(op, BUS_GB_PER_S)
    t_p /= 1 - 185 / 3125  # PIM refreshes too
    inputs_ns = 2 * min(tokens, 4) * 2.5 / STREAM + 12.5  # of 64 k, and the bus turns to them and back
    t_n /= 1 - inputs_ns / (320 / (1 - 185 / 3125))
    share = 1 - int(split.pim_columns) / op.n
    return float(split.latency_ns) / (t_n * t_p / (t_n + t_p)), share / (t_p / (t_n + t_p))


def test_wide_products_approach_the_ideal() -> None:
    gaps = [wide_split(tiles, tokens=1)[0] for tiles in (1, 13, 130, 1300)]
    assert all(later < earlier for earlier, later in pairwise(gaps))
    assert 1.0 <= gaps[-1] < 1.005


@pytest.mark.parametrize("tokens", [1, 4, 8, 16])
def test_the_npus_share_approaches_the_papers(tokens: int) -> None:
    """Of what the inputs of PIM leave of the bus."""
    gap, share = wide_split(1300, tokens)
    assert 1.0 <= gap < 1.02
    assert 0.9 < share <= 1.001


def test_the_npu_gets_more_as_trees_grow() -> None:
    columns = [int(wide.pim_columns) for t in (1, 5, 9, 17, 33, 61) for wide in [_split_of_wide(t)]]
    assert all(later < earlier for earlier, later in pairwise(columns))


def _split_of_wide(tokens: int) -> GemmSplit:
    allocator = balanced(MODELS["llama3.2-1b"])
    op = Gemm("wide", 1, tokens, 8192, 100 * 3072, WeightFormat(8), 8)
    allocator.placements = [PlacedGemm(op, 3072, 0, 100)]
    return allocator.gemm_splits(op)[0]


# Every column once


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", [BalancedAllocator, PimOnlyAllocator])
@pytest.mark.parametrize("tokens", [1, 4, 64])
def test_every_column_is_computed_once(name: str, kind: type[BalancedAllocator], tokens: int) -> None:
    allocator = kind(lp_spec(), MODELS[name], 64, 2048)
    for op in products(MODELS[name], tokens):
        done = np.zeros((op.count, op.n), dtype=int)
        first = 0
        for split in allocator.gemm_splits(op):
            copies, pim_columns = split.placed.gemm.count, int(split.pim_columns)
            done[first : first + copies, :pim_columns] += 1
            done[first : first + copies, pim_columns:] += 1
            assert pim_columns <= split.placed.columns(split.placed.most)
            first += copies
        assert (done == 1).all()
        activity = allocator.decode_cost((op,)).activity
        all_dies = -(-op.n // 1024) * 1024 / op.n  # on PIM whole dies multiply, on all channels
        computed = activity.macs_int8 + activity.pim_macs_int8
        assert op.macs <= computed * (1 + 1e-12)
        assert computed <= op.macs * all_dies * (1 + 1e-12)


@pytest.mark.parametrize("tokens", [1, 4, 64])
def test_energy_of_a_split_is_that_of_its_two_parts(tokens: int) -> None:
    npu, pim, _ = both_sides(lp_spec())
    profile = load_profile("attacc")
    for op in products(MODELS["vicuna-7b"], tokens):
        for split in DAU["vicuna-7b"].gemm_splits(op):
            one = replace(op, count=1)
            npu_part = replace(one, n=op.n - int(split.pim_columns))
            on_pim = pim.activity(pim.gemm(one.tokens, one.k, int(split.pim_columns)))
            parts: Activity = npu.gemm_activity(npu_part) + on_pim
            if npu_part.n:
                assert npu.price(npu_part).activity == npu.gemm_activity(npu_part)
            expected_pj = sum(float(pj) for pj in parts.energy_pj(profile).values())
            whole = DAU["vicuna-7b"]._split_cost(replace(op, count=split.placed.gemm.count), split).activity
            whole_pj = sum(float(pj) for pj in whole.energy_pj(profile).values())
            assert whole_pj == pytest.approx(split.placed.gemm.count * expected_pj, rel=1e-9)


def test_keys_are_read_once_and_written_to_every_side_that_holds_them() -> None:
    model = MODELS["vicuna-13b"]
    long = model.model_copy(update={"max_context": 8192})
    for allocator, copies in ((balanced(model), 2), (balanced(long, context=6000), 1), (PIM_ONLY, 1)):
        op = attention(model, 4, 100)
        activity = allocator.decode_cost((op,)).activity
        one_byte_writes = model.layers * model.kv_heads * (128 + 4 * 4)  # 128 columns of keys, a row of values a token
        in_dram = (copies - 1) * int(op.kv_write_bytes)
        assert activity.activation_memory_bits == pytest.approx(8 * (32 * one_byte_writes + in_dram))


# Grids


@pytest.mark.parametrize("name", ["vicuna-7b", "vicuna-13b"])
def test_grids_agree_with_numbers(name: str) -> None:
    tokens, contexts, model = [1, 4, 5, 64], [0, 333, 1500], MODELS[name]
    grid = DAU[name].decode_cost(verify_operators(model, np.array(tokens), np.array(contexts)[:, None]))
    for i, context in enumerate(contexts):
        for j, t in enumerate(tokens):
            one = DAU[name].decode_cost(verify_operators(model, t, context))
            assert np.asarray(grid.latency_ns)[i, j] == pytest.approx(float(one.latency_ns), rel=1e-12)
            for field in Activity._fields:
                on_grid = np.broadcast_to(getattr(grid.activity, field), (3, 4))[i, j]
                assert on_grid == pytest.approx(float(getattr(one.activity, field)), rel=1e-12)


def test_the_bus_carries_the_scales_of_heads_on_pim_to_the_npu() -> None:
    """A slow bus binds attention over a cache of 4 bits: inputs, results, and scales; its turns are below 1 %."""
    platform = lp_spec(pim__formats="w8a8 w4a8", memory__bus_efficiency=0.05)
    model = drafted(load_model("llama3.2-1b").with_bits(kv=4), "medusa")
    op, (_, pim, bus_gb_per_s) = attention(model, 1, 1023), both_sides(platform)
    heads = op.kv_heads
    by_hand = sum(
        (float(pim.bus_bytes(work)) + op.scale_bytes * heads * op.keys) / bus_gb_per_s
        for work in (pim.scores(op, heads), pim.values(op, heads))
    )
    assert op.scale_bytes > 0
    assert float(balanced(model, platform)._attention_makespan_ns(op, heads)) == pytest.approx(by_hand, rel=0.01)
