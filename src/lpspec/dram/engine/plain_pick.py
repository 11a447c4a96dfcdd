"""The next plain command: earliest first, then by urgency, then by age (FR-FCFS)."""

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.engine.queues import can_serve
from lpspec.dram.engine.refresh import plan_refresh
from lpspec.dram.engine.state import *


@cached_njit(allocates=False)
def _ready_ranks(m: IntArray, column: int) -> None:
    """Note when each rank lets a column command, an ACT-1 and a PRE go: not while it is held or between ACTs."""
    now = m[STATE, S_NOW]
    openings = 0
    for r in range(m[GIVEN, P_RANKS]):
        openings += 1 if m[RANK + r, R_OPENING] >= 0 else 0
        if m[RANK + r, R_DEBT] > 0 and m[RANK + r, R_TARGET] < 0 and m[RANK + r, R_MODE] == 0:
            plan_refresh(m, r)
        if m[RANK + r, R_MODE] != 0 or m[RANK + r, R_TARGET] == ALL_BANKS:
            m[MAY + r, column] = m[MAY + r, ACT1] = m[MAY + r, PRE] = NEVER
        else:
            m[MAY + r, column] = max(m[RANK + r, column], now) if m[STATE, S_COLUMNS_HELD] == 0 else NEVER
            m[MAY + r, ACT1] = max(m[RANK + r, ACT1], now) if m[RANK + r, R_OPENING] < 0 else NEVER
            m[MAY + r, PRE] = max(m[RANK + r, PRE], now)
    m[STATE, S_NPU_WANTS] = 1 if can_serve(m, column - RD) else 0
    m[STATE, S_OPENINGS] = openings


@cached_njit(allocates=False)
def pick_plain(m: IntArray) -> tuple[int, int, int, int, int]:
    """Find the next plain command: earliest first, then by urgency, then by age (FR-FCFS).

    Returns:
        CK, command, bank (or rank for rank commands), queue slot, urgency; the CK is NEVER if there is none.
    """
    now = m[STATE, S_NOW]
    way = m[STATE, S_WRITING]
    column = RD + way
    _ready_ranks(m, column)
    best_score = NEVER  # CK from now, urgency, age, in one number
    best_place = 0
    next_column = NEVER
    for r in range(m[GIVEN, P_RANKS]):
        may = m[MAY + r, column]
        if may - CAS_LEAD - now > (best_score >> URGENCIES) + 1:
            continue  # neither first nor next to it, nor is a CAS for it
        held = m[RANK + r, R_TARGET]
        wck = m[RANK + r, R_WCK] if m[GIVEN, P_WCK_ALWAYS] == 0 else NEVER
        banks = ACTIVE + 6 * r + 3 * way + COLUMNS
        for i in range(m[banks, LENGTH]):
            place = m[banks, i]
            if (place & (PAIRS - 1)) == held:
                continue
            at = max(m[place, column], m[GROUP + (place >> GROUP_BITS), column], may)
            key = m[place, B_AGE + way]
            if at <= wck:
                next_column = min(next_column, at)
            else:
                early = max(wck, at - CAS_LEAD, now)
                key += CAS_NOW if early >= at - 1 else CAS_EARLY
                at = early
            score = ((at - now) << URGENCIES) + key
            if score < best_score:
                best_score = score
                best_place = place
    m[STATE, S_NEXT_COLUMN] = next_column
    for r in range(m[GIVEN, P_RANKS]):
        for kind in range(OPENS, CLOSES + 1):
            wanted = ACT1 if kind == OPENS else PRE
            may = m[MAY + r, wanted]
            if may >= NEVER or ((may - now) << URGENCIES) + ROW_NEXT > best_score:
                continue  # none of them can be first
            held = m[RANK + r, R_TARGET]
            banks = ACTIVE + 6 * r + 3 * way + kind
            for i in range(m[banks, LENGTH]):
                place = m[banks, i]
                if (place & (PAIRS - 1)) == held:
                    continue
                at = max(m[place, wanted], m[GROUP + (place >> GROUP_BITS), wanted], may)
                score = ((at - now) << URGENCIES) + ROW_NEXT + m[place, B_AGE + way]
                if score < best_score:
                    best_score = score
                    best_place = place
    best_at = NEVER
    best = NO_COMMAND
    best_slot = -1
    if best_score < NEVER:
        best_at = now + (best_score >> URGENCIES)
        urgency = best_score & (7 << AGES)
        if urgency >= ROW_NEXT and urgency < CAS_EARLY:
            best = PRE if m[best_place, B_ROW] >= 0 else ACT1
            best_slot = m[best_place, B_FIRST + way]
        else:
            best = column if urgency < ACT2_NEXT else CAS
            best_slot = m[best_place, B_HIT + way]
    for r in range(m[GIVEN, P_RANKS]):
        place = m[RANK + r, R_OPENING]
        target = m[RANK + r, R_TARGET]
        if place < 0 and target < 0 and m[RANK + r, R_MODE] == 0:
            continue
        key = REFRESH_NEXT + r
        if place >= 0:  # between ACT-1 and ACT-2
            command = ACT2
            at = max(m[place, ACT2], m[GROUP + (place >> GROUP_BITS), ACT2], m[RANK + r, ACT2], now)
            key = ACT2_NEXT + r
            if at >= m[RANK + r, R_ACT1_AT] + m[GIVEN, P_NAAD] - m[GIVEN, P_RANKS]:
                key = AT_ONCE
        elif m[RANK + r, R_MODE] == 2 or (m[RANK + r, R_MODE] == 1 and m[RANK + r, R_OPEN] == 0):
            continue
        elif m[RANK + r, R_MODE] == 1 or target == ALL_BANKS:  # close all, for refresh or for PIM mode
            command = PREAB if m[RANK + r, R_OPEN] > 0 else REFAB
            place = r
            at = max(m[RANK + r, command], now)
        else:
            place = r * BANKS + target
            command = PRE
            if m[place, B_ROW] < 0:
                place += PAIRS
                if m[place, B_ROW] < 0:
                    command = REFPB
                    place -= PAIRS
            at = max(m[place, command], m[RANK + r, command], now)
            if command == REFPB:
                at = max(at, m[place + PAIRS, REFPB])
        score = ((at - now) << URGENCIES) + key
        if score < best_score:
            best_score = score
            best_at = at
            best = command
            best_place = place
            best_slot = -1
    return best_at, best, best_place, best_slot, best_score
