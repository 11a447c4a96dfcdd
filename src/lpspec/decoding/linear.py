"""A linear layer as the model calls it; those that share an input are one matrix multiplication."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.block_product import LANES, Float32, Weight, add_product, as_read, multiplies_bfloat16
from lpspec.decoding.checkpoint import Tensors
from lpspec.decoding.quantized import QuantizedLinear
from lpspec.errors import InputError

Weights = tuple[Weight, Float32]


class Linear(Protocol):
    """Maps [..., inputs] to [..., outputs]."""

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Multiply by the weight and add the bias, if there is one, and what the result comes on top of."""
        ...

    @property
    def arrays(self) -> Weights | None:
        """Weight and bias (empty if there is none) as compiled loops take them; None if they cannot."""
        ...


@dataclass(eq=False)
class FloatLinear:
    """A weight [outputs, inputs] with a bias [outputs] or none."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Multiply x [..., inputs] by the weight."""
        if self.arrays is not None and x.dim() == 2 and few_enough(x.shape[0], self.weight.numel()):
            return few_products(x, *self.arrays, onto)
        if onto is None:
            return functional.linear(x, self.weight, self.bias)
        if self.bias is None and x.dim() == 2:
            return torch.addmm(onto, x, self.weight.t())
        return onto + functional.linear(x, self.weight, self.bias)

    @cached_property
    def arrays(self) -> Weights | None:
        """Weight and bias (empty if there is none) as compiled loops take them; None if they cannot."""
        weight, bias = self.weight, self.bias
        if weight.shape[1] % LANES:
            return None
        if suits_kernels(weight):
            array = as_read(weight.numpy()) if weight.numel() <= LIGHT else weight.numpy()
        elif suits_kernels(weight, torch.bfloat16) and not multiplies_bfloat16():  # else torch is faster
            array = weight.view(torch.int16).numpy()
        else:
            return None
        return array, np.empty(0, np.float32) if bias is None else bias.float().numpy()


def suits_kernels(weight: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether compiled loops can read it as this type: on a CPU, row after row, and not in training."""
    return weight.is_cpu and weight.is_contiguous() and weight.dtype == dtype and not weight.requires_grad


def few_enough(tokens: int, weights: int) -> bool:
    """Whether compiled loops are the faster way for so many tokens and weights, and no gradient is to follow."""
    return not torch.is_grad_enabled() and (tokens <= FEW or tokens * weights <= SMALL)


def small_enough(tokens: int, weights: int) -> bool:
    """Whether one core alone is as fast as several, and no gradient is to follow."""
    return tokens * weights <= SMALL and not torch.is_grad_enabled()


def few_products(x: Tensor, weight: Weight, bias: Float32, onto: Tensor | None = None) -> Tensor:
    """x [n, inputs] times the weight, plus the bias and ``onto``, by compiled loops that sum in float32."""
    shape = x.shape[0], weight.shape[0]
    out = np.zeros(shape, np.float32) if onto is None else onto.float().numpy().copy()
    if len(bias):
        out += bias
    add_product(x.float().contiguous().numpy(), weight, out, torch.get_num_threads())
    return torch.from_numpy(out).to(x.dtype)


FEW = 32
"""Tokens for which a weight is better read in place than laid out anew, as torch does, however large it is."""

SMALL = 20_000_000
"""Multiply-adds of a product, about 40 a nanosecond, that one core does as fast as torch does them on two."""

LIGHT = 1 << 20
"""Elements of a weight that one core's caches pass on as fast as it multiplies."""


def take_linear(
    tensors: Tensors,
    outputs: dict[str, int],
    inputs: int,
    bias: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Linear:
    """Fuse the layers of these names, each with so many outputs, into one; in INT8 where all are stored so.

    Raises:
        InputError: A tensor is missing or wrong, or only some of them are stored in INT8.
    """
    weights = {name: tensors.take_int8(f"{name}.weight", rows, inputs) for name, rows in outputs.items()}
    biases = [tensors.take(f"{name}.bias", rows) for name, rows in outputs.items()] if bias else []
    fused_bias = _joined(biases).to(device, dtype) if bias else None
    stored = [weight for weight in weights.values() if weight is not None]
    if not stored:
        taken = [tensors.take(f"{name}.weight", rows, inputs).to(device, dtype) for name, rows in outputs.items()]
        return FloatLinear(_joined(taken), fused_bias)
    if other := next((name for name, weight in weights.items() if weight is None), None):
        raise InputError(f"'{other}' is not stored in INT8, but a layer that shares its input is: all or none must be")
    weight, scale = (_joined(list(parts)) for parts in zip(*stored, strict=True))
    return QuantizedLinear(weight.to(device), scale.to(device, torch.float32), fused_bias)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
