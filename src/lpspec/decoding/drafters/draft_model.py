"""A smaller model of the same vocabulary drafts for a larger one (arXiv 2211.17192), as a tree of its likeliest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpspec.decoding.drafter import Committed, IntArray
from lpspec.decoding.drafters.confidence import ConfidenceDrafter
from lpspec.decoding.llama import Llama, load_llama
from lpspec.errors import InputError

DEPTH = 6
"""Levels of the tree. Assumed: as many as EAGLE-2 has."""

WIDTH = 4
"""Nodes looked beyond at each level. Assumed: fewer than EAGLE's, for each costs a pass through a whole model."""


class DraftModel(ConfidenceDrafter):
    """Drafts with a model of its own, which reads the text from its first token.

    Args:
        model: The smaller model.
        depth: Levels of the tree.
        width: Nodes looked beyond at each level, and guesses taken from each.
    """

    def __init__(self, model: Llama, depth: int = DEPTH, width: int = WIDTH) -> None:
        """Wait for a text."""
        super().__init__(model.new_cache(0), depth, width)
        self.model = model

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Forget the text before; this network takes the prompt's first token too."""
        whole = Committed(np.concatenate([prompt[:1], known.tokens]), known.hidden)
        super().start(prompt, whole)

    def features(self, known: Committed) -> Tensor:
        """Nothing: it takes in tokens alone."""
        return torch.empty(len(known.tokens), 0, device=self.model.device)

    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """The model's final-norm hidden states at ``tokens``."""
        return self.model.forward(tokens, positions, mask, self._cache).hidden

    def logits(self, out: Tensor) -> Tensor:
        """Its scores of what follows."""
        return self.model.logits(out)


def load_draft_model(model: Llama, source: str | Path, depth: int = DEPTH, width: int = WIDTH) -> DraftModel:
    """Load a smaller model from its folder to draft for ``model``.

    Raises:
        InputError: There is no such model, or its vocabulary is another.
    """
    drafting = load_llama(source, model.dtype, model.device)
    if (size := drafting.config.spec.vocab_size) != (needed := model.config.spec.vocab_size):
        raise InputError(f"draft model '{source}' has a vocabulary of {size} tokens, the model's has {needed}")
    return DraftModel(drafting, depth, width)
