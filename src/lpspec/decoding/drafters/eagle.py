"""EAGLE-1 and -2: one decoder layer guesses the next hidden state from the last one and the token that followed it.

Source: SafeAILab/EAGLE; arXiv 2401.15077 and, for the tree, 2406.16858.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lpspec.decoding.drafters.confidence import WIDTH
from lpspec.decoding.drafters.head_files import head_config, open_heads, own_embedding, with_biases
from lpspec.decoding.drafters.hidden_state import HiddenStateDrafter, layer_cache, pass_context
from lpspec.decoding.kv_cache import Window
from lpspec.decoding.layer import Stack
from lpspec.decoding.layer_weights import take_draft_layer
from lpspec.decoding.linear import Linear, take_linear
from lpspec.decoding.pass_context import PassContext
from lpspec.decoding.rope import RopeTable
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError

DEPTH = 6
"""Levels of the tree, as in EAGLE-2."""


@dataclass(frozen=True, eq=False)
class EagleHead:
    """The draft layer with its weights.

    Args:
        mix: Brings an embedding and a hidden state, side by side, to one hidden state.
        stack: The decoder layer, which has no norm before its attention, and none after it.
        rope: Its rotation of positions.
        embedding: [vocabulary, hidden size], its own or the model's.
    """

    mix: Linear
    stack: Stack
    rope: RopeTable
    embedding: Tensor

    def __call__(self, embedded: Tensor, hidden: Tensor, context: PassContext, cache: Window | None = None) -> Tensor:
        """Guess the hidden states that follow: [n, hidden size] from as many embeddings and hidden states."""
        return self.stack(self.mix(torch.cat([embedded, hidden], -1)), context, cache)[0]


class Eagle(HiddenStateDrafter[EagleHead]):
    """Drafts with EAGLE-1's or -2's layer."""

    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Guess the hidden states at ``tokens`` from those before them."""
        context = pass_context(self.head.rope, positions, mask, self._cache)
        embedded = torch.embedding(self.head.embedding, tokens)
        return self.head(embedded, features, context, self._cache.window(len(tokens)))


def load_eagle(model: Transformer, source: str | Path, depth: int = DEPTH, width: int = WIDTH) -> Eagle:
    """Load an EAGLE-1 or -2 layer for a model.

    Args:
        model: Whose hidden states it continues.
        source: A file, or a folder as it is published, whose ``config.json`` fixes the layer.
        depth: Levels of the tree.
        width: Nodes looked beyond at each level, and guesses taken from each.

    Raises:
        InputError: There is no such layer, or it doesn't match the model.
    """
    tensors = open_heads(source)
    if "fc.weight" not in tensors or "layers.0.self_attn.q_proj.weight" not in tensors:
        raise InputError(f"{tensors.said_as} holds no EAGLE-1 or -2 layer: 'fc.weight' and 'layers.0.*' belong to one")
    if "layers.1.self_attn.q_proj.weight" in tensors:
        raise InputError(f"{tensors.said_as} holds several draft layers, allowed is one")
    said = head_config(source, model.config, known=frozenset({"bias"}))
    config = with_biases(said, tensors, "layers.0.")
    hidden, bias = config.shape.hidden_size, "fc.bias" in tensors
    if said.said.get("bias", bias) != bias:  # of fc; absent, the tensors tell it
        raise InputError(f"{said.where}: bias is {str(not bias).lower()}, but the tensors say otherwise of 'fc.bias'")
    layer = take_draft_layer(config, tensors, "layers.0.", model.computing)
    head = EagleHead(
        take_linear(tensors, {"fc": hidden}, 2 * hidden, bias, model.computing),
        Stack([layer], None, layer.eps, model.computing.backend),
        RopeTable(config.rope, config.shape.head_dim, model.dtype, model.device),
        own_embedding(tensors, model),
    )
    tensors.refuse_rest()
    return Eagle(head, model, layer_cache(config, model), depth, width)
