"""Weights that a checkpoint stores in fewer bits, INT8 or float8, with the scales that give their values back.

Layouts read: W8A8 (compressed-tensors and the project's own, ``weight_scale``), LLM.int8 (bitsandbytes, ``SCB``), and
float8 with one scale per tensor, row or block (``weight_scale``, ``weight_scale_inv``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor

from lpspec.decoding.packed_weights import Packing
from lpspec.errors import InputError

SCALES = ("weight_scale", "weight_scale_inv", "SCB")
"""What may stand in place of ``weight`` in the names of scales. In spite of its name, weight_scale_inv multiplies."""

_SCB_STEPS = 127
"""Steps of bitsandbytes' rows: a weight is its INT8 times SCB / 127, SCB being the row's largest magnitude."""

_PACKED = ("qweight", "weight_packed", "weight.absmax", "weight_global_scale", "blocks")

_PLAIN = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
"""Types of numbers that are weights by themselves; E8M0 and E2M1 are parts of formats with scales."""

_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)


class Storage(BaseModel):
    """What a configuration says of its weights' storage, as far as their tensors don't."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block: tuple[PositiveInt, PositiveInt] = (128, 128)
    """Rows and columns that share a scale where scales are given by block; absent, as in transformers 5.24."""
    int8_activations: bool | None = None
    """Whether layers stored in INT8 round what they multiply to INT8 too; None for those that have ``weight_scale``."""

    packing: Packing | None = None
    """How weights are packed into integers of 32 bits, where they are."""

    method: str | None = None
    """The ``quant_method``; None where weights may be in full, too."""


def in_fewer_bits(tensor: Tensor) -> bool:
    """Whether a tensor is one of INT8 or float8, whose values its scales tell."""
    return tensor.dtype == torch.int8 or tensor.dtype in _FLOAT8


def weight_values(name: str, tensors: Mapping[str, Tensor], storage: Storage, where: str) -> tuple[Tensor, list[str]]:
    """The values of a tensor in floating point, and the names of the tensors that they were found with.

    Args:
        name: Of the tensor.
        tensors: All of the checkpoint.
        storage: What its configuration says.
        where: Begins what is said of any fault.

    Raises:
        InputError: It is stored in a way that is not read, or what gives its values back is missing or wrong.
    """
    tensor = tensors[name]
    if not in_fewer_bits(tensor):
        _refuse_scales(name, tensors, where)
        if tensor.dtype not in _PLAIN:
            raise InputError(f"{where}: '{name}' is {_said(tensor)}, allowed are floating point, int8 and float8")
        return tensor, []
    scale, used = _scale(name, tensors, where)
    return tensor.float() * _spread(scale, tensor, storage, f"{where}: '{used[0]}'"), used


def int8_rows(name: str, tensors: Mapping[str, Tensor], where: str) -> tuple[Tensor, Tensor, list[str]]:
    """A weight stored in INT8 [rows, columns], its scales float32 [rows], and the names of what tells these.

    Raises:
        InputError: Its scales are missing or wrong.
    """
    tensor = tensors[name]
    scale, used = _scale(name, tensors, where)
    if scale.numel() != 1 and tuple(scale.shape) not in ((len(tensor),), (len(tensor), 1)):
        raise InputError(f"{where}: '{used[0]}' has shape {list(scale.shape)}, expected is one scale per row of INT8")
    return tensor, scale.flatten().expand(len(tensor)).contiguous(), used


def rounds_activations(name: str, tensors: Mapping[str, Tensor], storage: Storage) -> bool:
    """Whether what a weight multiplies is to be rounded to INT8, as the weight is."""
    if tensors[name].dtype != torch.int8:
        return False
    rounds = storage.int8_activations
    return _beside(name, "SCB") not in tensors if rounds is None else rounds


def _refuse_scales(name: str, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse a floating-point weight with scales: whoever wrote them meant another.

    Raises:
        InputError: It has some.
    """
    for scale in _scale_names(name):
        if scale in tensors:
            layer = name.removesuffix(".weight")
            raise InputError(
                f"{where}: '{layer}' has a {scale.removeprefix(layer + '.')}, but its weight is not int8 or float8"
            )


def packed_name(name: str, tensors: Mapping[str, Tensor]) -> str | None:
    """The tensor that holds a weight's bits packed where the weight itself is missing."""
    return next((other for ending in _PACKED if (other := _beside(name, ending)) in tensors), None)


def _scale(name: str, tensors: Mapping[str, Tensor], where: str) -> tuple[Tensor, list[str]]:
    """The scale float32 that multiplies a tensor, and the names of all that tells it."""
    found = [scale for scale in _scale_names(name) if scale in tensors]
    if len(found) != 1 or (found[0].endswith("SCB") and tensors[name].dtype != torch.int8):
        said = " and ".join(scale.rpartition(".")[2] for scale in found) or "no scales"
        raise InputError(f"{where}: '{name}' is {_said(tensors[name])} and has {said}: one of its scales is needed")
    scale = tensors[found[0]]
    if not scale.is_floating_point():
        raise InputError(f"{where}: '{found[0]}' is {_said(scale)}, expected are scales in floating point")
    scale = scale.float()
    if not bool(scale.isfinite().all()):
        raise InputError(f"{where}: '{found[0]}' holds scales that are not finite")
    for ending in ("weight_zero_point", "weight_format"):  # zero points; bitsandbytes' order of elements, 0 for rows
        if (other := _beside(name, ending)) in tensors:
            if bool(tensors[other].any()):
                raise InputError(f"{where}: '{other}' is not 0, which is all that is read")
            found.append(other)
    return (scale / _SCB_STEPS if found[0].endswith("SCB") else scale), found


def _spread(scale: Tensor, tensor: Tensor, storage: Storage, where: str) -> Tensor:
    """A scale per tensor, row or block in a shape that multiplies the tensor."""
    shape = tuple(scale.shape)
    if scale.numel() == 1:
        return scale.reshape(())
    rows, columns = tensor.shape if tensor.dim() == 2 else (len(tensor), 0)
    if shape in ((rows,), (rows, 1)) and tensor.dim() == 2:
        return scale.reshape(rows, 1)
    high, wide = storage.block
    if tensor.dim() == 2 and shape == (-(-rows // high), -(-columns // wide)):
        return scale.repeat_interleave(high, 0)[:rows].repeat_interleave(wide, 1)[:, :columns]
    raise InputError(
        f"{where} has shape {list(shape)}, expected is a scale for all, for each of {rows} rows, or for each block"
        f" of {high} x {wide}"
    )


def _scale_names(name: str) -> list[str]:
    return [_beside(name, ending) for ending in SCALES]


def _beside(name: str, ending: str) -> str:
    """The name of what belongs to a weight: ``X.weight_scale`` of ``X.weight``."""
    return f"{name.removesuffix('weight')}{ending}" if name.endswith("weight") else f"{name}.{ending}"


def _said(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
