"""Weights packed as GPTQ, AWQ and compressed-tensors do, one number at a time, with the values that they mean."""

from __future__ import annotations

import torch
from stored_folders import Stored
from torch import Tensor


def as_int32(numbers: list[int], bits: int) -> int:
    """Numbers, the first in the lowest bits, as one signed integer of 32 bits."""
    whole = sum(number << (bits * place) for place, number in enumerate(numbers))
    return whole - (1 << 32) if whole >= 1 << 31 else whole


def rows_packed(numbers: Tensor, bits: int, order: tuple[int, ...] | None = None) -> Tensor:
    """Numbers [rows, columns] with neighbours of a row in one integer, the last padded; ``order`` picks among eight."""
    per = 32 // bits
    places = order or tuple(range(per))
    padded = torch.nn.functional.pad(numbers, (0, -numbers.shape[1] % per)).tolist()
    packed = [
        [as_int32([row[first + place] for place in places], bits) for first in range(0, len(row), per)]
        for row in padded
    ]
    return torch.tensor(packed, dtype=torch.int32)


def rounded(weight: Tensor, group: Tensor, bits: int, symmetric: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Numbers 0 to 2**bits - 1, zero points and float16 scales [rows, groups], and the values float64 meant."""
    rows, columns = weight.shape
    groups, most = int(group.max()) + 1, (1 << bits) - 1
    numbers, values = torch.zeros(rows, columns, dtype=torch.int64), torch.zeros(rows, columns).double()
    zeros, scales = torch.zeros(rows, groups, dtype=torch.int64), torch.zeros(rows, groups).half()
    for row in range(rows):
        for part in range(groups):
            own = weight[row][group == part]
            low, high = min(float(own.min()), 0.0), max(float(own.max()), 0.0)
            if symmetric:
                high = max(-low, high)
                low = -high
            scales[row, part] = (high - low) / most
            zeros[row, part] = (most + 1) // 2 if symmetric else round(-low / float(scales[row, part]))
        for column in range(columns):
            scale, zero = float(scales[row, group[column]]), int(zeros[row, group[column]])
            number = min(max(round(float(weight[row, column]) / scale) + zero, 0), most)
            numbers[row, column], values[row, column] = number, (number - zero) * scale
    return numbers, zeros, scales, values


def neighbours(inputs: int, size: int | None) -> Tensor:
    return torch.arange(inputs) // (size or inputs)


def gptq(weight: Tensor, size: int | None = 16, bits: int = 4, v2: bool = False, shuffled: bool = False) -> Stored:
    inputs = weight.shape[1]
    group = neighbours(inputs, size)
    if shuffled:
        group = group[torch.randperm(inputs, generator=torch.Generator().manual_seed(inputs))]
    numbers, zeros, scales, values = rounded(weight, group, bits, symmetric=False)
    stored = zeros if v2 else (zeros - 1) % (1 << bits)
    parts = {
        "qweight": rows_packed(numbers, bits).T,
        "qzeros": rows_packed(stored.T, bits),
        "scales": scales.T,
        "g_idx": group.int(),
        "bias": torch.zeros(len(weight)).half(),
    }
    return parts, values


def awq(weight: Tensor, size: int | None = 16) -> Stored:
    numbers, zeros, scales, values = rounded(weight, neighbours(weight.shape[1], size), 4, symmetric=False)
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    parts = {
        "qweight": rows_packed(numbers.T, 4, order),
        "qzeros": rows_packed(zeros.T, 4, order),
        "scales": scales.T,
    }
    return parts, values


def compressed(
    weight: Tensor, size: int | None = 16, bits: int = 4, symmetric: bool = True, shuffled: bool = False
) -> Stored:
    inputs = weight.shape[1]
    group = neighbours(inputs, size)
    if shuffled:
        group = group[torch.randperm(inputs, generator=torch.Generator().manual_seed(inputs))]
    numbers, zeros, scales, values = rounded(weight, group, bits, symmetric)
    parts = {
        "weight_packed": rows_packed(numbers, bits),
        "weight_scale": scales,
        "weight_shape": torch.tensor(weight.shape),
    }
    if not symmetric:
        parts["weight_zero_point"] = rows_packed(zeros.T, bits).T
    if shuffled:
        parts["weight_g_idx"] = group.int()
    return parts, values
