"""GGUF headers: every type's bytes against llama.cpp's block structs, hostile headers, and package gguf where it is."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import Row, header_bytes, text, value_bytes, write_gguf
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.llm.gguf import BLOCK_TYPES, read_gguf

KEYS = {"general.architecture": "llama", "llama.block_count": 2, "llama.rope.freq_base": 1e4, "t.list": ["a", "b"]}

# Bytes of a block by hand from the structs of ggml-common.h: d and m are half-precision numbers of 2 bytes.
STRUCTS = {
    "q4_0": (32, 2 + 16),  # d, 32 nibbles
    "q4_1": (32, 2 + 2 + 16),  # d, m, nibbles
    "q5_0": (32, 2 + 4 + 16),  # d, 32 fifth bits, nibbles
    "q5_1": (32, 2 + 2 + 4 + 16),
    "q8_0": (32, 2 + 32),
    "q8_1": (32, 4 + 4 + 32),  # float d and s in the file format's struct of old
    "q2_k": (256, 256 // 16 + 256 // 4 + 2 + 2),  # 16 scales and minima of a nibble each, 2 bits, d, m
    "q3_k": (256, 256 // 8 + 256 // 4 + 12 + 2),  # third bits, 2 bits, 16 scales of 6 bits, d
    "q4_k": (256, 2 + 2 + 12 + 128),  # d, m, 8 scales and 8 minima of 6 bits, nibbles
    "q5_k": (256, 2 + 2 + 12 + 32 + 128),
    "q6_k": (256, 128 + 64 + 16 + 2),  # nibbles, 2 upper bits, 16 scales, d
    "q8_k": (256, 4 + 256 + 2 * 16),  # float d, numbers, 16 sums
    "iq2_xxs": (256, 2 + 2 * 32),
    "iq2_xs": (256, 2 + 2 * 32 + 8),
    "iq2_s": (256, 2 + 64 + 8 + 8),
    "iq3_xxs": (256, 2 + 3 * 32),
    "iq3_s": (256, 2 + 64 + 8 + 32 + 4),
    "iq1_s": (256, 2 + 32 + 16),
    "iq1_m": (256, 32 + 16 + 8),
    "iq4_nl": (32, 2 + 16),
    "iq4_xs": (256, 2 + 2 + 4 + 128),
    "tq1_0": (256, 48 + 4 + 2),  # 5 trits a byte of 240, 4 a byte of 16, d
    "tq2_0": (256, 64 + 2),
    "mxfp4": (32, 1 + 16),  # E8M0 scale, nibbles
    "nvfp4": (64, 4 + 32),  # 4 scales of 8 bits, nibbles
    "q1_0": (128, 2 + 16),
    "f16": (1, 2), "bf16": (1, 2), "f32": (1, 4), "f64": (1, 8),
    "i8": (1, 1), "i16": (1, 2), "i32": (1, 4), "i64": (1, 8),
}  # fmt: skip


def one_of_each() -> list[Row]:
    """A matrix of two blocks and three rows of every type."""
    return [
        (f"blk.{number}.ffn_up.weight", (2 * weights, 3), number, 6 * size)
        for number, (_, weights, size) in BLOCK_TYPES.items()
    ]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_gguf(path)
    message = str(refused.value)
    assert len(message) <= 200
    assert "\n" not in message
    return message


def test_every_block_is_as_large_as_its_struct() -> None:
    assert {name: (weights, size) for name, weights, size in BLOCK_TYPES.values()} == STRUCTS


@pytest.mark.parametrize("version", [2, 3])
def test_tensors_of_every_type_are_read_to_the_byte(tmp_path: Path, version: int) -> None:
    rows = one_of_each()
    path = write_gguf(tmp_path / "all.gguf", KEYS, rows, version)
    found = read_gguf(path)
    assert dict(found.keys) == {**KEYS, "t.list": ("a", "b")}
    assert [(t.name, t.shape[::-1], t.size_bytes) for t in found.tensors] == [(n, s, b) for n, s, _, b in rows]
    last = found.tensors[-1]
    assert last.offset + last.size_bytes <= path.stat().st_size < last.offset + last.size_bytes + 32
    padded = sum(-(-t.size_bytes // 32) * 32 for t in found.tensors)
    assert found.tensors[0].offset + padded == path.stat().st_size


def test_the_package_gguf_reads_the_same(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = write_gguf(tmp_path / "all.gguf", KEYS, one_of_each())
    theirs = gguf.GGUFReader(path).tensors
    ours = read_gguf(path).tensors
    assert [(t.name, t.shape[::-1], t.type_name, t.size_bytes, t.offset) for t in ours] == [
        (t.name, tuple(t.shape.tolist()), t.tensor_type.name.lower(), t.n_bytes, t.data_offset) for t in theirs
    ]
    sizes = {int(t): (t.name.lower(), *size) for t, size in gguf.GGML_QUANT_SIZES.items()}
    assert sizes == {number: tuple(block) for number, block in BLOCK_TYPES.items()}


def test_what_the_package_gguf_writes_is_read(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "theirs.gguf", "llama")
    writer.add_block_count(3)
    writer.add_head_count_kv([4, 2, 4])
    writer.add_float64("x.double", 0.1)
    writer.add_bool("x.flag", True)
    writer.add_key_value("x.wide", -5, gguf.GGUFValueType.INT64)
    matrix = np.linspace(-1, 1, 4 * 256, dtype=np.float32).reshape(4, 256)
    writer.add_tensor("token_embd.weight", matrix)
    for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q5_1):
        if kind is not gguf.GGMLQuantizationType.Q4_K:  # that, the package only takes back to floats
            writer.add_tensor(f"blk.0.{kind.name}.weight", gguf.quants.quantize(matrix, kind), raw_dtype=kind)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    found = read_gguf(tmp_path / "theirs.gguf")
    assert found.keys["llama.attention.head_count_kv"] == (4, 2, 4)
    assert (found.keys["x.double"], found.keys["x.flag"], found.keys["x.wide"]) == (0.1, True, -5)
    assert [(t.type_name, t.shape, t.size_bytes) for t in found.tensors] == [
        ("f32", (4, 256), 4096), ("q8_0", (4, 256), 4 * 8 * 34), ("q5_1", (4, 256), 4 * 8 * 24)
    ]  # fmt: skip
    at = found.tensors[0]
    stored = np.frombuffer((tmp_path / "theirs.gguf").read_bytes(), "<f4", at.elements, at.offset)
    assert np.array_equal(stored.reshape(at.shape), matrix)


def test_parts_are_one_file(tmp_path: Path) -> None:
    rows = one_of_each()
    said = {"split.count": 3, "split.tensors.count": len(rows)}
    paths = [tmp_path / f"m-0000{part + 1}-of-00003.gguf" for part in range(3)]
    for part, path in enumerate(paths):
        write_gguf(path, {**(KEYS if part == 0 else {}), "split.no": part, **said}, rows[part::3])
    found = read_gguf(paths[0])
    assert sorted(t.size_bytes for t in found.tensors) == sorted(size for *_, size in rows)
    assert found.keys["llama.block_count"] == 2
    assert "give the first" in refusal(paths[1])
    write_gguf(paths[2], {"split.no": 2, **said}, rows[1:2])
    assert "twice" in refusal(paths[0])
    write_gguf(paths[2], {"split.no": 2, **said}, [])
    assert "split.tensors.count" in refusal(paths[0])
    paths[1].unlink()
    assert "no such file" in refusal(paths[0])


def raw(keys: dict[str, Any], rows: list[Row], offsets: list[int], data: int, version: int = 3) -> bytes:
    head = header_bytes(keys, rows, offsets, version)
    return head + bytes(-len(head) % 32 + data)


A, B = ("a.weight", (32, 2), 8, 68), ("b.weight", (32, 2), 8, 68)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "no GGUF file"),
        (b"GG", "no GGUF file"),
        (b"ELF\x7f" + bytes(64), "no GGUF file"),
        (b"GGUF", "cut short"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), f"{2**63} keys have no room"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**64 - 1, 0), "tensors have no room"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62) + bytes(99), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2**40), "entries of 'k'"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 10, 2**61), "entries of 'k'"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 9, 1), "type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IQ", 99, 1), "type 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (text("k") + value_bytes(1)), "'k' stands twice"),
        (raw({}, [A, A], [0, 96], 192), "'a.weight' stands twice"),
        (raw({}, [A, B], [0, 32], 192), "'a.weight' and 'b.weight' overlap"),
        (raw({}, [A, B], [96, 0], 96), "ends after the file"),
        (raw({}, [A], [1], 192), "multiple of 32"),
        (raw({"general.alignment": 64}, [A], [32], 256), "multiple of 64"),
        (raw({"general.alignment": 48}, [A], [0], 256), "powers of two"),
        (raw({"general.alignment": "32"}, [A], [0], 256), "powers of two"),
        (raw({}, [("a", (33, 2), 8, 68)], [0], 192), "no whole blocks of 32 q8_0"),
        (raw({}, [("a", (896, 2), 12, 68)], [0], 4096), "no whole blocks of 256 q4_k"),
        (raw({}, [("a", (32, 0), 8, 0)], [0], 192), "cannot be"),
        (raw({}, [("a", (2**40, 2**40), 0, 0)], [0], 192), "cannot be"),
        (raw({}, [("a", (1,) * 5, 0, 4)], [0], 192), "5 dimensions"),
        (raw({}, [("a", (), 0, 4)], [0], 192), "0 dimensions"),
        (raw({}, [("a", (32,), 4, 4)], [0], 192), "type 4, which is not known"),
        (raw({"split.count": 2}, [A], [0], 192), "give the first"),
        (raw({"split.count": "2"}, [A], [0], 192), "split.count"),
    ],
)  # fmt: skip
def test_a_bad_header_is_refused_in_one_line(tmp_path: Path, content: bytes, hint: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    assert hint in refusal(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "gone.gguf")
    assert "a folder" in refusal(tmp_path)


def test_names_of_any_length_leave_one_line(tmp_path: Path) -> None:
    name = "x\n" * 500
    assert "stands twice" in refusal(write_gguf(tmp_path / "long.gguf", {}, [(name, (32, 2), 8, 68)] * 2))


@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Never anything but an answer that fits the file or one line: no traceback, nothing larger than the file."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    rows = [A, B, ("blk.0.attn_q.weight", (256, 2), 12, 288)]
    whole = bytearray(write_gguf(path, {**KEYS, "general.alignment": 32}, rows).read_bytes())
    header = len(header_bytes({**KEYS, "general.alignment": 32}, rows, [0, 96, 192]))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, header - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, bytes(8)]))
        whole[at : at + len(patch)] = patch
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    size = path.stat().st_size
    try:
        found = read_gguf(path)
    except InputError:
        refusal(path)
    else:
        assert sum(t.size_bytes for t in found.tensors) <= size
        assert all(0 < t.offset <= t.offset + t.size_bytes <= size for t in found.tensors)
