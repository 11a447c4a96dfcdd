"""The compute side of a PIM die as data: its MPUs, their registers and times, and the formats that they take."""

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from lpspec.machine.clock import ck_ns_of, in_ns
from lpspec.machine.quantity import Count, Described, Duration, PositiveDuration

PIM_FORMATS = ("w8a8", "w4a8", "w8a16", "w4a16")
"""Formats of Samsung's LPDDR5X-PIM (arXiv 2606.00636)."""


class PimDie(Described):
    """The compute side of a PIM die; there is no public standard, so each value says where it comes from."""

    RANGES: ClassVar = {
        "banks_per_mpu": (1, 256),
        "lanes": (1, 4096),
        "alus": (1, 1024),
        "input_depth": (1, 2**20),
        "accumulator_bits": (16, 64),
        "mac_interval": (0.1, 1000),
        "mode_switch": (0, 1e6),
        "mode_steps": (1, 4),
    }

    banks_per_mpu: Count = Field(description="banks that share one MPU; one streams while the other opens a row")
    lanes: Count = Field(description="weights an MPU takes per column read: outputs of the tile it holds")
    alus: Count = Field(description="lane-wide ALUs of an MPU (N_ALU): tokens that one weight read serves")
    input_depth: Count = Field(description="INT8 inputs per token in one set of input registers")
    accumulator_bits: Count = Field(description="bits of one accumulator, read back over the bus")
    mac_interval: PositiveDuration = Field(description="one all-bank MAC command to the next; in ns, or in CK")
    mode_switch: Duration = Field(description="one switch between single-bank and all-bank PIM mode; in ns, or in CK")
    mode_steps: Count = Field(
        default=Count(value=1, source="one switch into PIM mode, where nobody says that it takes several"),
        description="mode commands that bring ranks into PIM mode, each a mode_switch; one brings them back",
    )
    formats: str = Field(
        default="w8a8",
        description="bits of weights (w) and activations (a) that products may have, a name for each pair; of "
        "attention, bits of the cache and of what meets it",
    )
    activate: Literal["faw", "at_once"] = Field(
        default="faw", description="whether an all-bank activation obeys nRRD and nFAW inside the die"
    )
    input_reach: Literal["die", "mpus"] = Field(
        default="die", description="where a burst of inputs goes: to all MPUs of a die, or to those that it names"
    )

    @property
    def most_lanes(self) -> int:
        """Lanes of an MPU in the format of its narrowest weights, each with accumulators of its own."""
        return self.lanes.n * (2 if "w4" in self.formats else 1)

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, value: str) -> str:
        """Names with one space between; a comma may stand there, too."""
        names = value.replace(",", " ").split()
        if unknown := [name for name in names if name not in PIM_FORMATS]:
            raise ValueError(f"'{unknown[0]}' is no format: allowed are {', '.join(PIM_FORMATS)}")
        if "w8a8" not in names:
            raise ValueError("w8a8 must be among them: it is what programs are written in where nobody asks for less")
        return " ".join(names)


def pim_in_ns(data: dict[str, Any], memory: dict[str, Any]) -> dict[str, Any]:
    """A description whose [pim] has its times in CK turned into ns, at the data rate of a die's table."""
    ck_ns = ck_ns_of(memory)
    if ck_ns is None or not isinstance(data.get("pim"), dict):
        return data
    return {**data, "pim": {key: in_ns(constant, ck_ns) for key, constant in data["pim"].items()}}


def check_mpus(banks: int, column_bytes: int, pim: PimDie | None) -> None:
    """Refuse MPUs that the banks of a die cannot be shared out to (ValueError)."""
    if pim is None:
        return
    if banks % pim.banks_per_mpu.n:
        raise ValueError(f"banks ({banks}) must be a multiple of pim.banks_per_mpu ({pim.banks_per_mpu.n})")
    if column_bytes != pim.lanes.n:
        raise ValueError(
            f"organisation.burst_bytes ({column_bytes}) must equal pim.lanes ({pim.lanes.n}): "
            "a lane takes one INT8 weight per column read"
        )
