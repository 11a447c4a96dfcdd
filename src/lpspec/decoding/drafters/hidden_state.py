"""What drafters share whose one layer continues the model's hidden states: its view of a pass, and its scores."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor

from lpspec.decoding.drafter import Committed
from lpspec.decoding.drafters.confidence import ConfidenceDrafter
from lpspec.decoding.kv_cache import KvCache
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.pass_context import PassContext, additive_mask
from lpspec.decoding.rope import RopeTable
from lpspec.decoding.transformer import Transformer

_Head = TypeVar("_Head")


class HiddenStateDrafter(ConfidenceDrafter, Generic[_Head]):
    """Drafts with a layer behind the model's final-norm hidden states, and with the model's own output layer.

    Place i of its text is the hidden state at token i beside token i + 1, at position i.

    Args:
        head: The layer.
        model: Whose hidden states it continues.
        cache: Of one layer, empty.
        depth: Levels of the tree.
        width: Nodes looked beyond at each level, and guesses taken from each.
    """

    def __init__(self, head: _Head, model: Transformer, cache: KvCache, depth: int, width: int) -> None:
        """Wait for a text."""
        super().__init__(cache, depth, width)
        self.head, self.model = head, model

    def features(self, known: Committed) -> Tensor:
        """The model's final-norm hidden states."""
        return known.hidden

    def logits(self, out: Tensor) -> Tensor:
        """The model's own scores: what norm the layer needs stands behind it."""
        return self.model.logits(out)


def pass_context(rope: RopeTable, positions: Tensor, mask: Tensor | None, cache: KvCache) -> PassContext:
    """What a draft layer sees of a pass behind its cache; ``mask`` is as for ``Transformer.forward``."""
    added = None if mask is None else additive_mask(mask, cache.data.dtype)
    return PassContext(rope.up_to(cache.capacity), positions, added, cache.length + len(positions))


def layer_cache(config: ModelConfig, model: Transformer) -> KvCache:
    """An empty cache for one draft layer."""
    return KvCache(1, config.shape.kv_heads, 0, config.shape.head_dim, model.dtype, model.device)
