"""What a CPU asks of one channel: cache lines at a rate, one after the other in memory or all over it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine.state import BANKS
from lpspec.dram.run.address_mapping import AddressMapping
from lpspec.errors import InputError, exactly, unknown_name
from lpspec.machine.die import DieSpec

PATTERNS = ("stream", "random")
LINE_BYTES = 64
SEED = 1
LINES_AT_ONCE = 1 << 17
"""Lines that are drawn together, so that memory does not grow with how long a CPU asks."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Reads and writes of a CPU on all channels together.

    Args:
        gb_per_s: Bytes asked for, 10^9 a second; 0 for none.
        pattern: ``stream`` for lines one after the other, ``random`` for lines anywhere.
        write_share: Part of the lines that is written, 0 to 1.
    """

    gb_per_s: float
    pattern: str = "random"
    write_share: float = 0.33

    def __post_init__(self) -> None:
        """Refuse what no CPU asks for."""
        if not 0 <= self.gb_per_s <= 1000:
            raise InputError(f"traffic is {exactly(self.gb_per_s)} GB/s: allowed is 0 to 1000")
        if self.pattern not in PATTERNS:
            raise unknown_name("pattern", self.pattern, PATTERNS)
        if not 0 <= self.write_share <= 1:
            raise InputError(f"write share is {exactly(self.write_share)}: allowed is 0 to 1")

    def check_carried(self, peak_gb_per_s: float) -> None:
        """Refuse what no policy could serve.

        Args:
            peak_gb_per_s: What the data pins of all channels carry.
        """
        if self.gb_per_s > peak_gb_per_s:
            raise InputError(
                f"traffic is {self.gb_per_s:g} GB/s: allowed is what the data pins carry, {peak_gb_per_s:g} GB/s"
            )

    def requests(
        self, device: DieSpec, channels: int, rank: int, duration_ck: int, lies: AddressMapping
    ) -> Iterator[IntArray]:
        """The bursts of one channel, some at a time: int64 [n, 5] as the engine takes them, in order of arrival.

        Gaps between lines are drawn from an exponential distribution, the same for every call.

        Args:
            device: The die of every rank.
            channels: Channels that share the traffic evenly.
            rank: The last of the ranks that hold the CPU's data, which comes first.
            duration_ck: Until when lines come.
            lies: Where bursts of the channel lie, but for those of a line, which are side by side in a row.
        """
        if self.gb_per_s == 0:
            return
        rng = np.random.default_rng(SEED)
        gap_ck = LINE_BYTES * channels / self.gb_per_s / device.ck_ns
        bursts = max(1, LINE_BYTES // lies.burst_bytes)
        mapping = lies.of_blocks(bursts)
        all_lines = mapping.capacity_bytes // LINE_BYTES
        first, now_ck = all_lines // 2, 0.0
        while now_ck < duration_ck:
            n = min(LINES_AT_ONCE, int(1.1 * (duration_ck - now_ck) / gap_ck) + 100)
            arrives_ck = now_ck + np.cumsum(rng.exponential(gap_ck, n))
            now_ck = float(arrives_ck[-1])
            at = arrives_ck.astype(np.int64)
            line = rng.integers(0, all_lines, n) if self.pattern == "random" else (first + np.arange(n)) % all_lines
            first += n
            is_write = (rng.random(n) < self.write_share).astype(np.int64)
            address = np.repeat(line * LINE_BYTES, bursts) + np.tile(np.arange(bursts) * mapping.burst_bytes, n)
            places = mapping.places(address)
            of_rank, bank = np.divmod(places.bank, BANKS)
            bank += (rank - of_rank) * BANKS
            made = np.stack([np.repeat(at, bursts), np.repeat(is_write, bursts), bank, places.row, places.column], 1)
            yield made[made[:, 0] < duration_ck]
