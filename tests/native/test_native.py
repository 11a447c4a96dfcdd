"""Native code does what Python does with the same text; what can't be compiled is refused with its place."""

import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.native import objects
from lpspec.native.code import CompileError
from lpspec.native.functions import native

compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="nothing is compiled")
LIMIT = 1 << 40
INTS = st.integers(-LIMIT, LIMIT)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)


def plain(function: Any) -> Callable[..., Any]:
    return getattr(function, "py_func", function)  # type: ignore[no-any-return]


def call_with(function: Any, *arguments: Any) -> Any:
    """A call with numpy's numbers, which compiled functions take too."""
    return function(*arguments)


@native()
def of_ints(a: int, b: int, out: IntArray) -> bool:
    out[0], out[1], out[2] = a + b, a - b, (a & 0xFFFF) * (b & 0xFFFF)
    out[3], out[4], out[5] = a & b, a | b, a ^ b
    out[6], out[7], out[8] = a << 3, a >> 5, -a
    out[9], out[10] = min(a, b, 7), max(a, b, -7)
    out[11], out[12] = a // 8, a % 8
    if b != 0:
        out[13], out[14] = a // b, a % b
    out[15], out[16] = abs(a), ~b
    out[17] = (a < b) + (a <= b) + (a == b) + (a != b) + (a > b) + (a >= b) + (0 <= a < b <= 100) + (not a)
    out[18] = 1 if a in (1, 2, b) else 2 if a not in (5, 6) else 3
    return a > 3 and (b < 5 or a == b)


@given(a=INTS | st.integers(-9, 9), b=INTS | st.integers(-9, 9))
def test_whole_numbers(a: int, b: int) -> None:
    one, two = np.zeros(19, np.int64), np.zeros(19, np.int64)
    assert call_with(of_ints, a, np.int64(b), one) is plain(of_ints)(a, b, two)
    assert one.tolist() == two.tolist()


@native()
def of_floats(a: float, b: float, k: int, out: FloatArray) -> tuple[float, int, bool]:
    out[0], out[1], out[2], out[3] = a + b, a - b, a * b, -a
    out[4] = a / b if b else k / 3
    out[5], out[6] = min(a, b), max(a, b, k)
    out[7], out[8] = np.sqrt(abs(a)), a * k - b
    out[9] = (a < b) + (a <= b) + (a == b) + (a != b)
    least = np.inf
    for value in out:
        least = min(least, value)
    return least, int(min(max(a, -1e9), 1e9)), bool(a)


@given(a=FLOATS, b=FLOATS, k=st.integers(-1000, 1000))
def test_floats_to_the_last_bit(a: float, b: float, k: int) -> None:
    one, two = np.zeros(10), np.zeros(10)
    assert of_floats(a, b, k, one) == plain(of_floats)(a, b, k, two)
    assert one.tobytes() == two.tobytes()


class Parts(NamedTuple):
    table: FloatArray
    depth: NDArray[np.int8]
    wanted: BoolArray
    share: float
    most: int


@native()
def of_parts(parts: Parts, rows: IntArray, note: FloatArray) -> tuple[int, float]:
    total, count = 0.0, 0
    heads, width = parts.table.shape
    room = np.zeros((heads, width))
    kept = rows.copy()
    for head in range(heads - 1, -1, -1):
        row, mine = parts.table[head], room[head]
        for k in range(len(row)):
            if parts.depth[head, k] < 0 or not parts.wanted[k]:
                continue
            mine[k] = row[k] * parts.share
            total += mine[k]
        parts.depth[head, 0] -= 1
        parts.wanted[head % width] ^= head > 1
    tail = parts.table[1, 1 : parts.most]
    tail[:] = 0.5
    parts.table[0, :2] = 3
    for field in (0, 2, 5):
        if field == 2 and count > 1000:
            break
        if field == 5:
            count += 100
            continue
        count += field + len(tail)
    grid = rows[1:].reshape(2, 3)
    for row_of in grid:
        for value in row_of[: parts.most]:
            count += value
    rows[:] = 7
    kept[0] += 1
    note[0] = total
    i = 0
    while True:
        if i == kept.shape[0] or kept[i] > 50:
            break
        i += 1
    return count + i * 1000 + kept[0], total


@given(seed=st.integers(0, 1000), most=st.integers(1, 9), gaps=st.booleans())
def test_arrays_and_named_tuples(seed: int, most: int, gaps: bool) -> None:
    results = []
    for pick in (lambda function: function, plain):
        rng = np.random.default_rng(seed)
        table = rng.random((3, 8))[:, ::2] if gaps else rng.random((3, 4))
        depth = rng.integers(-3, 4, (3, 4)).astype(np.int8)
        parts = Parts(table, depth, rng.random(4) < 0.7, 0.25, most)
        rows, note = rng.integers(0, 99, 7), np.zeros(1)
        result = pick(of_parts)(parts, rows, note)
        results.append([result, [field.tolist() for field in (table, depth, parts.wanted, rows, note)]])
    assert results[0] == results[1]


@native(inline=True)
def below(values: IntArray, at: int, limit: int) -> bool:
    return at < values.shape[0] and bool(values[at] < limit)


@native()
def search(values: IntArray, limit: int) -> int:
    at = 0
    while below(values, at, limit):
        at += 1
    return at


@native()
def count_twice(values: IntArray, limit: float) -> int:
    return search(values, int(limit)) + search(values, 3)


@native()
def as_int(flag: bool) -> int:
    return int(flag)


def test_a_function_serves_python_and_other_compiled_functions() -> None:
    values = np.array([1, 2, 5, 3])
    assert not call_with(as_int, np.bool_(0))
    assert (search(values, 4), search(values, 6), search(values[:0], 6)) == (2, 4, 0)
    assert count_twice(values, 6.5) == 6


@native(fixed_widths=True)
def last_of_row(table: IntArray, row: int) -> int:
    return table[row, table.shape[1] - 1]  # type: ignore[no-any-return]


def test_widths_that_are_compiled_in_are_looked_at() -> None:
    for width in (2, 5, 2):
        table = np.arange(3 * width).reshape(3, width)
        assert last_of_row(table, 1) == 2 * width - 1


def test_more_than_64_bits_wrap() -> None:
    @native()
    def doubled(value: int) -> int:
        return value * 2

    assert doubled((1 << 62) + 1) in (2 - (1 << 63), (1 << 63) + 2)


GENERATORS: dict[str, str] = {
    "no ListComp can be compiled": "return len([k for k in values])",
    "nothing is called missing": "return missing",
    "index -1: only whole numbers from 0 on": "return values[-1]",
    "print is not compiled": "print(1)",
    "arguments by name": "return search(values, limit=3)",
    "more indices than dimensions": "return values[0, 0]",
    "leaves gaps": "return len(values[::2])",
    "no array can be made in a loop": "for k in range(3):\n        room = np.zeros(k)",
    "Array\\(dtype='i8', ndim=1, length=None\\) where": "return values",
    "Scalar\\(llvm='double'\\) where Scalar\\(llvm='i64'\\) stands": "a = 1\n    a = 0.5",
    "given another number of values": "a, b = 1, 2, 3",
    "values is given something else than before": "values = values.reshape(2, 2)",
    "it calls itself": "return again(values)",
}


@compiled
@pytest.mark.parametrize("message", GENERATORS)
def test_what_cannot_be_compiled_is_refused_with_its_place(message: str, tmp_path: Path) -> None:
    file = tmp_path / f"written_{len(message)}.py"
    file.write_text(
        "import numpy as np\nfrom lpspec.arrays import IntArray\nfrom lpspec.native.functions import native\n"
        "from test_native import search\n"
        f"@native()\ndef again(values: IntArray) -> int:\n    {GENERATORS[message]}\n    return 0\n"
    )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(CompileError, match=rf"{file.stem}.again, line \d: .*{message}"):
        module.again(np.zeros(4, np.int64))


@compiled
def test_code_is_kept_and_never_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "define void @entry(ptr %words) {{\n  store i64 {}, ptr %words\n  ret void\n}}\n"
    monkeypatch.setattr(objects, "native_folder", lambda: tmp_path)
    written: list[int] = []

    def run(number: int, own: str = "") -> int:
        def text() -> tuple[str, str]:
            written.append(number)
            return program.format(number), "q"

        entry, layout = objects.entry_of("lpspec.arrays.where", "types", own, text)
        words = np.zeros(1, np.int64)
        entry(words.ctypes.data)
        assert layout == "q"
        return int(words[0])

    assert (run(1), run(2), written) == (1, 1, [1]), "found again"
    monkeypatch.setattr(objects, "_sources", lambda module: "others")
    assert (run(3), run(4), written) == (3, 3, [1, 3]), "other sources"
    with monkeypatch.context() as changed:
        changed.setattr(objects, "_STARTED_S", 0.0)
        assert (run(7), run(8), written) == (7, 8, [1, 3, 7, 8]), "sources that changed after they were imported"
    written[:] = [1, 3]
    assert (run(4, "another module"), written) == (4, [1, 3, 4])
    written[:] = [1, 3]
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"damaged")
    assert (run(5), written) == (5, [1, 3, 5])
    file.write_bytes(file.read_bytes()[:-1])
    assert (run(9), written) == (9, [1, 3, 5, 9]), "the end is missing"
    written[:] = [1, 3, 5]
    monkeypatch.setattr(objects, "native_folder", lambda: tmp_path / "nowhere")
    assert (run(6), written) == (6, [1, 3, 5, 6]), "nothing can be kept"


def test_sources_are_those_of_all_that_a_module_imports() -> None:
    engine, replay = objects._sources("lpspec.dram.engine.phases"), objects._sources("lpspec.simulation.kernels")
    assert engine != replay
    found = objects._imported_modules("lpspec.dram.engine.phases")
    assert not objects._changed("lpspec.dram.engine.phases")
    assert {"lpspec.dram.engine.state", "lpspec.dram.engine.loop", "lpspec.native.code"} <= set(found)


def test_of_equal_numbers_the_first_is_taken() -> None:
    @native()
    def least(a: float, b: float) -> float:
        return min(a, b)

    for first in (0.0, -0.0):
        assert math.copysign(1.0, least(first, -first)) == math.copysign(1.0, first)


@native(fixed_widths=True)
def of_rows(table: IntArray, row: int, limit: int, flags: IntArray) -> int:
    left, right = table[row, :8], table[row + 1, 8 : 8 + 8]
    score = (np.maximum(left, limit) - limit << 3) + right
    wanted = np.where(left == limit, 7, np.where((right > 3) & (left <= right), score, left * 2))
    table[row, 8 : 8 + 8] = np.maximum(wanted, table[row, :8])
    table[row + 2, :8] = limit
    flags[0] = wanted.max()
    flags[1] = int((right > limit).any())
    flags[2] = wanted.sum()
    return int(score.min())


@given(seed=st.integers(0, 10_000), limit=st.integers(-9, 9))
def test_rows_as_vectors(seed: int, limit: int) -> None:
    results = []
    for pick in (lambda function: function, plain):
        table, flags = np.random.default_rng(seed).integers(-9, 10, (3, 16)), np.zeros(3, np.int64)
        results.append([int(pick(of_rows)(table, 0, limit, flags)), table.tolist(), flags.tolist()])
    assert results[0] == results[1]


class Many(NamedTuple):
    """Working memory of so many parts that it is remembered where they lie."""

    a: IntArray
    b: IntArray
    c: IntArray
    d: IntArray
    e: IntArray
    f: IntArray
    g: IntArray
    h: IntArray


@native()
def lengths_and_sums(many: Many, out: IntArray) -> None:
    for part in (many.a, many.b, many.c, many.d, many.e, many.f, many.g, many.h):
        out[0] += len(part)
        for i in range(len(part)):
            out[1] += part[i]


def test_working_memory_is_read_where_it_lies_now() -> None:
    for length in range(1, 40):  # tuples end, and others come to lie where they lay
        many = Many(*(np.arange(length + i) for i in range(8)))
        for _ in range(3):
            for now in (many, many._replace(c=np.arange(2 * length)), Many(*(part[::2] for part in many))):
                out = np.zeros(2, np.int64)
                lengths_and_sums(now, out)
                assert out.tolist() == [sum(map(len, now)), sum(int(part.sum()) for part in now)]
            many.a[0] += 7
