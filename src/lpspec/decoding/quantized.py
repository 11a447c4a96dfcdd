"""W8A8, as LP-Spec computes: INT8 weights scaled per row, INT8 activations scaled per token, integer multiplication.

Stored as plain safetensors: where a float checkpoint has ``X.weight``, there are ``X.weight`` in int8 and
``X.weight_scale``, float32 [outputs]. Embeddings, norms and biases stay in floating point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpspec.decoding.backend import Backend
from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.torch_backend import TORCH

_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"

LARGEST = 127  # the scale is symmetric: -128 is not used


@dataclass(eq=False)
class QuantizedLinear:
    """A weight int8 [outputs, inputs] with scales float32 [outputs], and a bias [outputs] or none."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None = None
    backend: Backend = TORCH

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Multiply x [..., inputs], rounded to INT8 per token, by the weight; the result has x's type."""
        rounded, token_scale = quantize_rows(x.reshape(-1, x.shape[-1]))
        y = self.backend.int_product(rounded, self.weight) * self.scale * token_scale.unsqueeze(1)
        y = (y if self.bias is None else y + self.bias).to(x.dtype)
        y = y.view(*x.shape[:-1], -1)
        return y if onto is None else onto + y


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of x [rows, columns] to int8, and give the scales float32 [rows] that undo it."""
    x = x.float()
    scale = x.abs().amax(1).div_(LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    return (x / scale.unsqueeze(1)).round_().to(torch.int8), scale


def quantized(checkpoint: Checkpoint) -> Checkpoint:
    """The W8A8 form of a checkpoint: every projection and the LM head in INT8, with scales beside them.

    What is stored in INT8 already stays as it is.

    Raises:
        InputError: A weight is stored in a way that is not read.
    """
    storage = checkpoint.storage.model_copy(update={"int8_activations": True, "method": None})
    stored = Checkpoint(checkpoint.tensors, checkpoint.said_as, storage)
    rounded: dict[str, Tensor] = {}

    def round_as(to: str, name: str) -> None:
        shape = packed.get(name) or tuple(stored.tensors[name].shape)
        int8 = stored.take_int8(name, *shape) or quantize_rows(stored.take(name, *shape))
        rounded[to], rounded[f"{to}_scale"] = int8

    packed = stored.packed_weights
    for name in (*stored.tensors, *packed):
        if name.endswith("_proj.weight") or name == _HEAD:
            round_as(name, name)
    rest = {name: tensor for name, tensor in stored.untaken.items() if not stored.is_harmless(name)}
    if _HEAD not in rounded and _EMBEDDING in stored:
        round_as(_HEAD, _EMBEDDING)
    return Checkpoint(rest | rounded, stored.said_as, stored.storage)
