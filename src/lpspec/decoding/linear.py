"""A linear layer as the model calls it; those that share an input are one matrix multiplication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.checkpoint import Tensors


class Linear(Protocol):
    """Maps [..., inputs] to [..., outputs]."""

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply by the weight and add the bias, if there is one."""
        ...


@dataclass(eq=False)
class FloatLinear:
    """A weight [outputs, inputs] with a bias [outputs] or none."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply x [..., inputs] by the weight."""
        return functional.linear(x, self.weight, self.bias)


def take_linear(
    tensors: Tensors,
    outputs: dict[str, int],
    inputs: int,
    bias: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> FloatLinear:
    """Fuse the layers of these names, each with so many outputs, into one.

    Raises:
        InputError: A tensor is missing or has another shape.
    """
    weights = [tensors.take(f"{name}.weight", rows, inputs).to(device, dtype) for name, rows in outputs.items()]
    if not bias:
        return FloatLinear(_joined(weights))
    biases = [tensors.take(f"{name}.bias", rows).to(device, dtype) for name, rows in outputs.items()]
    return FloatLinear(_joined(weights), _joined(biases))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
