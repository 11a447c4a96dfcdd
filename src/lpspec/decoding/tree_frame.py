"""Where the nodes of a tree stand in the text, and at what they may look: positions and mask of a verify pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lpspec.decoding.llama import additive_mask
from lpspec.speculation.token_tree import TokenTree


class TreeFrame:
    """Positions and masks of verify passes, laid out anew only when the tree changes.

    The text's part of every mask row is zero, so the mask for a longer text is a wider view of one buffer: zeros,
    then the tree's own block.

    Args:
        capacity: The longest text.
        rows: Most rows of a pass.
        dtype: Of the mask: the model's.
        device: Where it lies.
        padded: Pad every pass to all rows, with nodes that see the text and themselves.
    """

    def __init__(
        self,
        capacity: int,
        rows: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        padded: bool = False,
    ) -> None:
        """Take the memory."""
        self.rows, self._capacity, self._padded, self._dtype = rows, capacity, padded, dtype
        self._mask = torch.zeros(rows, capacity + rows, dtype=dtype, device=device)
        self._depth = np.zeros(rows, np.int64)
        self._tree: TokenTree | None = None
        self._laid_out = self._mask[:0]

    def of(self, tree: TokenTree, length: int) -> tuple[Tensor, Tensor]:
        """Positions int64 [n] and mask [n, length + n] of a tree behind ``length`` tokens; n is its size or padded."""
        if self._tree is not tree and self._tree != tree:
            self._lay_out(tree)
        n = self._laid_out.shape[0]
        positions = torch.from_numpy(self._depth[:n] + length).to(self._mask.device)
        return positions, self._laid_out.narrow(1, self._capacity - length, length + n)

    def _lay_out(self, tree: TokenTree) -> None:
        size = tree.size
        n = self.rows if self._padded else size
        sees = torch.eye(n, dtype=torch.bool)
        sees[:size, :size] = torch.from_numpy(tree.attention_mask())
        self._mask[:n, self._capacity : self._capacity + n] = additive_mask(sees, self._dtype)
        self._depth[:size], self._depth[size:] = tree.depth, 0
        self._tree, self._laid_out = tree, self._mask[:n]
