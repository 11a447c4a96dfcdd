"""A linear layer as the model calls it; those that share an input are one matrix multiplication."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from lpspec.decoding.backend import Backend, Product
from lpspec.decoding.checkpoint import Tensors
from lpspec.decoding.computing import Computing
from lpspec.decoding.quantized import QuantizedLinear
from lpspec.decoding.torch_backend import TORCH
from lpspec.errors import InputError


class Linear(Protocol):
    """Maps [..., inputs] to [..., outputs]."""

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Multiply by the weight and add the bias, if there is one, and what the result comes on top of."""
        ...


@dataclass(eq=False)
class FloatLinear:
    """A weight [outputs, inputs] with a bias [outputs] or none."""

    weight: Tensor
    bias: Tensor | None = None
    backend: Backend = TORCH

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Multiply x [..., inputs] by the weight."""
        return self._product(x, onto)

    @cached_property
    def _product(self) -> Product:
        return self.backend.product(self.weight, self.bias)


def take_linear(
    tensors: Tensors, outputs: dict[str, int], inputs: int, bias: bool = False, computing: Computing | None = None
) -> Linear:
    """Fuse the layers of these names, each with so many outputs, into one; in INT8 where all are stored so.

    Raises:
        InputError: A tensor is missing or wrong, or only some of them are stored in INT8.
    """
    how = computing or Computing()
    weights = {name: tensors.take_int8(f"{name}.weight", rows, inputs) for name, rows in outputs.items()}
    biases = [tensors.take(f"{name}.bias", rows) for name, rows in outputs.items()] if bias else []
    fused_bias = _joined(biases).to(how.device, how.dtype) if bias else None
    stored = [weight for weight in weights.values() if weight is not None]
    if not stored:
        taken = [
            tensors.take(f"{name}.weight", rows, inputs).to(how.device, how.dtype) for name, rows in outputs.items()
        ]
        return FloatLinear(_joined(taken), fused_bias, how.backend)
    if other := next((name for name, weight in weights.items() if weight is None), None):
        raise InputError(f"'{other}' is not stored in INT8, but a layer that shares its input is: all or none must be")
    weight, scale = (_joined(list(parts)) for parts in zip(*stored, strict=True))
    return QuantizedLinear(weight.to(how.device), scale.to(how.device, torch.float32), fused_bias, how.backend)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
