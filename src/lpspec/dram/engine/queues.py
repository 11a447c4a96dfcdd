"""Requests and their banks: admitted in order, found oldest first, retired when served."""

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.engine.state import *


@cached_njit(allocates=False)
def look_over(m: IntArray, place: int, way: int) -> None:
    """Find a bank's oldest request and oldest hit that may go, and keep the list of banks with work."""
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
    wanted = -1
    lists = ACTIVE + 6 * (place >> BANK_BITS) + 3 * way
    if hit >= 0:
        wanted = lists + COLUMNS
        m[place, B_AGE + way] = m[SLOT + hit, Q_AGE]
    elif first >= 0:
        wanted = lists + (OPENS if row < 0 else CLOSES)
        m[place, B_AGE + way] = m[SLOT + first, Q_AGE]
    current = m[place, B_LIST + way]
    if wanted == current:
        return
    m[place, B_LIST + way] = wanted
    if current >= 0:
        n = m[current, LENGTH] - 1
        at = m[place, B_PLACE + way]
        last = m[current, n]
        m[current, at] = last
        m[last, B_PLACE + way] = at
        m[current, LENGTH] = n
    if wanted >= 0:
        n = m[wanted, LENGTH]
        m[wanted, n] = place
        m[place, B_PLACE + way] = n
        m[wanted, LENGTH] = n + 1


@cached_njit(allocates=False)
def look_over_both(m: IntArray, place: int) -> None:
    """Look over a bank whose row has changed; without requests there is nothing to find."""
    for way in range(2):
        if m[place, B_HEAD + way] >= 0:
            look_over(m, place, way)


@cached_njit(allocates=False)
def admit(
    m: IntArray,
    requests: IntArray,
) -> bool:
    """Let requests into the queues, in order, as long as they have come and their queue has room."""
    admitted = False
    while m[STATE, S_NEXT] < requests.shape[0]:
        i = m[STATE, S_NEXT]
        way = requests[i, 1]
        if requests[i, 0] > m[STATE, S_NOW] or m[STATE, S_QUEUED + way] == QUEUE:
            break
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
        if after < 0:
            m[STATE, S_FREE + way] += 1
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
        if after < 0 and (tail < 0 or m[place, B_HIT + way] < 0):
            look_over(m, place, way)
        m[STATE, S_NEXT] = i + 1
        admitted = True
    return admitted


@cached_njit(allocates=False)
def retire(
    m: IntArray,
    slot: int,
    way: int,
) -> None:
    """Take a served request out of its queue, and let go those that waited for it."""
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
    m[RANK + (place >> BANK_BITS), R_QUEUED] -= 1
    look_over(m, place, way)
    other = m[place, B_HEAD + 1 - way]
    freed = False
    while other >= 0:
        if m[SLOT + other, Q_AFTER] == slot:
            m[SLOT + other, Q_AFTER] = -1
            m[STATE, S_FREE + 1 - way] += 1
            freed = True
            if way == 1:
                m[STATE, S_BLOCKED_READS] -= 1
                m[STATE, S_BLOCKED_SINCE] = m[STATE, S_NOW]
        other = m[SLOT + other, Q_NEXT]
    if freed:
        look_over(m, place, 1 - way)


@cached_njit(allocates=False)
def can_serve(m: IntArray, way: int) -> bool:
    """Whether a request of this kind may go: it waits for no other, nor for its rank to leave PIM mode."""
    if m[STATE, S_FREE + way] == 0:
        return False
    if m[STATE, S_PIM_RANKS] == 0:
        return True
    for r in range(m[GIVEN, P_RANKS]):
        if m[RANK + r, R_MODE] == 0:
            for kind in range(3):
                if m[ACTIVE + 6 * r + 3 * way + kind, LENGTH] > 0:
                    return True
    return False


@cached_njit(allocates=False)
def choose_way(m: IntArray) -> None:
    """Decide between serving reads and draining writes, by watermarks, and so that nobody waits for ever."""
    reads = 1 if can_serve(m, 0) else 0
    writes = 1 if can_serve(m, 1) else 0
    overdue = m[STATE, S_BLOCKED_READS] > 0 and m[STATE, S_NOW] - m[STATE, S_BLOCKED_SINCE] >= m[GIVEN, P_PATIENCE]
    if m[STATE, S_WRITING] == 0:
        if writes > 0 and (reads == 0 or overdue or m[STATE, S_QUEUED_W] >= m[GIVEN, P_DRAIN_HIGH]):
            m[STATE, S_WRITING] = 1
    elif writes == 0 or (reads > 0 and not overdue and m[STATE, S_QUEUED_W] <= m[GIVEN, P_DRAIN_LOW]):
        m[STATE, S_WRITING] = 0
