"""Physical constants: a number with its unit and where it comes from.

A platform file writes ``clock = { value = "1 GHz", source = "LP-Spec Table II" }``. The unit is part of
the text, so a bare number where a unit is due is an error, and code reads it back through a property
that names the unit: ``npu.clock.ghz``.
"""

import re
from decimal import Context
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from lpspec.errors import exactly

_EXACT = Context(prec=60, traps=[])
"""Decimal arithmetic: what is written at a limit in another unit must not be rounded past it."""

_WRITTEN = re.compile(r"^\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*?)?\s*$")


class Quantity(BaseModel):
    """A constant in the canonical unit of its class, with its source.

    Args:
        value: The number; in a file, text with a unit such as ``"6400 Mbps"``.
        source: Paper section, standard, data sheet, or "assumed" with the reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    UNIT: ClassVar[str] = ""
    SCALES: ClassVar[dict[str, float]] = {}
    MINIMUM: ClassVar[float] = 0.0
    ZERO_ALLOWED: ClassVar[bool] = False
    MAXIMUM: ClassVar[float] = float("inf")

    value: float = Field(allow_inf_nan=False)
    source: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, given: Any) -> Any:
        """Turn ``{value = "1 GHz", source = ...}`` into the canonical unit."""
        if not isinstance(given, dict):
            raise ValueError(f'write {{ value = {cls.example()}, source = "..." }}')
        if "value" in given:
            given = {**given, "value": cls.parse_value(given["value"])}
        return given

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        low_ok = self.value > self.MINIMUM or (self.ZERO_ALLOWED and self.value == self.MINIMUM)
        if not low_ok or self.value > self.MAXIMUM:
            raise ValueError(f"{self.exact_text()} is out of range: allowed is {self.allowed_range()}")
        return self

    def check_within(self, low: float, high: float) -> None:
        """Raise ValueError where the value lies outside ``low`` to ``high``, both in the canonical unit and allowed."""
        if not low <= self.value <= high:
            allowed = f"{self._words(low)} to {self._words(high)}"
            raise ValueError(f"{self.exact_text()} is out of range: allowed is {allowed}")

    @classmethod
    def _words(cls, value: float) -> str:
        return cls.model_construct(value=value, source="").exact_text()

    @classmethod
    def parse_value(cls, written: object) -> float:
        """Read a number with a unit; raise ValueError saying what was expected."""
        if isinstance(written, bool) or not isinstance(written, (str, int, float)):
            raise ValueError(f"{written!r} is no number: write {cls.example()}")
        match = _WRITTEN.match(str(written))
        if match is None:
            raise ValueError(f"{written!r} is no number: write {cls.example()}")
        unit = match[2] or ""
        if unit not in cls.SCALES:
            units = ", ".join(name or "no unit" for name in cls.SCALES)
            raise ValueError(f"{written!r} has the wrong unit: allowed is {units}")
        number, scale = (_EXACT.create_decimal(each) for each in (match[1], repr(cls.SCALES[unit])))
        return float(_EXACT.multiply(number, scale))

    @classmethod
    def example(cls) -> str:
        """How a value of this kind is written, for messages."""
        return f'"1 {cls.UNIT}"' if cls.UNIT else "1"

    @classmethod
    def allowed_range(cls) -> str:
        """The allowed range in words, for messages."""
        low = "at least" if cls.ZERO_ALLOWED else "above"
        high = "" if float("inf") == cls.MAXIMUM else f", at most {cls.MAXIMUM:g}"
        return f"{low} {cls.MINIMUM:g}{high} {cls.UNIT}".strip()

    def text(self) -> str:
        """The value with its canonical unit, as people read it."""
        return f"{self.value:g} {self.UNIT}".strip()

    def exact_text(self) -> str:
        """The value to its last digit, for a line that says why it is not allowed."""
        return f"{exactly(self.value)} {self.UNIT}".strip()


class Described(BaseModel):
    """A description of which constants are a part: none unknown, none implausible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    RANGES: ClassVar[dict[str, tuple[float, float]]] = {}
    """Plausible values in canonical units: an order of magnitude and more around what is built or proposed, so that a
    slip of the unit is seen and counts stay machine integers. ``*`` is for all that are not named."""

    @field_validator("*")
    @classmethod
    def _is_plausible(cls, value: Any, info: ValidationInfo) -> Any:
        plausible = cls.RANGES.get(info.field_name or "", cls.RANGES.get("*"))
        if isinstance(value, Quantity) and plausible is not None:
            value.check_within(*plausible)
        return value


class Count(Quantity):
    """A whole number of things."""

    SCALES: ClassVar[dict[str, float]] = {"": 1.0}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.value != int(self.value):
            raise ValueError(f"{exactly(self.value)} must be a whole number")
        return self

    @property
    def n(self) -> int:
        """The number, as an int."""
        return int(self.value)

    def text(self) -> str:
        """The number, to its last digit."""
        return self.exact_text()


class CountOrZero(Count):
    """A whole number of things that may be absent."""

    ZERO_ALLOWED: ClassVar[bool] = True


class Share(Quantity):
    """A fraction of one."""

    SCALES: ClassVar[dict[str, float]] = {"": 1.0, "%": 0.01}
    MAXIMUM: ClassVar[float] = 1.0

    @property
    def fraction(self) -> float:
        """The fraction, above 0 and at most 1."""
        return self.value


class Frequency(Quantity):
    """A clock."""

    UNIT: ClassVar[str] = "GHz"
    SCALES: ClassVar[dict[str, float]] = {"GHz": 1.0, "MHz": 1e-3}

    @property
    def ghz(self) -> float:
        """Frequency in GHz, that is cycles per ns."""
        return self.value


class Duration(Quantity):
    """A span of time."""

    UNIT: ClassVar[str] = "ns"
    SCALES: ClassVar[dict[str, float]] = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6}
    ZERO_ALLOWED: ClassVar[bool] = True

    @property
    def ns(self) -> float:
        """Time in ns."""
        return self.value


class PositiveDuration(Duration):
    """A span of time that cannot be zero."""

    ZERO_ALLOWED: ClassVar[bool] = False


class Span(Quantity):
    """A time as people count it."""

    UNIT: ClassVar[str] = "s"
    SCALES: ClassVar[dict[str, float]] = {"s": 1.0, "min": 60.0}

    @property
    def seconds(self) -> float:
        """Time in s."""
        return self.value


class DataRate(Quantity):
    """Bits per second on one pin."""

    UNIT: ClassVar[str] = "Mbps"
    SCALES: ClassVar[dict[str, float]] = {"Mbps": 1.0, "Gbps": 1e3, "MT/s": 1.0, "GT/s": 1e3}

    @property
    def mbps(self) -> float:
        """Data rate in Mbit/s per pin."""
        return self.value


class Bandwidth(Quantity):
    """Bytes per second."""

    UNIT: ClassVar[str] = "GB/s"
    SCALES: ClassVar[dict[str, float]] = {"GB/s": 1.0, "TB/s": 1e3}

    @property
    def gb_per_s(self) -> float:
        """Bandwidth in GB/s (10^9 bytes per second), that is bytes per ns."""
        return self.value


class Throughput(Quantity):
    """Operations per second; one multiply-accumulate is two operations."""

    UNIT: ClassVar[str] = "TOPS"
    SCALES: ClassVar[dict[str, float]] = {"TOPS": 1.0, "TFLOPS": 1.0, "GOPS": 1e-3}

    @property
    def tops(self) -> float:
        """Operations per second in 10^12."""
        return self.value


class Size(Quantity):
    """An amount of memory."""

    UNIT: ClassVar[str] = "B"
    SCALES: ClassVar[dict[str, float]] = {
        "B": 1.0,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
        "Gb": 2.0**27,
        "GB": 1e9,
    }

    @model_validator(mode="after")
    def _whole_bytes(self) -> Self:
        if abs(self.value - round(self.value)) > 1e-9 * self.value:
            raise ValueError(f"{exactly(self.value)} B must be a whole number of bytes")
        return self

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return round(self.value)

    def text(self) -> str:
        """The size to the byte."""
        return self.exact_text()

    def exact_text(self) -> str:
        """The size in the largest unit that leaves a short and exact number, binary units first."""
        for unit in ("GiB", "MiB", "KiB", "GB"):
            number = f"{self.value / self.SCALES[unit]:g}"
            exact = self.value >= self.SCALES[unit] and float(number) * self.SCALES[unit] == self.bytes
            if exact and "e" not in number:
                return f"{number} {unit}"
        return f"{self.bytes} B"


class Power(Quantity):
    """A power that may be zero."""

    UNIT: ClassVar[str] = "W"
    SCALES: ClassVar[dict[str, float]] = {"W": 1.0, "mW": 1e-3}
    ZERO_ALLOWED: ClassVar[bool] = True

    @property
    def watts(self) -> float:
        """Power in W."""
        return self.value


class Voltage(Quantity):
    """The voltage of a supply."""

    UNIT: ClassVar[str] = "V"
    SCALES: ClassVar[dict[str, float]] = {"V": 1.0, "mV": 1e-3}

    @property
    def volts(self) -> float:
        """Voltage in V."""
        return self.value


class Current(Quantity):
    """A current that may be zero."""

    UNIT: ClassVar[str] = "mA"
    SCALES: ClassVar[dict[str, float]] = {"mA": 1.0, "A": 1e3, "uA": 1e-3}
    ZERO_ALLOWED: ClassVar[bool] = True

    @property
    def ma(self) -> float:
        """Current in mA."""
        return self.value


class EnergyPerOperation(Quantity):
    """The energy of one operation, such as a multiply-accumulate."""

    UNIT: ClassVar[str] = "pJ"
    SCALES: ClassVar[dict[str, float]] = {"pJ": 1.0, "fJ": 1e-3, "nJ": 1e3}
    ZERO_ALLOWED: ClassVar[bool] = True


class EnergyPerBit(Quantity):
    """The energy of moving or sensing one bit."""

    UNIT: ClassVar[str] = "pJ/b"
    SCALES: ClassVar[dict[str, float]] = {"pJ/b": 1.0, "fJ/b": 1e-3}
    ZERO_ALLOWED: ClassVar[bool] = True

    @property
    def pj_per_bit(self) -> float:
        """Energy in pJ per bit."""
        return self.value
