"""GGUF files, versions 2 and 3 in little endian: keys, and each tensor's type, shape, true bytes and place.

Only the header is read. Layout and block types: ggml-org/llama.cpp, docs/gguf.md and ggml/src/ggml-common.h, as package
gguf 0.19.0 has them (MIT).
"""

import struct
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np

from lpspec.errors import InputError, shown
from lpspec.llm.stored_tensors import StoredTensor

GgufValue: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
"""What a key may hold."""


class BlockType(NamedTuple):
    """How a tensor's numbers are stored: ``weights`` neighbours of a row together in ``size_bytes``."""

    name: str
    weights: int
    size_bytes: int


BLOCK_TYPES = {
    number: BlockType(name, weights, size_bytes)
    for number, name, weights, size_bytes in (
        (0, "f32", 1, 4),
        (1, "f16", 1, 2),
        (2, "q4_0", 32, 18),
        (3, "q4_1", 32, 20),
        (6, "q5_0", 32, 22),
        (7, "q5_1", 32, 24),
        (8, "q8_0", 32, 34),
        (9, "q8_1", 32, 40),
        (10, "q2_k", 256, 84),
        (11, "q3_k", 256, 110),
        (12, "q4_k", 256, 144),
        (13, "q5_k", 256, 176),
        (14, "q6_k", 256, 210),
        (15, "q8_k", 256, 292),
        (16, "iq2_xxs", 256, 66),
        (17, "iq2_xs", 256, 74),
        (18, "iq3_xxs", 256, 98),
        (19, "iq1_s", 256, 50),
        (20, "iq4_nl", 32, 18),
        (21, "iq3_s", 256, 110),
        (22, "iq2_s", 256, 82),
        (23, "iq4_xs", 256, 136),
        (24, "i8", 1, 1),
        (25, "i16", 1, 2),
        (26, "i32", 1, 4),
        (27, "i64", 1, 8),
        (28, "f64", 1, 8),
        (29, "iq1_m", 256, 56),
        (30, "bf16", 1, 2),
        (34, "tq1_0", 256, 54),
        (35, "tq2_0", 256, 66),
        (39, "mxfp4", 32, 17),
        (40, "nvfp4", 64, 36),
        (41, "q1_0", 128, 18),
    )
}
"""Types of tensors by their number in the file; numbers left out were withdrawn, and no newer file has them."""

_SCALARS = {0: "u1", 1: "i1", 2: "u2", 3: "i2", 4: "u4", 5: "i4", 6: "f4", 7: "?", 10: "u8", 11: "i8", 12: "f8"}
"""Types of values by their number in the file, as numpy spells them."""

_STRING, _ARRAY, _UINT32 = 8, 9, 4

MOST_HEADER_BYTES = 2**26
"""Longest header that is read: a vocabulary of a million words is half of it. Nothing larger is ever allocated."""

_MOST_THINGS = 2**18  # keys or tensors: a thousand layers have a tenth of it
_MOST_ENTRIES = 2**22  # of an array: words of a vocabulary, or pairs that it was made by
_MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
_MOST_WEIGHTS = 2**48  # products of dimensions stay far below what offsets can reach
_ALIGNMENT = "general.alignment"


class GgufFile(NamedTuple):
    """What the header of a file, or of all its parts, says.

    Attributes:
        keys: Metadata, those of a first part where there are several.
        tensors: Every tensor, in the file's order.
    """

    keys: dict[str, GgufValue]
    tensors: tuple[StoredTensor, ...]


def read_gguf(path: str | Path) -> GgufFile:
    """Read the header of a GGUF file; where it is the first of several parts, the others' too.

    Raises:
        InputError: The file cannot be read, is no such file, or its header contradicts itself or the file's length.
    """
    first = Path(path)
    found = _read_part(first)
    count = found.keys.get("split.count", 1)
    if type(count) is not int or not 1 <= count <= 99_999:
        raise InputError(f"{_said(first)}: split.count = {count!r}: allowed are whole numbers from 1 to 99999")
    if count == 1:
        return found
    tensors = list(found.tensors)
    for other in _other_parts(first, found.keys, count):
        tensors += _read_part(other).tensors
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise InputError(f"{_said(first)} and its further parts hold a tensor twice")
    total = found.keys.get("split.tensors.count", len(tensors))
    if total != len(tensors):
        raise InputError(f"{_said(first)} has {len(tensors)} tensors in all parts, split.tensors.count says {total!r}")
    return GgufFile(found.keys, tuple(tensors))


def _other_parts(first: Path, keys: dict[str, GgufValue], count: int) -> list[Path]:
    """Further parts by their names, which end in -00001-of-00003 and so on."""
    ending = f"-00001-of-{count:05}"
    if keys.get("split.no", 0) != 0 or not first.stem.endswith(ending):
        raise InputError(f"{_said(first)} is one of {count} parts: give the first, whose name ends in {ending}.gguf")
    stem = first.stem.removesuffix(ending)
    return [first.with_name(f"{stem}-{part:05}-of-{count:05}{first.suffix}") for part in range(2, count + 1)]


def _read_part(path: Path) -> GgufFile:
    where = _said(path)
    try:
        if not path.is_file():
            raise InputError(f"{where} cannot be read: {'a folder' if path.is_dir() else 'there is no such file'}")
        with path.open("rb") as stream:
            return _Header(stream, path.stat().st_size, path, where).read()
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None


class _Header:
    """A header being read, which never reads past the file's end or ``MOST_HEADER_BYTES``."""

    def __init__(self, stream: BinaryIO, size: int, path: Path, where: str) -> None:
        self.stream, self.size, self.path, self.where = stream, size, path, where
        self.place = 0

    def read(self) -> GgufFile:
        """Read everything, and hold it against the file's length.

        Raises:
            InputError: It contradicts itself or the file's length.
        """
        self._start()
        tensor_count, key_count = self._number("u8"), self._number("u8")
        keys: dict[str, GgufValue] = {}
        for _ in range(self._room_for(key_count, 13, _MOST_THINGS, "keys")):
            name = self._string()
            if name in keys:
                raise self._fault(f"key '{shown(name, 60)}' stands twice")
            keys[name] = self._value(self._number("u4"), name)
        described = [self._tensor() for _ in range(self._room_for(tensor_count, 32, _MOST_THINGS, "tensors"))]
        alignment = keys.get(_ALIGNMENT, 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self._fault(f"{_ALIGNMENT} = {shown(repr(alignment), 30)}: allowed are powers of two")
        data = -(-self.place // alignment) * alignment
        tensors = tuple(self._placed(tensor, alignment, data) for tensor in described)
        if len({tensor.name for tensor in tensors}) != len(tensors):
            names = [tensor.name for tensor in tensors]
            raise self._fault(f"tensor '{shown(next(n for n in names if names.count(n) > 1), 60)}' stands twice")
        self._check_apart(tensors)
        return GgufFile(keys, tensors)

    def _start(self) -> None:
        if self.size < 4 or self._take(4) != b"GGUF":
            raise InputError(f"{self.where} is no GGUF file: it does not begin with GGUF")
        version = self._number("u4")
        if version & 0xFFFF == 0:
            raise self._fault("its numbers are big endian: allowed is little endian")
        if version not in (2, 3):
            raise self._fault(f"version {version}: allowed are 2 and 3")

    def _placed(self, tensor: StoredTensor, alignment: int, data: int) -> StoredTensor:
        if tensor.offset % alignment:
            raise self._fault(f"tensor '{shown(tensor.name, 40)}' does not begin at a multiple of {alignment} bytes")
        if data + tensor.offset + tensor.size_bytes > self.size:
            raise self._fault(
                f"tensor '{shown(tensor.name, 40)}' of {tensor.size_bytes} bytes ends after the file's {self.size}:"
                " cut short?"
            )
        return tensor._replace(offset=data + tensor.offset)

    def _check_apart(self, tensors: tuple[StoredTensor, ...]) -> None:
        end, before = 0, ""
        for tensor in sorted(tensors, key=lambda each: each.offset):
            if tensor.offset < end:
                raise self._fault(f"tensors '{shown(before, 40)}' and '{shown(tensor.name, 40)}' overlap")
            end, before = tensor.offset + tensor.size_bytes, tensor.name

    def _tensor(self) -> StoredTensor:
        """A tensor with its offset among the data."""
        name = self._string()
        said = f"tensor '{shown(name, 60)}'"
        dimensions = self._number("u4")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise self._fault(f"{said} has {dimensions} dimensions: allowed are 1 to {_MOST_DIMENSIONS}")
        columns_first = [self._number("u8") for _ in range(dimensions)]
        number = self._number("u4")
        if number not in BLOCK_TYPES:
            raise self._fault(f"{said} is of type {number}, which is not known")
        stored = BLOCK_TYPES[number]
        weights = prod(columns_first)
        if not 0 < weights <= _MOST_WEIGHTS:
            raise self._fault(f"{said} has shape {shown(str(columns_first), 60)}, which cannot be")
        if columns_first[0] % stored.weights:
            row = f"rows of {columns_first[0]}"
            raise self._fault(f"{said}: {row} are no whole blocks of {stored.weights} {stored.name}")
        size_bytes = weights // stored.weights * stored.size_bytes
        return StoredTensor(name, stored.name, tuple(columns_first[::-1]), size_bytes, self.path, self._number("u8"))

    def _value(self, kind: int, name: str) -> GgufValue:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._numbers(self._scalar(kind, name), 1)[0]
        kind, count = self._number("u4"), self._number("u8")
        scalar = "" if kind == _STRING else self._scalar(kind, name)
        least_bytes = np.dtype(scalar).itemsize if scalar else 8
        count = self._room_for(count, least_bytes, _MOST_ENTRIES, f"entries of '{shown(name, 40)}'")
        return self._numbers(scalar, count) if scalar else tuple(self._string() for _ in range(count))

    def _scalar(self, kind: int, name: str) -> str:
        if kind not in _SCALARS:
            raise self._fault(f"key '{shown(name, 60)}' is of type {kind}, which is not known here")
        return _SCALARS[kind]

    def _numbers(self, scalar: str, count: int) -> tuple[int, ...]:
        kind = np.dtype(scalar).newbyteorder("<")
        return tuple(np.frombuffer(self._take(count * kind.itemsize), kind).tolist())

    def _number(self, scalar: str) -> int:
        return int(struct.unpack("<I" if scalar == "u4" else "<Q", self._take(4 if scalar == "u4" else 8))[0])

    def _string(self) -> str:
        """A text; what is no UTF-8 in it is replaced, since vocabularies hold parts of letters."""
        return self._take(self._number("u8")).decode("utf-8", "replace")

    def _room_for(self, count: int, least_bytes: int, most: int, what: str) -> int:
        """The count, unless so many things of at least so many bytes have no room in what is left."""
        if count * least_bytes > self.size - self.place:
            raise self._fault(f"{count} {what} have no room in its {self.size} bytes: cut short?")
        if count > most:
            raise self._fault(f"{count} {what}: read are at most {most}")
        return count

    def _take(self, count: int) -> bytes:
        if count > self.size - self.place:
            raise self._fault(f"its header ends after the file's {self.size} bytes: cut short?")
        if count > MOST_HEADER_BYTES - self.place:
            raise self._fault(f"its header is longer than {MOST_HEADER_BYTES >> 20} MiB, which is not read")
        taken = self.stream.read(count)
        if len(taken) != count:
            raise self._fault("it became shorter while it was read")
        self.place += count
        return taken

    def _fault(self, text: str) -> InputError:
        return InputError(f"{self.where}: {text}")


def _said(path: Path) -> str:
    return f"GGUF file '{shown(str(path), 50)}'"
