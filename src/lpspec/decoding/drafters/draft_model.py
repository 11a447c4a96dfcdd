"""A smaller model with the same tokenizer drafts for a larger one (arXiv 2211.17192), as a tree of its likeliest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpspec.arrays import IntArray
from lpspec.decoding.drafter import Committed
from lpspec.decoding.drafters.confidence import ConfidenceDrafter
from lpspec.decoding.tokenizer import TextTokenizer, has_tokenizer, load_tokenizer
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError, shown

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
        vocabulary: Rows of its vocabulary that the larger model has too; None for all.
    """

    def __init__(
        self, model: Transformer, depth: int = DEPTH, width: int = WIDTH, vocabulary: int | None = None
    ) -> None:
        """Wait for a text."""
        super().__init__(model.new_cache(0), depth, width)
        self.model = model
        self.vocabulary = vocabulary or model.config.shape.vocab_size

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Forget the text before; this network takes the prompt's first token too."""
        whole = Committed(np.concatenate([prompt[:1], known.tokens]), known.hidden)
        super().start(prompt, whole)

    def features(self, known: Committed) -> Tensor:
        """Nothing: it takes in tokens alone."""
        return torch.empty(len(known.tokens), 0, device=self.model.device)

    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """The model's final-norm hidden states at ``tokens``; what it has no row for, padding, it reads as its last."""
        known = tokens.clamp(max=self.model.config.shape.vocab_size - 1)
        return self.model.forward(known, positions, mask, self._cache).hidden

    def logits(self, out: Tensor) -> Tensor:
        """Its scores of what follows, of tokens that both models have."""
        return self.model.logits(out)[..., : self.vocabulary]


def load_draft_model(model: Transformer, source: str | Path, depth: int = DEPTH, width: int = WIDTH) -> DraftModel:
    """Load a smaller model from its folder to draft for ``model``.

    The two may have padded their vocabularies to different sizes (Qwen2.5 has 151,936 rows up to 3B, 152,064 above) if
    their tokenizers are the same.

    Raises:
        InputError: There is no such model, or its vocabulary is another.
    """
    drafting = load_transformer(source, model.dtype, model.device, backend=model.computing.backend.name)
    size, needed = drafting.config.shape.vocab_size, model.config.shape.vocab_size
    if model.folder is not None and has_tokenizer(model.folder):
        _refuse_other_tokens(
            load_tokenizer(model.folder), load_tokenizer(source), f"draft model '{shown(str(source))}'"
        )
    elif size != needed:
        raise InputError(
            f"draft model '{shown(str(source))}' has a vocabulary of {size} tokens, the model's has {needed}"
        )
    return DraftModel(drafting, depth, width, min(size, needed))


def _refuse_other_tokens(tokenizer: TextTokenizer, drafting: TextTokenizer, where: str) -> None:
    """Refuse a tokenizer with other tokens; of added ones, such as those of a chat, either may have more."""
    if tokenizer.plain_vocabulary != drafting.plain_vocabulary:
        raise InputError(f"{where} has another tokenizer than the model: their vocabularies differ")
    token_of = {index: token for token, index in tokenizer.vocabulary.items()}
    for token, index in drafting.vocabulary.items():
        if token_of.get(index, token) != token:
            said = f"its token {index} is {shown(token, 20)!r}, the model's is {shown(token_of[index], 20)!r}"
            raise InputError(f"{where} has another tokenizer than the model: {said}")
