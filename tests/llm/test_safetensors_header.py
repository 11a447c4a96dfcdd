"""Headers of safetensors against the library that defines them, and hostile ones."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.llm.safetensors_header import DTYPE_BITS, read_safetensors
from lpspec.llm.stored_tensors import StoredTensor

DEMO = Path(__file__).parents[2] / "src/lpspec/decoding/demo"


def write(path: Path, header: object, data: int) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_safetensors(path)
    message = str(refused.value)
    assert len(message) <= 200
    assert "\n" not in message
    return message


def described(tensors: tuple[StoredTensor, ...]) -> dict[str, tuple[str, list[int], int]]:
    return {t.name: (t.type_name.upper(), list(t.shape), t.size_bytes) for t in tensors}


def test_the_library_says_the_same_of_a_shipped_model() -> None:
    safetensors = pytest.importorskip("safetensors")
    found = read_safetensors(DEMO)
    with safetensors.safe_open(DEMO / "model.safetensors", framework="np") as theirs:
        slices = {name: theirs.get_slice(name) for name in theirs.keys()}  # noqa: SIM118 - it is no mapping
        assert described(found) == {
            name: (part.get_dtype(), part.get_shape(), theirs.get_tensor(name).nbytes) for name, part in slices.items()
        }
    content = (DEMO / "model.safetensors").read_bytes()
    assert sum(t.size_bytes for t in found) == len(content) - 8 - struct.unpack_from("<Q", content)[0]


def test_every_type_has_the_librarys_bits(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    for dtype, bits in DTYPE_BITS.items():
        path = write(tmp_path / "one.safetensors", {"x": entry(dtype, [4, 6], 0, 3 * bits)}, 3 * bits)
        with safetensors.safe_open(path, framework="np") as theirs:
            assert theirs.get_slice("x").get_dtype() == dtype
        assert described(read_safetensors(path)) == {"x": (dtype, [4, 6], 3 * bits)}


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {"x": entry("BF16", [3, 5], 0, 30), "__metadata__": {"format": "pt"}}, 30)
    write(tmp_path / "b.safetensors", {"y": entry("I8", [], 0, 1), "z": entry("F32", [0], 1, 1)}, 1)
    index = tmp_path / "model.safetensors.index.json"

    def listing(**files: str) -> None:
        index.write_text(json.dumps({"metadata": {"total_size": 31}, "weight_map": files}), "utf-8")

    listing(x="a.safetensors", y="b.safetensors", z="b.safetensors")
    assert described(read_safetensors(tmp_path)) == {
        "x": ("BF16", [3, 5], 30), "y": ("I8", [], 1), "z": ("F32", [0], 0)
    }  # fmt: skip
    assert read_safetensors(index) == read_safetensors(tmp_path)
    listing(x="a.safetensors", y="a.safetensors")
    assert "lists 'y'" in refusal(tmp_path)
    listing(x="a.safetensors", z="a.safetensors", y="b.safetensors")
    assert "and another file" in refusal(tmp_path)
    listing(x="gone.safetensors")
    assert "no such file" in refusal(tmp_path)
    listing(x="../a.safetensors")
    assert "its own folder" in refusal(tmp_path)
    index.write_text("{}", "utf-8")
    assert "weight_map" in refusal(tmp_path)
    index.unlink()
    assert "has no model.safetensors" in refusal(tmp_path)


WEIGHT = entry("F16", [2, 4], 0, 16)


@pytest.mark.parametrize(
    ("header", "data", "hint"),
    [
        ({"x": WEIGHT}, 15, "cut short"),
        ({"x": WEIGHT}, 17, "no tensor's"),
        ({"x": WEIGHT, "y": entry("F16", [2, 4], 8, 24)}, 24, "overlaps"),
        ({"x": WEIGHT, "y": entry("F16", [2, 4], 20, 36)}, 36, "hole"),
        ({"x": entry("F16", [2, 4], 0, 8)}, 8, "takes 16 bytes, its place has 8"),
        ({"x": entry("F4", [3], 0, 1)}, 1, "1.5 bytes"),
        ({"x": entry("Q4_0", [2, 4], 0, 16)}, 16, "'Q4_0', which is not known"),
        ({"x": entry("F16", [2**40, 2**40], 0, 16)}, 16, "cannot be"),
        ({"x": entry("F16", [1] * 9, 0, 2)}, 2, "cannot be"),
        ({"x": {**WEIGHT, "shape": [True, 8]}}, 16, "cannot be"),
        ({"x": {**WEIGHT, "shape": [-2, -4]}}, 16, "cannot be"),
        ({"x": {**WEIGHT, "data_offsets": [0]}}, 16, "two places"),
        ({"x": {**WEIGHT, "data_offsets": [16, 0]}}, 16, "its place has -16"),
        ({"x": {**WEIGHT, "data_offsets": [0, 16.0]}}, 16, "two places"),
        ({"x": {"dtype": "F16"}}, 0, "must have dtype"),
        ({"x": 3}, 0, "must have dtype"),
        ([], 0, "no JSON object"),
        (b"{", 0, "not JSON"),
        (b"\xff\xfe", 0, "not JSON"),
        (b"[" * 100_000, 0, "not JSON"),
    ],
)  # fmt: skip
def test_a_bad_header_is_refused_in_one_line(tmp_path: Path, header: object, data: int, hint: str) -> None:
    assert hint in refusal(write(tmp_path / "bad.safetensors", header, data))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**26, 93])
def test_a_length_beyond_the_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", length) + bytes(92))
    assert "ends inside it" in refusal(path)
    path.write_bytes(b"short")
    assert "ends inside it" in refusal(path)


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2**30))
        file.truncate(2**31)  # without a byte of it on the disk
    assert "longer than 32 MiB" in refusal(path)


@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    header = {"x": WEIGHT, "y": entry("I8", [3], 16, 19), "__metadata__": {"format": "pt"}}
    whole = bytearray(write(path, header, 19).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(whole) - 20))
        patch = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"99999999", b"[[", b'"']))
        whole[at : at + len(patch)] = patch
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    try:
        found = read_safetensors(path)
    except InputError:
        refusal(path)
    else:
        length = struct.unpack_from("<Q", path.read_bytes())[0]
        assert sum(t.size_bytes for t in found) == path.stat().st_size - 8 - length
