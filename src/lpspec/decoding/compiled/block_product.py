"""Matrix products of few rows on a CPU: vector instructions, written once for every processor that LLVM knows.

A block of rows times a block of columns is summed in registers while the next columns' weights are fetched. Each
element is summed in the same order whatever the block, so a row's result does not depend on the rows beside it.
"""

import functools
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, cast

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from lpspec.compiled import cached_njit

Float32 = NDArray[np.float32]
Weight = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.int16]
"""Float32, or what numba has no type for by its bits: float16 as uint16, bfloat16 as int16."""

Block = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], int, int], None]

LANES = 8
"""Elements summed side by side, those of a 256-bit register; the length of a row is a multiple of it."""

_FLOAT, _INTEGER, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS, _INTEGERS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INTEGER, LANES)
_SHORTS, _BYTES = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.IntType(8), 2 * LANES)


@functools.cache
def widens_quickly() -> bool:
    """Whether this processor turns float16 into float32 by an instruction of its own."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("f16c")) or platform.machine().lower() in ("aarch64", "arm64")


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16, which torch uses."""
    features = llvm.get_host_cpu_features()
    return any(features.get(name) for name in ("avx512bf16", "amx-bf16", "bf16"))


def as_read(weight: Float32) -> Weight:
    """The form of a weight that the product reads fastest: as float16, half the bytes, where that loses nothing."""
    if not widens_quickly():
        return weight
    with np.errstate(over="ignore"):
        narrow = weight.astype(np.float16)
    return narrow.view(np.uint16) if np.array_equal(narrow, weight) else weight


class _Floats:
    """Float32 times a weight, summed in float32."""

    elements, zero = LANES, ir.Constant(_FLOATS, [0.0] * LANES)

    def __init__(self, weight: Any) -> None:
        self.weight = weight  # numba's type of its elements

    def load_x(self, builder: Any, row: Any, k: Any) -> Any:
        return _load(builder, row, k, _FLOATS, 4)

    def load_weight(self, builder: Any, row: Any, k: Any) -> Any:
        """A vector of float32, whatever it is stored as."""
        if self.weight == types.float32:
            return _load(builder, row, k, _FLOATS, 4)
        if self.weight == types.uint16:
            return builder.fpext(_load(builder, row, k, ir.VectorType(ir.HalfType(), LANES), 2), _FLOATS)
        bits = builder.zext(_load(builder, row, k, _SHORTS, 2), _INTEGERS)  # bfloat16 is the upper half of float32
        return builder.bitcast(builder.shl(bits, ir.Constant(_INTEGERS, [16] * LANES)), _FLOATS)

    def multiply_add(self, builder: Any, x: Any, weight: Any, total: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        return builder.call(_declared(builder, kind, f"llvm.fmuladd.v{LANES}f32"), [x, weight, total])

    def add_sums(self, builder: Any, places: list[Any], totals: list[Any]) -> None:
        """Add the lanes of every total to its place: four totals at once, the rest one by one."""
        whole = len(totals) - len(totals) % 4
        for i in range(0, whole, 4):
            self._add_four_sums(builder, places[i : i + 4], totals[i : i + 4])
        for place, total in zip(places[whole:], totals[whole:], strict=True):
            self._add_sum(builder, place, total)

    def _add_sum(self, builder: Any, place: Any, total: Any) -> None:
        """Lanes are added in pairs, as for four: sums are the same either way."""
        while (lanes := total.type.count) > 1:
            even, odd = (_lanes(builder, total, total, range(half, lanes, 2)) for half in (0, 1))
            total = builder.fadd(even, odd)
        found = builder.extract_element(total, _INTEGER(0))
        builder.store(builder.fadd(builder.load(place), found), place)

    def _add_four_sums(self, builder: Any, places: list[Any], totals: list[Any]) -> None:
        """Sum four vectors at once."""
        a, b, c, d = totals
        total = self._pairs(builder, self._pairs(builder, a, b), self._pairs(builder, c, d))
        low, high = (_lanes(builder, total, total, range(start, start + 4)) for start in (0, 4))
        found = builder.fadd(low, high)
        for i, place in enumerate(places):
            builder.store(builder.fadd(builder.load(place), builder.extract_element(found, _INTEGER(i))), place)

    def _pairs(self, builder: Any, a: Any, b: Any) -> Any:
        """Sums of neighbours, of a and of b by turns in each half: what processors do in one instruction."""
        chosen = [0, 2, 8, 10, 4, 6, 12, 14]
        even, odd = (_lanes(builder, a, b, [lane + half for lane in chosen]) for half in (0, 1))
        return builder.fadd(even, odd)


class _Integers:
    """Int8 times int8, summed in int32: pairs of 16-bit products are one instruction on many processors."""

    elements, zero = 2 * LANES, ir.Constant(_INTEGERS, [0] * LANES)

    def load_x(self, builder: Any, row: Any, k: Any) -> Any:
        return builder.sext(_load(builder, row, k, _BYTES, 1), ir.VectorType(ir.IntType(16), 2 * LANES))

    load_weight = load_x

    def multiply_add(self, builder: Any, x: Any, weight: Any, total: Any) -> Any:
        wide = ir.VectorType(_INTEGER, 2 * LANES)
        products = builder.mul(builder.sext(x, wide), builder.sext(weight, wide))
        even, odd = (
            builder.shuffle_vector(products, products, ir.Constant(_INTEGERS, [2 * i + half for i in range(LANES)]))
            for half in (0, 1)
        )
        return builder.add(total, builder.add(even, odd))

    def add_sums(self, builder: Any, places: list[Any], totals: list[Any]) -> None:
        kind = ir.FunctionType(_INTEGER, [_INTEGERS])
        reduce = _declared(builder, kind, f"llvm.vector.reduce.add.v{LANES}i32")
        for place, total in zip(places, totals, strict=True):
            builder.store(builder.add(builder.load(place), builder.call(reduce, [total])), place)


def _add_block_of(rows: int, columns: int) -> Block:
    """A function that adds to out[row:, column:] the product of ``rows`` rows of x and ``columns`` of the weight."""

    def add_block(_typing: Any, x: Any, weight: Any, out: Any, row: Any, column: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pairs = zip(signature.args[:3], arguments[:3], strict=True)
            x, weight, out = (context.make_array(kind)(context, builder, value) for kind, value in pairs)
            kind = _Integers() if signature.args[0].dtype == types.int8 else _Floats(signature.args[1].dtype)
            _emit_block(builder, kind, x, weight, out, arguments[3], arguments[4], rows, columns)
            return context.get_dummy_value()

        return types.void(x, weight, out, types.intp, types.intp), generate

    return cast(Block, intrinsic(add_block))


def _emit_block(
    builder: Any,
    kind: _Floats | _Integers,
    x: Any,
    weight: Any,
    out: Any,
    row: Any,
    column: Any,
    rows: int,
    columns: int,
) -> None:
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
    sums = [[builder.phi(kind.zero.type) for _ in weight_rows] for _ in x_rows]
    weights = [kind.load_weight(builder, pointer, k) for pointer in weight_rows]
    for pointer in weight_rows:
        _prefetch(builder, builder.gep(pointer, [builder.add(k, next_columns)]))
    added: list[list[Any]] = []
    for pointer, totals in zip(x_rows, sums, strict=True):
        loaded = kind.load_x(builder, pointer, k)
        added.append([kind.multiply_add(builder, loaded, w, total) for w, total in zip(weights, totals, strict=True)])
    for totals, more in zip(sums, added, strict=True):
        for total, new in zip(totals, more, strict=True):
            total.add_incoming(kind.zero, before)
            total.add_incoming(new, loop)
    following = builder.add(k, _INDEX(kind.elements))
    k.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, inputs), loop, done)
    builder.position_at_end(done)
    places, totals = [], []
    for i, row_totals in enumerate(added):
        to = builder.gep(_row(builder, out.data, builder.add(row, _INDEX(i)), outputs), [column])
        places += [builder.gep(to, [_INDEX(j)]) for j in range(columns)]
        totals += row_totals
    kind.add_sums(builder, places, totals)


def _lanes(builder: Any, a: Any, b: Any, chosen: Iterable[int]) -> Any:
    picked = list(chosen)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INTEGER, len(picked)), picked))


def _declared(builder: Any, kind: ir.FunctionType, name: str) -> Any:
    found: Any = builder.module.globals.get(name)
    return ir.Function(builder.module, kind, name) if found is None else found


def _row(builder: Any, data: Any, row: Any, width: Any) -> Any:
    return builder.gep(data, [builder.mul(row, width)])


def _load(builder: Any, row: Any, k: Any, vector: ir.VectorType, element_bytes: int) -> Any:
    loaded = builder.load(builder.bitcast(builder.gep(row, [k]), vector.as_pointer()))
    loaded.align = element_bytes  # rows of an array are aligned to its elements only
    return loaded


def _prefetch(builder: Any, pointer: Any) -> None:
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = _declared(builder, kind, "llvm.prefetch.p0i8")
    reading, nearest, data = number(0), number(3), number(1)
    builder.call(prefetch, [builder.bitcast(pointer, byte), reading, nearest, data])


_add_6_by_2, _add_6_by_1 = _add_block_of(6, 2), _add_block_of(6, 1)
_add_5_by_2, _add_5_by_1 = _add_block_of(5, 2), _add_block_of(5, 1)
_add_4_by_3, _add_4_by_1 = _add_block_of(4, 3), _add_block_of(4, 1)
_add_3_by_3, _add_3_by_1 = _add_block_of(3, 3), _add_block_of(3, 1)
_add_2_by_3, _add_2_by_1 = _add_block_of(2, 3), _add_block_of(2, 1)
_add_1_by_3, _add_1_by_1 = _add_block_of(1, 3), _add_block_of(1, 1)


PART = 4_000_000
"""Multiply-adds, about a tenth of a millisecond, that are worth handing to another thread."""


def add_product(x: NDArray[Any], weight: NDArray[Any], out: NDArray[Any], threads: int = 1) -> None:
    """Add x [n, inputs] times weight [outputs, inputs] transposed to out [n, outputs].

    All three lie row after row in memory. The weight is read once: all rows of x meet a few of its rows, then the next
    few. Elements are float32, with a ``Weight``, ``inputs`` being a multiple of ``LANES``; or int8 summed in int32,
    and ``inputs`` a multiple of twice as many.

    Args:
        x: Multiplied.
        weight: Likewise.
        out: Written.
        threads: Used at most; each takes some of the outputs.
    """
    outputs = weight.shape[0]
    parts = min(threads, x.shape[0] * weight.size // PART)
    if parts < 2:
        add_outputs(x, weight, out, 0, outputs)
        return
    bounds = [3 * round(outputs * part / parts / 3) for part in range(parts)] + [outputs]
    others = [_workers().submit(add_outputs, x, weight, out, *part) for part in pairwise(bounds[1:])]
    add_outputs(x, weight, out, bounds[0], bounds[1])
    for other in others:
        other.result()


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="lpspec-product")


@cached_njit(nogil=True, allocates=False)
def add_outputs(x: NDArray[Any], weight: NDArray[Any], out: NDArray[Any], first: int, end: int) -> None:
    """The same for outputs ``first`` to ``end`` alone."""
    n = x.shape[0]
    if n in (5, 6):
        _add_five_or_six(x, weight, out, first, end)
        return
    fours = n - n % 4
    threes = end - (end - first) % 3
    for column in range(first, threes, 3):
        for row in range(0, fours, 4):
            _add_4_by_3(x, weight, out, row, column)
        if n - fours == 3:
            _add_3_by_3(x, weight, out, fours, column)
        elif n - fours == 2:
            _add_2_by_3(x, weight, out, fours, column)
        elif n - fours == 1:
            _add_1_by_3(x, weight, out, fours, column)
    for column in range(threes, end):
        for row in range(0, fours, 4):
            _add_4_by_1(x, weight, out, row, column)
        if n - fours == 3:
            _add_3_by_1(x, weight, out, fours, column)
        elif n - fours == 2:
            _add_2_by_1(x, weight, out, fours, column)
        elif n - fours == 1:
            _add_1_by_1(x, weight, out, fours, column)


@cached_njit(nogil=True, allocates=False)
def _add_five_or_six(x: NDArray[Any], weight: NDArray[Any], out: NDArray[Any], first: int, end: int) -> None:
    """The same for so many rows, whose sums all fit the registers if only two outputs are taken at a time."""
    six = x.shape[0] == 6
    twos = end - (end - first) % 2
    for column in range(first, twos, 2):
        if six:
            _add_6_by_2(x, weight, out, 0, column)
        else:
            _add_5_by_2(x, weight, out, 0, column)
    for column in range(twos, end):
        if six:
            _add_6_by_1(x, weight, out, 0, column)
        else:
            _add_5_by_1(x, weight, out, 0, column)
