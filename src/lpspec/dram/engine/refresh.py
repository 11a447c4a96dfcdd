"""Refreshes: when each comes due, what a rank owes, which banks are held for it, and idle time jumped over."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.queues import note_need
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native()
def _due(m: IntArray, r: int, k: int) -> int:
    """CK at which the k-th refresh of a rank comes due, from 1; ranks take turns."""
    ranks = m[GIVEN, P_RANKS]
    if m[GIVEN, P_REFRESH] == REFRESH_ALL:
        return int(k * m[GIVEN, P_NREFI] + r * m[GIVEN, P_NREFI] // ranks)
    return int(k * m[GIVEN, P_NREFI] // PAIRS + r * (m[GIVEN, P_NREFI] // PAIRS) // ranks)


@native()
def count_dues(m: IntArray) -> None:
    """Note the refreshes that have come due; eight REFPB make up one REFAB."""
    ranks = m[GIVEN, P_RANKS]
    soonest = NEVER
    for r in range(ranks):
        while m[RANK + r, R_DUE] <= m[STATE, S_NOW]:
            m[RANK + r, R_DEBT] += 1
            m[RANK + r, R_DUES] += 1
            m[RANK + r, R_DUE] = _due(m, r, m[RANK + r, R_DUES] + 1)
        soonest = min(soonest, m[RANK + r, R_DUE])
    m[STATE, S_NEXT_DUE] = soonest


@native()
def _refreshes_keep_up(m: IntArray, r: int) -> bool:
    """Whether an idle rank has nothing open and owes nothing, and soon serves each refresh when it comes due.

    One that came late, or waits for other ranks, delays the next ones; where a refresh takes at most half the time
    until the next, that is made up within a round.
    """
    if m[RANK + r, R_DEBT] != 0 or m[RANK + r, R_TARGET] >= 0 or m[RANK + r, R_OPEN] != 0:
        return False
    turn = m[GIVEN, P_RANKS] * m[GIVEN, P_STEP]  # of refreshes that come due at once, the last waits so many CK
    if m[GIVEN, P_REFRESH] == REFRESH_ALL:
        return bool(2 * (m[LATENCY + AT_RANK + REFAB, REFAB] + turn) <= m[GIVEN, P_NREFI])
    step = m[GIVEN, P_NREFI] // PAIRS
    fits = (
        2 * (m[LATENCY + AT_RANK + REFPB, REFPB] + turn) <= step
        and 2 * m[LATENCY + AT_BANK + REFPB, REFPB] <= (PAIRS - 1) * step
    )
    done = m[RANK + r, R_ROUND]
    return bool(fits and done & (done + 1) == 0)  # the pairs go by number, so eight refreshes later all is the same


@native()
def skip_refreshes(m: IntArray, until: int) -> bool:
    """Count the refreshes that come due while a channel stands idle, without issuing each; whether there were any.

    The last round before ``until`` is left to be issued. Each refresh is served before the next and leaves the same
    behind, so what that round leaves is all that the others would have left beside their number.
    """
    ranks = m[GIVEN, P_RANKS]
    interval = m[GIVEN, P_NREFI]
    for r in range(ranks):
        if m[RANK + r, R_MODE] == 1 or (m[RANK + r, R_MODE] == 0 and not _refreshes_keep_up(m, r)):
            return False
    skipped = False
    soonest = NEVER
    for r in range(ranks):
        due = m[RANK + r, R_DUES]
        if m[GIVEN, P_REFRESH] == REFRESH_ALL:
            n = (until - r * interval // ranks) // interval - 1 - due
        else:
            n = PAIRS * ((until - r * (interval // PAIRS) // ranks) // interval - 1 - (due + PAIRS - 1) // PAIRS)
        if n > 0:
            skipped = True
            m[RANK + r, R_DUES] = due + n
            if m[RANK + r, R_MODE] == 2:  # only its program may refresh it
                m[RANK + r, R_DEBT] += n
            elif m[GIVEN, P_REFRESH] == REFRESH_ALL:
                m[COUNT, REFAB] += n
                m[COUNT + 1, REFAB] += n
                for b in range(r * BANKS, (r + 1) * BANKS):
                    m[b, B_REFRESHES] += n
            else:
                m[COUNT, REFPB] += n
                m[COUNT + 1, REFPB] += n
                for b in range(r * BANKS, (r + 1) * BANKS):
                    m[b, B_REFRESHES] += n // PAIRS
            m[RANK + r, R_DUE] = _due(m, r, due + n + 1)
        soonest = min(soonest, m[RANK + r, R_DUE])
    m[STATE, S_NEXT_DUE] = soonest
    return skipped


@native()
def plan_refresh(m: IntArray, r: int) -> None:
    """Hold a rank or a pair of banks for refresh when it is idle, or when no more can be postponed."""
    if m[GIVEN, P_REFRESH] == REFRESH_ALL:
        if m[RANK + r, R_DEBT] > min(m[GIVEN, P_POSTPONE], MOST_POSTPONED) or m[RANK + r, R_QUEUED] == 0:
            m[RANK + r, R_TARGET] = ALL_BANKS
        return
    best = -1
    least = NEVER
    for pair in range(PAIRS):
        if (m[RANK + r, R_ROUND] >> pair) & 1 == 0:
            place = r * BANKS + pair
            work = m[place, B_QUEUED] + m[place + PAIRS, B_QUEUED]
            if work < least:
                least = work
                best = pair
    if least == 0 or m[RANK + r, R_DEBT] > min(PAIRS * m[GIVEN, P_POSTPONE], MOST_POSTPONED_PAIRS):
        m[RANK + r, R_TARGET] = best
        for b in range(r * BANKS + best, (r + 1) * BANKS, PAIRS):
            note_need(m, b)


@native()
def refresh_owed(m: IntArray, mask: int) -> int:
    """All-bank refreshes that the ranks of a mask owe, the most of any of them."""
    unit = PAIRS if m[GIVEN, P_REFRESH] == REFRESH_PAIR else 1
    owed = 0
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            owed = max(owed, m[RANK + r, R_DEBT] // unit)
    return owed


@native()
def refresh_presses(m: IntArray) -> bool:
    """Whether a rank in PIM mode owes so much that its program must get to its next refresh point without waiting."""
    unit = PAIRS if m[GIVEN, P_REFRESH] == REFRESH_PAIR else 1
    presses = False
    for r in range(m[GIVEN, P_RANKS]):
        if m[RANK + r, R_MODE] == 2 and m[RANK + r, R_DEBT] >= PRESSING * unit:
            presses = True
    return presses
