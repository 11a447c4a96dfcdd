"""The fast engine of a channel, compiled: what was seen once, relative to now, is not run again.

The exact engine stops every few MACs or reads, a window; where nothing is read beside them, every row of MACs. The
state there, written as a key that knows no absolute time, row or place in a stream, says all that follows but for the
clock. So a window that is known from the same key is taken in one go, a jump, if refreshes come due in it as they did
before, and if every look at what ranks owe would find the same. Everything else the exact engine runs, and what it does
is learnt: results are equal by construction. The program is part of the key, as a number: what was learnt in one holds
in no other, but for one whose rows begin elsewhere.

A key counts times from now, rows of the stream's banks from the row that the stream reads or read there last, and
requests from the next one. Rounds left of loops, requests left and the way to the stream's next row count as many when
no window can see their end.
"""

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit
from lpspec.dram import kernels as k

IntArray = NDArray[np.int64]
Keys = NDArray[np.int32]

MACS, READS = 16, 32  # of a window, at most
MACS_ALONE = 64  # without reads beside them: a row
MANY_ROUNDS = 3  # a unit ends fewer rounds in a window that is kept
MANY_READS = 36  # a window that is kept admits fewer
CHUNK = 256  # requests that the exact engine sees at a time, or more if an old one waits long
BEHIND = 128  # of them, those before the next one, where a key tells
LONGEST = 1 << 12  # CK of a window that is kept
HASH_FACTOR, HASH_BITS = 2654435, (1 << 40) - 1  # their product fits into 64 bits

# What is run: a stream of reads beside a program.
# fmt: off
(
    F_RANK, F_TOTAL, F_ROW, F_AT, F_GROUPS, F_COLUMNS, F_BANKS, F_PIM_ROW, F_PROGRAM, F_BASE,
    F_JUMPED, F_JUMPS,
) = range(12)
# fmt: on
RUN_FIELDS = 12

# A key.
K_MODE, K_PROGRAM, K_LEFT, K_REST, K_CROSSING, K_GROUP, K_STREAM = 0, 8, 9, 25, 26, 27, 28
K_DECIDED, K_WAITS, K_ORDER, K_ROWS, K_DEBT, K_FAW = 29, 33, 34, 42, 58, 66
K_ACT1_AT, K_OPENING, K_OPENING_ROW, K_GROUPS, K_BANKS, K_QUEUE, K_MACS, K_CELLS = 74, 75, 76, 77, 89, 169, 201, 217
CLOSED = -(1 << 29)
FAR = 1 << 28
DECIDED_AT = 2 * k.DECISIONS  # number of refresh points decided, in a state made from a key

# A node: a look at what ranks owe, or a window.
N_IS_WINDOW, N_CK, N_TO, N_LAST, N_END, N_NEXT, N_COMMANDS, N_MASK, N_COUNTS, N_KEPT = range(10)
N_LEFT, N_MACS, N_PAID, N_GROWN = 10, 26, 42, 50

# Where jumps have led since the channel was last set.
T_NOW, T_NEXT, T_LAST, T_END, T_LEFT, T_MACS, T_PAID, T_GROWN = 0, 1, 2, 3, 4, 20, 36, 44

# How much of a memory is in use.
M_KEYS, M_NODES = range(2)


# --- the stream ------------------------------------------------------------------------------------------------


@cached_njit()
def _request(given: IntArray, i: int) -> tuple[int, int, int]:
    """Bank of the channel, row and column of one request of the stream."""
    groups, columns, banks = given[F_GROUPS], given[F_COLUMNS], given[F_BANKS]
    row = i // (groups * columns)
    place = given[F_RANK] * k.BANKS + i % groups * banks + row % banks
    return place, given[F_ROW] + row // banks, i // groups % columns * 16


@cached_njit()
def _fill(given: IntArray, chunk: IntArray) -> int:
    """Write the requests from the base on; how many they are."""
    n = min(given[F_TOTAL] - given[F_BASE], chunk.shape[0])
    for i in range(n):
        place, row, column = _request(given, given[F_BASE] + i)
        chunk[i, 0] = given[F_AT]
        chunk[i, 1] = 0
        chunk[i, 2] = place
        chunk[i, 3] = row
        chunk[i, 4] = column
    return int(n)


@cached_njit()
def _oldest(m: IntArray, given: IntArray) -> int:
    """The oldest request in the queue, the next one if there is none; counted from the base."""
    oldest = m[k.STATE, k.S_NEXT]
    if given[F_RANK] >= 0:
        for place in range(given[F_RANK] * k.BANKS, (given[F_RANK] + 1) * k.BANKS):
            if m[place, k.B_HEAD] >= 0:
                oldest = min(oldest, m[k.SLOT + m[place, k.B_HEAD], k.Q_AGE])
    return int(oldest)


@cached_njit()
def _move_base(m: IntArray, given: IntArray) -> None:
    """Count requests from a later one, so that those to come lie in the chunk."""
    shift = _oldest(m, given)
    for place in range(given[F_RANK] * k.BANKS, (given[F_RANK] + 1) * k.BANKS):
        m[place, k.B_AGE] -= shift
        slot = m[place, k.B_HEAD]
        while slot >= 0:
            m[k.SLOT + slot, k.Q_AGE] -= shift
            slot = m[k.SLOT + slot, k.Q_NEXT]
    m[k.STATE, k.S_NEXT] -= shift
    m[k.STATE, k.S_SERVED] -= shift
    given[F_BASE] += shift


# --- the clock -------------------------------------------------------------------------------------------------


@cached_njit()
def _due(m: IntArray, r: int, ck: int) -> int:
    """All-bank refreshes of a rank that came due up to a CK."""
    if m[k.GIVEN, k.P_REFRESH] == k.REFRESH_NONE:
        return 0
    interval = m[k.GIVEN, k.P_NREFI]
    return int(max(0, (ck - r * interval // m[k.GIVEN, k.P_RANKS]) // interval))


@cached_njit()
def _due_at(m: IntArray, r: int, number: int) -> int:
    """CK at which a rank's refresh of that number (from 1) comes due."""
    if m[k.GIVEN, k.P_REFRESH] == k.REFRESH_NONE:
        return k.NEVER
    interval = m[k.GIVEN, k.P_NREFI]
    return int(number * interval + r * interval // m[k.GIVEN, k.P_RANKS])


@cached_njit()
def _next_due(m: IntArray, key: Keys, now: int) -> tuple[int, int, int]:
    """Which rank outside PIM mode is next due, when, and when the next after that of any of them is."""
    first = second = k.NEVER
    which = 0
    for r in range(m[k.GIVEN, k.P_RANKS]):
        if key[K_MODE + r] != 2:
            number = _due(m, r, now) + 1
            at = _due_at(m, r, number)
            again = _due_at(m, r, number + 1)
            if at < first:
                second = min(first, again)
                first = at
                which = r
            else:
                second = min(second, at)
    return which, first, second


# --- a state as a key, and back --------------------------------------------------------------------------------


@cached_njit()
def _row_base(m: IntArray, given: IntArray, loops: IntArray) -> int:
    """From where rows of PIM ranks count: how far the loops around the array unit have moved them."""
    row = given[F_PIM_ROW]
    walker = k.WALKER + k.U_ARRAY
    for depth in range(m[walker, k.W_DEPTH]):
        start = m[walker, k.W_START + depth]
        row += (loops[start, 2] - m[walker, k.W_LEFT + depth]) * loops[start, 1]
    return int(row)


@cached_njit()
def _shown(left: int, start: int, loops: IntArray) -> int:
    """Rounds left as keys have them; a loop whose rows don't go on alike is never like any other."""
    if loops[start, 0] == 0:
        return int(-1 - left)
    return int(min(left, MANY_ROUNDS))


@cached_njit()
def _crossing(given: IntArray, following: int, oldest: int) -> int:
    """Where the stream stands in its row: behind its start, before its end, or 0 in the middle."""
    length = given[F_GROUPS] * given[F_COLUMNS]
    at = following % length
    if length - at <= MANY_READS:
        return int(at - length)
    if at < following - oldest:
        return int(at + 1)
    return 0


@cached_njit()
def _is_comparable(m: IntArray, given: IntArray) -> bool:
    """Whether a key says all of this state."""
    state = m[k.STATE]
    if state[k.S_FIRST] < 0 or state[k.S_REF_STAGE] != 0 or state[k.S_WRITING] != 0 or state[k.S_QUEUED_W] != 0:
        return False
    if max(given[F_AT], state[k.S_PIM_FLOOR] - FAR) > state[k.S_NOW] or m[k.GIVEN, k.P_REFRESH] == k.REFRESH_PAIR:
        return False
    others = 0
    for r in range(m[k.GIVEN, k.P_RANKS]):
        if r != given[F_RANK] and m[k.RANK + r, k.R_OPENING] >= 0:
            others += 1
    return others == 0


@cached_njit()
def _macs_to_come(m: IntArray, i: int) -> int:
    """MACs (runs of them, by rank and parity) for which the unit of readbacks waits."""
    r = i // 2
    what = k.C_MAC + i % 2
    return int(m[k.SEEN + 9 * k.U_OUT + what, r] - m[k.DONE + what, r])


@cached_njit()
def _tidy(m: IntArray) -> None:
    """Set what no longer counts to one value, and reckon active time up to now."""
    now = m[k.STATE, k.S_NOW]
    if m[k.STATE, k.S_FINISHED] != 0:
        m[k.DECIDED : k.SAMPLED] = 0  # the program, wherever it ended
        m[k.STATE, k.S_REF_DECIDED] = 0
    for walker in range(k.WALKER, k.WALKER + 4):
        for depth in range(m[walker, k.W_DEPTH], k.MAX_DEPTH):
            m[walker, k.W_LEFT + depth] = 0
            m[walker, k.W_START + depth] = 0
    for r in range(m[k.GIVEN, k.P_RANKS]):
        if m[k.RANK + r, k.R_OPEN] > 0:
            m[k.RANK + r, k.R_ACTIVE] += now - m[k.RANK + r, k.R_SINCE]
        m[k.RANK + r, k.R_SINCE] = now


@cached_njit()
def _write_key(m: IntArray, given: IntArray, loops: IntArray, plan: IntArray, key: Keys) -> bool:
    """Write what counts of a state; False if a key can't say it."""
    if not _is_comparable(m, given):
        return False
    _tidy(m)
    key[:] = 0
    now = m[k.STATE, k.S_NOW]
    flat = m.reshape(-1)
    for i in range(plan.shape[0]):
        value = flat[plan[i, 0]] - flat[plan[i, 1]]
        key[K_CELLS + i] = max(plan[i, 2], min(plan[i, 3], value))
    base = _row_base(m, given, loops)
    for r in range(m[k.GIVEN, k.P_RANKS]):
        rank = k.RANK + r
        key[K_MODE + r] = m[rank, k.R_MODE]
        key[K_DEBT + r] = 0 if m[rank, k.R_MODE] == 2 else m[rank, k.R_DEBT]
        key[K_ORDER + r] = 1 if m[rank, k.R_COLUMN + 1] < m[rank, k.R_COLUMN] else 0
        for parity in range(2):
            row = m[rank, k.R_PIM_ROW + parity]
            key[K_ROWS + 2 * r + parity] = CLOSED if row < 0 else row - base
    key[K_PROGRAM] = -1 if m[k.STATE, k.S_FINISHED] != 0 else given[F_PROGRAM]
    for i in range(16):
        key[K_MACS + i] = min(_macs_to_come(m, i), MANY_ROUNDS)
    for u in range(4):
        for depth in range(m[k.WALKER + u, k.W_DEPTH]):
            start = m[k.WALKER + u, k.W_START + depth]
            key[K_LEFT + 4 * u + depth] = _shown(m[k.WALKER + u, k.W_LEFT + depth], start, loops)
    decided = m[k.STATE, k.S_REF_DECIDED]
    first = decided
    for u in range(4):
        first = min(first, m[k.WALKER + u, k.W_POINTS])
    key[K_DECIDED] = decided - first
    for point in range(first, decided):
        place = point - first
        key[K_DECIDED + 1 + place // 24] |= m[k.DECIDED, point % k.DECISIONS] << place % 24
    waits = m[k.STATE, k.S_DQ_WAITS]
    if waits >= 0:
        key[K_WAITS] = 1
        if m[k.GIVEN, k.P_POLICY] == k.NPU_FIRST:
            key[K_WAITS] = 1 + min(now - waits, m[k.GIVEN, k.P_WAIT], FAR)
    return given[F_RANK] < 0 or _write_stream(m, given, key)


@cached_njit()
def _write_stream(m: IntArray, given: IntArray, key: Keys) -> bool:
    """Write what counts of the stream, its queue and its banks."""
    now = m[k.STATE, k.S_NOW]
    rank = k.RANK + given[F_RANK]
    following = given[F_BASE] + m[k.STATE, k.S_NEXT]
    queued = m[k.STATE, k.S_QUEUED]
    queue = key[K_QUEUE : K_QUEUE + k.QUEUE]
    n = 0
    for place in range(given[F_RANK] * k.BANKS, (given[F_RANK] + 1) * k.BANKS):
        slot = m[place, k.B_HEAD]
        while slot >= 0:
            word = (m[k.STATE, k.S_NEXT] - m[k.SLOT + slot, k.Q_AGE]) * 4 + m[k.SLOT + slot, k.Q_KIND]
            at = n  # oldest first
            while at > 0 and queue[at - 1] < word:
                queue[at] = queue[at - 1]
                at -= 1
            queue[at] = word
            n += 1
            slot = m[k.SLOT + slot, k.Q_NEXT]
    oldest = following - queue[0] // 4
    if n != queued or following - oldest > BEHIND:
        return False
    key[K_STREAM] = given[F_RANK] + 1
    key[K_REST] = min(given[F_TOTAL] - following, MANY_READS)
    key[K_CROSSING] = _crossing(given, following, oldest)
    key[K_GROUP] = following % given[F_GROUPS]
    for i in range(4):
        key[K_FAW + i] = max(-FAR, m[rank, k.R_FAW1 + ((m[rank, k.R_FAW1_AT] + i) & 3)] - now)
        key[K_FAW + 4 + i] = max(-FAR, m[rank, k.R_FAW2 + ((m[rank, k.R_FAW2_AT] + i) & 3)] - now)
        key[K_FAW + i] = max(-m[k.GIVEN, k.P_NFAW], key[K_FAW + i])
        key[K_FAW + 4 + i] = max(-m[k.GIVEN, k.P_NFAW], key[K_FAW + 4 + i])
    banks = given[F_BANKS]
    groups = given[F_GROUPS]
    visit = following // (groups * given[F_COLUMNS])
    key[K_OPENING] = -1
    for back in range(banks):  # banks as the stream visits them, the latest first
        row = given[F_ROW] + (visit - back) // banks
        for g in range(groups):
            place = given[F_RANK] * k.BANKS + g * banks + (visit - back) % banks
            at = K_BANKS + 5 * (back * groups + g)
            key[at] = max(0, m[place, k.ACT1] - now)
            key[at + 1] = max(0, m[place, k.ACT2] - now)
            key[at + 2] = max(0, m[place, k.RD] - now)
            key[at + 3] = max(0, m[place, k.PRE] - now)
            key[at + 4] = CLOSED if m[place, k.B_ROW] < 0 else m[place, k.B_ROW] - row
            if m[rank, k.R_OPENING] == place:
                key[K_OPENING] = back * groups + g
                key[K_OPENING_ROW] = m[place, k.B_OPENING] - row
                key[K_ACT1_AT] = m[rank, k.R_ACT1_AT] - now
    for g in range(groups):
        place = k.GROUP + given[F_RANK] * 4 + g
        key[K_GROUPS + 3 * g] = max(0, m[place, k.ACT1] - now)
        key[K_GROUPS + 3 * g + 1] = max(0, m[place, k.ACT2] - now)
        key[K_GROUPS + 3 * g + 2] = max(0, m[place, k.RD] - now)
    return True


@cached_njit()
def _follow_clock(m: IntArray, track: IntArray) -> None:
    """Set what ranks owe as it is now."""
    soonest = k.NEVER
    for r in range(m[k.GIVEN, k.P_RANKS]):
        rank = k.RANK + r
        m[rank, k.R_DUES] = _due(m, r, m[k.STATE, k.S_NOW])
        m[rank, k.R_DEBT] = m[rank, k.R_DUES] - track[T_PAID + r]
        if m[k.GIVEN, k.P_REFRESH] != k.REFRESH_NONE:
            m[rank, k.R_DUE] = _due_at(m, r, m[rank, k.R_DUES] + 1)
            soonest = min(soonest, m[rank, k.R_DUE])
    m[k.STATE, k.S_NEXT_DUE] = soonest


@cached_njit()
def _settle(
    m: IntArray, given: IntArray, loops: IntArray, plan: IntArray, grown: IntArray, key: Keys, track: IntArray
) -> None:
    """Bring the channel to where jumps have led: the state of a key, at this time and place."""
    flat = m.reshape(-1)
    now = track[T_NOW]
    m[k.STATE, k.S_NOW] = m[k.STATE, k.S_PROGRESS] = now
    m[k.STATE, k.S_REF_DECIDED] = DECIDED_AT
    m[k.DONE : k.DONE + 9] = 0
    for i in range(plan.shape[0]):
        flat[plan[i, 0]] = key[K_CELLS + i] + flat[plan[i, 1]]
    m[k.STATE, k.S_LAST] = track[T_LAST]
    m[k.STATE, k.S_END] = track[T_END]
    for u in range(4):
        for depth in range(k.MAX_DEPTH):
            m[k.WALKER + u, k.W_LEFT + depth] = track[T_LEFT + 4 * u + depth]
    for i in range(16):
        m[k.SEEN + 9 * k.U_OUT + k.C_MAC + i % 2, i // 2] = track[T_MACS + i]
    first = DECIDED_AT - key[K_DECIDED]
    for place in range(key[K_DECIDED]):
        m[k.DECIDED, (first + place) % k.DECISIONS] = key[K_DECIDED + 1 + place // 24] >> place % 24 & 1
    m[k.STATE, k.S_DQ_WAITS] = now + 1 - key[K_WAITS] if key[K_WAITS] > 0 else -1
    refreshed = grown.shape[0] - k.MAX_RANKS
    for i in range(grown.shape[0]):
        flat[grown[i]] += track[T_GROWN + i]
    base = _row_base(m, given, loops)
    for r in range(m[k.GIVEN, k.P_RANKS]):
        rank = k.RANK + r
        m[rank, k.R_MODE] = key[K_MODE + r]
        m[rank, k.R_SINCE] = now
        if key[K_ORDER + r] != 0 and m[rank, k.R_COLUMN + 1] >= m[rank, k.R_COLUMN]:
            m[rank, k.R_COLUMN + 1] = m[rank, k.R_COLUMN] - 1
        for parity in range(2):
            row = key[K_ROWS + 2 * r + parity]
            m[rank, k.R_PIM_ROW + parity] = -1 if row == CLOSED else row + base
        for place in range(r * k.BANKS, (r + 1) * k.BANKS):
            m[place, k.B_REFRESHES] += track[T_GROWN + refreshed + r]
            if r != given[F_RANK] and (m[rank, k.R_MODE] == 2 or m[rank, k.R_OPEN] == 0):
                m[place, k.B_ROW] = -1
    track[T_GROWN:] = 0
    _follow_clock(m, track)
    if given[F_RANK] >= 0:
        _settle_stream(m, given, key, track)


@cached_njit()
def _settle_stream(m: IntArray, given: IntArray, key: Keys, track: IntArray) -> None:
    """Set the stream's banks and fill its queue."""
    now = track[T_NOW]
    rank = k.RANK + given[F_RANK]
    banks = given[F_BANKS]
    groups = given[F_GROUPS]
    visit = track[T_NEXT] // (groups * given[F_COLUMNS])
    m[rank, k.R_FAW1_AT] = m[rank, k.R_FAW2_AT] = 0
    for i in range(4):
        m[rank, k.R_FAW1 + i] = now + key[K_FAW + i]
        m[rank, k.R_FAW2 + i] = now + key[K_FAW + 4 + i]
    m[rank, k.R_OPENING] = -1
    for back in range(banks):
        row = given[F_ROW] + (visit - back) // banks
        for g in range(groups):
            place = given[F_RANK] * k.BANKS + g * banks + (visit - back) % banks
            at = K_BANKS + 5 * (back * groups + g)
            m[place, k.ACT1] = now + key[at]
            m[place, k.ACT2] = now + key[at + 1]
            m[place, k.RD] = now + key[at + 2]
            m[place, k.PRE] = now + key[at + 3]
            m[place, k.B_ROW] = -1 if key[at + 4] == CLOSED else key[at + 4] + row
            m[place, k.B_HEAD : k.B_LIST + 2] = -1
            if key[K_OPENING] == back * groups + g:
                m[rank, k.R_OPENING] = place
                m[place, k.B_OPENING] = key[K_OPENING_ROW] + row
                m[rank, k.R_ACT1_AT] = now + key[K_ACT1_AT]
    for g in range(groups):
        place = k.GROUP + given[F_RANK] * 4 + g
        m[place, k.ACT1] = now + key[K_GROUPS + 3 * g]
        m[place, k.ACT2] = now + key[K_GROUPS + 3 * g + 1]
        m[place, k.RD] = now + key[K_GROUPS + 3 * g + 2]
    for kind in range(6):
        m[k.ACTIVE + 6 * given[F_RANK] + kind, k.LENGTH] = 0
    given[F_BASE] = max(0, track[T_NEXT] - BEHIND)
    n = 0
    while n < k.QUEUE and key[K_QUEUE + n] > 0:
        word = key[K_QUEUE + n]
        place, row, column = _request(given, track[T_NEXT] - word // 4)
        slot = k.SLOT + n
        m[slot, k.Q_ROW] = row
        m[slot, k.Q_COLUMN] = column
        m[slot, k.Q_BANK] = place
        m[slot, k.Q_AGE] = track[T_NEXT] - word // 4 - given[F_BASE]
        m[slot, k.Q_AFTER] = m[slot, k.Q_NEXT] = -1
        m[slot, k.Q_KIND] = word % 4
        if m[place, k.B_TAIL] < 0:
            m[place, k.B_HEAD] = n
        else:
            m[k.SLOT + m[place, k.B_TAIL], k.Q_NEXT] = n
        m[place, k.B_TAIL] = n
        n += 1
    for i in range(k.QUEUE):
        m[k.FREE, i] = k.QUEUE - 1 - i
    m[k.STATE, k.S_QUEUED] = m[k.STATE, k.S_FREE] = m[rank, k.R_QUEUED] = n
    m[k.STATE, k.S_NEXT] = track[T_NEXT] - given[F_BASE]
    m[k.STATE, k.S_SERVED] = m[k.STATE, k.S_NEXT] - n
    for place in range(given[F_RANK] * k.BANKS, (given[F_RANK] + 1) * k.BANKS):
        if m[place, k.B_HEAD] >= 0:
            k._look_over(m, place, 0)


# --- what is known ---------------------------------------------------------------------------------------------


@cached_njit()
def _number_of(keys: Keys, hashes: IntArray, index: NDArray[np.int32], used: IntArray) -> int:
    """The number of the key in the last row of ``keys``, a new one if it is new; -1 if there is no room."""
    last = keys.shape[0] - 1
    h = 1
    for i in range(0, keys.shape[1] - 1, 2):
        h = (h + int(keys[last, i]) + 524287 * int(keys[last, i + 1])) * HASH_FACTOR & HASH_BITS
        h ^= h >> 21
    mask = index.shape[0] - 1
    at = h & mask
    while index[at] >= 0:
        number = index[at]
        if hashes[number] == h:
            same = True
            for i in range(keys.shape[1]):
                if keys[number, i] != keys[last, i]:
                    same = False
                    break
            if same:
                return int(number)
        at = (at + 1) & mask
    number = used[M_KEYS]
    if number >= last:
        return -1
    keys[number] = keys[last]
    hashes[number] = h
    index[at] = number
    used[M_KEYS] = number + 1
    return int(number)


@cached_njit()
def _link(links: IntArray, first: int, second: int) -> int:
    """Where the link from a key or node stands, or would stand."""
    mask = links.shape[0] - 1
    h = (first * 7919 + second) * HASH_FACTOR & HASH_BITS
    at = (h ^ h >> 17) & mask
    while links[at, 2] >= 0 and (links[at, 0] != first or links[at, 1] != second):
        at = (at + 1) & mask
    return int(at)


@cached_njit()
def _window_from(m: IntArray, links: IntArray, nodes: IntArray, first: int, second: int, track: IntArray) -> int:
    """The window that follows, if every look finds what was found before; -1 if none is known."""
    node = links[_link(links, first, second), 2]
    if node < 0 or nodes[node, N_IS_WINDOW] != 0:
        return int(node)
    paid = track[T_PAID : T_PAID + k.MAX_RANKS].copy()
    while node >= 0 and nodes[node, N_IS_WINDOW] == 0:
        owed = _owed(m, nodes[node, N_MASK], track[T_NOW] + nodes[node, N_CK], nodes[node, N_COUNTS], paid)
        node = links[_link(links, -1 - node, owed), 2]
    return int(node)


@cached_njit()
def _owed(m: IntArray, mask: int, ck: int, counts: int, paid: IntArray) -> int:
    """What a look finds: most refreshes that a rank owes, which are paid then, or whether any is owed."""
    owed = 0
    for r in range(m[k.GIVEN, k.P_RANKS]):
        if (mask >> r) & 1:
            owed = max(owed, _due(m, r, ck) - paid[r])
    if counts == 0:
        return 1 if owed > 0 else 0
    for r in range(m[k.GIVEN, k.P_RANKS]):
        if (mask >> r) & 1:
            paid[r] += owed
    return owed


@cached_njit()
def _may_press(m: IntArray, t: IntArray, end: int) -> bool:
    """Whether a rank may owe so many refreshes by then that its program goes before the NPU where it would not."""
    presses = False
    for r in range(m[k.GIVEN, k.P_RANKS]):
        if _due(m, r, end) - t[T_PAID + r] >= k.PRESSING:
            presses = True
    return presses and m[k.GIVEN, k.P_POLICY] != k.PIM_FIRST


@cached_njit()
def _known_window(m: IntArray, key: Keys, number: int, links: IntArray, nodes: IntArray, track: IntArray) -> int:
    """The window that follows this key now; -1 if none is known."""
    now = track[T_NOW]
    rank, first, second = _next_due(m, key, now)
    node = _window_from(m, links, nodes, number, 0, track)
    if node >= 0 and now + nodes[node, N_CK] < first and not _may_press(m, track, now + nodes[node, N_CK]):
        return node
    if first - now > LONGEST:
        return -1
    node = _window_from(m, links, nodes, number, 1 + (first - now) * k.MAX_RANKS + rank, track)
    if node >= 0 and now + nodes[node, N_CK] < second and not _may_press(m, track, now + nodes[node, N_CK]):
        return node
    return -1


@cached_njit()
def _take(given: IntArray, keys: Keys, nodes: IntArray, node: int, served: Keys, at: IntArray, t: IntArray) -> bool:
    """Jump over a window; whether the key it leads to fits what is left of loops and of the stream."""
    for i in range(served[0] if at.shape[0] > 0 else 0):
        at[t[T_NEXT] + served[1 + 2 * i]] = t[T_NOW] + served[2 + 2 * i]
    if nodes[node, N_END] >= 0:
        t[T_END] = max(t[T_END], t[T_NOW] + nodes[node, N_END])
    t[T_LAST] = t[T_NOW] + nodes[node, N_LAST]
    t[T_NOW] += nodes[node, N_CK]
    t[T_NEXT] += nodes[node, N_NEXT]
    for r in range(k.MAX_RANKS):
        t[T_PAID + r] += nodes[node, N_PAID + r]
    for i in range(t.shape[0] - T_GROWN):
        t[T_GROWN + i] += nodes[node, N_GROWN + i]
    given[F_JUMPED] += nodes[node, N_COMMANDS]
    given[F_JUMPS] += 1
    key = keys[nodes[node, N_TO]]
    fits = True
    for i in range(16):
        left = nodes[node, N_LEFT + i]
        if nodes[node, N_KEPT] >> i & 1:
            left += t[T_LEFT + i]
        t[T_LEFT + i] = left
        shown = key[K_LEFT + i]
        fits = fits and (left == shown or left == -1 - shown or (shown == MANY_ROUNDS and left > shown))
    for i in range(16):
        left = nodes[node, N_MACS + i]
        if nodes[node, N_KEPT] >> 16 + i & 1:
            left += t[T_MACS + i]
        t[T_MACS + i] = left
        fits = fits and key[K_MACS + i] == min(left, MANY_ROUNDS)
    if given[F_RANK] >= 0:
        fits = fits and key[K_REST] == min(given[F_TOTAL] - t[T_NEXT], MANY_READS)
        fits = fits and key[K_CROSSING] == _crossing(given, t[T_NEXT], t[T_NEXT] - key[K_QUEUE] // 4)
    return fits


@cached_njit()
def _fit(given: IntArray, key: Keys, t: IntArray) -> None:
    """Set in a key what is left of loops and of the stream."""
    for i in range(16):
        if key[K_LEFT + i] >= 0:
            key[K_LEFT + i] = min(t[T_LEFT + i], MANY_ROUNDS)
        else:
            key[K_LEFT + i] = -1 - t[T_LEFT + i]
        key[K_MACS + i] = min(t[T_MACS + i], MANY_ROUNDS)
    if given[F_RANK] >= 0:
        key[K_REST] = min(given[F_TOTAL] - t[T_NEXT], MANY_READS)
        key[K_CROSSING] = _crossing(given, t[T_NEXT], t[T_NEXT] - key[K_QUEUE] // 4)


# --- learning --------------------------------------------------------------------------------------------------


@cached_njit()
def _start_track(m: IntArray, given: IntArray, track: IntArray) -> None:
    """Note where the channel stands."""
    track[T_NOW] = m[k.STATE, k.S_NOW]
    track[T_NEXT] = given[F_BASE] + m[k.STATE, k.S_NEXT]
    track[T_LAST] = m[k.STATE, k.S_LAST]
    track[T_END] = m[k.STATE, k.S_END]
    for i in range(16):
        track[T_LEFT + i] = m[k.WALKER + i // 4, k.W_LEFT + i % 4]
        track[T_MACS + i] = _macs_to_come(m, i)
    for r in range(k.MAX_RANKS):
        track[T_PAID + r] = m[k.RANK + r, k.R_DUES] - m[k.RANK + r, k.R_DEBT]


@cached_njit()
def _may_keep(m: IntArray, key: Keys, turns: IntArray, exits: int, reads: int) -> bool:
    """Whether the window just run would be the same another time."""
    if m[k.STATE, k.S_SAMPLES] > k.MOST_SAMPLES or m[k.COUNT, k.PIM_EXIT] != exits:
        return False
    if reads >= MANY_READS and (key[K_REST] == MANY_READS or key[K_CROSSING] == 0):
        return False
    is_over = m[k.STATE, k.S_FINISHED] != 0
    for u in range(4):
        if m[k.WALKER + u, k.W_TURNS] - turns[u] >= MANY_ROUNDS or (is_over and key[K_PROGRAM] >= 0):
            return False
    for i in range(16):
        if key[K_MACS + i] == MANY_ROUNDS and _macs_to_come(m, i) < 1:
            return False
    computing = 0
    for r in range(m[k.GIVEN, k.P_RANKS]):
        computing |= (1 if key[K_MODE + r] == 2 else 0) << r
    looked_at = 0
    for i in range(m[k.STATE, k.S_SAMPLES]):
        looked_at |= m[k.SAMPLED + i // 24, i % 24 * 3 + 1]
    return looked_at & ~computing == 0


@cached_njit()
def _new_node(
    m: IntArray, number: int, key: Keys, links: IntArray, nodes: IntArray, used: IntArray, t: IntArray
) -> int:
    """Make a way from a key, by what was owed, to a new node; -1 if there is one already, or no room."""
    now = t[T_NOW]
    end = m[k.STATE, k.S_NOW]
    rank, due, second = _next_due(m, key, now)
    clock = 0
    if due <= end:
        if second <= end or end - now > LONGEST:
            return -1
        clock = 1 + (due - now) * k.MAX_RANKS + rank
    if used[M_NODES] + k.MOST_SAMPLES + 1 >= nodes.shape[0] or _may_press(m, t, end):
        return -1
    paid = t[T_PAID : T_PAID + k.MAX_RANKS].copy()
    first = number
    then = clock
    for i in range(m[k.STATE, k.S_SAMPLES]):
        ck = m[k.SAMPLED + i // 24, i % 24 * 3]
        mask = m[k.SAMPLED + i // 24, i % 24 * 3 + 1]
        counts = m[k.SAMPLED + i // 24, i % 24 * 3 + 2]
        node = links[_link(links, first, then), 2]
        if node < 0:
            node = _add_node(links, first, then, used)
            nodes[node, N_IS_WINDOW] = 0
            nodes[node, N_CK] = ck - now
            nodes[node, N_MASK] = mask
            nodes[node, N_COUNTS] = counts
        first = -1 - node
        then = _owed(m, mask, ck, counts, paid)
    if links[_link(links, first, then), 2] >= 0:
        return -1
    node = _add_node(links, first, then, used)
    nodes[node, N_IS_WINDOW] = 1
    return node


@cached_njit()
def _add_node(links: IntArray, first: int, second: int, used: IntArray) -> int:
    at = _link(links, first, second)
    node = used[M_NODES]
    used[M_NODES] = node + 1
    links[at, 0] = first
    links[at, 1] = second
    links[at, 2] = node
    return int(node)


@cached_njit()
def _learn(
    m: IntArray,
    given: IntArray,
    key: Keys,
    to: int,
    nodes: IntArray,
    node: int,
    before: IntArray,
    grown: IntArray,
    t: IntArray,
) -> None:
    """Write down what the window did that the exact engine has just run."""
    now = t[T_NOW]
    flat = m.reshape(-1)
    state = m[k.STATE]
    row = nodes[node]
    row[N_CK] = state[k.S_NOW] - now
    row[N_TO] = to
    row[N_LAST] = state[k.S_LAST] - now
    row[N_END] = state[k.S_END] - now if state[k.S_END] > t[T_END] else -1
    row[N_NEXT] = given[F_BASE] + state[k.S_NEXT] - t[T_NEXT]
    row[N_COMMANDS] = 0
    row[N_KEPT] = 0
    for i in range(16):
        left = m[k.WALKER + i // 4, k.W_LEFT + i % 4]
        if key[K_LEFT + i] == MANY_ROUNDS:
            row[N_KEPT] |= 1 << i
            left -= t[T_LEFT + i]
        row[N_LEFT + i] = left
        left = _macs_to_come(m, i)
        if key[K_MACS + i] == MANY_ROUNDS:
            row[N_KEPT] |= 1 << 16 + i
            left -= t[T_MACS + i]
        row[N_MACS + i] = left
    for r in range(k.MAX_RANKS):
        row[N_PAID + r] = m[k.RANK + r, k.R_DUES] - m[k.RANK + r, k.R_DEBT] - t[T_PAID + r]
    for i in range(grown.shape[0]):
        row[N_GROWN + i] = flat[grown[i]] - before[i]
    for i in range(19):  # counts of commands come first
        row[N_COMMANDS] += row[N_GROWN + i]


@cached_njit()
def _note_served(
    given: IntArray, first: int, last: int, ends: IntArray, served: Keys, at: IntArray, following: int, now: int
) -> None:
    """Take down when the reads of a window were served: for the window, and for whoever asked."""
    n = 0
    for i in range(first, last):
        if ends[i] >= 0:
            served[1 + 2 * n] = given[F_BASE] + i - following
            served[2 + 2 * n] = ends[i] - now
            if at.shape[0] > 0:
                at[given[F_BASE] + i] = ends[i]
            ends[i] = -1
            n += 1
    served[0] = n


@cached_njit()
def forget(index: NDArray[np.int32], links: IntArray, used: IntArray) -> None:
    """Drop all that is known."""
    index[:] = -1
    links[:, 2] = -1
    used[:] = 0


@cached_njit()
def run_windows(
    m: IntArray,
    program: IntArray,
    loops: IntArray,
    given: IntArray,
    plan: IntArray,
    grown: IntArray,
    keys: Keys,
    hashes: IntArray,
    index: NDArray[np.int32],
    nodes: IntArray,
    links: IntArray,
    served: Keys,
    used: IntArray,
    served_at: IntArray,
) -> int:
    """Run a program and a stream to the end, in jumps where the way is known.

    Args:
        m: State of a channel on which the program has started; moved on.
        program: As for ``kernels.run``.
        loops: int64 [instructions + 1, 3], at the first line of a loop: whether all its rows go on alike, by how much,
            and its rounds.
        given: int64 [RUN_FIELDS]: the stream and the program; counts of jumps are added.
        plan: int64 [cells, 4]: cell, cell that is subtracted, bounds.
        grown: Cells that only grow.
        keys: int32 [states + 1, words]; the last row is for writing.
        hashes: int64 [states].
        index: int32, a power of two long: places of keys.
        nodes: int64 [nodes, fields].
        links: int64 [power of two, 3]: from, by, to.
        served: int32 [nodes + 1, 1 + 2 * READS]: how many reads are served in a window; which and when.
        used: int64 [2]: keys and nodes.
        served_at: int64 [requests], filled with the CK at which each request's data ends; empty to keep none.

    Returns:
        1, or a negative error of ``kernels.run``.
    """
    scratch = keys.shape[0] - 1
    state = m[k.STATE]
    track = np.zeros(T_GROWN + grown.shape[0], np.int64)
    before = np.zeros(grown.shape[0], np.int64)
    turns = np.zeros(4, np.int64)
    chunk = np.empty((CHUNK, 5), np.int64)
    ends = np.full(CHUNK, -1, np.int64)
    log = np.empty((0, 5), np.int64)
    flat = m.reshape(-1)
    n = _fill(given, chunk)
    number = -1
    is_set = True
    while True:
        if number >= 0:
            node = _known_window(m, keys[number], number, links, nodes, track)
            if node >= 0:
                fits = _take(given, keys, nodes, node, served[node], served_at, track)
                number = nodes[node, N_TO]
                is_set = False
                if not fits:
                    keys[scratch] = keys[number]
                    _fit(given, keys[scratch], track)
                    number = _number_of(keys, hashes, index, used)
                    if number < 0:
                        number = scratch
                continue
            if not is_set:
                _settle(m, given, loops, plan, grown, keys[number], track)
                n = _fill(given, chunk)
                is_set = True
        if state[k.S_NEXT] + READS + k.QUEUE > n and given[F_BASE] + n < given[F_TOTAL]:
            _move_base(m, given)
            if state[k.S_NEXT] + READS + k.QUEUE > chunk.shape[0]:
                chunk = np.empty((2 * chunk.shape[0], 5), np.int64)
                ends = np.full(chunk.shape[0], -1, np.int64)
            n = _fill(given, chunk)
        for i in range(grown.shape[0]):
            before[i] = flat[grown[i]]
        for u in range(4):
            turns[u] = m[k.WALKER + u, k.W_TURNS]
        first = _oldest(m, given)
        following = given[F_BASE] + state[k.S_NEXT]
        now = state[k.S_NOW]
        exits = m[k.COUNT, k.PIM_EXIT]
        state[k.S_STOP] = state[k.S_SAMPLES] = 0
        state[k.S_STOP_SERVED] = state[k.S_SERVED] + READS
        if state[k.S_FINISHED] != 0:  # the NPU alone goes from mark to mark of its stream
            state[k.S_STOP_SERVED] -= (given[F_BASE] + state[k.S_SERVED]) % READS
        done = k.run(m, chunk[:n], ends, program, log, 1 << 30)
        if done < 0:
            return int(done)
        spare = served[served.shape[0] - 1]
        _note_served(given, first, state[k.S_NEXT], ends, spare, served_at, following, now)
        if done == 1:
            return 1
        if used[M_KEYS] + 2 >= scratch or used[M_NODES] + 2 * k.MOST_SAMPLES >= nodes.shape[0]:
            forget(index, links, used)
            number = scratch
        to = -1
        if _write_key(m, given, loops, plan, keys[scratch]):
            to = _number_of(keys, hashes, index, used)
        if (
            to >= 0
            and 0 <= number < scratch
            and _may_keep(m, keys[number], turns, exits, given[F_BASE] + state[k.S_NEXT] - following)
        ):
            node = _new_node(m, number, keys[number], links, nodes, used, track)
            if node >= 0:
                _learn(m, given, keys[number], to, nodes, node, before, grown, track)
                served[node] = spare
        number = to
        _start_track(m, given, track)
