"""Rules of what ranks share on the way to the data: column commands, bursts on DQ, and WCK."""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.check.log import (
    GROUPS,
    NEVER,
    NO_GROUP,
    History,
    Log,
    Rule,
    in_commands,
    latest_of_ranks,
    need,
    new_history,
    note,
    report,
)
from lpspec.dram.check.table import Op, Stream
from lpspec.dram.check.timing import CheckTiming

PLACES = GROUPS + 1
BURSTS = 64
"""Bursts remembered on DQ: more than can be on their way at once (one a CK for RL + BL/n CK)."""


@cached_njit()
def _direction(op: int) -> int:
    """1 for a burst towards the host, 2 for a burst from it, 0 for a command without data on DQ."""
    if op == Op.RD or op == Op.RDA or op == Op.PIM_OUT:
        return 1
    if op == Op.WR or op == Op.WRA or op == Op.PIM_IN:
        return 2
    return 0


class ColumnHistory(NamedTuple):
    """Last read and write of each bank group of each rank; register bursts have a place of their own."""

    read: History
    write: History


def new_column_history(ranks: int) -> ColumnHistory:
    """No column was ever accessed."""
    return ColumnHistory(new_history(ranks * PLACES), new_history(ranks * PLACES))


@cached_njit()
def _apart(
    log: Log, near: int, far: int, index: int, ck: int, last: History, rank: int, group: int, near_ck: int, far_ck: int
) -> None:
    """Hold a column command against the last of one direction in its own group, and in the others of its rank."""
    own = rank * PLACES + group
    other = -1
    for place in range(rank * PLACES, rank * PLACES + PLACES):
        if place != own and (other < 0 or last.ck[place] > last.ck[other]):
            other = place
    if group == NO_GROUP:
        need(log, far, index, ck, last, own, far_ck)
    else:
        need(log, near, index, ck, last, own, near_ck)
    need(log, far, index, ck, last, other, far_ck)


@cached_njit()
def check_columns(stream: Stream, start: int, t: CheckTiming, log: Log, columns: ColumnHistory) -> None:
    """Column commands of one rank: nCCD_S and nCCD_L in one direction, turnarounds between them (rule 4).

    Read to write takes RL + BL/n + 2 - WL, write to read WL + BL/n + nWTR, where BL/n is n_max and nWTR is nWTR_L
    within a bank group. On LPDDR6 with termination read to write takes RL + BL/n + tWCK2DQO + 1 - ODTLon. PIM_IN is a
    write to each of its ranks and PIM_OUT a read, both of no bank group.
    """
    turn = t.nCL + t.nRTW_gap - t.nCWL
    if t.lpddr6:
        turn = t.nCL + t.nWCK2DQO + 1 - t.nODTLon
    rtw_s, rtw_l = turn + t.nBL_min, turn + t.nBL_max
    wtr_s, wtr_l = t.nCWL + t.nBL_min + t.nWTR_S, t.nCWL + t.nBL_max + t.nWTR_L
    for i in range(stream.op.shape[0]):
        op, ck, mask, index = stream.op[i], stream.ck[i], stream.mask[i], start + i
        way = _direction(op)
        if way == 0:
            continue
        group = NO_GROUP if op >= Op.PIM_ENTER else stream.bank[i] // GROUPS
        read = latest_of_ranks(columns.read, mask, PLACES, 0, PLACES) // PLACES
        written = latest_of_ranks(columns.write, mask, PLACES, 0, PLACES) // PLACES
        if way == 1:
            _apart(log, Rule.nCCD_L, Rule.nCCD_S, index, ck, columns.read, read, group, t.nCCD_L, t.nCCD_S)
            _apart(log, Rule.nWTR_L, Rule.nWTR_S, index, ck, columns.write, written, group, wtr_l, wtr_s)
            note(columns.read, stream.low[i] * PLACES + group, ck, index)
        else:
            _apart(log, Rule.nCCD_L, Rule.nCCD_S, index, ck, columns.write, written, group, t.nCCD_L, t.nCCD_S)
            _apart(log, Rule.nRTW, Rule.nRTW, index, ck, columns.read, read, group, rtw_l, rtw_s)
            rank = 0
            while mask >> rank:
                if mask >> rank & 1:
                    note(columns.write, rank * PLACES + group, ck, index)
                rank += 1


class DqHistory(NamedTuple):
    """The last bursts in the order of their commands: when each begins on DQ, its ranks' mask, and its direction."""

    issued: History
    begin_ck: IntArray
    mask: IntArray
    way: IntArray
    total: IntArray  # [1]


def new_dq_history() -> DqHistory:
    """An idle bus."""
    far = np.full(BURSTS, NEVER, np.int64)
    return DqHistory(
        new_history(BURSTS), far, np.zeros(BURSTS, np.int64), np.zeros(BURSTS, np.int64), np.zeros(1, np.int64)
    )


@cached_njit()
def _meet(t: CheckTiming, apart: int, gap: int) -> bool:
    """Whether two bursts that begin so many CK apart leave less than a gap between them on DQ."""
    if t.nSEG == 0:
        return apart < t.nBL_min + gap
    held = t.nSEG // 2 + gap  # two segments each, one of which may lie between those of the other
    return apart < held or abs(apart - t.nSEG) < held


@cached_njit()
def _free_ck(t: CheckTiming, begin_ck: int, other_ck: int, gap: int) -> int:
    """When a burst that meets another may begin instead."""
    while begin_ck < other_ck or _meet(t, begin_ck - other_ck, gap):
        begin_ck += 1
    return begin_ck


@cached_njit()
def _check_burst(
    t: CheckTiming, log: Log, index: int, ck: int, begin_ck: int, mask: int, way: int, dq: DqHistory
) -> None:
    """Hold one burst against those before it, newest first, until they are too old to meet it."""
    reach = abs(t.nCL - t.nCWL) + t.nBL_min + t.nRKSW
    for back in range(1, BURSTS + 1):
        k = (dq.total[0] - back) % BURSTS
        earlier, earlier_ck = dq.issued.command[k], dq.issued.ck[k]
        if earlier_ck + reach <= ck:
            return
        apart = abs(begin_ck - dq.begin_ck[k])
        if _meet(t, apart, 0):
            due = ck + _free_ck(t, begin_ck, dq.begin_ck[k], 0) - begin_ck
            report(log, Rule.DQ, index, ck, earlier, earlier_ck, in_commands(log, due))
            return
        if mask & ~dq.mask[k] == 0:
            continue
        if _meet(t, apart, t.nRKSW):
            due = ck + _free_ck(t, begin_ck, dq.begin_ck[k], t.nRKSW) - begin_ck
            report(log, Rule.nRKSW, index, ck, earlier, earlier_ck, in_commands(log, due))
            return
        turn = t.nCL + t.nBL_min + t.nRKSW - t.nCWL
        if way == 2 and dq.way[k] == 1 and ck - earlier_ck < turn:
            report(log, Rule.rank_turnaround, index, ck, earlier, earlier_ck, in_commands(log, earlier_ck + turn))
            return


@cached_njit()
def check_dq(stream: Stream, start: int, t: CheckTiming, log: Log, dq: DqHistory) -> None:
    """No two bursts meet on DQ, ranks leave nRKSW between theirs, and a write doesn't slip in before the data of an
    earlier read of another rank (rule 3). A burst takes BL/n_min from RD + RL or WR + WL; that of BL48 lies in two
    segments, one half as far as the other begins. The bus goes over to another rank where a burst has a rank that took
    no part in the one before."""
    for i in range(stream.op.shape[0]):
        way = _direction(stream.op[i])
        if way == 0:
            continue
        ck, mask = stream.ck[i], stream.mask[i]
        begin_ck = ck + (t.nCL if way == 1 else t.nCWL)
        _check_burst(t, log, start + i, ck, begin_ck, mask, way, dq)
        k = dq.total[0] % BURSTS
        note(dq.issued, k, ck, start + i)
        dq.begin_ck[k] = begin_ck
        dq.mask[k] = mask
        dq.way[k] = way
        dq.total[0] += 1


class WckHistory(NamedTuple):
    """What keeps WCK of each rank running: a CAS that no access has used yet, and the end of the last postamble."""

    cas: History
    fresh: IntArray  # [ranks]: 1 while no access has followed the CAS
    wrote: IntArray  # [ranks]: 1 while the last access since the CAS is a write
    burst_end_ck: IntArray  # [ranks]: last CK at which WCK still runs for an access


def new_wck_history(ranks: int) -> WckHistory:
    """WCK is stopped everywhere."""
    fresh, wrote = np.zeros(ranks, np.int64), np.zeros(ranks, np.int64)
    return WckHistory(new_history(ranks), fresh, wrote, np.full(ranks, NEVER, np.int64))


@cached_njit()
def check_wck(stream: Stream, start: int, t: CheckTiming, log: Log, wck: WckHistory) -> None:
    """An access needs WCK of its rank: a CAS at most nWCKIDLE before it, or an access whose burst and postamble
    aren't over (rule 2). Of the ranks that take a PIM_IN together, the lowest stands for all. A CAS starts WCK anew, so
    it never goes while WCK runs: an earlier one would have to be of the fast-sync form, which no command here is.

    On LPDDR6 a read behind a write needs a CAS in any case (JESD209-6 table 263).
    """
    for i in range(stream.op.shape[0]):
        op, ck, rank = stream.op[i], stream.ck[i], stream.low[i]
        if op == Op.CAS:
            runs_ck = max(wck.burst_end_ck[rank], wck.cas.ck[rank] + t.nWCKIDLE if wck.fresh[rank] else NEVER)
            due = in_commands(log, runs_ck + 1)
            if ck < due:
                report(log, Rule.WCK_running, start + i, ck, wck.cas.command[rank], wck.cas.ck[rank], due)
            note(wck.cas, rank, ck, start + i)
            wck.fresh[rank] = 1
            wck.wrote[rank] = 0
        way = _direction(op)
        if way == 0:
            continue
        cas_ck = wck.cas.ck[rank]
        started = wck.fresh[rank] == 1 and ck - cas_ck <= t.nWCKIDLE
        if not started and ck > wck.burst_end_ck[rank]:
            stopped_ck = max(wck.burst_end_ck[rank], cas_ck + t.nWCKIDLE if wck.fresh[rank] else NEVER)
            report(log, Rule.WCK, start + i, ck, wck.cas.command[rank], cas_ck, max(stopped_ck, -1))
        elif t.lpddr6 and way == 1 and wck.wrote[rank]:
            report(log, Rule.WCK_sync, start + i, ck, wck.cas.command[rank], cas_ck, -1)
        wck.fresh[rank] = 0
        wck.wrote[rank] = 1 if way == 2 else 0
        burst_end_ck = ck + (t.nCL if way == 1 else t.nCWL) + t.nBL_min + t.nWCKPST
        wck.burst_end_ck[rank] = max(wck.burst_end_ck[rank], burst_end_ck)
