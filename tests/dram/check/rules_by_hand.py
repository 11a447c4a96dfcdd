"""The checker's rules by hand: streams of commands, and what a stream at a limit says.

This is a reading of the rules by itself: the numbers here are worked out on paper from the timing table of
LPDDR5-6400 (16 Gb, CK 1.25 ns): RL 17, WL 9, BL/n 2 and 4, nRCD 15, nRAS 34, nRC 49, nRPpb 15, nRPab 17, nWR 28,
nRTP 8, nPPD 2, nCCD 2 and 4, nWTR 5 and 10, nRRD 4, nFAW 16, nRFCab 224, nRFCpb 112, nREFI 3125,
nPBR2PBR 72, nPBR2ACT 6, rank switch 2, WCK postamble 1, ACT-2 within 8 CK of ACT-1.

A stream is written as ``written_streams.table`` reads it; `@` is the CK under test, `@+1` the next.
"""

from dataclasses import replace
from typing import NamedTuple

from written_streams import table

from lpspec.dram.check.checker import (
    CheckOptions,
    CheckReport,
    PimRules,
    check_commands,
)
from lpspec.dram.check.timing import LPDDR5_6400_16Gb

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
