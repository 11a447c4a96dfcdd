from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.pim_only import PimOnlyAllocator
from lpspec.allocation.placement import NoRoomError, PlacedGemm, give_up_dram_tiles, give_up_pim_tiles
from lpspec.errors import InputError
from lpspec.llm import Gemm, ModelSpec, Tensor, llama_spec, verify_operators
from lpspec.llm.draft_work import DraftedModel, with_heads
from lpspec.llm.formats import WeightFormat
from lpspec.machine.loading import load_platform
from lpspec.machine.platform_spec import PlatformSpec

GIB = 2**30
PRODUCTS = {"qkv", "out", "gate_up", "down", "lm_head", "medusa_block", "medusa_lm_head"}


@cache
def pim_bytes_of(placed: PlacedGemm) -> int:
    """Bytes of all copies that PIM ranks hold."""
    return placed.gemm.count * placed.columns(placed.most) * placed.gemm.column_bytes


def platform_with(**changes: str) -> PlatformSpec:
    return load_platform("lp-spec", {key.replace("__", "."): value for key, value in changes.items()})


def hybrid(model: ModelSpec, platform: PlatformSpec, max_tokens: int = 64, context: int = 2048) -> BalancedAllocator:
    allocator = make_allocator(platform, model, max_tokens, context)
    assert isinstance(allocator, BalancedAllocator)
    return allocator


# What lies where, counted from the tensors of the model


def tensors_of(model: ModelSpec) -> tuple[Tensor, ...]:
    """Those of the model, and of its draft heads."""
    heads = model.drafter.heads if isinstance(model, DraftedModel) else None
    return model.tensors + (heads.tensors(model) if heads is not None else ())


def products_of(model: ModelSpec) -> dict[str, tuple[int, int, int]]:
    """Copies, output columns and bytes per column of every product, from the tensors of the checkpoint."""
    found = {
        t.name: (t.copies, t.rows, (t.columns * model.weight_bits + 7) // 8)
        for t in tensors_of(model)
        if t.name in PRODUCTS and t.copies
    }
    if model.tied_embeddings:  # the embedding table is the LM head
        found["lm_head"] = (1, model.vocab_size, (model.hidden_size * model.weight_bits + 7) // 8)
    return found


def other_bytes(model: ModelSpec) -> int:
    """Norms, biases and an embedding table of its own."""
    skipped = {"embedding"} if model.tied_embeddings else set()
    return sum(model.stored_bytes(t) for t in tensors_of(model) if t.name not in PRODUCTS | skipped)


def columns_held(placed: PlacedGemm) -> tuple[range, range]:
    """Columns of one copy on PIM ranks, and on DRAM ranks."""
    n, tile = placed.gemm.n, placed.tile_columns
    return range(min(placed.most * tile, n)), range(min(placed.fewest * tile, n), n)


def held_bytes(allocator: BalancedAllocator) -> tuple[int, int]:
    """Bytes of products on PIM ranks, and on DRAM ranks."""
    pim_bytes = dram_bytes = 0
    for placed in allocator.placements:
        on_pim, on_dram = columns_held(placed)
        column_bytes = products_of(allocator.model)[placed.gemm.name][2]
        pim_bytes += placed.gemm.count * len(on_pim) * column_bytes
        dram_bytes += placed.gemm.count * len(on_dram) * column_bytes
    return pim_bytes, dram_bytes


def assert_sound(allocator: BalancedAllocator, platform: PlatformSpec, kv_tokens: int) -> None:
    """Nothing lost, nothing invented, no rank over its capacity."""
    memory, model = platform.memory, allocator.model
    assert memory is not None
    copies = dict.fromkeys(products_of(model), 0)
    for placed in allocator.placements:
        expected_copies, n, _ = products_of(model)[placed.gemm.name]
        assert 0 < placed.gemm.count <= expected_copies
        assert placed.gemm.n == n
        copies[placed.gemm.name] += placed.gemm.count
        assert 0 <= placed.fewest <= placed.most <= -(-n // placed.tile_columns)
        on_pim, on_dram = columns_held(placed)
        assert len(on_pim) + len(on_dram) >= n  # a first part and a last part that meet or overlap
    assert copies == {name: count for name, (count, _, _) in products_of(model).items()}
    pim_bytes, dram_bytes = held_bytes(allocator)
    kv_bytes = kv_tokens * model.kv_bytes_per_token
    die_bytes = memory.channels.n * memory.organisation.die_bytes
    assert pim_bytes + kv_bytes <= memory.pim_ranks.n * die_bytes
    copied_bytes = kv_bytes if allocator.kv_on_dram else 0
    assert dram_bytes + other_bytes(model) + copied_bytes <= memory.dram_ranks.n * die_bytes


def rank_loads(model: ModelSpec, platform: PlatformSpec, kv_tokens: int) -> list[int]:
    """Bytes on every PIM rank when all products and the cache lie there, dealt out slice by slice and head by head."""
    assert platform.memory is not None
    assert platform.pim is not None
    ranks, channels = platform.memory.pim_ranks.n, platform.memory.channels.n
    slice_columns = channels * platform.memory.organisation.banks // platform.pim.banks_per_mpu.n * platform.pim.lanes.n
    loads = [0] * ranks
    for _, (copies, n, column_bytes) in sorted(products_of(model).items()):
        for _ in range(copies):
            first = loads.index(min(loads))
            for number in range(-(-n // slice_columns)):
                loads[(first + number) % ranks] += slice_columns * column_bytes
    for layer in range(model.layers):
        for head in range(model.kv_heads):
            loads[(head % -(-model.kv_heads // channels) + layer) % ranks] += kv_tokens * 2 * model.head_dim
    return loads


def test_7b_lies_whole_on_pim_ranks_with_copies_for_the_npu() -> None:
    model, platform = medusa_model("vicuna-7b"), platform_with()
    allocator = hybrid(model, platform)
    assert_sound(allocator, platform, 2048 + 64)
    pim_bytes, dram_bytes = held_bytes(allocator)
    assert pim_bytes == sum(copies * n * column for copies, n, column in products_of(model).values())
    assert pim_bytes + 2112 * model.kv_bytes_per_token <= 12 * GIB
    assert 0 < dram_bytes < 4 * GIB
    assert allocator.kv_on_dram
    assert all(placed.most == placed.tiles for placed in allocator.placements)


def test_only_what_some_split_gives_to_the_npu_has_a_copy() -> None:
    """Of one token's products, tile by tile; the last tile is narrow, and PIM's best share may end with it."""
    allocator = hybrid(medusa_model("tinyllama"), platform_with(), max_tokens=1, context=256)
    for placed in allocator.placements:
        tiles = np.arange(1, placed.tiles + 1)
        took_ns = allocator.makespan_ns(1, placed.gemm, np.minimum(tiles * placed.tile_columns, placed.gemm.n))
        assert placed.fewest == tiles[np.argmin(took_ns)], placed.gemm.name
    assert any(placed.gemm.n % placed.tile_columns and not placed.dram_bytes for placed in allocator.placements)


def test_13b_overflows_pim_ranks_onto_the_dram_rank() -> None:
    model, platform = medusa_model("vicuna-13b"), platform_with()
    allocator = hybrid(model, platform)
    assert_sound(allocator, platform, 2048 + 64)
    pim_bytes, dram_bytes = held_bytes(allocator)
    all_bytes = sum(copies * n * column for copies, n, column in products_of(model).values())
    kv_bytes = 2112 * model.kv_bytes_per_token
    exclusive_bytes = all_bytes - pim_bytes
    tile_bytes = max(min(n, 3072) * column for _, n, column in products_of(model).values())
    overflow_bytes = all_bytes + kv_bytes - 12 * GIB
    assert 0 < overflow_bytes <= exclusive_bytes < overflow_bytes + tile_bytes  # no more than must be
    assert pim_bytes + kv_bytes <= 12 * GIB
    assert exclusive_bytes < dram_bytes <= 4 * GIB - other_bytes(model)


def test_what_only_the_dram_rank_holds_leaves_no_room_for_a_second_cache() -> None:
    model, platform = with_heads(medusa_model("vicuna-13b"), 6), platform_with()
    allocator = hybrid(model, platform, 4, 4000)
    assert_sound(allocator, platform, 4004)
    assert not allocator.kv_on_dram
    assert hybrid(model, platform, 4, 2000).kv_on_dram


def test_33b_does_not_fit_the_package() -> None:
    model = medusa_model("vicuna-33b")
    with pytest.raises(InputError) as caught:
        make_allocator(platform_with(), model, 64, 2048)
    line = str(caught.value)
    assert "\n" not in line
    assert "vicuna-33b does not fit lp-spec" in line
    need_bytes = model.weight_bytes + model.draft_weight_bytes + 2112 * model.kv_bytes_per_token
    assert f"need {need_bytes / GIB:.2f} GiB, it holds 16.00 GiB" in line
    with pytest.raises(InputError, match=r"PIM 12\.00 GiB, DRAM 4\.00 GiB"):
        BalancedAllocator(platform_with(), model, 64, 2048)


def test_a_cache_that_overfills_the_pim_ranks_is_refused() -> None:
    model = medusa_model("vicuna-7b").model_copy(update={"max_context": 10**6})
    with pytest.raises(InputError, match="where the cache outgrows the ranks"):
        BalancedAllocator(platform_with(), model, 64, 60_000)
    with pytest.raises(InputError, match="cache of 60064 tokens"):
        make_allocator(platform_with(), model, 64, 60_000)


def test_mistakes_inside_a_placement_are_not_taken_for_a_full_package() -> None:
    """Trees without tokens are a mistake of the caller, and no story about capacity."""
    with pytest.raises(ValueError, match="zero-size"):
        BalancedAllocator(platform_with(), medusa_model("tinyllama"), 0, 100)


def test_pim_only_puts_everything_on_pim_where_it_fits() -> None:
    model, platform = medusa_model("vicuna-7b"), load_platform("lpddr5-pim")
    allocator = hybrid(model, platform)
    assert isinstance(allocator, PimOnlyAllocator)
    assert_sound(allocator, platform, 2112)
    assert all(p.fewest == p.most == p.tiles for p in allocator.placements)
    assert held_bytes(allocator)[1] == 0
    for tokens, on_pim in ((1, 1), (4, 1), (16, 0)):  # 16 passes end later than the NPU, which reads weights once
        for op in verify_operators(model, tokens, 500):
            if isinstance(op, Gemm):
                assert [int(split.pim_columns) for split in allocator.gemm_splits(op)] == [on_pim * op.n]


def test_pim_only_leaves_the_npu_what_does_not_fit() -> None:
    model, platform = medusa_model("vicuna-13b"), load_platform("lpddr5-pim")
    allocator = hybrid(model, platform)
    assert_sound(allocator, platform, 2112)
    for placed in allocator.placements:
        on_pim, on_dram = columns_held(placed)
        assert len(on_pim) + len(on_dram) == placed.gemm.n  # no copies
    assert held_bytes(allocator)[1] > 0
    assert not allocator.kv_on_dram


# Any model on any package


def small_model(hidden: int, inner: int, layers: int, heads: int, vocab: int, tied: bool, drafts: int) -> ModelSpec:
    plain = llama_spec(
        name="small",
        source="a test",
        layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        heads=heads,
        kv_heads=heads,
        head_dim=8,
        vocab_size=vocab,
        tied_embeddings=tied,
        qkv_bias=tied,
        max_context=4096,
    )
    return with_heads(plain, drafts)


models = st.builds(
    small_model,
    st.integers(1, 80),
    st.integers(1, 300),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 400),
    st.booleans(),
    st.integers(0, 3),
)


@settings(max_examples=300)
@given(
    models,
    st.sampled_from(["single", "hybrid", "two-dram"]),
    st.sampled_from([2**k * 1024 for k in range(1, 9)]),
    st.sampled_from(["1", "4"]),
    st.sampled_from(["replicated", "pim-only"]),
    st.integers(1, 40),
    st.integers(0, 300),
)
def test_any_placement_is_sound_or_refused(
    model: ModelSpec, ranks: str, die_bytes: int, alus: str, kind: str, max_tokens: int, context: int
) -> None:
    dram, pim, at_once = {"single": ("1", "1", "1"), "hybrid": ("1", "3", "2"), "two-dram": ("2", "2", "2")}[ranks]
    platform = platform_with(
        allocator=kind,
        memory__channels="1",
        memory__dram_ranks=dram,
        memory__pim_ranks=pim,
        memory__organisation__row_bytes="1024",
        memory__organisation__rows=str(die_bytes // 2048),
        memory__organisation__bank_groups="1",
        memory__organisation__banks_per_group="2",
        pim__concurrent_ranks=at_once,
        pim__alus=alus,
    )
    memory = platform.memory
    assert memory is not None
    try:
        allocator = hybrid(model, platform, max_tokens, context)
    except InputError as error:
        line = str(error)
        assert "\n" not in line
        assert "small does not fit lp-spec" in line
        loads = rank_loads(model, platform, context + max_tokens)
        fits_apart = max(loads) * memory.pim_ranks.n <= memory.pim_capacity_bytes
        spare_row = 80  # the one embedding row that a pass reads is counted beside the table
        assert not (fits_apart and other_bytes(model) <= memory.dram_capacity_bytes - spare_row)
        return
    assert_sound(allocator, platform, context + max_tokens)
    for tokens in {1, max_tokens}:
        for op in verify_operators(model, tokens, context):
            assert float(allocator.decode_cost((op,)).latency_ns) > 0


# Giving up tiles


def placed_gemms(held: list[tuple[int, int, int, int]]) -> list[PlacedGemm]:
    """Products of some copies, depth, columns and a seed for how many of their tiles of 16 both sides hold."""
    found = []
    for i, (copies, k, n, seed) in enumerate(held):
        tiles = -(-n // 16)
        most = seed % (tiles + 1)
        found.append(PlacedGemm(Gemm(f"p{i}", copies, 1, k, n, WeightFormat(8), 8), 16, (seed // 7) % (most + 1), most))
    return found


held = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 90), st.integers(0, 60)), min_size=1, max_size=5
)


def total(placed: list[PlacedGemm], side: str) -> int:
    return sum(pim_bytes_of(p) if side == "pim" else p.dram_bytes for p in placed)


@given(held, st.sampled_from(["pim", "dram"]), st.integers(-10, 4000))
def test_giving_up_ends_just_below_the_limit(given_up: list[tuple[int, int, int, int]], side: str, excess: int) -> None:
    before = placed_gemms(given_up)
    give_up = give_up_pim_tiles if side == "pim" else give_up_dram_tiles

    def loss(p: PlacedGemm) -> float:
        left = p.most if side == "pim" else p.most - p.fewest
        return float("inf") if left == 0 else 1.0 + p.gemm.k

    try:
        after = give_up(before, excess, loss)
    except NoRoomError:
        if side == "pim":
            assert total(before, side) < excess
        else:  # what PIM does not hold cannot leave the DRAM rank
            shared = sum(p.gemm.count * (p.columns(p.most) - p.columns(p.fewest)) * p.gemm.k for p in before)
            assert shared < excess
        return
    removed = total(before, side) - total(after, side)
    largest = max(p.gemm.k * 16 for p in before)
    assert max(0, excess) <= removed < max(1, excess) + largest
    for p in before:
        same = [a for a in after if a.gemm.name == p.gemm.name]
        assert sum(a.gemm.count for a in same) == p.gemm.count
        assert all(0 <= a.fewest <= a.most <= a.tiles for a in same)
        assert all(replace(a.gemm, count=1) == replace(p.gemm, count=1) for a in same)


def test_the_cheapest_bytes_go_first() -> None:
    cheap = PlacedGemm(Gemm("cheap", 2, 1, 10, 64, WeightFormat(8), 8), 16, 0, 4)
    dear = PlacedGemm(Gemm("dear", 2, 1, 10, 64, WeightFormat(8), 8), 16, 0, 4)

    def loss(p: PlacedGemm) -> float:
        if p.most == 0:
            return float("inf")
        return 10.0 if p.gemm.name == "dear" else 1.0 + p.most

    after = give_up_pim_tiles([dear, cheap], 2 * 4 * 160, loss)
    assert sorted((p.gemm.name, p.gemm.count, p.most) for p in after) == [("cheap", 2, 0), ("dear", 2, 4)]
    (first, *_) = give_up_pim_tiles([dear, cheap], 2 * 4 * 160 + 1, loss)
    assert (first.gemm.name, first.most) == ("cheap", 0)


def test_copies_are_given_up_one_by_one() -> None:
    placed = PlacedGemm(Gemm("layers", 5, 1, 10, 32, WeightFormat(8), 8), 16, 0, 2)
    after = give_up_pim_tiles([placed], 2 * 160, lambda p: 1.0)
    assert sorted((p.gemm.count, p.most) for p in after) == [(2, 1), (3, 2)]


def test_the_last_tile_may_be_narrow() -> None:
    placed = PlacedGemm(Gemm("narrow", 1, 1, 10, 33, WeightFormat(8), 8), 16, 0, 3)
    assert [placed.tile_bytes(i) for i in range(3)] == [160, 160, 10]
    assert pim_bytes_of(placed) == 330
    (after,) = give_up_pim_tiles([placed], 1, lambda p: 1.0)
    assert (after.most, pim_bytes_of(after)) == (2, 320)
