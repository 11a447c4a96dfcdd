"""Headers of safetensors files, of one or of the shards that an index lists: types, shapes and true bytes.

Layout: huggingface/safetensors, README.md, section Format; types as version 0.8.0 has them (Apache-2.0).
"""

import json
import struct
from math import prod
from pathlib import Path

from lpspec.errors import InputError, exactly, shown
from lpspec.llm.stored_tensors import StoredTensor
from lpspec.text_files import read_json_object

WHOLE = "model.safetensors"
"""What a folder's file of weights is called; one with shards has ``INDEX`` instead."""
INDEX = f"{WHOLE}.index.json"

MOST_HEADER_BYTES = 2**25
"""Longest header that is read: the format allows three times as much, and a hundred thousand tensors take a third."""

_MOST_WEIGHTS = 2**48
_MOST_DIMENSIONS = 8

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    **dict.fromkeys(("U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""Bits of a number, by its type's name in the file."""


def read_safetensors(path: str | Path) -> tuple[StoredTensor, ...]:
    """Every tensor of a file, of the shards of an index, or of a folder that holds either.

    Raises:
        InputError: A file cannot be read or is missing, or its header contradicts itself or the file's length.
    """
    path = Path(path)
    if path.is_dir():
        if (path / WHOLE).is_file():
            return _read_file(path / WHOLE)
        if not (path / INDEX).is_file():
            raise InputError(f"folder '{shown(str(path), 60)}' has no {WHOLE} and no {INDEX}")
        path = path / INDEX
    return _read_shards(path) if path.suffix == ".json" else _read_file(path)


def _read_shards(index: Path) -> tuple[StoredTensor, ...]:
    where = f"index '{shown(str(index), 50)}'"
    shard_of = read_json_object(index, where).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise InputError(f"{where} has no weight_map from tensor names to files")
    found: dict[str, StoredTensor] = {}
    for shard in sorted(set(shard_of.values())):
        if Path(shard).name != shard:
            raise InputError(f"{where} names '{shown(shard, 40)}': allowed are files of its own folder")
        for tensor in _read_file(index.parent / shard):
            if shard_of.get(tensor.name, shard) != shard or tensor.name in found:
                raise InputError(f"{where}: '{shown(tensor.name, 40)}' lies in '{shown(shard, 40)}' and another file")
            found[tensor.name] = tensor
    if missing := sorted(set(shard_of) - set(found)):
        raise InputError(f"{where} lists '{shown(missing[0], 60)}', which its file does not hold")
    return tuple(found.values())


def _read_file(path: Path) -> tuple[StoredTensor, ...]:
    where = f"safetensors file '{shown(str(path), 50)}'"
    try:
        if not path.is_file():
            raise InputError(f"{where} cannot be read: {'a folder' if path.is_dir() else 'there is no such file'}")
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > size - 8:
                raise InputError(f"{where} of {size} bytes has no header, or ends inside it: cut short?")
            if length > MOST_HEADER_BYTES:
                raise InputError(f"{where} has a header longer than {MOST_HEADER_BYTES >> 20} MiB, which is not read")
            text = stream.read(length)
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{where} has a header that is not JSON") from None
    if not isinstance(header, dict):
        raise InputError(f"{where} has a header that is no JSON object")
    header.pop("__metadata__", None)
    tensors = [_tensor(name, entry, path, 8 + length, where) for name, entry in header.items()]
    _check_filled(tensors, 8 + length, size, where)
    return tuple(tensors)


def _tensor(name: str, entry: object, path: Path, data: int, where: str) -> StoredTensor:
    said = f"{where}: tensor '{shown(name, 60)}'"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{said} must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise InputError(f"{said} is of type {shown(repr(dtype), 30)}, which is not known")
    if not _whole_numbers(shape) or len(shape) > _MOST_DIMENSIONS or prod(shape) > _MOST_WEIGHTS:
        raise InputError(f"{said} has shape {shown(repr(shape), 40)}, which cannot be")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise InputError(f"{said} has data_offsets {shown(repr(offsets), 40)}: two places are needed")
    bits, (begin, end) = prod(shape) * DTYPE_BITS[dtype], offsets
    if bits % 8 or end - begin != bits // 8:
        takes = exactly(bits / 8)
        raise InputError(f"{said} of {prod(shape)} {dtype} takes {takes} bytes, its place has {end - begin}")
    return StoredTensor(name, dtype.lower(), tuple(shape), end - begin, path, data + begin)


def _whole_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**63 for number in value)


def _check_filled(tensors: list[StoredTensor], data: int, size: int, where: str) -> None:
    """Tensors lie one after the other, and fill the file to its end."""
    place = data
    for tensor in sorted(tensors, key=lambda each: (each.offset, each.size_bytes)):
        if tensor.offset != place:
            how = "overlaps another" if tensor.offset < place else "leaves a hole before it"
            raise InputError(f"{where}: tensor '{shown(tensor.name, 60)}' {how}")
        place += tensor.size_bytes
    if place != size:
        how = "are missing: cut short?" if place > size else "more are no tensor's"
        raise InputError(f"{where}: {abs(size - place)} bytes {how}")
