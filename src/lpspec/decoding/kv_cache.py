"""Keys and values of every earlier token, in memory taken once, where the accepted path is moved into place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpspec.decoding.kernels import move_rows
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
        """[1, kv_heads, end, head_dim], what the pass attends at."""
        return self.data[:1, :, : self.end]

    @property
    def values(self) -> Tensor:
        """[1, kv_heads, end, head_dim], likewise."""
        return self.data[1:, :, : self.end]


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
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the memory."""
        self.data = torch.zeros(layers, 2, kv_heads, capacity, head_dim, dtype=dtype, device=device)
        self.capacity = capacity
        self._layers = self.data.unbind()
        if self.data.is_cpu:
            bits = self.data.view(torch.int16) if dtype == torch.bfloat16 else self.data  # numpy has no bfloat16
            self._blocks = bits.flatten(0, 2).numpy()
        self.length = 0  # tokens that are part of the text

    def windows(self, tokens: int) -> list[LayerCache]:
        """Per layer, where the next ``tokens`` go.

        Raises:
            InputError: They don't fit.
        """
        end = self.length + tokens
        if end > self.capacity:
            raise InputError(f"the text needs {end} places in the cache, which has {self.capacity}")
        return [LayerCache(data, self.length, end) for data in self._layers]

    def compact(self, keep: Sequence[int]) -> None:
        """Make some of the tokens last passed through the model part of the text, in this order; drop the others.

        Args:
            keep: Places among the tokens of that pass, ascending: the accepted path, root first.
        """
        kept = len(keep)
        if keep[-1] != kept - 1:  # else they already lie where they belong
            self._move(np.array(keep))
        self.length += kept

    def _move(self, keep: NDArray[np.int64]) -> None:
        if self.data.is_cpu:
            move_rows(self._blocks, self.length, keep)
            return
        places = torch.from_numpy(keep + self.length).to(self.data.device)
        self.data[:, :, :, self.length : self.length + len(keep)] = self.data.index_select(3, places)
