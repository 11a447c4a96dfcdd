"""The exponential function in float32 as plain arithmetic, so that a loop over it becomes vector instructions."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lpspec.compiled import cached_njit

LOWEST = np.float32(-87.0)
"""Below this, exp is taken for 0; above, every power of two that is met is a normal number."""

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)  # ln 2 in two parts: the first has few bits, so that its multiples are exact
_LN2_LOW = np.float32(-2.1219444005469058e-4)
_ROUNDING = np.float32(1.5 * 2**23)  # added and taken away again, it leaves the nearest integer
_F2, _F3, _F4, _F5, _F6, _F7 = (np.float32(1 / f) for f in (2, 6, 24, 120, 720, 5040))
_ONE, _ZERO = np.float32(1), np.float32(0)
_EXPONENT_BIAS, _FRACTION_BITS = 127, 23  # of IEEE 754 binary32


def _emit_power_of_two(_typing: Any, exponent: Any) -> Any:
    """2 to an integer, given as float32: the number whose exponent field holds it."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], bits), bits(_EXPONENT_BIAS))
        return builder.bitcast(builder.shl(biased, bits(_FRACTION_BITS)), ir.FloatType())

    return types.float32(exponent), generate


_power_of_two: Any = intrinsic(_emit_power_of_two)


@cached_njit(nogil=True, allocates=False)
def exp(x: np.float32) -> np.float32:
    """e to the power of x, for x up to 0, within two units in the last place; 0 below ``LOWEST``.

    With x = n ln 2 + r, it is 2**n times the first eight terms of the series of exp(r), where |r| < 0.35.
    """
    n = (x * _LOG2_E + _ROUNDING) - _ROUNDING
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = _ONE + r * (_ONE + r * (_F2 + r * (_F3 + r * (_F4 + r * (_F5 + r * (_F6 + r * _F7))))))
    return series * _power_of_two(n) if x >= LOWEST else _ZERO


@cached_njit(nogil=True, allocates=False)
def silu(x: np.float32) -> np.float32:
    """x / (1 + exp(-x)), with no exponential of a positive number in it."""
    e = exp(-abs(x))
    share = _ONE / (_ONE + e)
    return x * (share if x >= 0 else e * share)
