"""Matrix products of few rows on a CPU: vector instructions, written once for every processor that LLVM knows.

A block of rows times a block of columns is summed in registers while the next columns' weights are fetched. Each
element is summed in the same order whatever the block, so a row's result does not depend on the rows beside it.
"""

import functools
import platform
from collections.abc import Callable
from typing import Any, cast

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from lpspec.compiled import cached_njit

Float32 = NDArray[np.float32]
Weight = NDArray[np.float32] | NDArray[np.uint16]
"""Float32, or float16 given as its bits, which numba has no type for."""

LANES = 8
"""Elements summed side by side: the width of a 256-bit register; the length of a row is a multiple of it."""

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)


@functools.cache
def widens_quickly() -> bool:
    """Whether this processor turns float16 into float32 by an instruction of its own."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("f16c")) or platform.machine().lower() in ("aarch64", "arm64")


def as_read(weight: Float32) -> Weight:
    """The form of a weight that the product reads fastest: as float16, half the bytes, where that loses nothing."""
    if not widens_quickly():
        return weight
    with np.errstate(over="ignore"):
        narrow = weight.astype(np.float16)
    return narrow.view(np.uint16) if np.array_equal(narrow, weight) else weight


def _add_block_of(rows: int, columns: int) -> Callable[[Float32, Weight, Float32, int, int], None]:
    """A function that adds to out[row:, column:] the product of ``rows`` rows of x and ``columns`` of the weight."""

    def add_block(_typing: Any, x: Any, weight: Any, out: Any, row: Any, column: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pairs = zip(signature.args[:3], arguments[:3], strict=True)
            x, weight, out = (context.make_array(kind)(context, builder, value) for kind, value in pairs)
            _emit_block(builder, x, weight, out, arguments[3], arguments[4], rows, columns)
            return context.get_dummy_value()

        return types.void(x, weight, out, types.intp, types.intp), generate

    block: Any = intrinsic(add_block)
    return cast(Callable[[Float32, Weight, Float32, int, int], None], block)


def _emit_block(builder: Any, x: Any, weight: Any, out: Any, row: Any, column: Any, rows: int, columns: int) -> None:
    """Write the loop over the inputs, with one vector of sums per element of the block, and what follows it."""
    inputs, outputs = builder.extract_value(x.shape, 1), builder.extract_value(out.shape, 1)
    next_columns = builder.mul(inputs, _INDEX(columns))
    x_rows = [_row(builder, x.data, builder.add(row, _INDEX(i)), inputs) for i in range(rows)]
    weight_rows = [_row(builder, weight.data, builder.add(column, _INDEX(j)), inputs) for j in range(columns)]
    before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(_INDEX)
    k.add_incoming(_INDEX(0), before)
    sums = [[builder.phi(_VECTOR) for _ in weight_rows] for _ in x_rows]
    weights = [_load_widened(builder, pointer, k) for pointer in weight_rows]
    for pointer in weight_rows:
        _prefetch(builder, builder.gep(pointer, [builder.add(k, next_columns)]))
    added = [
        _multiply_add(builder, _load(builder, p, k), weights, row_sums)
        for p, row_sums in zip(x_rows, sums, strict=True)
    ]
    for row_sums, row_added in zip(sums, added, strict=True):
        for total, more in zip(row_sums, row_added, strict=True):
            total.add_incoming(ir.Constant(_VECTOR, [0.0] * LANES), before)
            total.add_incoming(more, loop)
    following = builder.add(k, _INDEX(LANES))
    k.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, inputs), loop, done)
    builder.position_at_end(done)
    for i, row_added in enumerate(added):
        to = builder.gep(_row(builder, out.data, builder.add(row, _INDEX(i)), outputs), [column])
        for j, total in enumerate(row_added):
            place = builder.gep(to, [_INDEX(j)])
            builder.store(builder.fadd(builder.load(place), _sum(builder, total)), place)


def _declared(builder: Any, kind: ir.FunctionType, name: str) -> Any:
    found: Any = builder.module.globals.get(name)
    return ir.Function(builder.module, kind, name) if found is None else found


def _row(builder: Any, data: Any, row: Any, width: Any) -> Any:
    return builder.gep(data, [builder.mul(row, width)])


def _load(builder: Any, row: Any, k: Any, vector: ir.VectorType = _VECTOR, element_bytes: int = 4) -> Any:
    loaded = builder.load(builder.bitcast(builder.gep(row, [k]), vector.as_pointer()))
    loaded.align = element_bytes  # rows of an array are aligned to its elements only
    return loaded


def _load_widened(builder: Any, row: Any, k: Any) -> Any:
    """A vector of float32, from float32 or from float16 given as its bits."""
    if row.type.pointee == _FLOAT:
        return _load(builder, row, k)
    return builder.fpext(_load(builder, row, k, ir.VectorType(ir.HalfType(), LANES), 2), _VECTOR)


def _multiply_add(builder: Any, x: Any, weights: list[Any], sums: list[Any]) -> list[Any]:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fused = _declared(builder, kind, f"llvm.fmuladd.v{LANES}f32")
    return [builder.call(fused, [x, weight, total]) for weight, total in zip(weights, sums, strict=True)]


def _prefetch(builder: Any, pointer: Any) -> None:
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = _declared(builder, kind, "llvm.prefetch.p0i8")
    reading, nearest, data = number(0), number(3), number(1)
    builder.call(prefetch, [builder.bitcast(pointer, byte), reading, nearest, data])


def _sum(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
    total = _declared(builder, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")
    return builder.call(total, [_FLOAT(0.0), vector], fastmath=("reassoc",))


_add_4_by_3, _add_4_by_1 = _add_block_of(4, 3), _add_block_of(4, 1)
_add_3_by_3, _add_3_by_1 = _add_block_of(3, 3), _add_block_of(3, 1)
_add_2_by_3, _add_2_by_1 = _add_block_of(2, 3), _add_block_of(2, 1)
_add_1_by_3, _add_1_by_1 = _add_block_of(1, 3), _add_block_of(1, 1)


@cached_njit(nogil=True, allocates=False)
def add_product(x: Float32, weight: Weight, out: Float32) -> None:
    """Add x [n, inputs] times weight [outputs, inputs] transposed to out [n, outputs].

    All three lie row after row in memory, and ``inputs`` is a multiple of ``LANES``. The weight is read once: all rows
    of x meet three of its rows, then the next three.
    """
    n, outputs = x.shape[0], weight.shape[0]
    fours = n - n % 4
    threes = outputs - outputs % 3
    for column in range(0, threes, 3):
        for row in range(0, fours, 4):
            _add_4_by_3(x, weight, out, row, column)
        if n - fours == 3:
            _add_3_by_3(x, weight, out, fours, column)
        elif n - fours == 2:
            _add_2_by_3(x, weight, out, fours, column)
        elif n - fours == 1:
            _add_1_by_3(x, weight, out, fours, column)
    for column in range(threes, outputs):
        for row in range(0, fours, 4):
            _add_4_by_1(x, weight, out, row, column)
        if n - fours == 3:
            _add_3_by_1(x, weight, out, fours, column)
        elif n - fours == 2:
            _add_2_by_1(x, weight, out, fours, column)
        elif n - fours == 1:
            _add_1_by_1(x, weight, out, fours, column)
