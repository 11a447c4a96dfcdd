"""Exact integer counts that work alike for one value and for a whole grid of values."""

from typing import Any, TypeAlias, overload

import numpy as np

from lpspec.arrays import IntArray

Count: TypeAlias = int | IntArray
"""A number of things: a Python int, or an int64 array of any shape that broadcasts with its neighbours."""


def plain(number: Any) -> Any:
    """A number of numpy's as one of Python's; arrays as they are."""
    return number.item() if np.ndim(number) == 0 and isinstance(number, np.generic | np.ndarray) else number


@overload
def packed_bytes(elements: int, bits: int) -> int: ...
@overload
def packed_bytes(elements: Count, bits: int) -> Count: ...
def packed_bytes(elements: Count, bits: int) -> Count:
    """Bytes that ``elements`` numbers of ``bits`` bits fill when packed tightly, the last byte rounded up."""
    return ceil_div(elements * bits, 8)


SCALE_BITS = 16
"""Bits of the scale of a cached vector, a head's key or value of one token, where its numbers have fewer than 8 bits:
assumed, 8 to 16 for 32 to 128 numbers; one for each is what lets PIM add products up unscaled."""


def scale_bytes(bits: int) -> int:
    """Bytes beside a cached vector of such numbers."""
    return SCALE_BITS // 8 if bits < 8 else 0


def cached_bytes(numbers: int, vectors: int, bits: int) -> int:
    """Bytes of what a token adds to a cache: numbers packed tightly, and the scales of their vectors."""
    return packed_bytes(numbers, bits) + vectors * scale_bytes(bits)


@overload
def ceil_div(a: int, b: int) -> int: ...
@overload
def ceil_div(a: Count, b: int) -> Count: ...
def ceil_div(a: Count, b: int) -> Count:
    """How many groups of ``b`` hold ``a`` things, the last one perhaps part full."""
    return -(-a // b)
