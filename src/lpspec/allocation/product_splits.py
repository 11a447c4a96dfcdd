"""The DAU's split of products: their first columns go to PIM, the last ones to the NPU.

A split takes as long as the slowest of three: the PIM dies, the MAC arrays of the NPU, and the bus that carries the
NPU's weights as well as PIM inputs and results (LP-Spec section IV-C). PIM takes whole tiles, so the balance is the
best that tiles allow, found by trying them all. While PIM is idle its ranks are memory like any other, so leaving the
whole product to the NPU is always among the trials.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lpspec.allocation.attention import AttentionSplits
from lpspec.allocation.checking import checked_tiles
from lpspec.allocation.division import GemmSplit
from lpspec.allocation.larger_trees import no_dearer_than_larger
from lpspec.allocation.memo import Key, Memo, SplitBySize
from lpspec.allocation.placement import PlacedGemm, first_copies
from lpspec.allocation.tiled_products import Priced, Shape, TiledProduct, alike, side_by_side, tabulate
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost, off_chip_read
from lpspec.devices.pim_format import format_of
from lpspec.errors import InputError
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import ExpertGemm, Gemm, verify_operators
from lpspec.machine.energy_profile import EnergyProfile


class ProductSplits(AttentionSplits):
    """The part of a hybrid allocator that divides columns between NPU and PIM."""

    model: ModelSpec
    placements: list[PlacedGemm]
    _whole: list[PlacedGemm]
    weighs_whole_steps = True
    """Whether energy of one product may fall as trees grow where that of the others rises more."""
    _drafts: set[str]
    _experts: dict[str, ExpertGemm]
    _trees: IntArray
    _whole_k: frozenset[str]
    """Products whose k is not shared, since they have no room for it."""
    _split_of: dict[PlacedGemm, SplitBySize]
    _products: FloatArray
    _memo: Memo

    def _product_cost(self, op: Gemm) -> Cost:
        """All copies, each by the split of its placement."""
        return sum((self._split_cost(op, split) for split in self.gemm_splits(op)), Cost())

    def _split_cost(self, op: Gemm, split: GemmSplit) -> Cost:
        copies = split.placed.gemm.count * op.runs
        return Cost(split.latency_ns * float(copies), self._split_events(op, split.placed, split.pim_columns, copies))

    def _split_activity(self, op: Gemm, pim_columns: IntArray) -> Activity:
        """Events of all copies of a product of which PIM computes some columns and the NPU the others."""
        on_pim = self.pim.product_activity(op, pim_columns) * float(op.count)
        return self.npu.gemm_activity(op, op.n - pim_columns) + on_pim

    def _split_k(self) -> None:
        """Let all ranks share the k of what is left over when tiles are full, of each product that this serves better.

        Weights then lie like that whatever is verified, so it is decided for one pass over all that PIM may compute.
        """
        self.pim.k_split = frozenset()
        if self.pim.spec.product_split == "columns":
            return
        for gemm in self._stored_products():
            if gemm.name in self._whole_k:
                continue
            tokens = 1 if gemm.name in self._drafts else min(self.pim.spec.alus.n, self.max_tokens)
            whole, columns, weights = self.pim.k_split, np.array([gemm.n]), []
            for split in (whole, whole | {gemm.name}):
                self.pim.k_split = split
                latency_ns = self.makespan_ns(tokens, gemm, columns)
                weights.append(float(self._split_weight(tokens, gemm, columns, latency_ns)[0]))
            self.pim.k_split = split if weights[1] < weights[0] else whole

    def _split_in_vain(self) -> frozenset[str]:
        """Products whose k is shared although no copy of them lies whole on PIM ranks: none computes what is left over.

        Their weights would take up room in parts that are rounded up, and other products would have less of it.
        """
        whole = {p.gemm.name for p in self.placements if p.most == p.tiles}
        return self.pim.k_split - whole

    def _passes_of(self, placed: PlacedGemm) -> IntArray:
        """Tokens that a product may have to take at once: draft heads see the last accepted one only.

        An expert that is needed sees as many as are expected to be sent to it.
        """
        if (op := self._experts.get(placed.gemm.name)) is not None:
            return self._expected_loads(op, self._trees)
        return np.array([1]) if placed.gemm.name in self._drafts else self._trees

    def _expected_loads(self, op: ExpertGemm, trees: IntArray) -> IntArray:
        """Tokens that an expert to which any is sent gets of some trees, rounded: int64 [loads], ascending."""
        needed = replace(op, tokens=trees).distinct
        return np.unique(np.rint(trees * op.top_k / needed).astype(np.int64))

    @abstractmethod
    def _stored_products(self) -> list[Gemm]:
        """Every product that has weights in memory, with the copies of them."""

    def gemm_splits(self, op: Gemm) -> list[GemmSplit]:
        """The best allowed split of each placement of a product, for every entry of ``op.tokens``.

        Of copies that do not all run, as draft heads, the first ones do; of networks that draft a level each one does.

        Raises:
            InputError: The model was placed without the product, which would cost nothing.
        """
        self.pim.check_precision(op)
        all_copies = [p for p in self.placements if p.gemm.name == op.name]
        placements = first_copies(all_copies, op.copies)
        if sum(p.gemm.count for p in placements) < op.copies:
            raise InputError(f"product '{op.name}' has no place in memory: '{self.model.name}' was placed without it")
        if not self._has_tables(op.tokens):
            return [self._best_split(op.tokens, p, or_npu_alone=True) for p in placements]
        if self.profile is None or op.name in self._drafts:
            by_size = [self._splits_by_size(p, or_npu_alone=True) for p in placements]
        else:
            if not self._split_of:
                self._decide_splits(self.profile)
            by_size = [self._split_of[p] for p in all_copies[: len(placements)]]
        at = np.asarray(op.tokens) - 1
        found = zip(placements, by_size, strict=True)
        return [GemmSplit(p, columns[at], latency_ns[at]) for p, (columns, latency_ns) in found]

    def _has_tables(self, tokens: Count) -> bool:
        """Whether so many tokens are no more than tables have."""
        most: int = tokens if isinstance(tokens, int) else tokens.max(initial=0)
        return most <= self.max_tokens

    def _forget_splits(self) -> None:
        """Decide anew: other columns lie elsewhere now, and attention is held against products."""
        self._split_of, self._products, self._heads_over = {}, np.zeros((2, self.max_tokens)), {}

    def _of_products(self, profile: EnergyProfile) -> FloatArray:
        """Time and energy of all products of a step, for each size: float64 [2, sizes]."""
        if not self._split_of:
            self._decide_splits(profile)
        return self._products

    def _decide_splits(self, profile: EnergyProfile) -> None:
        """Decide for all products of a step, those whose costs fall least first: theirs bound what a step may cost."""
        sizes = np.arange(1, self.max_tokens + 1)
        verified = {op.name for op in verify_operators(self.model, 1, 0) if isinstance(op, Gemm)}
        found: list[tuple[float, int, PlacedGemm, SplitBySize, FloatArray]] = []
        for placed in (p for p in self.placements if p.gemm.name not in self._drafts):
            own = self._splits_by_size(placed, or_npu_alone=True)
            costs = self._of_copies(placed, own[0])
            falls_pj = float(np.maximum(-np.diff(costs[1]), 0.0).sum())
            found.append((falls_pj, len(found), placed, own, costs))
        for *_, placed, own, own_costs in sorted(found, key=lambda one: one[:2]):
            together = self.weighs_whole_steps and placed.gemm.name in verified  # experts' sizes are not those of trees
            beside = together * self._products
            self._split_of[placed], costs = own, own_costs
            if (np.diff(costs + beside) < 0).any():
                tiles = self._tiles(placed, or_npu_alone=True)
                columns = np.minimum(tiles * placed.tile_columns, placed.gemm.n)
                each = self._of_copies(placed, columns[:, None])
                chosen = no_dearer_than_larger(np.searchsorted(columns, own[0]), *(each + beside[:, None]))
                latency_ns = self._tiled(placed).latency_ns[sizes - 1, tiles[chosen]]
                self._split_of[placed], costs = (columns[chosen], latency_ns), each[:, chosen, sizes - 1]
            self._products += together * costs
        self._memo.splits_of[self._splits_key] = self._split_of, self._products, self._heads_over

    @property
    def _splits_key(self) -> Key:
        """What splits of one machine and model depend on."""
        return *self.placements, self.kv_on_dram

    def _of_copies(self, placed: PlacedGemm, pim_columns: IntArray) -> FloatArray:
        """Time and energy of all copies, for each size: float64 [2, ..., sizes]; with a profile."""
        table, at = self._tiled(placed), (np.arange(self.max_tokens), ceil_div(pim_columns, placed.tile_columns))
        assert table.energy_pj is not None
        return np.stack([table.latency_ns[at], table.energy_pj[at]]) * placed.gemm.count

    def _best_split(self, tokens: Count, placed: PlacedGemm, or_npu_alone: bool = False) -> GemmSplit:
        """The fastest split; placement is decided without the way out that the NPU alone can read every rank."""
        if not self._has_tables(tokens):
            return GemmSplit(placed, *self._best_beyond(tokens, placed, self._tiles(placed, or_npu_alone)))
        columns, latency_ns = self._splits_by_size(placed, or_npu_alone)
        at = np.asarray(tokens) - 1
        return GemmSplit(placed, columns[at], latency_ns[at])

    def _splits_by_size(self, placed: PlacedGemm, or_npu_alone: bool = False) -> SplitBySize:
        """Columns on PIM of the fastest split of 1, 2, ... tokens, int64 [sizes], and its time, float64 [sizes]."""
        key = *self._shape_of(placed), placed.fewest, placed.most, or_npu_alone
        known = self._memo.best_of
        if key not in known:
            sizes = np.arange(self.max_tokens)
            best = self._best_tiles(sizes + 1, placed, or_npu_alone)
            latency_ns = self._tiled(placed).latency_ns[sizes, best]
            known[key] = np.minimum(best * placed.tile_columns, placed.gemm.n), latency_ns
        return known[key]

    def _tiles(self, placed: PlacedGemm, or_npu_alone: bool) -> IntArray:
        """Tiles on PIM that are tried, ascending; also none of them, where the NPU may take all."""
        tiles = self.allowed_tiles(placed)
        if type(self).allowed_tiles is not ProductSplits.allowed_tiles:
            tiles = checked_tiles(tiles, placed, type(self))
        return np.concatenate([[0], tiles]) if or_npu_alone and tiles[0] else tiles

    def _best_beyond(self, tokens: Count, placed: PlacedGemm, tiles: IntArray) -> tuple[IntArray, FloatArray]:
        """Columns on PIM of the fastest split into so many tiles, and its time, of more tokens than tables have."""
        columns, each = np.minimum(tiles * placed.tile_columns, placed.gemm.n), np.asarray(tokens)[..., None]
        latency_ns = self.makespan_ns(each, placed.gemm, columns)
        best = _last_least(self._split_weight(each, placed.gemm, columns, latency_ns))
        return columns[best], np.take_along_axis(latency_ns, best[..., None], -1)[..., 0]

    def _least_ns(self, tokens: int, placed: PlacedGemm) -> float:
        """Time of one copy by its best split; where room is short the same are asked for again and again."""
        key = tokens, placed.gemm.name, placed.gemm.k, placed.gemm.n, placed.fewest, placed.most
        if key not in self._memo.least_of:
            self._memo.least_of[key] = self._least_of(tokens, placed)
        return self._memo.least_of[key]

    def _least_of(self, tokens: int, placed: PlacedGemm) -> float:
        if tokens > self.max_tokens:
            return float(self._best_split(tokens, placed).latency_ns)
        (best,) = self._best_tiles(np.array([tokens]), placed).tolist()
        return float(self._tiled(placed).latency_ns[tokens - 1, best])

    def _best_tiles(self, tokens: IntArray, placed: PlacedGemm, or_npu_alone: bool = False) -> IntArray:
        """Tiles on PIM of the fastest split of some numbers of tokens that tables have: int64 [tokens]."""
        tiles = self._tiles(placed, or_npu_alone)
        best: IntArray = tiles[_last_least(self._tile_weight(self._tiled(placed), tokens - 1)[:, tiles])]
        return best

    def _split_weight(self, tokens: Count, gemm: Gemm, pim_columns: IntArray, latency_ns: FloatArray) -> FloatArray:
        """What the split of one copy minimises: time."""
        return latency_ns

    def _tile_weight(self, table: TiledProduct, sizes: IntArray) -> FloatArray:
        """The same of a table, for some of its sizes by their places: float64 [sizes, tiles + 1]."""
        weight: FloatArray = table.latency_ns[sizes]
        return weight

    def allowed_tiles(self, placed: PlacedGemm) -> IntArray:
        """Numbers of tiles that PIM may compute, ascending; the split tries them all: int64 [choices]."""
        return np.arange(placed.fewest, placed.most + 1)

    def _split_events(self, op: Gemm, placed: PlacedGemm, pim_columns: IntArray, copies: int) -> Activity:
        """``_split_activity`` of whole tiles and so many copies, looked up where the same may be asked for again."""
        if not self._has_tables(op.tokens):
            return self._split_activity(replace(placed.gemm, count=1, tokens=op.tokens), pim_columns) * float(copies)
        return self._tiled(placed).activity(op.tokens, ceil_div(pim_columns, placed.tile_columns), copies)

    def _tiled(self, placed: PlacedGemm) -> TiledProduct:
        """The table of a product, made together with those of all others; those of one shape share it."""
        shape, tables = self._shape_of(placed), self._memo.tables
        if shape not in tables:
            for one in (placed, *self._whole):
                self.pim.check_precision(one.gemm)
            tables |= tabulate(
                {shape, *map(self._shape_of, self._whole)} - tables.keys(), self.max_tokens, self._priced
            )
        return tables[shape]

    def _priced(self, op: Gemm, pim_columns: IntArray) -> Priced:
        """Time, events and energy of one copy of products when PIM computes some columns, as tables have them."""
        on_pim, npu_columns = self.pim.product(op, pim_columns), op.n - pim_columns
        npu_bytes = self.npu.gemm_read_bytes(op, npu_columns)
        npu_ns = self.npu.gemm_compute_ns(op.tokens, op.k, npu_columns)
        latency_ns = np.maximum(self._beside_ns(on_pim, npu_bytes), npu_ns)
        events = off_chip_read(npu_bytes) + self.npu.gemm_on_chip(op, npu_columns)
        events += self.pim.activity(on_pim) + self.pim.added(op, pim_columns)
        cost, profile = Cost(latency_ns, events), self._pricing_profile
        return cost, None if profile is None else self._energy_pj(cost, profile)

    @property
    def _pricing_profile(self) -> EnergyProfile | None:
        """What energy of products is counted by, where anything hangs on it."""
        return self.profile

    def _least_products_ns(self, products: Sequence[Gemm]) -> list[float]:
        """Time of all copies of each product by the best of all splits, wherever its weights lie."""
        shapes = [self._shape(op, self._tile_columns(op)) for op in products]
        least_ns = [0.0] * len(products)
        for places in alike(shapes):
            tokens = np.array([products[i].tokens for i in places])
            one, columns, parts = side_by_side([shapes[i] for i in places], tokens)
            each_ns = self.makespan_ns(one.tokens, one, columns)
            for i, part in zip(places, parts, strict=True):
                least_ns[i] = products[i].count * float(each_ns[part].min())
        return least_ns

    def _tile_columns(self, gemm: Gemm) -> int:
        """Columns of a product that go to one side together: those that all computing PIM dies take at once."""
        return format_of(gemm).lanes(self.pim.tile_columns)

    def _shape_of(self, placed: PlacedGemm) -> Shape:
        return self._shape(placed.gemm, placed.tile_columns)

    def _shape(self, gemm: Gemm, tile_columns: int) -> Shape:
        shares_k = gemm.name if gemm.name in self.pim.k_split and self.pim.may_split_k(gemm.k) else ""
        return Shape(gemm.stored, gemm.activation_bits, shares_k, gemm.k, gemm.n, tile_columns)

    def makespan_ns(self, tokens: Count, gemm: Gemm, pim_columns: Count) -> FloatArray:
        """Time of one copy of a product when PIM computes its first ``pim_columns`` columns, ns."""
        npu_columns = gemm.n - pim_columns
        npu_ns = self.npu.product_compute_ns(replace(gemm, tokens=tokens), npu_columns)
        npu_bytes = self.npu.gemm_read_bytes(replace(gemm, tokens=tokens), npu_columns)
        on_pim = self.pim.product(replace(gemm, tokens=tokens), pim_columns)
        beside_ns = self._beside_ns(on_pim, npu_bytes)
        return np.asarray(np.maximum(beside_ns, npu_ns))


def _last_least(weight: FloatArray) -> IntArray:
    """Place of the least along the last axis; of equals the last, the most columns on PIM, where a bit costs least."""
    best: IntArray = weight.shape[-1] - 1 - weight[..., ::-1].argmin(axis=-1)
    return best
