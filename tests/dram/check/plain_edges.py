"""Streams at the limit of every rule of plain commands and of refresh; see ``rules_by_hand``."""

from dataclasses import replace

from rules_by_hand import (
    ALWAYS,
    ON_DEMAND,
    OPEN,
    OPEN_RANKS,
    OPEN_TWO,
    SECOND,
    TWO_BUSES,
    Edge,
    slower,
)

from lpspec.dram.check.timing import LPDDR5_6400_8Gb

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
