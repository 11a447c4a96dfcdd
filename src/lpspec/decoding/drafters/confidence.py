"""What EAGLE's layers and a draft model have in common: a small network that grows a tree by its own confidence."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.confidence_tree import Guesses, Level, grow_by_confidence
from lpspec.decoding.drafter import ROOT_ALONE, Committed, Draft
from lpspec.decoding.kv_cache import KvCache

WIDTH = 10
"""Nodes looked beyond at each depth, and guesses taken from each, as in EAGLE-2."""

_ROOM = 512  # places taken at first in a draft cache, which grows as the text does


class ConfidenceDrafter(ABC):
    """Drafts with a network that reads the text as it goes along.

    Its cache holds what the model itself made known of committed tokens, and never what it guessed: so a draft depends
    on the text alone, not on where the passes before it began.

    Args:
        cache: The network's, empty.
        depth: Levels of the tree.
        width: Nodes looked beyond at each level, and guesses taken from each.
    """

    taps: tuple[int, ...] = ()

    def __init__(self, cache: KvCache, depth: int, width: int = WIDTH) -> None:
        """Wait for a text."""
        self.depth, self.width = depth, width
        self._cache = cache
        self._unread: list[tuple[Tensor, Tensor]] = []
        self._last = torch.empty(0)

    @property
    def most_read(self) -> int:
        """Tokens that a pass beyond the first level reads at most."""
        return self.width

    @abstractmethod
    def features(self, known: Committed) -> Tensor:
        """What the network takes in beside each token of ``known``: [c, width]."""

    @abstractmethod
    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Read tokens int64 [n] behind the cache, see ``Transformer.forward``; the result [n, width] feeds the next."""

    @abstractmethod
    def logits(self, out: Tensor) -> Tensor:
        """Scores [n, draft vocabulary] of what follows, from results of ``run``."""

    def in_model(self, drafted: Tensor) -> Tensor:
        """The model's ids of tokens of the draft vocabulary."""
        return drafted

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Forget the text before; the new one is read when a draft is wanted."""
        self.forget()
        self._unread = [self._inputs(known)]

    def observe(self, draft: Draft, known: Committed) -> None:
        """Put what is newly known aside, to be read when a draft is wanted."""
        self._unread.append(self._inputs(known))

    @torch.inference_mode()
    def draft(self, price: FloatArray) -> Draft:
        """Grow the tree that is worth verifying."""
        if not np.isfinite(price[1:]).any():
            return ROOT_ALONE
        self._read()
        text, rows = self._cache.length, self._last

        def look_beyond(level: Level) -> Guesses:
            nonlocal rows
            features = rows[torch.from_numpy(level.source).to(rows.device)]
            rows = self._step(level, text, features)
            return self.guesses(rows)

        draft = grow_by_confidence(self.guesses(rows), look_beyond, self.width, self.depth, price)
        self._cache.length = text
        return draft

    def forget(self) -> None:
        """Begin a new text, of which nothing is read."""
        self._cache.length = 0

    def read(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Read more of the text, int64 [n] with [n, width] beside; the results of all of it, [n, width]."""
        n, text = len(tokens), self._cache.length
        self._make_room(n)
        mask = torch.ones(n, text + n, dtype=torch.bool, device=tokens.device).tril(text) if text else None
        out = self.run(tokens, features, torch.arange(text, text + n, device=tokens.device), mask)
        self._cache.length += n
        return out

    def look(self, tokens: Tensor, features: Tensor, depth: Tensor, sees: Tensor) -> Tensor:
        """Results [n, width] of nodes of a tree behind the text, which remain no part of it.

        Args:
            tokens: int64 [n].
            features: [n, width].
            depth: int64 [n], of each; 1 behind the text.
            sees: bool [n, n], which of them lie on each one's path, itself included.
        """
        n, text = len(tokens), self._cache.length
        self._make_room(n)
        mask = torch.cat([torch.ones(n, text, dtype=torch.bool, device=tokens.device), sees], 1)
        return self.run(tokens, features, text + depth - 1, mask)

    def guesses(self, out: Tensor) -> Guesses:
        """The likeliest tokens behind results of ``run``."""
        likely = self.logits(out).float().softmax(-1)
        top = likely.topk(min(self.width, likely.shape[-1]))
        return Guesses(self.in_model(top.indices).cpu().numpy(), top.values.cpu().numpy())

    def _inputs(self, known: Committed) -> tuple[Tensor, Tensor]:
        features = self.features(known)
        return torch.from_numpy(known.tokens).to(features.device), features

    def _read(self) -> None:
        """Read what was put aside."""
        if not self._unread:
            return
        tokens, features = (torch.cat(parts) for parts in zip(*self._unread, strict=True))
        self._unread = []
        self._last = self.read(tokens, features)[-1:]

    def _step(self, level: Level, text: int, features: Tensor) -> Tensor:
        n = len(level.tokens)
        self._make_room(n)
        device = features.device
        sees = torch.from_numpy(level.sees).to(device)
        mask = torch.cat([torch.ones(n, text, dtype=torch.bool, device=device), sees], 1)
        positions = torch.full((n,), text + level.depth - 1, device=device)
        out = self.run(torch.from_numpy(level.tokens).to(device), features, positions, mask)
        self._cache.length += n
        return out

    def _make_room(self, n: int) -> None:
        cache = self._cache
        if (needed := cache.length + n) > cache.capacity:
            layers, _, kv_heads, _, head_dim = cache.data.shape
            grown = KvCache(layers, kv_heads, _ROOM + 2 * needed, head_dim, cache.data.dtype, cache.data.device)
            grown.data[:, :, :, : cache.length] = cache.data[:, :, :, : cache.length]
            grown.length = cache.length
            self._cache = grown
