"""Parts of arrays of a known length, computed on all at once: what numpy does with them, in vector instructions."""

from lpspec.native.code import INT_COMPARISONS, INT_OPERATIONS, Code, CompileError
from lpspec.native.values import BOOL, INT, Array, Scalar, Value, Vector, parts_of

MOST = 64
"""Elements of a vector."""


def is_row(value: Value) -> bool:
    """Whether a value is a vector, or a part of an array of ints that can be read as one."""
    if isinstance(value.type, Array) and value.type.ndim == 1:
        return value.type.dtype == "i8" and value.type.length is not None and value.type.length <= MOST
    return isinstance(value.type, Vector)


def _length(values: list[Value]) -> int:
    kinds = [value.type for value in values if is_row(value)]
    lengths = {
        kind.n if isinstance(kind, Vector) else kind.length for kind in kinds if isinstance(kind, Array | Vector)
    }
    if len(lengths) != 1 or (length := lengths.pop()) is None:
        raise CompileError("vectors of different lengths")
    return length


def _as_vector(code: Code, value: Value, n: int, element: Scalar) -> Value:
    """A vector of so many elements: read, or of one number everywhere."""
    kind = Vector(n, element)
    (llvm,) = parts_of(kind)
    if isinstance(value.type, Array):
        return Value(Vector(n, INT), (code.get(f"load {parts_of(Vector(n, INT))[0]}, ptr {value.parts[0]}, align 8"),))
    if isinstance(value.type, Vector):
        return value
    number = code.as_type(value, element)
    one = code.get(f"insertelement {llvm} poison, {element.llvm} {number.parts[0]}, i64 0")
    return Value(kind, (code.get(f"shufflevector {llvm} {one}, {llvm} poison, <{n} x i32> zeroinitializer"),))


def _alike(code: Code, values: list[Value]) -> tuple[int, list[Value]]:
    """Vectors of one length and kind of element."""
    n = _length(values)
    flags = [v.type == BOOL or (isinstance(v.type, Vector) and v.type.element == BOOL) for v in values]
    element = BOOL if all(flags) else INT
    vectors = [_as_vector(code, value, n, element) for value in values]
    if any(v.type != Vector(n, element) for v in vectors):
        raise CompileError("a vector of truth values among numbers")
    return n, vectors


def compute(code: Code, sign: str, first: Value, second: Value) -> Value:
    """Two vectors and an operation."""
    _, (one, two) = _alike(code, [first, second])
    if sign not in INT_OPERATIONS:
        raise CompileError(f"{sign} of vectors")
    (llvm,) = parts_of(one.type)
    return Value(one.type, (code.get(f"{INT_OPERATIONS[sign]} {llvm} {one.parts[0]}, {two.parts[0]}"),))


def compare(code: Code, sign: str, first: Value, second: Value) -> Value:
    """Where one vector is less than another, or what the sign says."""
    n, (one, two) = _alike(code, [first, second])
    (llvm,) = parts_of(one.type)
    return Value(Vector(n, BOOL), (code.get(f"icmp {INT_COMPARISONS[sign]} {llvm} {one.parts[0]}, {two.parts[0]}"),))


def where(code: Code, condition: Value, first: Value, second: Value) -> Value:
    """Elements of one vector where a condition holds, and of another elsewhere."""
    n = _length([condition])
    one, two = (_as_vector(code, value, n, INT) for value in (first, second))
    (llvm,) = parts_of(one.type)
    pick = f"select <{n} x i1> {condition.parts[0]}, {llvm} {one.parts[0]}, {llvm} {two.parts[0]}"
    return Value(one.type, (code.get(pick),))


def extreme(code: Code, sign: str, first: Value, second: Value) -> Value:
    """The smaller (``<``) or greater (``>``) elements of two vectors."""
    _, (one, two) = _alike(code, [first, second])
    return where(code, compare(code, sign, one, two), one, two)


def reduced(code: Code, how: str, row: Value) -> Value:
    """One number of all elements: the least, the greatest, the sum, or whether any is true."""
    n = _length([row])
    if how == "any":
        return Value(BOOL, (code.get(f"call i1 @llvm.vector.reduce.or.v{n}i1(<{n} x i1> {row.parts[0]})"),))
    name = {"min": "smin", "max": "smax", "sum": "add"}[how]
    vector = _as_vector(code, row, n, INT)
    return Value(INT, (code.get(f"call i64 @llvm.vector.reduce.{name}.v{n}i64(<{n} x i64> {vector.parts[0]})"),))


def store(code: Code, row: Value, value: Value) -> None:
    """Write a vector into a part of an array.

    Frozen, so that LLVM does not see that some elements stay what they are, and writes the others through a mask: a
    store that takes some processors several times as long, and from which no load is served until it is done.
    """
    n = _length([row])
    vector = _as_vector(code, value, n, INT)
    (llvm,) = parts_of(vector.type)
    frozen = code.get(f"freeze {llvm} {vector.parts[0]}")
    code.put(f"store {llvm} {frozen}, ptr {row.parts[0]}, align 8")
