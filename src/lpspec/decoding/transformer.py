"""The forward pass of a decoder: over a prompt, one token, or all nodes of a token tree."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lpspec.decoding.backend import Backend
from lpspec.decoding.backends import choose_backend
from lpspec.decoding.checkpoint import Checkpoint, Tensors, open_checkpoint
from lpspec.decoding.computing import Computing
from lpspec.decoding.gguf_model import open_gguf
from lpspec.decoding.kv_cache import KvCache
from lpspec.decoding.layer import DecoderLayer, Stack
from lpspec.decoding.layer_weights import take_layer, take_norm
from lpspec.decoding.linear import FloatLinear, Linear, take_linear
from lpspec.decoding.model_config import ModelConfig, load_config
from lpspec.decoding.model_files import is_gguf
from lpspec.decoding.pass_context import PassContext, additive_mask
from lpspec.decoding.quantized import quantized
from lpspec.decoding.rope import RopeTable
from lpspec.decoding.torch_backend import TORCH

DRAFTERS_OWN = ("medusa_head.", "model.mtp_layers.", "mtp.")
"""How names of tensors begin that lie in a model's checkpoint and belong to a drafter."""


@dataclass(frozen=True, eq=False)
class Pass:
    """What a pass over n tokens yields.

    Args:
        hidden: [..., n, hidden size], after the final norm.
        taps: The residual stream [..., n, hidden size] after each layer asked for, 0-based.
    """

    hidden: Tensor
    taps: dict[int, Tensor]


class Transformer:
    """A decoder with its weights.

    Args:
        config: Dimensions and constants.
        tensors: Weights by their Hugging Face names.
        dtype: Of weights and activations.
        device: Where they lie.
        backend: Who multiplies.

    Attributes:
        computing: The last three, as drafters take them over.
        folder: Its folder or GGUF file; None where it was not loaded from any.
        notes: What is computed otherwise than its files or the backend's name suggest, one line each.

    Raises:
        InputError: A tensor is missing or has another shape.
    """

    folder: Path | None = None
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        config: ModelConfig,
        tensors: Tensors,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        backend: Backend = TORCH,
    ) -> None:
        """Fuse the weights."""
        self.config, self.dtype, self.device = config, dtype, torch.device(device)
        self.computing = Computing(dtype, self.device, backend)
        shape = config.shape
        table = tensors.take("model.embed_tokens.weight", shape.vocab_size, shape.hidden_size)
        self.embedding = table.to(device, dtype)
        layers = [take_layer(config, tensors, f"model.layers.{i}.", self.computing, i) for i in range(shape.layers)]
        norm = take_norm(config, tensors, "model.norm.weight", shape.hidden_size, self.computing)
        self._stack = Stack(layers, norm, config.rms_norm_eps, backend)
        self.head = self._take_head(tensors)
        self._rope = RopeTable(config.rope, shape.head_dim, dtype, self.device)
        self._local_rope = config.local_rope and RopeTable(config.local_rope, shape.head_dim, dtype, self.device)

    def _take_head(self, tensors: Tensors) -> Linear:
        """The output layer; a model that ties it to its embedding may still hold one in fewer bits."""
        shape = self.config.shape
        if shape.tied_embeddings and "lm_head.weight" not in tensors:
            return FloatLinear(self.embedding, backend=self.computing.backend)
        outputs = {"lm_head": shape.vocab_size}
        return take_linear(tensors, outputs, shape.hidden_size, computing=self.computing)

    @property
    def layers(self) -> Sequence[DecoderLayer]:
        """Its decoder layers, the first first."""
        return self._stack.layers

    def new_cache(self, capacity: int) -> KvCache:
        """An empty cache for ``capacity`` tokens."""
        shape = self.config.shape
        return KvCache(shape.layers, shape.kv_heads, capacity, shape.head_dim, self.dtype, self.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """The embeddings [..., n, hidden size] of tokens int64 [..., n]."""
        embedded, factor = torch.embedding(self.embedding, tokens), self.config.architecture.embedding_factor
        return embedded if factor == 1 else embedded * torch.tensor(factor, dtype=self.dtype, device=self.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits [..., n, vocabulary] of final-norm hidden states [..., n, hidden size]."""
        logits, how = self.head(hidden), self.config.architecture
        if how.logit_divisor != 1:
            logits = logits / how.logit_divisor
        return logits if how.logit_cap is None else torch.tanh(logits / how.logit_cap) * how.logit_cap

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KvCache | None = None,
        taps: Sequence[int] = (),
    ) -> Pass:
        """Pass tokens through all layers; with a cache they are written behind its text, for ``compact`` to keep.

        Args:
            tokens: int64 [n]; without a cache also [batch, n].
            positions: int64 [n], each token's place in the text; None: one after the other, behind the cache.
            mask: bool [n, m], true where a token attends, or that as 0 and -inf, for the last m of all text + n keys;
                those before are attended to. None: causal.
            cache: Keys and values of the text so far, if any.
            taps: Layers, 0-based, whose outputs are wanted.
        """
        n, start = tokens.shape[-1], 0 if cache is None else cache.length
        context = self.pass_context(n, start, positions, mask, start + n if cache is None else cache.capacity)
        hidden, streams = self._stack(self.embed(tokens), context, None if cache is None else cache.window(n))
        return Pass(hidden, {tap: streams[tap] for tap in taps})

    def pass_context(
        self, n: int, start: int, positions: Tensor | None, mask: Tensor | None, limit: int
    ) -> PassContext:
        """What all layers share in a pass over n tokens behind a text of ``start`` tokens; positions < ``limit``."""
        if positions is None:
            positions = torch.arange(start, start + n, device=self.device)
        if mask is None and start:
            mask = torch.ones(n, start + n, dtype=torch.bool, device=self.device).tril(start)
        if mask is not None and mask.dtype == torch.bool:
            mask = additive_mask(mask, self.dtype)
        local_table = self._local_rope.up_to(limit) if self._local_rope else None
        return PassContext(self._rope.up_to(limit), positions, mask, start + n, local_table)


def load_transformer(
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    int8: bool = False,
    backend: str | None = None,
) -> Transformer:
    """Load a model folder, ``config.json`` and its weights, or a GGUF file.

    Args:
        folder: Where it is.
        dtype: Of activations, and of weights that are not INT8.
        device: Where the model is to run.
        int8: Bring float weights to W8A8; a checkpoint stored so is always run so.
        backend: As for ``choose_backend``; ``Transformer.computing`` says which one it is.

    Raises:
        InputError: The backend is unknown or not for this device; a file is missing, damaged, or of another model.
    """
    chosen = choose_backend(backend, dtype, device)
    config, checkpoint = open_gguf(folder) if is_gguf(folder) else (load_config(folder), open_checkpoint(folder))
    config = _as_stored(config, checkpoint)
    if int8:
        checkpoint = quantized(checkpoint)
    model = Transformer(config, checkpoint, dtype, device, chosen)
    model.folder, model.notes = Path(folder), _notes(model, checkpoint.dequantised)
    checkpoint.refuse_rest([name for name in checkpoint.untaken if name.startswith(DRAFTERS_OWN)])
    return model


def _notes(model: Transformer, dequantised: Collection[str]) -> tuple[str, ...]:
    notes = []
    if dequantised:
        kind = str(model.dtype).removeprefix("torch.")
        notes.append(f"weights stored as {', '.join(sorted(dequantised))} are computed in {kind}")
    if model.computing.backend.name == "compiled" and not all(layer.is_plain for layer in model.layers):
        notes.append("backend compiled multiplies; the rest of this kind of layer is torch's")
    return tuple(notes)


def _as_stored(config: ModelConfig, checkpoint: Checkpoint) -> ModelConfig:
    """Untie where the file holds a head unlike the embedding, as transformers 5.23 does; a copy of it is let go."""
    if not config.shape.tied_embeddings:
        return config
    head, embedding = (checkpoint.tensors.get(f"{name}.weight") for name in ("lm_head", "model.embed_tokens"))
    if head is None or embedding is None or head.dtype != embedding.dtype:
        return config
    if torch.equal(head, embedding):
        checkpoint.drop("lm_head.weight")
        return config
    priced = config.spec.model_copy(update={"tied_embeddings": False})
    return config.with_shape(tied_embeddings=False).model_copy(update={"spec": priced})
