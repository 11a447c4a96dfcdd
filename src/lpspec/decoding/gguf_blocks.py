"""The values of GGUF's block types. Layouts: ggml-org/llama.cpp, ggml/src/ggml-common.h and ggml-quants.c."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lpspec.errors import InputError

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def block_values(data: Bytes, type_name: str, where: str) -> Floats:
    """The numbers float32 of whole blocks of one type.

    Args:
        data: Their bytes.
        type_name: As in ``lpspec.llm.gguf.BLOCK_TYPES``.
        where: Begins what is said of any fault.

    Raises:
        InputError: Blocks of this type are not read.
    """
    if type_name in _PLAIN:
        return data.view(_PLAIN[type_name]).astype(np.float32)
    if type_name == "bf16":
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if type_name not in _BLOCKS:
        allowed = ", ".join([*_PLAIN, "bf16", *_BLOCKS])
        raise InputError(f"{where} is of type {type_name}, which is not read: allowed are {allowed}")
    size_bytes, values = _BLOCKS[type_name]
    return values(data.reshape(-1, size_bytes)).reshape(-1).astype(np.float32)


def _halves(blocks: Bytes, start: int) -> Floats:
    """One float16 of every block, [blocks, 1]."""
    return np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> NDArray[np.int32]:
    """Low halves of the bytes of each block, then high ones."""
    return np.concatenate([packed & 15, packed >> 4], 1).astype(np.int32)


def _fifth_bits(blocks: Bytes, start: int) -> NDArray[np.int32]:
    """The 32 bits of each block that begin at a byte, each worth 16."""
    return np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little").astype(np.int32) << 4


def _q4_0(blocks: Bytes) -> Floats:
    return _halves(blocks, 0) * (_nibbles(blocks[:, 2:]) - 8)


def _q4_1(blocks: Bytes) -> Floats:
    return _halves(blocks, 0) * _nibbles(blocks[:, 4:]) + _halves(blocks, 2)


def _q5_0(blocks: Bytes) -> Floats:
    return _halves(blocks, 0) * ((_nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)) - 16)


def _q5_1(blocks: Bytes) -> Floats:
    return _halves(blocks, 0) * (_nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)) + _halves(blocks, 2)


def _q8_0(blocks: Bytes) -> Floats:
    return _halves(blocks, 0) * blocks[:, 2:].view(np.int8)


def _six_bits(packed: Bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Eight scales and eight minima of six bits each in 12 bytes of every block: [blocks, 8] each."""
    first, second, both = (packed[:, start : start + 4].astype(np.int32) for start in (0, 4, 8))
    scales = np.concatenate([first & 63, (both & 15) | (first >> 6 << 4)], 1)
    minima = np.concatenate([second & 63, (both >> 4) | (second >> 6 << 4)], 1)
    return scales, minima


def _scaled(blocks: Bytes, numbers: NDArray[np.int32]) -> Floats:
    """Numbers [blocks, 256] of Q4_K and Q5_K, whose parts of 32 have a scale and a minimum each."""
    scales, minima = _six_bits(blocks[:, 4:16])
    steps, lows = _halves(blocks, 0) * scales, _halves(blocks, 2) * minima
    values: Floats = steps[..., None] * numbers.reshape(-1, 8, 32) - lows[..., None]
    return values


def _parts_of_64(packed: Bytes) -> NDArray[np.int32]:
    """Four times 32 bytes, of each first the low halves, then the high ones: [blocks, 8, 32]."""
    parts = packed.reshape(-1, 4, 1, 32)
    return np.concatenate([parts & 15, parts >> 4], 2).reshape(-1, 8, 32).astype(np.int32)


def _q4_k(blocks: Bytes) -> Floats:
    return _scaled(blocks, _parts_of_64(blocks[:, 16:]))


def _q5_k(blocks: Bytes) -> Floats:
    part = np.arange(8).reshape(1, 8, 1)
    fifth = (blocks[:, None, 16:48].astype(np.int32) >> part & 1) << 4
    return _scaled(blocks, _parts_of_64(blocks[:, 48:]) | fifth)


def _q6_k(blocks: Bytes) -> Floats:
    low, high = blocks[:, :128].reshape(-1, 2, 2, 32), blocks[:, 128:192].reshape(-1, 2, 1, 32)
    lower = np.concatenate([low & 15, low >> 4], 2).astype(np.int32)  # [blocks, halves, 4, 32]
    upper = (high.astype(np.int32) >> np.array([0, 2, 4, 6]).reshape(1, 1, 4, 1)) & 3
    numbers = (lower | upper << 4) - 32
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32) * _halves(blocks, 208)
    values: Floats = scales[..., None] * numbers.reshape(-1, 16, 16)
    return values


def _quarters(packed: Bytes) -> NDArray[np.int32]:
    """Two times 32 bytes, of each first the lowest two bits, then the next: [blocks, 16, 16]."""
    shifts = np.array([0, 2, 4, 6]).reshape(1, 1, 4, 1)
    numbers: NDArray[np.int32] = (packed.reshape(-1, 2, 1, 32).astype(np.int32) >> shifts) & 3
    return numbers.reshape(-1, 16, 16)


def _q2_k(blocks: Bytes) -> Floats:
    both = blocks[:, :16].astype(np.int32)
    steps, lows = _halves(blocks, 80) * (both & 15), _halves(blocks, 82) * (both >> 4)
    values = steps[..., None] * _quarters(blocks[:, 16:80]) - lows[..., None]
    return values.astype(np.float32)


def _q3_k(blocks: Bytes) -> Floats:
    packed = blocks[:, 96:108].astype(np.int32)
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], 1)
    high = np.concatenate([packed[:, 8:] >> shift & 3 for shift in (0, 2, 4, 6)], 1)
    scales = _halves(blocks, 108) * ((low | high << 4) - 32)
    third = blocks[:, :32].astype(np.int32)[:, None, :] >> np.arange(8).reshape(1, 8, 1) & 1
    numbers = _quarters(blocks[:, 32:96]) - 4 * (1 - third.reshape(-1, 16, 16))
    values: Floats = scales[..., None] * numbers
    return values


def _iq4_nl(blocks: Bytes) -> Floats:
    values: Floats = _halves(blocks, 0) * _UNEVEN[_nibbles(blocks[:, 2:])]
    return values


def _iq4_xs(blocks: Bytes) -> Floats:
    low, high = blocks[:, 4:8].astype(np.int32), np.ascontiguousarray(blocks[:, 2:4]).view("<u2").astype(np.int32)
    lower = np.stack([low & 15, low >> 4], 2).reshape(-1, 8)
    scales = _halves(blocks, 0) * ((lower | (high >> np.arange(0, 16, 2) & 3) << 4) - 32)
    parts = blocks[:, 8:].reshape(-1, 8, 16)
    values: Floats = scales[..., None] * _UNEVEN[np.concatenate([parts & 15, parts >> 4], 2)]
    return values


def _mxfp4(blocks: Bytes) -> Floats:
    scales = np.exp2(blocks[:, :1].astype(np.float64) - 127)
    with np.errstate(over="ignore"):  # such values are refused where a checkpoint takes them
        values: Floats = (scales * _E2M1[_nibbles(blocks[:, 1:])]).astype(np.float32)
    return values


_UNEVEN = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)  # kvalues_iq4nl
_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])  # OCP Microscaling Formats 1.0

_PLAIN = {"f32": "<f4", "f16": "<f2"}
_BLOCKS: dict[str, tuple[int, Callable[[Bytes], Floats]]] = {
    "q4_0": (18, _q4_0),
    "q4_1": (20, _q4_1),
    "q5_0": (22, _q5_0),
    "q5_1": (24, _q5_1),
    "q8_0": (34, _q8_0),
    "q2_k": (84, _q2_k),
    "q3_k": (110, _q3_k),
    "q4_k": (144, _q4_k),
    "q5_k": (176, _q5_k),
    "q6_k": (210, _q6_k),
    "iq4_nl": (18, _iq4_nl),
    "iq4_xs": (136, _iq4_xs),
    "mxfp4": (17, _mxfp4),
}
"""Bytes of a block, and its values."""
