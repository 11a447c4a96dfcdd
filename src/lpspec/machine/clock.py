"""The command clock CK of an LPDDR5 memory, and times that are counted in it."""

import math
import re
from typing import Any

from lpspec.machine.quantity import DataRate

BITS_PER_CK = 8
"""Bits that a pin moves in one CK of LPDDR5: WCK:CK is 4:1, two bits a WCK cycle (JESD209-5)."""

SLOWEST_MBPS, FASTEST_MBPS = 100, 20_000
"""Data rates of a pin that are taken for possible: LPDDR (2006) begins at 200, LPDDR6 ends at 14,400."""


def whole_ck(duration_ns: float, ck_ns: float) -> int:
    """The CK that commands keep between them for a time: the next whole number, but for what arithmetic adds."""
    return math.ceil(round(duration_ns / ck_ns, 6))


def in_ns(constant: Any, data_rate: Any) -> Any:
    """A constant of a file whose value is a time in CK, such as ``"4 CK"``, in ns; all others as they are.

    Args:
        constant: The constant, ``{value = ..., source = ...}``.
        data_rate: The data rate of the memory, likewise.
    """
    value = constant.get("value") if isinstance(constant, dict) else None
    cycles = re.fullmatch(r"\s*(\d+\.?\d*)\s*CK\s*", value) if isinstance(value, str) else None
    if cycles is None or not isinstance(data_rate, dict):
        return constant
    ck_ns = BITS_PER_CK / _mbps(data_rate.get("value")) * 1e3
    at = f"{cycles[1]} CK of {ck_ns:.6g} ns"
    return {**constant, "value": f"{float(cycles[1]) * ck_ns!r} ns", "source": f"{at}: {constant.get('source', '')}"}


def _mbps(written: object) -> float:
    """The data rate, kept among those that are allowed: of one that is not, the rate itself is what is wrong."""
    try:
        mbps = DataRate.parse_value(written)
    except ValueError:
        mbps = 0.0
    return min(max(mbps, SLOWEST_MBPS), FASTEST_MBPS)
