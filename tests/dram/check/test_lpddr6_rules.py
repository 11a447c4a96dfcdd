"""LPDDR6 by hand: every rule at its limit, one CK past it and one command past it, and where an LPDDR5 habit is wrong.

One CK past it a command begins on an odd CK, which is illegal by itself.

The numbers are worked out on paper from the tables in lpddr_newer.md at 10,667 MT/s (CK 0.375 ns, a command takes 2 CK
and begins on an even one, so that every gap is even): RL 56, WL 26, BL/n 6 and 12, nRCDr 48, nRCDw 22, nACU 59, nRPpb
59 + 48, nRPab 59 + 56, nRAS 54, nRC 54 + 115, nWTP 32, nRTP 14, nPPD 4, nCCD 6 and 10, nRRD 10, nFAW 40, nWTR 17
and 32, tWCK2DQO 5, ODTLon 27, WCK postamble 3, rank switch 2, nRFCab 1,014. ``written_streams.table`` reads a stream.
"""

from dataclasses import replace
from typing import NamedTuple

import pytest
from written_streams import table

from lpspec.dram.check.checker import CheckOptions, CheckReport, check_commands
from lpspec.dram.check.log import DEADLINES, Rule
from lpspec.dram.check.timing import CheckTiming

GRADE = CheckTiming(
    nCL=56,
    nCWL=26,
    nBL_min=6,
    nBL_max=12,
    nRCD=48,
    nRCDw=22,
    nRAS=54,
    nRC=169,
    nRPpb=107,
    nRPab=115,
    nWR=32,
    nRTP=14,
    nPPD=4,
    nCCD_S=6,
    nCCD_L=10,
    nWTR_S=17,
    nWTR_L=32,
    nRRD=10,
    nFAW=40,
    nRFCab=1014,
    nRFCpb=507,
    nREFI=10416,
    nPBR2PBR=240,
    nPBR2ACT=20,
    nWCK2DQO=5,
    nODTLon=27,
    nWCKPST=3,
    nMODE=268,
    nMAC=10,
    lpddr6=1,
)
"""LPDDR6-10667, a die of 16 Gb behind one x12 sub-channel, BL24. nRPpb and nRPab are nACU (59) and 18 or 21 ns, REFAB
goes by the density of two sub-channels (32 Gb); the times of REFPB, nMODE and nMAC are assumed."""

ALWAYS = CheckOptions(ranks=2, timing=GRADE, wck="always-on")
ON_DEMAND = replace(ALWAYS, wck="on-demand")


def other(options: CheckOptions = ALWAYS, **timings_ck: int) -> CheckOptions:
    return replace(options, timing=options.timing._replace(**timings_ck))


BL48 = other(nBL_min=18, nBL_max=24, nCCD_L=22, nRTP=26, nSEG=12)
BL48_SLOW = other(nBL_min=12, nBL_max=12, nCCD_S=12, nCCD_L=12, nRTP=26)  # as up to 6400: without a gap
BL48_WCK = other(ON_DEMAND, nBL_min=18, nBL_max=24, nCCD_L=22, nRTP=26, nSEG=12)
EFFICIENT = other(nCL=62, nWTR_S=22, nWTR_L=38, nWR=38)  # RL of set 1, 8.25 and 14 ns, 14 ns
FROM_ACT1 = other(rows_from_act1=1)


def check(text: str, at: int = 0, options: CheckOptions = ALWAYS) -> CheckReport:
    return check_commands(table(text, at), options)


class Edge(NamedTuple):
    """A stream that is legal with `@` at the limit, and not one CK nor one command beyond it."""

    name: str
    text: str
    limit: int
    rule: str
    options: CheckOptions = ALWAYS


# ACT-2 of group 0 at 2, of group 1 at 12; or of rank 1 at 6.
OPEN = "0 ACT1 b0.0 R5 | 2 ACT2 b0.0 | "
OPEN_TWO = OPEN + "10 ACT1 b1.0 R6 | 12 ACT2 b1.0 | "
OPEN_RANKS = OPEN + "4 ACT1 r1 b0.0 R7 | 6 ACT2 r1 b0.0 | "

EDGES = [
    Edge("a command takes 2 CK of the CA bus of all ranks", "0 CAS | @ CAS r1", 2, "CA", ON_DEMAND),
    Edge("CAS to access", OPEN_TWO + "98 CAS | @ RD b0.0 c0", 100, "CA", ON_DEMAND),
    Edge("ACT-2 at most 8 after ACT-1", "0 ACT1 b0.0 R5 | @ ACT2 b0.0", 8, "nAAD"),
    # Point 3: reads and writes wait for a row differently. Point 4: from ACT-1 where the die says so.
    Edge("ACT-2 to RD: 2 + 48", OPEN + "@ RD b0.0 R5 c0", 50, "nRCD"),
    Edge("ACT-2 to WR: 2 + 22", OPEN + "@ WR b0.0 R5 c0", 24, "nRCD"),
    Edge("ACT-1 to RD: 0 + 48", OPEN + "@ RD b0.0 R5 c0", 48, "nRCD", FROM_ACT1),
    Edge("ACT-1 to WR: 0 + 22", OPEN + "@ WR b0.0 R5 c0", 22, "nRCD", FROM_ACT1),
    Edge("ACT-2 to PRE: 2 + 54", OPEN + "@ PRE b0.0", 56, "nRAS"),
    Edge("ACT-1 to PRE: 0 + 54", OPEN + "@ PRE b0.0", 54, "nRAS", FROM_ACT1),
    # Point 2: nRP holds the update of the activation counter; odd sums round up to even.
    Edge("PRE to ACT-1: 100 + 59 + 48", OPEN + "100 PRE b0.0 | @ ACT1 b0.0 R6 | @+2 ACT2 b0.0", 208, "nRPpb"),
    Edge("PREAB to ACT-1: 100 + 59 + 56", OPEN + "100 PREAB | @ ACT1 b3.3 R6 | @+2 ACT2 b3.3", 216, "nRPab"),
    Edge("PREAB to REFAB is nRPab too", OPEN + "100 PREAB | @ REFAB", 216, "nRPab"),
    Edge("PRE to REFAB: 100 + 107", OPEN + "100 PRE b0.0 | @ REFAB", 208, "nRPpb"),
    Edge("ACT-2 to ACT-1: 2 + 169", OPEN + "56 PRE b0.0 | @ ACT1 b0.0 R6 | @+2 ACT2 b0.0", 172, "nRC"),
    Edge("ACT-1 to ACT-1: 0 + 169", OPEN + "54 PRE b0.0 | @ ACT1 b0.0 R6 | @+2 ACT2 b0.0", 170, "nRC", FROM_ACT1),
    # Point 5: nRTP is a table in CK, recovery runs from WL + BL/n_max.
    Edge("RD to PRE: 60 + 14", OPEN + "60 RD b0.0 c0 | @ PRE b0.0", 74, "nRTP"),
    Edge("RD to PRE, BL48: 60 + 26", OPEN + "60 RD b0.0 c0 | @ PRE b0.0", 86, "nRTP", BL48),
    Edge("WR to PRE: 24 + 26 + 12 + 32", OPEN + "24 WR b0.0 c0 | @ PRE b0.0", 94, "nWR"),
    Edge("WR to PREAB: 24 + 26 + 12 + 32", OPEN + "24 WR b0.0 c0 | @ PREAB", 94, "nWR"),
    Edge("WR to PRE, BL48: 24 + 26 + 24 + 32", OPEN + "24 WR b0.0 c0 | @ PRE b0.0", 106, "nWR", BL48),
    Edge("WR to PRE, efficiency mode: 24 + 26 + 12 + 38", OPEN + "24 WR b0.0 c0 | @ PRE b0.0", 100, "nWR", EFFICIENT),
    Edge("RDA to ACT-1: 60 + 14 + 107", OPEN + "60 RDA b0.0 c0 | @ ACT1 b0.0 R6 | @+2 ACT2 b0.0", 182, "nRPpb"),
    Edge("WRA to ACT-1: 24 + 70 + 107", OPEN + "24 WRA b0.0 c0 | @ ACT1 b0.0 R6 | @+2 ACT2 b0.0", 202, "nRPpb"),
    Edge(
        "RDA to ACT-1 of odd parts rounds up once: 60 + 15 + 107",
        OPEN + "60 RDA b0.0 c0 | @ ACT1 b0.0 R6 | @+2 ACT2 b0.0",
        182,
        "nRPpb",
        other(nRTP=15),
    ),
    Edge("PRE to PRE: 100 + 4", OPEN_TWO + "100 PRE b0.0 | @ PRE b1.0", 104, "nPPD"),
    # Point 12: one nRRD for all groups; nFAW is four of them, so it shows only where it is longer.
    Edge("ACT to ACT, other group", OPEN + "@ ACT1 b1.0 R6 | @+2 ACT2 b1.0", 10, "nRRD"),
    Edge("ACT to ACT, same group", OPEN + "@ ACT1 b0.1 R6 | @+2 ACT2 b0.1", 10, "nRRD"),
    Edge(
        "four ACTs in nFAW of 50",
        OPEN_TWO + "20 ACT1 b2.0 R5 | 22 ACT2 b2.0 | 30 ACT1 b3.0 R5 | 32 ACT2 b3.0 | @ ACT1 b0.1 R5 | @+2 ACT2 b0.1",
        50,
        "nFAW",
        other(nFAW=50),
    ),
    # Point 6: one group alone gives 60 % of the peak.
    Edge("RD to RD, other group", OPEN_TWO + "60 RD b0.0 c0 | @ RD b1.0 c0", 66, "nCCD_S"),
    Edge("RD to RD, same group", OPEN_TWO + "60 RD b0.0 c0 | @ RD b0.0 c16", 70, "nCCD_L"),
    Edge("WR to WR, other group", OPEN_TWO + "60 WR b0.0 c0 | @ WR b1.0 c0", 66, "nCCD_S"),
    Edge("WR to WR, same group", OPEN_TWO + "60 WR b0.0 c0 | @ WR b0.0 c16", 70, "nCCD_L"),
    Edge("RD to RD behind a BL48 that no gap takes", OPEN_TWO + "60 RD b0.0 c0 | @ RD b1.0 c0", 78, "DQ", BL48),
    Edge("WR to WR behind a BL48 that no gap takes", OPEN_TWO + "60 WR b0.0 c0 | @ WR b1.0 c0", 78, "DQ", BL48),
    Edge("WR to WR, same group, BL48", OPEN_TWO + "60 WR b0.0 c0 | @ WR b0.0 c32", 82, "nCCD_L", BL48),
    Edge(
        "RD to RD behind two BL48 that share their gaps: 66 + 18",
        OPEN_TWO + "20 ACT1 b2.0 R5 | 22 ACT2 b2.0 | 80 RD b0.0 c0 | 86 RD b1.0 c0 | @ RD b2.0 c0",
        104,
        "DQ",
        BL48,
    ),
    Edge("RD to RD of 12 CK in one piece", OPEN_TWO + "60 RD b0.0 c0 | @ RD b1.0 c0", 72, "nCCD_S", BL48_SLOW),
    Edge("RD to RD, same group, BL48", OPEN_TWO + "60 RD b0.0 c0 | @ RD b0.0 c32", 82, "nCCD_L", BL48),
    # Points 1, 7, 8: 41 and 47 of ODTLon are 42 and 48; write to read 49 is 50, and 70 in the group.
    Edge("RD to WR, other group: 60 + 56 + 6 + 5 + 1 - 27", OPEN_TWO + "60 RD b0.0 c0 | @ WR b1.0 c0", 102, "nRTW"),
    Edge("RD to WR, same group: 60 + 56 + 12 + 5 + 1 - 27", OPEN_TWO + "60 RD b0.0 c0 | @ WR b0.0 c16", 108, "nRTW"),
    Edge("WR to RD, other group: 60 + 26 + 6 + 17", OPEN_TWO + "60 WR b0.0 c0 | @ RD b1.0 c0", 110, "nWTR_S"),
    Edge("WR to RD, same group: 60 + 26 + 12 + 32", OPEN_TWO + "60 WR b0.0 c0 | @ RD b0.0 c16", 130, "nWTR_L"),
    Edge("RD to WR, BL48: 60 + 56 + 18 - 21", OPEN_TWO + "60 RD b0.0 c0 | @ WR b1.0 c0", 114, "nRTW", BL48),
    Edge(
        "RD to WR, same group, BL48: 60 + 56 + 24 - 21", OPEN_TWO + "60 RD b0.0 c0 | @ WR b0.0 c32", 120, "nRTW", BL48
    ),
    Edge("WR to RD, BL48: 60 + 26 + 18 + 17", OPEN_TWO + "60 WR b0.0 c0 | @ RD b1.0 c0", 122, "nWTR_S", BL48),
    Edge(
        "WR to RD, same group, BL48: 60 + 26 + 24 + 32", OPEN_TWO + "60 WR b0.0 c0 | @ RD b0.0 c32", 142, "nWTR_L", BL48
    ),
    Edge(
        "RD to WR, efficiency mode: 60 + 62 + 6 - 21", OPEN_TWO + "60 RD b0.0 c0 | @ WR b1.0 c0", 108, "nRTW", EFFICIENT
    ),
    Edge(
        "WR to RD, efficiency mode: 60 + 26 + 6 + 22",
        OPEN_TWO + "60 WR b0.0 c0 | @ RD b1.0 c0",
        114,
        "nWTR_S",
        EFFICIENT,
    ),
    Edge("WR to RD, same group, efficiency mode", OPEN_TWO + "60 WR b0.0 c0 | @ RD b0.0 c16", 136, "nWTR_L", EFFICIENT),
    # Two ranks: data at RL and WL, 2 CK apart on DQ.
    Edge("RD to RD of two ranks: 60 + 6 + 2", OPEN_RANKS + "60 RD b0.0 c0 | @ RD r1 b0.0 c0", 68, "nRKSW"),
    Edge("RD to RD of two ranks, BL48: 60 + 18 + 2", OPEN_RANKS + "60 RD b0.0 c0 | @ RD r1 b0.0 c0", 80, "nRKSW", BL48),
    Edge("RD to WR of two ranks, BL48", OPEN_RANKS + "60 RD b0.0 c0 | @ WR r1 b0.0 c0", 110, "nRKSW", BL48),
    Edge("RD to WR of two ranks: 60 + 56 + 6 + 2 - 26", OPEN_RANKS + "60 RD b0.0 c0 | @ WR r1 b0.0 c0", 98, "nRKSW"),
    # Point 11: REFAB goes by the density of two sub-channels.
    Edge("REFAB to ACT-1: 380 ns", "0 REFAB | @ ACT1 b0.0 R5 | @+2 ACT2 b0.0", 1014, "nRFCab"),
    # Points 9 and 10: WCK runs RL or WL + 6 + postamble behind a command, and starts anew only once it has stopped.
    Edge("WCK behind a read: 60 + 56 + 6 + 3", OPEN + "58 CAS | 60 RD b0.0 c0 | @ RD b0.0 c16", 124, "WCK", ON_DEMAND),
    Edge(
        "WCK behind a read, postamble 1: 60 + 56 + 6 + 1",
        OPEN + "58 CAS | 60 RD b0.0 c0 | @ RD b0.0 c16",
        122,
        "WCK",
        other(ON_DEMAND, nWCKPST=1),
    ),
    Edge(
        "WCK behind a read, postamble 2: 60 + 56 + 6 + 2",
        OPEN + "58 CAS | 60 RD b0.0 c0 | @ RD b0.0 c16",
        124,
        "WCK",
        other(ON_DEMAND, nWCKPST=2),
    ),
    Edge("WCK behind a BL48: 60 + 56 + 18 + 3", OPEN + "58 CAS | 60 RD b0.0 c0 | @ RD b0.0 c32", 136, "WCK", BL48_WCK),
    Edge("CAS behind a BL48: 1 behind 137", OPEN + "58 CAS | 60 RD b0.0 c0 | @ CAS", 138, "WCK_running", BL48_WCK),
    Edge("CAS behind a read: 1 behind 125", OPEN + "58 CAS | 60 RD b0.0 c0 | @ CAS", 126, "WCK_running", ON_DEMAND),
    Edge("CAS behind a write: 1 behind 95", OPEN + "58 CAS | 60 WR b0.0 c0 | @ CAS", 96, "WCK_running", ON_DEMAND),
    Edge(
        "CAS behind a write, postamble 1: 1 behind 93",
        OPEN + "58 CAS | 60 WR b0.0 c0 | @ CAS",
        94,
        "WCK_running",
        other(ON_DEMAND, nWCKPST=1),
    ),
    Edge("CAS behind a CAS without access: 1 behind 16", "0 CAS | @ CAS", 18, "WCK_running", ON_DEMAND),
]


@pytest.mark.parametrize("edge", EDGES, ids=[f"{edge.rule}-{edge.name}" for edge in EDGES])
def test_the_limit_is_legal_and_beyond_is_not(edge: Edge) -> None:
    past = 1 if Rule[edge.rule] in DEADLINES else -1
    assert check(edge.text, edge.limit, edge.options).violations == []
    assert "CA_slot" in check(edge.text, edge.limit + past, edge.options).counts
    beyond = edge.limit + 2 * past
    found = check(edge.text, beyond, edge.options)
    assert edge.rule in found.counts
    assert set(found.counts) - {edge.rule} <= {"DQ"} & {edge.rule.replace("nCCD_S", "DQ")}
    named = next(violation for violation in found.violations if violation.rule == edge.rule)
    if past < 0:
        assert named.required_ck is not None
        assert named.required_ck - named.ck == 2


def test_a_command_begins_on_an_even_ck() -> None:
    found = check("1 CAS", options=ON_DEMAND)
    assert [(v.rule, v.ck, v.required_ck) for v in found.violations] == [("CA_slot", 1, 2)]


def test_two_bl48_lie_in_each_others_gap() -> None:
    """Data of a read at 60 lie on 116..122 and 128..134: another fits 6 CK later, then from 78 on."""
    text = OPEN_TWO + "60 RD b0.0 c0 | @ RD b1.0 c0"
    legal = {at for at in range(66, 96, 2) if check(text, at, BL48).legal}
    assert legal == {66, *range(78, 96, 2)}
    (found,) = check(text, 72, BL48).violations
    assert (found.rule, found.required_ck) == ("DQ", 78)


def test_a_read_behind_a_write_starts_wck_anew() -> None:
    """Whether WCK runs or not; with a postamble of 40 it runs to 60 + 26 + 6 + 40 = 132."""
    long = other(ON_DEMAND, nWCKPST=40)
    writes = OPEN_TWO + "58 CAS | 60 WR b0.0 c0 | "
    assert set(check(writes + "110 RD b1.0 c0", options=ON_DEMAND).counts) == {"WCK"}
    assert set(check(writes + "110 RD b1.0 c0", options=long).counts) == {"WCK_sync"}
    assert check(writes + "108 CAS | 110 RD b1.0 c0", options=ON_DEMAND).legal
    assert check(writes + "134 CAS | 136 RD b1.0 c0", options=long).legal
    assert set(check(writes + "132 CAS | 134 RD b1.0 c0", options=long).counts) == {"WCK_running"}
    assert check(writes + "100 WR b1.0 c0", options=long).legal  # a write may go on


def test_a_write_behind_a_read_takes_the_running_wck() -> None:
    reads = OPEN_TWO + "58 CAS | 60 RD b0.0 c0 | "
    assert check(reads + "102 WR b1.0 c0", options=ON_DEMAND).legal
    assert check(reads + "124 WR b1.0 c0", options=ON_DEMAND).legal
    assert set(check(reads + "100 CAS | 102 WR b1.0 c0", options=ON_DEMAND).counts) == {"WCK_running"}
    assert set(check(reads + "126 WR b1.0 c0", options=ON_DEMAND).counts) == {"WCK"}
    assert check(reads + "126 CAS | 128 WR b1.0 c0", options=ON_DEMAND).legal


def test_ranks_have_a_wck_each() -> None:
    both = OPEN_RANKS + "58 CAS | 60 RD b0.0 c0 | "
    assert check(both + "66 CAS r1 | 68 RD r1 b0.0 c0", options=ON_DEMAND).legal
    assert set(check(both + "68 RD r1 b0.0 c0", options=ON_DEMAND).counts) == {"WCK"}
