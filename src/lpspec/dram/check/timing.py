"""The checker's own data sheet: one speed grade in CK, written by hand and shared with nothing that schedules commands.

All values are JESD209-5 figures as public simulators carry them, at CK = 800 MHz (1.25 ns), WCK:CK 4:1, x16 in
bank-group mode; those that the standard doesn't have are marked. LPDDR6 comes by the names of ``timing_from``.
"""
# ruff: noqa: N815 - timing parameters keep the standard's spelling

from collections.abc import Mapping
from typing import NamedTuple

from lpspec.errors import InputError, unknown_name


class CheckTiming(NamedTuple):
    """What a command stream must respect, every field in CK unless it says otherwise."""

    nCL: int
    """Read latency RL: RD to the first data on DQ."""
    nCWL: int
    """Write latency WL: WR to the first data on DQ."""
    nBL_min: int
    """BL/n_min: CK that one 32 B burst takes on DQ."""
    nBL_max: int
    """BL/n_max: CK after which its own bank group is free of a burst."""
    nRCD: int
    """ACT-2 to a column command of the bank."""
    nRAS: int
    """ACT-2 to PRE of the bank."""
    nRC: int
    """ACT-2 to the next ACT-1 of the bank (nRAS + nRPpb)."""
    nRPpb: int
    """PRE to ACT-1 of the bank."""
    nRPab: int
    """PREAB to ACT-1 of any bank of the rank."""
    nWR: int
    """End of the written data to PRE of the bank."""
    nRTP: int
    """RD to PRE of the bank."""
    nPPD: int
    """Precharge command to precharge command of the rank."""
    nCCD_S: int
    """Column command to the next of the same direction, other bank group."""
    nCCD_L: int
    """Column command to the next of the same direction, same bank group."""
    nWTR_S: int
    """End of the written data to RD, other bank group of the rank."""
    nWTR_L: int
    """End of the written data to RD, same bank group."""
    nRRD: int
    """Activation to activation of the rank, in the same or another bank group."""
    nFAW: int
    """Window in which a rank takes at most four activations."""
    nRFCab: int
    """REFAB to the next command of the rank."""
    nRFCpb: int
    """REFPB to the next command of the two banks."""
    nREFI: int
    """Average interval of REFAB, and of eight REFPB, one of each pair of banks."""
    nPBR2PBR: int
    """REFPB to REFPB of the rank."""
    nPBR2ACT: int
    """REFPB to ACT-1 of another bank of the rank."""
    nAAD: int = 8
    """ACT-2 comes at most so long after its ACT-1."""
    nRTW_gap: int = 2
    """Idle DQ between a read and a write of one rank: RD to WR takes RL + BL/n + this - WL."""
    nRKSW: int = 2
    """Idle DQ between bursts of two ranks."""
    nWCKPST: int = 1
    """WCK runs so long after the end of the last burst."""
    nWCKIDLE: int = 16
    """WCK waits so long for an access after CAS (assumed, range 8..32)."""
    nMODE: int = 80
    """PIM_ENTER or PIM_EXIT to the next command: 100 ns (Samsung, ISCA 2021: a few row cycles)."""
    nMAC: int = 4
    """PIM_MAC to PIM_MAC of a rank: nCCD_L, the 200 MHz PIM clock of LP-Spec (assumed, range 4..8)."""
    postponed: int = 8
    """Refreshes that may be outstanding (a count): a bank waits at most (this + 1) * nREFI."""
    lpddr6: int = 0
    """1 where JESD209-6 rules: a command takes 2 CK and begins on an even one, and the rules of WCK, of read to write
    and of write to precharge are its own."""
    nRCDw: int = 0
    """As nRCD for WR, where it differs; 0 where it doesn't."""
    nWCK2DQO: int = 0
    """LPDDR6, read to write: WCK to read data."""
    nODTLon: int = 0
    """LPDDR6, read to write: WR to its termination being on."""
    rows_from_act1: int = 0
    """1 where nRCD, nRAS and nRC count from ACT-1; public texts on LPDDR6 don't settle it."""
    nSEG: int = 0
    """BL48: begin of the first segment on DQ to that of the second, which is half as long; 0 for one piece."""


LPDDR5_6400_8Gb = CheckTiming(
    nCL=17,
    nCWL=9,
    nBL_min=2,
    nBL_max=4,
    nRCD=15,
    nRAS=34,
    nRC=49,
    nRPpb=15,
    nRPab=17,
    nWR=28,
    nRTP=8,
    nPPD=2,
    nCCD_S=2,
    nCCD_L=4,
    nWTR_S=5,
    nWTR_L=10,
    nRRD=4,
    nFAW=16,
    nRFCab=168,
    nRFCpb=96,
    nREFI=3125,
    nPBR2PBR=72,
    nPBR2ACT=6,
)
"""LPDDR5-6400, 8 Gb die: 32768 rows of 2 KiB in each of 16 banks."""

LPDDR5_6400_16Gb = LPDDR5_6400_8Gb._replace(nRFCab=224, nRFCpb=112)
"""LPDDR5-6400, 16 Gb die: 65536 rows; only its refreshes take longer."""

DERIVED = {"nRL": "nCL", "nWL": "nCWL", "nBL": "nBL_min", "nRRD_S": "nRRD", "nRRD_L": "nRRD"}
"""Other spellings of a field; nRRD_S and nRRD_L must agree, as they do in LPDDR5."""


def timing_from(names_ck: Mapping[str, int]) -> CheckTiming:
    """Read a speed grade given as names and CK; what is missing is as on LPDDR5-6400, 16 Gb.

    Args:
        names_ck: JEDEC spelling to CK, such as ``{"nRCD": 20}``.

    Raises:
        InputError: A name is unknown or contradicted, or a value is no whole number of CK.
    """
    fields: dict[str, int] = {}
    for name, value in names_ck.items():
        field = DERIVED.get(name, name)
        if field not in CheckTiming._fields:
            raise unknown_name("timing", name, CheckTiming._fields)
        if int(value) != value or value < 0:
            raise InputError(f"timing {name} must be a whole number of CK from 0, is {value}")
        if fields.setdefault(field, int(value)) != value:
            raise InputError(f"timing {name} is {value}, but another spelling of it says {fields[field]}")
    return LPDDR5_6400_16Gb._replace(**fields)
