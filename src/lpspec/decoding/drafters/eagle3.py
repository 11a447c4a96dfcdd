"""EAGLE-3: one decoder layer over hidden states from three depths of the model, with a vocabulary of its own.

Source: SafeAILab/EAGLE; arXiv 2503.01840.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.drafter import Committed
from lpspec.decoding.drafters.confidence import WIDTH, ConfidenceDrafter
from lpspec.decoding.drafters.eagle3_config import KNOWN, TAPS, Eagle3Keys, read_keys, taps
from lpspec.decoding.drafters.head_files import head_config, open_heads, own_embedding, with_biases
from lpspec.decoding.drafters.hidden_state import layer_cache, pass_context
from lpspec.decoding.kv_cache import KvCache, LayerCache
from lpspec.decoding.layer import DecoderLayer, rms_norm
from lpspec.decoding.layer_weights import take_draft_layer
from lpspec.decoding.linear import Linear, take_linear
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.pass_context import PassContext
from lpspec.decoding.rope import RopeTable
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError

DEPTH = 8
"""Levels of the tree, as in EAGLE-3."""


@dataclass(frozen=True, eq=False)
class Eagle3Head:
    """The draft layer with its weights.

    Args:
        tap_norms: [hidden size] each, of the tapped hidden states; or one of all side by side; or none.
        mix: Brings three tapped hidden states, side by side, to one.
        hidden_norm: [hidden size], of the hidden state, as ``layer.input_norm`` is of the embedding.
        layer: The decoder layer; embedding and hidden state go into its attention side by side.
        norm: [hidden size], before the output layer.
        out: The output layer, over the draft vocabulary.
        token: int64 [draft vocabulary], the model's id of each of its tokens.
        rope: Its rotation of positions.
        embedding: [vocabulary, hidden size], its own or the model's.
        keys: Where norms stand.
    """

    tap_norms: tuple[Tensor, ...]
    mix: Linear
    hidden_norm: Tensor
    layer: DecoderLayer
    norm: Tensor
    out: Linear
    token: Tensor
    rope: RopeTable
    embedding: Tensor
    keys: Eagle3Keys

    def mixed(self, tapped: Tensor) -> Tensor:
        """One hidden state [n, hidden size] from three tapped ones, side by side."""
        if self.tap_norms:
            parts = tapped.chunk(len(self.tap_norms), -1)
            normed = [rms_norm(part, norm, self.layer.eps) for part, norm in zip(parts, self.tap_norms, strict=True)]
            tapped = torch.cat(normed, -1)
        return self.mix(tapped)

    def __call__(self, embedded: Tensor, hidden: Tensor, context: PassContext, kv: LayerCache | None = None) -> Tensor:
        """Guess the hidden states that follow: [n, hidden size] from as many embeddings and hidden states."""
        layer = self.layer
        assert layer.input_norm is not None
        normed = rms_norm(hidden, self.hidden_norm, layer.eps)
        sides = rms_norm(embedded, layer.input_norm, layer.eps), normed
        residual = normed if self.keys.norm_before_residual else hidden
        out = layer.feed_forward(residual + layer.attention(torch.cat(sides, -1), context, kv))
        return rms_norm(out, self.norm, layer.eps) if self.keys.norm_output else out

    def logits(self, out: Tensor) -> Tensor:
        """Scores [n, draft vocabulary] of what follows guessed hidden states."""
        return self.out(out if self.keys.norm_output else rms_norm(out, self.norm, self.layer.eps))


class Eagle3(ConfidenceDrafter):
    """Drafts with EAGLE-3's layer; places and positions are as in ``Eagle``.

    Args:
        head: The draft layer.
        model: Whose hidden states it takes.
        taps: The model's layers, 0-based, whose outputs it takes.
        cache: Of one layer, empty.
        depth: Levels of the tree.
        width: Nodes looked beyond at each level, and guesses taken from each.
    """

    def __init__(
        self,
        head: Eagle3Head,
        model: Transformer,
        taps: tuple[int, ...],
        cache: KvCache,
        depth: int = DEPTH,
        width: int = WIDTH,
    ) -> None:
        """Wait for a text."""
        super().__init__(cache, depth, width)
        self.head, self.model, self.taps = head, model, taps

    @torch.inference_mode()
    def features(self, known: Committed) -> Tensor:
        """The tapped hidden states, brought to one."""
        return self.head.mixed(torch.cat([known.taps[layer] for layer in self.taps], -1))

    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Guess the hidden states at ``tokens`` from those before them."""
        context = pass_context(self.head.rope, positions, mask, self._cache)
        embedded = torch.embedding(self.head.embedding, tokens)
        return self.head(embedded, features, context, self._cache.window(len(tokens)).layers[0])

    def logits(self, out: Tensor) -> Tensor:
        """Scores over the draft vocabulary."""
        return self.head.logits(out)

    def in_model(self, drafted: Tensor) -> Tensor:
        """The model's ids of tokens of the draft vocabulary."""
        return self.head.token[drafted]


def load_eagle3(model: Transformer, source: str | Path, depth: int = DEPTH, width: int = WIDTH) -> Eagle3:
    """Load an EAGLE-3 layer for a model; arguments are as for ``load_eagle``.

    Raises:
        InputError: There is no such layer, or it doesn't match the model.
    """
    tensors = open_heads(source)
    prefix = _layer_prefix(tensors)
    said = head_config(source, model.config, KNOWN)
    keys = read_keys(said, model.config.shape.hidden_size)
    config = with_biases(said, tensors, prefix)
    head = _take_head(tensors, prefix, config, keys, model)
    tapped = taps(said, keys, model.config.shape.layers)
    tensors.refuse_rest()
    return Eagle3(head, model, tapped, layer_cache(config, model), depth, width)


def _layer_prefix(tensors: Checkpoint) -> str:
    """How names of the layer's tensors begin: as EAGLE's own code writes them, or as speculators does."""
    if "midlayer.self_attn.q_proj.weight" in tensors:
        return "midlayer."
    if "layers.0.hidden_norm.weight" in tensors:
        return "layers.0."
    raise InputError(
        f"{tensors.said_as} holds no EAGLE-3 layer: neither 'midlayer.*' nor 'layers.0.hidden_norm.weight'"
    )


def _take_head(
    tensors: Checkpoint, prefix: str, config: ModelConfig, keys: Eagle3Keys, model: Transformer
) -> Eagle3Head:
    hidden, dtype, device = config.shape.hidden_size, model.dtype, model.device
    token = _draft_vocabulary(tensors, model)
    if keys.draft_vocab_size not in (None, len(token)):
        raise InputError(
            f"{tensors.said_as} can guess {len(token)} tokens, but draft_vocab_size = {keys.draft_vocab_size}"
        )

    def norm(name: str, width: int = hidden) -> Tensor:
        return tensors.take(f"{name}.weight", width).to(device, dtype)

    if keys.norm_before_fc and keys.fc_norm:
        raise InputError(f"{tensors.said_as}: norm_before_fc and fc_norm are both true, allowed is one of them")
    tap_norms = (norm("input_norm", TAPS * hidden),) if keys.norm_before_fc else ()
    return Eagle3Head(
        tuple(norm(f"fc_norm.{tap}") for tap in range(TAPS)) if keys.fc_norm else tap_norms,
        take_linear(tensors, {"fc": hidden}, TAPS * hidden, False, model.computing),
        norm(f"{prefix}hidden_norm"),
        take_draft_layer(config, tensors, prefix, model.computing, inputs=2 * hidden),
        norm("norm"),
        take_linear(tensors, {"lm_head": len(token)}, hidden, False, model.computing),
        token,
        RopeTable(config.rope, config.shape.head_dim, dtype, device),
        own_embedding(tensors, model),
        keys,
    )


def _draft_vocabulary(tensors: Checkpoint, model: Transformer) -> Tensor:
    """The model's id of each draft token: d2t holds the distance to it, t2d says which of the model's tokens it has."""
    vocabulary = model.config.shape.vocab_size
    token = torch.arange(vocabulary)
    if "d2t" in tensors:
        distance = tensors.take_stored("d2t", *tensors.tensors["d2t"].shape).flatten().long()
        token = torch.arange(len(distance)) + distance
    if "t2d" in tensors:
        drafted = tensors.take_stored("t2d", vocabulary).bool()
        if not torch.equal(drafted.nonzero().flatten(), token.sort().values):
            raise InputError(f"{tensors.said_as}: 'd2t' and 't2d' don't say the same of the draft vocabulary")
    if not len(token) or token.min() < 0 or token.max() >= vocabulary:
        raise InputError(f"{tensors.said_as}: 'd2t' leads beyond the model's vocabulary of {vocabulary} tokens")
    return token.to(model.device)
