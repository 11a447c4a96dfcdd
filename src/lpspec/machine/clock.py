"""The command clock CK of an LPDDR memory, and times that are counted in it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from lpspec.machine.quantity import Count, DataRate

StandardName = Literal["LPDDR5", "LPDDR6"]


@dataclass(frozen=True, slots=True)
class Standard:
    """What a generation of LPDDR fixes of its clocks.

    Attributes:
        wck_per_ck: Cycles of the data clock WCK in one of CK.
        ck_per_command: CK of the command bus that one command takes; it begins on a multiple of them.
    """

    wck_per_ck: int
    ck_per_command: int

    @property
    def bits_per_ck(self) -> int:
        """Bits that a pin moves in one CK: two a WCK cycle."""
        return 2 * self.wck_per_ck


STANDARDS: dict[StandardName, Standard] = {
    "LPDDR5": Standard(wck_per_ck=4, ck_per_command=1),
    "LPDDR6": Standard(wck_per_ck=2, ck_per_command=2),
}
"""JESD209-5 in bank-group mode, JESD209-6 (four command pins a sub-channel). Source: public simulators."""

EXACT_MBPS = {float(round(n * 1600 / 3)): n * 1600 / 3 for n in (1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 20, 22)}
"""Data rates that the standards name in whole Mbps and that are thirds: 8533 is 8,533.33, 10667 is 10,666.67."""

SLOWEST_MBPS, FASTEST_MBPS = 100, 20_000
"""Data rates of a pin that are taken for possible: LPDDR (2006) begins at 200, LPDDR6 ends at 14,400."""

_NS = {"ps": 1e-3, "ns": 1.0, "us": 1e3}
_CYCLES = re.compile(r"\s*(\d+\.?\d*)\s*CK\s*")
_TERM = re.compile(r"(?P<name>n[A-Za-z]\w*)|(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>CK|ps|ns|us)?")


class CkCount(Count):
    """A span in whole cycles of CK: a count of the standard, or a time that commands keep for whole CK.

    Args:
        given: The span as it was written, such as ``"18 ns rounded up"`` or ``"nRAS + nRPpb"``.
    """

    UNIT: ClassVar[str] = "CK"
    SCALES: ClassVar[dict[str, float]] = {"CK": 1.0, "": 1.0}

    given: str = Field(default="")

    @classmethod
    def parse_value(cls, written: object) -> float:
        """Read a count; raise ValueError saying what else would have been one."""
        try:
            return super().parse_value(written)
        except ValueError:
            raise ValueError(f"{written!r} is no number of CK: write {cls.example()}") from None

    @classmethod
    def example(cls) -> str:
        """How a value of this kind is written, for messages."""
        return '16, "16 CK", "18 ns" or a sum such as "nRAS + nRPpb"'

    def exact_text(self) -> str:
        """The count, and the time or sum that it was rounded up from."""
        counted = super().exact_text()
        return counted if self.given in ("", counted, str(self.n)) else f"{counted} ({self.given})"


def whole_ck(duration_ns: float, ck_ns: float) -> int:
    """The CK that commands keep between them for a time: the next whole number, but for what arithmetic adds."""
    return math.ceil(round(duration_ns / ck_ns, 6))


def exact_mbps(mbps: float) -> float:
    """The data rate behind a name that the standards round."""
    return EXACT_MBPS.get(mbps, mbps)


def ck_ns_at(mbps: float, standard: StandardName) -> float:
    """Period of CK at a data rate, ns."""
    return STANDARDS[standard].bits_per_ck / exact_mbps(mbps) * 1e3


def ck_ns_of(described: Mapping[str, Any]) -> float | None:
    """Period of CK at the ``data_rate`` and ``standard`` of a file's table, ns; None where they are none.

    A data rate is ``{value = ..., source = ...}``.
    """
    rate, standard = described.get("data_rate"), described.get("standard", "LPDDR5")
    if not isinstance(rate, dict) or not isinstance(standard, str) or standard not in STANDARDS:
        return None
    return ck_ns_at(_mbps(rate.get("value")), standard)


def in_ns(constant: Any, ck_ns: float) -> Any:
    """A constant of a file whose value is a time in CK, such as ``"4 CK"``, in ns; all others as they are.

    Args:
        constant: The constant, ``{value = ..., source = ...}``.
        ck_ns: Period of CK.
    """
    value = constant.get("value") if isinstance(constant, dict) else None
    cycles = _CYCLES.fullmatch(value) if isinstance(value, str) else None
    if cycles is None:
        return constant
    at = f"{cycles[1]} CK of {ck_ns:.6g} ns"
    ns = f"{float(cycles[1]) * ck_ns:.12g} ns"  # rounded, lest what arithmetic adds takes it past a limit
    return {**constant, "value": ns, "source": f"{at}: {constant.get('source', '')}"}


def in_whole_ck(timing: Mapping[str, Any], ck_ns: float, at_most: frozenset[str]) -> dict[str, Any]:
    """The timings of a file with every value a count of CK, and how it was given beside it.

    A value is a number (CK), a time, the name of another timing, or a sum of these, each time rounded by itself; what
    is none of them stays as it is, for validation to refuse.

    Args:
        timing: Constants by name, ``{value = ..., source = ...}``.
        ck_ns: Period of CK.
        at_most: Names of those that are limits from above: their times are rounded down, all others up.
    """

    def count(name: str, above: tuple[str, ...]) -> int | None:
        constant = timing.get(name)
        value = constant.get("value") if isinstance(constant, dict) and name not in above else None
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        counts = [term(part, name, (*above, name)) for part in str(value).split("+")]
        return None if None in counts else sum(n for n in counts if n is not None)

    def term(text: str, name: str, above: tuple[str, ...]) -> int | None:
        found = _TERM.fullmatch(text.strip())
        if found is None:
            return None
        if found["name"] is not None:
            return count(found["name"], above)
        number, unit = float(found["number"]), found["unit"]
        if not math.isfinite(number):
            return None
        if unit in (None, "CK"):
            return int(number) if number == int(number) else None
        exact = round(number * _NS[unit] / ck_ns, 6)
        whole = (math.floor if name in at_most else math.ceil)(exact)
        if whole != exact:
            rounded[name] = " rounded down" if name in at_most else " rounded up"
        return whole

    rounded: dict[str, str] = {}
    counted = {name: count(name, ()) for name in timing}
    return {
        name: constant
        if counted[name] is None
        else {**constant, "value": counted[name], "given": f"{constant['value']}{rounded.get(name, '')}"}
        for name, constant in timing.items()
    }


def is_time(value: object) -> bool:
    """Whether a timing as written holds a time, which a data rate changes the count of."""
    return isinstance(value, str) and re.search(r"\d\s*(ps|ns|us)\b", value) is not None


def _mbps(written: object) -> float:
    """The data rate, kept among those that are allowed: of one that is not, the rate itself is what is wrong."""
    try:
        mbps = DataRate.parse_value(written)
    except ValueError:
        mbps = 0.0
    return min(max(mbps, SLOWEST_MBPS), FASTEST_MBPS)
