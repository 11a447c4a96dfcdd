"""Where the KV cache lies in the banks of one channel's PIM ranks, and how it grows with the context.

A head's keys are weights of QK^T (k runs over head_dim, every key is an output), its values are weights of PV (every
key is a k). So a new token adds one lane of head_dim columns to the keys, and one column of a row to the values.
"""

from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.dram.pim.weights import Cells, PimChannel, Tile, Unit, blocks_of
from lpspec.errors import InputError

_Index = TypeVar("_Index", int, IntArray)
_Positions: TypeAlias = int | IntArray


@dataclass(frozen=True)
class HeadMatrices:
    """Matrices K x N of several heads, ``per_die`` of them sharing a die, each on one rank.

    Every head of a die has the same number of MPUs; its outputs go on in further units where they don't suffice.
    """

    channel: PimChannel
    heads: int
    k: int
    n: int
    start_row: int
    per_die: int

    @cached_property
    def _mpus(self) -> int:
        """MPUs of each head."""
        return self.channel.mpus // self.per_die

    @property
    def units_per_group(self) -> int:
        """Units that the heads of one die take, one after the other."""
        return -(-self.n // (self._mpus * self.channel.lanes))

    @property
    def rows(self) -> int:
        """Rows of each bank that they take."""
        dies = self.channel.concurrent
        tile, within = divmod(self.heads - 1, dies * self.per_die)
        groups = tile * dies + min(within + 1, dies)
        turns = -(-groups // len(self.channel.pim_ranks))
        return turns * self.units_per_group * self.channel.rows(self.k)

    def tiles(self, k: int, n: int) -> list[Tile]:
        """Tiles of the product with the first ``k`` x ``n`` of every head.

        Raises:
            InputError: The matrix of a head is smaller.
        """
        if not (1 <= k <= self.k and 1 <= n <= self.n):
            raise InputError(f"{k} x {n} of a head's matrix: allowed is 1 x 1 to {self.k} x {self.n}")
        groups: dict[int, list[int]] = {}
        for head in range(self.heads):
            groups.setdefault(self._share(head)[0], []).append(head)
        dies = [groups[key] for key in sorted(groups)]
        slots = range(-(-n // (self._mpus * self.channel.lanes)))
        tiles: list[Tile] = []
        for first in range(0, len(dies), self.channel.concurrent):
            together = dies[first : first + self.channel.concurrent]
            tiles += [tuple(self._unit(heads, slot, k, n) for heads in together) for slot in slots]
        return tiles

    def write_column(self, cells: Cells, head: int, column: int, values: NDArray[np.int8]) -> None:
        """Write one output column of a head, int8 [k]."""
        block, lane = divmod(column, self.channel.lanes)
        slot, mpu = divmod(block, self._mpus)
        rank, first_row = self._place(head, slot)
        bank, row, place = self._within(np.arange(len(values)))
        cells[rank, self._first_mpu(head) + mpu, bank, first_row + row, place, lane] = values

    def write_row(self, cells: Cells, head: int, k: int, values: NDArray[np.int8]) -> None:
        """Write one k of a head, int8 [n]."""
        bank, row, place = self._within(k)
        for first in range(0, len(values), self.channel.lanes):
            slot, mpu = divmod(first // self.channel.lanes, self._mpus)
            rank, first_row = self._place(head, slot)
            part = values[first : first + self.channel.lanes]
            cells[rank, self._first_mpu(head) + mpu, bank, first_row + row, place, : len(part)] = part

    def column_places(self, heads: IntArray, column: int) -> IntArray:
        """Where one output column of some heads lies: int64 [heads * k, 4] of rank, flat bank, row, column (bursts)."""
        slot, mpu = divmod(column // self.channel.lanes, self._mpus)
        return self._places(heads, slot, mpu, np.arange(self.k))

    def row_places(self, heads: IntArray, k: IntArray) -> IntArray:
        """Where some k of some heads lie: the same for each block of 32 outputs."""
        blocks = (divmod(block, self._mpus) for block in range(-(-self.n // self.channel.lanes)))
        return np.concatenate([self._places(heads, slot, mpu, k) for slot, mpu in blocks])

    def _places(self, heads: IntArray, slot: int, mpu: int, k: IntArray) -> IntArray:
        each = heads[:, None]
        rank, first_row = self._place(each, slot)
        bank, row, place = self._within(k)
        flat = (self._first_mpu(each) + mpu) * self.channel.banks_per_mpu + bank
        found = np.empty((len(heads), len(k), 4), np.int64)
        for i, field in enumerate((rank, flat, first_row + row, place)):
            found[..., i] = field
        return found.reshape(-1, 4)

    def _unit(self, heads: list[int], slot: int, k: int, n: int) -> Unit:
        first = slot * self._mpus * self.channel.lanes
        count = min(self._mpus * self.channel.lanes, n - first)
        blocks = [b for h in heads for b in blocks_of(self.channel, h, first, count, self._first_mpu(h))]
        rank, row = self._place(heads[0], slot)
        return Unit(rank, row, 0, k, tuple(blocks), tuple(heads))

    def _share(self, head: _Index) -> tuple[_Index, _Index]:
        """Number of the group, and share of its die.

        Heads go to all dies that compute at once before any of these takes a second one.
        """
        dies = self.channel.concurrent
        tile, within = head // (dies * self.per_die), head % (dies * self.per_die)
        return tile * dies + within % dies, within // dies

    def _place(self, head: _Index, slot: int) -> tuple[_Index, _Index]:
        """Rank, and first row in every bank."""
        group, ranks = self._share(head)[0], self.channel.pim_ranks
        row = self.start_row + (group // len(ranks) * self.units_per_group + slot) * self.channel.rows(self.k)
        number = group % len(ranks)
        return ranks[number] if isinstance(number, int) else np.array(ranks)[number], row

    def _first_mpu(self, head: _Index) -> _Index:
        return self._share(head)[1] * self._mpus

    def _within(self, k: _Index) -> tuple[_Index, _Index, _Index]:
        """Bank of the MPU, row from the first, and column of some k."""
        width, banks = self.channel.columns, self.channel.banks_per_mpu
        return k // width % banks, k // width // banks, k % width


@dataclass(frozen=True, slots=True)
class KvPlacement:
    """Keys and values of some heads of one layer on one channel, with room for ``max_keys`` positions.

    A head's keys are a matrix of head_dim x keys whose columns are added one by one; its values one of keys x head_dim,
    whose rows are. All of a head lies on one rank, so ranks work on different heads at once. All MPUs of a die get
    the same inputs, so heads that share a die also share its tokens: each ALU computes for all of them, and what it
    computed with another head's inputs is not read. Heads share a die as far as their outputs fit into its MPUs: for
    values that is head_dim, for keys it is ``key_heads_per_die`` by choice, since keys grow.

    Where heads are too few for the ranks, ``parts`` deals the positions of each head out to so many dies, 64 by 64 (a
    row of values): matrices of the programs are then parts, head by head, with scores side by side and results to add.

    Attributes:
        channel: The ranks.
        heads: Key-value heads on this channel.
        head_dim: Width of a head.
        max_keys: Positions that there is room for.
        start_row: First row in every bank.
        key_heads_per_die: Heads (or parts of heads) whose keys share the MPUs of a die.
        parts: Dies over which the positions of one head are dealt.
        value_dim: Width of a value; None for that of a key.
    """

    channel: PimChannel
    heads: int
    head_dim: int
    max_keys: int
    start_row: int = 0
    key_heads_per_die: int = 1
    parts: int = 1
    value_dim: int | None = None

    def __post_init__(self) -> None:
        """Refuse a cache that is none, or that goes beyond the banks."""
        for name in ("heads", "head_dim", "max_keys", "parts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: allowed is at least 1")
        if not 1 <= self.key_heads_per_die <= self.channel.mpus:
            raise InputError(f"key_heads_per_die is {self.key_heads_per_die}: allowed is 1 to {self.channel.mpus}")
        self.channel.check_rows(self.start_row, self.rows)

    @property
    def keys(self) -> HeadMatrices:
        """Where the keys lie: head_dim x max_keys for each head."""
        room = self.part_keys(self.max_keys)
        return HeadMatrices(self.channel, self.matrices, self.head_dim, room, self.start_row, self.key_heads_per_die)

    @property
    def values(self) -> HeadMatrices:
        """Where the values lie: max_keys x head_dim for each head."""
        channel, start, room = self.channel, self.start_row + self.keys.rows, self.part_keys(self.max_keys)
        per_die = max(1, min(channel.mpus // -(-self.value_width // channel.lanes), self.matrices))
        return HeadMatrices(channel, self.matrices, room, self.value_width, start, per_die)

    @property
    def value_width(self) -> int:
        """Width of a value."""
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def matrices(self) -> int:
        """Matrices of keys, and of values: the parts of all heads."""
        return self.heads * self.parts

    def part_keys(self, keys: int) -> int:
        """Positions of the fullest part of a head with so many keys."""
        return part_positions(keys, self.parts, self.channel.columns)

    @property
    def rows(self) -> int:
        """Rows of each bank that the cache takes."""
        return self.keys.rows + self.values.rows

    @property
    def end_row(self) -> int:
        """First row behind it."""
        return self.start_row + self.rows

    def append_places(self, position: int, tokens: int, keys_only: bool = False) -> IntArray:
        """The bursts that appending tokens writes: int64 [bursts, 4] of rank, flat bank, row, column.

        Banks take turns, each row by row, so that every row is opened once and bank groups alternate where they can.

        Args:
            position: Of the first token.
            tokens: How many.
            keys_only: Those of keys alone, whose lanes other positions share.
        """
        parts, positions = self._dealt(np.arange(position, position + tokens))
        lanes = self.channel.lanes
        blocks = list(dict.fromkeys(zip(parts.tolist(), (positions // lanes).tolist(), strict=True)))
        dealt = [positions[parts == part] for part in range(self.parts)]
        keys, values = self.keys, self.values

        first = np.arange(self.heads) * self.parts
        columns = [keys.column_places(first + part, block * lanes) for part, block in blocks]
        rows = [values.row_places(first + part, places) for part, places in enumerate(dealt) if len(places)]
        places = np.concatenate(columns if keys_only else columns + rows)
        organisation = self.channel.device.organisation
        banks = self.channel.ranks * organisation.banks
        bank = places[:, 0] * organisation.banks + places[:, 1]
        by_row = np.argsort((bank * organisation.rows.n + places[:, 2]) * self.channel.columns + places[:, 3])
        first = np.concatenate([[0], np.cumsum(np.bincount(bank, minlength=banks))])
        turn = np.empty_like(bank)
        turn[by_row] = np.arange(len(places)) - first[bank[by_row]]
        return places[np.argsort(turn * banks + bank)]

    def write(self, cells: Cells, position: int, keys: NDArray[np.int8], values: NDArray[np.int8]) -> None:
        """Append new tokens to the cache: int8 [heads, tokens, head_dim] each, from ``position`` on.

        Raises:
            InputError: The cache has no room at these positions.
        """
        tokens = keys.shape[1]
        if position < 0 or position + tokens > self.max_keys:
            raise InputError(
                f"positions {position} to {position + tokens - 1}: the cache has room for 0 to {self.max_keys - 1}"
            )
        parts, places = self._dealt(np.arange(position, position + tokens))
        for head in range(self.heads):
            for at, (part, place) in enumerate(zip(parts.tolist(), places.tolist(), strict=True)):
                self.keys.write_column(cells, head * self.parts + part, place, keys[head, at])
                self.values.write_row(cells, head * self.parts + part, place, values[head, at])

    def _dealt(self, positions: IntArray) -> tuple[IntArray, IntArray]:
        """Part of each position, and its place there."""
        width = self.channel.columns
        row = positions // width
        return row % self.parts, row // self.parts * width + positions % width


@overload
def part_positions(positions: int, parts: int, width: int) -> int: ...
@overload
def part_positions(positions: _Positions, parts: int, width: int) -> _Positions: ...
def part_positions(positions: _Positions, parts: int, width: int) -> _Positions:
    """Positions of the part that has the most, of so many dealt out ``width`` by ``width``."""
    rows, rest = positions // width, positions % width
    most: _Positions = -(-rows // parts) * width + rest * (rows % parts == 0)
    return most


def parts_for(heads: int, concurrent: int) -> int:
    """Into how many parts the heads of a channel are best dealt, so that few of them leave no die idle."""
    return 1 if heads >= 2 * concurrent else concurrent // gcd(heads, concurrent)
