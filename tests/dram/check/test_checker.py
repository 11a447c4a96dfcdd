"""The rules by hand: every one at its limit, and one CK past it.

This is a reading of the rules by itself: the numbers here are worked out on paper from the timing table of
LPDDR5-6400 (16 Gb, CK 1.25 ns): RL 17, WL 9, BL/n 2 and 4, nRCD 15, nRAS 34, nRC 49, nRPpb 15, nRPab 17, nWR 28,
nRTP 8, nPPD 2, nCCD 2 and 4, nWTR 5 and 10, nRRD 4, nFAW 16, nRFCab 224, nRFCpb 112, nREFI 3125, nREFIpb 391,
nPBR2PBR 72, nPBR2ACT 6, rank switch 2, WCK postamble 1, ACT-2 within 8 CK of ACT-1.

A stream is written as ``written_streams.table`` reads it; `@` is the CK under test, `@+1` the next.
"""

from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from written_streams import table

from lpspec.dram.check.checker import (
    CheckOptions,
    CheckReport,
    CommandChecker,
    CommandTable,
    PimRules,
    Violation,
    check_commands,
)
from lpspec.dram.check.log import DEADLINES, Rule
from lpspec.dram.check.table import command_table
from lpspec.dram.check.timing import LPDDR5_6400_8Gb, LPDDR5_6400_16Gb
from lpspec.errors import InputError

ALWAYS = CheckOptions(ranks=3, pim_ranks=(1, 2), wck="always-on")
FREE_INPUTS = replace(ALWAYS, pim=PimRules(inputs=False))
ON_DEMAND = replace(ALWAYS, wck="on-demand")


def slower(options: CheckOptions = ALWAYS, **timings_ck: int) -> CheckOptions:
    """Options with single timings changed, to tell apart rules that bind at the same CK in LPDDR5-6400."""
    return replace(options, timing=LPDDR5_6400_16Gb._replace(**timings_ck))


def check(text: str, at: int = 0, options: CheckOptions = ALWAYS, end_ck: int | None = None) -> CheckReport:
    return check_commands(table(text, at), options, end_ck)


TWO_BUSES = replace(ALWAYS, command_buses=2)
TWO_STEPS = replace(ALWAYS, pim=PimRules(mode_steps=2))


class Edge(NamedTuple):
    """A stream that is legal with `@` at the limit and breaks rules one CK beyond it."""

    name: str
    text: str
    limit: int
    rules: str  # what is broken; the first is the rule under test
    options: CheckOptions = ALWAYS


SECOND = replace(ALWAYS, activation="ACT2")

# ACT-2 of group 0 at 1, then one more row: in group 1 (ACT-2 at 5), or on rank 1 (at 3).
OPEN = "0 ACT1 b0.0 R5 | 1 ACT2 b0.0 | "
OPEN_TWO = OPEN + "4 ACT1 b1.0 R6 | 5 ACT2 b1.0 | "
OPEN_RANKS = OPEN + "2 ACT1 r1 b0.0 R7 | 3 ACT2 r1 b0.0 | "
# Rank 1 in PIM mode from 0; its even banks activate at 80, 84, 88, 92, 96, 100, 104, 108.
PIM = "0 PIM_ENTER m2 | "
BOTH = "0 PIM_ENTER m6 | "
PIM_OPEN = PIM + "80 PIM_ACT m2 p0 R5 | "

PLAIN_EDGES = [
    Edge("one command a CK on the CA bus of all ranks", "0 CAS | @ CAS r1", 1, "CA"),
    Edge("one command a CK on the CA bus of PIM ranks", "0 CAS r1 | 0 CAS | @ CAS r2", 1, "CA", TWO_BUSES),
    Edge("one command a CK on the CA bus of DRAM ranks", "0 CAS r1 | 0 CAS | @ CAS", 1, "CA", TWO_BUSES),
    Edge("ACT-2 at most 8 after ACT-1", "0 ACT1 b0.0 R5 | @ ACT2 b0.0", 8, "nAAD"),
    # Rule 1: from ACT-2, at 1.
    Edge("ACT-2 to RD: 1 + 15", OPEN + "@ RD b0.0 R5 c0", 16, "nRCD"),
    Edge("ACT-2 to WR: 1 + 15", OPEN + "@ WR b0.0 R5 c0", 16, "nRCD"),
    Edge("a late ACT-2 moves RD: 8 + 15", "0 ACT1 b0.0 R5 | 8 ACT2 b0.0 | @ RD b0.0 c0", 23, "nRCD"),
    Edge("ACT-2 to PRE: 1 + 34", OPEN + "@ PRE b0.0", 35, "nRAS"),
    Edge("ACT-2 to PREAB, of the youngest row: 5 + 34", OPEN_TWO + "@ PREAB", 39, "nRAS"),
    # nRC = nRAS + nRPpb, so with PRE it binds together with nRPpb; alone only where it is longer.
    Edge("ACT-2 to ACT-1: 1 + 49", OPEN + "35 PRE b0.0 | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0", 50, "nRC nRPpb"),
    Edge(
        "ACT-2 to ACT-1, nRC 60: 1 + 60",
        OPEN + "35 PRE b0.0 | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0",
        61,
        "nRC",
        slower(nRC=60),
    ),
    Edge("PRE to ACT-1: 40 + 15", OPEN + "40 PRE b0.0 | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0", 55, "nRPpb"),
    Edge("PREAB to ACT-1: 40 + 17", OPEN + "40 PREAB | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0", 57, "nRPab"),
    Edge(
        "PREAB to ACT-1 of a bank that was closed: 40 + 17",
        OPEN + "40 PREAB | @ ACT1 b3.3 R6 | @+1 ACT2 b3.3",
        57,
        "nRPab",
    ),
    # Auto-precharge begins when PRE could come: RDA + 8, WRA + 9 + 2 + 28, not before ACT-2 + 34.
    Edge("RDA to ACT-1: 40 + 8 + 15", OPEN + "40 RDA b0.0 c0 | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0", 63, "nRPpb"),
    Edge(
        "early RDA waits for nRAS: 1 + 34 + 15",
        OPEN + "16 RDA b0.0 c0 | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0",
        50,
        "nRPpb nRC",
    ),
    Edge("WRA to ACT-1: 16 + 39 + 15", OPEN + "16 WRA b0.0 c0 | @ ACT1 b0.0 R6 | @+1 ACT2 b0.0", 70, "nRPpb"),
    Edge("RD to PRE: 40 + 8", OPEN + "40 RD b0.0 c0 | @ PRE b0.0", 48, "nRTP"),
    Edge("RD to PREAB: 40 + 8", OPEN_TWO + "40 RD b0.0 c0 | @ PREAB", 48, "nRTP"),
    Edge("WR to PRE: 16 + 9 + 2 + 28", OPEN + "16 WR b0.0 c0 | @ PRE b0.0", 55, "nWR"),
    Edge("WR to PREAB: 20 + 39", OPEN_TWO + "20 WR b1.0 c0 | @ PREAB", 59, "nWR"),
    Edge("PRE to PRE: 40 + 2", OPEN_TWO + "40 PRE b0.0 | @ PRE b1.0", 42, "nPPD"),
    # Activation counts from each half: here from ACT-2 (at 1 and @), its ACT-1s being far enough apart.
    Edge("ACT-2 to ACT-2: 1 + 4", OPEN + "2 ACT1 b1.0 R5 | @ ACT2 b1.0", 5, "nRRD", SECOND),
    Edge("the same group is no different", OPEN + "2 ACT1 b0.1 R5 | @ ACT2 b0.1", 5, "nRRD", SECOND),
    Edge(
        "counted from ACT-1: 0 + 4",
        OPEN + "@ ACT1 b1.0 R5 | 8 ACT2 b1.0",
        4,
        "nRRD",
        replace(ALWAYS, activation="ACT1"),
    ),
    Edge("either half counts: 0 + 4", OPEN + "@ ACT1 b1.0 R5 | 8 ACT2 b1.0", 4, "nRRD"),
    Edge(
        "the fifth ACT-1, nFAW 20: 0 + 20",
        OPEN + "4 ACT1 b1.0 R5 | 5 ACT2 b1.0 | 8 ACT1 b2.0 R5 | 9 ACT2 b2.0 | 12 ACT1 b3.0 R5 | 13 ACT2 b3.0"
        "| @ ACT1 b0.1 R5 | 25 ACT2 b0.1",
        20,
        "nFAW",
        replace(ALWAYS, timing=ALWAYS.timing._replace(nFAW=20)),
    ),
    # nFAW = 4 nRRD, so both bind at 17; alone where the window is longer.
    Edge(
        "the fifth activation: 1 + 16",
        OPEN + "4 ACT1 b1.0 R5 | 5 ACT2 b1.0 | 8 ACT1 b2.0 R5 | 9 ACT2 b2.0 | 12 ACT1 b3.0 R5 | 13 ACT2 b3.0"
        "| 14 ACT1 b0.1 R5 | @ ACT2 b0.1",
        17,
        "nFAW nRRD",
        SECOND,
    ),
    Edge(
        "the fifth activation, nFAW 20: 1 + 20",
        OPEN + "4 ACT1 b1.0 R5 | 5 ACT2 b1.0 | 8 ACT1 b2.0 R5 | 9 ACT2 b2.0 | 12 ACT1 b3.0 R5 | 13 ACT2 b3.0"
        "| 14 ACT1 b0.1 R5 | @ ACT2 b0.1",
        21,
        "nFAW",
        replace(slower(nFAW=20), activation="ACT2"),
    ),
    # Reads 30 and 31 would also meet on DQ (47..49, 48..50): nCCD_S = BL/n_min.
    Edge("RD to RD, other group: 30 + 2", OPEN_TWO + "30 RD b0.0 c0 | @ RD b1.0 c0", 32, "nCCD_S DQ"),
    Edge("nCCD_S 3", OPEN_TWO + "30 RD b0.0 c0 | @ RD b1.0 c0", 33, "nCCD_S", slower(nCCD_S=3)),
    Edge("WR to WR, other group, nCCD_S 3", OPEN_TWO + "30 WR b0.0 c0 | @ WR b1.0 c0", 33, "nCCD_S", slower(nCCD_S=3)),
    Edge("RD to RD, same group: 30 + 4", OPEN + "30 RD b0.0 c0 | @ RD b0.0 c16", 34, "nCCD_L"),
    Edge(
        "RD to RD, same group, one of another group between",
        OPEN_TWO + "30 RD b0.0 c0 | 32 RD b1.0 c0 | @ RD b0.0 c16",
        34,
        "nCCD_S nCCD_L DQ",
    ),
    Edge("WR to WR, same group: 30 + 4", OPEN + "30 WR b0.0 c0 | @ WR b0.0 c16", 34, "nCCD_L"),
    # Rule 4.
    Edge("WR to RD, other group: 30 + 9 + 2 + 5", OPEN_TWO + "30 WR b0.0 c0 | @ RD b1.0 c0", 46, "nWTR_S"),
    Edge("WR to RD, same group: 30 + 9 + 4 + 10", OPEN_TWO + "30 WR b0.0 c0 | @ RD b0.0 c0", 53, "nWTR_L"),
    Edge("RD to WR, other group: 30 + 17 + 2 + 2 - 9", OPEN_TWO + "30 RD b0.0 c0 | @ WR b1.0 c0", 42, "nRTW"),
    Edge("RD to WR, same group: 30 + 17 + 4 + 2 - 9", OPEN_TWO + "30 RD b0.0 c0 | @ WR b0.0 c0", 44, "nRTW"),
    # Rule 3. Data of RD 30 on 47..49, of WR 30 on 39..41; another rank 2 CK later.
    Edge("RD to RD, other rank: 30 + 2 + 2", OPEN_RANKS + "30 RD b0.0 c0 | @ RD r1 b0.0 c0", 34, "nRKSW"),
    Edge("WR to WR, other rank: 30 + 2 + 2", OPEN_RANKS + "30 WR b0.0 c0 | @ WR r1 b0.0 c0", 34, "nRKSW"),
    Edge("RD to WR, other rank: 30 + 17 + 2 + 2 - 9", OPEN_RANKS + "30 RD b0.0 c0 | @ WR r1 b0.0 c0", 42, "nRKSW"),
    Edge("WR to RD, other rank: at once, on the next CK", OPEN_RANKS + "30 WR b0.0 c0 | @ RD r1 b0.0 c0", 31, "CA"),
    Edge("no gap needed: 30 + 2", OPEN_RANKS + "30 RD b0.0 c0 | @ RD r1 b0.0 c0", 32, "DQ", slower(nRKSW=0)),
    # Rule 2. CAS 20 waits until 36; RD 20 ends at 39 and its postamble at 40, WR 20 at 31 and 32.
    Edge("CAS to the first access: 20 + 16", OPEN + "20 CAS | @ RD b0.0 c0", 36, "WCK", ON_DEMAND),
    Edge("RD to an access without CAS: 20 + 20", OPEN + "19 CAS | 20 RD b0.0 c0 | @ RD b0.0 c16", 40, "WCK", ON_DEMAND),
    Edge("WR to an access without CAS: 20 + 12", OPEN + "19 CAS | 20 WR b0.0 c0 | @ WR b0.0 c16", 32, "WCK", ON_DEMAND),
    Edge(
        "CAS behind a write: 20 + 9 + 2 + 1 + 1", OPEN + "19 CAS | 20 WR b0.0 c0 | @ CAS", 33, "WCK_running", ON_DEMAND
    ),
    Edge(
        "CAS behind a read: 20 + 17 + 2 + 1 + 1", OPEN + "19 CAS | 20 RD b0.0 c0 | @ CAS", 41, "WCK_running", ON_DEMAND
    ),
    Edge("CAS behind a CAS: 20 + 16 + 1", OPEN + "20 CAS | @ CAS", 37, "WCK_running", ON_DEMAND),
]

REFRESH_EDGES = [
    # Rule 5. PRE 40 and PREAB 40.
    Edge("PRE to REFAB: 40 + 15", OPEN + "40 PRE b0.0 | @ REFAB", 55, "nRPpb"),
    Edge("PREAB to REFAB: 40 + 17", OPEN + "40 PREAB | @ REFAB", 57, "nRPab"),
    Edge("WRA to REFAB: 16 + 39 + 15", OPEN + "16 WRA b0.0 c0 | @ REFAB", 70, "nRPpb"),
    Edge("PRE to REFPB of the bank: 40 + 15", OPEN + "40 PRE b0.0 | @ REFPB b0.0", 55, "nRPpb"),
    Edge(
        "PRE to REFPB of the bank 8 below: 40 + 15",
        "0 ACT1 b2.0 R5 | 1 ACT2 b2.0 | 40 PRE b2.0 | @ REFPB b0.0",
        55,
        "nRPpb",
    ),
    Edge("PREAB to REFPB: 40 + 17", OPEN + "40 PREAB | @ REFPB b1.3", 57, "nRPab"),
    Edge("REFAB to ACT-1, 16 Gb", "0 REFAB | @ ACT1 b0.0 R5 | @+1 ACT2 b0.0", 224, "nRFCab"),
    Edge(
        "REFAB to ACT-1, 8 Gb",
        "0 REFAB | @ ACT1 b0.0 R5 | @+1 ACT2 b0.0",
        168,
        "nRFCab",
        replace(ALWAYS, timing=LPDDR5_6400_8Gb),
    ),
    Edge("REFAB to REFAB", "0 REFAB | @ REFAB", 224, "nRFCab"),
    Edge("REFAB to REFPB", "0 REFAB | @ REFPB b0.1", 224, "nRFCab"),
    Edge("REFAB to PIM_ENTER", "0 REFAB r1 | @ PIM_ENTER m2", 224, "nRFCab"),
    Edge("REFPB to ACT-1 of its bank, 16 Gb", "0 REFPB b0.1 | @ ACT1 b0.1 R5 | @+1 ACT2 b0.1", 112, "nRFCpb"),
    Edge("REFPB to ACT-1 of the bank 8 above", "0 REFPB b0.1 | @ ACT1 b2.1 R5 | @+1 ACT2 b2.1", 112, "nRFCpb"),
    Edge(
        "REFPB to ACT-1 of its bank, 8 Gb",
        "0 REFPB b0.1 | @ ACT1 b0.1 R5 | @+1 ACT2 b0.1",
        96,
        "nRFCpb",
        replace(ALWAYS, timing=LPDDR5_6400_8Gb),
    ),
    Edge("REFPB to REFPB of the same pair", "0 REFPB b0.1 | @ REFPB b0.1", 112, "nRFCpb"),
    Edge("REFPB to REFAB", "0 REFPB b0.1 | @ REFAB", 112, "nRFCpb"),
    Edge("REFPB to PREAB", "0 REFPB b0.1 | @ PREAB", 112, "nRFCpb"),
    Edge("REFPB to ACT-1 of another bank", "0 REFPB b0.1 | @ ACT1 b0.2 R5 | @+1 ACT2 b0.2", 6, "nPBR2ACT"),
    Edge("REFPB to REFPB of another pair", "0 REFPB b0.1 | @ REFPB b1.1", 72, "nPBR2PBR"),
]

PIM_EDGES = [
    # 100 ns are 80 CK.
    Edge("PIM_ENTER to PIM_ACT: 80", PIM + "@ PIM_ACT m2 p0 R5", 80, "nMODE"),
    Edge("one step of a switch to the next: 80", "0 PIM_ENTER m2 | @ PIM_ENTER m2", 80, "nMODE", TWO_STEPS),
    Edge(
        "the last step of a switch to PIM_ACT: 80 + 80",
        "0 PIM_ENTER m2 | 80 PIM_ENTER m2 | @ PIM_ACT m2 p0 R5",
        160,
        "nMODE",
        TWO_STEPS,
    ),
    Edge("PIM_ENTER to PIM_IN: 80", PIM + "@ PIM_IN m2 c0", 80, "nMODE"),
    Edge("PIM_EXIT to ACT-1: 80 + 80", PIM + "80 PIM_EXIT m2 | @ ACT1 r1 b0.0 R5 | @+1 ACT2 r1 b0.0", 160, "nMODE"),
    Edge(
        "PRE to PIM_ENTER: 40 + 15", "0 ACT1 r1 b0.0 R5 | 1 ACT2 r1 b0.0 | 40 PRE r1 b0.0 | @ PIM_ENTER m6", 55, "nRPpb"
    ),
    Edge("PREAB to PIM_ENTER: 40 + 17", "40 PREAB r2 | @ PIM_ENTER m6", 57, "nRPab"),
    # The last of 8 activations is 3 * 4 + 16 = 28 after PIM_ACT, the first of the last four 16 after.
    Edge("PIM_ACT to PIM_ACT: 80 + 32", PIM_OPEN + "@ PIM_ACT m2 p1 R5", 112, "nFAW nRRD"),
    Edge("PIM_ACT to PIM_ACT, nFAW 20: 80 + 20 + 20", PIM_OPEN + "@ PIM_ACT m2 p1 R5", 120, "nFAW", slower(nFAW=20)),
    Edge("PIM_ACT to PIM_ACT, nRRD 5: 80 + 15 + 20 + 5", PIM_OPEN + "@ PIM_ACT m2 p1 R5", 120, "nRRD", slower(nRRD=5)),
    Edge("another rank is free of it", PIM_OPEN.replace("ENTER m2", "ENTER m6") + "@ PIM_ACT m4 p1 R5", 81, "CA"),
    Edge("PIM_ACT to PIM_MAC: 80 + 28 + 15", PIM_OPEN + "@ PIM_MAC m2 p0 c0", 123, "nRCD", FREE_INPUTS),
    Edge(
        "PIM_ACT at once to PIM_MAC: 80 + 15",
        PIM_OPEN + "@ PIM_MAC m2 p0 c0",
        95,
        "nRCD",
        replace(ALWAYS, pim=PimRules(inputs=False, activate="at_once")),
    ),
    Edge(
        "one bank per MPU, 16 activations, PIM_MAC: 80 + 12 + 48 + 15",
        PIM_OPEN + "@ PIM_MAC m2 p0 c0",
        155,
        "nRCD",
        replace(ALWAYS, pim=PimRules(inputs=False, banks_per_mpu=1)),
    ),
    Edge("PIM_ACT to PIM_PRE: 80 + 28 + 34", PIM_OPEN + "@ PIM_PRE m2 p0", 142, "nRAS"),
    Edge("PIM_MAC to PIM_PRE: 140 + 8", PIM_OPEN + "140 PIM_MAC m2 p0 c0 | @ PIM_PRE m2 p0", 148, "nRTP", FREE_INPUTS),
    Edge("PIM_PRE to PIM_ACT: 142 + 17", PIM_OPEN + "142 PIM_PRE m2 p0 | @ PIM_ACT m2 p0 R6", 159, "nRPab"),
    Edge("PIM_PRE to PIM_EXIT: 142 + 17", PIM_OPEN + "142 PIM_PRE m2 p0 | @ PIM_EXIT m2", 159, "nRPab"),
    Edge("PIM_PRE to PIM_REFAB: 142 + 17", PIM_OPEN + "142 PIM_PRE m2 p0 | @ PIM_REFAB m2", 159, "nRPab"),
    Edge(
        "PIM_PRE to PIM_PRE: 174 + 2",
        PIM_OPEN + "112 PIM_ACT m2 p1 R5 | 174 PIM_PRE m2 p0 | @ PIM_PRE m2 p1",
        176,
        "nPPD",
    ),
    Edge("PIM_REFAB to PIM_ACT: 80 + 224", PIM + "80 PIM_REFAB m2 | @ PIM_ACT m2 p0 R5", 304, "nRFCab"),
    Edge("PIM_REFAB to PIM_EXIT: 80 + 224", PIM + "80 PIM_REFAB m2 | @ PIM_EXIT m2", 304, "nRFCab"),
    Edge(
        "PIM_MAC to PIM_MAC: 123 + 4", PIM_OPEN + "123 PIM_MAC m2 p0 c0 | @ PIM_MAC m2 p0 c16", 127, "nMAC", FREE_INPUTS
    ),
    Edge(
        "PIM_MAC to PIM_OUT: 123 + 4",
        PIM_OPEN + "123 PIM_MAC m2 p0 c0 | @ PIM_OUT r1 b0.0 c0",
        127,
        "nMAC",
        FREE_INPUTS,
    ),
    Edge(
        "a rank computes for nMAC: 123 + 4",
        "0 PIM_ENTER m6 | 80 PIM_ACT m6 p0 R5 | 123 PIM_MAC m2 p0 c0 | @ PIM_MAC m4 p0 c0",
        127,
        "concurrent_ranks",
        replace(ALWAYS, pim=PimRules(inputs=False, concurrent_ranks=1)),
    ),
    Edge(
        "of two ranks that compute the first to be done: 123 + 4",
        "0 PIM_ENTER m14 | 80 PIM_ACT m14 p0 R5 | 123 PIM_MAC m2 p0 c0 | 125 PIM_MAC m4 p0 c0 | @ PIM_MAC m8 p0 c0",
        127,
        "concurrent_ranks",
        replace(ALWAYS, ranks=4, pim_ranks=(1, 2, 3), pim=PimRules(inputs=False, concurrent_ranks=2)),
    ),
    # On DQ PIM_IN is a write to each of its ranks, PIM_OUT a read of its rank, of no bank group.
    Edge("PIM_IN to PIM_IN: 90 + 2", PIM + "90 PIM_IN m2 c0 | @ PIM_IN m2 c1", 92, "nCCD_S DQ"),
    Edge("PIM_OUT to PIM_OUT: 90 + 2", PIM + "90 PIM_OUT r1 b0.0 c0 | @ PIM_OUT r1 b0.1 c0", 92, "nCCD_S DQ"),
    Edge("PIM_OUT of two ranks: 90 + 2 + 2", BOTH + "90 PIM_OUT r1 b0.0 c0 | @ PIM_OUT r2 b0.0 c0", 94, "nRKSW"),
    Edge("PIM_IN to one of its ranks: 90 + 2", BOTH + "90 PIM_IN m6 c0 | @ PIM_IN m4 c1", 92, "nCCD_S DQ"),
    Edge("PIM_IN to one rank more: 90 + 2 + 2", BOTH + "90 PIM_IN m2 c0 | @ PIM_IN m6 c1", 94, "nRKSW"),
    Edge("PIM_IN to a higher rank more: 90 + 2 + 2", BOTH + "90 PIM_IN m4 c0 | @ PIM_IN m6 c1", 94, "nRKSW"),
    Edge(
        "PIM_IN to two, PIM_OUT of the higher: 90 + 9 + 2 + 5",
        BOTH + "90 PIM_IN m6 c0 | @ PIM_OUT r2 b0.0 c0",
        106,
        "nWTR_S",
    ),
    Edge(
        "PIM_OUT of the higher, PIM_IN to two: 90 + 17 + 2 + 2 - 9",
        BOTH + "90 PIM_OUT r2 b0.0 c0 | @ PIM_IN m6 c0",
        102,
        "nRTW nRKSW",
    ),
    Edge("PIM_OUT to PIM_IN: 90 + 17 + 2 + 2 - 9", PIM + "90 PIM_OUT r1 b0.0 c0 | @ PIM_IN m2 c0", 102, "nRTW"),
    Edge("PIM_IN to PIM_OUT: 90 + 9 + 2 + 5", PIM + "90 PIM_IN m2 c0 | @ PIM_OUT r1 b0.0 c0", 106, "nWTR_S"),
    Edge(
        "RD of the DRAM rank to PIM_IN: 90 + 17 + 2 + 2 - 9",
        "0 PIM_ENTER m2 | 1 ACT1 b0.0 R5 | 2 ACT2 b0.0 | 90 RD b0.0 c0 | @ PIM_IN m2 c0",
        102,
        "nRKSW",
    ),
    Edge("CAS to PIM_IN: 90 + 16", PIM + "90 CAS r1 | @ PIM_IN m2 c0", 106, "WCK", ON_DEMAND),
    Edge(
        "PIM_OUT to PIM_OUT without CAS: 91 + 20",
        PIM + "90 CAS r1 | 91 PIM_OUT r1 b0.0 c0 | @ PIM_OUT r1 b0.0 c1",
        111,
        "WCK",
        ON_DEMAND,
    ),
    # An input lands 9..11 after PIM_IN. A burst holds 32 k of a token: slot 0 serves columns 0..496, slot 1 512..1008.
    Edge("PIM_IN to PIM_MAC: 130 + 11", PIM_OPEN + "130 PIM_IN m2 c0 | @ PIM_MAC m2 p0 c0", 141, "input_ready"),
    Edge(
        "PIM_IN to the MAC of its k: 130 + 11",
        PIM_OPEN + "100 PIM_IN m2 c0 | 124 PIM_MAC m2 p0 c496 | 130 PIM_IN m2 c1 | @ PIM_MAC m2 p0 c512",
        141,
        "input_ready",
    ),
    Edge(
        "the second token's inputs begin in slot 2",
        PIM_OPEN + "100 PIM_IN m2 c0 | 130 PIM_IN m2 c2 | @ PIM_MAC m2 p0 c0",
        141,
        "input_ready",
        replace(ALWAYS, pim=PimRules(tokens=2)),
    ),
    Edge(
        "N_ALU 1: slot 0 serves columns 0..496",
        PIM_OPEN + "100 PIM_IN m2 c0 | 124 PIM_MAC m2 p0 c496 | 130 PIM_IN m2 c1 | @ PIM_MAC m2 p0 c512",
        141,
        "input_ready",
        replace(ALWAYS, pim=PimRules(alus=1)),
    ),
    Edge(
        "an input stays until the segment's last MAC: PIM_IN + 9",
        PIM_OPEN + "100 PIM_IN m2 c0 | 123 PIM_MAC m2 p0 c0 | 131 PIM_IN m2 c0 | @ PIM_MAC m2 p0 c16",
        140,
        "input_overwrite",
    ),
    Edge(
        "a named set stays whole until the segment's last MAC: PIM_IN + 9",
        PIM_OPEN + "100 PIM_IN m2 c0 | 123 PIM_MAC m2 p0 s0 c0 | 131 PIM_IN m2 c7 | @ PIM_MAC m2 p0 s0 c16",
        140,
        "input_overwrite",
    ),
    Edge(
        "a burst on its way when the set's first MAC comes: PIM_IN + 9",
        PIM_OPEN + "100 PIM_IN m2 c0 | 121 PIM_IN m2 c7 | 123 PIM_MAC m2 p0 s0 c0 | @ PIM_MAC m2 p0 s0 c16",
        130,
        "input_overwrite",
    ),
    Edge(
        "16 k in a set of 2 slots: column 256 reads slot 0 again",
        PIM_OPEN + "100 PIM_IN m2 c0 | 124 PIM_MAC m2 p0 s0 c0 | 130 PIM_IN m2 c2 | @ PIM_MAC m2 p0 s1 c256",
        141,
        "input_ready",
        replace(ALWAYS, pim=PimRules(input_depth=16)),
    ),
]
EDGES = PLAIN_EDGES + REFRESH_EDGES + PIM_EDGES


def ids(edges: list[Edge]) -> list[str]:
    return [f"{edge.rules.split()[0]}-{edge.name}" for edge in edges]


@pytest.mark.parametrize("edge", EDGES, ids=ids(EDGES))
def test_the_limit_is_legal_and_one_beyond_is_not(edge: Edge) -> None:
    rule = edge.rules.split()[0]
    beyond = edge.limit + (1 if Rule[rule] in DEADLINES else -1)
    assert check(edge.text, edge.limit, edge.options).violations == []
    broken = check(edge.text, beyond, edge.options)
    assert set(broken.counts) == set(edge.rules.split())
    (found,) = (violation for violation in broken.violations if violation.rule == rule)
    assert found.ck == beyond
    assert found.required_ck == edge.limit
    assert found.earlier_index is not None
    assert found.earlier_index < found.command_index


ANY_TIME = [
    ("order", "5 CAS | 4 CAS"),
    ("ACT_pair", "0 ACT1 b0.0 R5"),  # never completed
    ("ACT_pair", "0 ACT2 b0.0 R5"),
    ("ACT_pair", "0 ACT1 b0.0 R5 | 4 ACT1 b1.0 R5 | 5 ACT2 b1.0"),
    ("ACT_pair", "0 ACT1 b0.0 R5 | 1 ACT2 b1.0"),  # another bank
    ("ACT_pair", "0 ACT1 b0.0 R5 | 1 ACT2 b0.0 R6"),  # another row
    ("ACT_pair", "0 ACT1 b0.0 R5 | 1 ACT2 r1 b0.0"),  # another rank
    ("state", "100 RD b0.0 c0"),
    ("state", "100 WR b0.0 c0"),
    ("state", OPEN + "50 PRE b0.0 | 100 RD b0.0 c0"),
    ("state", OPEN + "50 PREAB | 100 WR b0.0 c0"),
    ("state", OPEN + "50 RDA b0.0 c0 | 54 RD b0.0 c16"),  # auto-precharge closes
    ("state", "0 ACT1 b0.0 R5 | 2 RD b0.0 c0 | 3 ACT2 b0.0"),
    ("state", "0 ACT1 b0.0 R5 | 2 PRE b0.0 | 3 ACT2 b0.0"),
    ("state", OPEN + "60 ACT1 b0.0 R5 | 61 ACT2 b0.0"),
    ("row", OPEN + "60 RD b0.0 R6 c0"),
    ("row", OPEN + "60 WRA b0.0 R6 c0"),
    ("state", OPEN + "60 REFAB"),
    ("state", OPEN + "60 REFPB b0.0"),
    ("state", "0 ACT1 b2.0 R5 | 1 ACT2 b2.0 | 60 REFPB b0.0"),  # the bank 8 above
    ("state", "0 ACT1 r2 b2.0 R5 | 1 ACT2 r2 b2.0 | 60 PIM_ENTER m6"),
    # Data of the write on 43..45, before the read's on 47..49: DQ would be free, the turnaround forbids it.
    ("rank_turnaround", OPEN_RANKS + "30 RD b0.0 c0 | 34 WR r1 b0.0 c0"),
    ("DQ", OPEN_RANKS + "30 RD b0.0 c0 | 31 RD r1 b0.0 c0"),
    ("mode", "0 PIM_ENTER m1"),  # a DRAM rank
    ("mode", "0 PIM_ENTER m3"),
    ("mode", "0 PIM_EXIT m2"),
    ("mode", "0 PIM_ACT m2 p0 R5"),
    ("mode", "0 PIM_IN m2 c0"),
    ("mode", PIM + "80 PIM_ENTER m2"),
    ("mode", PIM + "80 PIM_IN m6 c0"),  # rank 2 is outside
    ("mode", PIM + "80 PREAB r1"),
    ("mode", PIM + "80 REFAB r1"),
    ("mode", PIM + "80 ACT1 r1 b0.0 R5 | 81 ACT2 r1 b0.0"),
    ("mode", PIM + "80 PIM_EXIT m2 | 160 PIM_ACT m2 p0 R5"),
    ("state", PIM + "80 PIM_MAC m2 p0 c0 "),
    ("state", PIM_OPEN + "130 PIM_MAC m2 p1 c0"),
    ("row", PIM_OPEN + "130 PIM_MAC m2 p0 R6 c0"),
    ("state", PIM_OPEN + "180 PIM_ACT m2 p0 R6"),
    ("state", PIM_OPEN + "180 PIM_EXIT m2"),
    ("state", PIM_OPEN + "180 PIM_REFAB m2"),
    ("state", PIM_OPEN.replace("ENTER m2", "ENTER m6") + "130 PIM_MAC m6 p0 c0"),  # rank 2 has no row open
]


@pytest.mark.parametrize(
    "text", ["0 PIM_ENTER m2 | 80 PIM_ACT m2 p0 R5", "0 PIM_ENTER m2 | 80 PIM_EXIT m2", "0 PIM_ENTER m2 | 80 PREAB r1"]
)
def test_a_rank_half_way_into_pim_mode_takes_nothing_but_the_next_step(text: str) -> None:
    assert set(check(text, options=TWO_STEPS).counts) == {"mode"}
    assert check("0 PIM_ENTER m2 | 80 PIM_ENTER m2 | 160 PIM_EXIT m2", options=TWO_STEPS).legal
    three = check("0 PIM_ENTER m2 | 80 PIM_ENTER m2 | 160 PIM_ENTER m2", options=TWO_STEPS)
    assert set(three.counts) == {"mode"}


def test_a_second_bus_takes_a_command_of_its_own_in_the_same_ck() -> None:
    """On one bus the same stream is illegal, command by command."""
    text = "0 CAS r1 | 0 CAS | 1 CAS | 1 CAS r2 | 2 CAS r1"
    assert check(text, options=TWO_BUSES).legal
    assert check(text).counts == {"CA": 2}
    assert check("5 CAS r1 | 4 CAS", options=TWO_BUSES).counts == {"order": 1}


@pytest.mark.parametrize(("rule", "text"), ANY_TIME)
def test_what_is_illegal_at_any_time(rule: str, text: str) -> None:
    assert set(check(text, options=FREE_INPUTS).counts) == {rule}


def test_a_write_before_the_data_of_another_ranks_read_is_told_when_it_may_go() -> None:
    """Behind them: 30 + RL 17 + BL 2 + a gap of 2 - WL 9."""
    read = OPEN_RANKS + "30 RD b0.0 c0 | "
    (found,) = check(read + "34 WR r1 b0.0 c0", options=FREE_INPUTS).violations
    assert (found.rule, found.required_ck) == ("rank_turnaround", 42)
    assert check(read + "42 WR r1 b0.0 c0", options=FREE_INPUTS).legal
    assert not check(read + "41 WR r1 b0.0 c0", options=FREE_INPUTS).legal


def test_a_set_has_landed_whole_before_its_first_mac() -> None:
    """The burst of 113 is on DQ from 113 + WL 9 to 124: it is not there at 123, for whichever MAC it is."""
    text = PIM_OPEN + "100 PIM_IN m2 c0 | 113 PIM_IN m2 c1 | {} PIM_MAC m2 p0 s0 c0"
    assert check(text.format(123)).counts == {"input_overwrite": 1}
    assert check(text.format(124)).legal


LEGAL = [
    "0 REFAB | 1 ACT1 r1 b0.0 R5 | 2 ACT2 r1 b0.0",  # ranks refresh independently
    OPEN + "20 REFPB b0.1 | 21 RD b0.0 c0",  # a refreshing pair doesn't stall the others
    "0 PREAB | 17 PRE b0.0 | 32 ACT1 b0.0 R5 | 33 ACT2 b0.0",  # precharging a closed bank is no fault
    OPEN + "40 PRE b0.0 | 42 ACT1 b1.0 R5 | 43 ACT2 b1.0",  # PRE holds up its own bank only
    "0 ACT1 b0.0 R5 | 1 ACT1 r1 b0.0 R5 | 2 ACT2 r1 b0.0 | 3 ACT2 b0.0",  # pairs of two ranks may interleave
    "0 ACT1 b0.0 R5 | 1 PRE b1.0 | 2 ACT2 b0.0",  # other banks' commands may come between
    PIM + "80 CAS r1 | 81 ACT1 b0.0 R5 | 82 ACT2 b0.0",  # CAS is free of the mode, other ranks too
    OPEN_RANKS + "30 WR b0.0 c0 | 31 RD r1 b0.0 c0 | 53 RD b0.0 c16",  # a read of another rank follows a write
]


@pytest.mark.parametrize("text", LEGAL)
def test_what_is_legal(text: str) -> None:
    assert check(text).violations == []


@pytest.mark.parametrize("text", [OPEN + "20 RD b0.0 c0", OPEN + "19 CAS r1 | 20 WR b0.0 c0", PIM + "90 PIM_IN m2 c0"])
def test_data_needs_wck_of_its_rank(text: str) -> None:
    assert check(text, options=ON_DEMAND).counts == {"WCK": 1}
    assert check(text).legal


@pytest.mark.parametrize(("nFAW", "last"), [(16, 28), (15, 28), (17, 29)])
def test_activations_inside_pim_act_keep_nrrd_and_nfaw(nFAW: int, last: int) -> None:
    """Eight of them: a window that is shorter than four nRRD doesn't bring the fifth nearer to the fourth."""
    options = replace(FREE_INPUTS, timing=ALWAYS.timing._replace(nFAW=nFAW))
    act = "0 PIM_ENTER m2 | 80 PIM_ACT m2 p0 R5 | @ PIM_MAC m2 p0 c0"
    assert check(act, 80 + last + 15, options).violations == []
    assert check(act, 80 + last + 14, options).counts == {"nRCD": 1}


def test_inputs_that_never_came_are_missed() -> None:
    assert check(PIM_OPEN + "130 PIM_MAC m2 p0 c0").counts == {"input_ready": 1}
    # Broadcast reaches the ranks of its mask only: rank 2 has nothing.
    text = "0 PIM_ENTER m6 | 80 PIM_ACT m6 p0 R5 | 90 PIM_IN m2 c0 | 130 PIM_MAC m6 p0 c0 | 134 PIM_MAC m6 p0 c16"
    assert check(text).counts == {"input_ready": 1}


@pytest.mark.parametrize(("mask", "ranks"), [(2, 1), (6, 2)])
def test_the_power_budget_allows_so_many_ranks(mask: int, ranks: int) -> None:
    text = f"0 PIM_ENTER m6 | 80 PIM_ACT m6 p0 R5 | 123 PIM_MAC m{mask} p0 c0"
    for most in (1, 2):
        options = replace(ALWAYS, pim=PimRules(inputs=False, concurrent_ranks=most))
        assert check(text, options=options).counts == ({"concurrent_ranks": 1} if ranks > most else {})


def test_a_set_that_another_command_names_is_not_read() -> None:
    """Slot 0 is k 0..7 of set 0, slot 8 of set 1; without a name either may be meant."""
    load = PIM_OPEN + "100 PIM_IN m2 c8 | "
    assert check(load + "130 PIM_MAC m2 p0 s1 c0").legal
    assert check(load + "130 PIM_MAC m2 p0 c0").legal
    assert check(load + "130 PIM_MAC m2 p0 s0 c0").counts == {"input_ready": 1}


def test_a_segment_without_a_name_needs_what_it_has_used() -> None:
    text = PIM_OPEN + "100 PIM_IN m2 c0 | 123 PIM_MAC m2 p0 {0}c0 | 127 PIM_IN m2 c7 | 140 PIM_MAC m2 p0 {0}c16"
    assert check(text.format("")).legal
    assert check(text.format("s1 ").replace("m2 c0", "m2 c8").replace("m2 c7", "m2 c15")).counts == {
        "input_overwrite": 1
    }
    assert check(text.format("s1 ").replace("m2 c0", "m2 c8")).legal, "slot 7 is of the other set"


@pytest.mark.parametrize("inputs", [-2, 2])
def test_there_are_two_sets(inputs: int) -> None:
    mac = table(PIM_OPEN + "130 PIM_MAC m2 p0 c0")
    mac.bank_group[-1] = inputs
    with pytest.raises(InputError, match=rf"command 2: bank_group must be 0..1, or empty, for PIM_MAC, is {inputs}"):
        check_commands(mac, ALWAYS)


def test_the_other_set_fills_while_one_is_read() -> None:
    """Set 0 feeds the even row while set 1 (slots 8..15) is loaded; then the odd row reads set 1 and set 0 refills."""
    load_0 = "| ".join(f"{90 + 2 * j} PIM_IN m2 c{j} " for j in range(8))
    load_1 = "| ".join(f"{128 + 2 * j + 1} PIM_IN m2 c{8 + j} " for j in range(8))
    even = "| ".join(f"{124 + 4 * k} PIM_MAC m2 p0 c{16 * k} " for k in range(64))
    odd = "| ".join(f"{380 + 4 * k} PIM_MAC m2 p1 c{16 * k} " for k in range(64))
    again = "| ".join(f"{381 + 4 * j} PIM_IN m2 c{j} " for j in range(8))
    commands = [*PIM_OPEN.split("|"), "112 PIM_ACT m2 p1 R9", *"|".join((load_0, load_1, even, odd, again)).split("|")]
    ordered = sorted((c.strip() for c in commands if c.strip()), key=lambda command: int(command.split()[0]))
    assert check("|".join(ordered)).violations == []
    spoilt = [command.replace("c8", "c0") if "PIM_IN" in command else command for command in ordered]
    counts = check("|".join(spoilt)).counts
    assert counts["input_overwrite"] >= 1


ALIVE = replace(ALWAYS, ranks=1, pim_ranks=(), refresh="all-bank")
ALIVE_PER_BANK = replace(ALIVE, refresh="per-bank")
PAIRS = "| ".join(f"{1000 + 80 * pair} REFPB b{pair // 4}.{pair % 4} " for pair in range(8))


@pytest.mark.parametrize(
    ("rules", "text", "limit"),
    [
        # 8 may be postponed: the first comes by 9 * 3125 = 28125, and until then a bank has waited as long.
        ("retention refresh_debt", "@ REFAB", 28125),
        # After one at 1000 a bank waits until 1000 + 28125, when 8 more are due and 8 may be: no debt.
        ("retention", "1000 REFAB | @ REFAB", 29125),
        # The second is due at 2 * 3125, and by (2 + 8) * 3125 at the latest.
        ("refresh_debt", "28125 REFAB | @ REFAB", 31250),
    ],
)
def test_every_bank_is_refreshed_in_time(rules: str, text: str, limit: int) -> None:
    assert check(text, limit, ALIVE).violations == []
    assert set(check(text, limit + 1, ALIVE).counts) == set(rules.split())
    assert check(text, limit + 1, replace(ALIVE, refresh="none")).legal


def test_a_debt_is_told_once_and_what_may_be_owed_stays_owed() -> None:
    """At 28,126 nine intervals are over and eight may be owed: one counts as had, this one is the second, and so the
    third is due by (3 + 8) * 3125."""
    once = {"retention": 1, "refresh_debt": 1}
    text = "28126 REFAB | @ REFAB"
    assert check(text, 34375, ALIVE).counts == once
    assert check(text, 34376, ALIVE).counts == once | {"refresh_debt": 2}


def test_no_bank_is_overdue_at_the_end() -> None:
    assert check("0 CAS", options=ALIVE, end_ck=28125).legal
    assert set(check("0 CAS", options=ALIVE, end_ck=28126).counts) == {"retention", "refresh_debt"}
    assert check(PAIRS, options=ALIVE_PER_BANK, end_ck=1000 + 28125).legal
    assert check(PAIRS, options=ALIVE_PER_BANK, end_ck=1000 + 28126).counts == {"retention": 1}


@pytest.mark.parametrize("forgotten", range(8))
def test_per_bank_refresh_forgets_no_pair(forgotten: int) -> None:
    """Half the refresh that is needed is a known fault of simulators: every pair must have its own."""
    text = "|".join(part for pair, part in enumerate(PAIRS.split("|")) if pair != forgotten)
    assert check(text, options=ALIVE_PER_BANK, end_ck=28125).legal
    assert check(text, options=ALIVE_PER_BANK, end_ck=28126).counts == {"retention": 1}


def test_per_bank_refresh_keeps_pace_on_average() -> None:
    """Each pair owes one per 8 * 391 = 3128 CK: with eight outstanding the second comes by 10 * 3128."""
    late = "| ".join(f"{20000 + 80 * pair} REFPB b{pair // 4}.{pair % 4} " for pair in range(8))
    text = late + "| " + "| ".join(f"@+{80 * pair} REFPB b{pair // 4}.{pair % 4} " for pair in range(8))
    assert check(text, 31280 - 560, ALIVE_PER_BANK).violations == []
    broken = check(text, 31280 - 560 + 1, ALIVE_PER_BANK)
    assert broken.counts == {"refresh_debt": 1}


def test_refresh_inside_pim_mode_keeps_retention() -> None:
    options = replace(ALWAYS, ranks=2, pim_ranks=(1,), refresh="all-bank")
    text = "0 PIM_ENTER m2 | 20000 REFAB | 20001 PIM_REFAB m2 "
    assert check(text, options=options, end_ck=31250).legal
    text = "0 PIM_ENTER m2 | 20000 REFAB "
    broken = check(text, options=options, end_ck=31250)
    assert set(broken.counts) == {"retention", "refresh_debt"}


def test_every_rule_is_broken_somewhere_here() -> None:
    tested = {edge.rules.split()[0] for edge in EDGES} | {rule for rule, _ in ANY_TIME}
    own = {
        "retention",
        "refresh_debt",
        "CA_slot",
        "WCK_sync",
    }  # have their tests, the last two LPDDR6's
    assert {rule.name for rule in Rule} - tested == own


def streaming(tiles: int) -> CommandTable:
    """Rows of four groups opened, read twice each in turn, and closed: 20 commands in every 100 CK."""
    rows: list[tuple[Any, ...]] = []
    for group in range(4):
        rows += [(4 * group, "ACT1", 0, group, 0, 7, -1), (4 * group + 1, "ACT2", 0, group, 0, 7, -1)]
        rows += [(60 + 4 * group, "PRE", 0, group, 0, -1, -1)]
        rows += [(30 + 8 * turn + 2 * group, "RD", 0, group, 0, 7, 16 * turn) for turn in range(2)]
    rows.sort()
    tile = command_table(*zip(*rows, strict=True))
    ck = (tile.ck[None, :] + 100 * np.arange(tiles)[:, None]).ravel()
    return CommandTable(ck, *(np.tile(column, tiles) for column in tile[1:]))


def test_pieces_say_the_same_as_the_whole() -> None:
    stream = streaming(40)
    rng = np.random.default_rng(3)
    ck = np.sort(stream.ck - rng.integers(0, 3, stream.ck.size) * (rng.random(stream.ck.size) < 0.1))
    broken = stream._replace(ck=np.maximum(ck, 0))
    options = CheckOptions(wck="always-on")
    whole = check_commands(broken, options)
    assert len(whole.counts) > 3
    pieces = [CommandTable(*(column[at : at + 7] for column in broken)) for at in range(0, broken.ck.size, 7)]
    assert check_commands(pieces, options) == whole


def test_a_long_legal_stream_has_no_violations() -> None:
    report = check_commands(streaming(20_000), CheckOptions(wck="always-on"))
    assert report.legal
    assert report.commands == 400_000


def test_findings_beyond_what_is_kept_are_counted() -> None:
    report = check("|".join(f"{20 * k} RD b0.0 c0" for k in range(50)), options=replace(ALWAYS, kept=10))
    assert len(report.violations) == 10
    assert report.counts == {"state": 50}


def test_a_violation_reads_as_a_sentence() -> None:
    assert str(Violation("nRCD", 2, 15, 1, 1, 16)) == (
        "command 2 (line 4) at CK 15 breaks nRCD against command 1 at CK 1: CK 16 at the earliest"
    )
    assert str(Violation("state", 0, 5, None, None, None)) == "command 0 (line 2) at CK 5 breaks state"


def test_an_empty_stream_is_legal() -> None:
    assert CommandChecker().finish().legal
    assert Counter(CommandChecker(ALIVE).finish().counts) == Counter()


@pytest.mark.parametrize(
    "options",
    [
        {"ranks": 0},
        {"ranks": 9},
        {"pim_ranks": (1,)},
        {"pim": PimRules(alus=3)},
        {"pim": PimRules(input_depth=0)},
        {"pim": PimRules(concurrent_ranks=0)},
        {"pim": PimRules(mode_steps=0)},
        {"command_buses": 2},
        {"command_buses": 3, "ranks": 2, "pim_ranks": (1,)},
    ],
)
def test_a_channel_that_can_not_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        CheckOptions(**options)
