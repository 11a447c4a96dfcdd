"""Multi-token prediction: a layer trained with the model guesses the token after next, and the ones after from itself.

Sources: XiaomiMiMo/MiMo-7B, modeling_mimo.py (``model.mtp_layers.0``); Qwen3-Next's and Qwen3.5's ``mtp.*``, as in
vllm-project/vllm, mimo_mtp.py and qwen3_next_mtp.py, which give it the model's final-norm hidden states and use the
layer again for each further token. Of several layers, ``.0.``, ``.1.`` and so on, each drafts its level: see
``mtp_levels``; in Qwen's layout they share their norms and their mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.drafters.confidence import WIDTH
from lpspec.decoding.drafters.head_files import open_heads
from lpspec.decoding.drafters.hidden_state import HiddenStateDrafter, layer_cache, pass_context
from lpspec.decoding.drafters.mtp_levels import MtpLevels
from lpspec.decoding.layer import Stack, rms_norm
from lpspec.decoding.layer_weights import take_layer, take_norm
from lpspec.decoding.linear import Linear, take_linear
from lpspec.decoding.model_files import is_gguf
from lpspec.decoding.rope import RopeTable
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError

DEPTH = 3
"""Levels of the tree. Assumed: the layer is trained for one token, and each further one is guessed worse."""


class _Names(NamedTuple):
    """How a published layout names the tensors of a layer by its number."""

    layer: str
    token_norm: str
    hidden_norm: str
    mix: str
    final_norm: str
    token_first: bool
    """The embedding stands before the hidden state in what is mixed."""

    def of(self, number: int) -> _Names:
        """The names of one layer."""
        layer, token, hidden, mix, final = (name.format(number) for name in self[:5])
        return _Names(layer, token, hidden, mix, final, self.token_first)


_LAYOUTS = (
    _Names(
        "model.mtp_layers.{}.",
        "model.mtp_layers.{}.token_layernorm",
        "model.mtp_layers.{}.hidden_layernorm",
        "model.mtp_layers.{}.input_proj",
        "model.mtp_layers.{}.final_layernorm",
        False,
    ),
    _Names("mtp.layers.{}.", "mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden", "mtp.fc", "mtp.norm", True),
)
_OTHERS = ("model.mtp_layers.", "mtp.")


@dataclass(frozen=True, eq=False)
class MtpHead:
    """The layer with its weights.

    Args:
        token_norm: [hidden size], of the embedding.
        hidden_norm: [hidden size], of the hidden state.
        mix: Brings both, side by side, to one hidden state.
        token_first: In which order.
        stack: The decoder layer and the norm after it.
        rope: Its rotation of positions.
    """

    token_norm: Tensor
    hidden_norm: Tensor
    mix: Linear
    token_first: bool
    stack: Stack
    rope: RopeTable

    def mixed(self, embedded: Tensor, hidden: Tensor) -> Tensor:
        """What goes into the layer: [n, hidden size] from as many embeddings and hidden states."""
        eps = self.stack.eps
        sides = [rms_norm(embedded, self.token_norm, eps), rms_norm(hidden, self.hidden_norm, eps)]
        return self.mix(torch.cat(sides if self.token_first else sides[::-1], -1))


class Mtp(HiddenStateDrafter[MtpHead]):
    """Drafts with the layer that was trained with the model, and the model's own embedding."""

    def run(self, tokens: Tensor, features: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Guess the hidden states at ``tokens`` from those before them."""
        context = pass_context(self.head.rope, positions, mask, self._cache)
        mixed = self.head.mixed(self.model.embed(tokens), features)
        return self.head.stack(mixed, context, self._cache.window(len(tokens)))[0]


def load_mtp(model: Transformer, source: str | Path | None, depth: int = DEPTH, width: int = WIDTH) -> Mtp | MtpLevels:
    """Load the layers that a model brings along, or those of another file; arguments are as for ``load_eagle``.

    Of several, each drafts its level, so ``depth`` is theirs.

    Raises:
        InputError: There is no such layer, or they don't match the model.
    """
    source = model.folder if source is None else source
    if source is None or is_gguf(source):
        raise InputError("drafter 'mtp' needs the folder of a model with such a layer, or the file of one")
    tensors = open_heads(source)
    names = next((names for names in _LAYOUTS if f"{names.of(0).mix}.weight" in tensors), None)
    if names is None:
        others = " or ".join(f"'{names.of(0).mix}.weight'" for names in _LAYOUTS)
        raise InputError(f"{tensors.said_as} holds no layer for multi-token prediction: {others} belongs to one")
    heads = [_take_head(tensors, names.of(0), model)]
    while f"{names.of(len(heads)).layer}self_attn.q_proj.weight" in tensors:
        heads.append(_take_head(tensors, names.of(len(heads)), model))
    tensors.refuse_rest([name for name in tensors.untaken if not name.startswith(_OTHERS)])
    layers = [Mtp(head, model, layer_cache(model.config, model), depth, width) for head in heads]
    return layers[0] if len(layers) == 1 else MtpLevels(layers, width)


def _take_head(tensors: Checkpoint, names: _Names, model: Transformer) -> MtpHead:
    config, how = model.config, model.computing
    config = config.model_copy(update={"architecture": config.architecture.model_copy(update={"layers": ()})})
    hidden = config.shape.hidden_size

    def norm(name: str) -> Tensor:
        return take_norm(config, tensors, f"{name}.weight", hidden, how)

    layer = take_layer(config, tensors, names.layer, how)
    return MtpHead(
        norm(names.token_norm),
        norm(names.hidden_norm),
        take_linear(tensors, {names.mix: hidden}, 2 * hidden, False, how),
        names.token_first,
        Stack([layer], norm(names.final_norm), layer.eps, how.backend),
        RopeTable(config.rope, config.shape.head_dim, model.dtype, model.device),
    )
