"""What the NPU reads beside a PIM program: consecutive bursts of a DRAM rank, said in four numbers."""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine.state import BEATS
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec


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
        groups, banks = device.organisation.bank_groups.n, device.organisation.banks_per_group.n
        group = np.arange(self.bursts) % groups
        column, group_row = np.arange(self.bursts) // groups % device.organisation.columns, np.arange(self.bursts)
        group_row //= groups * device.organisation.columns
        place = self.rank * device.organisation.banks + group * banks + group_row % banks
        same = np.zeros(self.bursts, np.int64)
        return np.stack([same + self.at, same, place, self.row + group_row // banks, column * BEATS], 1)
