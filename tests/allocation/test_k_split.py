"""K of what is left over when tiles are full, shared by all ranks: where it pays, within the room, and by commands."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.column_map import PIM, lay_out
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.placement import PlacedGemm
from lpspec.allocation.sharing import Sharing
from lpspec.allocation.weighed import WeighedAllocator, Worth
from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Gemm, verify_operators
from lpspec.machine.loading import load_platform, load_profile
from lpspec.machine.platform_spec import PlatformSpec

PROFILE = load_profile("attacc")
COLUMNS = load_platform("lp-spec")
ALSO_K = load_platform("lp-spec", {"pim.product_split": "columns-and-k"})


def pim_of(platform: PlatformSpec, *split: str) -> LpddrPim:
    pim = LpddrPim.of(platform)
    pim.k_split = frozenset(split)
    return pim


def product(tokens: int, k: int, n: int, count: int = 1) -> Gemm:
    return Gemm("product", count, tokens, k, n, WeightFormat(8), 8)


@cache
def made(name: str, allocator: str, split: str) -> BalancedAllocator:
    platform = load_platform("lp-spec", {"allocator": allocator, "pim.product_split": split})
    found = make_allocator(platform, medusa_model(name), 16, 512, PROFILE)
    assert isinstance(found, BalancedAllocator)
    return found


@pytest.mark.parametrize("name", ["llama2-7b", "llama3-8b", "llama3.2-1b", "llama3.2-3b", "qwen2.5-1.5b"])
@pytest.mark.parametrize("allocator", ["replicated", "static", "least-edp"])
def test_a_step_is_never_worse_than_with_columns_alone(name: str, allocator: str) -> None:
    sizes = np.arange(1, 9)[None]
    step = verify_operators(medusa_model(name), sizes, np.array([[480]]))
    columns, also_k = (made(name, allocator, split).decode_cost(step) for split in ("columns", "columns-and-k"))
    energies = [sum(cost.activity.energy_pj(PROFILE).values()) for cost in (columns, also_k)]
    if allocator != "least-edp":
        assert np.all(also_k.latency_ns <= np.asarray(columns.latency_ns) * (1 + 1e-12))
    assert np.all(also_k.latency_ns * energies[1] <= columns.latency_ns * energies[0] * (1 + 1e-12))


def test_the_products_of_llama2_7b_that_leave_ranks_idle_are_split() -> None:
    """4,096 outputs are a tile of 3,072 and a third of one, which now takes a third of the time."""
    allocator = made("llama2-7b", "replicated", "columns-and-k")
    assert {"out", "down"} <= allocator.pim.k_split
    assert "qkv" not in made("llama2-7b", "replicated", "columns-and-k").pim.k_split  # 12,288 are four tiles
    assert made("llama2-7b", "replicated", "columns").pim.k_split == frozenset()
    out = next(op for op in verify_operators(medusa_model("llama2-7b"), 4, 480) if op.name == "out")
    both = [made("llama2-7b", "replicated", split) for split in ("columns-and-k", "columns")]
    took_ns = [float(allocator.decode_cost((out,)).latency_ns) for allocator in both]
    assert took_ns[0] / took_ns[1] == pytest.approx((1 + 22 / 64) / 2, rel=0.05)  # and three readbacks of the last


def test_what_costs_more_energy_is_not_split_where_energy_alone_counts() -> None:
    """Every part is read back: with time worth nothing and no power that flows meanwhile, columns are cheaper."""
    free_time = WeighedAllocator(ALSO_K, medusa_model("llama2-7b"), 16, 512, Worth(PROFILE, 0.0))
    assert free_time.pim.k_split == frozenset()
    dear_time = WeighedAllocator(ALSO_K, medusa_model("llama2-7b"), 16, 512, Worth(PROFILE, 3000.0))
    assert "out" in dear_time.pim.k_split


def test_the_npu_adds_the_sums_of_all_but_one_rank() -> None:
    """1,024 of 4,096 outputs are left over: two further sums for each token and output, an addition half a MAC."""
    op = product(4, 4096, 4096)
    split, whole = pim_of(ALSO_K, "product"), pim_of(ALSO_K)
    added = split.product_activity(op, 4096).macs_int8 - split.activity(split.product(op, 4096)).macs_int8
    assert float(added) == 2 * 4 * 1024 / 2
    assert whole.product_activity(op, 4096).macs_int8 == 0
    assert float(split.product_activity(op, 3072).macs_int8) == 0  # whole tiles only
    (part,) = split.phase_parts(op) or ()
    assert float(part.activity.macs_int8) == 2 * 4 * 1024 / 2
    read_back = [float(pim.product(op, 4096).output_bursts) for pim in (split, whole)]
    assert read_back == [4 * 128 + 2 * 128, 4 * 128]  # 4 bursts for the 32 outputs of an MPU and token, 8 MPUs a unit


@settings(max_examples=60)
@given(rows=st.integers(1, 12), n=st.integers(1, 8000), at_once=st.integers(1, 3), copies=st.integers(1, 4))
def test_room_on_the_ranks_is_no_less_than_weights_take(rows: int, n: int, at_once: int, copies: int) -> None:
    """The rows that a placement really opens on the channel with the most, against the bytes set aside."""
    platform = load_platform("lp-spec", {"pim.concurrent_ranks": str(at_once)})
    assert platform.memory is not None
    pim, k = pim_of(platform, "product"), 64 * rows
    placed = PlacedGemm(product(1, k, n, copies), pim.tile_columns, 0, -(-n // pim.tile_columns))
    blocks = lay_out([placed], platform.memory, pim, (), 0)
    taken = blocks.taken_bytes[PIM].sum(axis=0)[:-1]
    width = -(-n // 128) * 32  # on the first channel
    placement = place_weights(PimChannel(platform.die, (0, 1, 2), at_once, 4), k, width, split="left-over")
    used = np.zeros(3, np.int64)
    for tile in placement.tiles():
        for unit in tile:
            used[unit.rank] += 4 * 256 * 64 * -(-unit.k // 64)  # four channels, 256 outputs, whole rows
    assert taken.sum() >= used.sum() * copies
    assert taken.sum() <= used.sum() * copies * 1.5 + 4 * 256 * 64 * 3 * copies
    if at_once > 1 and rows % at_once == 0:
        assert taken.sum() == used.sum() * copies


@pytest.mark.parametrize("tokens", [1, 4, 6])
@pytest.mark.parametrize(("k", "n"), [(4096, 4096), (2048, 2048), (1000, 5000)])
def test_commands_take_what_the_closed_form_says(tokens: int, k: int, n: int) -> None:
    pim, memory = pim_of(ALSO_K, "product"), PackageCommands(ALSO_K)
    work = pim.gemm(tokens, k, n, k_split=True)
    closed_ns = float(np.maximum(pim.busy_ns(work), pim.bus_ns(work)))
    found = memory.product(tokens, k, n, memory.jobs.computing(3), 0.0, True)
    assert float(found.latency_ns) == pytest.approx(closed_ns, rel=0.02)
    if k > 1000:  # of few k, three readbacks take longer than is saved
        assert found.latency_ns < memory.product(tokens, k, n, memory.jobs.computing(3), 0.0).latency_ns
    read_back = pim.activity(work).activation_io_bits
    assert float(found.activity.activation_io_bits) == pytest.approx(float(read_back), rel=0.02)


def test_combined_phases_take_what_exact_runs_take() -> None:
    """All together; what refresh adds to a single short one is less exact, as without a split."""
    shapes = [(k, n, read) for k, n in ((4096, 4096), (2048, 2048)) for read in (0, 500_000)]
    sizes = [(tokens, *shape) for tokens in (1, 4, 7) for shape in shapes]
    combined, exact = PackageCommands(ALSO_K, exact=False), PackageCommands(ALSO_K)
    three = exact.jobs.computing(3)
    parts = [combined.product(tokens, k, n, three, read, True) for tokens, k, n, read in sizes]
    for part in parts:
        for asked in part.asked:
            asked.expect(np.ones(1))
    itself_ns = [float(exact.product(tokens, k, n, three, read, True).latency_ns) for tokens, k, n, read in sizes]
    took_ns = [float(part.latency_ns) for part in parts]
    assert sum(took_ns) == pytest.approx(sum(itself_ns), rel=0.002)
    assert took_ns == pytest.approx(itself_ns, rel=0.01)


def test_a_split_shared_by_one_rank_or_of_few_rows_is_none() -> None:
    one = pim_of(load_platform("lp-spec", {"pim.concurrent_ranks": "1"}), "product")
    assert not one.may_split_k(4096)
    three = pim_of(ALSO_K, "product")
    assert not three.may_split_k(128)
    assert three.gemm(4, 128, 1024, k_split=True) == three.gemm(4, 128, 1024)
    assert three.product(replace(product(4, 128, 1024), name="other"), 1024) == three.gemm(4, 128, 1024)
    assert COLUMNS.pim is not None
    assert COLUMNS.pim.product_split == "columns"


@pytest.mark.parametrize("context", [12_000, 20_000])
def test_where_room_is_short_copies_are_kept_for_passes_that_requests_share(context: int) -> None:
    """Kept for four tokens, 16 that a pass shares take 2 to 5 % longer with k over ranks than by columns alone."""
    step = verify_operators(medusa_model("llama3-8b"), np.array([16]), np.array([200]))

    def taken_ns(platform: PlatformSpec, requests: int) -> float:
        made = make_allocator(platform, medusa_model("llama3-8b"), 64, context, PROFILE, Sharing(requests=requests))
        return float(np.sum(made.decode_cost(step).latency_ns))

    assert taken_ns(ALSO_K, 16) <= taken_ns(COLUMNS, 16) * (1 + 1e-12)
    assert taken_ns(ALSO_K, 16) < 0.98 * taken_ns(ALSO_K, 1)


def test_where_room_is_short_tiles_leave_pim_that_shared_passes_miss_least() -> None:
    """By what four tokens lose alone, k over ranks left the NPU products that 6 to 16 tokens want on PIM."""
    model = medusa_model("qwen2.5-7b")

    def taken_ns(platform: PlatformSpec, tokens: int) -> float:
        made = make_allocator(platform, model, 64, 212_000, PROFILE, Sharing(requests=16))
        step = verify_operators(model, np.array([tokens]), np.array([200]))
        return float(np.sum(made.decode_cost(step).latency_ns))

    for tokens in (6, 16):
        assert taken_ns(ALSO_K, tokens) <= taken_ns(COLUMNS, tokens) * (1 + 1e-12)


def test_k_is_shared_only_where_somebody_computes_what_is_left_over() -> None:
    """Sixteen caches of 2,064 tokens leave no product of Llama2-7B whole on PIM: nothing is shared, nothing lost."""
    model, context, found = medusa_model("llama2-7b"), 16 * 2064, []
    for platform in (COLUMNS, ALSO_K):
        made = make_allocator(platform, model, 64, context, PROFILE, Sharing(requests=16))
        assert isinstance(made, BalancedAllocator)
        assert all(p.most < p.tiles for p in made.placements)
        found.append(made)
    assert found[1].pim.k_split == frozenset()
    assert found[0].placements == found[1].placements


@pytest.mark.parametrize("context", [500, 20_000, 26_000, 33_000])
@pytest.mark.parametrize("name", ["llama2-7b", "llama3-8b"])
def test_no_product_is_shared_in_vain(name: str, context: int) -> None:
    model = medusa_model(name).model_copy(update={"max_context": 40_000})
    made = make_allocator(ALSO_K, model, 64, context, PROFILE, Sharing(requests=16))
    assert isinstance(made, BalancedAllocator)
    for name in made.pim.k_split:
        assert any(p.most == p.tiles for p in made.placements if p.gemm.name == name)
