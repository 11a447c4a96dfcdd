"""What the NPU reads beside a PIM program: consecutive bursts of plain ranks, said in a few numbers."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.run.address_mapping import AddressMapping, address_mapping, divided
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

KEPT_BURSTS = 1 << 16
"""Bursts of the tables that are kept from one stream to the next."""

ONE_RANK = "ro-ba-co-bg"
"""Consecutive bursts take turns over the bank groups, then go over the columns of a row, then over the banks of a
group, then over rows, so that every row is opened while others stream."""


@dataclass(frozen=True)
class ReadStream:
    """Reads of consecutive bursts, as many as fit into the queue at any time.

    Args:
        rank: Rank; of several that the mapping has, the last, which comes first.
        bursts: How many.
        row: First row of every bank.
        at: CK at which they come.
        mapping: Where bursts of the channel lie; by default in one rank as ``ONE_RANK``.
    """

    rank: int
    bursts: int
    row: int = 0
    at: int = 0
    mapping: AddressMapping | None = None

    def __post_init__(self) -> None:
        """Refuse what is no stream."""
        if self.bursts < 0:
            raise InputError(f"bursts is {self.bursts}: allowed is at least 0")

    def requests(self, device: DieSpec) -> IntArray:
        """The same as requests: int64 [bursts, 5] of CK, 0, bank of the channel, row, column."""
        return self.shared_requests(device).copy()

    def shared_requests(self, device: DieSpec) -> IntArray:
        """The same, perhaps a part of what others get: not to be written to."""
        mapping = self.mapping or _one_rank(device)
        if self.bursts > KEPT_BURSTS:
            return _table(self, mapping)
        if not self.bursts:
            return np.zeros((0, 5), np.int64)
        return _kept_table(replace(self, bursts=KEPT_BURSTS), mapping)[: self.bursts]


def _one_rank(device: DieSpec) -> AddressMapping:
    return address_mapping(ONE_RANK, device, 1, 1)


@lru_cache(maxsize=16)
def _kept_table(stream: ReadStream, mapping: AddressMapping) -> IntArray:
    """Of which shorter streams are the beginning."""
    table = _table(stream, mapping)
    table.flags.writeable = False
    return table


def _table(stream: ReadStream, mapping: AddressMapping) -> IntArray:
    _, addresses = divided(np.arange(stream.bursts) * mapping.burst_bytes, mapping.capacity_bytes)
    places = mapping.places(addresses)
    groups, banks = mapping.banks
    found = np.zeros((stream.bursts, 5), np.int64)
    found[:, 0] = stream.at
    rank, bank = divided(places.bank, groups * banks)
    found[:, 2] = (stream.rank - rank) * groups * banks + bank
    found[:, 3] = stream.row + places.row
    found[:, 4] = places.column
    return found
