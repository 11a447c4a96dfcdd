"""Plain commands issued: what each opens or closes, what it makes wait, and whom it serves."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.effects import (
    keep_wck,
    note_gap,
    row_closed,
    row_opened,
    wait_of_activation,
    wait_of_bank,
    wait_of_rank,
    word,
    write_down,
)
from lpspec.dram.engine.queues import find_hits, note_need, retire
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native(inline=True)
def issue_plain(m: IntArray, served_at: IntArray, log: IntArray, command: int, place: int, slot: int) -> None:
    """Issue one plain command now; ``place`` is a bank of the channel, for PREAB and REFAB a rank."""
    now = m[STATE, S_NOW]
    if command in (PREAB, REFAB):
        _close_or_refresh_all(m, log, command, place)
        return
    if command == REFPB:
        _refresh_pair(m, log, place)
        return
    r = place >> BANK_BITS
    if command == CAS:
        start_wck(m, log, r)
        return
    code = command
    what = 0
    if command in (RD, WR):
        row = m[SLOT + slot, Q_ROW]
        what = word(row, m[SLOT + slot, Q_COLUMN])
        code = _serve(m, served_at, command, place, slot)
        if code != command:  # the row closes by itself
            m[place, B_ROW] = -1
            row_closed(m, r, 1, now)
    elif command == ACT1:  # the bank is told half of the row; no other ACT-1 of its rank until ACT-2 has named the rest
        row = m[SLOT + slot, Q_ROW]
        what = word(row, -1)
        m[place, B_OPENING] = row
        m[place, B_OWED] = slot
        m[RANK + r, R_OPENING] = place
        m[RANK + r, R_ACT1_AT] = now
        if m[SLOT + slot, Q_KIND] == HIT:
            m[SLOT + slot, Q_KIND] = MISS
    elif command == ACT2:  # the row is sensed from here on; nRCD, nRAS and nRC count from it
        if now > m[RANK + r, R_ACT1_AT] + m[GIVEN, P_NAAD]:
            m[STATE, S_ERROR] = E_ACT2_LATE
        row = m[place, B_OPENING]
        what = word(row, -1)
        m[place, B_ROW] = row
        m[RANK + r, R_OPENING] = -1
        row_opened(m, r, now)
    else:  # PRE: the bit lines of the bank go back to half level for nRPpb
        m[place, B_ROW] = -1
        if slot >= 0:
            m[SLOT + slot, Q_KIND] = CONFLICT
        row_closed(m, r, 1, now)
    write_down(m, log, now, code, r, 1, place, what)
    wait_of_bank(m, code, place, now)
    if code in (ACT1, ACT2):
        wait_of_activation(m, code, r, now)
    else:
        wait_of_rank(m, code, r, 1 << r, now)
    if code == ACT2:
        find_hits(m, place)
    elif code > WR:  # PRE, RDA, WRA
        m[place, B_HIT] = m[place, B_HIT + 1] = m[place, B_OWED] = -1
    m[place, B_USED] = now
    note_need(m, place)


@native(inline=True)
def open_row(m: IntArray, log: IntArray, place: int, slot: int) -> None:
    """ACT-1 now and ACT-2 in the next slot, where nothing can go between them: the rank is between the two no more."""
    now, r = m[STATE, S_NOW], place >> BANK_BITS
    then = now + m[GIVEN, P_STEP]
    row = m[SLOT + slot, Q_ROW]
    m[place, B_ROW] = row
    m[place, B_OWED] = slot
    if m[SLOT + slot, Q_KIND] == HIT:
        m[SLOT + slot, Q_KIND] = MISS
    row_opened(m, r, then)
    write_down(m, log, now, ACT1, r, 1, place, word(row, -1))
    write_down(m, log, then, ACT2, r, 1, place, word(row, -1))
    wait_of_bank(m, BOTH, place, now)
    wait_of_activation(m, BOTH, r, now)
    find_hits(m, place)
    m[place, B_USED] = then
    note_need(m, place)


@native(inline=True)
def _serve(m: IntArray, served_at: IntArray, command: int, place: int, slot: int) -> int:
    """RD or WR on the open row, with auto-precharge if no queued request wants the row and one wants another row.

    A row that PRE would close anyway then closes as soon as it may, and its PRE takes no slot from other commands.
    Under a closed page every row that no queued request wants closes so.
    """
    way = command - RD
    r = place >> BANK_BITS
    age = m[SLOT + slot, Q_AGE]
    m[STATE, S_HITS + m[SLOT + slot, Q_KIND]] += 1
    retire(m, slot, way)
    code = command
    if m[place, B_HIT] < 0 and m[place, B_HIT + 1] < 0:
        other = m[place, B_FIRST + way] if m[place, B_FIRST + way] >= 0 else m[place, B_FIRST + 1 - way]
        if m[GIVEN, P_PAGE_CLOSED] != 0:
            code = command + RDA - RD
        elif other >= 0:
            m[SLOT + other, Q_KIND] = CONFLICT
            code = command + RDA - RD
    end = m[STATE, S_NOW] + m[GIVEN, P_NCL + way] + m[GIVEN, P_NBL]
    if m[GIVEN, P_GAP] != 0:
        note_gap(m, r)
    keep_wck(m, r, end + m[GIVEN, P_WCKPST], way)
    m[STATE, S_END] = max(m[STATE, S_END], end)
    served_at[age] = end
    m[STATE, S_SERVED] += 1
    m[STATE, S_DQ_BURSTS] += 1
    return code


@native()
def _close_or_refresh_all(m: IntArray, log: IntArray, command: int, r: int) -> None:
    """PREAB closes every bank of a rank; REFAB refreshes all of them, which are closed."""
    now = m[STATE, S_NOW]
    write_down(m, log, now, command, r, 1, -1, 0)
    wait_of_rank(m, command, r, 1 << r, now)
    if command == PREAB:
        for b in range(r * BANKS, (r + 1) * BANKS):
            if m[b, B_ROW] >= 0:
                m[b, B_ROW] = m[b, B_HIT] = m[b, B_HIT + 1] = m[b, B_OWED] = -1
                note_need(m, b)
        row_closed(m, r, m[RANK + r, R_OPEN], now)
    else:
        m[RANK + r, R_DEBT] -= 1
        m[RANK + r, R_TARGET] = -1
        for b in range(r * BANKS, (r + 1) * BANKS):
            m[b, B_REFRESHES] += 1


@native()
def _refresh_pair(m: IntArray, log: IntArray, place: int) -> None:
    """REFPB: a bank of the lower half and its twin of the upper are refreshed; the other banks of the rank go on."""
    now, r = m[STATE, S_NOW], place >> BANK_BITS
    write_down(m, log, now, REFPB, r, 1, place, 0)
    wait_of_rank(m, REFPB, r, 1 << r, now)
    m[RANK + r, R_DEBT] -= 1
    m[RANK + r, R_TARGET] = -1
    for b in range(place, place + BANKS, PAIRS):
        wait_of_bank(m, REFPB, b, now)
        m[b, B_REFRESHES] += 1
        note_need(m, b)
    m[RANK + r, R_ROUND] |= 1 << (place & (PAIRS - 1))
    if m[RANK + r, R_ROUND] == (1 << PAIRS) - 1:
        m[RANK + r, R_ROUND] = 0


@native()
def start_wck(m: IntArray, log: IntArray, r: int) -> None:
    """CAS: the data clock of a rank starts, and stops again nWCKIDLE later if no access follows."""
    now = m[STATE, S_NOW]
    write_down(m, log, now, CAS, r, 1, -1, 0)
    m[RANK + r, R_WCK] = now + m[GIVEN, P_WCKIDLE]
    m[RANK + r, R_CAS] = 1
    m[RANK + r, R_WROTE] = 0
