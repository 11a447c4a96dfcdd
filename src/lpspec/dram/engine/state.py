"""The state of one channel: one int64 array, whose rows and fields have their names here.

Integers only; time in CK. There are no idle ticks: the next command is searched, and time jumps to it. State lies in
one int64 array whose fields are named below, so that a run can stop and go on (``NUMBA_DISABLE_JIT=1`` runs it
as plain Python). A bank's number counts over the channel: rank, bank group, bank.
"""

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.rules import *
from lpspec.dram.rules import COMMANDS

NEVER = 1 << 60
NO_RULE = -NEVER  # a latency that never binds
BANK_BITS, GROUP_BITS = 4, 2  # of the number of a bank in its rank, and in its group: LPDDR5 in bank-group mode
BANKS = 1 << BANK_BITS  # banks of a rank
BANKS_OF_GROUP = 1 << GROUP_BITS
PAIRS = BANKS // 2  # REFPB refreshes bank b and its twin b + PAIRS
COLUMN_BITS = 4  # of the number of a beat in its burst: columns are counted in beats; LPDDR6 counts 16 a BL24 too
BEATS = 1 << COLUMN_BITS  # of a burst of 32 B, as PIM has them; those of 64 B (BL48) have twice as many
IN_FAW = 4  # activations that nFAW holds
QUEUE = 32  # entries of the read queue, and of the write queue
CAS_LEAD = 8  # a CAS may go this many CK before the access that it is for, so that some free slot is found

CODES = len(COMMANDS)  # of commands, named as in lpspec.dram.rules
CLASSES = 8  # the first of them, which also wait
BOTH = CODES  # ACT-1, and its ACT-2 in the next slot: no command, but a row of the latency table
NO_COMMAND = -1
IDLE_ROUNDS = 8  # intervals of refresh that a channel must stand idle before they are counted in one go

# A bank: when each class of command may go (columns 0-7), its row, and its requests, each for reads and writes.
B_ROW = 8  # open row, -1 if none
B_OPENING = 9  # row named by ACT-1, until ACT-2
B_HEAD, B_TAIL = 10, 12  # oldest and youngest request, -1 if none
B_HIT, B_FIRST = 14, 16  # oldest request that may go and finds its row open; oldest that may go at all
B_QUEUED = 18  # requests in the queues
B_OWED = 19  # request for which its row was opened, until that is served or the row closed; -1 if none
B_REFRESHES = 20
B_USED = 21  # CK of the last command to its open row
B_FOR = 22  # request for which it needs what it needs next, -1 if none

# A rank: when each class may go (columns 0-7), then the rest.
R_OPENING = 8  # bank between ACT-1 and ACT-2, -1 if none
R_ACT1_AT = 9
R_WCK = 10  # last CK at which an access needs no CAS; NEVER if WCK always runs
R_OPEN = 11  # open banks
R_SINCE, R_ACTIVE = 12, 13  # since when some bank is open; CK so far in which one was
R_DUE, R_DUES, R_DEBT = 14, 15, 16  # next refresh due, how many came due, how many are owed
R_TARGET = 17  # what is held for refresh: -1 nothing, a pair of banks, or ALL_BANKS
R_ROUND = 18  # pairs refreshed in this round, one bit each
R_QUEUED = 19  # requests in the queues
R_MODE = 20  # 0 plain, 1 held for PIM_ENTER, 2 in PIM mode
R_FAW1, R_FAW2 = 24, 29  # times of the last IN_FAW ACT-1s, ACT-2s; behind them which is the oldest
# PIM mode: when each may go
R_READY = 34  # anything, after a mode switch or refresh
R_PIM_ACT, R_PIM_MAC, R_PIM_OUT = 35, 36, 37
R_COLUMN, R_CLOSE, R_REOPEN, R_PIM_ROW = 38, 40, 42, 44  # by parity: MAC, PRE, ACT after PRE; open row
R_INPUT = 46  # by set of input registers: MAC
R_EXIT = 48
R_CAS = 49  # whether WCK runs for a CAS that no access has followed yet
R_FREE = 53  # requests that wait for no other, for reads and writes
R_WROTE = 55  # LPDDR6: whether the last access since CAS is a write, so that a read needs a CAS whether WCK runs or not
R_GAP, R_AFTER = 56, 57  # BL48: CK at which a column command fills the gap of the last burst; if not, from when on
ALL_BANKS = 64
MOST_POSTPONED = 7  # the eighth must be under way when the ninth comes due
PRESSING = 4  # owed by a rank in PIM mode, half of what may be postponed
MOST_POSTPONED_PAIRS = 54  # a pair may be first in one round and last in the next: 54 + 15 + 1 < 9 * 8

# A request in a queue.
Q_ROW, Q_COLUMN, Q_BANK, Q_AGE, Q_AFTER, Q_NEXT, Q_KIND, Q_SINCE = range(8)  # no bank: the place is free
HIT, MISS, CONFLICT = range(3)

# What each bank of a rank needs next: the CK from which its own rules and those of its group and rank let it go; its
# key, which orders commands that may go at once, as a column command and as any other, NOTHING if it is no such; class.
N_AT, N_COLUMN, N_ROW, N_CLASS = 0, BANKS, 2 * BANKS, 3 * BANKS

# A score orders commands: CK from now, then the most urgent, then the oldest request; a key is all but the first.
PLACE_BITS = 7  # of the number of a bank
AGE_BITS = 30  # of a request's number
KEY_BITS = PLACE_BITS + AGE_BITS + 3
COLUMN_FIRST, ACT2_NEXT, CAS_NOW, REFRESH_NEXT, ROW_NEXT, CAS_EARLY, CLOSE_IDLE = (
    n << PLACE_BITS + AGE_BITS for n in range(7)
)
OVERDUE_ROW = ACT2_NEXT  # a row for the request that has waited longest: before any other but behind columns
URGENCY = 7 << PLACE_BITS + AGE_BITS
AT_ONCE = -1  # an ACT-2 that can't wait any longer
NOTHING = 1 << 62  # above every score
MOST_CK = (NOTHING >> KEY_BITS) - 1  # from now, in a score

# Scalars that change.
# fmt: off
(
    S_NOW, S_NEXT, S_SERVED, S_WRITING, S_QUEUED, S_QUEUED_W, S_FREE, S_FREE_W,
    S_HITS, S_MISSES, S_CONFLICTS, S_FIRST, S_LAST, S_END, S_BLOCKED_READS, S_BLOCKED_SINCE,
    S_ERROR, S_LOGGED, S_NEXT_DUE, S_LAST_WINNER, S_DQ_OWNER, S_DQ_BURSTS, S_DQ_WAITS, S_PIM_WANTS, S_FINISHED,
    S_PIM_FLOOR, S_REF_DECIDED, S_REF_LEFT, S_REF_STAGE, S_MAC_TOKENS, S_PIM_RANKS, S_COLUMNS_HELD,
    S_ROW0, S_ROW1, S_MASK0, S_MASK1, S_FIRST_PARITY, S_PROGRESS, S_NPU_WANTS, S_SECOND, S_OVERDUE, S_LOOK_AT,
    S_HALT, S_PIM_USED, S_PLAIN_USED, S_COLUMN, S_COLUMN_AT, S_SHIFT,
) = range(48)
# fmt: on

# Parameters that don't.
# fmt: off
(
    P_RANKS, P_REFRESH, P_POSTPONE, P_WCK_ALWAYS, P_DRAIN_HIGH, P_DRAIN_LOW, P_PAGE_CLOSED, P_POLICY, P_QUANTUM,
    P_PATIENCE, P_NREFI, P_NFAW_ACT1, P_NFAW_ACT2, P_NAAD, P_NCL, P_NCWL, P_NBL, P_WCKPST, P_WCKIDLE, P_WAIT,
    P_NMODE, P_NMAC, P_NRCD, P_NRAS, P_NRTP, P_NRPAB, P_NRFCAB, P_OPENED, P_ACT_ACT, P_SLOTS, P_OUTS, P_NPPD, P_BANKS,
    P_TIMEOUT, P_LONGEST, P_STEP, P_RESYNC, P_OWN_BUS, P_GAP,
) = range(39)
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
UNITS = 4
EVERY_UNIT = 4  # in place of a unit, for an instruction that all stand still for
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
SLOT = GROUP + MAX_RANKS * (BANKS >> GROUP_BITS)
STATE = SLOT + 2 * QUEUE
GIVEN = STATE + 1
NEXT = GIVEN + 1  # by rank: what its banks need next
FREE = NEXT + MAX_RANKS  # free places of the read and of the write queue
COUNT = FREE + 2  # commands by code, and the same times the ranks that take each
DECIDED = COUNT + 2  # refresh points: whether refresh is due there
WALKER = DECIDED + 1
DONE = WALKER + 4  # nine counters per rank: instructions done
SEEN = DONE + 9  # the same for each of the four units: instructions passed over
LATENCY = SEEN + 36
AT_BANK, AT_GROUP, AT_RANK, AT_OTHER = (level * (BOTH + 1) for level in range(4))  # of the latency table
BINDS = CLASSES  # field of a row of it: how many classes wait
ROWS = LATENCY + 4 * (BOTH + 1)
WIDTH = 72  # fields of a row; nine cache lines, so that rows spread over all sets of the cache


def new_channel(parameter: IntArray, latency: IntArray) -> IntArray:
    """A channel at CK 0: all banks closed, WCK stopped, nothing queued.

    Args:
        parameter: int64 [PARAMETERS].
        latency: int64 [4, CODES, CLASSES], as ``lpspec.dram.rules.latency_table`` gives it.

    Returns:
        int64 [ROWS, WIDTH], which ``run`` moves on.
    """
    m = np.zeros((ROWS, WIDTH), np.int64)
    ranks = int(parameter[P_RANKS])
    m[GIVEN, :PARAMETERS] = parameter
    later = np.where(latency[:, [ACT2]] > 0, latency[:, [ACT2]] + parameter[P_STEP], 0)
    rules = np.concatenate([latency, np.maximum(latency[:, [ACT1]], later)], axis=1)
    m[LATENCY:, :CLASSES] = np.where(rules > 0, rules, NO_RULE).reshape(-1, CLASSES)
    m[LATENCY:, BINDS] = (rules > 0).sum(axis=2).ravel()
    m[:RANK, [*range(B_ROW, B_QUEUED), B_OWED]] = -1
    m[NEXT:FREE, N_COLUMN:N_CLASS] = NOTHING
    m[NEXT:FREE, N_CLASS : N_CLASS + BANKS] = NO_COMMAND
    rank = m[RANK : RANK + ranks]
    rank[:, [R_OPENING, R_TARGET, R_WCK, R_PIM_ROW, R_PIM_ROW + 1, R_GAP]] = -1
    for times in (R_FAW1, R_FAW2):
        rank[:, times : times + IN_FAW] = -NEVER
    if parameter[P_WCK_ALWAYS] != 0:
        rank[:, R_WCK] = NEVER
    m[STATE, [S_FIRST, S_OVERDUE, S_PIM_USED, S_PLAIN_USED]] = -1
    m[SLOT : SLOT + 2 * QUEUE, Q_BANK] = -1
    m[STATE, [S_NEXT_DUE, S_LOOK_AT]] = NEVER
    if parameter[P_REFRESH] != REFRESH_NONE:
        step = parameter[P_NREFI] if parameter[P_REFRESH] == REFRESH_ALL else parameter[P_NREFI] // PAIRS
        rank[:, R_DUE] = [step + r * step // ranks for r in range(ranks)]  # ranks take turns
        m[STATE, S_NEXT_DUE] = rank[:, R_DUE].min()
    m[FREE, :QUEUE] = np.arange(QUEUE)[::-1]
    m[FREE + 1, :QUEUE] = np.arange(QUEUE, 2 * QUEUE)[::-1]
    return m
