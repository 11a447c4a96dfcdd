"""Streams at the limit of every rule of PIM commands; see ``rules_by_hand``."""

from dataclasses import replace

from rules_by_hand import ALWAYS, BOTH, FREE_INPUTS, ON_DEMAND, PIM, PIM_OPEN, TWO_STEPS, Edge, slower

from lpspec.dram.check.checker import (
    PimRules,
)

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
