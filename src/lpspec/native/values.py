"""Types and values of compiled functions: numbers, arrays whose elements follow one another, tuples of these.

A value is one LLVM register or constant for each of its parts: an array has its address and its lengths, a tuple the
parts of its items. Python ints are 64 bits wide here, and wrap around.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpspec.errors import InputError

Number = bool | int | float


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number: what LLVM calls it."""

    llvm: str


@dataclass(frozen=True, slots=True)
class Array:
    """An array in C order.

    Attributes:
        dtype: Of its elements, as numpy spells it: kind and bytes.
        ndim: Dimensions.
        length: Of the first one, if it is known while compiling.
    """

    dtype: str
    ndim: int
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Tuple:
    """Several values; those of a named tuple have names."""

    items: "tuple[Type, ...]"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vector:
    """So many numbers or truth values in one register."""

    n: int
    element: Scalar


Type = Scalar | Array | Tuple | Vector
INT, FLOAT, BOOL = Scalar("i64"), Scalar("double"), Scalar("i1")
NOTHING = Tuple(())
ELEMENTS = {
    "i1": ("i8", 1), "i2": ("i16", 2), "i4": ("i32", 4), "i8": ("i64", 8), "u1": ("i8", 1), "u2": ("i16", 2),
    "u4": ("i32", 4), "b1": ("i8", 1), "f4": ("float", 4), "f8": ("double", 8),
}  # fmt: skip
"""By dtype: what LLVM calls an element, and its bytes."""
_ANNOTATED: dict[Any, Type] = {int: INT, float: FLOAT, bool: BOOL, None: NOTHING, type(None): NOTHING}


@dataclass(frozen=True, slots=True)
class Value:
    """Something computed.

    Attributes:
        type: What it is.
        parts: A register or constant for each part.
        known: Its number, where that is known while compiling.
    """

    type: Type
    parts: tuple[str, ...]
    known: Number | None = None


def parts_of(kind: Type) -> tuple[str, ...]:
    """What LLVM calls the parts of a value."""
    if isinstance(kind, Scalar):
        return (kind.llvm,)
    if isinstance(kind, Vector):
        return (f"<{kind.n} x {kind.element.llvm}>",)
    if isinstance(kind, Array):
        return ("ptr", *["i64"] * kind.ndim)
    return tuple(part for item in kind.items for part in parts_of(item))


def constant(number: Number) -> Value:
    """A number that is known while compiling."""
    if isinstance(number, bool | np.bool_):
        return Value(BOOL, ("true" if number else "false",), bool(number))
    if isinstance(number, float | np.floating):
        (bits,) = struct.unpack("<Q", struct.pack("<d", number))
        return Value(FLOAT, (f"0x{bits:016X}",), float(number))
    return Value(INT, (str(int(number)),), int(number))


def pack(values: "list[Value] | tuple[Value, ...]", names: tuple[str, ...] = ()) -> Value:
    """A tuple of values."""
    return Value(
        Tuple(tuple(value.type for value in values), names), tuple(part for value in values for part in value.parts)
    )


def unpack(value: Value) -> list[Value]:
    """The items of a tuple."""
    assert isinstance(value.type, Tuple)
    items, begin = [], 0
    for item in value.type.items:
        end = begin + len(parts_of(item))
        items.append(Value(item, value.parts[begin:end]))
        begin = end
    return items


def annotated(annotation: Any) -> Type | None:
    """The type that an annotation names; None where it says only that it is an array or a named tuple."""
    if getattr(annotation, "__origin__", None) is tuple:
        items = [annotated(item) for item in annotation.__args__]
        return None if any(item is None for item in items) else Tuple(tuple(item for item in items if item is not None))
    return _ANNOTATED.get(annotation)


def of_argument(given: Any) -> Type:
    """The type of what Python hands over.

    Raises:
        InputError: Compiled functions take no such thing.
    """
    if isinstance(given, np.ndarray):
        dtype = f"{given.dtype.kind}{given.dtype.itemsize}"
        if dtype not in ELEMENTS:
            raise InputError(f"a compiled loop takes no array of {given.dtype}")
        return Array(dtype, given.ndim)
    if isinstance(given, tuple):
        return Tuple(tuple(of_argument(item) for item in given), tuple(getattr(given, "_fields", ())))
    for kind, scalar in ((bool | np.bool_, BOOL), (int | np.integer, INT), (float | np.floating, FLOAT)):
        if isinstance(given, kind):
            return scalar
    raise InputError(f"a compiled loop takes no {type(given).__name__}")
