"""How one layer's KV cache is dealt to the channels and dies of a package, the same analytically and for programs.

Heads are dealt to the channels, as many to each. Where channels don't divide them, the positions of a head are dealt to
several channels, so that all have the same parts of as many heads: the NPU puts scores side by side and adds results.
Within a channel a head's positions may be dealt to dies again (``lpspec.dram.pim.cache``).
"""

from dataclasses import dataclass
from math import gcd
from typing import overload

import numpy as np

from lpspec.devices.cost import Real
from lpspec.dram.pim.cache import part_positions, parts_for
from lpspec.llm.counts import Count, ceil_div
from lpspec.machine.pim_format import INT8, PimFormat


@dataclass(frozen=True, slots=True)
class Heads:
    """One layer's attention as the memory sees it; counts are numbers, or arrays over kinds of a step.

    Attributes:
        pim: Key-value heads that PIM computes, of all channels.
        share: How the heads of the layer are dealt.
        queries: Query rows that share the keys of one head.
        keys: Positions, whole blocks of lanes.
    """

    pim: Count
    share: "KvShare"
    queries: Count
    keys: Count


@dataclass(frozen=True, slots=True)
class KeyShare:
    """What PIM computes of one layer's attention, some positions of some heads; all else is the NPU's.

    Attributes:
        heads: Key-value heads.
        scores_keys: First positions of each of them, for QK^T.
        values_keys: Likewise for PV.
    """

    heads: Count
    scores_keys: Count
    values_keys: Count


@dataclass(frozen=True, slots=True)
class KvShare:
    """Where the heads of one layer lie.

    Attributes:
        kv_heads: Key-value heads of the layer.
        head_dim: Width of a head.
        channels: Channels.
        concurrent: PIM ranks that compute at once.
        row_columns: Positions that are dealt together: a row of values.
        dealt_to: Dies of a channel over which its share of one head is dealt; so that few are idle if left out.
        value_dim: Width of a value; that of a key if left out.
        form: Bits of keys and values, and of what meets them.
    """

    kv_heads: int
    head_dim: int
    channels: int
    concurrent: int
    row_columns: int
    dealt_to: int | None = None
    value_dim: int | None = None
    form: PimFormat = INT8

    @property
    def value_width(self) -> int:
        """Width of a value."""
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def quantum(self) -> int:
        """Heads that put the same work on every channel; PIM computes multiples of so many."""
        return gcd(self.kv_heads, self.channels)

    @property
    def spread(self) -> int:
        """Channels over which the positions of one head are dealt."""
        return self.channels // self.quantum

    @property
    def on_channel(self) -> int:
        """Heads, or parts of heads, on each channel."""
        return self.kv_heads // self.quantum

    @property
    def parts(self) -> int:
        """Dies of a channel over which its share of one head is dealt."""
        return self.dealt_to or parts_for(self.on_channel, self.concurrent)

    def matrices(self, kv_heads: Count) -> Count:
        """Matrices that the channel with the most computes for some heads."""
        return ceil_div(kv_heads, self.quantum) * self.parts

    def mean_share(self, kv_heads: Count) -> Real:
        """Average work of a channel over that of the one with the most; 1 where there is none."""
        if not np.any(kv_heads % self.quantum):
            return 1.0
        heads = kv_heads + np.equal(kv_heads, 0) * self.quantum
        return heads / (ceil_div(heads, self.quantum) * self.quantum)

    @overload
    def channel_keys(self, keys: int) -> int: ...
    @overload
    def channel_keys(self, keys: Count) -> Count: ...
    def channel_keys(self, keys: Count) -> Count:
        """Positions of a head on the channel that has the most of them."""
        return part_positions(keys, self.spread, self.row_columns)

    @overload
    def part_keys(self, keys: int) -> int: ...
    @overload
    def part_keys(self, keys: Count) -> Count: ...
    def part_keys(self, keys: Count) -> Count:
        """Positions of a head on the die that has the most of them."""
        return part_positions(self.channel_keys(keys), self.parts, self.row_columns)

    def values_per_die(self, mpus: int, lanes: int) -> int:
        """Heads whose values share the MPUs of a die; ``lanes`` of INT8."""
        width = ceil_div(self.value_width, self.form.lanes(lanes))
        return max(1, min(mpus // width, self.on_channel * self.parts))
