"""The exact engine of one channel, compiled: every command at the CK at which the rules and the controller allow it.

Integers only; time in CK. There are no idle ticks: the next command is searched, and time jumps to it. State lies in
a few int64 arrays whose columns are named below, so that a run can stop and go on (``NUMBA_DISABLE_JIT=1`` runs it
as plain Python). A bank's number counts over the channel: rank * 16 + bank_group * 4 + bank. All of it is in one file
because numba renews a cached function only when its own file changes.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

NEVER = 1 << 60
BANKS = 16  # banks of a rank
QUEUE = 32  # entries of the read queue, and of the write queue
CAS_LEAD = 8  # a CAS may go this many CK before the access that it is for, so that some free slot is found

# Commands, as lpspec.dram.rules.COMMANDS numbers them; the first eight are also the classes that wait.
ACT1, ACT2, RD, WR, PRE, PREAB, REFAB, REFPB, RDA, WRA, CAS = range(11)
PIM_ENTER, PIM_EXIT, PIM_ACT, PIM_PRE, PIM_IN, PIM_MAC, PIM_OUT, PIM_REFAB = range(11, 19)
CLASSES = 8
NO_COMMAND = -1

# Levels of the latency table.
AT_BANK, AT_GROUP, AT_RANK, AT_OTHER = range(4)

# A bank: when each class of command may go (columns 0-7), its row, and its requests, each for reads and writes.
B_ROW = 8  # open row, -1 if none
B_OPENING = 9  # row named by ACT-1, until ACT-2
B_HEAD, B_TAIL = 10, 12  # oldest and youngest request, -1 if none
B_HIT, B_FIRST = 14, 16  # oldest request that may go and finds its row open; oldest that may go at all
B_ACTIVE = 18  # place in the list of banks with work, -1 if not there
B_REFRESHES = 20
BANK_FIELDS = 24

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
R_REFRESHES = 21  # REFAB and PIM_REFAB
R_FAW1, R_FAW2 = 24, 28  # times of the last four ACT-1s, ACT-2s
R_FAW1_AT, R_FAW2_AT = 32, 33  # which of them is the oldest
# PIM mode: when each may go
R_READY = 34  # anything, after a mode switch or refresh
R_PIM_ACT, R_PIM_MAC, R_PIM_OUT = 35, 36, 37
R_COLUMN, R_CLOSE, R_REOPEN, R_PIM_ROW = 38, 40, 42, 44  # by parity: MAC, PRE, ACT after PRE; open row
R_INPUT = 46  # by set of input registers: MAC
R_EXIT = 48
R_CAS = 49  # whether WCK runs for a CAS that no access has followed yet
RANK_FIELDS = 56
ALL_BANKS = 64
MOST_POSTPONED = 7  # the eighth must be under way when the ninth comes due
MOST_POSTPONED_PAIRS = 54  # a pair may be first in one round and last in the next: 54 + 15 + 1 < 9 * 8

# A request in a queue.
Q_ROW, Q_COLUMN, Q_BANK, Q_AGE, Q_AFTER, Q_NEXT, Q_KIND = range(7)
QUEUE_FIELDS = 8
HIT, MISS, CONFLICT = range(3)

# Scalars that change.
# fmt: off
(
    S_NOW, S_NEXT, S_SERVED, S_WRITING, S_ACTIVE, S_ACTIVE_W, S_QUEUED, S_QUEUED_W, S_FREE, S_FREE_W,
    S_HITS, S_MISSES, S_CONFLICTS, S_FIRST, S_LAST, S_END, S_BLOCKED_READS, S_BLOCKED_SINCE,
    S_ERROR, S_LOGGED, S_NEXT_DUE, S_LAST_WINNER, S_DQ_OWNER, S_DQ_BURSTS, S_DQ_WAITS, S_PIM_WANTS, S_FINISHED,
    S_PIM_FLOOR, S_REF_DECIDED, S_REF_LEFT, S_REF_STAGE, S_MAC_TOKENS, S_MAC_PENDING, S_COLUMNS_HELD,
    S_ROW0, S_ROW1, S_MASK0, S_MASK1, S_FIRST_PARITY,
) = range(39)
# fmt: on
SCALARS = 64

# Parameters that don't.
# fmt: off
(
    P_RANKS, P_REFRESH, P_POSTPONE, P_WCK_ALWAYS, P_DRAIN_HIGH, P_DRAIN_LOW, P_PAGE_CLOSED, P_POLICY, P_QUANTUM,
    P_PATIENCE, P_NREFI, P_NFAW, P_NAAD, P_NCL, P_NCWL, P_NBL, P_WCKPST, P_WCKIDLE, P_WAIT,
    P_NMODE, P_NMAC, P_NRCD, P_NRAS, P_NRTP, P_NRPAB, P_NRFCAB, P_OPENED, P_ACT_ACT, P_MPUS, P_SLOTS, P_OUTS,
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
WALKER_FIELDS = 16
AT_RUN, AT_BARRIER, AT_POINT, AT_END = range(4)
DECISIONS = 64

# What units tell each other, counted per rank: instructions done against instructions passed over.
C_ACT, C_MAC, C_SET, C_IN, C_OUT = 0, 2, 4, 6, 8

# Errors.
E_DEADLOCK, E_ACT2_LATE, E_PIM_MODE, E_PIM_ROW = range(1, 5)


class Channel(NamedTuple):
    """State of one channel: what a run needs to go on where it stopped."""

    bank: IntArray  # [ranks * 16, BANK_FIELDS]
    group: IntArray  # [ranks * 4, CLASSES]
    rank: IntArray  # [ranks, RANK_FIELDS]
    queue: IntArray  # [64, QUEUE_FIELDS], reads first
    active: IntArray  # [2, ranks * 16], banks with work for reads, for writes
    free: IntArray  # [2, 32], free places of the queues
    scalar: IntArray  # [SCALARS]
    count: IntArray  # [2, 19], commands by code, and the same times the ranks that take each
    parameter: IntArray  # [PARAMETERS]
    latency: IntArray  # [4, 19, CLASSES]
    walker: IntArray  # [4, WALKER_FIELDS]
    seen: IntArray  # [4, 9, ranks]
    done: IntArray  # [9, ranks]
    decided: IntArray  # [64]


def new_channel(parameter: IntArray, latency: IntArray) -> Channel:
    """A channel at CK 0: all banks closed, WCK stopped, nothing queued."""
    ranks = int(parameter[P_RANKS])
    bank = np.zeros((ranks * BANKS, BANK_FIELDS), np.int64)
    bank[:, B_ROW:B_REFRESHES] = -1
    rank = np.zeros((ranks, RANK_FIELDS), np.int64)
    rank[:, R_OPENING] = rank[:, R_TARGET] = rank[:, R_WCK] = -1
    rank[:, R_FAW1:R_FAW1_AT] = -NEVER
    rank[:, R_PIM_ROW : R_PIM_ROW + 2] = -1
    scalar = np.zeros(SCALARS, np.int64)
    scalar[S_FIRST] = -1
    scalar[S_NEXT_DUE] = NEVER
    if parameter[P_REFRESH] != REFRESH_NONE:
        step = parameter[P_NREFI] if parameter[P_REFRESH] == REFRESH_ALL else parameter[P_NREFI] // 8
        rank[:, R_DUE] = [step + r * step // ranks for r in range(ranks)]  # ranks take turns
        scalar[S_NEXT_DUE] = rank[:, R_DUE].min()
    free = np.empty((2, QUEUE), np.int64)
    free[0] = np.arange(QUEUE)[::-1]
    free[1] = np.arange(QUEUE, 2 * QUEUE)[::-1]
    return Channel(
        bank=bank,
        group=np.zeros((ranks * 4, CLASSES), np.int64),
        rank=rank,
        queue=np.zeros((2 * QUEUE, QUEUE_FIELDS), np.int64),
        active=np.zeros((2, ranks * BANKS), np.int64),
        free=free,
        scalar=scalar,
        count=np.zeros((2, 19), np.int64),
        parameter=parameter,
        latency=latency,
        walker=np.zeros((4, WALKER_FIELDS), np.int64),
        seen=np.zeros((4, 9, ranks), np.int64),
        done=np.zeros((9, ranks), np.int64),
        decided=np.zeros(DECISIONS, np.int64),
    )


# --- requests and their banks ----------------------------------------------------------------------------------


@njit(cache=True)
def _look_over(bank: IntArray, queue: IntArray, active: IntArray, scalar: IntArray, place: int, way: int) -> None:
    """Find a bank's oldest request and oldest hit that may go, and keep the list of banks with work."""
    row = bank[place, B_ROW]
    hit = -1
    first = -1
    slot = bank[place, B_HEAD + way]
    while slot >= 0:
        if queue[slot, Q_AFTER] < 0:
            if first < 0:
                first = slot
            if queue[slot, Q_ROW] == row:
                hit = slot
                break
        slot = queue[slot, Q_NEXT]
    bank[place, B_HIT + way] = hit
    bank[place, B_FIRST + way] = first
    at = bank[place, B_ACTIVE + way]
    if first >= 0 and at < 0:
        n = scalar[S_ACTIVE + way]
        active[way, n] = place
        bank[place, B_ACTIVE + way] = n
        scalar[S_ACTIVE + way] = n + 1
    elif first < 0 and at >= 0:
        n = scalar[S_ACTIVE + way] - 1
        last = active[way, n]
        active[way, at] = last
        bank[last, B_ACTIVE + way] = at
        bank[place, B_ACTIVE + way] = -1
        scalar[S_ACTIVE + way] = n


@njit(cache=True)
def _admit(
    bank: IntArray,
    rank: IntArray,
    queue: IntArray,
    active: IntArray,
    free: IntArray,
    scalar: IntArray,
    requests: IntArray,
) -> bool:
    """Let requests into the queues, in order, as long as they have come and their queue has room."""
    admitted = False
    while scalar[S_NEXT] < requests.shape[0]:
        i = scalar[S_NEXT]
        way = requests[i, 1]
        if requests[i, 0] > scalar[S_NOW] or scalar[S_QUEUED + way] == QUEUE:
            break
        place = requests[i, 2]
        row = requests[i, 3]
        column = requests[i, 4]
        slot = free[way, QUEUE - 1 - scalar[S_QUEUED + way]]
        scalar[S_QUEUED + way] += 1
        # A read waits for an older write to its address, a write for an older read: the youngest of them.
        after = -1
        other = bank[place, B_HEAD + 1 - way]
        while other >= 0:
            if queue[other, Q_ROW] == row and queue[other, Q_COLUMN] == column:
                after = other
            other = queue[other, Q_NEXT]
        queue[slot, Q_ROW] = row
        queue[slot, Q_COLUMN] = column
        queue[slot, Q_BANK] = place
        queue[slot, Q_AGE] = i
        queue[slot, Q_AFTER] = after
        queue[slot, Q_NEXT] = -1
        queue[slot, Q_KIND] = HIT
        if after < 0:
            scalar[S_FREE + way] += 1
        elif way == 0:
            if scalar[S_BLOCKED_READS] == 0:
                scalar[S_BLOCKED_SINCE] = scalar[S_NOW]
            scalar[S_BLOCKED_READS] += 1
        tail = bank[place, B_TAIL + way]
        if tail < 0:
            bank[place, B_HEAD + way] = slot
        else:
            queue[tail, Q_NEXT] = slot
        bank[place, B_TAIL + way] = slot
        rank[place // BANKS, R_QUEUED] += 1
        if after < 0 and (tail < 0 or bank[place, B_HIT + way] < 0):
            _look_over(bank, queue, active, scalar, place, way)
        scalar[S_NEXT] = i + 1
        admitted = True
    return admitted


@njit(cache=True)
def _retire(
    bank: IntArray,
    rank: IntArray,
    queue: IntArray,
    active: IntArray,
    free: IntArray,
    scalar: IntArray,
    slot: int,
    way: int,
) -> None:
    """Take a served request out of its queue, and let go those that waited for it."""
    place = queue[slot, Q_BANK]
    before = -1
    at = bank[place, B_HEAD + way]
    while at != slot:
        before = at
        at = queue[at, Q_NEXT]
    follower = queue[slot, Q_NEXT]
    if before < 0:
        bank[place, B_HEAD + way] = follower
    else:
        queue[before, Q_NEXT] = follower
    if follower < 0:
        bank[place, B_TAIL + way] = before
    scalar[S_QUEUED + way] -= 1
    scalar[S_FREE + way] -= 1
    free[way, QUEUE - 1 - scalar[S_QUEUED + way]] = slot
    rank[place // BANKS, R_QUEUED] -= 1
    _look_over(bank, queue, active, scalar, place, way)
    other = bank[place, B_HEAD + 1 - way]
    freed = False
    while other >= 0:
        if queue[other, Q_AFTER] == slot:
            queue[other, Q_AFTER] = -1
            scalar[S_FREE + 1 - way] += 1
            freed = True
            if way == 1:
                scalar[S_BLOCKED_READS] -= 1
                scalar[S_BLOCKED_SINCE] = scalar[S_NOW]
        other = queue[other, Q_NEXT]
    if freed:
        _look_over(bank, queue, active, scalar, place, 1 - way)


@njit(cache=True)
def _choose_way(scalar: IntArray, parameter: IntArray) -> None:
    """Decide between serving reads and draining writes, by watermarks, and so that nobody waits for ever."""
    reads = scalar[S_FREE]
    writes = scalar[S_FREE_W]
    overdue = scalar[S_BLOCKED_READS] > 0 and scalar[S_NOW] - scalar[S_BLOCKED_SINCE] >= parameter[P_PATIENCE]
    if scalar[S_WRITING] == 0:
        if writes > 0 and (reads == 0 or overdue or scalar[S_QUEUED_W] >= parameter[P_DRAIN_HIGH]):
            scalar[S_WRITING] = 1
    elif writes == 0 or (reads > 0 and not overdue and scalar[S_QUEUED_W] <= parameter[P_DRAIN_LOW]):
        scalar[S_WRITING] = 0


# --- refresh ----------------------------------------------------------------------------------------------------


@njit(cache=True)
def _count_dues(rank: IntArray, scalar: IntArray, parameter: IntArray) -> None:
    """Note the refreshes that have come due; eight REFPB make up one REFAB."""
    ranks = rank.shape[0]
    soonest = NEVER
    for r in range(ranks):
        while rank[r, R_DUE] <= scalar[S_NOW]:
            rank[r, R_DEBT] += 1
            rank[r, R_DUES] += 1
            k = rank[r, R_DUES] + 1
            if parameter[P_REFRESH] == REFRESH_ALL:
                rank[r, R_DUE] = k * parameter[P_NREFI] + r * parameter[P_NREFI] // ranks
            else:
                rank[r, R_DUE] = k * parameter[P_NREFI] // 8 + r * (parameter[P_NREFI] // 8) // ranks
        soonest = min(soonest, rank[r, R_DUE])
    scalar[S_NEXT_DUE] = soonest


@njit(cache=True)
def _work_of(bank: IntArray, queue: IntArray, place: int) -> int:
    """Requests queued for a bank."""
    n = 0
    for way in range(2):
        slot = bank[place, B_HEAD + way]
        while slot >= 0:
            n += 1
            slot = queue[slot, Q_NEXT]
    return n


@njit(cache=True)
def _plan_refresh(bank: IntArray, rank: IntArray, queue: IntArray, parameter: IntArray, r: int) -> None:
    """Hold a rank or a pair of banks for refresh when it is idle, or when no more can be postponed."""
    if parameter[P_REFRESH] == REFRESH_ALL:
        if rank[r, R_DEBT] > min(parameter[P_POSTPONE], MOST_POSTPONED) or rank[r, R_QUEUED] == 0:
            rank[r, R_TARGET] = ALL_BANKS
        return
    best = -1
    least = NEVER
    for pair in range(8):
        if (rank[r, R_ROUND] >> pair) & 1 == 0:
            place = r * BANKS + pair
            work = _work_of(bank, queue, place) + _work_of(bank, queue, place + 8)
            if work < least:
                least = work
                best = pair
    if least == 0 or rank[r, R_DEBT] > min(8 * parameter[P_POSTPONE], MOST_POSTPONED_PAIRS):
        rank[r, R_TARGET] = best


# --- choosing the next plain command ----------------------------------------------------------------------------


@njit(cache=True)
def _pick(
    bank: IntArray,
    group: IntArray,
    rank: IntArray,
    queue: IntArray,
    active: IntArray,
    scalar: IntArray,
    parameter: IntArray,
) -> tuple[int, int, int, int, int]:
    """Find the next plain command: earliest first, then by urgency, then by age (FR-FCFS).

    Returns:
        CK, command, bank (or rank for rank commands), queue slot, urgency; the CK is NEVER if there is none.
    """
    now = scalar[S_NOW]
    way = scalar[S_WRITING]
    column = RD + way
    wck_always = parameter[P_WCK_ALWAYS] != 0
    held = scalar[S_COLUMNS_HELD] != 0
    best_at = NEVER
    best_key = NEVER
    best = NO_COMMAND
    best_place = 0
    best_slot = -1
    for i in range(scalar[S_ACTIVE + way]):
        place = active[way, i]
        r = place // BANKS
        target = rank[r, R_TARGET]
        if rank[r, R_MODE] != 0 or target == ALL_BANKS or target == (place & 7):
            continue
        if bank[place, B_ROW] >= 0:
            slot = bank[place, B_HIT + way]
            if slot >= 0:
                if held:
                    continue
                at = max(max(bank[place, column], group[place >> 2, column]), max(rank[r, column], now))
                command = column
                key = queue[slot, Q_AGE]
                if not wck_always and at > rank[r, R_WCK]:
                    early = max(max(rank[r, R_WCK], at - CAS_LEAD), now)
                    key += 3 << 40 if early >= at - 1 else 7 << 40
                    at = early
                    command = CAS
            else:
                at = max(max(bank[place, PRE], rank[r, PRE]), now)
                slot = bank[place, B_FIRST + way]
                command = PRE
                key = queue[slot, Q_AGE] + (5 << 40)
        else:
            if rank[r, R_OPENING] >= 0:
                continue
            at = max(max(bank[place, ACT1], group[place >> 2, ACT1]), max(rank[r, ACT1], now))
            slot = bank[place, B_FIRST + way]
            command = ACT1
            key = queue[slot, Q_AGE] + (5 << 40)
        if at < best_at or (at == best_at and key < best_key):
            best_at = at
            best_key = key
            best = command
            best_place = place
            best_slot = slot
    for r in range(rank.shape[0]):
        place = rank[r, R_OPENING]
        if place >= 0:  # between ACT-1 and ACT-2
            at = max(max(bank[place, ACT2], group[place >> 2, ACT2]), max(rank[r, ACT2], now))
            key = (1 << 40) + r
            if now >= rank[r, R_ACT1_AT] + parameter[P_NAAD] - rank.shape[0]:
                key = -NEVER + r
            if at < best_at or (at == best_at and key < best_key):
                best_at = at
                best_key = key
                best = ACT2
                best_place = place
            continue
        if rank[r, R_MODE] == 2:
            continue
        if rank[r, R_MODE] == 1:  # on the way into PIM mode
            if rank[r, R_OPEN] > 0:
                at = max(rank[r, PREAB], now)
                if at < best_at or (at == best_at and (4 << 40) < best_key):
                    best_at = at
                    best_key = 4 << 40
                    best = PREAB
                    best_place = r
            continue
        if rank[r, R_DEBT] > 0 and rank[r, R_TARGET] < 0:
            _plan_refresh(bank, rank, queue, parameter, r)
        target = rank[r, R_TARGET]
        if target < 0:
            continue
        if target == ALL_BANKS:
            command = PREAB if rank[r, R_OPEN] > 0 else REFAB
            place = r
            at = max(rank[r, command], now)
        else:
            place = r * BANKS + target
            command = PRE
            if bank[place, B_ROW] < 0:
                place += 8
                if bank[place, B_ROW] < 0:
                    command = REFPB
                    place -= 8
            at = max(max(bank[place, command], rank[r, command]), now)
            if command == REFPB:
                at = max(at, bank[place + 8, REFPB])
        if at < best_at or (at == best_at and (4 << 40) + r < best_key):
            best_at = at
            best_key = (4 << 40) + r
            best = command
            best_place = place
            best_slot = -1
    return best_at, best, best_place, best_slot, best_key


# --- issuing ----------------------------------------------------------------------------------------------------


@njit(cache=True)
def _wait_of_bank(bank: IntArray, group: IntArray, latency: IntArray, command: int, place: int, now: int) -> None:
    """Let the bank and its group wait as the rules say."""
    for c in range(CLASSES):
        bank[place, c] = max(bank[place, c], now + latency[AT_BANK, command, c])
        group[place >> 2, c] = max(group[place >> 2, c], now + latency[AT_GROUP, command, c])


@njit(cache=True)
def _wait_of_rank(rank: IntArray, latency: IntArray, command: int, r: int, now: int) -> None:
    """Let the rank wait as the rules say."""
    for c in range(CLASSES):
        rank[r, c] = max(rank[r, c], now + latency[AT_RANK, command, c])


@njit(cache=True)
def _wait_of_others(rank: IntArray, latency: IntArray, command: int, mask: int, now: int) -> None:
    """Let the column commands of all ranks outside the mask wait for DQ."""
    for r in range(rank.shape[0]):
        if (mask >> r) & 1 == 0:
            rank[r, RD] = max(rank[r, RD], now + latency[AT_OTHER, command, RD])
            rank[r, WR] = max(rank[r, WR], now + latency[AT_OTHER, command, WR])


@njit(cache=True)
def _keep_wck(rank: IntArray, r: int, until: int) -> None:
    """Let WCK of a rank run on behind a burst; what the CAS before it allowed ends with the first access."""
    rank[r, R_WCK] = until if rank[r, R_CAS] != 0 else max(rank[r, R_WCK], until)
    rank[r, R_CAS] = 0


@njit(cache=True)
def _row_opened(rank: IntArray, r: int, now: int) -> None:
    if rank[r, R_OPEN] == 0:
        rank[r, R_SINCE] = now
    rank[r, R_OPEN] += 1


@njit(cache=True)
def _row_closed(rank: IntArray, r: int, rows: int, now: int) -> None:
    rank[r, R_OPEN] -= rows
    if rows > 0 and rank[r, R_OPEN] == 0:
        rank[r, R_ACTIVE] += now - rank[r, R_SINCE]


@njit(cache=True)
def _write_down(
    log: IntArray,
    scalar: IntArray,
    count: IntArray,
    now: int,
    command: int,
    mask: int,
    ranks: int,
    place: int,
    word: int,
) -> None:
    """Count a command and, if a log is kept, note it: CK, command, rank (or mask), bank, row << 16 | column."""
    count[0, command] += 1
    count[1, command] += ranks
    if scalar[S_FIRST] < 0:
        scalar[S_FIRST] = now
    scalar[S_LAST] = now
    if log.shape[0] > 0:
        n = scalar[S_LOGGED]
        log[n, 0] = now
        log[n, 1] = command
        log[n, 2] = mask
        log[n, 3] = place
        log[n, 4] = word
        scalar[S_LOGGED] = n + 1


NO_ROW = -1


@njit(cache=True)
def _word(row: int, column: int) -> int:
    """Row and column in one number, both shifted by one so that none is zero."""
    return ((row + 1) << 16) | (column + 1)


@njit(cache=True)
def _issue(
    channel: Channel, requests: IntArray, served_at: IntArray, log: IntArray, command: int, place: int, slot: int
) -> None:
    """Issue one plain command now: what it opens or closes, what it makes wait, and whom it serves."""
    bank, group, rank, queue, active, free, scalar, count, parameter, latency = channel[:10]
    now = scalar[S_NOW]
    way = scalar[S_WRITING]
    r = place // BANKS
    if command == PREAB or command == REFAB:
        r = place
        _write_down(log, scalar, count, now, command, r, 1, -1, 0)
        _wait_of_rank(rank, latency, command, r, now)
        if command == PREAB:
            for b in range(r * BANKS, (r + 1) * BANKS):
                if bank[b, B_ROW] >= 0:
                    bank[b, B_ROW] = -1
                    _look_over(bank, queue, active, scalar, b, 0)
                    _look_over(bank, queue, active, scalar, b, 1)
            _row_closed(rank, r, rank[r, R_OPEN], now)
        else:
            rank[r, R_DEBT] -= 1
            rank[r, R_REFRESHES] += 1
            rank[r, R_TARGET] = -1
            for b in range(r * BANKS, (r + 1) * BANKS):
                bank[b, B_REFRESHES] += 1
        return
    if command == CAS:
        _write_down(log, scalar, count, now, CAS, r, 1, -1, 0)
        rank[r, R_WCK] = now + parameter[P_WCKIDLE]
        rank[r, R_CAS] = 1
        return
    if command == ACT1:
        row = queue[slot, Q_ROW]
        _write_down(log, scalar, count, now, ACT1, r, 1, place, _word(row, -1))
        bank[place, B_OPENING] = row
        rank[r, R_OPENING] = place
        rank[r, R_ACT1_AT] = now
        if queue[slot, Q_KIND] == HIT:
            queue[slot, Q_KIND] = MISS
        oldest = rank[r, R_FAW1_AT]
        rank[r, R_FAW1 + oldest] = now
        oldest = (oldest + 1) & 3
        rank[r, R_FAW1_AT] = oldest
        _wait_of_bank(bank, group, latency, ACT1, place, now)
        _wait_of_rank(rank, latency, ACT1, r, now)
        rank[r, ACT1] = max(rank[r, ACT1], rank[r, R_FAW1 + oldest] + parameter[P_NFAW])
    elif command == ACT2:
        if now > rank[r, R_ACT1_AT] + parameter[P_NAAD]:
            scalar[S_ERROR] = E_ACT2_LATE
        row = bank[place, B_OPENING]
        _write_down(log, scalar, count, now, ACT2, r, 1, place, _word(row, -1))
        bank[place, B_ROW] = row
        rank[r, R_OPENING] = -1
        oldest = rank[r, R_FAW2_AT]
        rank[r, R_FAW2 + oldest] = now
        oldest = (oldest + 1) & 3
        rank[r, R_FAW2_AT] = oldest
        _wait_of_bank(bank, group, latency, ACT2, place, now)
        _wait_of_rank(rank, latency, ACT2, r, now)
        rank[r, ACT2] = max(rank[r, ACT2], rank[r, R_FAW2 + oldest] + parameter[P_NFAW])
        _row_opened(rank, r, now)
        _look_over(bank, queue, active, scalar, place, 0)
        _look_over(bank, queue, active, scalar, place, 1)
    elif command == PRE:
        _write_down(log, scalar, count, now, PRE, r, 1, place, 0)
        bank[place, B_ROW] = -1
        if slot >= 0:
            queue[slot, Q_KIND] = CONFLICT
        _wait_of_bank(bank, group, latency, PRE, place, now)
        _wait_of_rank(rank, latency, PRE, r, now)
        _row_closed(rank, r, 1, now)
        _look_over(bank, queue, active, scalar, place, 0)
        _look_over(bank, queue, active, scalar, place, 1)
    elif command == REFPB:
        _write_down(log, scalar, count, now, REFPB, r, 1, place, 0)
        _wait_of_bank(bank, group, latency, REFPB, place, now)
        _wait_of_bank(bank, group, latency, REFPB, place + 8, now)
        _wait_of_rank(rank, latency, REFPB, r, now)
        bank[place, B_REFRESHES] += 1
        bank[place + 8, B_REFRESHES] += 1
        rank[r, R_DEBT] -= 1
        rank[r, R_TARGET] = -1
        rank[r, R_ROUND] |= 1 << (place & 7)
        if rank[r, R_ROUND] == 255:
            rank[r, R_ROUND] = 0
    else:  # RD or WR, with auto-precharge under a closed page if no other request wants the row
        row = queue[slot, Q_ROW]
        column = queue[slot, Q_COLUMN]
        kind = queue[slot, Q_KIND]
        age = queue[slot, Q_AGE]
        scalar[S_HITS + kind] += 1
        _retire(bank, rank, queue, active, free, scalar, slot, way)
        code = command
        if parameter[P_PAGE_CLOSED] != 0 and bank[place, B_HIT] < 0 and bank[place, B_HIT + 1] < 0:
            code = command + RDA - RD
        _write_down(log, scalar, count, now, code, r, 1, place, _word(row, column))
        _wait_of_bank(bank, group, latency, code, place, now)
        _wait_of_rank(rank, latency, code, r, now)
        _wait_of_others(rank, latency, code, 1 << r, now)
        end = now + parameter[P_NCL + way] + parameter[P_NBL]
        _keep_wck(rank, r, end + parameter[P_WCKPST])
        scalar[S_END] = max(scalar[S_END], end)
        served_at[age] = end
        scalar[S_SERVED] += 1
        scalar[S_DQ_BURSTS] += 1
        if code != command:
            bank[place, B_ROW] = -1
            _row_closed(rank, r, 1, now)
            _look_over(bank, queue, active, scalar, place, 0)
            _look_over(bank, queue, active, scalar, place, 1)
        _admit(bank, rank, queue, active, free, scalar, requests)


# --- PIM programs -----------------------------------------------------------------------------------------------


@njit(cache=True)
def _unit_of(op: int) -> int:
    """The unit that takes an instruction; -1 if all must stand still for it."""
    if op == PIM_MAC:
        return U_MAC
    if op == PIM_ACT or op == PIM_PRE:
        return U_ARRAY
    if op == PIM_IN:
        return U_IN
    if op == PIM_OUT:
        return U_OUT
    return -1


@njit(cache=True)
def _tell(counter: IntArray, instruction: IntArray, slots: int) -> None:
    """Count an instruction for each rank that takes it."""
    op = instruction[I_OP]
    for r in range(counter.shape[1]):
        if (instruction[I_MASK] >> r) & 1:
            if op == PIM_ACT:
                counter[C_ACT + instruction[I_BANK], r] += 1
            elif op == PIM_MAC:
                counter[C_MAC + instruction[I_BANK], r] += 1
                counter[C_SET + instruction[I_SET], r] += 1
            elif op == PIM_IN:
                counter[C_IN + instruction[I_COLUMN] // slots, r] += 1
            elif op == PIM_OUT:
                counter[C_OUT, r] += 1


@njit(cache=True)
def _refresh_owed(rank: IntArray, parameter: IntArray, mask: int) -> int:
    """All-bank refreshes that the ranks of a mask owe, the most of any of them."""
    unit = 8 if parameter[P_REFRESH] == REFRESH_PAIR else 1
    owed = 0
    for r in range(rank.shape[0]):
        if (mask >> r) & 1:
            owed = max(owed, rank[r, R_DEBT] // unit)
    return owed


@njit(cache=True)
def _go_on(channel: Channel, program: IntArray, unit: int) -> None:
    """Take a unit to its next instruction, or to the barrier or the end before which it must stand still."""
    walker, seen, scalar, parameter = channel.walker, channel.seen, channel.scalar, channel.parameter
    slots = parameter[P_SLOTS]
    while True:
        pc = walker[unit, W_PC]
        if pc >= program.shape[0]:
            walker[unit, W_AT] = AT_END
            return
        op = program[pc, I_OP]
        if op == LOOP:
            depth = walker[unit, W_DEPTH]
            walker[unit, W_LEFT + depth] = program[pc, I_COUNT]
            walker[unit, W_START + depth] = pc + 1
            walker[unit, W_DEPTH] = depth + 1
        elif op == END:
            depth = walker[unit, W_DEPTH] - 1
            walker[unit, W_LEFT + depth] -= 1
            if walker[unit, W_LEFT + depth] > 0:
                walker[unit, W_PC] = walker[unit, W_START + depth]
                continue
            walker[unit, W_DEPTH] = depth
        elif op == PIM_REFAB:  # a refresh point: the array unit, which runs ahead by a row, decides for all
            point = walker[unit, W_POINTS]
            if unit == U_ARRAY and point == scalar[S_REF_DECIDED]:
                last = min(walker[U_MAC, W_POINTS], min(walker[U_IN, W_POINTS], walker[U_OUT, W_POINTS]))
                if point - last >= DECISIONS - 1:
                    walker[unit, W_AT] = AT_POINT
                    return
                owed = _refresh_owed(channel.rank, parameter, program[pc, I_MASK])
                channel.decided[point % DECISIONS] = 1 if owed > 0 else 0
                scalar[S_REF_DECIDED] = point + 1
            if point >= scalar[S_REF_DECIDED]:
                walker[unit, W_AT] = AT_POINT
                return
            if channel.decided[point % DECISIONS] != 0:
                walker[unit, W_AT] = AT_BARRIER
                return
            walker[unit, W_POINTS] = point + 1
        else:
            owner = _unit_of(op)
            if owner < 0:
                walker[unit, W_AT] = AT_BARRIER
                return
            if owner == unit:
                walker[unit, W_AT] = AT_RUN
                return
            _tell(seen[unit], program[pc], slots)
        walker[unit, W_PC] = pc + 1


@njit(cache=True)
def start_program(channel: Channel, program: IntArray) -> None:
    """Bring all units before their first instruction."""
    for unit in range(4):
        _go_on(channel, program, unit)


@njit(cache=True)
def _row_of(walker: IntArray, program: IntArray, unit: int) -> int:
    """Row that an instruction names in this round of the loops around it."""
    pc = walker[unit, W_PC]
    row = program[pc, I_ROW]
    for depth in range(walker[unit, W_DEPTH]):
        start = walker[unit, W_START + depth]
        done = program[start - 1, I_COUNT] - walker[unit, W_LEFT + depth]
        row += done * program[pc, I_ROW_STEP + depth]
    return row


@njit(cache=True)
def _waits_for(done: IntArray, seen: IntArray, mask: int, what: int) -> bool:
    """Whether a rank of the mask has not yet done all that stands earlier in the program."""
    for r in range(done.shape[1]):
        if (mask >> r) & 1 and done[what, r] < seen[what, r]:
            return True
    return False


@njit(cache=True)
def _lowest(mask: int) -> int:
    r = 0
    while (mask >> r) & 1 == 0:
        r += 1
    return r


@njit(cache=True)
def _latest(rank: IntArray, mask: int, field: int, at: int) -> int:
    """The latest of a time over the ranks of a mask, not before ``at``."""
    for r in range(rank.shape[0]):
        if (mask >> r) & 1:
            at = max(at, rank[r, field])
    return at


@njit(cache=True)
def _pick_barrier(channel: Channel, program: IntArray, now: int) -> tuple[int, int, int, int]:
    """The next command of an instruction for which all units stand still: CK, command, mask, parity."""
    rank, scalar = channel.rank, channel.scalar
    pc = channel.walker[0, W_PC]
    op = program[pc, I_OP]
    mask = program[pc, I_MASK]
    if op == PIM_ENTER:
        at = _latest(rank, mask, REFAB, _latest(rank, mask, R_READY, now))
        for r in range(rank.shape[0]):
            if (mask >> r) & 1:
                if rank[r, R_MODE] == 2:
                    scalar[S_ERROR] = E_PIM_MODE
                rank[r, R_MODE] = 1
                rank[r, R_TARGET] = -1
                if rank[r, R_OPEN] > 0 or rank[r, R_OPENING] >= 0:
                    at = NEVER
        return at, PIM_ENTER, mask, 0
    if op == PIM_EXIT:
        at = _latest(rank, mask, R_EXIT, _latest(rank, mask, R_READY, now))
        at = _latest(rank, mask, R_REOPEN, _latest(rank, mask, R_REOPEN + 1, at))
        for r in range(rank.shape[0]):
            if (mask >> r) & 1 and (rank[r, R_MODE] != 2 or rank[r, R_OPEN] > 0):
                scalar[S_ERROR] = E_PIM_MODE
        return at, PIM_EXIT, mask, 0
    # A refresh point at which refresh is due: close what is open, refresh, open it again.
    stage = scalar[S_REF_STAGE]
    if stage == 0:
        scalar[S_REF_LEFT] = _refresh_owed(rank, channel.parameter, mask)
        for parity in range(2):
            scalar[S_MASK0 + parity] = 0
            for r in range(rank.shape[0]):
                row = rank[r, R_PIM_ROW + parity]
                if (mask >> r) & 1 and row >= 0:
                    if scalar[S_MASK0 + parity] != 0 and scalar[S_ROW0 + parity] != row:
                        scalar[S_ERROR] = E_PIM_ROW
                    scalar[S_MASK0 + parity] |= 1 << r
                    scalar[S_ROW0 + parity] = row
        both = scalar[S_MASK0] != 0 and scalar[S_MASK1] != 0
        r = _lowest(mask)
        scalar[S_FIRST_PARITY] = 1 if both and rank[r, R_COLUMN + 1] < rank[r, R_COLUMN] else 0
        stage = 1
    while stage <= 2 and scalar[S_MASK0 + stage - 1] == 0:
        stage += 1
    if stage == 3 and scalar[S_REF_LEFT] <= 0:
        stage = 4
    while 4 <= stage <= 5 and scalar[S_MASK0 + ((stage - 4) ^ scalar[S_FIRST_PARITY])] == 0:
        stage += 1
    scalar[S_REF_STAGE] = stage
    if stage <= 2:
        parity = stage - 1
        return _latest(rank, mask, R_CLOSE + parity, now), PIM_PRE, scalar[S_MASK0 + parity], parity
    at = _latest(rank, mask, R_READY, now)
    if stage == 3:
        at = _latest(rank, mask, R_REOPEN, _latest(rank, mask, R_REOPEN + 1, at))
        return at, PIM_REFAB, mask, 0
    if stage <= 5:
        parity = (stage - 4) ^ scalar[S_FIRST_PARITY]
        at = _latest(rank, mask, R_REOPEN + parity, _latest(rank, mask, R_PIM_ACT, at))
        return at, PIM_ACT, scalar[S_MASK0 + parity], parity
    return NEVER, END, 0, 0


@njit(cache=True)
def _past_barrier(channel: Channel, program: IntArray) -> None:
    """Let all units go on behind the instruction for which they stood still."""
    is_point = program[channel.walker[0, W_PC], I_OP] == PIM_REFAB
    channel.scalar[S_REF_STAGE] = 0
    for unit in range(4):
        channel.walker[unit, W_PC] += 1
        if is_point:
            channel.walker[unit, W_POINTS] += 1
    for unit in range(4):
        _go_on(channel, program, unit)


@njit(cache=True)
def _pick_pim(channel: Channel, program: IntArray) -> tuple[int, int, int]:
    """Find the next command of the program: CK, unit (4 for a barrier), command. Note whether a unit wants DQ."""
    walker, seen, done, rank = channel.walker, channel.seen, channel.done, channel.rank
    scalar, parameter = channel.scalar, channel.parameter
    slots = parameter[P_SLOTS]
    scalar[S_PIM_WANTS] = 0
    now = max(scalar[S_NOW], scalar[S_PIM_FLOOR])
    standing = 0
    for unit in range(4):
        if walker[unit, W_AT] == AT_POINT:
            _go_on(channel, program, unit)
        if walker[unit, W_AT] == AT_BARRIER:
            standing += 1
    while standing == 4:
        pc = walker[0, W_PC]
        if program[pc, I_OP] == WAIT:
            scalar[S_PIM_FLOOR] = now + program[pc, I_COUNT]
            now = scalar[S_PIM_FLOOR]
        else:
            at, command, _, _ = _pick_barrier(channel, program, now)
            if command != END:
                return at, 4, command
        _past_barrier(channel, program)
        standing = 0
        for unit in range(4):
            if walker[unit, W_AT] == AT_BARRIER:
                standing += 1
    best_at = NEVER
    best = -1
    best_command = NO_COMMAND
    ended = 0
    for unit in (U_MAC, U_IN, U_OUT, U_ARRAY):
        if walker[unit, W_AT] != AT_RUN:
            if walker[unit, W_AT] == AT_END:
                ended += 1
            continue
        pc = walker[unit, W_PC]
        mask = program[pc, I_MASK]
        command = program[pc, I_OP]
        fresh = walker[unit, W_DONE] == 0
        if unit == U_MAC:
            parity = program[pc, I_BANK]
            inputs = program[pc, I_SET]
            if fresh and (
                _waits_for(done, seen[U_MAC], mask, C_ACT + parity)
                or _waits_for(done, seen[U_MAC], mask, C_IN + inputs)
                or _waits_for(done, seen[U_MAC], mask, C_OUT)
            ):
                continue
            at = now
            for r in range(rank.shape[0]):
                if (mask >> r) & 1:
                    at = max(max(at, rank[r, R_PIM_MAC]), rank[r, R_READY])
                    if fresh:
                        at = max(max(at, rank[r, R_COLUMN + parity]), rank[r, R_INPUT + inputs])
        elif unit == U_ARRAY:
            parity = program[pc, I_BANK]
            if command == PIM_ACT:
                at = _latest(rank, mask, R_PIM_ACT, _latest(rank, mask, R_READY, now))
                at = _latest(rank, mask, R_REOPEN + parity, at)
            else:
                if _waits_for(done, seen[U_ARRAY], mask, C_MAC + parity):
                    continue
                at = _latest(rank, mask, R_CLOSE + parity, now)
        else:
            if unit == U_IN:
                if fresh and _waits_for(done, seen[U_IN], mask, C_SET + program[pc, I_COLUMN] // slots):
                    continue
                column = WR
            else:
                if fresh and (
                    _waits_for(done, seen[U_OUT], mask, C_MAC) or _waits_for(done, seen[U_OUT], mask, C_MAC + 1)
                ):
                    continue
                column = RD
            scalar[S_PIM_WANTS] = 1
            if scalar[S_DQ_OWNER] == 0:
                continue
            at = _latest(rank, mask, column, _latest(rank, mask, R_READY, now))
            if unit == U_OUT:
                at = _latest(rank, mask, R_PIM_OUT, at)
            r = _lowest(mask)
            if parameter[P_WCK_ALWAYS] == 0 and at > rank[r, R_WCK]:
                # R_READY holds CAS back as well
                at = max(max(rank[r, R_WCK], at - CAS_LEAD), _latest(rank, mask, R_READY, now))
                command = CAS
        if at < best_at:
            best_at = at
            best = unit
            best_command = command
    if ended == 4:
        scalar[S_FINISHED] = 1
    return best_at, best, best_command


@njit(cache=True)
def _issue_pim(channel: Channel, program: IntArray, log: IntArray, unit: int, command: int) -> None:
    """Issue one PIM command now, and let the unit go on when its instruction is done."""
    _, _, rank, _, _, _, scalar, count, parameter, latency = channel[:10]
    walker = channel.walker
    now = scalar[S_NOW]
    parity = 0
    row = -1
    if unit == 4:
        _, command, mask, parity = _pick_barrier(channel, program, now)
        if command == PIM_ACT:
            row = scalar[S_ROW0 + parity]
        if command == PIM_REFAB:
            scalar[S_REF_LEFT] -= 1
        elif command == PIM_PRE or command == PIM_ACT:
            scalar[S_REF_STAGE] += 1
        pc = walker[0, W_PC]
    else:
        pc = walker[unit, W_PC]
        mask = program[pc, I_MASK]
        parity = program[pc, I_BANK]
        if command == PIM_ACT:
            row = _row_of(walker, program, unit)
    ranks = 0
    for r in range(rank.shape[0]):
        ranks += (mask >> r) & 1
    done = walker[unit, W_DONE] if unit < 4 else 0
    if command == CAS:
        r = _lowest(mask)
        _write_down(log, scalar, count, now, CAS, r, 1, -1, 0)
        rank[r, R_WCK] = now + parameter[P_WCKIDLE]
        rank[r, R_CAS] = 1
        return
    if command != PIM_ENTER:
        for r in range(rank.shape[0]):
            if (mask >> r) & 1 and rank[r, R_MODE] != 2:
                scalar[S_ERROR] = E_PIM_MODE
    if command == PIM_MAC:
        column = (program[pc, I_COLUMN] + done) << 4
        _write_down(log, scalar, count, now, command, mask, ranks, parity, _word(program[pc, I_SET], column))
        scalar[S_MAC_TOKENS] += program[pc, I_TOKENS] * ranks
        for r in range(rank.shape[0]):
            if (mask >> r) & 1:
                if rank[r, R_PIM_ROW + parity] < 0:
                    scalar[S_ERROR] = E_PIM_ROW
                rank[r, R_PIM_MAC] = now + parameter[P_NMAC]
                rank[r, R_PIM_OUT] = now + parameter[P_NMAC]
                rank[r, R_CLOSE + parity] = max(rank[r, R_CLOSE + parity], now + parameter[P_NRTP])
    elif command == PIM_IN:
        slot = program[pc, I_COLUMN] + done
        _write_down(log, scalar, count, now, command, mask, ranks, -1, _word(-1, slot))
        end = now + parameter[P_NCWL] + parameter[P_NBL]
        for r in range(rank.shape[0]):
            if (mask >> r) & 1:
                _wait_of_rank(rank, latency, PIM_IN, r, now)
                inputs = slot // parameter[P_SLOTS]
                rank[r, R_INPUT + inputs] = end
                rank[r, R_EXIT] = max(rank[r, R_EXIT], end)
        _wait_of_others(rank, latency, PIM_IN, mask, now)
        r = _lowest(mask)
        _keep_wck(rank, r, end + parameter[P_WCKPST])
        scalar[S_END] = max(scalar[S_END], end)
        scalar[S_DQ_BURSTS] += 1
    elif command == PIM_OUT:
        r = _lowest(mask)
        burst = program[pc, I_COLUMN] + done
        mpu = program[pc, I_BANK] + burst // parameter[P_OUTS]
        _write_down(log, scalar, count, now, command, r, 1, r * BANKS + mpu, _word(-1, burst % parameter[P_OUTS]))
        end = now + parameter[P_NCL] + parameter[P_NBL]
        _wait_of_rank(rank, latency, PIM_OUT, r, now)
        _wait_of_others(rank, latency, PIM_OUT, mask, now)
        rank[r, R_EXIT] = max(rank[r, R_EXIT], end)
        _keep_wck(rank, r, end + parameter[P_WCKPST])
        scalar[S_END] = max(scalar[S_END], end)
        scalar[S_DQ_BURSTS] += 1
    else:
        place = parity if command == PIM_ACT or command == PIM_PRE else -1
        _write_down(log, scalar, count, now, command, mask, ranks, place, _word(row, -1) if row >= 0 else 0)
        for r in range(rank.shape[0]):
            if (mask >> r) & 1:
                _change_state(channel, command, r, parity, row, now)
    if unit == 4:
        if command == PIM_ENTER or command == PIM_EXIT:
            _past_barrier(channel, program)
        return
    runs = command in (PIM_MAC, PIM_IN, PIM_OUT)
    if runs and done + 1 < program[pc, I_COUNT]:
        walker[unit, W_DONE] = done + 1
        return
    walker[unit, W_DONE] = 0
    _tell(channel.done, program[pc], parameter[P_SLOTS])
    walker[unit, W_PC] = pc + 1
    _go_on(channel, program, unit)


@njit(cache=True)
def _change_state(channel: Channel, command: int, r: int, parity: int, row: int, now: int) -> None:
    """What a PIM command that moves no data does to one rank."""
    rank, parameter = channel.rank, channel.parameter
    if command == PIM_ACT:
        if rank[r, R_PIM_ROW + parity] >= 0:
            channel.scalar[S_ERROR] = E_PIM_ROW
        rank[r, R_PIM_ROW + parity] = row
        opened = now + parameter[P_OPENED]
        rank[r, R_COLUMN + parity] = opened + parameter[P_NRCD]
        rank[r, R_CLOSE + parity] = opened + parameter[P_NRAS]
        rank[r, R_PIM_ACT] = now + parameter[P_ACT_ACT]
        _row_opened(rank, r, now)
    elif command == PIM_PRE:
        rank[r, R_REOPEN + parity] = now + parameter[P_NRPAB]
        _row_closed(rank, r, 1 if rank[r, R_PIM_ROW + parity] >= 0 else 0, now)
        rank[r, R_PIM_ROW + parity] = -1
    elif command == PIM_REFAB:
        rank[r, R_READY] = now + parameter[P_NRFCAB]
        rank[r, R_DEBT] -= 8 if parameter[P_REFRESH] == REFRESH_PAIR else 1
        rank[r, R_REFRESHES] += 1
        for b in range(r * BANKS, (r + 1) * BANKS):
            channel.bank[b, B_REFRESHES] += 1
    elif command == PIM_ENTER:
        rank[r, R_MODE] = 2
        rank[r, R_READY] = now + parameter[P_NMODE]
    else:  # PIM_EXIT
        rank[r, R_MODE] = 0
        _wait_of_rank(rank, channel.latency, PIM_EXIT, r, now)


# --- one channel, two masters -----------------------------------------------------------------------------------


@njit(cache=True)
def _share_dq(scalar: IntArray, parameter: IntArray) -> bool:
    """Decide who may use DQ next, the NPU (0) or the PIM program (1); return whether that changed."""
    npu_wants = scalar[S_ACTIVE + scalar[S_WRITING]] > 0
    pim_wants = scalar[S_PIM_WANTS] != 0
    owner = scalar[S_DQ_OWNER]
    if pim_wants and scalar[S_DQ_WAITS] < 0:
        scalar[S_DQ_WAITS] = scalar[S_NOW]
    if not pim_wants:
        wanted = 0
        scalar[S_DQ_WAITS] = -1
    elif not npu_wants or parameter[P_POLICY] == PIM_FIRST:
        wanted = 1
    elif parameter[P_POLICY] == NPU_FIRST:  # PIM waits, but not for ever
        wanted = 1 if owner == 1 or scalar[S_NOW] - scalar[S_DQ_WAITS] >= parameter[P_WAIT] else 0
    else:
        wanted = 1 - owner if scalar[S_DQ_BURSTS] >= parameter[P_QUANTUM] else owner
    if wanted == owner:
        return False
    scalar[S_DQ_OWNER] = wanted
    scalar[S_COLUMNS_HELD] = wanted
    scalar[S_DQ_BURSTS] = 0
    return True


@njit(cache=True)
def _pim_wins(scalar: IntArray, parameter: IntArray, urgency: int) -> bool:
    """Who gets a command slot that both could use; ACT-2 before its deadline goes first in any case."""
    if urgency < 0:
        return False
    if parameter[P_POLICY] == ROUND_ROBIN:
        scalar[S_LAST_WINNER] = 1 - scalar[S_LAST_WINNER]
        return bool(scalar[S_LAST_WINNER] == 1)
    return bool(parameter[P_POLICY] == PIM_FIRST)


@njit(cache=True)
def run(
    channel: Channel, requests: IntArray, served_at: IntArray, program: IntArray, log: IntArray, commands: int
) -> int:
    """Run the channel until all is done, the log is full, or so many commands are issued.

    Args:
        channel: State, which the run moves on.
        requests: int64 [n, 5] in order of arrival: CK, 0 read or 1 write, bank of the channel, row, column.
        served_at: int64 [n], filled with the CK at which each request's data ends.
        program: int64 [instructions, INSTRUCTION_FIELDS]; empty for none.
        log: int64 [room, 5], filled with CK, command, rank or mask, bank, row and column; empty to keep none.
        commands: Commands after which to stop.

    Returns:
        1 if all is done, 0 if there is more to do, a negative error otherwise.
    """
    bank, group, rank, queue, active, free, scalar, _, parameter, _ = channel[:10]
    total = requests.shape[0]
    computes = program.shape[0] > 0
    refreshes = parameter[P_REFRESH] != REFRESH_NONE
    scalar[S_LOGGED] = 0
    if not computes:
        scalar[S_FINISHED] = 1
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
    left = commands
    while left > 0 and (log.shape[0] == 0 or scalar[S_LOGGED] < log.shape[0]):
        if _admit(bank, rank, queue, active, free, scalar, requests):
            stale = True
        if refreshes and scalar[S_NEXT_DUE] <= scalar[S_NOW]:
            _count_dues(rank, scalar, parameter)
            stale = True
        if scalar[S_SERVED] == total and scalar[S_FINISHED] != 0:
            return 1
        if stale_pim and scalar[S_FINISHED] == 0:
            at_pim, unit, command_pim = _pick_pim(channel, program)
            if scalar[S_FINISHED] != 0:
                continue
            if _share_dq(scalar, parameter):
                stale = True
                continue
            stale_pim = False
        if stale:
            _choose_way(scalar, parameter)
            at, command, place, slot, urgency = _pick(bank, group, rank, queue, active, scalar, parameter)
            stale = False
            if computes and scalar[S_FINISHED] == 0 and _share_dq(scalar, parameter):
                stale = True
                stale_pim = True
                continue
        horizon = NEVER
        if scalar[S_NEXT] < total and scalar[S_QUEUED + requests[scalar[S_NEXT], 1]] < QUEUE:
            horizon = requests[scalar[S_NEXT], 0]
        if refreshes:
            horizon = min(horizon, scalar[S_NEXT_DUE])
        if computes and scalar[S_FINISHED] != 0:
            at_pim = NEVER
        first = min(at, at_pim)
        if horizon <= first:
            if horizon == NEVER:
                return -E_DEADLOCK
            scalar[S_NOW] = horizon
            stale = True
            stale_pim = computes
            continue
        scalar[S_NOW] = first
        if at_pim == first and (at != first or _pim_wins(scalar, parameter, urgency)):
            _issue_pim(channel, program, log, unit, command_pim)
            stale_pim = True
            if at == first or command_pim in (PIM_IN, PIM_OUT, PIM_ENTER, PIM_EXIT):
                stale = True
        else:
            _issue(channel, requests, served_at, log, command, place, slot)
            stale = True
            stale_pim = computes
        scalar[S_NOW] = first + 1
        left -= 1
        if scalar[S_ERROR] != 0:
            return -scalar[S_ERROR]
    if scalar[S_SERVED] == total and scalar[S_FINISHED] != 0:
        return 1
    return 0
