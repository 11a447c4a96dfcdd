"""What every command leaves behind: waits of banks, groups and ranks, WCK, open rows, and its line in the log."""

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native(inline=True)
def _wait(m: IntArray, waiting: int, rules: int, now: int) -> None:
    """Let a bank, a group or a rank wait as a row of the latency table says."""
    m[waiting, :CLASSES] = np.maximum(m[waiting, :CLASSES], m[rules, :CLASSES] + now)


@native(inline=True)
def _put_off(m: IntArray, r: int, one: int, one_at: int, other: int, other_at: int) -> None:
    """Let those of a rank's banks wait for a CK that need one command next, and for another that need another."""
    command = m[NEXT + r, N_CLASS : N_CLASS + BANKS]
    wait = np.where(command == one, one_at, np.where(command == other, other_at, 0))
    m[NEXT + r, N_AT : N_AT + BANKS] = np.maximum(m[NEXT + r, N_AT : N_AT + BANKS], wait)


@native(inline=True)
def wait_of_bank(m: IntArray, command: int, place: int, now: int) -> None:
    """Let a bank and its group wait as the rules say; what the bank itself needs next is for the caller to note."""
    _wait(m, place, LATENCY + AT_BANK + command, now)
    rules = LATENCY + AT_GROUP + command
    if m[rules, BINDS] != 0:
        r = place >> BANK_BITS
        group = place >> GROUP_BITS
        _wait(m, GROUP + group, rules, now)
        at = N_AT + ((group << GROUP_BITS) & (BANKS - 1))
        column = m[NEXT + r, at + N_CLASS - N_AT : at + N_CLASS - N_AT + BANKS_OF_GROUP]
        wait = np.where(column == RD, m[GROUP + group, RD], np.where(column == WR, m[GROUP + group, WR], 0))
        m[NEXT + r, at : at + BANKS_OF_GROUP] = np.maximum(m[NEXT + r, at : at + BANKS_OF_GROUP], wait)


@native(inline=True)
def wait_of_rank(m: IntArray, command: int, r: int, mask: int, now: int) -> None:
    """Let a rank wait as the rules say, and its banks with it; ranks outside the mask wait for DQ."""
    _wait(m, RANK + r, LATENCY + AT_RANK + command, now)
    wait_with_rank(m, command, r, mask, now)


@native(inline=True)
def wait_of_activation(m: IntArray, command: int, r: int, now: int) -> None:
    """Let a rank wait for ACT1, ACT2, or BOTH from now on, and its banks with it.

    The charge pumps of a die serve so many activations in nFAW: the next waits until the oldest has left it.
    """
    _wait(m, RANK + r, LATENCY + AT_RANK + command, now)
    if command != ACT2:
        _note_activation(m, r, ACT1, now)
    if command != ACT1:
        _note_activation(m, r, ACT2, now + m[GIVEN, P_STEP] if command == BOTH else now)
    wait_with_rank(m, command, r, 1 << r, now)


@native(inline=True)
def _note_activation(m: IntArray, r: int, command: int, now: int) -> None:
    times, window = R_FAW1, P_NFAW_ACT1
    if command == ACT2:
        times, window = R_FAW2, P_NFAW_ACT2
    oldest = m[RANK + r, times + IN_FAW]
    m[RANK + r, times + oldest] = now
    oldest = (oldest + 1) & (IN_FAW - 1)
    m[RANK + r, times + IN_FAW] = oldest
    m[RANK + r, command] = max(m[RANK + r, command], m[RANK + r, times + oldest] + m[GIVEN, window])


@native(inline=True)
def wait_with_rank(m: IntArray, command: int, r: int, mask: int, now: int) -> None:
    """Let the banks of a rank wait with it, and ranks outside the mask for DQ."""
    rules = LATENCY + AT_RANK + command
    if max(m[rules, ACT1], m[rules, PRE]) > 0:
        _put_off(m, r, ACT1, m[RANK + r, ACT1], PRE, m[RANK + r, PRE])
    others = LATENCY + AT_OTHER + command
    if max(m[rules, RD], m[rules, WR], m[others, BINDS]) <= 0:
        return
    is_lowest = (mask & -mask) == 1 << r  # of ranks that take one command together, one makes the others wait
    for k in range(m[GIVEN, P_RANKS]):
        if k != r:
            if not is_lowest or (mask >> k) & 1:
                continue
            _wait(m, RANK + k, others, now)
        if m[RANK + k, R_QUEUED] > 0:
            _put_off(m, k, RD, m[RANK + k, RD], WR, m[RANK + k, WR])


@native(inline=True)
def keep_wck(m: IntArray, r: int, until: int, wrote: int) -> None:
    """Let WCK of a rank run on behind a read (0) or write (1); what the CAS before it allowed ends with it."""
    m[RANK + r, R_WCK] = until if m[RANK + r, R_CAS] != 0 else max(m[RANK + r, R_WCK], until)
    m[RANK + r, R_CAS] = 0
    m[RANK + r, R_WROTE] = wrote * m[GIVEN, P_RESYNC]


@native()
def note_gap(m: IntArray, r: int) -> None:
    """After a BL48 that fills no gap the next one of its direction fills its own, or goes when it has ended."""
    now = m[STATE, S_NOW]
    m[RANK + r, R_GAP] = -1 if m[RANK + r, R_GAP] == now else now + m[GIVEN, P_GAP]
    m[RANK + r, R_AFTER] = now + m[GIVEN, P_NBL]


@native(inline=True)
def row_opened(m: IntArray, r: int, now: int) -> None:
    """Count an open row; CK in which a rank has one are counted for standby."""
    if m[RANK + r, R_OPEN] == 0:
        m[RANK + r, R_SINCE] = now
    m[RANK + r, R_OPEN] += 1


@native(inline=True)
def row_closed(m: IntArray, r: int, rows: int, now: int) -> None:
    """Count rows as closed."""
    m[RANK + r, R_OPEN] -= rows
    if rows > 0 and m[RANK + r, R_OPEN] == 0:
        m[RANK + r, R_ACTIVE] += now - m[RANK + r, R_SINCE]


@native(inline=True)
def write_down(
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


@native(inline=True)
def word(row: int, column: int) -> int:
    """Row and column in one number, both shifted by one so that none is zero."""
    return ((row + 1) << 16) | (column + 1)
