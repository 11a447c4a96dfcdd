"""What products cost by tokens and by tiles on PIM: those of one format are priced together, in the same few arrays."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost, each_count
from lpspec.llm.counts import ceil_div
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Gemm


class Shape(NamedTuple):
    """Of a product, all that its costs depend on.

    Attributes:
        shares_k: Its name, where PIM ranks share its k; else empty.
    """

    stored: WeightFormat
    activation_bits: int
    shares_k: str
    k: int
    n: int
    tile_columns: int

    @property
    def columns(self) -> IntArray:
        """Columns of 0, 1, ... tiles: int64 [tiles + 1]."""
        return np.minimum(np.arange(ceil_div(self.n, self.tile_columns) + 1) * self.tile_columns, self.n)


@dataclass
class TiledProduct:
    """What one copy of a product costs by tokens, 1 and more, and by tiles on PIM, 0 to all: [tokens, tiles + 1].

    Attributes:
        latency_ns: float64, its time.
        events: Its events, arrays or numbers.
        energy_pj: float64, their energy and that of all dies meanwhile; None without a profile.
        of_cell: Events by place, numbers, as far as they were asked for.
    """

    latency_ns: FloatArray
    events: Activity
    energy_pj: FloatArray | None
    of_cell: dict[tuple[int, int], Activity] = field(default_factory=dict)

    def events_at(self, cell: tuple[int, int]) -> Activity:
        """Events at one place, numbers; draft heads ask for the same again and again."""
        if cell not in self.of_cell:
            self.of_cell[cell] = each_count(self.events, lambda count: float(count[cell]))
        return self.of_cell[cell]


Priced = tuple[Cost, FloatArray | None]
"""Cost of one copy, and its energy, as for ``TiledProduct``."""


def tabulate(
    shapes: Iterable[Shape], sizes: int, price: Callable[[Gemm, IntArray], Priced]
) -> dict[Shape, TiledProduct]:
    """The tables of some products.

    Args:
        shapes: Of the products, each once.
        sizes: Most tokens.
        price: Prices copies of some products, their columns on PIM given: tokens are int64 [tokens, 1], and k, n and
            columns are int64 [columns], those of one product after those of another.
    """
    tables: dict[Shape, TiledProduct] = {}
    tokens = np.arange(1, sizes + 1)[:, None]
    for places in alike(listed := sorted(shapes)):
        some = [listed[i] for i in places]
        one, columns, parts = side_by_side(some, tokens)
        cost, energy_pj = price(one, columns)
        for shape, part in zip(some, parts, strict=True):
            tables[shape] = _part_of(cost, energy_pj, part, (sizes, len(columns)))
    return tables


def alike(shapes: Sequence[Shape]) -> list[list[int]]:
    """Places of those that are priced side by side: of one format; those whose k is shared have arrays of their own."""

    def kind(place: int) -> tuple[Any, ...]:
        return shapes[place][: 5 if shapes[place].shares_k else 3]

    return [list(places) for _, places in groupby(sorted(range(len(shapes)), key=kind), kind)]


def side_by_side(shapes: Sequence[Shape], tokens: IntArray) -> tuple[Gemm, IntArray, list[slice]]:
    """Copies of products beside each other, their columns on PIM, int64 [columns], and which are of which product.

    Args:
        shapes: Such as ``alike`` put together.
        tokens: int64 [tokens, 1], or [shapes] for as many as each has.
    """
    first, columns = shapes[0], [shape.columns for shape in shapes]
    counts = [len(each) for each in columns]
    ends = np.cumsum(counts).tolist()
    if tokens.ndim == 1:
        tokens = np.repeat(tokens, counts)
    k, n = first.k, first.n
    if not first.shares_k:
        k, n = (np.repeat([shape[i] for shape in shapes], counts) for i in (3, 4))  # type: ignore[assignment]
    one = Gemm(first.shares_k, 1, tokens, k, n, first.stored, first.activation_bits)
    parts = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
    return one, np.concatenate(columns), parts


def _part_of(cost: Cost, energy_pj: FloatArray | None, columns: slice, whole: tuple[int, int]) -> TiledProduct:
    """The table of one product of those in arrays that broadcast to ``whole``."""

    def part(values: FloatArray) -> FloatArray:
        return np.broadcast_to(values, whole)[:, columns]

    events = each_count(cost.activity, part)
    return TiledProduct(part(np.asarray(cost.latency_ns)), events, None if energy_pj is None else part(energy_pj))
