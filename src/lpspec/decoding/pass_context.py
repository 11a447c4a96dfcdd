"""What all layers of one pass share: positions, how they turn queries and keys, and which tokens attend to which."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.rope import rotated


@dataclass(frozen=True, eq=False)
class PassContext:
    """What all layers of one pass share.

    Args:
        table: [positions, 2, turned width], see ``RopeTable``.
        positions: int64 [n].
        mask: [n, m], 0 where a token attends and -inf where not, for the last m keys; all before are attended to. None
            for causal attention among the n tokens.
        keys: Tokens that may be attended to: those of the text, and the n.
        local_table: The same as ``table`` for layers with a rotation of their own.
    """

    table: Tensor
    positions: Tensor
    mask: Tensor | None
    keys: int
    local_table: Tensor | None = None
    _masks: dict[int, Tensor | None] = field(default_factory=dict)

    @cached_property
    def whole_mask(self) -> Tensor | None:
        """The mask over all keys."""
        if self.mask is None or self.mask.shape[1] == self.keys:
            return self.mask
        return functional.pad(self.mask, (self.keys - self.mask.shape[1], 0))

    def mask_within(self, window: int | None) -> Tensor | None:
        """The mask over all keys of layers that attend to the last ``window`` tokens only, by position."""
        if window is None or self.keys <= window:  # no position lies further back than there are keys
            return self.whole_mask
        if window not in self._masks:
            self._masks[window] = self._slid(window)
        return self._masks[window]

    def _slid(self, window: int) -> Tensor:
        own = self.positions
        key = torch.cat([torch.arange(self.keys - len(own), device=own.device), own])
        if (whole := self.whole_mask) is None:
            whole = self.causal_mask(self.table.dtype)
        return whole.masked_fill(own[:, None] - key[None, :] >= window, float("-inf"))

    def causal_mask(self, dtype: torch.dtype) -> Tensor:
        """What is meant where there is no mask."""
        return additive_mask(self.positions[:, None] >= self.positions[None, :], dtype)

    def rotated(self, x: Tensor, rotation: str) -> Tensor:
        """Queries or keys x [..., n, heads, head_dim] turned by their positions."""
        if rotation == "none":
            return x
        table = self.local_table if rotation == "local" else self.table
        assert table is not None
        return rotated(x, table, self.positions)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where ``mask`` is true and -inf elsewhere: what attention adds to its scores."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
