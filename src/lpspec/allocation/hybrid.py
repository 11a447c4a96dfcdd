"""The DAU: split every product and every attention between NPU and PIM so that both finish together.

How products are split is in ``product_splits.py``, attention in ``attention.py``; here is where weights and cache lie.
"""

from collections.abc import Hashable, Iterator
from copy import copy
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from lpspec.allocation.cache_room import room_bytes
from lpspec.allocation.column_map import PIM, Blocks, ColumnMap, held_blocks, lay_out
from lpspec.allocation.division import Division
from lpspec.allocation.key_blocks import in_whole_blocks
from lpspec.allocation.memo import Memo, memo_of
from lpspec.allocation.no_room import longest_held, why_no_room
from lpspec.allocation.parts import Part, in_parts
from lpspec.allocation.placement import NoRoomError, PlacedGemm, give_up_dram_tiles, give_up_pim_tiles
from lpspec.allocation.product_splits import ProductSplits
from lpspec.allocation.sharing import ONE_REQUEST, Sharing
from lpspec.arrays import IntArray
from lpspec.devices.cost import Cost
from lpspec.devices.expert_loads import over_loads, price_on
from lpspec.devices.kv_append import append_to_pim
from lpspec.devices.kv_share import KeyShare
from lpspec.devices.npu import Npu
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm.counts import ceil_div, plain
from lpspec.llm.draft_work import draft_operators, resident_levels
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Elementwise, ExpertGemm, Gemm, Operator, StateUpdate, verify_operators
from lpspec.llm.work import by_load
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import MemorySpec, PlatformSpec


class BalancedAllocator(ProductSplits):
    """Splits that finish together, as LP-Spec's data allocation unit makes them, with columns kept on both sides.

    PIM ranks hold what they can; the DRAM rank has copies of all that the NPU wants for some tree, as far as there is
    room, so any split is free. Room for the cache of the longest context is set aside first: as contexts grow, copies
    are given up, then weights leave the PIM ranks.
    """

    saves_time = True
    lays_out_arrays = True

    def __init__(
        self,
        platform: PlatformSpec,
        model: ModelSpec,
        max_tokens: int,
        max_context: int,
        profile: EnergyProfile | None = None,
        passes: Sharing = ONE_REQUEST,
    ) -> None:
        """Place every column, then keep the placement for the run; with a profile no tree costs more than a larger one.

        Where room is short, passes over the weights come first that have a token of each request of ``passes``.

        Raises:
            InputError: The platform has no NPU or no PIM, or its ranks cannot hold the model.
        """
        if platform.npu is None or platform.memory is None or platform.pim is None:
            wants = f"allocator {platform.allocator} needs [npu], [memory] and [pim]"
            raise InputError(f"platform '{platform.name}': {wants}")
        self._requests = requests = passes.requests
        self._whole_k: frozenset[str] = frozenset()
        self.max_kv_tokens, self.max_tokens = max_context + max_tokens, max_tokens
        # Those that place or weigh otherwise, and allocators of users, begin anew.
        known = platform.npu, platform.memory, platform.pim, model, max_tokens, profile, requests
        while True:
            self._memo = memo_of(*known, self._whole_k) if type(self) is BalancedAllocator else Memo()
            if not self._memo.prepared:
                self.npu = Npu(platform.npu, platform.memory)
                self.pim = LpddrPim(platform.pim, platform.memory)
                self.memory = platform.memory
                self.model, self.profile = model, profile
                self._trees = self._placed_for(max_tokens)
                self._deal()
                self._drafts = {op.name for op in draft_operators(model)}
                self._split_k()
                self._prepare(platform.memory)
                self._memo.prepared = dict(vars(self))
            vars(self).update(self._memo.prepared, max_kv_tokens=self.max_kv_tokens)
            self._forget_splits()
            self._place_or_refuse(model.name, platform.name)
            if not (in_vain := self._split_in_vain()):
                break
            self._whole_k |= in_vain
        if (splits := self._memo.splits_of.get(self._splits_key)) is not None:
            self._split_of, self._products, self._heads_over = splits

    # Prices

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, each split over both sides, and of all dies meanwhile."""
        vector = [op for op in operators if isinstance(op, Elementwise)]
        found = [part for op in operators if not isinstance(op, Elementwise) for part in self._price(op)]
        by_rows: tuple[list[Elementwise], list[Elementwise]] = [], []  # few depend on the context
        for op in vector:
            by_rows[np.ndim(op.elements) > 1 and len(op.elements) > 1].append(op)  # type: ignore[arg-type]
        return in_parts(found + [self.npu.elementwise(ops) for ops in by_rows if ops], self.pim.timing)

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost on the NPU, which reads weights from all ranks (LP-Spec section IV)."""
        vector = [op for op in operators if isinstance(op, Elementwise)]
        others = (price_on(self.npu, op) for op in operators if not isinstance(op, Elementwise))
        total = reduce(add, others, self.npu.elementwise(vector) if vector else Cost())
        for op in operators:
            if isinstance(op, Attention) and op.writes:
                blocks = ceil_div(op.tokens, self.pim.spec.lanes.n)
                total += append_to_pim(self.pim, op, blocks) * float(op.count)
        return self.pim.timing.standing_by(total)

    def compaction_cost(self, op: Attention) -> Cost:
        """Cost of moving keys and values of all layers up to the root's, on every side that keeps them."""
        return self.pim.timing.standing_by(self.appends(op, read_first=True))

    def append_cost(self, op: Attention) -> Cost:
        """Cost of writing those of accepted tokens, likewise."""
        return self.pim.timing.standing_by(self.appends(op))

    def step_ns(self, tokens: int) -> float:
        """Time of a step of so many tokens in the longest context, all draft heads included where it is a tree."""
        kept, total_ns = self.kept_prices, self._npu_alone_ns(tokens)
        for op in self._step(tokens):
            if isinstance(op, Attention):
                total_ns += self._op_ns(op)
            elif isinstance(op, Gemm | ExpertGemm):
                key = "time", op.name, tokens  # products don't depend on the context
                if key not in kept:
                    kept[key] = self._op_ns(op)
                total_ns += kept[key]
        return total_ns

    def least_step_ns(self, tokens: int, platform: PlatformSpec, enough_ns: float = float("inf")) -> float:
        """The same at least with as many ranks at once as ``platform`` has, wherever weights lie; or some if enough."""
        assert platform.pim is not None
        free = copy(self)
        free.kv_on_dram, key = False, (tokens, platform.pim.concurrent_ranks.n)
        operators = self._step(tokens)
        npu_ns, least_ns = self._npu_alone_ns(tokens), self._memo.least_of_products.get(key, 0.0)
        if npu_ns + least_ns >= enough_ns:
            return npu_ns + least_ns
        free.pim = self.pim.computing(platform.pim)
        free._deal()
        free._split_k()
        if not least_ns:
            least_ns = sum(free._least_products_ns([op for op in operators if isinstance(op, Gemm)]))
            least_ns += sum(free._least_op_ns(op) for op in operators if isinstance(op, ExpertGemm))
            self._memo.least_of_products[key] = least_ns
        if npu_ns + least_ns >= enough_ns:
            return npu_ns + least_ns
        return npu_ns + least_ns + sum(free._least_op_ns(op) for op in operators if isinstance(op, Attention))

    def _npu_alone_ns(self, tokens: int) -> float:
        """Time of what only the NPU computes of a step of so many tokens in the longest context."""
        key, known = (tokens, self.max_kv_tokens), self._memo.npu_alone
        if key not in known:
            vector = [op for op in self._step(tokens) if isinstance(op, Elementwise)]
            states = [op for op in self._step(tokens) if isinstance(op, StateUpdate)]
            known[key] = sum(float(self.npu.elementwise_ns(op)) for op in vector)
            known[key] += sum(float(self.npu.price(op).latency_ns) for op in states)
        return known[key]

    def _step(self, tokens: int) -> tuple[Operator, ...]:
        passes = verify_operators(self.model, tokens, self.max_kv_tokens - self.max_tokens - 1)
        return passes + (draft_operators(self.model) if tokens > 1 else ())

    def _op_ns(self, op: Operator) -> float:
        """Time of all copies of an operator that is divided, that of ``decode_cost``; counts are numbers."""
        if isinstance(op, ExpertGemm):
            return sum(self._op_ns(part) * float(share) for part, share in by_load(op))
        if isinstance(op, Gemm):
            splits = ((float(split.latency_ns), split.placed.gemm.count) for split in self.gemm_splits(op))
            return sum(once_ns * copies for once_ns, copies in splits) * op.runs
        assert isinstance(op, Attention)
        once_ns = self.attention_ns(in_whole_blocks(op, self.pim.spec.lanes.n))
        return float(once_ns) * op.count + float(self.appends(op).latency_ns)

    def _least_op_ns(self, op: Operator) -> float:
        """The same by the best of all splits."""
        if isinstance(op, ExpertGemm):
            return sum(self._least_op_ns(part) * float(share) for part, share in by_load(op))
        if isinstance(op, Gemm):
            return self._least_products_ns([op])[0]
        assert isinstance(op, Attention)
        whole = in_whole_blocks(op, self.pim.spec.lanes.n)
        least_ns = float(self._attention_makespan_ns(whole, np.arange(op.kv_heads + 1)).min())
        if self.pim.spec.attention_split == "positions":
            least_ns = min(least_ns, self.least_by_positions_ns(whole))
        return op.count * least_ns + float(self.appends(op).latency_ns)

    @property
    def layouts(self) -> "tuple[BalancedAllocator, ...]":
        """Its one placement."""
        return (self,)

    @property
    def kept_prices(self) -> dict[Hashable, Any]:
        """Room for what costs under this placement come to, kept as long as its splits are."""
        return self._memo.kept_prices(self._splits_key)

    @property
    def kept_of_drafts(self) -> dict[Hashable, Any]:
        """The same for what drafts cost, and what is put in place after a pass, which other products don't change."""
        lie = *(p for p in self.placements if p.gemm.name in self._drafts), self.kv_on_dram
        return self._memo.drafts_of.setdefault(lie, {})

    def divided(self, op: Operator, prompt: bool = False) -> Iterator[Division]:
        """Who computes what, as command level lays it out: a prompt, states and elementwise work are the NPU's."""
        if not prompt and isinstance(op, Gemm):
            for split in self.gemm_splits(op):
                on_pim = plain(split.pim_columns)
                yield Division(split.placed.gemm.count * op.runs, ((self.npu, op.n - on_pim), (self.pim, on_pim)))
        elif not prompt and isinstance(op, Attention):
            yield self._divided_heads(op)
        else:
            yield Division(op.count, ((self.npu, None),))

    def _divided_heads(self, op: Attention) -> Division:
        """Attention by whole heads, or by positions: then the NPU, too, is told what PIM computes."""
        if self.pim.spec.attention_split == "positions":
            share = self.key_share(in_whole_blocks(op, self.pim.spec.lanes.n))
            on_pim = KeyShare(plain(share.heads), plain(share.scores_keys), plain(share.values_keys))
            return Division(op.count, ((self.npu, on_pim), (self.pim, on_pim)))
        heads = plain(self.heads_on_pim(op))
        return Division(op.count, ((self.npu, op.kv_heads - heads), (self.pim, heads)))

    def _price(self, op: Operator) -> Iterator[Part | Cost]:
        if isinstance(op, Gemm):
            yield self._product_cost(op)
        elif isinstance(op, ExpertGemm):
            yield over_loads(op, self._product_cost)
        elif isinstance(op, Attention):
            yield from self._attention_cost(op)
        else:
            yield self.npu.price(op)

    # Placement

    def _placed_for(self, max_tokens: int) -> IntArray:
        """Tree sizes that the placement should suit, ascending."""
        return np.arange(1, max_tokens + 1)

    @property
    def _main_tokens(self) -> int:
        """The tokens that come first where room is short: one pass over the weights on PIM, or one of each request."""
        return int(min(max(self.pim.spec.alus.n, self._requests), self._trees[-1]))

    def _deal(self) -> None:
        """Deal the heads of the cache to dies; as they are, so that few dies are idle."""

    def _prepare(self, memory: MemorySpec) -> None:
        """Find what is to be placed, and how blocks of it go to the ranks."""
        resident, levels = self._resident()
        self._experts = {op.name: op for op in resident if isinstance(op, ExpertGemm)}
        verify = verify_operators(self.model, 1, 0)
        self.attention_layers = sum(op.count for op in verify if isinstance(op, Attention))
        stored = self._stored_products()
        tiles = [self._tile_columns(g) for g in stored]
        self._whole = [PlacedGemm(g, tile, 0, ceil_div(g.n, tile)) for g, tile in zip(stored, tiles, strict=True)]
        kinds = verify_operators(self.model, self.max_tokens, 0) + levels
        attention = [op for op in kinds if isinstance(op, Attention)]
        states_bytes = sum(op.stored_bytes for op in resident if isinstance(op, StateUpdate))
        weight_bytes = self.model.weight_bytes + self.model.draft_weight_bytes
        beside_bytes = weight_bytes - sum(g.weight_bytes for g in stored)  # embedding, norms, biases
        self.blocks: Blocks = lay_out(self._whole, memory, self.pim, attention, beside_bytes + states_bytes)

    def _resident(self) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
        """One token's operators of every pass, and of these what a network that drafts has beside the model."""
        levels = resident_levels(self.model)
        return verify_operators(self.model, 1, 0) + draft_operators(self.model) + levels, levels

    def _stored_products(self) -> list[Gemm]:
        gemms = [op.with_load(1) if isinstance(op, ExpertGemm) else op for op in self._resident()[0]]
        return [replace(op, count=op.copies, runs=1) for op in gemms if isinstance(op, Gemm)]

    def _place_or_refuse(self, model: str, platform: str) -> None:
        """Place weights and the longest cache, or say what there is room for, which is found once for a machine."""
        asked, memo = self.max_kv_tokens, self._memo
        try:
            if memo.longest_kv is not None and asked > memo.longest_kv:
                raise NoRoomError
            self._place(asked)
        except NoRoomError:
            if memo.longest_kv is None:
                memo.longest_kv = longest_held(self._without_copies, asked)
            why = why_no_room((model, platform), self.memory, memo.longest_kv, asked, self.max_tokens)
            raise InputError(why) from None

    def _place(self, kv_tokens: int) -> None:
        """Fill PIM ranks first, then copy to the DRAM rank what the NPU may want to compute."""
        known = self._memo.placed
        if kv_tokens not in known:
            placed, dram_free = self._without_copies(kv_tokens)
            placed = self._kept(self._fit_dram([self._wanted_by_npu(p) for p in placed], dram_free))
            known[kv_tokens] = placed, self.kv_on_dram
        self.placements, self.kv_on_dram = known[kv_tokens]

    def _without_copies(self, kv_tokens: int) -> tuple[list[PlacedGemm], int]:
        """What PIM ranks hold beside the cache of so many tokens, and the room that is left on the DRAM rank.

        Raises:
            NoRoomError: That has no room for the rest.
        """
        placed = self._fit_pim(self._whole, kv_tokens)
        kv_bytes = int(room_bytes(self.blocks.cache, np.array([0, kv_tokens]))[-1])
        dram_free = int(self.blocks.room_bytes[-1])
        exclusive_bytes = sum(p.gemm.count * p.gemm.column_bytes * (p.gemm.n - p.columns(p.most)) for p in placed)
        self.kv_on_dram = self._keeps_kv_on_dram(dram_free - exclusive_bytes - kv_bytes)
        dram_free -= kv_bytes if self.kv_on_dram else 0
        if exclusive_bytes > dram_free:
            raise NoRoomError
        return placed, dram_free

    def _fit_pim(self, placed: list[PlacedGemm], kv_tokens: int) -> list[PlacedGemm]:
        """Take tiles off the PIM ranks until none of them overflows beside the cache."""
        cache_bytes = room_bytes(self.blocks.cache, np.array([kv_tokens, 0]))
        while True:
            on_pim = held_blocks(placed)[PIM] @ self.blocks.taken_bytes[PIM] + cache_bytes
            overflow = np.maximum(on_pim - self.blocks.room_bytes, 0)[:-1]
            if not overflow.any():
                return placed
            placed = give_up_pim_tiles(placed, int(overflow.sum()), self._pim_tile_loss_ns)

    def _fit_dram(self, placed: list[PlacedGemm], free_bytes: int) -> list[PlacedGemm]:
        """Take copies off the DRAM rank until they fit: those for large trees first, then those for the main size."""
        excess = sum(p.dram_bytes for p in placed) - free_bytes
        key = *placed, max(excess, 0)
        if key not in self._memo.fitted:
            self._memo.fitted[key] = tuple(self._with_fewer_copies(placed, excess, free_bytes))
        return list(self._memo.fitted[key])

    def _with_fewer_copies(self, placed: list[PlacedGemm], excess: int, free_bytes: int) -> list[PlacedGemm]:
        """The same where so many bytes are too many."""
        spare = sum(p.dram_bytes - replace(p, fewest=self._main_tiles(p)).dram_bytes for p in placed)
        placed = give_up_dram_tiles(placed, min(excess, spare), self._spare_tile_loss_ns)
        return give_up_dram_tiles(placed, sum(p.dram_bytes for p in placed) - free_bytes, self._main_tile_loss_ns)

    def _keeps_kv_on_dram(self, left_bytes: int) -> bool:
        """Whether the DRAM rank holds the cache too, given what room that would leave for copies of weights."""
        return left_bytes >= 0

    def _kept(self, placed: list[PlacedGemm]) -> list[PlacedGemm]:
        """What stays on PIM ranks of all that they have room for: everything."""
        return placed

    def column_map(self, context: int) -> ColumnMap:
        """Where every column and every entry of the cache lies while a request has so many tokens."""
        kv_sides = (True, self.kv_on_dram)
        return ColumnMap(self.blocks, held_blocks(self.placements), kv_sides, context)

    def _main_tiles(self, placed: PlacedGemm) -> int:
        """Fewest tiles that PIM should have to compute with the main tree size, of those that it may."""
        key = placed.gemm.name, placed.gemm.k, placed.gemm.n, placed.fewest, placed.most
        if key not in self._memo.wanted_of:
            tokens = np.array([min(self._main_tokens, int(self._passes_of(placed)[-1]))])
            self._memo.wanted_of[key] = max(placed.fewest, int(self._best_tiles(tokens, placed)[0]))
        return self._memo.wanted_of[key]

    def _wanted_by_npu(self, placed: PlacedGemm) -> PlacedGemm:
        """Keep on the DRAM rank what the best split of any token count gives to the NPU."""
        if placed not in self._memo.wanted_by_npu:
            fewest = int(self._best_tiles(self._passes_of(placed), placed).min())
            self._memo.wanted_by_npu[placed] = replace(placed, fewest=fewest)
        return self._memo.wanted_by_npu[placed]

    def _pim_tile_loss_ns(self, placed: PlacedGemm) -> float:
        """Time lost when PIM loses its last tile, with the tokens that PIM is built for, or one of each request."""
        tokens, fewer = max(self.pim.spec.alus.n, self._main_tokens), replace(placed, most=placed.most - 1)
        return self._lost_ns(tokens, placed, fewer) if placed.most else float("inf")

    def _spare_tile_loss_ns(self, placed: PlacedGemm) -> float:
        """Time lost when the NPU loses a tile that the main size does without, with the tree that wants it most."""
        if placed.fewest >= self._main_tiles(placed):
            return float("inf")
        return self._lost_ns(int(self._passes_of(placed)[-1]), placed, replace(placed, fewest=placed.fewest + 1))

    def _main_tile_loss_ns(self, placed: PlacedGemm) -> float:
        """Time lost when the NPU loses a tile, with the main tree size."""
        if placed.fewest >= placed.most:
            return float("inf")
        return self._lost_ns(self._main_tokens, placed, replace(placed, fewest=placed.fewest + 1))

    def _lost_ns(self, tokens: int, before: PlacedGemm, after: PlacedGemm) -> float:
        return self._least_ns(tokens, after) - self._least_ns(tokens, before)
