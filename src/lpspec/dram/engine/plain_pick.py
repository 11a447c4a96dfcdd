"""The next plain command: earliest first, then by urgency, then by age (FR-FCFS)."""

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine.refresh import plan_refresh
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native()
def _column_by_gaps(m: IntArray, r: int, now: int) -> int:
    """The lowest score over column commands of BL48: in the gap of the last burst, or behind it."""
    wait = np.maximum(m[NEXT + r, N_AT : N_AT + BANKS], now) - now << KEY_BITS
    gap, behind = m[RANK + r, R_GAP] - now << KEY_BITS, m[RANK + r, R_AFTER] - now << KEY_BITS
    wait = np.where(wait == gap, wait, np.maximum(wait, behind))
    return int((wait + m[NEXT + r, N_COLUMN : N_COLUMN + BANKS]).min())


@native(inline=True)
def _best_bank(m: IntArray, r: int, now: int) -> tuple[int, int]:
    """The lowest score over the banks of a rank, and over its column commands without CAS; few branches, so it is fast.

    A column command needs WCK. Where that stops before, or runs for a write, a CAS goes early enough, in a free slot.
    """
    wait = np.maximum(m[NEXT + r, N_AT : N_AT + BANKS], now) - now << KEY_BITS
    rows = wait + m[NEXT + r, N_ROW : N_ROW + BANKS]
    column = int((wait + m[NEXT + r, N_COLUMN : N_COLUMN + BANKS]).min())
    if m[GIVEN, P_GAP] != 0:
        column = _column_by_gaps(m, r, now)
    if m[RANK + r, R_OPENING] >= 0:  # no other ACT-1 before its ACT-2
        rows = np.where(m[NEXT + r, N_CLASS : N_CLASS + BANKS] == ACT1, NOTHING, rows)
    after = column >> KEY_BITS
    wck = m[RANK + r, R_WCK]
    stopped = now + after > wck
    if m[RANK + r, R_WROTE] != 0:
        stopped = stopped | (m[NEXT + r, N_CLASS + (column & (BANKS - 1))] == RD)
    early = max(wck - now + 1, after - CAS_LEAD, 0)
    urgency = CAS_NOW if early >= after - m[GIVEN, P_STEP] else CAS_EARLY
    cas = (early << KEY_BITS) + urgency + (column & (ACT2_NEXT - 1))
    first = cas if stopped else column
    goes = (column < NOTHING) & (m[STATE, S_COLUMNS_HELD] == 0)
    return min(int(rows.min()), first if goes else NOTHING), column


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
    r = place >> BANK_BITS
    after = now + max(m[LATENCY + AT_BANK + ACT1, ACT2], m[LATENCY + AT_RANK + ACT1, ACT2])
    at = max(m[place, ACT2], m[RANK + r, ACT2], after)
    return bool(at <= then <= now + m[GIVEN, P_NAAD] and m[STATE, S_COLUMN_AT] > then)


@native(inline=True)
def column_is_next(m: IntArray, at: int) -> bool:
    """Whether the first column command of the last choice goes at this CK, as nothing but a row was closed or opened.

    It was alone with those of the same CK, and the oldest of them, in a rank whose WCK runs; no rank waits for ACT-2,
    and the direction is not looked at before.
    """
    place = m[STATE, S_COLUMN]
    r, b = place >> BANK_BITS, place & (BANKS - 1)
    if m[STATE, S_COLUMN_AT] != at or m[NEXT + r, N_AT + b] != at:
        return False
    if m[STATE, S_BLOCKED_READS] > 0 or m[STATE, S_LOOK_AT] <= at:
        return False
    if m[RANK + r, R_WROTE] != 0 and m[NEXT + r, N_CLASS + b] == RD:
        return False
    return bool(at <= m[RANK + r, R_WCK])


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
    column = NOTHING
    opens = False
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
        if m[RANK + r, R_OPENING] >= 0:  # its ACT-2 goes before any column command
            opens = True
        if mode != 0 or m[RANK + r, R_TARGET] == ALL_BANKS:
            continue
        if m[RANK + r, R_QUEUED] == 0 and m[GIVEN, P_TIMEOUT] == 0:  # its banks need nothing
            continue
        score, its_column = _best_bank(m, r, now)
        of_bank = min(of_bank, score)
        column = min(column, its_column)
    m[STATE, S_COLUMN] = column & ((1 << PLACE_BITS) - 1)
    m[STATE, S_COLUMN_AT] = now if opens else now + (column >> KEY_BITS)
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
    return at, command, place, m[place, B_FOR], of_bank
