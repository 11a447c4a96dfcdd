"""What the NPU reads beside a PIM program: consecutive bursts of a DRAM rank, said in four numbers."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lpspec.arrays import IntArray
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

KEPT_BURSTS = 1 << 16
"""Bursts up to which tables are kept from one stream to the next."""


@dataclass(frozen=True)
class ReadStream:
    """Reads of consecutive bursts of one rank, as many as fit into the queue at any time.

    Consecutive bursts take turns over the bank groups, then go over the columns of a row, then over the banks of a
    group, then over rows, so that every row is opened while others stream.

    Args:
        rank: Rank.
        bursts: How many.
        row: First row of every bank.
        at: CK at which they come.
    """

    rank: int
    bursts: int
    row: int = 0
    at: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no stream."""
        if self.bursts < 0:
            raise InputError(f"bursts is {self.bursts}: allowed is at least 0")

    def requests(self, device: DieSpec) -> IntArray:
        """The same as requests: int64 [bursts, 5] of CK, 0, bank of the channel, row, column."""
        die = device.organisation
        organised = die.bank_groups.n, die.banks_per_group.n, die.columns, die.burst_beats
        if self.bursts > KEPT_BURSTS:
            return _table(self, *organised)
        longer = replace(self, bursts=1 << self.bursts.bit_length())
        return _kept_table(longer, *organised)[: self.bursts].copy()


@lru_cache(maxsize=16)
def _kept_table(stream: ReadStream, *organised: int) -> IntArray:
    """Of which shorter streams are the beginning."""
    return _table(stream, *organised)


def _table(stream: ReadStream, groups: int, banks: int, columns: int, beats: int) -> IntArray:
    group_row, group = np.divmod(np.arange(stream.bursts), groups)
    group_row, column = np.divmod(group_row, columns)
    over_rows, bank = np.divmod(group_row, banks)
    found = np.zeros((stream.bursts, 5), np.int64)
    found[:, 0] = stream.at
    found[:, 2] = (stream.rank * groups + group) * banks + bank
    found[:, 3] = stream.row + over_rows
    found[:, 4] = column * beats
    return found
