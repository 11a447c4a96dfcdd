"""Where every weight column and every key-value entry lies, rank by rank, at any moment of a run.

A column lies on the PIM ranks, on the DRAM ranks, or on both; whoever computes it must hold it. Columns go by blocks:
one tile of one copy of a product. On the PIM side the slices of a copy (outputs of one rank's MPUs) go to the ranks in
turn, beginning with the rank that has the least, so that none fills before the others; a slice takes its banks' rows
whole. The DRAM ranks are one linear memory. The cache belongs to the request being served and goes by whole heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lpspec.allocation.cache_room import CacheRoom, cache_rooms, room_bytes
from lpspec.allocation.placement import NoRoomError, PlacedGemm
from lpspec.arrays import BoolArray, IntArray
from lpspec.devices.pim import LpddrPim
from lpspec.devices.pim_format import format_of
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.operators import Attention
from lpspec.machine.platform_spec import MemorySpec

PIM, DRAM = 0, 1
"""The two sides, as indices."""


@dataclass(frozen=True)
class Blocks:
    """What there is to lay out, and the room for it. Ranks are the PIM ranks, then all DRAM ranks as the last one.

    Attributes:
        label: (product, copy, tile) of every block.
        content_bytes: int64 [blocks], weights in each.
        taken_bytes: int64 [sides, blocks, ranks], room that a block takes on the ranks of a side.
        cache: Room that keys and values take, for each kind of layers.
        room_bytes: int64 [ranks], what is left beside embedding, norms and biases.
    """

    label: tuple[tuple[str, int, int], ...]
    content_bytes: IntArray
    taken_bytes: IntArray
    cache: tuple[CacheRoom, ...]
    room_bytes: IntArray


class ColumnMap:
    """Which side holds which block, and how many tokens of the cache; what finds no room changes nothing.

    Attributes:
        blocks: What there is.
        held: bool [sides, blocks].
        kv_tokens: int64 [sides], tokens of the cache that each side holds up to date.
        kv_sides: bool [sides], which sides keep the cache.
        used_bytes: int64 [ranks], room taken on every rank.
    """

    def __init__(self, blocks: Blocks, held: BoolArray, kv_sides: Sequence[bool], tokens: int = 0) -> None:
        """Lay everything out.

        Raises:
            NoRoomError: A rank is too small.
        """
        self.blocks = blocks
        self.held = held.copy()
        self.kv_sides = np.array(kv_sides)
        self.kv_tokens: IntArray = self.kv_sides * np.int64(tokens)
        self.used_bytes: IntArray = blocks.taken_bytes[held].sum(axis=0) + room_bytes(blocks.cache, self.kv_tokens)
        if (self.free_bytes < 0).any():
            raise NoRoomError

    def copy(self) -> "ColumnMap":
        """A map of its own with the same content."""
        return ColumnMap(self.blocks, self.held, self.kv_sides.tolist(), self.context)

    @property
    def context(self) -> int:
        """Tokens of the request in the cache."""
        return int(self.kv_tokens.max())

    @property
    def free_bytes(self) -> IntArray:
        """Room left on every rank: int64 [ranks]."""
        return self.blocks.room_bytes - self.used_bytes

    def replicate(self, block: int, side: int) -> None:
        """Copy a block to a side that lacks it.

        Raises:
            NoRoomError: A rank of that side is too small.
        """
        if self.held[side, block]:
            return
        self._take(self.blocks.taken_bytes[side, block])
        self.held[side, block] = True

    def drop(self, block: int, side: int) -> None:
        """Give up the copy on a side. Raises ValueError where it is the only one: no column is ever lost."""
        if not self.held[1 - side, block]:
            raise ValueError(f"block {self.blocks.label[block]} lies nowhere else")
        if self.held[side, block]:
            self.held[side, block] = False
            self.used_bytes = self.used_bytes - self.blocks.taken_bytes[side, block]

    def append(self, tokens: int) -> None:
        """Add tokens to the cache on every side that keeps it, or on none.

        Raises:
            NoRoomError: The cache outgrows a rank.
        """
        after = self.kv_tokens + tokens * self.kv_sides
        self._take(room_bytes(self.blocks.cache, after) - room_bytes(self.blocks.cache, self.kv_tokens))
        self.kv_tokens = after

    def _take(self, added_bytes: IntArray) -> None:
        if (self.free_bytes < added_bytes).any():
            raise NoRoomError
        self.used_bytes = self.used_bytes + added_bytes


def lay_out(
    placed: Sequence[PlacedGemm], memory: MemorySpec, pim: LpddrPim, attention: Sequence[Attention], fixed: int
) -> Blocks:
    """Deal the blocks of all products to the ranks.

    Args:
        placed: Every product; which of its tiles lie where does not matter yet.
        memory: The package.
        pim: Its PIM dies.
        attention: One token's, for each kind of layers.
        fixed: Bytes that lie on the DRAM ranks come what may.
    """
    ranks = memory.pim_ranks.n
    split = frozenset(p.gemm.name for p in placed if p.gemm.name in pim.k_split and pim.may_split_k(p.gemm.k))
    deal = _Deal(ranks, pim.slice_columns, pim.spec.concurrent_ranks.n, pim.row_columns, split)
    label, content, taken = _dealt(tuple(placed), deal)
    rank_bytes = memory.dies_per_rank * memory.organisation.die_bytes
    return Blocks(
        label,
        content,
        taken,
        cache_rooms(attention, memory),
        np.array([rank_bytes] * ranks + [memory.dram_capacity_bytes - fixed], np.int64),
    )


class _Deal(NamedTuple):
    """How slices go to PIM ranks: of products that are ``split``, all that compute at once share the k of the last."""

    ranks: int
    slice_columns: int
    at_once: int
    row_columns: int
    split: frozenset[str]

    def taken_bytes(self, p: PlacedGemm, first: int) -> IntArray:
        """Room that each tile takes on every PIM rank, int64 [tiles, ranks]; the first slice lies on rank ``first``."""
        width = format_of(p.gemm).lanes(self.slice_columns)
        slices = ceil_div(_tiles_columns(p)[:, None], width)
        left = slices % self.at_once * (p.gemm.name in self.split)
        start, slice_bytes = np.arange(p.tiles)[:, None] * self.at_once + first, width * p.gemm.column_bytes
        whole, parts = self._in_turn(slices - left, start), self._in_turn(self.at_once, start + slices - left)
        rows = ceil_div(p.gemm.k, self.row_columns)
        part_bytes = ceil_div(slice_bytes * ceil_div(rows, self.at_once), rows)
        taken: IntArray = whole * slice_bytes + parts * (left * part_bytes)
        return taken

    def _in_turn(self, slices: Count, start: IntArray) -> IntArray:
        """How many of some slices lie on every rank, the first one on ``start``: int64 [tiles, ranks]."""
        behind = (np.arange(self.ranks) - start) % self.ranks
        return np.asarray((slices - behind + self.ranks - 1) // self.ranks)


@lru_cache(16)
def _dealt(placed: tuple[PlacedGemm, ...], deal: _Deal) -> tuple[tuple[tuple[str, int, int], ...], IntArray, IntArray]:
    """Label, content and taken room of every block, as in ``Blocks``; many machines deal the same ones alike."""
    label, tiles, on_pim = [], [], []
    load, rooms = np.zeros(deal.ranks, np.int64), {}
    for p, copy in _copies(placed):
        first = int(load.argmin())
        if (p, first) not in rooms:  # of the copies of a product many begin on the same rank
            rooms[p, first] = deal.taken_bytes(p, first)
        on_pim.append(rooms[p, first])
        load += on_pim[-1].sum(axis=0)
        label += [(p.gemm.name, copy, tile) for tile in range(p.tiles)]
        tiles.append(_tiles_bytes(p))
    content, taken = np.concatenate(tiles), np.zeros((2, len(label), deal.ranks + 1), np.int64)
    taken[PIM, :, :-1], taken[DRAM, :, -1] = np.concatenate(on_pim), content
    for array in (content, taken):
        array.flags.writeable = False
    return tuple(label), content, taken


def _tiles_bytes(p: PlacedGemm) -> IntArray:
    """Weights in each tile of a copy: int64 [tiles]."""
    return _tiles_columns(p) * p.gemm.column_bytes


def _tiles_columns(p: PlacedGemm) -> IntArray:
    """Columns of each tile: int64 [tiles]."""
    return np.diff(np.minimum(np.arange(p.tiles + 1) * p.tile_columns, p.gemm.n))


def held_blocks(placed: Sequence[PlacedGemm]) -> BoolArray:
    """Which side holds which block: bool [sides, blocks], in the order of ``lay_out``."""
    held = []
    for p in _by_name(placed):
        tile = np.arange(p.tiles)
        held.append(np.tile([tile < p.most, tile >= p.fewest], p.gemm.count))
    return np.concatenate(held, axis=1)


def _by_name(placed: Sequence[PlacedGemm]) -> list[PlacedGemm]:
    """Placements in the same order whatever they are: products by name."""
    return sorted(placed, key=lambda p: (p.gemm.name, p.most, p.fewest))


def _copies(placed: Sequence[PlacedGemm]) -> list[tuple[PlacedGemm, int]]:
    """Every copy of every product with its number, products by name: the same order for every placement."""
    numbered: dict[str, int] = {}
    found = []
    for p in _by_name(placed):
        first = numbered.get(p.gemm.name, 0)
        numbered[p.gemm.name] = first + p.gemm.count
        found += [(p, first + i) for i in range(p.gemm.count)]
    return found
