"""GGUF files written byte by byte, as https://github.com/ggml-org/ggml/blob/master/docs/gguf.md lays them out."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, tuple[int, ...], int, int]  # name, dimensions (columns first), number of the type, bytes


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(value: Any) -> bytes:
    """Type and value of a key; ints as UINT32, floats as FLOAT32."""
    kinds = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        entries = [value_bytes(entry) for entry in value]
        kind = entries[0][:4] if entries else struct.pack("<I", 4)
        return struct.pack("<I", 9) + kind + struct.pack("<Q", len(entries)) + b"".join(e[4:] for e in entries)
    number, form = kinds[type(value)]
    return struct.pack("<I", number) + struct.pack(form, value)


def header_bytes(keys: Mapping[str, Any], tensors: Sequence[Row], offsets: Sequence[int], version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    pairs = b"".join(text(key) + value_bytes(value) for key, value in keys.items())
    infos = b"".join(
        text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset)
        for (name, shape, number, _), offset in zip(tensors, offsets, strict=True)
    )
    return head + pairs + infos


def write_gguf(path: Path, keys: Mapping[str, Any], tensors: Sequence[Row], version: int = 3) -> Path:
    """A file whose tensors lie one after the other, each at a multiple of the alignment, all zero."""
    alignment = keys.get("general.alignment", 32)
    offsets, end = [], 0
    for *_, size in tensors:
        offsets.append(end)
        end += -(-size // alignment) * alignment
    head = header_bytes(keys, tensors, offsets, version)
    path.write_bytes(head + bytes(-len(head) % alignment) + bytes(end))
    return path
