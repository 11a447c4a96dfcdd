"""The next plain command: earliest first, then by urgency, then by age (FR-FCFS)."""

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine.refresh import plan_refresh
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native(inline=True)
def _best_bank(m: IntArray, r: int, now: int) -> int:
    """The lowest score over the banks of a rank, whose columns all find WCK running; no branches, so it is fast."""
    at = np.maximum(m[NEXT + r, N_AT : N_AT + BANKS], now)
    best = int(((at - now << KEY_BITS) + m[NEXT + r, N_KEY : N_KEY + BANKS]).min())
    m[RANK + r, R_SOONEST] = now + (best >> KEY_BITS) if best < NOTHING else NEVER
    return best


@native(inline=True)
def _best_with_cas(m: IntArray, r: int, now: int, wck: int) -> int:
    """The same where WCK may have stopped before the first column, or columns may not go, or no row may be opened.

    A CAS goes early enough for the first column, in a free slot.
    """
    key = m[NEXT + r, N_KEY : N_KEY + BANKS]
    score = (np.maximum(m[NEXT + r, N_AT : N_AT + BANKS], now) - now << KEY_BITS) + key
    closed = NOTHING if m[RANK + r, R_OPENING] >= 0 else 0
    shut = np.where(m[NEXT + r, N_CLASS : N_CLASS + BANKS] == ACT1, closed, 0)
    column = min(NOTHING, int(np.where(key < ACT2_NEXT, score, NOTHING).min()))
    row = min(NOTHING, int(np.where(key < ACT2_NEXT, NOTHING, score | shut).min()))
    if column == NOTHING or m[STATE, S_COLUMNS_HELD] != 0:
        return row
    after = column >> KEY_BITS
    reads = m[NEXT + r, N_CLASS + (column & (BANKS - 1))] == RD
    if now + after > wck or (reads and m[RANK + r, R_WROTE] != 0):
        early = max(wck - now + 1, after - CAS_LEAD, 0)
        urgency = CAS_NOW if early >= after - m[GIVEN, P_STEP] else CAS_EARLY
        column = (early << KEY_BITS) + urgency + (column & (ACT2_NEXT - 1))
    return min(column, row)


@native(inline=True)
def _rank_command(m: IntArray, r: int, now: int) -> tuple[int, int, int, int]:
    """What a rank needs as a whole: the ACT-2 that it waits for, or to be closed for refresh or PIM mode, or refresh.

    Returns:
        Score (NOTHING if it needs nothing), CK, command, bank (or rank for rank commands).
    """
    place = m[RANK + r, R_OPENING]
    target = m[RANK + r, R_TARGET]
    mode = m[RANK + r, R_MODE]
    key = REFRESH_NEXT + r
    if place >= 0:  # between ACT-1 and ACT-2
        command = ACT2
        at = max(m[place, ACT2], m[GROUP + (place >> GROUP_BITS), ACT2], m[RANK + r, ACT2], now)
        late = at >= m[RANK + r, R_ACT1_AT] + m[GIVEN, P_NAAD] - m[GIVEN, P_RANKS] * m[GIVEN, P_STEP]
        key = AT_ONCE if late else ACT2_NEXT + r
    elif (mode == 0 and target < 0) or mode == 2 or (mode == 1 and m[RANK + r, R_OPEN] == 0):
        return NOTHING, NEVER, NO_COMMAND, 0
    elif mode == 1 or target == ALL_BANKS:  # close all, for refresh or for PIM mode
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
    return ((at - now) << KEY_BITS) + key, at, command, place


@native(inline=True)
def opens_at_once(m: IntArray, place: int, now: int, then: int) -> bool:
    """Whether after an ACT-1 now nothing but its ACT-2 can go at ``then``: no column command, no other rank's ACT-2."""
    ranks = m[GIVEN, P_RANKS]
    r = place >> BANK_BITS
    after = now + max(m[LATENCY + AT_BANK + ACT1, ACT2], m[LATENCY + AT_RANK + ACT1, ACT2])
    if max(m[place, ACT2], m[RANK + r, ACT2], after) > then or then > now + m[GIVEN, P_NAAD]:
        return False
    for k in range(ranks):
        if k != r and (m[RANK + k, R_OPENING] >= 0):
            return False
        if m[RANK + k, R_SOONEST] <= then:
            at, key = m[NEXT + k, N_AT : N_AT + BANKS], m[NEXT + k, N_KEY : N_KEY + BANKS]
            if ((at <= then) & (key < ACT2_NEXT)).any():
                return False
    return True


@native(inline=True)
def pick_plain(m: IntArray) -> tuple[int, int, int, int, int]:
    """Find the next plain command: earliest first, then by urgency, then by age (FR-FCFS).

    Returns:
        CK, command, bank (or rank for rank commands), queue slot, score; the CK is NEVER if there is none.
    """
    now = m[STATE, S_NOW]
    best = NOTHING
    at = NEVER
    command = NO_COMMAND
    place = 0
    of_bank = NOTHING
    for r in range(m[GIVEN, P_RANKS]):
        mode = m[RANK + r, R_MODE]
        if m[RANK + r, R_DEBT] > 0 and m[RANK + r, R_TARGET] < 0 and mode == 0:
            plan_refresh(m, r)
        score, its_at, its_command, its_place = _rank_command(m, r, now)
        if score < best:
            best = score
            at = its_at
            command = its_command
            place = its_place
        if mode != 0 or m[RANK + r, R_TARGET] == ALL_BANKS:
            continue
        wck = m[RANK + r, R_WCK] if m[GIVEN, P_WCK_ALWAYS] == 0 else NEVER
        stops = m[RANK + r, R_WROTE] != 0 or max(m[RANK + r, R_LATEST_COLUMN], now) > wck
        if m[RANK + r, R_COLUMNS] > 0 and (stops or m[STATE, S_COLUMNS_HELD] != 0):
            score = _best_with_cas(m, r, now, wck)
        elif m[RANK + r, R_SOONEST] - now > min(best, of_bank) >> KEY_BITS:
            continue
        else:
            score = _best_bank(m, r, now)
            if m[RANK + r, R_OPENING] >= 0 and m[NEXT + r, N_CLASS + (score & (BANKS - 1))] == ACT1:
                score = _best_with_cas(m, r, now, wck)  # another row may be opened behind ACT-2 only
        of_bank = min(of_bank, score)
    if best < of_bank:
        return at, command, place, -1, best
    if of_bank == NOTHING:
        return NEVER, NO_COMMAND, 0, -1, NOTHING
    place = of_bank & ((1 << PLACE_BITS) - 1)
    at = now + (of_bank >> KEY_BITS)
    r, b = place >> BANK_BITS, place & (BANKS - 1)
    command = m[NEXT + r, N_CLASS + b]
    if (command in (RD, WR)) and of_bank & URGENCY != COLUMN_FIRST:
        command = CAS
    return at, command, place, m[NEXT + r, N_SLOT + b], of_bank
