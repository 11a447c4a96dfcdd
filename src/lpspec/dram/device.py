"""One LPDDR5 die and its channel as data: organisation, JEDEC timings in CK, and the PIM extension.

Names are JESD209-5's (``nRCD``: tRCD in clock cycles of CK). nRCD, nRAS and nRC count from ACT-2.
"""

# ruff: noqa: N815 - timings keep the spelling of the standard
import math
from importlib.resources import files
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from lpspec.machine.loading import load_described, shipped_names
from lpspec.machine.quantity import Count, Described, PositiveDuration, Size

_PRESETS = files("lpspec.dram") / "presets"


class Organisation(Described):
    """Banks, rows and columns of one x16 die, and what one burst moves."""

    RANGES: ClassVar = {"density": (2**10, 2**40), "*": (1, 2**24)}

    bank_groups: Count = Field(description="bank groups of a die")
    banks_per_group: Count = Field(description="banks of a bank group")
    rows: Count = Field(description="rows of a bank")
    row_bytes: Count = Field(description="bytes of a row (page)")
    burst_bytes: Count = Field(description="bytes of one burst (BL16 on x16)")
    density: Size = Field(description="capacity of a die")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if (self.bank_groups.n, self.banks_per_group.n) != (4, 4):
            raise ValueError("only bank-group mode is modelled: bank_groups = 4, banks_per_group = 4")
        if self.banks * self.rows.n * self.row_bytes.n != self.density.bytes:
            raise ValueError("density must equal banks x rows x row_bytes")
        return self

    @property
    def banks(self) -> int:
        """Banks of a die."""
        return self.bank_groups.n * self.banks_per_group.n

    @property
    def columns(self) -> int:
        """Bursts of a row."""
        return self.row_bytes.n // self.burst_bytes.n


class Timing(Described):
    """Timings in CK, spelled as in JESD209-5."""

    RANGES: ClassVar = {"*": (1, 2**20)}

    nCL: Count = Field(description="RD to first data (RL)")
    nCWL: Count = Field(description="WR to first data (WL)")
    nBL_min: Count = Field(description="BL/n_min: CK that a burst holds DQ")
    nBL_max: Count = Field(description="BL/n_max: CK that a burst holds its bank group")
    nRCD: Count = Field(description="ACT-2 to RD or WR")
    nRPpb: Count = Field(description="PRE to ACT-1 of the bank")
    nRPab: Count = Field(description="PRE-all to ACT-1 of any bank")
    nRAS: Count = Field(description="ACT-2 to PRE")
    nRC: Count = Field(description="ACT-2 to the next ACT-1 of the bank")
    nAAD: Count = Field(description="ACT-1 to ACT-2 at most")
    nWR: Count = Field(description="end of write data to PRE")
    nRTP: Count = Field(description="RD to PRE")
    nPPD: Count = Field(description="PRE to PRE of a rank")
    nCCD_S: Count = Field(description="column to column command, other bank group")
    nCCD_L: Count = Field(description="column to column command, same bank group")
    nRRD_S: Count = Field(description="ACT to ACT of a rank, other bank group")
    nRRD_L: Count = Field(description="ACT to ACT of a rank, same bank group")
    nFAW: Count = Field(description="window of four ACTs of a rank")
    nWTR_S: Count = Field(description="end of write data to RD, other bank group")
    nWTR_L: Count = Field(description="end of write data to RD, same bank group")
    nRTRS: Count = Field(description="gap on DQ when the driving rank changes")
    nRFCab: Count = Field(description="REFab to ACT-1 or REF of the rank")
    nRFCpb: Count = Field(description="REFpb to ACT-1 of the pair of banks")
    nREFI: Count = Field(description="average REFab interval; REFpb: eight per nREFI")
    nPBR2PBR: Count = Field(description="REFpb to REFpb of a rank")
    nPBR2ACT: Count = Field(description="REFpb to ACT-1 of another bank")
    nWCKPST: Count = Field(description="WCK runs on after the last burst")
    nWCKIDLE: Count = Field(description="WCK runs on after a CAS that no access follows")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.nRC.n < self.nRAS.n + self.nRPpb.n:
            raise ValueError(f"nRC ({self.nRC.n}) must be at least nRAS + nRPpb ({self.nRAS.n + self.nRPpb.n})")
        return self

    def counts(self) -> dict[str, int]:
        """Every timing by name, CK."""
        return {name: getattr(self, name).n for name in type(self).model_fields}


class PimExtension(Described):
    """The compute side of a PIM die; there is no public standard, so each value says where it comes from."""

    RANGES: ClassVar = {"mode_switch": (0, 1e6), "alus": (1, 1024), "nMAC": (1, 10_000), "*": (1, 2**20)}

    banks_per_mpu: Count = Field(description="banks that share one MPU: one streams while the other opens a row")
    alus: Count = Field(description="ALUs of an MPU (N_ALU): tokens that one weight read serves")
    lanes: Count = Field(description="INT8 lanes of an ALU: weights of one column read")
    input_depth: Count = Field(description="INT8 inputs per token in one set of input registers")
    nMAC: Count = Field(description="PIM_MAC to PIM_MAC of a rank, CK")
    mode_switch: PositiveDuration = Field(description="PIM_ENTER or PIM_EXIT to the next command of the rank")
    activate: Literal["faw", "at_once"] = Field(
        default="faw", description="whether an all-bank activation obeys nRRD and nFAW inside the die"
    )

    @model_validator(mode="after")
    def _known_shapes(self) -> Self:
        if self.banks_per_mpu.n not in (1, 2):
            raise ValueError("banks_per_mpu must be 1 or 2")
        return self

    @property
    def slots_per_set(self) -> int:
        """32 B bursts that fill one of the two sets of input registers."""
        return -(-self.input_depth.n * self.alus.n // 32)

    @property
    def readback_bursts(self) -> int:
        """32 B bursts that read the INT32 accumulators of one MPU."""
        return -(-self.lanes.n * self.alus.n * 4 // 32)


class DeviceSpec(Described):
    """One die of an LPDDR5 channel: every rank of the channel is such a die."""

    RANGES: ClassVar = {"tCK": (0.1, 100)}

    name: str
    summary: str
    tCK: PositiveDuration = Field(description="period of CK")
    organisation: Organisation
    timing: Timing
    pim: PimExtension

    @property
    def peak_gb_per_s(self) -> float:
        """Peak bandwidth of the channel, GB/s."""
        return self.organisation.burst_bytes.n / (self.timing.nBL_min.n * self.tCK.ns)

    @property
    def mode_ck(self) -> int:
        """One switch between normal and PIM mode, CK."""
        return math.ceil(round(self.pim.mode_switch.ns / self.tCK.ns, 6))

    @property
    def mpus(self) -> int:
        """MPUs of a die."""
        return self.organisation.banks // self.pim.banks_per_mpu.n


def device_names() -> tuple[str, ...]:
    """Names of the devices that the package ships."""
    return shipped_names(_PRESETS)


def load_device(name_or_path: str = "lpddr5-6400-8gb") -> DeviceSpec:
    """Load a device by name or from a TOML file; a file may say ``extends`` and give only its differences.

    Raises:
        InputError: Unknown name, unreadable file, unknown key, wrong unit or impossible value.
    """
    return load_described(DeviceSpec, "memory device", name_or_path, _PRESETS)
