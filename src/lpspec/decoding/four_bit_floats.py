"""Weights of four bits that stand for sixteen numbers of a table, times a scale for each block of neighbours.

Layouts read:

- bitsandbytes, NF4 and FP4: ``weight`` uint8, two numbers a byte, the first in the upper half, blocks running on over
  rows; ``weight.absmax`` a scale each, or with double quantisation a byte into ``weight.nested_quant_map``;
  ``weight.quant_map`` the table; ``weight.quant_state.bitsandbytes__nf4`` or ``__fp4`` JSON with shape and block sizes.
  Source: bitsandbytes 0.48, functional.py (QuantState.from_dict); NF4: arXiv 2305.14314, appendix E.
- compressed-tensors, mxfp4-pack-quantized and nvfp4-pack-quantized: ``weight_packed`` uint8 [outputs, inputs / 2], the
  first number in the lower half, E2M1; ``weight_scale`` [outputs, inputs / group] a power of two less 127, or float8
  that ``weight_global_scale`` divides. Source: compressed-tensors 0.20.0; OCP Microscaling Formats 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from lpspec.errors import InputError, shown

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""Sign, two bits of exponent, one of mantissa: OCP Microscaling Formats 1.0, table 5."""

_STATE = "weight.quant_state.bitsandbytes__"
_BIAS = 127  # of E8M0's exponent; 255 is no number


class State(NamedTuple):
    """What bitsandbytes writes of a weight beside it.

    Attributes:
        shape: Outputs and inputs.
        block: Weights that share a scale.
        nested: Scales that share one in turn; None where they are not quantised themselves.
        offset: What is added to such scales.
    """

    shape: tuple[int, int]
    block: int
    nested: int | None
    offset: float


def bitsandbytes_state(layer: str, tensors: Mapping[str, Tensor], where: str) -> tuple[State, str]:
    """What bitsandbytes writes of a weight beside it, and the name of the tensor that holds it.

    Args:
        layer: How the weight's name begins, the dot included.
        tensors: All of the checkpoint.
        where: Begins what is said of any fault.

    Raises:
        InputError: It is missing or no such JSON.
    """
    name = next((name for kind in ("nf4", "fp4") if (name := f"{layer}{_STATE}{kind}") in tensors), None)
    if name is None:
        raise InputError(f"{where} has no tensor '{shown(layer, 60)}{_STATE}nf4', which its packed weights need")
    try:
        said = json.loads(bytes(tensors[name].tolist()))
        outputs, inputs = said["shape"]
        state = State((outputs, inputs), said["blocksize"], said.get("nested_blocksize"), said.get("nested_offset", 0))
        sizes = [outputs, inputs, state.block, 1 if state.nested is None else state.nested]
        good = all(type(size) is int and 0 < size < 2**31 for size in sizes) and isfinite(state.offset)
    except (ValueError, TypeError, KeyError, AttributeError):
        good = False
    if not good:
        raise InputError(
            f"{where}: '{shown(name, 80)}' must be JSON with shape and blocksize, and nested ones together"
        )
    return state, name


def bitsandbytes_values(
    layer: str, shape: tuple[int, int], tensors: Mapping[str, Tensor], where: str
) -> tuple[Tensor, list[str]]:
    """The values float32 of a weight in NF4 or FP4, and the names of the tensors that they were found with.

    Args:
        layer: As for ``bitsandbytes_state``.
        shape: [outputs, inputs] that it must have.
        tensors: All of the checkpoint.
        where: Begins what is said of any fault.

    Raises:
        InputError: A tensor is missing, or has another size or type.
    """
    state, used = bitsandbytes_state(layer, tensors, where)
    taken = [used]

    def take(ending: str, dtype: torch.dtype, count: int) -> Tensor:
        name = f"{layer}{ending}"
        if name not in tensors:
            raise InputError(f"{where} has no tensor '{shown(name, 80)}', which its packed weights need")
        tensor = tensors[name]
        if tensor.dtype != dtype or tensor.numel() != count:
            said = f"{tensor.numel()} of {str(tensor.dtype).removeprefix('torch.')}"
            raise InputError(f"{where}: '{shown(name, 80)}' holds {said}, expected {count} of {str(dtype)[6:]}")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{where}: '{shown(name, 80)}' holds numbers that are not finite")
        taken.append(name)
        return tensor.flatten()

    if state.shape != shape:
        raise InputError(f"{where}: '{layer}weight' has shape {list(state.shape)}, expected is {list(shape)}")
    numbers, blocks = shape[0] * shape[1], -(-shape[0] * shape[1] // state.block)
    packed, table = take("weight", torch.uint8, -(-numbers // 2)), take("weight.quant_map", torch.float32, 16)
    if state.nested is None:
        scales = take("weight.absmax", torch.float32, blocks)
    else:
        outer = take("weight.nested_absmax", torch.float32, -(-blocks // state.nested))
        inner = take("weight.nested_quant_map", torch.float32, 256)
        codes = take("weight.absmax", torch.uint8, blocks).long()
        scales = inner[codes] * outer.repeat_interleave(state.nested)[:blocks] + state.offset
    found = table[torch.stack([packed >> 4, packed & 15], 1).flatten()[:numbers].long()]
    return (found * scales.repeat_interleave(state.block)[:numbers]).view(shape), taken


def microscaled(packed: Tensor, scales: Tensor, divisor: float) -> Tensor:
    """The values float32 of weights in E2M1.

    Args:
        packed: uint8 [outputs, inputs / 2], the first number in the lower half.
        scales: [outputs, groups] in floating point, or exponents uint8.
        divisor: Of every scale.
    """
    numbers = torch.tensor(E2M1)[torch.stack([packed & 15, packed >> 4], 2).flatten(1).long()]
    values = torch.exp2(scales.float() - _BIAS) if scales.dtype == torch.uint8 else scales.float() / divisor
    return numbers * values.repeat_interleave(numbers.shape[1] // scales.shape[1], 1)
