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
from lpspec.decoding.drafters.eagle import layer_cache, one_layer, surroundings, with_biases_of
from lpspec.decoding.drafters.head_files import layer_config, open_heads
from lpspec.decoding.kv_cache import KvCache, LayerCache
from lpspec.decoding.linear import Linear, take_linear
from lpspec.decoding.llama import DecoderLayer, Llama, Surroundings, rms_norm, take_layer
from lpspec.decoding.llama_config import LlamaConfig
from lpspec.decoding.rope import RopeTable
from lpspec.errors import InputError
from lpspec.llm.loading import read_json_object

DEPTH = 8
"""Levels of the tree, as in EAGLE-3."""

TAPS = 3


@dataclass(frozen=True, eq=False)
class Eagle3Head:
    """The draft layer with its weights.

    Args:
        mix: Brings three tapped hidden states, side by side, to one.
        hidden_norm: [hidden size], of the hidden state, as ``layer.input_norm`` is of the embedding.
        layer: The decoder layer; embedding and hidden state go into its attention side by side.
        norm: [hidden size], before the output layer.
        out: The output layer, over the draft vocabulary.
        token: int64 [draft vocabulary], the model's id of each of its tokens.
        rope: Its rotation of positions.
    """

    mix: Linear
    hidden_norm: Tensor
    layer: DecoderLayer
    norm: Tensor
    out: Linear
    token: Tensor
    rope: RopeTable

    def __call__(self, embedded: Tensor, hidden: Tensor, around: Surroundings, kv: LayerCache | None = None) -> Tensor:
        """Guess the hidden states that follow: [n, hidden size] from as many embeddings and hidden states."""
        layer = self.layer
        assert layer.input_norm is not None
        sides = rms_norm(embedded, layer.input_norm, layer.eps), rms_norm(hidden, self.hidden_norm, layer.eps)
        return layer.feed_forward(hidden + layer.attention(torch.cat(sides, -1), around, kv))

    def logits(self, out: Tensor) -> Tensor:
        """Scores [n, draft vocabulary] of what follows guessed hidden states."""
        return self.out(rms_norm(out, self.norm, self.layer.eps))


class Eagle3(ConfidenceDrafter):
    """Drafts with EAGLE-3's layer and the model's embedding; places and positions are as in ``Eagle``.

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
        model: Llama,
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
        return self.head.mix(torch.cat([known.taps[layer] for layer in self.taps], -1))

    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Guess the hidden states at ``tokens`` from those before them."""
        around = surroundings(self.head.rope, positions, mask, self._cache)
        return self.head(self.model.embed(tokens), features, around, one_layer(self._cache, len(tokens)))

    def logits(self, out: Tensor) -> Tensor:
        """Scores over the draft vocabulary."""
        return self.head.logits(out)

    def in_model(self, drafted: Tensor) -> Tensor:
        """The model's ids of tokens of the draft vocabulary."""
        return self.head.token[drafted]


def load_eagle3(model: Llama, source: str | Path, depth: int = DEPTH, width: int = WIDTH) -> Eagle3:
    """Load an EAGLE-3 layer for a model; arguments are as for ``load_eagle``.

    Raises:
        InputError: There is no such layer, or it doesn't match the model.
    """
    tensors = open_heads(source)
    if "midlayer.self_attn.q_proj.weight" not in tensors:
        raise InputError(f"{tensors.said_as} holds no EAGLE-3 layer: its tensors begin with 'midlayer.'")
    config = with_biases_of(layer_config(source, model.config), tensors, "midlayer.")
    taps = _taps(Path(source), model.config)
    return Eagle3(_take_head(tensors, config, model), model, taps, layer_cache(config, model), depth, width)


def _take_head(tensors: Checkpoint, config: LlamaConfig, model: Llama) -> Eagle3Head:
    hidden, dtype, device = config.spec.hidden_size, model.dtype, model.device
    token = _draft_vocabulary(tensors, model)
    return Eagle3Head(
        take_linear(tensors, {"fc": hidden}, TAPS * hidden, False, dtype, device),
        tensors.take("midlayer.hidden_norm.weight", hidden).to(device, dtype),
        take_layer(config, tensors, "midlayer.", dtype, device, attention_inputs=2 * hidden),
        tensors.take("norm.weight", hidden).to(device, dtype),
        take_linear(tensors, {"lm_head": len(token)}, hidden, False, dtype, device),
        token,
        RopeTable(config.rope, config.spec.head_dim, dtype, device),
    )


def _draft_vocabulary(tensors: Checkpoint, model: Llama) -> Tensor:
    """The model's id of each draft token: d2t holds the distance to it, t2d says which of the model's tokens it has."""
    vocabulary = model.config.spec.vocab_size
    if "d2t" not in tensors:
        return torch.arange(vocabulary, device=model.device)
    distance = tensors.tensors["d2t"].flatten().long()
    token = torch.arange(len(distance)) + distance
    if "t2d" in tensors:
        drafted = tensors.take_stored("t2d", vocabulary).bool()
        if not torch.equal(drafted.nonzero().flatten(), token.sort().values):
            raise InputError(f"{tensors.said_as}: 'd2t' and 't2d' don't say the same of the draft vocabulary")
    if not len(token) or token.min() < 0 or token.max() >= vocabulary:
        raise InputError(f"{tensors.said_as}: 'd2t' leads beyond the model's vocabulary of {vocabulary} tokens")
    return token.to(model.device)


def _taps(source: Path, model: LlamaConfig) -> tuple[int, ...]:
    """The layers that the head's ``config.json`` names, or those of the paper's code: low, middle and high."""
    folder = source if source.is_dir() else source.parent
    file, layers = folder / "config.json", model.spec.layers
    said = read_json_object(file, f"draft layer config '{file}'") if file.is_file() else {}
    named = said.get("eagle_config")
    named = named.get("eagle_aux_hidden_state_layer_ids") if isinstance(named, dict) else None
    taps = (1, layers // 2 - 1, layers - 4) if named is None else tuple(named)
    whole = all(type(layer) is int and 0 <= layer < layers for layer in taps)
    if not whole or len(set(taps)) != TAPS or list(taps) != sorted(taps):
        raise InputError(
            f"draft layer '{source}' takes hidden states of layers {list(taps)}: {TAPS} ascending ones of the model's"
            f" {layers} are needed, which 'eagle_aux_hidden_state_layer_ids' of 'eagle_config' can name"
        )
    return taps
