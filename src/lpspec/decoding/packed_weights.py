"""Weights that a checkpoint packs into integers, and the scales and zero points that give their values back.

Layouts read, each a weight [outputs, inputs] whose group of neighbouring inputs shares scale and zero point:

- GPTQ: ``qweight`` packed along inputs, ``qzeros`` along outputs (version 1 stores them less one), ``g_idx`` says each
  input's group; 32 numbers of 3 bits fill three integers, one after the other. Source: AutoGPTQ, GPTQModel.
- AWQ, its gemm layout: both packed along outputs, eight of them in the order 0 2 4 6 1 3 5 7. Source: AutoAWQ.
- compressed-tensors, pack-quantized: ``weight_packed`` along inputs, ``weight_zero_point`` along outputs, both signed
  numbers offset by half their range. Source: https://github.com/vllm-project/compressed-tensors, 0.20.0.
- Those of ``four_bit_floats``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor

from lpspec.decoding.four_bit_floats import bitsandbytes_state, bitsandbytes_values, microscaled
from lpspec.errors import InputError

_AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where each of eight outputs stands in its integer, in units of four bits: they are written as 0 2 4 6 1 3 5 7."""

Kind = Literal["gptq", "awq", "pack-quantized", "bitsandbytes", "mxfp4", "nvfp4"]


class Packing(BaseModel):
    """How weights are packed.

    Args:
        kind: Whose layout.
        bits: Of a weight.
        group_size: Inputs that share a scale; None for all.
        zeros_less_one: Zero points are stored less one.
        symmetric: There are no zero points (compressed-tensors).
        ordered: Inputs of a group need not be neighbours: a tensor says each one's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    bits: Literal[2, 3, 4, 8]
    group_size: PositiveInt | None
    zeros_less_one: bool = False
    symmetric: bool = False
    ordered: bool = False

    @property
    def said(self) -> str:
        """In words."""
        names = {"gptq": "GPTQ", "awq": "AWQ", "pack-quantized": "compressed-tensors", "bitsandbytes": "bitsandbytes"}
        return f"{names.get(self.kind, self.kind.upper())}, {self.bits} bits a weight"

    def integers(self, numbers: int) -> int:
        """How many integers of 32 bits hold so many numbers."""
        return -(-numbers * self.bits // 32)

    def shape(self, integers: Tensor, stated: Tensor | None) -> tuple[int, int]:
        """Outputs and inputs of the weight in these integers, which a tensor beside it may state."""
        if stated is not None:
            outputs, inputs = stated.tolist()
            return int(outputs), int(inputs)
        rows, columns = integers.shape
        match self.kind:
            case "gptq":
                return columns, rows * 32 // self.bits
            case "awq":
                return columns * 32 // self.bits, rows
            case "pack-quantized":
                return rows, columns * 32 // self.bits
            case _:
                return rows, columns * 2

    def groups(self, inputs: int) -> int:
        """How many groups a row has."""
        return -(-inputs // (self.group_size or inputs))


MARKS: dict[Kind, str] = {
    "gptq": "qweight",
    "awq": "qweight",
    "bitsandbytes": "weight.absmax",
    "pack-quantized": "weight_packed",
    "mxfp4": "weight_packed",
    "nvfp4": "weight_packed",
}
"""What stands in place of ``weight`` in the name of the integers, or of what tells that they are."""


class _Parts:
    """What belongs to one packed weight, shapes and types checked as it is taken.

    Attributes:
        used: Names taken.
    """

    def __init__(self, layer: str, tensors: Mapping[str, Tensor], where: str) -> None:
        """Take nothing yet."""
        self._layer, self._tensors, self._where = layer, tensors, where
        self.used: list[str] = []

    def __contains__(self, ending: str) -> bool:
        """True where there is a tensor with this ending."""
        return f"{self._layer}{ending}" in self._tensors

    def take(self, ending: str, *shape: int) -> Tensor:
        """The tensor of that ending.

        Raises:
            InputError: It is missing or has another shape.
        """
        name = f"{self._layer}{ending}"
        if name not in self._tensors:
            raise InputError(f"{self._where} has no tensor '{name}', which its packed weights need")
        tensor = self._tensors[name]
        if tuple(tensor.shape) != shape:
            raise self.fault(ending, f"has shape {list(tensor.shape)}, expected is {list(shape)}")
        self.used.append(name)
        return tensor

    def integers(self, ending: str, *shape: int) -> Tensor:
        """The same, which must be int32.

        Raises:
            InputError: It is missing, or has another shape or type.
        """
        tensor = self.take(ending, *shape)
        if tensor.dtype != torch.int32:
            raise self.fault(ending, f"is {str(tensor.dtype).removeprefix('torch.')}, expected is int32")
        return tensor

    def scales(self, ending: str, *shape: int) -> Tensor:
        """The same in float32, which must be stored in floating point and finite.

        Raises:
            InputError: It is missing, or has another shape or type.
        """
        tensor = self.take(ending, *shape)
        if not tensor.is_floating_point() or not bool(tensor.float().isfinite().all()):
            raise self.fault(ending, "must hold finite scales in floating point")
        return tensor.float()

    def group_of_inputs(self, ending: str, inputs: int, packing: Packing) -> Tensor:
        """Each input's group, int64 [inputs]: neighbours, where no tensor says otherwise.

        Raises:
            InputError: There are no such groups, or the tensor is missing that must say so.
        """
        groups, in_order = packing.groups(inputs), torch.arange(inputs) // (packing.group_size or inputs)
        if ending not in self and not packing.ordered:
            return in_order
        found = self.take(ending, inputs).long()
        if bool((found == -1).all()):  # as it is before anything is reordered
            return in_order
        if int(found.min()) < 0 or int(found.max()) >= groups:
            raise self.fault(ending, f"names groups outside 0 to {groups - 1}")
        return found

    def fault(self, ending: str, said: str) -> InputError:
        """What is wrong with the tensor of that ending."""
        return InputError(f"{self._where}: '{self._layer}{ending}' {said}")


def packed_mark(name: str, tensors: Mapping[str, Tensor], packing: Packing | None) -> str | None:
    """The name of the integers that hold a weight, were it there; None where they do not."""
    mark = None if packing is None else f"{name.removesuffix('weight')}{MARKS[packing.kind]}"
    return mark if name.endswith("weight") and mark in tensors else None


def unpacked(
    name: str, shape: tuple[int, ...], tensors: Mapping[str, Tensor], packing: Packing, where: str
) -> tuple[Tensor, list[str]]:
    """The values float32 of a packed weight, and the names of the tensors that they were found with.

    Args:
        name: Of the weight, were it there: ``X.weight``.
        shape: [outputs, inputs] that it must have.
        tensors: All of the checkpoint.
        packing: How it is packed.
        where: Begins what is said of any fault.

    Raises:
        InputError: A tensor is missing, or has another shape or type.
    """
    layer = name.removesuffix("weight")
    outputs, inputs = shape
    if packing.kind == "bitsandbytes":
        return bitsandbytes_values(layer, (outputs, inputs), tensors, where)
    parts = _Parts(layer, tensors, where)
    along = outputs if packing.kind == "awq" else inputs
    if along * packing.bits % 32 and packing.kind in ("gptq", "awq"):
        size = f"{outputs} x {inputs} weights of {packing.bits} bits"
        raise InputError(f"{where}: '{name}' would be {size}, which are no whole integers")
    readers = {"gptq": _gptq, "awq": _awq, "pack-quantized": _pack_quantized, "mxfp4": _mxfp4, "nvfp4": _nvfp4}
    return readers[packing.kind](parts, outputs, inputs, packing), parts.used


def packed_shape(layer: str, tensors: Mapping[str, Tensor], packing: Packing, where: str) -> tuple[int, int] | None:
    """Outputs and inputs of a packed weight; None where its integers are no matrix.

    Raises:
        InputError: What should say it is damaged.
    """
    if packing.kind == "bitsandbytes":
        return bitsandbytes_state(f"{layer}.", tensors, where)[0].shape
    integers = tensors[f"{layer}.{MARKS[packing.kind]}"]
    return packing.shape(integers, tensors.get(f"{layer}.weight_shape")) if integers.dim() == 2 else None


def _gptq(parts: _Parts, outputs: int, inputs: int, packing: Packing) -> Tensor:
    groups = packing.groups(inputs)
    weight = _split(parts.integers("qweight", packing.integers(inputs), outputs), packing.bits, 0)
    zeros = _split(parts.integers("qzeros", groups, packing.integers(outputs)), packing.bits, 1)[:, :outputs]
    if packing.zeros_less_one:
        zeros = (zeros + 1) % (1 << packing.bits)
    scales = parts.scales("scales", groups, outputs)
    group = parts.group_of_inputs("g_idx", inputs, packing)
    return ((weight - zeros[group]) * scales[group]).t().contiguous()


def _awq(parts: _Parts, outputs: int, inputs: int, packing: Packing) -> Tensor:
    groups = packing.groups(inputs)

    def in_order(ending: str, rows: int) -> Tensor:
        found = _split(parts.integers(ending, rows, outputs // 8), packing.bits, 1)
        return found.view(rows, -1, 8)[..., list(_AWQ_PLACES)].reshape(rows, outputs)

    weight, zeros = in_order("qweight", inputs), in_order("qzeros", groups)
    scales, group = parts.scales("scales", groups, outputs), parts.group_of_inputs("g_idx", inputs, packing)
    return ((weight - zeros[group]) * scales[group]).t().contiguous()


def _pack_quantized(parts: _Parts, outputs: int, inputs: int, packing: Packing) -> Tensor:
    groups, half = packing.groups(inputs), 1 << (packing.bits - 1)
    weight = _split(parts.integers("weight_packed", outputs, packing.integers(inputs)), packing.bits, 1)[:, :inputs]
    if "weight_shape" in parts and parts.take("weight_shape", 2).tolist() != [outputs, inputs]:
        raise parts.fault("weight_shape", f"is not {outputs} x {inputs}, as the configuration has it")
    zeros = torch.full((outputs, groups), half)
    if not packing.symmetric:
        stored = parts.integers("weight_zero_point", packing.integers(outputs), groups)
        zeros = _split(stored, packing.bits, 0)[:outputs]
    scales = parts.scales("weight_scale", outputs, groups)
    group = parts.group_of_inputs("weight_g_idx", inputs, packing)
    return (weight - zeros[:, group]) * scales[:, group]


def _mxfp4(parts: _Parts, outputs: int, inputs: int, packing: Packing) -> Tensor:
    return _of_bytes(parts, outputs, inputs, packing, torch.uint8, 1.0)


def _nvfp4(parts: _Parts, outputs: int, inputs: int, packing: Packing) -> Tensor:
    divisor = float(parts.scales("weight_global_scale", 1))
    if divisor <= 0:
        raise parts.fault("weight_global_scale", "must be above 0")
    return _of_bytes(parts, outputs, inputs, packing, torch.float8_e4m3fn, divisor)


def _of_bytes(
    parts: _Parts, outputs: int, inputs: int, packing: Packing, of_scales: torch.dtype, divisor: float
) -> Tensor:
    size = packing.group_size or inputs
    if inputs % size or inputs % 2:
        raise parts.fault("weight_packed", f"would be rows of {inputs}, which are no whole groups of {size}")
    packed = parts.take("weight_packed", outputs, inputs // 2)
    scales = parts.take("weight_scale", outputs, inputs // size)
    for ending, tensor, dtype in (("weight_packed", packed, torch.uint8), ("weight_scale", scales, of_scales)):
        if tensor.dtype != dtype:
            said = str(tensor.dtype).removeprefix("torch.")
            raise parts.fault(ending, f"is {said}, expected is {str(dtype).removeprefix('torch.')}")
    values = microscaled(packed, scales, divisor)
    if not bool(values.isfinite().all()) or (of_scales == torch.uint8 and bool((scales == 255).any())):
        raise parts.fault("weight_scale", "must hold finite scales")
    return values


def _split(integers: Tensor, bits: int, along: int) -> Tensor:
    """The numbers int32 that integers [rows, columns] hold, lowest bits first, along rows (0) or columns (1)."""
    if bits == 3:
        return _split_stream(integers if along else integers.t(), bits, along)
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    if along == 0:
        numbers = (integers.unsqueeze(1) >> shifts.view(1, -1, 1)) & ((1 << bits) - 1)
        return numbers.reshape(-1, integers.shape[1])
    numbers = (integers.unsqueeze(2) >> shifts) & ((1 << bits) - 1)
    return numbers.reshape(len(integers), -1)


def _split_stream(integers: Tensor, bits: int, along: int) -> Tensor:
    """The same of rows [rows, integers] whose numbers run on from one integer to the next; columns again where 0."""
    singles = (integers.unsqueeze(2) >> torch.arange(32, dtype=torch.int32)) & 1
    whole = singles.shape[1] * 32 // bits
    stream = singles.reshape(len(integers), -1)[:, : whole * bits].view(len(integers), whole, bits)
    numbers = (stream << torch.arange(bits, dtype=torch.int32)).sum(2, dtype=torch.int32)
    return numbers if along else numbers.t()
