"""What products cost by tokens and by tiles on PIM: those of one format are priced together, in the same few arrays."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost, Real
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Gemm
from lpspec.machine.energy_profile import EVENTS


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


@dataclass(frozen=True, eq=False)
class TiledProduct:
    """What one copy of a product costs by tokens, 1 and more, and by tiles on PIM, 0 to all: [tokens, tiles + 1].

    Attributes:
        latency_ns: float64, its time.
        events: Which events occur, by their places in ``Activity``.
        counts: float64 [events, tokens, tiles + 1], how often.
        energy_pj: float64, their energy and that of all dies meanwhile; None without a profile.
    """

    latency_ns: FloatArray
    events: tuple[int, ...]
    counts: FloatArray
    energy_pj: FloatArray | None

    def activity(self, tokens: Count, tiles: Count, copies: int) -> Activity:
        """Events of so many copies with some tiles on PIM, numbers or arrays of one shape."""
        counts: list[Real] = [0.0] * len(EVENTS)
        found = self.counts[:, np.asarray(tokens) - 1, tiles] * float(copies)
        for event, count in zip(self.events, found if found.ndim > 1 else found.tolist(), strict=True):
            counts[event] = count
        return Activity._make(counts)


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
        whole = sizes, len(columns)
        latency_ns = np.broadcast_to(cost.latency_ns, whole)
        events = tuple(i for i, count in enumerate(cost.activity) if np.any(count))
        counts = np.empty((len(events), *whole))
        for row, event in enumerate(events):
            counts[row] = cost.activity[event]
        for shape, part in zip(some, parts, strict=True):
            its_pj = None if energy_pj is None else np.broadcast_to(energy_pj, whole)[:, part]
            tables[shape] = TiledProduct(latency_ns[:, part], events, counts[..., part], its_pj)
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
