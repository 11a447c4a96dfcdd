"""Where the nodes of a tree stand in the text, and at what they may look: positions and mask of a verify pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lpspec.speculation.token_tree import TokenTree


class TreeFrame:
    """Positions and masks of verify passes, laid out anew only when the tree changes.

    Args:
        rows: Most rows of a pass.
        dtype: Of the mask: the model's.
        device: Where it lies.
        padded: Pad every pass to all rows, with nodes that see the text and themselves.
    """

    def __init__(
        self,
        rows: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        padded: bool = False,
    ) -> None:
        """Wait for a tree."""
        self._rows, self._padded, self._dtype, self._device = rows, padded, dtype, torch.device(device)
        self._tree: TokenTree | None = None
        self._depth, self._mask = np.zeros(0, np.int64), torch.empty(0)

    def of(self, tree: TokenTree, length: int) -> tuple[Tensor, Tensor]:
        """Positions int64 [n] and mask [n, n], see ``Transformer.forward``, of a tree behind ``length`` tokens.

        n is the tree's size, or all rows where passes are padded.
        """
        if self._tree is not tree and self._tree != tree:
            self._lay_out(tree)
        positions = torch.from_numpy(self._depth + length)
        return positions if self._device.type == "cpu" else positions.to(self._device), self._mask

    def _lay_out(self, tree: TokenTree) -> None:
        size = tree.size
        n = self._rows if self._padded else size
        sees = np.eye(n, dtype=np.bool_)
        sees[:size, :size] = tree.attention_mask()
        hidden = np.where(sees, np.float32(0), np.float32(-np.inf))
        self._mask = torch.from_numpy(hidden).to(self._device, self._dtype)
        self._depth = np.zeros(n, np.int64)
        self._depth[:size] = tree.depth
        self._tree = tree
