"""The timings of a die, each described where it is declared, and those that follow from a die's capacity."""

# ruff: noqa: N815 - timings keep the spelling of the standard
from typing import ClassVar, Self

from pydantic import Field, model_validator

from lpspec.machine.clock import CkCount
from lpspec.machine.quantity import Described

REFRESH_NS: dict[int, dict[str, float]] = {
    2: {"nRFCab": 130, "nRFCpb": 60, "nPBR2PBR": 60},
    4: {"nRFCab": 180, "nRFCpb": 90, "nPBR2PBR": 90},
    8: {"nRFCab": 210, "nRFCpb": 120, "nPBR2PBR": 90},
    16: {"nRFCab": 280, "nRFCpb": 140, "nPBR2PBR": 90},
    32: {"nRFCab": 380, "nRFCpb": 190, "nPBR2PBR": 90},
}
"""Times of refresh by the density of a die in Gb, ns. Source: public simulators (Ramulator 2), JESD209-5; at 32 Gb the
all-bank time is that of JESD209-6 and the others are assumed, 140 to 190 and 90 to 120."""


class Timing(Described):
    """Timings in CK, spelled as in JESD209-5; a file gives each as a count of CK or as a time."""

    RANGES: ClassVar = {"*": (1, 2**20)}

    nCL: CkCount = Field(description="RD to first data (RL)")
    nCWL: CkCount = Field(description="WR to first data (WL)")
    nBL_min: CkCount = Field(description="BL/n_min: CK that a burst holds DQ")
    nBL_max: CkCount = Field(description="BL/n_max: CK that a burst holds its bank group")
    nRCD: CkCount = Field(description="ACT-2 to RD, and to WR unless nRCDw says otherwise")
    nRPpb: CkCount = Field(description="PRE to ACT-1 of the bank")
    nRPab: CkCount = Field(description="PRE-all to ACT-1 of any bank")
    nRAS: CkCount = Field(description="ACT-2 to PRE")
    nRC: CkCount = Field(description="ACT-2 to the next ACT-1 of the bank")
    nAAD: CkCount = Field(description="ACT-1 to ACT-2 at most")
    nWR: CkCount = Field(description="end of write data to PRE (LPDDR6: nWTP, counted from WL + BL/n_max)")
    nRTP: CkCount = Field(description="RD to PRE")
    nPPD: CkCount = Field(description="PRE to PRE of a rank")
    nCCD_S: CkCount = Field(description="column to column command, other bank group")
    nCCD_L: CkCount = Field(description="column to column command, same bank group")
    nRRD: CkCount = Field(description="ACT to ACT of a rank, whatever the bank groups")
    nFAW: CkCount = Field(description="window of four ACTs of a rank")
    nWTR_S: CkCount = Field(description="end of write data to RD, other bank group")
    nWTR_L: CkCount = Field(description="end of write data to RD, same bank group")
    nRTRS: CkCount = Field(description="gap on DQ when the driving rank changes")
    nRFCab: CkCount = Field(description="REFab to ACT-1 or REF of the rank")
    nRFCpb: CkCount = Field(description="REFpb to ACT-1 of the pair of banks")
    nREFI: CkCount = Field(description="average REFab interval; REFpb: eight per nREFI")
    nPBR2PBR: CkCount = Field(description="REFpb to REFpb of a rank")
    nPBR2ACT: CkCount = Field(description="REFpb to ACT-1 of another bank")
    nWCKPST: CkCount = Field(description="WCK runs on after the last burst")
    nWCKIDLE: CkCount = Field(description="WCK runs on after a CAS that no access follows")
    nRCDw: CkCount | None = Field(default=None, description="ACT-2 to WR (LPDDR6)")
    nWCK2DQO: CkCount | None = Field(default=None, description="WCK to read data, in read to write (LPDDR6)")
    nODTLon: CkCount | None = Field(default=None, description="WR to termination on, in read to write (LPDDR6)")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.nRC.n < self.nRAS.n + self.nRPpb.n:
            raise ValueError(f"nRC ({self.nRC.n}) must be at least nRAS + nRPpb ({self.nRAS.n + self.nRPpb.n})")
        for name, busy in (("nRFCab", self.nRFCab.n), ("nRFCpb", self.nRFCpb.n)):
            if (ck := busy + self.nRPab.n + self.nRC.n) >= self.nREFI.n:  # or no row would ever be open for an access
                raise ValueError(f"{name} + nRPab + nRC ({ck}) must be less than nREFI ({self.nREFI.n})")
        if (ck := PAIRS_OF_BANKS * self.nPBR2PBR.n) > self.nREFI.n:
            raise ValueError(f"{PAIRS_OF_BANKS} * nPBR2PBR ({ck}) must be at most nREFI ({self.nREFI.n})")
        for name, ck in self.counts().items():
            if ck >= self.nREFI.n and name not in MAY_BE_LONG:  # such as a slip of the unit
                raise ValueError(f"{name} ({ck}) must be less than nREFI ({self.nREFI.n})")
        return self

    def counts(self) -> dict[str, int]:
        """Every timing that the die has by name, CK."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: timing.n for name, timing in given.items() if timing is not None}


PAIRS_OF_BANKS = 8
"""A REFpb refreshes a pair of banks, so that eight come in each nREFI."""
MAY_BE_LONG = ("nREFI", "nAAD", "nWCKPST", "nWCKIDLE")
"""Timings that hold no command up."""

LPDDR6_TIMINGS = ("nRCDw", "nWCK2DQO", "nODTLon")
"""Timings that only JESD209-6 has."""
