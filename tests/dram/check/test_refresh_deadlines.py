"""Refresh in time, worked out by hand as in ``rules_by_hand``: retention, debts, and every pair of banks."""

from dataclasses import replace

import pytest
from rules_by_hand import (
    ALWAYS,
    check,
)

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
    assert check(text, options=ALIVE_PER_BANK, end_ck=28126).counts == {"retention": 1, "refresh_debt": 1}


def test_per_bank_refresh_keeps_pace_on_average() -> None:
    """Each pair owes one per 3125 CK, as eight REFPB do for one REFAB: with eight outstanding the second comes by
    10 * 3125."""
    late = "| ".join(f"{20000 + 80 * pair} REFPB b{pair // 4}.{pair % 4} " for pair in range(8))
    text = late + "| " + "| ".join(f"@+{80 * pair} REFPB b{pair // 4}.{pair % 4} " for pair in range(8))
    assert check(text, 31250 - 560, ALIVE_PER_BANK).violations == []
    broken = check(text, 31250 - 560 + 1, ALIVE_PER_BANK)
    assert broken.counts == {"refresh_debt": 1}


@pytest.mark.parametrize(("every_ck", "legal"), [(1007, True), (1015, False)])
def test_an_eighth_of_an_interval_is_no_whole_ck(every_ck: int, legal: bool) -> None:
    """A round of eight each 1,007 CK does; were each pair due every 8 * (1007 // 8) = 1,000 CK, it would come late."""
    options = replace(ALIVE_PER_BANK, timing=ALIVE_PER_BANK.timing._replace(nREFI=1007))
    rounds = range(1, 10 * 1007 // 7)
    text = "| ".join(f"{every_ck * n + 80 * p} REFPB b{p // 4}.{p % 4} " for n in rounds for p in range(8))
    assert check(text, options=options).legal is legal


def test_refresh_inside_pim_mode_keeps_retention() -> None:
    options = replace(ALWAYS, ranks=2, pim_ranks=(1,), refresh="all-bank")
    text = "0 PIM_ENTER m2 | 20000 REFAB | 20001 PIM_REFAB m2 "
    assert check(text, options=options, end_ck=31250).legal
    text = "0 PIM_ENTER m2 | 20000 REFAB "
    broken = check(text, options=options, end_ck=31250)
    assert set(broken.counts) == {"retention", "refresh_debt"}
