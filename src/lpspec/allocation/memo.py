"""What allocators of one machine and model have computed, kept from run to run: contexts differ, splits do not."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from lpspec.allocation.head_tables import HeadTable
from lpspec.allocation.placement import PlacedGemm
from lpspec.allocation.tiled_products import Shape, TiledProduct
from lpspec.arrays import FloatArray, IntArray
from lpspec.llm.operators import Attention

MOST_MACHINES = 16
"""Machines that are remembered, those used last; each takes a few MB beside its prices."""

MOST_PLACEMENTS = 2
"""Placements of one machine whose prices are kept, those used last; each takes some 5 MB for a thousand contexts."""

Key: TypeAlias = tuple[Hashable, ...]

SplitBySize: TypeAlias = tuple[IntArray, FloatArray]
"""Columns on PIM of 1, 2, ... tokens, int64 [sizes], and the time of one copy, float64 [sizes]."""

Splits: TypeAlias = tuple[dict[Any, SplitBySize], FloatArray, dict[Attention, dict[int, tuple[FloatArray, IntArray]]]]
"""How a placement of the weights is divided: each product, by size; time and energy of all products of a step, float64
[2, sizes]; and time of a layer of attention with heads on PIM, by size, for each number of keys."""


@dataclass
class Memo:
    """What was computed for one machine and model.

    Attributes:
        prepared: What an allocator has computed before it places anything, by attribute.
        tables: Costs of products by shape.
        best_of: Best splits of these, columns on PIM and time by size.
        least_of: Time of one copy of a product by its best split.
        wanted_of: Tiles that PIM should have.
        wanted_by_npu: Placements with copies of all that the NPU wants.
        placed: Placements, and whether the DRAM rank holds the cache too, by the most tokens of that.
        fitted: Placements with copies that fit, by those wanted and the bytes that are too many.
        longest_kv: Most tokens of the cache for which there is room, once more were asked for; -1 for none.
        least_of_products: Least time of those of a step of so many tokens, with so many PIM ranks at once.
        npu_alone: Time of what only the NPU computes of a step, by its tokens and the most tokens of the cache.
        heads_of: Costs of a layer of attention by heads on PIM, a table for each number of keys and the row in it; of
            each kind of layers, with or without a copy of the cache on the DRAM ranks.
        splits_of: By placement.
        drafts_of: What drafts cost, by where their products lie.
        prices_of: What steps cost by placement, as those who price them keep it, those used last.
    """

    prepared: dict[str, Any] = field(default_factory=dict)
    tables: dict[Shape, TiledProduct] = field(default_factory=dict)
    best_of: dict[Key, SplitBySize] = field(default_factory=dict)
    least_of: dict[Key, float] = field(default_factory=dict)
    wanted_of: dict[Key, int] = field(default_factory=dict)
    wanted_by_npu: dict[PlacedGemm, PlacedGemm] = field(default_factory=dict)
    placed: dict[int, tuple[list[PlacedGemm], bool]] = field(default_factory=dict)
    fitted: dict[Key, tuple[PlacedGemm, ...]] = field(default_factory=dict)
    longest_kv: int | None = None
    least_of_products: dict[Key, float] = field(default_factory=dict)
    npu_alone: dict[Key, float] = field(default_factory=dict)
    heads_of: dict[Key, dict[int, tuple[HeadTable, int]]] = field(default_factory=dict)
    splits_of: dict[Key, Splits] = field(default_factory=dict)
    drafts_of: dict[Key, dict[Hashable, Any]] = field(default_factory=dict)
    prices_of: dict[Key, dict[Hashable, Any]] = field(default_factory=dict)

    def kept_prices(self, placement: Key) -> dict[Hashable, Any]:
        """Room for what costs under a placement come to."""
        kept = self.prices_of.pop(placement, {})
        while len(self.prices_of) >= MOST_PLACEMENTS:
            del self.prices_of[next(iter(self.prices_of))]
        self.prices_of[placement] = kept
        return kept


@lru_cache(maxsize=MOST_MACHINES)
def memo_of(*_machine_and_model: Hashable) -> Memo:
    """The memo of a machine and model, described in full."""
    return Memo()
