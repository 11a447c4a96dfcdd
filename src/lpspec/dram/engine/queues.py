"""Requests and their banks: admitted in order, found oldest first, retired when served."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native(inline=True)
def look_over(m: IntArray, place: int, way: int) -> None:
    """Find a bank's oldest request and oldest hit that may go."""
    row = m[place, B_ROW]
    hit = -1
    first = -1
    slot = m[place, B_HEAD + way]
    while slot >= 0:
        if m[SLOT + slot, Q_AFTER] < 0:
            if first < 0:
                first = slot
            if m[SLOT + slot, Q_ROW] == row:
                hit = slot
                break
            if row < 0:
                break
        slot = m[SLOT + slot, Q_NEXT]
    m[place, B_HIT + way] = hit
    m[place, B_FIRST + way] = first


@native(inline=True)
def note_need(m: IntArray, place: int) -> None:
    """Note what a bank needs next for the requests of the active direction; nothing while it is held for refresh."""
    r = place >> BANK_BITS
    b = place & (BANKS - 1)
    way = m[STATE, S_WRITING]
    row = m[place, B_ROW]
    command = NO_COMMAND
    key = NOTHING
    slot = -1
    at = 0
    if (place & (PAIRS - 1)) != m[RANK + r, R_TARGET] and m[RANK + r, R_OPENING] != place:
        overdue = m[STATE, S_OVERDUE]
        if overdue >= 0 and m[SLOT + overdue, Q_BANK] == place and m[place, B_OWED] < 0:
            slot = overdue
            key = OVERDUE_ROW
            command = ACT1 if row < 0 else PRE
            if m[SLOT + slot, Q_ROW] == row:
                key = COLUMN_FIRST
                command = RD + way
        elif m[place, B_HIT + way] >= 0:
            slot = m[place, B_HIT + way]
            key = COLUMN_FIRST
            command = RD + way
        elif m[place, B_OWED] >= 0:  # whichever direction is active
            slot = m[place, B_OWED]
            key = COLUMN_FIRST
            command = RD + 1 - way
        elif m[place, B_FIRST + way] >= 0:
            slot = m[place, B_FIRST + way]
            command = ACT1 if row < 0 else PRE
            key = ROW_NEXT
        elif m[GIVEN, P_TIMEOUT] > 0 and row >= 0 and m[place, B_QUEUED] == 0:
            command = PRE
            key = CLOSE_IDLE
            at = m[place, B_USED] + m[GIVEN, P_TIMEOUT]
    is_column = command in (RD, WR)
    if command != NO_COMMAND:
        key += place
        if slot >= 0:
            key += m[SLOT + slot, Q_AGE] << PLACE_BITS
        at = max(at, m[place, command], m[GROUP + (place >> GROUP_BITS), command], m[RANK + r, command])
    m[NEXT + r, N_AT + b] = at
    m[NEXT + r, N_COLUMN + b] = key if is_column else NOTHING
    m[NEXT + r, N_ROW + b] = NOTHING if is_column else key
    m[NEXT + r, N_CLASS + b] = command
    m[place, B_FOR] = slot


@native()
def note_needs(m: IntArray) -> None:
    """Note what every bank needs next, after the direction or the numbers of requests have changed."""
    for place in range(m[GIVEN, P_RANKS] * BANKS):
        note_need(m, place)


@native(inline=True)
def find_hits(m: IntArray, place: int) -> None:
    """Look over a bank whose row was opened; without requests there is nothing to find."""
    for way in range(2):
        if m[place, B_HEAD + way] >= 0:
            look_over(m, place, way)


@native(inline=True)
def next_to_come(m: IntArray, requests: IntArray) -> int:
    """CK at which the next request comes, if its queue has room; else NEVER."""
    i = m[STATE, S_NEXT]
    if i < requests.shape[0] and m[STATE, S_QUEUED + requests[i, 1]] < QUEUE:
        return int(requests[i, 0] + m[STATE, S_SHIFT])
    return NEVER


@native(inline=True)
def admit(m: IntArray, requests: IntArray) -> None:
    """Let requests into the queues, in order, as long as they have come and their queue has room."""
    while next_to_come(m, requests) <= m[STATE, S_NOW]:
        i = m[STATE, S_NEXT]
        way = requests[i, 1]
        place = requests[i, 2]
        row = requests[i, 3]
        column = requests[i, 4]
        slot = m[FREE + way, QUEUE - 1 - m[STATE, S_QUEUED + way]]
        m[STATE, S_QUEUED + way] += 1
        # A read waits for an older write to its address, a write for an older read: the youngest of them.
        after = -1
        other = m[place, B_HEAD + 1 - way]
        while other >= 0:
            if m[SLOT + other, Q_ROW] == row and m[SLOT + other, Q_COLUMN] == column:
                after = other
            other = m[SLOT + other, Q_NEXT]
        m[SLOT + slot, Q_ROW] = row
        m[SLOT + slot, Q_COLUMN] = column
        m[SLOT + slot, Q_BANK] = place
        m[SLOT + slot, Q_AGE] = i
        m[SLOT + slot, Q_AFTER] = after
        m[SLOT + slot, Q_NEXT] = -1
        m[SLOT + slot, Q_KIND] = HIT
        m[SLOT + slot, Q_SINCE] = m[STATE, S_NOW]
        m[STATE, S_LOOK_AT] = min(m[STATE, S_LOOK_AT], m[STATE, S_NOW] + m[GIVEN, P_LONGEST])
        if after < 0:
            m[STATE, S_FREE + way] += 1
            m[RANK + (place >> BANK_BITS), R_FREE + way] += 1
        elif way == 0:
            if m[STATE, S_BLOCKED_READS] == 0:
                m[STATE, S_BLOCKED_SINCE] = m[STATE, S_NOW]
            m[STATE, S_BLOCKED_READS] += 1
        tail = m[place, B_TAIL + way]
        if tail < 0:
            m[place, B_HEAD + way] = slot
        else:
            m[SLOT + tail, Q_NEXT] = slot
        m[place, B_TAIL + way] = slot
        m[RANK + (place >> BANK_BITS), R_QUEUED] += 1
        m[place, B_QUEUED] += 1
        if after < 0:
            is_first = m[place, B_FIRST + way] < 0
            hits = m[place, B_HIT + way] < 0 and m[place, B_ROW] == row
            if is_first:
                m[place, B_FIRST + way] = slot
            if hits:
                m[place, B_HIT + way] = slot
            if (is_first or hits) and way == m[STATE, S_WRITING]:
                note_need(m, place)
        m[STATE, S_NEXT] = i + 1


@native(inline=True)
def retire(
    m: IntArray,
    slot: int,
    way: int,
) -> None:
    """Take a served request out of its queue, and let go those that waited for it; what its bank needs next is for the
    caller to note.
    """
    place = m[SLOT + slot, Q_BANK]
    before = -1
    at = m[place, B_HEAD + way]
    while at != slot:
        before = at
        at = m[SLOT + at, Q_NEXT]
    follower = m[SLOT + slot, Q_NEXT]
    if before < 0:
        m[place, B_HEAD + way] = follower
    else:
        m[SLOT + before, Q_NEXT] = follower
    if follower < 0:
        m[place, B_TAIL + way] = before
    m[STATE, S_QUEUED + way] -= 1
    m[STATE, S_FREE + way] -= 1
    m[FREE + way, QUEUE - 1 - m[STATE, S_QUEUED + way]] = slot
    r = place >> BANK_BITS
    m[RANK + r, R_QUEUED] -= 1
    m[RANK + r, R_FREE + way] -= 1
    m[place, B_QUEUED] -= 1
    if m[place, B_OWED] == slot:
        m[place, B_OWED] = -1
    if m[STATE, S_OVERDUE] == slot:
        m[STATE, S_OVERDUE] = -1
    m[SLOT + slot, Q_BANK] = -1
    look_over(m, place, way)
    other = m[place, B_HEAD + 1 - way]
    freed = False
    while other >= 0:
        if m[SLOT + other, Q_AFTER] == slot:
            m[SLOT + other, Q_AFTER] = -1
            m[STATE, S_FREE + 1 - way] += 1
            m[RANK + r, R_FREE + 1 - way] += 1
            freed = True
            if way == 1:
                m[STATE, S_BLOCKED_READS] -= 1
                m[STATE, S_BLOCKED_SINCE] = m[STATE, S_NOW]
        other = m[SLOT + other, Q_NEXT]
    if freed:
        look_over(m, place, 1 - way)


@native(inline=True)
def can_serve(m: IntArray, way: int) -> bool:
    """Whether a request of this kind may go: it waits for no other, nor for its rank to leave PIM mode."""
    if m[STATE, S_FREE + way] == 0:
        return False
    if m[STATE, S_PIM_RANKS] == 0:
        return True
    waiting = 0
    for r in range(m[GIVEN, P_RANKS]):
        waiting += m[RANK + r, R_FREE + way] if m[RANK + r, R_MODE] == 0 else 0
    return bool(waiting > 0)


@native()
def _find_overdue(m: IntArray) -> None:
    """Find the oldest request that has waited too long and may go, and when to look again."""
    now = m[STATE, S_NOW]
    oldest = NOTHING
    look_at = NEVER
    for slot in range(2 * QUEUE):
        place = m[SLOT + slot, Q_BANK]
        if place < 0 or m[RANK + (place >> BANK_BITS), R_MODE] != 0:
            continue
        due = m[SLOT + slot, Q_SINCE] + m[GIVEN, P_LONGEST]
        if due > now:
            look_at = min(look_at, due)
        elif m[SLOT + slot, Q_AFTER] >= 0:
            look_at = now + 1
        elif m[SLOT + slot, Q_AGE] < oldest:
            oldest = m[SLOT + slot, Q_AGE]
            m[STATE, S_OVERDUE] = slot
    m[STATE, S_LOOK_AT] = look_at


@native(inline=True)
def choose_way(m: IntArray) -> None:
    """Decide between serving reads and draining writes, by watermarks, and so that nobody waits for ever."""
    writing = m[STATE, S_WRITING]
    before = m[STATE, S_OVERDUE]
    if writing + m[STATE, S_QUEUED_W] == 0 and before < 0 and m[STATE, S_NOW] < m[STATE, S_LOOK_AT]:
        return  # there are reads alone
    if before < 0 and m[STATE, S_NOW] >= m[STATE, S_LOOK_AT]:
        _find_overdue(m)
    elif before >= 0 and m[RANK + (m[SLOT + before, Q_BANK] >> BANK_BITS), R_MODE] != 0:
        m[STATE, S_OVERDUE] = -1  # its rank went to PIM mode meanwhile
    overdue = m[STATE, S_OVERDUE]
    reads = 1 if can_serve(m, 0) else 0
    writes = 1 if can_serve(m, 1) else 0
    late = m[STATE, S_BLOCKED_READS] > 0 and m[STATE, S_NOW] - m[STATE, S_BLOCKED_SINCE] >= m[GIVEN, P_PATIENCE]
    if overdue >= 0:
        m[STATE, S_WRITING] = 1 if overdue >= QUEUE else 0
    elif writing == 0:
        if writes > 0 and (reads == 0 or late or m[STATE, S_QUEUED_W] >= m[GIVEN, P_DRAIN_HIGH]):
            m[STATE, S_WRITING] = 1
    elif writes == 0 or (reads > 0 and not late and m[STATE, S_QUEUED_W] <= m[GIVEN, P_DRAIN_LOW]):
        m[STATE, S_WRITING] = 0
    if m[STATE, S_WRITING] != writing:
        note_needs(m)
    elif overdue >= 0 and before < 0:
        note_need(m, m[SLOT + overdue, Q_BANK])
