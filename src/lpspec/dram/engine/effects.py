"""What every command leaves behind: waits of banks, groups and ranks, WCK, open rows, and its line in the log."""

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.engine.state import *


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
def wait_of_bank(m: IntArray, command: int, place: int, now: int) -> None:
    """Let the bank and its group wait as the rules say."""
    _wait(m, place, LATENCY + AT_BANK + command, now)
    _wait(m, GROUP + (place >> GROUP_BITS), LATENCY + AT_GROUP + command, now)


@cached_njit(allocates=False)
def wait_of_rank(m: IntArray, command: int, r: int, now: int) -> None:
    """Let the rank wait as the rules say."""
    _wait(m, RANK + r, LATENCY + AT_RANK + command, now)


@cached_njit(allocates=False)
def wait_of_others(m: IntArray, command: int, mask: int, now: int) -> None:
    """Let the column commands of all ranks outside the mask wait for DQ."""
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1 == 0:
            _wait(m, RANK + r, LATENCY + AT_OTHER + command, now)


@cached_njit(allocates=False)
def keep_wck(m: IntArray, r: int, until: int) -> None:
    """Let WCK of a rank run on behind a burst; what the CAS before it allowed ends with the first access."""
    m[RANK + r, R_WCK] = until if m[RANK + r, R_CAS] != 0 else max(m[RANK + r, R_WCK], until)
    m[RANK + r, R_CAS] = 0


@cached_njit(allocates=False)
def row_opened(m: IntArray, r: int, now: int) -> None:
    """Count an open row; CK in which a rank has one are counted for standby."""
    if m[RANK + r, R_OPEN] == 0:
        m[RANK + r, R_SINCE] = now
    m[RANK + r, R_OPEN] += 1


@cached_njit(allocates=False)
def row_closed(m: IntArray, r: int, rows: int, now: int) -> None:
    """Count rows as closed."""
    m[RANK + r, R_OPEN] -= rows
    if rows > 0 and m[RANK + r, R_OPEN] == 0:
        m[RANK + r, R_ACTIVE] += now - m[RANK + r, R_SINCE]


@cached_njit(allocates=False)
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


@cached_njit(allocates=False)
def word(row: int, column: int) -> int:
    """Row and column in one number, both shifted by one so that none is zero."""
    return ((row + 1) << 16) | (column + 1)
