"""A linear layer as the model calls it; those that share an input are one matrix multiplication."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.checkpoint import Tensors
from lpspec.decoding.kernels import few_rows_matmul
from lpspec.decoding.quantized import QuantizedLinear
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

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Multiply x [..., inputs] by the weight."""
        if self.bias is None and is_small(x, self.weight):
            product = small_product(x, self.weight)
            return product if onto is None else product.add_(onto)
        if onto is None:
            return functional.linear(x, self.weight, self.bias)
        if self.bias is None and x.dim() == 2:
            return torch.addmm(onto, x, self.weight.t())
        return onto + functional.linear(x, self.weight, self.bias)


SMALL = 5_000_000
"""Multiply-adds of a product, at about 25 a nanosecond, that is over before a second thread would be worth waking."""


def is_small(x: Tensor, weight: Tensor) -> bool:
    """Whether ``small_product`` can take x [n, inputs] and weight [outputs, inputs], and is the faster way."""
    return (
        x.dim() == 2
        and len(x) * weight.numel() <= SMALL
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and weight.is_contiguous()
        and not torch.is_grad_enabled()
    )


def small_product(x: Tensor, weight: Tensor) -> Tensor:
    """x [n, inputs] times weight [outputs, inputs] transposed, by a compiled loop."""
    out = torch.empty(len(x), len(weight))
    few_rows_matmul(x.contiguous().numpy(), weight.numpy(), out.numpy())
    return out


def take_linear(
    tensors: Tensors,
    outputs: dict[str, int],
    inputs: int,
    bias: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Linear:
    """Fuse the layers of these names, each with so many outputs, into one; INT8 where they have a ``weight_scale``.

    Raises:
        InputError: A tensor is missing or has another shape.
    """
    weights = [tensors.take(f"{name}.weight", rows, inputs) for name, rows in outputs.items()]
    biases = [tensors.take(f"{name}.bias", rows) for name, rows in outputs.items()] if bias else []
    fused_bias = _joined(biases).to(device, dtype) if bias else None
    if f"{next(iter(outputs))}.weight_scale" not in tensors:
        return FloatLinear(_joined([weight.to(device, dtype) for weight in weights]), fused_bias)
    scales = [tensors.take(f"{name}.weight_scale", rows) for name, rows in outputs.items()]
    return QuantizedLinear(_int8(weights, outputs).to(device), _joined(scales).to(device, torch.float32), fused_bias)


def _int8(weights: list[Tensor], names: Iterable[str]) -> Tensor:
    if any(weight.dtype != torch.int8 for weight in weights):
        raise InputError(f"'{', '.join(names)}' has a weight_scale, but its weight is not int8")
    return _joined(weights)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
