"""No column lost, none stale, no rank over its room, whatever is moved, appended or ended."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from medusa_model import medusa_model

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.column_map import DRAM, PIM, Blocks, ColumnMap, lay_out
from lpspec.allocation.exclusive import DynamicAllocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.migration import can_migrate, migrate_all, moved_bytes
from lpspec.allocation.placement import NoRoomError, PlacedGemm
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm import Attention, Gemm, ModelSpec, verify_operators
from lpspec.llm.formats import WeightFormat
from lpspec.machine.loading import load_platform
from lpspec.machine.platform_spec import PlatformSpec

RANKS, AT_ONCE, SLICE = 3, 2, 32  # one channel, dies with one MPU of 32 lanes
PRODUCTS = {"wide": (3, 10, 150), "narrow": (2, 25, 40)}  # copies, depth, columns
KV_HEADS, LAYERS, HEAD_DIM = 2, 2, 4
SIDES = st.sampled_from([PIM, DRAM])


def small_die(die_bytes: int) -> dict[str, str]:
    """Changes that make a die of two banks, one MPU, and rows of 1 KiB."""
    sizes = {"bank_groups": 1, "banks_per_group": 2, "row_bytes": 1024, "rows": die_bytes // 2048}
    return {f"memory.organisation.{key}": str(n) for key, n in sizes.items()}


@cache
def small_platform(die_bytes: int) -> PlatformSpec:
    changes = {"memory.channels": "1", "pim.concurrent_ranks": str(AT_ONCE), **small_die(die_bytes)}
    return load_platform("lp-spec", changes)


def small_model() -> ModelSpec:
    heads = {"heads": KV_HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "layers": LAYERS}
    return medusa_model("tinyllama").model_copy(update=heads)


def small_blocks(die_bytes: int, fixed: int = 0) -> Blocks:
    platform = small_platform(die_bytes)
    assert platform.memory is not None
    assert platform.pim is not None
    tile = AT_ONCE * SLICE
    placed = [
        PlacedGemm(Gemm(name, c, 1, k, n, WeightFormat(8), 8), tile, 0, -(-n // tile))
        for name, (c, k, n) in PRODUCTS.items()
    ]
    attention = [op for op in verify_operators(small_model(), 1, 0) if isinstance(op, Attention)]
    return lay_out(placed, platform.memory, LpddrPim(platform.pim, platform.memory), attention, fixed)


def first_ranks() -> dict[tuple[str, int], int]:
    """Where each copy begins when all are dealt out by name: on the rank that has the least so far."""
    loads, found = [0] * RANKS, {}
    for name, (copies, depth, columns) in sorted(PRODUCTS.items()):
        for copy in range(copies):
            found[name, copy] = loads.index(min(loads))
            for number in range(-(-columns // SLICE)):
                loads[(found[name, copy] + number) % RANKS] += SLICE * depth
    return found


FIRST_RANK = first_ranks()


class ByHand:
    """Both sides as dictionaries of what was really copied where; loads are counted slice by slice and head by head."""

    def __init__(self, labels: tuple[tuple[str, int, int], ...], held: list[list[bool]], kv_sides: list[bool]) -> None:
        self.content = [{b: f"weights of {b}" for b, here in zip(labels, side, strict=True) if here} for side in held]
        self.cache: list[list[int] | None] = [[] if kept else None for kept in kv_sides]

    def copy(self, block: tuple[str, int, int], to: int) -> None:
        if block not in self.content[to]:
            self.content[to][block] = self.content[1 - to][block]

    def loads(self) -> list[int]:
        loads = [0] * (RANKS + 1)
        for name, copy, tile in self.content[PIM]:
            _, depth, columns = PRODUCTS[name]
            for number in range(tile * AT_ONCE, min((tile + 1) * AT_ONCE, -(-columns // SLICE))):
                loads[(number + FIRST_RANK[name, copy]) % RANKS] += SLICE * depth
        for name, _, tile in self.content[DRAM]:
            _, depth, columns = PRODUCTS[name]
            first = tile * AT_ONCE * SLICE
            loads[RANKS] += (min(first + AT_ONCE * SLICE, columns) - first) * depth
        for layer in range(LAYERS):
            for head in range(KV_HEADS):
                loads[(head + layer) % RANKS] += 2 * HEAD_DIM * len(self.cache[PIM] or [])
                loads[RANKS] += 2 * HEAD_DIM * len(self.cache[DRAM] or [])
        return loads


class AnySchedule(RuleBasedStateMachine):
    """Migrations, copies, drops, growth and ends of requests in any order, against memories kept by hand."""

    @initialize(die_bytes=st.sampled_from([4096, 8192, 12288]), kv_on_dram=st.booleans(), data=st.data())
    def lay_everything_out(self, die_bytes: int, kv_on_dram: bool, data: st.DataObject) -> None:
        self.blocks = small_blocks(die_bytes)
        self.labels = self.blocks.label
        where = data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=len(self.labels), max_size=len(self.labels)))
        held = [[bool(w & bit) for w in where] for bit in (1, 2)]
        kv_sides = [True, kv_on_dram]
        self.by_hand = ByHand(self.labels, held, kv_sides)
        self.full = die_bytes
        try:
            self.map = ColumnMap(self.blocks, np.array(held), kv_sides)
        except NoRoomError:
            assert max(self.by_hand.loads()) > die_bytes
            held = [[True] * len(self.labels), [False] * len(self.labels)]
            self.blocks = small_blocks(1 << 16)
            self.full = 1 << 16
            self.by_hand = ByHand(self.labels, held, kv_sides)
            self.map = ColumnMap(self.blocks, np.array(held), kv_sides)
        self.next_token = 0

    @rule(place=st.integers(0, 100), side=SIDES)
    def replicate(self, place: int, side: int) -> None:
        block = place % len(self.labels)
        try:
            self.map.replicate(block, side)
        except NoRoomError:
            self.by_hand.copy(self.labels[block], side)
            assert max(self.by_hand.loads()) > self.full
            del self.by_hand.content[side][self.labels[block]]
        else:
            self.by_hand.copy(self.labels[block], side)

    @rule(place=st.integers(0, 100), side=SIDES)
    def drop(self, place: int, side: int) -> None:
        block = place % len(self.labels)
        if self.labels[block] not in self.by_hand.content[1 - side]:
            with pytest.raises(ValueError, match="lies nowhere else"):
                self.map.drop(block, side)
            return
        self.map.drop(block, side)
        self.by_hand.content[side].pop(self.labels[block], None)

    @rule(place=st.integers(0, 100), side=SIDES)
    def migrate(self, place: int, side: int) -> None:
        block = place % len(self.labels)
        try:
            self.map.replicate(block, side)
        except NoRoomError:
            return
        self.map.drop(block, 1 - side)
        self.by_hand.copy(self.labels[block], side)
        self.by_hand.content[1 - side].pop(self.labels[block], None)

    @rule(tokens=st.integers(1, 40))
    def append(self, tokens: int) -> None:
        new = list(range(self.next_token, self.next_token + tokens))
        before = self.by_hand.cache
        self.by_hand.cache = [None if side is None else side + new for side in before]
        try:
            self.map.append(tokens)
        except NoRoomError:
            assert max(self.by_hand.loads()) > self.full
            self.by_hand.cache = before
        else:
            self.next_token += tokens

    @rule(goal=st.lists(st.sampled_from([1, 2, 3]), min_size=12, max_size=12))
    def migrate_to(self, goal: list[int]) -> None:
        held = np.array([[bool(goal[i % 12] & bit) for i in range(len(self.labels))] for bit in (1, 2)])
        try:
            wanted = ColumnMap(self.blocks, held, [False, False])
        except NoRoomError:
            return
        before = self.map.held.copy()
        assert can_migrate(self.map, wanted) is self._moves(wanted)
        copied = held & ~before
        if (self.map.held == held).all():
            by_content = sum(self.blocks.content_bytes[b] for side in (PIM, DRAM) for b in np.flatnonzero(copied[side]))
            assert moved_bytes(ColumnMap(self.blocks, before, [False, False]), wanted) == by_content

    def _moves(self, wanted: ColumnMap) -> bool:
        """Carry out the moves one by one on the memories kept by hand, looking at every state in between."""
        start = self.map.held.copy()
        try:
            copies, done = migrate_all(self.map, wanted), True
        except NoRoomError:
            found = np.argwhere(self.map.held & ~start).tolist()
            copies, done = [(block, side) for side, block in found], False
        for block, side in copies:
            label = self.labels[block]
            self.by_hand.copy(label, side)
            for other in (PIM, DRAM):
                if not wanted.held[other, block] and label in self.by_hand.content[1 - other]:
                    self.by_hand.content[other].pop(label, None)
            assert not done or max(self.by_hand.loads()) <= self.full
        for block, label in enumerate(self.labels):
            for side in (PIM, DRAM):
                if not self.map.held[side, block] and label in self.by_hand.content[1 - side]:
                    self.by_hand.content[side].pop(label, None)
        return done

    @invariant()
    def every_column_lies_where_the_map_says(self) -> None:
        for side in (PIM, DRAM):
            said = {label for label, here in zip(self.labels, self.map.held[side].tolist(), strict=True) if here}
            assert said == set(self.by_hand.content[side])
            assert all(content == f"weights of {b}" for b, content in self.by_hand.content[side].items())
        assert set(self.by_hand.content[PIM]) | set(self.by_hand.content[DRAM]) == set(self.labels)

    @invariant()
    def no_entry_of_the_cache_is_stale(self) -> None:
        kept = [side for side in self.by_hand.cache if side is not None]
        assert all(side == kept[0] for side in kept)
        assert self.map.kv_tokens.tolist() == [len(side or []) for side in self.by_hand.cache]
        assert self.map.context == len(kept[0])

    @invariant()
    def no_rank_is_over_its_room(self) -> None:
        loads = self.by_hand.loads()
        assert self.map.used_bytes.tolist() == loads
        assert max(loads) <= self.full


TestAnySchedule = AnySchedule.TestCase
TestAnySchedule.settings = settings(max_examples=60, stateful_step_count=25)


def test_blocks_hold_every_weight_once() -> None:
    blocks = small_blocks(1 << 16)
    for name, (copies, depth, columns) in PRODUCTS.items():
        content = sum(int(blocks.content_bytes[i]) for i, label in enumerate(blocks.label) if label[0] == name)
        assert content == copies * depth * columns


@settings(max_examples=40)
@given(st.integers(0, 4000))
def test_what_must_lie_on_the_dram_rank_takes_its_room(fixed: int) -> None:
    assert small_blocks(4096, fixed).room_bytes.tolist() == [4096, 4096, 4096, 4096 - fixed]


# Real models


@pytest.mark.parametrize("kind", ["static", "dynamic", "replicated", "pim-only"])
@pytest.mark.parametrize("name", ["llama2-7b", "llama2-13b", "llama3-8b"])
def test_shipped_models_keep_to_the_room_of_every_rank_up_to_the_longest_context(name: str, kind: str) -> None:
    platform = load_platform("lp-spec", {"allocator": kind})
    allocator = make_allocator(platform, medusa_model(name), 64, 4096)
    assert isinstance(allocator, BalancedAllocator)
    choices = allocator.choices if isinstance(allocator, DynamicAllocator) else [allocator]
    for choice in choices:
        lies = choice.column_map(0)
        for _ in range(4096 // 64):
            lies.append(64)
        assert (lies.held.any(axis=0)).all()
        assert (lies.free_bytes >= 0).all()
        if kind in ("static", "dynamic"):
            assert (lies.held.sum(axis=0) == 1).all()
    loads = allocator.column_map(0).used_bytes[:-1]
    assert loads.max() - loads.min() < 0.01 * loads.max()  # no rank fills before the others


def test_a_cache_that_would_outgrow_the_ranks_is_refused_with_the_context_at_which_it_does() -> None:
    model = medusa_model("llama2-7b").model_copy(update={"max_context": 10**6})
    platform = load_platform("lp-spec")
    for kind in (BalancedAllocator, DynamicAllocator):
        with pytest.raises(InputError) as refused:
            kind(platform, model, 64, 60_000)
        line = str(refused.value)
        longest = int(line.split("beyond a context of ")[1].split()[0])
        assert "\n" not in line
        assert "asked for is 60000" in line
        kind(platform, model, 64, longest)
        with pytest.raises(InputError, match=f"beyond a context of {longest} tokens"):
            kind(platform, model, 64, longest + 1)


def test_copies_are_given_up_first_and_then_weights_leave_the_pim_ranks() -> None:
    model = medusa_model("llama2-7b").model_copy(update={"max_context": 10**6})
    maps = [BalancedAllocator(load_platform("lp-spec"), model, 64, c).column_map(0) for c in (1024, 8192, 28_000)]
    copies = [int(m.held.all(axis=0).sum()) for m in maps]
    on_pim = [int(m.held[PIM].sum()) for m in maps]
    assert copies[0] > copies[1] > copies[2]
    assert on_pim[0] == on_pim[1] == len(maps[0].blocks.label) > on_pim[2]
