"""Every rule at its limit, and one CK past it; and what is legal, or is not, at any time."""

import pytest
from pim_edges import PIM_EDGES
from plain_edges import PLAIN_EDGES, REFRESH_EDGES
from rules_by_hand import (
    FREE_INPUTS,
    ON_DEMAND,
    OPEN,
    OPEN_RANKS,
    PIM,
    PIM_OPEN,
    TWO_BUSES,
    Edge,
    check,
)

from lpspec.dram.check.log import DEADLINES, Rule

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


def test_every_rule_is_broken_somewhere_here() -> None:
    tested = {edge.rules.split()[0] for edge in EDGES} | {rule for rule, _ in ANY_TIME}
    own = {
        "retention",
        "refresh_debt",
        "CA_slot",
        "WCK_sync",
    }  # have their tests, the last two LPDDR6's
    assert {rule.name for rule in Rule} - tested == own
