"""Several layers for multi-token prediction, each of which drafts the level that it was trained for.

As DeepSeek-V3 has it (arXiv 2412.19437, section 2.2): layer k reads a token beside what layer k - 1 made of the token
before it, the first layer beside the model's own hidden state. So every layer has read the whole text, and of a tree it
reads all nodes above the level that it drafts, each beside what the layer before made of the node above.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.decoding.confidence_tree import Guesses, Level, grow_by_confidence
from lpspec.decoding.drafter import ROOT_ALONE, Committed, Draft
from lpspec.decoding.drafters.confidence import ConfidenceDrafter


class MtpLevels:
    """Drafts with one layer for each level of the tree.

    Args:
        layers: Each with its own cache, that of the first level first.
        width: Nodes looked beyond at each level, and guesses taken from each.
    """

    taps: tuple[int, ...] = ()

    def __init__(self, layers: Sequence[ConfidenceDrafter], width: int) -> None:
        """Wait for a text."""
        self.layers, self.depth, self.width = tuple(layers), len(layers), width
        self._unread: list[Committed] = []
        self._last: list[Tensor] = []  # what each layer made of the last token, [1, width]; none before it read any

    @property
    def most_read(self) -> int:
        """Tokens that a pass beyond the first level reads at most: committed ones, and nodes above its level."""
        return self.depth + 1 + self.width * (self.depth - 1)

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Forget the text before; the new one is read when a draft is wanted."""
        for layer in self.layers:
            layer.forget()
        self._unread, self._last = [known], []

    def observe(self, draft: Draft, known: Committed) -> None:
        """Put what is newly known aside, to be read when a draft is wanted."""
        self._unread.append(known)

    @torch.inference_mode()
    def draft(self, price: FloatArray) -> Draft:
        """Grow the tree that is worth verifying; behind less text than there are layers, of fewer levels."""
        if not np.isfinite(price[1:]).any():
            return ROOT_ALONE
        self.read()
        drafts = _Drafts(self.layers, self._last)
        levels = 1 + sum(len(last) for last in self._last[:-1])
        first = self.layers[0].guesses(self._last[0])
        return grow_by_confidence(first, drafts.look_beyond, self.width, levels, price)

    @torch.inference_mode()
    def read(self) -> None:
        """Let every layer read what was put aside, as far as the one before has come."""
        if not self._unread:
            return
        hidden = torch.cat([known.hidden for known in self._unread])
        read = torch.from_numpy(np.concatenate([known.tokens for known in self._unread])).to(hidden.device)
        self._unread = []
        before = self._last or [hidden[:0]] * self.depth
        self._last, beside = [], hidden
        for layer, last in zip(self.layers, before, strict=True):
            tokens = read[len(read) - len(beside) :]
            made = layer.read(tokens, beside) if len(tokens) else beside[:0]
            beside = torch.cat([last, made])  # the last of it stands beside a token that is not known yet
            self._last.append(beside[-1:])
            beside = beside[:-1]


class _Drafts:
    """The nodes of a tree that were looked beyond so far, and what the last layer made of those that it read."""

    def __init__(self, layers: Sequence[ConfidenceDrafter], last: Sequence[Tensor]) -> None:
        self._layers, self._last = layers, last
        self._tokens, self._depth, self._above = (np.zeros(0, np.int64) for _ in range(3))
        self._sees: BoolArray = np.zeros((0, 0), np.bool_)
        self._made = last[0][:0]

    def look_beyond(self, level: Level) -> Guesses:
        """Guesses of the layer of the next level behind all nodes of this one."""
        asked, new = len(self._tokens), len(level.tokens)
        first = asked - int((self._depth == level.depth - 1).sum())  # of the level before, from which these came
        self._above = np.concatenate([self._above, level.source + first if asked else np.full(new, -1)])
        self._tokens = np.concatenate([self._tokens, level.tokens])
        self._depth = np.concatenate([self._depth, np.full(new, level.depth)])
        self._sees = np.vstack([np.hstack([self._sees, np.zeros((asked, new), np.bool_)]), level.sees])
        root, layer = self._last[level.depth - 1], self._layers[level.depth]
        beside = torch.cat([self._made, root])[torch.from_numpy(self._above).to(root.device)]  # -1: behind the root
        tokens, depth, sees = (
            torch.from_numpy(array).to(root.device) for array in (self._tokens, self._depth, self._sees)
        )
        self._made = layer.look(tokens, beside, depth, sees)
        return layer.guesses(self._made[asked:])
