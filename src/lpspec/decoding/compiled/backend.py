"""The backend of compiled loops: products of few rows, and layers that one core passes few tokens through.

A pass of many tokens is torch's in this backend too, which is the faster there; so is what does not suit the loops:
other types than float32 and bfloat16, and rows or heads whose length is no multiple of a vector's.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.backend import Layers, Product, StackPass
from lpspec.decoding.compiled.block_product import (
    LANES,
    Float32,
    Weight,
    add_product,
    as_read,
    multiplies_bfloat16,
)
from lpspec.decoding.compiled.layer_kernels import LayerWeights, decoder_stack
from lpspec.decoding.kv_cache import Window
from lpspec.decoding.layer import DecoderLayer
from lpspec.decoding.linear import FloatLinear
from lpspec.decoding.pass_context import PassContext
from lpspec.decoding.torch_backend import TORCH

FEW = 32
"""Rows for which a weight is better read in place than laid out anew, as torch does, however large it is."""

SMALL = 20_000_000
"""Multiply-adds of a product, about 40 a nanosecond, that one core does as fast as torch does them on two."""

LIGHT = 1 << 20
"""Elements of a weight that one core's caches pass on as fast as it multiplies."""


def torch_is_faster(dtype: torch.dtype) -> bool:
    """Whether torch has instructions of this processor for the type, and the loops have none."""
    return dtype == torch.bfloat16 and multiplies_bfloat16()


class CompiledBackend:
    """Products, layers and integers by compiled loops, where they suit these."""

    name = "compiled"

    def product(self, weight: Tensor, bias: Tensor | None) -> Product:
        """See ``Backend``; sums are in float32, rounded once to the type of x."""
        by_torch, read = TORCH.product(weight, bias), _as_read(weight)
        if read is None:
            return by_torch
        added = None if bias is None else bias.float().numpy()
        outputs, inputs = weight.shape

        def multiply(x: Tensor, onto: Tensor | None = None) -> Tensor:
            rows = x.numel() // inputs
            if rows > FEW and rows * weight.numel() > SMALL:
                return by_torch(x, onto)
            shape = *x.shape[:-1], outputs
            out = np.zeros(shape, np.float32) if onto is None else onto.float().numpy().copy()
            if added is not None:
                out += added
            few = x.float().contiguous().numpy().reshape(rows, inputs)
            add_product(few, read, out.reshape(rows, outputs), torch.get_num_threads())
            return torch.from_numpy(out).to(x.dtype)

        return multiply

    def stack(self, stack: Layers) -> StackPass:
        """See ``Backend``; for few tokens behind a cache, who attend by a mask, in one call."""
        weights = _stack_weights(stack)
        if weights is None:
            return stack.by_operators
        attention, eps, norm = stack.layers[0].attention, stack.eps, _vector(stack.norm)
        per_key, largest = attention.heads * attention.head_dim, max(layer.gate_up.size for layer in weights)

        def run(x: Tensor, context: PassContext, cache: Window | None = None) -> tuple[Tensor, Sequence[Tensor]]:
            whole = context.table.shape[-1] == attention.head_dim  # some models turn a part of each head only
            if not whole or cache is None or context.mask is None or len(x) * max(largest, cache.end * per_key) > SMALL:
                return stack.by_operators(x, context, cache)
            hidden, streams = decoder_stack(
                x.contiguous().numpy(),
                context.table.numpy(),
                context.positions.numpy(),
                context.mask.contiguous().numpy(),
                cache.data.numpy(),
                cache.start,
                weights,
                norm,
                eps,
            )
            return torch.from_numpy(hidden), torch.from_numpy(streams).unbind()

        return run

    def int_product(self, x: Tensor, weight: Tensor) -> Tensor:
        """See ``Backend``."""
        out = np.zeros((x.shape[0], weight.shape[0]), np.int32)
        if missing := -x.shape[1] % (2 * LANES):
            x, weight = (functional.pad(side, (0, missing)) for side in (x, weight))
        add_product(x.contiguous().numpy(), weight.contiguous().numpy(), out, torch.get_num_threads())
        return torch.from_numpy(out)


def _as_read(weight: Tensor) -> Weight | None:
    """A weight [outputs, inputs] as loops read it; None if they cannot."""
    if weight.shape[1] % LANES or not weight.is_contiguous():
        return None
    if weight.dtype == torch.float32:
        return as_read(weight.numpy()) if weight.numel() <= LIGHT else weight.numpy()
    return weight.view(torch.int16).numpy() if weight.dtype == torch.bfloat16 else None


def _stack_weights(stack: Layers) -> tuple[LayerWeights, ...] | None:
    """All layers' weights for the loop over them, which wants them in one form; None if it cannot take them."""
    found = tuple(_layer_weights(layer) for layer in stack.layers)
    weights = tuple(layer for layer in found if layer is not None)
    one_form = len({tuple(array.dtype for array in layer) for layer in weights}) == 1
    return weights if one_form and len(weights) == len(found) else None


def _layer_weights(layer: DecoderLayer) -> LayerWeights | None:
    """The weights of a layer as the loop over it takes them; None if it cannot."""
    if not layer.is_plain:
        return None
    attention, mlp = layer.attention, layer.mlp
    linears: Sequence[object] = (attention.qkv, attention.out, mlp.gate_up, mlp.down)
    floats = [linear for linear in linears if isinstance(linear, FloatLinear) and linear.weight.dtype == torch.float32]
    read = [_as_read(linear.weight) for linear in floats if linear.weight.numel() <= LIGHT]
    weights = [weight for weight in read if weight is not None]
    if len(weights) < len(linears) or attention.head_dim % LANES:
        return None
    qkv_bias, out_bias, *others = (_vector(linear.bias) for linear in floats)
    if any(map(len, others)):
        return None
    qkv, out, gate_up, down = weights
    norms = _vector(layer.input_norm), _vector(layer.post_norm)
    return LayerWeights(norms[0], qkv, qkv_bias, out, out_bias, norms[1], gate_up, down)


def _vector(values: Tensor | None) -> Float32:
    return np.empty(0, np.float32) if values is None else values.numpy()
