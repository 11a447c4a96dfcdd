"""The exact engine of one channel, compiled: every command at the CK at which the rules and the controller allow it.

Integers only; time in CK. There are no idle ticks: the next command is searched, and time jumps to it. State lies in
one int64 array whose fields are named below, so that a run can stop and go on (``NUMBA_DISABLE_JIT=1`` runs it
as plain Python). A bank's number counts over the channel: rank * 16 + bank_group * 4 + bank.
"""

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit

IntArray = NDArray[np.int64]

NEVER = 1 << 60
NO_RULE = -NEVER  # a latency that never binds
BANKS = 16  # banks of a rank
QUEUE = 32  # entries of the read queue, and of the write queue
CAS_LEAD = 8  # a CAS may go this many CK before the access that it is for, so that some free slot is found

# Commands, as lpspec.dram.rules.COMMANDS numbers them; the first eight are also the classes that wait.
ACT1, ACT2, RD, WR, PRE, PREAB, REFAB, REFPB, RDA, WRA, CAS = range(11)
PIM_ENTER, PIM_EXIT, PIM_ACT, PIM_PRE, PIM_IN, PIM_MAC, PIM_OUT, PIM_REFAB = range(11, 19)
CLASSES = 8
NO_COMMAND = -1
IDLE_ROUNDS = 8  # intervals of refresh that a channel must stand idle before they are counted in one go

# A bank: when each class of command may go (columns 0-7), its row, and its requests, each for reads and writes.
B_ROW = 8  # open row, -1 if none
B_OPENING = 9  # row named by ACT-1, until ACT-2
B_HEAD, B_TAIL = 10, 12  # oldest and youngest request, -1 if none
B_HIT, B_FIRST = 14, 16  # oldest request that may go and finds its row open; oldest that may go at all
B_LIST = 18  # list of banks with work that it is in, -1 if in none
B_REFRESHES = 20
B_AGE = 22  # age of the request that needs its next command
B_PLACE = 24  # place in that list

# A rank: when each class may go (columns 0-7), then the rest.
R_OPENING = 8  # bank between ACT-1 and ACT-2, -1 if none
R_ACT1_AT = 9
R_WCK = 10  # last CK at which an access needs no CAS
R_OPEN = 11  # open banks
R_SINCE, R_ACTIVE = 12, 13  # since when some bank is open; CK so far in which one was
R_DUE, R_DUES, R_DEBT = 14, 15, 16  # next refresh due, how many came due, how many are owed
R_TARGET = 17  # what is held for refresh: -1 nothing, a pair of banks, or ALL_BANKS
R_ROUND = 18  # pairs refreshed in this round, one bit each
R_QUEUED = 19  # requests in the queues
R_MODE = 20  # 0 plain, 1 held for PIM_ENTER, 2 in PIM mode
R_FAW1, R_FAW2 = 24, 28  # times of the last four ACT-1s, ACT-2s
R_FAW1_AT, R_FAW2_AT = 32, 33  # which of them is the oldest
# PIM mode: when each may go
R_READY = 34  # anything, after a mode switch or refresh
R_PIM_ACT, R_PIM_MAC, R_PIM_OUT = 35, 36, 37
R_COLUMN, R_CLOSE, R_REOPEN, R_PIM_ROW = 38, 40, 42, 44  # by parity: MAC, PRE, ACT after PRE; open row
R_INPUT = 46  # by set of input registers: MAC
R_EXIT = 48
R_CAS = 49  # whether WCK runs for a CAS that no access has followed yet
ALL_BANKS = 64
MOST_POSTPONED = 7  # the eighth must be under way when the ninth comes due
PRESSING = 4  # owed by a rank in PIM mode, half of what may be postponed
MOST_POSTPONED_PAIRS = 54  # a pair may be first in one round and last in the next: 54 + 15 + 1 < 9 * 8

# A request in a queue.
Q_ROW, Q_COLUMN, Q_BANK, Q_AGE, Q_AFTER, Q_NEXT, Q_KIND = range(7)
HIT, MISS, CONFLICT = range(3)

# Among commands that could go at once: first the most urgent, then the oldest request.
AGES = 38  # bits of a request's number
URGENCIES = AGES + 3
COLUMN_FIRST, ACT2_NEXT, CAS_NOW, REFRESH_NEXT, ROW_NEXT, CAS_EARLY = (n << AGES for n in range(6))
AT_ONCE = -1  # an ACT-2 that can't wait any longer

# Scalars that change.
# fmt: off
(
    S_NOW, S_NEXT, S_SERVED, S_WRITING, S_NEXT_COLUMN, S_QUEUED, S_QUEUED_W, S_FREE, S_FREE_W,
    S_HITS, S_MISSES, S_CONFLICTS, S_FIRST, S_LAST, S_END, S_BLOCKED_READS, S_BLOCKED_SINCE,
    S_ERROR, S_LOGGED, S_NEXT_DUE, S_LAST_WINNER, S_DQ_OWNER, S_DQ_BURSTS, S_DQ_WAITS, S_PIM_WANTS, S_FINISHED,
    S_PIM_FLOOR, S_REF_DECIDED, S_REF_LEFT, S_REF_STAGE, S_MAC_TOKENS, S_PIM_RANKS, S_COLUMNS_HELD,
    S_ROW0, S_ROW1, S_MASK0, S_MASK1, S_FIRST_PARITY, S_PROGRESS, S_NPU_WANTS, S_OPENINGS, S_SECOND,
    S_UNTIL, S_DRAIN,
) = range(44)
# fmt: on

# Parameters that don't.
# fmt: off
(
    P_RANKS, P_REFRESH, P_POSTPONE, P_WCK_ALWAYS, P_DRAIN_HIGH, P_DRAIN_LOW, P_PAGE_CLOSED, P_POLICY, P_QUANTUM,
    P_PATIENCE, P_NREFI, P_NFAW, P_NAAD, P_NCL, P_NCWL, P_NBL, P_WCKPST, P_WCKIDLE, P_WAIT,
    P_NMODE, P_NMAC, P_NRCD, P_NRAS, P_NRTP, P_NRPAB, P_NRFCAB, P_OPENED, P_ACT_ACT, P_SLOTS, P_OUTS, P_NPPD,
) = range(31)
# fmt: on
PARAMETERS = 40
REFRESH_NONE, REFRESH_ALL, REFRESH_PAIR = range(3)
PIM_FIRST, NPU_FIRST, ROUND_ROBIN = range(3)

# An instruction of a PIM program, and the operations that are no command. LOOP and END enclose what is repeated.
I_OP, I_MASK, I_BANK, I_ROW, I_COLUMN, I_COUNT, I_SET, I_TOKENS, I_ROW_STEP = range(9)
I_DATA, I_DATA_STEP = 12, 13
INSTRUCTION_FIELDS = 17
LOOP, END, WAIT = 32, 33, 34
MAX_DEPTH = 4

# A PIM program is walked by four units, each taking its own instructions in order and passing over the others'.
U_ARRAY, U_MAC, U_IN, U_OUT = range(4)
W_PC, W_DEPTH, W_LEFT, W_START = 0, 1, 2, 6
W_DONE = 10  # commands of the current instruction already issued
W_AT = 11  # what the unit stands before
W_POINTS = 12  # refresh points passed
AT_RUN, AT_BARRIER, AT_POINT, AT_END = range(4)
DECISIONS = 64

# What units tell each other, counted per rank: instructions done against instructions passed over.
C_ACT, C_MAC, C_SET, C_IN, C_OUT = 0, 2, 4, 6, 8

# Errors.
E_DEADLOCK, E_ACT2_LATE, E_PIM_MODE, E_PIM_ROW = range(1, 5)


# All state is one array: rows of banks, ranks, bank groups, queue places, and so on, each with the fields above.
# One array, not one for each, because compiled functions take each array as nine arguments.
MAX_RANKS = 8
RANK = MAX_RANKS * BANKS
GROUP = RANK + MAX_RANKS
SLOT = GROUP + MAX_RANKS * 4
STATE = SLOT + 2 * QUEUE
GIVEN = STATE + 1
ACTIVE = GIVEN + 1  # by rank, banks with work, for reads and for writes: that need a column command, ACT-1, PRE next
COLUMNS, OPENS, CLOSES = range(3)
LENGTH = 64  # field that holds how many
FREE = ACTIVE + 6 * MAX_RANKS  # free places of the read and of the write queue
COUNT = FREE + 2  # commands by code, and the same times the ranks that take each
MAY = COUNT + 2  # by rank: when each class may go as far as the rank goes, while a command is chosen
DECIDED = MAY + MAX_RANKS  # refresh points: whether refresh is due there
WALKER = DECIDED + 1
DONE = WALKER + 4  # nine counters per rank: instructions done
SEEN = DONE + 9  # the same for each of the four units: instructions passed over
LATENCY = SEEN + 36
AT_BANK, AT_GROUP, AT_RANK, AT_OTHER = 0, 19, 38, 57  # levels of the latency table, 19 commands each
ROWS = LATENCY + 76
WIDTH = 72  # fields of a row; nine cache lines, so that rows spread over all sets of the cache


def new_channel(parameter: IntArray, latency: IntArray) -> IntArray:
    """A channel at CK 0: all banks closed, WCK stopped, nothing queued.

    Args:
        parameter: int64 [PARAMETERS].
        latency: int64 [4, 19, CLASSES], as ``lpspec.dram.rules.latency_table`` gives it.

    Returns:
        int64 [ROWS, WIDTH], which ``run`` moves on.
    """
    m = np.zeros((ROWS, WIDTH), np.int64)
    ranks = int(parameter[P_RANKS])
    m[GIVEN, :PARAMETERS] = parameter
    m[LATENCY:, :CLASSES] = np.where(latency > 0, latency, NO_RULE).reshape(-1, CLASSES)
    m[:RANK, B_ROW:B_REFRESHES] = -1
    rank = m[RANK : RANK + ranks]
    rank[:, [R_OPENING, R_TARGET, R_WCK, R_PIM_ROW, R_PIM_ROW + 1]] = -1
    rank[:, R_FAW1:R_FAW1_AT] = -NEVER
    m[STATE, S_FIRST] = -1
    m[STATE, S_NEXT_DUE] = m[STATE, S_UNTIL] = NEVER
    if parameter[P_REFRESH] != REFRESH_NONE:
        step = parameter[P_NREFI] if parameter[P_REFRESH] == REFRESH_ALL else parameter[P_NREFI] // 8
        rank[:, R_DUE] = [step + r * step // ranks for r in range(ranks)]  # ranks take turns
        m[STATE, S_NEXT_DUE] = rank[:, R_DUE].min()
    m[FREE, :QUEUE] = np.arange(QUEUE)[::-1]
    m[FREE + 1, :QUEUE] = np.arange(QUEUE, 2 * QUEUE)[::-1]
    return m


# --- requests and their banks ----------------------------------------------------------------------------------


@cached_njit(allocates=False)
def _look_over(m: IntArray, place: int, way: int) -> None:
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
    lists = ACTIVE + 6 * (place >> 4) + 3 * way
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
def _look_over_both(m: IntArray, place: int) -> None:
    """Look over a bank whose row has changed; without requests there is nothing to find."""
    for way in range(2):
        if m[place, B_HEAD + way] >= 0:
            _look_over(m, place, way)


@cached_njit(allocates=False)
def _admit(
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
        m[RANK + (place >> 4), R_QUEUED] += 1
        if after < 0 and (tail < 0 or m[place, B_HIT + way] < 0):
            _look_over(m, place, way)
        m[STATE, S_NEXT] = i + 1
        admitted = True
    return admitted


@cached_njit(allocates=False)
def _retire(
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
    m[RANK + (place >> 4), R_QUEUED] -= 1
    _look_over(m, place, way)
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
        _look_over(m, place, 1 - way)


@cached_njit(allocates=False)
def _can_serve(m: IntArray, way: int) -> bool:
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
def _choose_way(m: IntArray) -> None:
    """Decide between serving reads and draining writes, by watermarks, and so that nobody waits for ever."""
    reads = 1 if _can_serve(m, 0) else 0
    writes = 1 if _can_serve(m, 1) else 0
    overdue = m[STATE, S_BLOCKED_READS] > 0 and m[STATE, S_NOW] - m[STATE, S_BLOCKED_SINCE] >= m[GIVEN, P_PATIENCE]
    overdue = overdue or m[STATE, S_DRAIN] != 0
    if m[STATE, S_WRITING] == 0:
        if writes > 0 and (reads == 0 or overdue or m[STATE, S_QUEUED_W] >= m[GIVEN, P_DRAIN_HIGH]):
            m[STATE, S_WRITING] = 1
    elif writes == 0 or (reads > 0 and not overdue and m[STATE, S_QUEUED_W] <= m[GIVEN, P_DRAIN_LOW]):
        m[STATE, S_WRITING] = 0


# --- refresh ----------------------------------------------------------------------------------------------------


@cached_njit(allocates=False)
def _due(m: IntArray, r: int, k: int) -> int:
    """CK at which the k-th refresh of a rank comes due, from 1; ranks take turns."""
    ranks = m[GIVEN, P_RANKS]
    if m[GIVEN, P_REFRESH] == REFRESH_ALL:
        return int(k * m[GIVEN, P_NREFI] + r * m[GIVEN, P_NREFI] // ranks)
    return int(k * m[GIVEN, P_NREFI] // 8 + r * (m[GIVEN, P_NREFI] // 8) // ranks)


@cached_njit(allocates=False)
def _count_dues(m: IntArray) -> None:
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


@cached_njit(allocates=False)
def _refreshes_keep_up(m: IntArray, r: int) -> bool:
    """Whether an idle rank has nothing open and owes nothing, and will have served each refresh before the next."""
    if m[RANK + r, R_DEBT] != 0 or m[RANK + r, R_TARGET] >= 0 or m[RANK + r, R_OPEN] != 0:
        return False
    ranks = m[GIVEN, P_RANKS]  # of refreshes that come due at once, the last waits so many CK
    if m[GIVEN, P_REFRESH] == REFRESH_ALL:
        return bool(m[LATENCY + AT_RANK + REFAB, REFAB] + ranks <= m[GIVEN, P_NREFI])
    step = m[GIVEN, P_NREFI] // 8
    fits = m[LATENCY + AT_RANK + REFPB, REFPB] + ranks <= step and m[LATENCY + AT_BANK + REFPB, REFPB] <= 7 * step
    done = m[RANK + r, R_ROUND]
    return bool(fits and done & (done + 1) == 0)  # the pairs go by number, so eight refreshes later all is the same


@cached_njit(allocates=False)
def _skip_refreshes(m: IntArray, until: int) -> bool:
    """Count the refreshes that come due while a channel stands idle, without issuing each; whether there were any.

    The last two rounds before ``until`` are left to be issued. Each refresh leaves the same behind, so what those leave
    is all that the others would have left beside their number.
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
            n = (until - r * interval // ranks) // interval - 3 - due
        else:
            n = 8 * ((until - r * (interval // 8) // ranks) // interval - 3 - (due + 7) // 8)
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
                    m[b, B_REFRESHES] += n // 8
            m[RANK + r, R_DUE] = _due(m, r, due + n + 1)
        soonest = min(soonest, m[RANK + r, R_DUE])
    m[STATE, S_NEXT_DUE] = soonest
    return skipped


@cached_njit(allocates=False)
def _work_of(m: IntArray, place: int) -> int:
    """Requests queued for a bank."""
    n = 0
    for way in range(2):
        slot = m[place, B_HEAD + way]
        while slot >= 0:
            n += 1
            slot = m[SLOT + slot, Q_NEXT]
    return n


@cached_njit(allocates=False)
def _plan_refresh(m: IntArray, r: int) -> None:
    """Hold a rank or a pair of banks for refresh when it is idle, or when no more can be postponed."""
    if m[GIVEN, P_REFRESH] == REFRESH_ALL:
        if m[RANK + r, R_DEBT] > min(m[GIVEN, P_POSTPONE], MOST_POSTPONED) or m[RANK + r, R_QUEUED] == 0:
            m[RANK + r, R_TARGET] = ALL_BANKS
        return
    best = -1
    least = NEVER
    for pair in range(8):
        if (m[RANK + r, R_ROUND] >> pair) & 1 == 0:
            place = r * BANKS + pair
            work = _work_of(m, place) + _work_of(m, place + 8)
            if work < least:
                least = work
                best = pair
    if least == 0 or m[RANK + r, R_DEBT] > min(8 * m[GIVEN, P_POSTPONE], MOST_POSTPONED_PAIRS):
        m[RANK + r, R_TARGET] = best


# --- choosing the next plain command ----------------------------------------------------------------------------


@cached_njit(allocates=False)
def _ready_ranks(m: IntArray, column: int) -> None:
    """Note when each rank lets a column command, an ACT-1 and a PRE go: not while it is held or between ACTs."""
    now = m[STATE, S_NOW]
    openings = 0
    for r in range(m[GIVEN, P_RANKS]):
        openings += 1 if m[RANK + r, R_OPENING] >= 0 else 0
        if m[RANK + r, R_DEBT] > 0 and m[RANK + r, R_TARGET] < 0 and m[RANK + r, R_MODE] == 0:
            _plan_refresh(m, r)
        if m[RANK + r, R_MODE] != 0 or m[RANK + r, R_TARGET] == ALL_BANKS:
            m[MAY + r, column] = m[MAY + r, ACT1] = m[MAY + r, PRE] = NEVER
        else:
            m[MAY + r, column] = max(m[RANK + r, column], now) if m[STATE, S_COLUMNS_HELD] == 0 else NEVER
            m[MAY + r, ACT1] = max(m[RANK + r, ACT1], now) if m[RANK + r, R_OPENING] < 0 else NEVER
            m[MAY + r, PRE] = max(m[RANK + r, PRE], now)
    m[STATE, S_NPU_WANTS] = 1 if _can_serve(m, column - RD) else 0
    m[STATE, S_OPENINGS] = openings


@cached_njit(allocates=False)
def _pick(m: IntArray) -> tuple[int, int, int, int, int]:
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
            if (place & 7) == held:
                continue
            at = max(m[place, column], m[GROUP + (place >> 2), column], may)
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
                if (place & 7) == held:
                    continue
                at = max(m[place, wanted], m[GROUP + (place >> 2), wanted], may)
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
            at = max(m[place, ACT2], m[GROUP + (place >> 2), ACT2], m[RANK + r, ACT2], now)
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
                place += 8
                if m[place, B_ROW] < 0:
                    command = REFPB
                    place -= 8
            at = max(m[place, command], m[RANK + r, command], now)
            if command == REFPB:
                at = max(at, m[place + 8, REFPB])
        score = ((at - now) << URGENCIES) + key
        if score < best_score:
            best_score = score
            best_at = at
            best = command
            best_place = place
            best_slot = -1
    return best_at, best, best_place, best_slot, best_score


# --- issuing ----------------------------------------------------------------------------------------------------


@cached_njit(allocates=False)
def _wait(m: IntArray, waiting: int, rules: int, now: int) -> None:
    """Let a bank, a group or a rank wait as a row of the latency table says; all classes, so that nothing branches."""
    act1 = max(m[waiting, ACT1], now + m[rules, ACT1])
    act2 = max(m[waiting, ACT2], now + m[rules, ACT2])
    rd = max(m[waiting, RD], now + m[rules, RD])
    wr = max(m[waiting, WR], now + m[rules, WR])
    pre = max(m[waiting, PRE], now + m[rules, PRE])
    preab = max(m[waiting, PREAB], now + m[rules, PREAB])
    refab = max(m[waiting, REFAB], now + m[rules, REFAB])
    refpb = max(m[waiting, REFPB], now + m[rules, REFPB])
    m[waiting, ACT1] = act1
    m[waiting, ACT2] = act2
    m[waiting, RD] = rd
    m[waiting, WR] = wr
    m[waiting, PRE] = pre
    m[waiting, PREAB] = preab
    m[waiting, REFAB] = refab
    m[waiting, REFPB] = refpb


@cached_njit(allocates=False)
def _wait_of_bank(m: IntArray, command: int, place: int, now: int) -> None:
    """Let the bank and its group wait as the rules say."""
    _wait(m, place, LATENCY + AT_BANK + command, now)
    _wait(m, GROUP + (place >> 2), LATENCY + AT_GROUP + command, now)


@cached_njit(allocates=False)
def _wait_of_rank(m: IntArray, command: int, r: int, now: int) -> None:
    """Let the rank wait as the rules say."""
    _wait(m, RANK + r, LATENCY + AT_RANK + command, now)


@cached_njit(allocates=False)
def _wait_of_others(m: IntArray, command: int, mask: int, now: int) -> None:
    """Let the column commands of all ranks outside the mask wait for DQ."""
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1 == 0:
            _wait(m, RANK + r, LATENCY + AT_OTHER + command, now)


@cached_njit(allocates=False)
def _keep_wck(m: IntArray, r: int, until: int) -> None:
    """Let WCK of a rank run on behind a burst; what the CAS before it allowed ends with the first access."""
    m[RANK + r, R_WCK] = until if m[RANK + r, R_CAS] != 0 else max(m[RANK + r, R_WCK], until)
    m[RANK + r, R_CAS] = 0


@cached_njit(allocates=False)
def _row_opened(m: IntArray, r: int, now: int) -> None:
    if m[RANK + r, R_OPEN] == 0:
        m[RANK + r, R_SINCE] = now
    m[RANK + r, R_OPEN] += 1


@cached_njit(allocates=False)
def _row_closed(m: IntArray, r: int, rows: int, now: int) -> None:
    m[RANK + r, R_OPEN] -= rows
    if rows > 0 and m[RANK + r, R_OPEN] == 0:
        m[RANK + r, R_ACTIVE] += now - m[RANK + r, R_SINCE]


@cached_njit(allocates=False)
def _write_down(
    m: IntArray,
    log: IntArray,
    now: int,
    command: int,
    mask: int,
    ranks: int,
    place: int,
    word: int,
) -> None:
    """Count a command and, if a log is kept, note it: CK, command, rank (or mask), place, row << 16 | column.

    The place is a bank of the channel, or a parity, to which PIM_MAC adds 4 times the set of inputs that it reads.
    """
    m[COUNT + 0, command] += 1
    m[COUNT + 1, command] += ranks
    if m[STATE, S_FIRST] < 0:
        m[STATE, S_FIRST] = now
    m[STATE, S_LAST] = now
    if log.shape[0] > 0:
        n = m[STATE, S_LOGGED]
        log[n, 0] = now
        log[n, 1] = command
        log[n, 2] = mask
        log[n, 3] = place
        log[n, 4] = word
        m[STATE, S_LOGGED] = n + 1


NO_ROW = -1


@cached_njit(allocates=False)
def _word(row: int, column: int) -> int:
    """Row and column in one number, both shifted by one so that none is zero."""
    return ((row + 1) << 16) | (column + 1)


@cached_njit(allocates=False)
def _issue(
    m: IntArray, requests: IntArray, served_at: IntArray, log: IntArray, command: int, place: int, slot: int
) -> None:
    """Issue one plain command now: what it opens or closes, what it makes wait, and whom it serves."""
    now = m[STATE, S_NOW]
    way = m[STATE, S_WRITING]
    r = place >> 4
    if command in (PREAB, REFAB):
        r = place
        _write_down(m, log, now, command, r, 1, -1, 0)
        _wait_of_rank(m, command, r, now)
        if command == PREAB:
            for b in range(r * BANKS, (r + 1) * BANKS):
                if m[b, B_ROW] >= 0:
                    m[b, B_ROW] = -1
                    _look_over_both(m, b)
            _row_closed(m, r, m[RANK + r, R_OPEN], now)
        else:
            m[RANK + r, R_DEBT] -= 1
            m[RANK + r, R_TARGET] = -1
            for b in range(r * BANKS, (r + 1) * BANKS):
                m[b, B_REFRESHES] += 1
        return
    if command == CAS:
        _write_down(m, log, now, CAS, r, 1, -1, 0)
        m[RANK + r, R_WCK] = now + m[GIVEN, P_WCKIDLE]
        m[RANK + r, R_CAS] = 1
        return
    if command == ACT1:
        row = m[SLOT + slot, Q_ROW]
        _write_down(m, log, now, ACT1, r, 1, place, _word(row, -1))
        m[place, B_OPENING] = row
        m[RANK + r, R_OPENING] = place
        m[RANK + r, R_ACT1_AT] = now
        if m[SLOT + slot, Q_KIND] == HIT:
            m[SLOT + slot, Q_KIND] = MISS
        oldest = m[RANK + r, R_FAW1_AT]
        m[RANK + r, R_FAW1 + oldest] = now
        oldest = (oldest + 1) & 3
        m[RANK + r, R_FAW1_AT] = oldest
        _wait_of_bank(m, ACT1, place, now)
        _wait_of_rank(m, ACT1, r, now)
        m[RANK + r, ACT1] = max(m[RANK + r, ACT1], m[RANK + r, R_FAW1 + oldest] + m[GIVEN, P_NFAW])
    elif command == ACT2:
        if now > m[RANK + r, R_ACT1_AT] + m[GIVEN, P_NAAD]:
            m[STATE, S_ERROR] = E_ACT2_LATE
        row = m[place, B_OPENING]
        _write_down(m, log, now, ACT2, r, 1, place, _word(row, -1))
        m[place, B_ROW] = row
        m[RANK + r, R_OPENING] = -1
        oldest = m[RANK + r, R_FAW2_AT]
        m[RANK + r, R_FAW2 + oldest] = now
        oldest = (oldest + 1) & 3
        m[RANK + r, R_FAW2_AT] = oldest
        _wait_of_bank(m, ACT2, place, now)
        _wait_of_rank(m, ACT2, r, now)
        m[RANK + r, ACT2] = max(m[RANK + r, ACT2], m[RANK + r, R_FAW2 + oldest] + m[GIVEN, P_NFAW])
        _row_opened(m, r, now)
        _look_over_both(m, place)
    elif command == PRE:
        _write_down(m, log, now, PRE, r, 1, place, 0)
        m[place, B_ROW] = -1
        if slot >= 0:
            m[SLOT + slot, Q_KIND] = CONFLICT
        _wait_of_bank(m, PRE, place, now)
        _wait_of_rank(m, PRE, r, now)
        _row_closed(m, r, 1, now)
        _look_over_both(m, place)
    elif command == REFPB:
        _write_down(m, log, now, REFPB, r, 1, place, 0)
        _wait_of_bank(m, REFPB, place, now)
        _wait_of_bank(m, REFPB, place + 8, now)
        _wait_of_rank(m, REFPB, r, now)
        m[place, B_REFRESHES] += 1
        m[place + 8, B_REFRESHES] += 1
        m[RANK + r, R_DEBT] -= 1
        m[RANK + r, R_TARGET] = -1
        m[RANK + r, R_ROUND] |= 1 << (place & 7)
        if m[RANK + r, R_ROUND] == 255:
            m[RANK + r, R_ROUND] = 0
    else:  # RD or WR, with auto-precharge under a closed page if no other request wants the row
        row = m[SLOT + slot, Q_ROW]
        column = m[SLOT + slot, Q_COLUMN]
        kind = m[SLOT + slot, Q_KIND]
        age = m[SLOT + slot, Q_AGE]
        m[STATE, S_HITS + kind] += 1
        _retire(m, slot, way)
        code = command
        if m[GIVEN, P_PAGE_CLOSED] != 0 and m[place, B_HIT] < 0 and m[place, B_HIT + 1] < 0:
            code = command + RDA - RD
        _write_down(m, log, now, code, r, 1, place, _word(row, column))
        _wait_of_bank(m, code, place, now)
        _wait_of_rank(m, code, r, now)
        _wait_of_others(m, code, 1 << r, now)
        end = now + m[GIVEN, P_NCL + way] + m[GIVEN, P_NBL]
        _keep_wck(m, r, end + m[GIVEN, P_WCKPST])
        m[STATE, S_END] = max(m[STATE, S_END], end)
        served_at[age] = end
        m[STATE, S_SERVED] += 1
        m[STATE, S_DQ_BURSTS] += 1
        if code != command:
            m[place, B_ROW] = -1
            _row_closed(m, r, 1, now)
            _look_over_both(m, place)
        _admit(m, requests)


# --- PIM programs -----------------------------------------------------------------------------------------------


@cached_njit(allocates=False)
def _unit_of(op: int) -> int:
    """The unit that takes an instruction; -1 if all must stand still for it."""
    if op == PIM_MAC:
        return U_MAC
    if op in (PIM_ACT, PIM_PRE):
        return U_ARRAY
    if op == PIM_IN:
        return U_IN
    if op == PIM_OUT:
        return U_OUT
    return -1


@cached_njit(allocates=False)
def _tell(m: IntArray, first: int, program: IntArray, pc: int) -> None:
    """Count an instruction for each rank that takes it."""
    op = program[pc, I_OP]
    for r in range(m[GIVEN, P_RANKS]):
        if (program[pc, I_MASK] >> r) & 1:
            if op == PIM_ACT:
                m[first + C_ACT + program[pc, I_BANK], r] += 1
            elif op == PIM_MAC:
                m[first + C_MAC + program[pc, I_BANK], r] += 1
                m[first + C_SET + program[pc, I_SET], r] += 1
            elif op == PIM_IN:
                m[first + C_IN + program[pc, I_COLUMN] // m[GIVEN, P_SLOTS], r] += 1
            elif op == PIM_OUT:
                m[first + C_OUT, r] += 1


@cached_njit(allocates=False)
def _refresh_owed(m: IntArray, mask: int) -> int:
    """All-bank refreshes that the ranks of a mask owe, the most of any of them."""
    unit = 8 if m[GIVEN, P_REFRESH] == REFRESH_PAIR else 1
    owed = 0
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            owed = max(owed, m[RANK + r, R_DEBT] // unit)
    return owed


@cached_njit(allocates=False)
def _go_on(m: IntArray, program: IntArray, unit: int) -> None:
    """Take a unit to its next instruction, or to the barrier or the end before which it must stand still."""
    while True:
        pc = m[WALKER + unit, W_PC]
        if pc >= program.shape[0]:
            m[WALKER + unit, W_AT] = AT_END
            return
        op = program[pc, I_OP]
        if op == LOOP:
            depth = m[WALKER + unit, W_DEPTH]
            m[WALKER + unit, W_LEFT + depth] = program[pc, I_COUNT]
            m[WALKER + unit, W_START + depth] = pc + 1
            m[WALKER + unit, W_DEPTH] = depth + 1
        elif op == END:
            depth = m[WALKER + unit, W_DEPTH] - 1
            m[WALKER + unit, W_LEFT + depth] -= 1
            if m[WALKER + unit, W_LEFT + depth] > 0:
                m[WALKER + unit, W_PC] = m[WALKER + unit, W_START + depth]
                continue
            m[WALKER + unit, W_DEPTH] = depth
        elif op == PIM_REFAB:  # a refresh point: the array unit, which runs ahead by a row, decides for all
            point = m[WALKER + unit, W_POINTS]
            if unit == U_ARRAY and point == m[STATE, S_REF_DECIDED]:
                last = min(m[WALKER + U_MAC, W_POINTS], m[WALKER + U_IN, W_POINTS], m[WALKER + U_OUT, W_POINTS])
                if point - last >= DECISIONS - 1:
                    m[WALKER + unit, W_AT] = AT_POINT
                    return
                owed = _refresh_owed(m, program[pc, I_MASK])
                m[DECIDED, point % DECISIONS] = 1 if owed > 0 else 0
                m[STATE, S_REF_DECIDED] = point + 1
            if point >= m[STATE, S_REF_DECIDED]:
                m[WALKER + unit, W_AT] = AT_POINT
                return
            if m[DECIDED, point % DECISIONS] != 0:
                m[WALKER + unit, W_AT] = AT_BARRIER
                return
            m[WALKER + unit, W_POINTS] = point + 1
        else:
            owner = _unit_of(op)
            if owner < 0:
                m[WALKER + unit, W_AT] = AT_BARRIER
                return
            if owner == unit:
                m[WALKER + unit, W_AT] = AT_RUN
                return
            _tell(m, SEEN + 9 * unit, program, pc)
        m[WALKER + unit, W_PC] = pc + 1


@cached_njit(allocates=False)
def start_program(m: IntArray, program: IntArray) -> None:
    """Bring all units before their first instruction."""
    for unit in range(4):
        _go_on(m, program, unit)


@cached_njit(allocates=False)
def _row_of(m: IntArray, program: IntArray, unit: int) -> int:
    """Row that an instruction names in this round of the loops around it."""
    pc = m[WALKER + unit, W_PC]
    row = program[pc, I_ROW]
    for depth in range(m[WALKER + unit, W_DEPTH]):
        start = m[WALKER + unit, W_START + depth]
        done = program[start - 1, I_COUNT] - m[WALKER + unit, W_LEFT + depth]
        row += done * program[pc, I_ROW_STEP + depth]
    return int(row)


@cached_njit(allocates=False)
def _waits_for(m: IntArray, unit: int, mask: int, what: int) -> bool:
    """Whether a rank of the mask has not yet done all that stands earlier in the program."""
    behind = False
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1 and m[DONE + what, r] < m[SEEN + 9 * unit + what, r]:
            behind = True
    return behind


@cached_njit(allocates=False)
def _lowest(mask: int) -> int:
    r = 0
    while (mask >> r) & 1 == 0:
        r += 1
    return r


@cached_njit(allocates=False)
def _latest(m: IntArray, mask: int, field: int, at: int) -> int:
    """The latest of a time over the ranks of a mask, not before ``at``."""
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            at = max(at, m[RANK + r, field])
    return at


@cached_njit(allocates=False)
def _pick_barrier(m: IntArray, program: IntArray, now: int) -> tuple[int, int, int, int]:
    """The next command of an instruction for which all units stand still: CK, command, mask, parity."""
    pc = m[WALKER + 0, W_PC]
    op = program[pc, I_OP]
    mask = program[pc, I_MASK]
    if op == PIM_ENTER:
        at = _latest(m, mask, REFAB, _latest(m, mask, R_READY, now))
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1:
                if m[RANK + r, R_MODE] == 2:
                    m[STATE, S_ERROR] = E_PIM_MODE
                m[STATE, S_PIM_RANKS] += 1 if m[RANK + r, R_MODE] == 0 else 0
                m[RANK + r, R_MODE] = 1
                m[RANK + r, R_TARGET] = -1
                if m[RANK + r, R_OPEN] > 0 or m[RANK + r, R_OPENING] >= 0:
                    at = NEVER
        return at, PIM_ENTER, mask, 0
    if op == PIM_EXIT:
        at = _latest(m, mask, R_EXIT, _latest(m, mask, R_READY, now))
        at = _latest(m, mask, R_REOPEN, _latest(m, mask, R_REOPEN + 1, at))
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1 and (m[RANK + r, R_MODE] != 2 or m[RANK + r, R_OPEN] > 0):
                m[STATE, S_ERROR] = E_PIM_MODE
        return at, PIM_EXIT, mask, 0
    # A refresh point at which refresh is due: close what is open, refresh, open it again.
    stage = m[STATE, S_REF_STAGE]
    if stage == 0:
        m[STATE, S_REF_LEFT] = _refresh_owed(m, mask)
        for parity in range(2):
            m[STATE, S_MASK0 + parity] = 0
            for r in range(m[GIVEN, P_RANKS]):
                row = m[RANK + r, R_PIM_ROW + parity]
                if (mask >> r) & 1 and row >= 0:
                    if m[STATE, S_MASK0 + parity] != 0 and m[STATE, S_ROW0 + parity] != row:
                        m[STATE, S_ERROR] = E_PIM_ROW
                    m[STATE, S_MASK0 + parity] |= 1 << r
                    m[STATE, S_ROW0 + parity] = row
        both = m[STATE, S_MASK0] != 0 and m[STATE, S_MASK1] != 0
        r = _lowest(mask)
        m[STATE, S_FIRST_PARITY] = 1 if both and m[RANK + r, R_COLUMN + 1] < m[RANK + r, R_COLUMN] else 0
        stage = 1
    while stage <= 2 and m[STATE, S_MASK0 + stage - 1] == 0:
        stage += 1
    if stage == 3 and m[STATE, S_REF_LEFT] <= 0:
        stage = 4
    while 4 <= stage <= 5 and m[STATE, S_MASK0 + ((stage - 4) ^ m[STATE, S_FIRST_PARITY])] == 0:
        stage += 1
    m[STATE, S_REF_STAGE] = stage
    if stage <= 2:
        parity = stage - 1
        return _latest(m, mask, R_CLOSE + parity, now), PIM_PRE, m[STATE, S_MASK0 + parity], parity
    at = _latest(m, mask, R_READY, now)
    if stage == 3:
        at = _latest(m, mask, R_REOPEN, _latest(m, mask, R_REOPEN + 1, at))
        return at, PIM_REFAB, mask, 0
    if stage <= 5:
        parity = (stage - 4) ^ m[STATE, S_FIRST_PARITY]
        at = _latest(m, mask, R_REOPEN + parity, _latest(m, mask, R_PIM_ACT, at))
        return at, PIM_ACT, m[STATE, S_MASK0 + parity], parity
    return NEVER, END, 0, 0


@cached_njit(allocates=False)
def _past_barrier(m: IntArray, program: IntArray) -> None:
    """Let all units go on behind the instruction for which they stood still."""
    is_point = program[m[WALKER + 0, W_PC], I_OP] == PIM_REFAB
    m[STATE, S_REF_STAGE] = 0
    for unit in range(4):
        m[WALKER + unit, W_PC] += 1
        if is_point:
            m[WALKER + unit, W_POINTS] += 1
    for unit in range(4):
        _go_on(m, program, unit)


@cached_njit(allocates=False)
def _pick_pim(m: IntArray, program: IntArray) -> tuple[int, int, int]:
    """Find the next command of the program: CK, unit (4 for a barrier), command. Note whether a unit wants DQ."""
    slots = m[GIVEN, P_SLOTS]
    m[STATE, S_PIM_WANTS] = 0
    now = m[STATE, S_NOW]
    while True:
        if now < m[STATE, S_PIM_FLOOR]:  # in a WAIT
            return NEVER, -1, NO_COMMAND
        standing = 0
        for unit in range(4):
            if m[WALKER + unit, W_AT] == AT_POINT:
                _go_on(m, program, unit)
            if m[WALKER + unit, W_AT] == AT_BARRIER:
                standing += 1
        if standing < 4:
            break
        pc = m[WALKER, W_PC]
        if program[pc, I_OP] == WAIT:
            m[STATE, S_PIM_FLOOR] = now + program[pc, I_COUNT]
        else:
            at, command, _, _ = _pick_barrier(m, program, now)
            if command != END:
                return at, 4, command
        _past_barrier(m, program)
    best_at = NEVER
    best = -1
    best_command = NO_COMMAND
    second_at = NEVER
    ended = 0
    for unit in (U_MAC, U_ARRAY, U_IN, U_OUT):
        if m[WALKER + unit, W_AT] != AT_RUN:
            if m[WALKER + unit, W_AT] == AT_END:
                ended += 1
            continue
        pc = m[WALKER + unit, W_PC]
        mask = program[pc, I_MASK]
        command = program[pc, I_OP]
        fresh = m[WALKER + unit, W_DONE] == 0
        if unit == U_MAC:
            parity = program[pc, I_BANK]
            inputs = program[pc, I_SET]
            if fresh and (
                _waits_for(m, U_MAC, mask, C_ACT + parity)
                or _waits_for(m, U_MAC, mask, C_IN + inputs)
                or _waits_for(m, U_MAC, mask, C_OUT)
            ):
                continue
            at = now
            for r in range(m[GIVEN, P_RANKS]):
                if (mask >> r) & 1:
                    at = max(at, m[RANK + r, R_PIM_MAC], m[RANK + r, R_READY])
                    if fresh:
                        at = max(at, m[RANK + r, R_COLUMN + parity], m[RANK + r, R_INPUT + inputs])
        elif unit == U_ARRAY:
            parity = program[pc, I_BANK]
            if command == PIM_ACT:
                at = _latest(m, mask, R_PIM_ACT, _latest(m, mask, R_READY, now))
                at = _latest(m, mask, R_REOPEN + parity, at)
            else:
                if _waits_for(m, U_ARRAY, mask, C_MAC + parity):
                    continue
                at = _latest(m, mask, R_CLOSE + parity, now)
        else:
            if unit == U_IN:
                if fresh and _waits_for(m, U_IN, mask, C_SET + program[pc, I_COLUMN] // slots):
                    continue
                column = WR
            else:
                if fresh and (_waits_for(m, U_OUT, mask, C_MAC) or _waits_for(m, U_OUT, mask, C_MAC + 1)):
                    continue
                column = RD
            m[STATE, S_PIM_WANTS] = 1
            if m[STATE, S_DQ_OWNER] == 0:
                continue
            at = _latest(m, mask, column, _latest(m, mask, R_READY, now))
            if unit == U_OUT:
                at = _latest(m, mask, R_PIM_OUT, at)
            r = _lowest(mask)
            if m[GIVEN, P_WCK_ALWAYS] == 0 and at > m[RANK + r, R_WCK]:
                # R_READY holds CAS back as well
                at = max(m[RANK + r, R_WCK], at - CAS_LEAD, _latest(m, mask, R_READY, now))
                command = CAS
        if at < best_at:
            second_at = best_at
            best_at = at
            best = unit
            best_command = command
        else:
            second_at = min(second_at, at)
    m[STATE, S_SECOND] = second_at
    if ended == 4:
        m[STATE, S_FINISHED] = 1
        m[STATE, S_DQ_OWNER] = m[STATE, S_COLUMNS_HELD] = 0  # only the NPU is left
    return best_at, best, best_command


@cached_njit(allocates=False)
def _issue_pim(m: IntArray, program: IntArray, log: IntArray, unit: int, command: int) -> None:
    """Issue one PIM command now, and let the unit go on when its instruction is done."""
    now = m[STATE, S_NOW]
    parity = 0
    row = -1
    if unit == 4:
        _, command, mask, parity = _pick_barrier(m, program, now)
        if command == PIM_ACT:
            row = m[STATE, S_ROW0 + parity]
        if command == PIM_REFAB:
            m[STATE, S_REF_LEFT] -= 1
        elif command in (PIM_PRE, PIM_ACT):
            m[STATE, S_REF_STAGE] += 1
        pc = m[WALKER + 0, W_PC]
    else:
        pc = m[WALKER + unit, W_PC]
        mask = program[pc, I_MASK]
        parity = program[pc, I_BANK]
        if command == PIM_ACT:
            row = _row_of(m, program, unit)
    ranks = 0
    for r in range(m[GIVEN, P_RANKS]):
        ranks += (mask >> r) & 1
    done = m[WALKER + unit, W_DONE] if unit < 4 else 0
    if command == CAS:
        r = _lowest(mask)
        _write_down(m, log, now, CAS, r, 1, -1, 0)
        m[RANK + r, R_WCK] = now + m[GIVEN, P_WCKIDLE]
        m[RANK + r, R_CAS] = 1
        return
    if command != PIM_ENTER:
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1 and m[RANK + r, R_MODE] != 2:
                m[STATE, S_ERROR] = E_PIM_MODE
    if command == PIM_MAC:
        column = (program[pc, I_COLUMN] + done) << 4
        _write_down(m, log, now, command, mask, ranks, parity | program[pc, I_SET] << 2, _word(-1, column))
        m[STATE, S_MAC_TOKENS] += program[pc, I_TOKENS] * ranks
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1:
                if m[RANK + r, R_PIM_ROW + parity] < 0:
                    m[STATE, S_ERROR] = E_PIM_ROW
                m[RANK + r, R_PIM_MAC] = now + m[GIVEN, P_NMAC]
                m[RANK + r, R_PIM_OUT] = now + m[GIVEN, P_NMAC]
                m[RANK + r, R_CLOSE + parity] = max(m[RANK + r, R_CLOSE + parity], now + m[GIVEN, P_NRTP])
    elif command == PIM_IN:
        slot = program[pc, I_COLUMN] + done
        _write_down(m, log, now, command, mask, ranks, -1, _word(-1, slot))
        end = now + m[GIVEN, P_NCWL] + m[GIVEN, P_NBL]
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1:
                _wait_of_rank(m, PIM_IN, r, now)
                inputs = slot // m[GIVEN, P_SLOTS]
                m[RANK + r, R_INPUT + inputs] = end
                m[RANK + r, R_EXIT] = max(m[RANK + r, R_EXIT], end)
        _wait_of_others(m, PIM_IN, mask, now)
        r = _lowest(mask)
        _keep_wck(m, r, end + m[GIVEN, P_WCKPST])
        m[STATE, S_END] = max(m[STATE, S_END], end)
        m[STATE, S_DQ_BURSTS] += 1
    elif command == PIM_OUT:
        r = _lowest(mask)
        burst = program[pc, I_COLUMN] + done
        mpu = program[pc, I_BANK] + burst // m[GIVEN, P_OUTS]
        _write_down(m, log, now, command, r, 1, r * BANKS + mpu, _word(-1, burst % m[GIVEN, P_OUTS]))
        end = now + m[GIVEN, P_NCL] + m[GIVEN, P_NBL]
        _wait_of_rank(m, PIM_OUT, r, now)
        _wait_of_others(m, PIM_OUT, mask, now)
        m[RANK + r, R_EXIT] = max(m[RANK + r, R_EXIT], end)
        _keep_wck(m, r, end + m[GIVEN, P_WCKPST])
        m[STATE, S_END] = max(m[STATE, S_END], end)
        m[STATE, S_DQ_BURSTS] += 1
    else:
        place = parity if command in (PIM_ACT, PIM_PRE) else -1
        _write_down(m, log, now, command, mask, ranks, place, _word(row, -1) if row >= 0 else 0)
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1:
                _change_state(m, command, r, parity, row, now)
    if unit == 4:
        if command in (PIM_ENTER, PIM_EXIT):
            _past_barrier(m, program)
        return
    runs = command in (PIM_MAC, PIM_IN, PIM_OUT)
    if runs and done + 1 < program[pc, I_COUNT]:
        m[WALKER + unit, W_DONE] = done + 1
        return
    m[WALKER + unit, W_DONE] = 0
    _tell(m, DONE, program, pc)
    m[WALKER + unit, W_PC] = pc + 1
    _go_on(m, program, unit)


@cached_njit(allocates=False)
def _change_state(m: IntArray, command: int, r: int, parity: int, row: int, now: int) -> None:
    """What a PIM command that moves no data does to one rank."""
    if command == PIM_ACT:
        if m[RANK + r, R_PIM_ROW + parity] >= 0:
            m[STATE, S_ERROR] = E_PIM_ROW
        m[RANK + r, R_PIM_ROW + parity] = row
        opened = now + m[GIVEN, P_OPENED]
        m[RANK + r, R_COLUMN + parity] = opened + m[GIVEN, P_NRCD]
        m[RANK + r, R_CLOSE + parity] = opened + m[GIVEN, P_NRAS]
        m[RANK + r, R_PIM_ACT] = now + m[GIVEN, P_ACT_ACT]
        _row_opened(m, r, now)
    elif command == PIM_PRE:
        m[RANK + r, R_REOPEN + parity] = now + m[GIVEN, P_NRPAB]
        m[RANK + r, R_CLOSE + 1 - parity] = max(m[RANK + r, R_CLOSE + 1 - parity], now + m[GIVEN, P_NPPD])
        _row_closed(m, r, 1 if m[RANK + r, R_PIM_ROW + parity] >= 0 else 0, now)
        m[RANK + r, R_PIM_ROW + parity] = -1
    elif command == PIM_REFAB:
        m[RANK + r, R_READY] = now + m[GIVEN, P_NRFCAB]
        m[RANK + r, R_DEBT] -= 8 if m[GIVEN, P_REFRESH] == REFRESH_PAIR else 1
        for b in range(r * BANKS, (r + 1) * BANKS):
            m[b, B_REFRESHES] += 1
    elif command == PIM_ENTER:
        m[RANK + r, R_MODE] = 2
        m[RANK + r, R_READY] = now + m[GIVEN, P_NMODE]
    else:  # PIM_EXIT
        m[RANK + r, R_MODE] = 0
        m[STATE, S_PIM_RANKS] -= 1
        _wait_of_rank(m, PIM_EXIT, r, now)


@cached_njit(allocates=False)
def _issue_macs(m: IntArray, program: IntArray, log: IntArray, before: int, most: int) -> int:
    """Go on with a run of MACs as long as no other command comes between, its last one excepted; return how many."""
    pc = m[WALKER + U_MAC, W_PC]
    done = m[WALKER + U_MAC, W_DONE]
    step = m[GIVEN, P_NMAC]
    first = m[STATE, S_LAST] + step
    n = min(program[pc, I_COUNT] - 1 - done, (before - 1 - first) // step + 1, most)
    if log.shape[0] > 0:
        n = min(n, log.shape[0] - 1 - m[STATE, S_LOGGED])
    if done == 0 or n <= 0:
        return 0
    mask = program[pc, I_MASK]
    parity = program[pc, I_BANK]
    ranks = 0
    last = first + (n - 1) * step
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            ranks += 1
            m[RANK + r, R_PIM_MAC] = last + step
            m[RANK + r, R_PIM_OUT] = last + step
            m[RANK + r, R_CLOSE + parity] = max(m[RANK + r, R_CLOSE + parity], last + m[GIVEN, P_NRTP])
    if log.shape[0] > 0:
        place = parity | program[pc, I_SET] << 2
        for k in range(n):
            column = (program[pc, I_COLUMN] + done + k) << 4
            _write_down(m, log, first + k * step, PIM_MAC, mask, ranks, place, _word(-1, column))
    else:
        m[COUNT, PIM_MAC] += n
        m[COUNT + 1, PIM_MAC] += n * ranks
        m[STATE, S_LAST] = last
    m[STATE, S_MAC_TOKENS] += program[pc, I_TOKENS] * ranks * n
    m[WALKER + U_MAC, W_DONE] = done + n
    m[STATE, S_NOW] = last + 1
    return int(n)


# --- one channel, two masters -----------------------------------------------------------------------------------


@cached_njit(allocates=False)
def _refresh_presses(m: IntArray) -> bool:
    """Whether a rank in PIM mode owes so much that its program must get to its next refresh point without waiting."""
    unit = 8 if m[GIVEN, P_REFRESH] == REFRESH_PAIR else 1
    presses = False
    for r in range(m[GIVEN, P_RANKS]):
        if m[RANK + r, R_MODE] == 2 and m[RANK + r, R_DEBT] >= PRESSING * unit:
            presses = True
    return presses


@cached_njit(allocates=False)
def _share_dq(m: IntArray) -> bool:
    """Decide who may use DQ next, the NPU (0) or the PIM program (1); return whether that changed."""
    npu_wants = m[STATE, S_NPU_WANTS] != 0
    pim_wants = m[STATE, S_PIM_WANTS] != 0
    owner = m[STATE, S_DQ_OWNER]
    if pim_wants and m[STATE, S_DQ_WAITS] < 0:
        m[STATE, S_DQ_WAITS] = m[STATE, S_NOW]
    if not pim_wants:
        wanted = 0
        m[STATE, S_DQ_WAITS] = -1
    elif not npu_wants or m[GIVEN, P_POLICY] == PIM_FIRST or _refresh_presses(m):
        wanted = 1
    elif m[GIVEN, P_POLICY] == NPU_FIRST:  # PIM waits, but not for ever
        wanted = 1 if owner == 1 or m[STATE, S_NOW] - m[STATE, S_DQ_WAITS] >= m[GIVEN, P_WAIT] else 0
    else:
        wanted = 1 - owner if m[STATE, S_DQ_BURSTS] >= m[GIVEN, P_QUANTUM] else owner
    if wanted == owner:
        return False
    m[STATE, S_DQ_OWNER] = wanted
    m[STATE, S_COLUMNS_HELD] = wanted
    m[STATE, S_DQ_BURSTS] = 0
    return True


@cached_njit(allocates=False)
def _pim_wins(m: IntArray, urgency: int) -> bool:
    """Who gets a command slot that both could use; ACT-2 before its deadline goes first in any case."""
    if urgency < 0:
        return False
    if m[GIVEN, P_POLICY] == ROUND_ROBIN:
        m[STATE, S_LAST_WINNER] = 1 - m[STATE, S_LAST_WINNER]
        return bool(m[STATE, S_LAST_WINNER] == 1)
    return bool(m[GIVEN, P_POLICY] == PIM_FIRST)


@cached_njit(allocates=False)
def _alone(m: IntArray, place: int, now: int) -> bool:
    """Whether the ACT-2 of a bank opened now may go next, no other rank being between its ACTs."""
    soonest = max(m[place, ACT2], m[GROUP + (place >> 2), ACT2], m[RANK + (place >> 4), ACT2])
    return bool(m[STATE, S_OPENINGS] == 0 and soonest <= now + 1)


@cached_njit(allocates=False)
def run(m: IntArray, requests: IntArray, served_at: IntArray, program: IntArray, log: IntArray, commands: int) -> int:
    """Run the channel until all is done, the log is full, or so many commands are issued.

    With S_UNTIL it stops at that CK at the latest, and takes nothing for done or stuck before, so that
    ``lpspec.dram.run.move_kernels`` can add requests; with S_DRAIN all writes go before reads. Where nothing but
    refresh happens for long, and no log is kept, it jumps.

    Args:
        m: State, which the run moves on.
        requests: int64 [n, 5] in order of arrival: CK, 0 read or 1 write, bank of the channel, row, column.
        served_at: int64 [n], filled with the CK at which each request's data ends.
        program: int64 [instructions, INSTRUCTION_FIELDS]; empty for none.
        log: int64 [room, 5], filled with CK, command, rank or mask, bank, row and column; empty to keep none.
        commands: Commands after which to stop.

    Returns:
        1 if all is done, 0 if there is more to do, a negative error otherwise.
    """
    total = requests.shape[0]
    computes = program.shape[0] > 0
    refreshes = m[GIVEN, P_REFRESH] != REFRESH_NONE
    m[STATE, S_LOGGED] = 0
    if not computes:
        m[STATE, S_FINISHED] = 1
    stale = True
    stale_pim = computes
    at = NEVER
    at_pim = NEVER
    command = NO_COMMAND
    command_pim = NO_COMMAND
    place = 0
    slot = -1
    unit = -1
    urgency = 0
    patience = 64 * m[GIVEN, P_NREFI]
    left = commands
    while left > 0 and (log.shape[0] == 0 or m[STATE, S_LOGGED] < log.shape[0] - 1):
        i = m[STATE, S_NEXT]
        if i < total and requests[i, 0] <= m[STATE, S_NOW] and _admit(m, requests):
            stale = True
        if refreshes and m[STATE, S_NEXT_DUE] <= m[STATE, S_NOW]:
            _count_dues(m)
            stale = True
        if m[STATE, S_SERVED] == total and m[STATE, S_FINISHED] != 0 and m[STATE, S_UNTIL] == NEVER:
            return 1
        if m[STATE, S_NOW] >= m[STATE, S_UNTIL]:
            return 0
        if stale_pim and m[STATE, S_FINISHED] == 0:
            at_pim, unit, command_pim = _pick_pim(m, program)
            if m[STATE, S_FINISHED] != 0:
                stale = True
                continue
            if _share_dq(m):
                stale = True
                continue
            stale_pim = False
        if stale:
            _choose_way(m)
            at, command, place, slot, urgency = _pick(m)
            stale = False
            if computes and m[STATE, S_FINISHED] == 0 and _share_dq(m):
                stale = True
                stale_pim = True
                continue
        horizon_of_requests = m[STATE, S_UNTIL]
        if m[STATE, S_NEXT] < total and m[STATE, S_QUEUED + requests[m[STATE, S_NEXT], 1]] < QUEUE:
            horizon_of_requests = min(horizon_of_requests, requests[m[STATE, S_NEXT], 0])
        horizon = min(horizon_of_requests, m[STATE, S_NEXT_DUE])
        if m[STATE, S_PIM_FLOOR] > m[STATE, S_NOW]:
            horizon = min(horizon, m[STATE, S_PIM_FLOOR])
        if m[STATE, S_PIM_WANTS] != 0 and m[STATE, S_DQ_OWNER] == 0:  # npu-first ends its turn then
            horizon = min(horizon, max(m[STATE, S_DQ_WAITS] + m[GIVEN, P_WAIT], m[STATE, S_NOW] + 1))
        if computes and m[STATE, S_FINISHED] != 0:
            at_pim = NEVER
        first = min(at, at_pim)
        if horizon <= first:
            if horizon == NEVER:
                return -E_DEADLOCK
            if (
                first == NEVER
                and horizon_of_requests == NEVER
                and horizon == m[STATE, S_NEXT_DUE]
                and horizon > max(m[STATE, S_PROGRESS], m[STATE, S_PIM_FLOOR]) + patience
            ):
                return -E_DEADLOCK  # nothing but refreshes come due, and they free nobody
            idle = first == NEVER and horizon == m[STATE, S_NEXT_DUE] and m[STATE, S_PIM_WANTS] == 0
            if idle and log.shape[0] == 0 and m[STATE, S_FIRST] >= 0:
                until = horizon_of_requests
                if m[STATE, S_PIM_FLOOR] > m[STATE, S_NOW]:
                    until = min(until, m[STATE, S_PIM_FLOOR])
                if until < NEVER and until - horizon > IDLE_ROUNDS * m[GIVEN, P_NREFI] and _skip_refreshes(m, until):
                    continue
            m[STATE, S_NOW] = horizon
            if horizon in (horizon_of_requests, m[STATE, S_PIM_FLOOR]):
                m[STATE, S_PROGRESS] = horizon
            stale = True
            stale_pim = computes
            continue
        m[STATE, S_NOW] = first
        macs = False
        if at_pim == first and (at != first or _pim_wins(m, urgency)):
            _issue_pim(m, program, log, unit, command_pim)
            m[STATE, S_PROGRESS] = first
            stale_pim = True
            macs = command_pim == PIM_MAC and at > first and not stale
            if at == first or command_pim in (PIM_IN, PIM_OUT, PIM_ENTER, PIM_EXIT):
                stale = True
        else:
            _issue(m, requests, served_at, log, command, place, slot)
            stale = True
            if (
                command == ACT1
                and min(horizon, at_pim, m[STATE, S_NEXT_COLUMN]) > first + 1
                and _alone(m, place, first)
            ):
                # Nothing can come between: take ACT-2 with it instead of searching for it.
                first += 1
                left -= 1
                m[STATE, S_NOW] = first
                _issue(m, requests, served_at, log, ACT2, place, slot)
            if command not in (REFAB, REFPB, PREAB):
                m[STATE, S_PROGRESS] = first
            elif (
                min(at_pim, horizon_of_requests) == NEVER
                and first > max(m[STATE, S_PROGRESS], m[STATE, S_PIM_FLOOR]) + patience
            ):
                return -E_DEADLOCK  # nothing but refreshes for a long time, and nothing to come
            stale_pim = computes
        m[STATE, S_NOW] = first + 1
        left -= 1
        if macs:
            left -= _issue_macs(m, program, log, min(at, horizon, m[STATE, S_SECOND]), left)
        if m[STATE, S_ERROR] != 0:
            return -int(m[STATE, S_ERROR])
    if m[STATE, S_SERVED] == total and m[STATE, S_FINISHED] != 0 and m[STATE, S_UNTIL] == NEVER:
        return 1
    return 0
