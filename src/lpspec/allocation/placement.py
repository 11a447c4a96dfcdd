"""Where the columns of every weight matrix lie in a hybrid package, within the capacity of its ranks.

PIM ranks hold the first columns of a matrix and the DRAM rank the last ones. Columns that both hold can be computed
on either side, so a split can change from one step to the next without moving anything. Columns are dealt in tiles:
the outputs that all computing PIM dies take at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from lpspec.llm.counts import ceil_div
from lpspec.llm.operators import Gemm


@dataclass(frozen=True, slots=True)
class PlacedGemm:
    """Identical copies of a product, with the range that its split may take.

    Attributes:
        gemm: The product; ``gemm.count`` copies share this placement.
        tile_columns: Columns of a tile; the last tile may be narrower.
        fewest: Fewest tiles that PIM must compute: the others lie on the DRAM rank too.
        most: Most tiles that PIM can compute: those that lie on PIM ranks.
    """

    gemm: Gemm
    tile_columns: int
    fewest: int
    most: int

    @property
    def tiles(self) -> int:
        """Tiles of the whole product."""
        return ceil_div(self.gemm.n, self.tile_columns)

    def columns(self, tiles: int) -> int:
        """Columns of the first ``tiles`` tiles."""
        return min(tiles * self.tile_columns, self.gemm.n)

    def tile_bytes(self, tile: int) -> int:
        """Bytes of one tile (counted from zero) of one copy."""
        return (self.columns(tile + 1) - self.columns(tile)) * self.gemm.column_bytes

    @property
    def dram_bytes(self) -> int:
        """Bytes of all copies on the DRAM rank."""
        return self.gemm.count * (self.gemm.n - self.columns(self.fewest)) * self.gemm.column_bytes


class NoRoomError(Exception):
    """Nothing is left to give up, and yet the ranks are too small."""


Loss = Callable[[PlacedGemm], float]
"""Time lost per copy, ns, by the next tile given up; infinite when there is none."""


def give_up_pim_tiles(placed: list[PlacedGemm], excess_bytes: int, loss: Loss) -> list[PlacedGemm]:
    """Take tiles off PIM ranks until ``excess_bytes`` are gone, cheapest loss of time per byte first.

    A tile given up must then be computed by the NPU. Raises NoRoomError when nothing is left to give up.
    """

    def shrink(p: PlacedGemm) -> PlacedGemm:
        return replace(p, most=p.most - 1, fewest=min(p.fewest, p.most - 1))

    return _give_up(placed, excess_bytes, loss, lambda p: p.tile_bytes(p.most - 1), shrink)


def give_up_dram_tiles(placed: list[PlacedGemm], excess_bytes: int, loss: Loss) -> list[PlacedGemm]:
    """Take copies of tiles off the DRAM rank until ``excess_bytes`` are gone, cheapest loss per byte first.

    A tile given up must then be computed by PIM. Raises NoRoomError when nothing is left to give up.
    """

    def shrink(p: PlacedGemm) -> PlacedGemm:
        return replace(p, fewest=p.fewest + 1)

    return _give_up(placed, excess_bytes, loss, lambda p: p.tile_bytes(p.fewest), shrink)


def _give_up(
    placed: list[PlacedGemm],
    excess_bytes: int,
    loss: Loss,
    next_tile_bytes: Callable[[PlacedGemm], int],
    shrink: Callable[[PlacedGemm], PlacedGemm],
) -> list[PlacedGemm]:
    """Greedy by loss per byte. Copies are given up one by one, so a product may end in two placements."""
    kept: list[PlacedGemm] = []
    queue: list[tuple[float, int, PlacedGemm]] = []
    serial = 0  # breaks ties in the order of execution

    def enqueue(p: PlacedGemm) -> None:
        nonlocal serial
        lost_ns = loss(p)
        if lost_ns == float("inf"):
            kept.append(p)
        else:
            heappush(queue, (lost_ns / next_tile_bytes(p), serial, p))
        serial += 1

    for p in placed:
        enqueue(p)
    heapify(queue)
    while excess_bytes > 0:
        if not queue:
            raise NoRoomError
        _, _, p = heappop(queue)
        size = next_tile_bytes(p)
        copies = min(p.gemm.count, ceil_div(excess_bytes, size))
        excess_bytes -= copies * size
        enqueue(shrink(_with_copies(p, copies)))
        if copies < p.gemm.count:
            kept.append(_with_copies(p, p.gemm.count - copies))
    return kept + [p for _, _, p in queue]


def first_copies(placed: list[PlacedGemm], count: int) -> list[PlacedGemm]:
    """The placements of the first ``count`` copies of a product."""
    kept: list[PlacedGemm] = []
    for p in placed:
        copies = min(p.gemm.count, count)
        if copies:
            kept.append(_with_copies(p, copies))
        count -= copies
    return kept


def _with_copies(p: PlacedGemm, copies: int) -> PlacedGemm:
    return p if p.gemm.count == copies else replace(p, gemm=replace(p.gemm, count=copies))
