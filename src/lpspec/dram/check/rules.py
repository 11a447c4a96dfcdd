"""Rules of plain LPDDR commands, one family a function: each walks a piece of the stream beside its own history.

Every command is held against what happened before it, never against a table of next allowed times. A function takes
the piece, the number of its first command, the timing, the log, and the history that carries over to the next piece.
"""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.check.log import (
    BANKS,
    History,
    Log,
    Rule,
    in_commands,
    latest,
    latest_of_ranks,
    need,
    new_history,
    note,
    report,
    silent_log,
)
from lpspec.dram.check.table import Op, Stream
from lpspec.dram.check.timing import CheckTiming

CLOSED = -1
OPENING = -2


@cached_njit()
def check_ca(stream: Stream, start: int, own_bus: int, log: Log, last: History) -> None:
    """A CA bus takes one command per CK, LPDDR6's one per 2 CK from an even one on, and the table lists them in order
    (lpddr5.md, rule 6).

    Ranks of the mask ``own_bus`` have a bus of their own; a command to ranks of both would take both.
    """
    step = log.step[0]
    for i in range(stream.op.shape[0]):
        ck, mask = stream.ck[i], stream.mask[i]
        newest = 0 if last.ck[0] >= last.ck[1] else 1
        if ck < last.ck[newest]:
            report(log, Rule.order, start + i, ck, last.command[newest], last.ck[newest], last.ck[newest] + step)
            continue
        fits = True
        for place in range(2):
            if (mask & own_bus if place else mask & ~own_bus) == 0:
                continue
            if fits and ck - last.ck[place] < step:
                fits = False
                report(log, Rule.CA, start + i, ck, last.command[place], last.ck[place], last.ck[place] + step)
            note(last, place, ck, start + i)
        if ck % step != 0:
            report(log, Rule.CA_slot, start + i, ck, -1, -1, in_commands(log, ck))


class PairHistory(NamedTuple):
    """The ACT-1 of each rank that waits for its ACT-2."""

    first: History
    bank: IntArray  # -1: none waits
    row: IntArray


def new_pair_history(ranks: int) -> PairHistory:
    """No activation under way."""
    return PairHistory(new_history(ranks), np.full(ranks, -1, np.int64), np.full(ranks, -1, np.int64))


@cached_njit()
def check_pairs(stream: Stream, start: int, t: CheckTiming, log: Log, pairs: PairHistory) -> None:
    """An activation is ACT-1, then ACT-2 of the same bank and row at most nAAD later, no other ACT-1 of the rank
    between (lpddr5.md, rule 1)."""
    for i in range(stream.op.shape[0]):
        op, ck, rank, bank = stream.op[i], stream.ck[i], stream.low[i], stream.bank[i]
        if op == Op.ACT1:
            if pairs.bank[rank] >= 0:
                report(log, Rule.ACT_pair, start + i, ck, pairs.first.command[rank], pairs.first.ck[rank], -1)
            pairs.bank[rank] = bank
            pairs.row[rank] = stream.row[i]
            note(pairs.first, rank, ck, start + i)
        elif op == Op.ACT2:
            first, first_ck = pairs.first.command[rank], pairs.first.ck[rank]
            wrong_row = stream.row[i] >= 0 and stream.row[i] != pairs.row[rank]
            if pairs.bank[rank] != bank or wrong_row:
                report(log, Rule.ACT_pair, start + i, ck, first, first_ck, -1)
            elif ck - first_ck > t.nAAD:
                report(log, Rule.nAAD, start + i, ck, first, first_ck, first_ck + t.nAAD)
            pairs.bank[rank] = -1


class StateHistory(NamedTuple):
    """The row that each bank holds, and the command that made it so."""

    row: IntArray  # [ranks * 16]: CLOSED, OPENING (ACT-1 seen) or the row
    changed: History
    opening: IntArray  # [ranks]: the bank whose ACT-2 is due, as a place; -1: none
    opening_row: IntArray  # [ranks]: the row that its ACT-1 named


def new_state_history(ranks: int) -> StateHistory:
    """Every bank precharged."""
    places = ranks * BANKS
    return StateHistory(
        np.full(places, CLOSED, np.int64), new_history(places), np.full(ranks, -1, np.int64), np.zeros(ranks, np.int64)
    )


@cached_njit()
def _expect_closed(log: Log, index: int, ck: int, banks: StateHistory, first: int, count: int, stride: int) -> None:
    """Find fault once where a bank that must be precharged isn't; take it as precharged from then on."""
    found = False
    for k in range(count):
        place = first + k * stride
        if banks.row[place] != CLOSED:
            if not found:
                report(log, Rule.state, index, ck, banks.changed.command[place], banks.changed.ck[place], -1)
            found = True
            banks.row[place] = CLOSED


@cached_njit()
def _access(stream: Stream, start: int, i: int, log: Log, banks: StateHistory, place: int) -> None:
    """A column command needs an open row, the one that it names if it names one; auto-precharge closes it."""
    op, ck, row = stream.op[i], stream.ck[i], banks.row[place]
    if row < 0:
        report(log, Rule.state, start + i, ck, banks.changed.command[place], banks.changed.ck[place], -1)
    elif stream.row[i] >= 0 and stream.row[i] != row:
        report(log, Rule.row, start + i, ck, banks.changed.command[place], banks.changed.ck[place], -1)
    if op == Op.RDA or op == Op.WRA:
        banks.row[place] = CLOSED
        note(banks.changed, place, ck, start + i)


@cached_njit()
def check_state(stream: Stream, start: int, log: Log, banks: StateHistory) -> None:
    """ACT-1 and refresh find their banks precharged, column commands find an open row, PRE no half-open bank."""
    for i in range(stream.op.shape[0]):
        op, ck, rank = stream.op[i], stream.ck[i], stream.low[i]
        place = rank * BANKS + stream.bank[i]
        if op == Op.ACT1:
            half = banks.opening[rank]
            if half >= 0 and banks.row[half] == OPENING:
                banks.row[half] = CLOSED  # its ACT-2 never came: check_pairs has said so
            _expect_closed(log, start + i, ck, banks, place, 1, 1)
            banks.row[place] = OPENING
            banks.opening[rank] = place
            banks.opening_row[rank] = stream.row[i]
            note(banks.changed, place, ck, start + i)
        elif op == Op.ACT2:
            banks.row[place] = stream.row[i] if stream.row[i] >= 0 else banks.opening_row[rank]
            banks.opening[rank] = -1
            note(banks.changed, place, ck, start + i)
        elif Op.RD <= op <= Op.WRA:
            _access(stream, start, i, log, banks, place)
        elif op == Op.PRE or op == Op.PREAB:
            first = place if op == Op.PRE else rank * BANKS
            for k in range(first, first + (1 if op == Op.PRE else BANKS)):
                if banks.row[k] == OPENING:
                    report(log, Rule.state, start + i, ck, banks.changed.command[k], banks.changed.ck[k], -1)
                if banks.row[k] != CLOSED:
                    note(banks.changed, k, ck, start + i)
                banks.row[k] = CLOSED
        elif op == Op.REFPB:
            _expect_closed(log, start + i, ck, banks, place, 2, BANKS // 2)
        elif op == Op.REFAB or op == Op.PIM_ENTER:
            for r in range(banks.opening.shape[0]):
                if stream.mask[i] >> r & 1:
                    _expect_closed(log, start + i, ck, banks, r * BANKS, BANKS, 1)


class RowHistory(NamedTuple):
    """Last ACT-2, accesses and precharge of each bank, and last PREAB of each rank."""

    act: History
    read: History
    write: History
    pre: History  # PRE, or the time at which an auto-precharge begins
    pre_all: History


def new_row_history(ranks: int) -> RowHistory:
    """No bank was ever used."""
    places = ranks * BANKS
    return RowHistory(
        new_history(places), new_history(places), new_history(places), new_history(places), new_history(ranks)
    )


@cached_njit()
def check_rows(stream: Stream, start: int, t: CheckTiming, log: Log, rows: RowHistory) -> None:
    """The life of a row: nRCD, nRAS, nRC from ACT-2; nRTP and nWR before PRE; nRPpb and nRPab after it (rules 1, 5).

    An auto-precharge begins nRTP after RDA or WL + BL/n_min + nWR after WRA, yet not before nRAS is over. LPDDR6 counts
    nWR from WL + BL/n_max, has an nRCD of its own for writes, and may count rows from ACT-1.
    """
    recovery_ck = t.nCWL + (t.nBL_max if t.lpddr6 else t.nBL_min) + t.nWR
    write_rcd_ck = t.nRCDw if t.nRCDw else t.nRCD
    for i in range(stream.op.shape[0]):
        op, ck, rank, index = stream.op[i], stream.ck[i], stream.low[i], start + i
        place = rank * BANKS + stream.bank[i]
        if op == Op.ACT1:
            need(log, Rule.nRPpb, index, ck, rows.pre, place, t.nRPpb)
            need(log, Rule.nRPab, index, ck, rows.pre_all, rank, t.nRPab)
            need(log, Rule.nRC, index, ck, rows.act, place, t.nRC)
            if t.rows_from_act1:
                note(rows.act, place, ck, index)
        elif op == Op.ACT2:
            if not t.rows_from_act1:
                note(rows.act, place, ck, index)
        elif Op.RD <= op <= Op.WRA:
            reads = op == Op.RD or op == Op.RDA
            need(log, Rule.nRCD, index, ck, rows.act, place, t.nRCD if reads else write_rcd_ck)
            note(rows.read if reads else rows.write, place, ck, index)
            if op == Op.RDA or op == Op.WRA:
                begin = ck + (t.nRTP if reads else recovery_ck)
                note(rows.pre, place, max(begin, rows.act.ck[place] + t.nRAS), index)
        elif op == Op.PRE or op == Op.PREAB:
            first, count = (place, 1) if op == Op.PRE else (rank * BANKS, BANKS)
            need(log, Rule.nRAS, index, ck, rows.act, latest(rows.act, first, count), t.nRAS)
            need(log, Rule.nRTP, index, ck, rows.read, latest(rows.read, first, count), t.nRTP)
            need(log, Rule.nWR, index, ck, rows.write, latest(rows.write, first, count), recovery_ck)
            if op == Op.PRE:
                note(rows.pre, place, ck, index)
            else:
                note(rows.pre_all, rank, ck, index)
        elif op == Op.REFPB:
            half = place + BANKS // 2
            later = place if rows.pre.ck[place] >= rows.pre.ck[half] else half
            need(log, Rule.nRPpb, index, ck, rows.pre, later, t.nRPpb)
            need(log, Rule.nRPab, index, ck, rows.pre_all, rank, t.nRPab)
        elif op == Op.REFAB or op == Op.PIM_ENTER:
            mask = stream.mask[i]
            need(log, Rule.nRPpb, index, ck, rows.pre, latest_of_ranks(rows.pre, mask, BANKS, 0, BANKS), t.nRPpb)
            need(log, Rule.nRPab, index, ck, rows.pre_all, latest_of_ranks(rows.pre_all, mask, 1, 0, 1), t.nRPab)


@cached_njit()
def check_precharge_rate(stream: Stream, start: int, t: CheckTiming, log: Log, last: History) -> None:
    """Precharge commands of one rank are nPPD apart, whichever banks they close."""
    for i in range(stream.op.shape[0]):
        op = stream.op[i]
        if op == Op.PRE or op == Op.PREAB or op == Op.PIM_PRE:
            mask = stream.mask[i]
            need(log, Rule.nPPD, start + i, stream.ck[i], last, latest_of_ranks(last, mask, 1, 0, 1), t.nPPD)
            for rank in range(last.ck.shape[0]):
                if mask >> rank & 1:
                    note(last, rank, stream.ck[i], start + i)


WINDOW = 4
"""Activations that a rank takes in one nFAW."""
FIRST_HALF, SECOND_HALF, OTHER_HALF = range(3)


@cached_njit()
def _activate(log: Log, t: CheckTiming, index: int, ck: int, ring: History, count: IntArray, rank: int) -> bool:
    """Hold one activation of a rank against the last and the fourth last, then remember it in their place."""
    oldest = rank * WINDOW + count[rank] % WINDOW
    newest = rank * WINDOW + (count[rank] - 1) % WINDOW
    fine = True
    if ring.command[newest] != index:  # activations inside one PIM_ACT are spaced by definition
        fine = need(log, Rule.nRRD, index, ck, ring, newest, t.nRRD)
    if ring.command[oldest] != index:
        fine = need(log, Rule.nFAW, index, ck, ring, oldest, t.nFAW) and fine
    note(ring, oldest, ck, index)
    count[rank] += 1
    return fine


@cached_njit()
def check_activation_rate(
    stream: Stream,
    start: int,
    t: CheckTiming,
    spread: IntArray,
    half: int,
    log: Log,
    ring: History,
    count: IntArray,
) -> None:
    """Activations of a rank are nRRD apart, at most four in any nFAW; those inside a PIM_ACT count one by one.

    Args:
        stream: The piece.
        start: Number of its first command.
        t: The speed grade.
        spread: CK after PIM_ACT at which each of its activations happens.
        half: The half of an activation that is counted here: ``FIRST_HALF``, ``SECOND_HALF``, or ``OTHER_HALF``: the
            second where the first is counted too, so that a PIM_ACT, which has no halves, is found fault with once.
        log: Where findings go.
        ring: The last four activations of each rank.
        count: Activations of each rank so far.
    """
    counted = Op.ACT1 if half == FIRST_HALF else Op.ACT2
    silent = silent_log(log)
    for i in range(stream.op.shape[0]):
        op, ck = stream.op[i], stream.ck[i]
        if op == counted:
            _activate(log, t, start + i, ck, ring, count, stream.low[i])
        elif op == Op.PIM_ACT:
            loud = (
                half != OTHER_HALF
            )  # one finding a command says enough: its other activations are late by the same amount
            for rank in range(count.shape[0]):
                if stream.mask[i] >> rank & 1:
                    for k in range(spread.shape[0]):
                        fine = _activate(log if loud else silent, t, start + i, ck + spread[k], ring, count, rank)
                        loud = loud and fine


def check_pairs_end(index: int, end_ck: int, log: Log, pairs: PairHistory) -> None:
    """An ACT-1 at the end of the stream still needs its ACT-2."""
    for rank in np.flatnonzero(pairs.bank >= 0):
        report(log, Rule.ACT_pair, index, end_ck, pairs.first.command[rank], pairs.first.ck[rank], -1)
