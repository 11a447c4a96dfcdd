"""Keys and values of every earlier token, in memory taken once, where the accepted path is moved into place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lpspec.errors import InputError


class LayerCache(NamedTuple):
    """One layer's part of a pass.

    Attributes:
        data: The layer's whole memory, [2, kv_heads, capacity, head_dim], keys then values.
        start: Where those of the pass go.
        end: Where they end.
    """

    data: Tensor
    start: int
    end: int

    @property
    def keys(self) -> Tensor:
        """[1, kv_heads, end, head_dim], what the pass attends to."""
        return self.data[:1, :, : self.end]

    @property
    def values(self) -> Tensor:
        """[1, kv_heads, end, head_dim], likewise."""
        return self.data[1:, :, : self.end]


class Window(NamedTuple):
    """Where the tokens of a pass go.

    Attributes:
        data: The whole memory, [layers, 2, kv_heads, capacity, head_dim].
        start: Where those of the pass go.
        end: Where they end.
    """

    data: Tensor
    start: int
    end: int

    @property
    def layers(self) -> list[LayerCache]:
        """Each layer's part."""
        return [LayerCache(data, self.start, self.end) for data in self.data.unbind()]


class KvCache:
    """The cache of one text.

    Args:
        layers: Decoder layers.
        kv_heads: Key-value heads per layer.
        capacity: Most tokens held at once, those of a tree being verified included.
        head_dim: Width of one head.
        dtype: Of the elements.
        device: Where they lie.
    """

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the memory."""
        self.data = torch.zeros(layers, 2, kv_heads, capacity, head_dim, dtype=dtype, device=device)
        self.capacity = capacity
        self.length = 0  # tokens that are part of the text

    def window(self, tokens: int) -> Window:
        """Where the next ``tokens`` go.

        Raises:
            InputError: They don't fit.
        """
        end = self.length + tokens
        if end > self.capacity:
            raise InputError(f"the text needs {end} places in the cache, which has {self.capacity}")
        return Window(self.data, self.length, end)

    def compact(self, keep: Sequence[int]) -> None:
        """Make some of the tokens last passed through the model part of the text, in this order; drop the others.

        Args:
            keep: Places among the tokens of that pass, ascending: the accepted path, root first.
        """
        kept = len(keep)
        if keep[-1] != kept - 1:  # else they already lie where they belong
            places = torch.tensor(keep, device=self.data.device) + self.length
            self.data[:, :, :, self.length : self.length + kept] = self.data.index_select(3, places)
        self.length += kept
