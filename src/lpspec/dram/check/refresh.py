"""Rules of refresh: what must wait for one, and how long a bank may go without."""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.check.log import BANKS, History, Log, Rule, latest, latest_of_ranks, need, new_history, note, report
from lpspec.dram.check.table import Op, Stream
from lpspec.dram.check.timing import CheckTiming

PAIRS = BANKS // 2


class RefreshHistory(NamedTuple):
    """Last REFAB of each rank, and last REFPB of each bank pair (flat bank modulo 8) of each rank."""

    all_banks: History
    pair: History


def new_refresh_history(ranks: int) -> RefreshHistory:
    """Nothing was ever refreshed."""
    return RefreshHistory(new_history(ranks), new_history(ranks * PAIRS))


@cached_njit()
def _latest_other_pair(pairs: History, rank: int, own: int) -> int:
    best = -1
    for place in range(rank * PAIRS, (rank + 1) * PAIRS):
        if place != own and (best < 0 or pairs.ck[place] > pairs.ck[best]):
            best = place
    return best


@cached_njit()
def _waits_for_refresh(op: int) -> bool:
    """Commands that find the banks they name at work while a refresh runs; registers, WCK and data are free of it."""
    rows = op == Op.ACT1 or op == Op.PRE or op == Op.PREAB or op == Op.PIM_ACT or op == Op.PIM_PRE
    return rows or op == Op.REFAB or op == Op.REFPB or op == Op.PIM_REFAB or op == Op.PIM_ENTER or op == Op.PIM_EXIT


@cached_njit()
def check_refresh(stream: Stream, start: int, t: CheckTiming, log: Log, refreshes: RefreshHistory) -> None:
    """A refreshed rank is busy nRFCab, a refreshed pair nRFCpb; other banks of the rank activate nPBR2ACT after a
    per-bank refresh, and the next one comes nPBR2PBR after it (rule 5)."""
    every, pairs = refreshes.all_banks, refreshes.pair
    for i in range(stream.op.shape[0]):
        op = stream.op[i]
        if not _waits_for_refresh(op):
            continue
        ck, rank, mask, index = stream.ck[i], stream.low[i], stream.mask[i], start + i
        own = rank * PAIRS + stream.bank[i] % PAIRS
        need(log, Rule.nRFCab, index, ck, every, latest_of_ranks(every, mask, 1, 0, 1), t.nRFCab)
        if op == Op.ACT1 or op == Op.PRE or op == Op.REFPB:
            need(log, Rule.nRFCpb, index, ck, pairs, own, t.nRFCpb)
        else:
            need(log, Rule.nRFCpb, index, ck, pairs, latest_of_ranks(pairs, mask, PAIRS, 0, PAIRS), t.nRFCpb)
        if op == Op.ACT1:
            need(log, Rule.nPBR2ACT, index, ck, pairs, _latest_other_pair(pairs, rank, own), t.nPBR2ACT)
        elif op == Op.REFPB:
            need(log, Rule.nPBR2PBR, index, ck, pairs, latest(pairs, rank * PAIRS, PAIRS), t.nPBR2PBR)
            note(pairs, own, ck, index)
        elif op == Op.REFAB or op == Op.PIM_REFAB:
            for r in range(every.ck.shape[0]):
                if mask >> r & 1:
                    note(every, r, ck, index)


class RetentionHistory(NamedTuple):
    """Last refresh of each bank pair (its two banks always share one), and how many it has had."""

    last: History
    done: IntArray


def new_retention_history(ranks: int) -> RetentionHistory:
    """Every bank freshly written at CK 0."""
    history = RetentionHistory(new_history(ranks * PAIRS), np.zeros(ranks * PAIRS, np.int64))
    history.last.ck[:] = 0
    return history


@cached_njit()
def _hold_to_account(
    t: CheckTiming, log: Log, index: int, ck: int, banks: RetentionHistory, first: int, count: int
) -> None:
    """Hold the time of a refresh (or of the end) against the last one of each pair and against its number."""
    late = first
    fewest = first
    for place in range(first, first + count):
        if banks.last.ck[place] < banks.last.ck[late]:
            late = place
        if banks.done[place] < banks.done[fewest]:
            fewest = place
    deadline_ck = banks.last.ck[late] + (t.postponed + 1) * t.nREFI
    if ck > deadline_ck:
        report(log, Rule.retention, index, ck, banks.last.command[late], banks.last.ck[late], deadline_ck)
    owed_ck = (banks.done[fewest] + 1 + t.postponed) * t.nREFI
    if ck > owed_ck:
        report(log, Rule.refresh_debt, index, ck, banks.last.command[fewest], banks.last.ck[fewest], owed_ck)
        allowed = -(-ck // t.nREFI) - 1 - t.postponed
        for place in range(first, first + count):  # said once; from here on each owes what it may
            banks.done[place] = max(banks.done[place], allowed)


@cached_njit()
def check_retention(stream: Stream, start: int, t: CheckTiming, log: Log, banks: RetentionHistory) -> None:
    """Each bank is refreshed at least once per (postponed + 1) * nREFI, and never owes more than ``postponed``
    refreshes against one every nREFI counted from CK 0."""
    for i in range(stream.op.shape[0]):
        op = stream.op[i]
        if op != Op.REFAB and op != Op.PIM_REFAB and op != Op.REFPB:
            continue
        ck, index = stream.ck[i], start + i
        for rank in range(banks.done.shape[0] // PAIRS):
            if stream.mask[i] >> rank & 1:
                first = rank * PAIRS + (stream.bank[i] % PAIRS if op == Op.REFPB else 0)
                count = 1 if op == Op.REFPB else PAIRS
                _hold_to_account(t, log, index, ck, banks, first, count)
                for place in range(first, first + count):
                    note(banks.last, place, ck, index)
                    banks.done[place] += 1


@cached_njit()
def check_retention_end(t: CheckTiming, log: Log, index: int, end_ck: int, banks: RetentionHistory) -> None:
    """At the end of the stream no bank may be overdue."""
    for rank in range(banks.done.shape[0] // PAIRS):
        _hold_to_account(t, log, index, end_ck, banks, rank * PAIRS, PAIRS)
