"""Keys and values of every earlier token, in memory taken once, where the accepted path is moved into place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lpspec.errors import InputError


class LayerCache(NamedTuple):
    """One layer's part of a pass: where its keys and values go, and what it attends at, as a batch of one text.

    ``write`` is [2, 1, kv_heads, tokens, head_dim], keys then values; ``read`` is the same up to the end of ``write``.
    """

    write: Tensor
    read: Tensor


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
        self.length = 0  # tokens that are part of the text

    def windows(self, tokens: int) -> list[LayerCache]:
        """Per layer, where the next ``tokens`` go, and all up to their end.

        Raises:
            InputError: They don't fit.
        """
        end = self.length + tokens
        if end > self.capacity:
            raise InputError(f"the text needs {end} places in the cache, which has {self.capacity}")
        all_kv = self.data[:, :, None, :, :end]
        return [LayerCache(*views) for views in zip(all_kv[..., self.length :, :], all_kv, strict=True)]

    def compact(self, keep: Sequence[int]) -> None:
        """Make some of the tokens last passed through the model part of the text, in this order; drop the others.

        Args:
            keep: Places among the tokens of that pass, ascending: the accepted path, root first.
        """
        kept = len(keep)
        if keep[-1] != kept - 1:  # else they already lie where they belong
            places = torch.tensor(keep, device=self.data.device) + self.length
            moved = self.data.index_select(3, places)
            self.data[:, :, :, self.length : self.length + kept] = moved
        self.length += kept
