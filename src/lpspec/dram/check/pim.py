"""Rules of PIM mode: who may take which command, rows of all MPUs at once, and the input registers.

There is no public standard for these commands: the rules are the project's own, with every number a parameter.
"""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.dram.check.log import (
    NEVER,
    History,
    Log,
    Rule,
    latest_of_ranks,
    need,
    new_history,
    note,
    report,
    silent_log,
)
from lpspec.dram.check.table import SETS, Op, Stream
from lpspec.dram.check.timing import CheckTiming

COLUMN_STEP = 16
BURST_BYTES = 32
ROW_INPUTS = 64
"""k of a row of 2 KiB: no set holds more of one token."""
WHOLE_SET = -1
"""Every slot of a set as bits."""
MOST_BITS = 63


class ModeHistory(NamedTuple):
    """How many of the steps into PIM mode each rank has taken, and its last change."""

    taken: IntArray
    steps: IntArray  # [1]
    switch: History


def new_mode_history(ranks: int, steps: int) -> ModeHistory:
    """Every rank a plain DRAM."""
    return ModeHistory(np.zeros(ranks, np.int64), np.full(1, steps, np.int64), new_history(ranks))


@cached_njit()
def _fits_mode(op: int, is_pim_rank: bool, taken: int, steps: int) -> bool:
    if op == Op.CAS:
        return True  # WCK serves PIM_IN and PIM_OUT too
    if op < Op.PIM_ENTER:
        return taken == 0
    return is_pim_rank and (taken < steps) == (op == Op.PIM_ENTER)


@cached_njit()
def check_mode(stream: Stream, start: int, t: CheckTiming, pim_mask: int, log: Log, modes: ModeHistory) -> None:
    """Between the last PIM_ENTER of a switch and PIM_EXIT a rank takes PIM commands only, and outside it none; nothing
    reaches it for nMODE after each of them; CAS is free of the mode."""
    for i in range(stream.op.shape[0]):
        op, ck, mask, index = stream.op[i], stream.ck[i], stream.mask[i], start + i
        fits = True
        calm = True
        for rank in range(modes.taken.shape[0]):
            if mask >> rank & 1 == 0:
                continue
            if fits and not _fits_mode(op, pim_mask >> rank & 1 == 1, modes.taken[rank], modes.steps[0]):
                fits = False
                report(log, Rule.mode, index, ck, modes.switch.command[rank], modes.switch.ck[rank], -1)
            if calm:
                calm = need(log, Rule.nMODE, index, ck, modes.switch, rank, t.nMODE)
            if op == Op.PIM_ENTER or op == Op.PIM_EXIT:
                modes.taken[rank] = min(modes.taken[rank] + 1, modes.steps[0]) if op == Op.PIM_ENTER else 0
                note(modes.switch, rank, ck, index)


class PimRowHistory(NamedTuple):
    """For each rank and parity: the open row, its last internal activation, last MAC and precharge; last MAC of each
    rank."""

    row: IntArray  # -1: closed
    act: History
    mac: History
    pre: History
    rank_mac: History


def new_pim_row_history(ranks: int, banks_per_mpu: int) -> PimRowHistory:
    """All banks of all MPUs closed."""
    places = ranks * banks_per_mpu
    return PimRowHistory(
        np.full(places, -1, np.int64), new_history(places), new_history(places), new_history(places), new_history(ranks)
    )


@cached_njit()
def _pim_state(
    log: Log, index: int, ck: int, rows: PimRowHistory, mask: int, parities: int, first: int, count: int, row: int
) -> None:
    """Find fault once where a parity isn't as it should be: closed (``row`` -2), or open (-1: whatever row)."""
    for rank in range(rows.rank_mac.ck.shape[0]):
        if mask >> rank & 1 == 0:
            continue
        for place in range(rank * parities + first, rank * parities + first + count):
            held = rows.row[place]
            closed = held < 0
            if closed != (row == -2):
                last = rows.pre if closed else rows.act
                report(log, Rule.state, index, ck, last.command[place], last.ck[place], -1)
                return
            if row >= 0 and held != row:
                report(log, Rule.row, index, ck, rows.act.command[place], rows.act.ck[place], -1)
                return


@cached_njit()
def _note_ranks(history: History, mask: int, stride: int, offset: int, ck: int, index: int) -> None:
    rank = 0
    while mask >> rank:
        if mask >> rank & 1:
            note(history, rank * stride + offset, ck, index)
        rank += 1


@cached_njit()
def _set_row(rows: PimRowHistory, mask: int, parities: int, parity: int, row: int) -> None:
    rank = 0
    while mask >> rank:
        if mask >> rank & 1:
            rows.row[rank * parities + parity] = row
        rank += 1


@cached_njit()
def _computing(ck: int, mask: int, mac_ck: int, macs: History) -> tuple[int, int]:
    """Ranks that compute, those of a mask and those within nMAC of their last MAC; of these, the first to be done."""
    ranks, first = 0, -1
    for rank in range(macs.ck.shape[0]):
        if mask >> rank & 1:
            ranks += 1
        elif ck - macs.ck[rank] < mac_ck:
            ranks += 1
            if first < 0 or macs.ck[rank] < macs.ck[first]:
                first = rank
    return ranks, first


@cached_njit()
def _need_power(log: Log, index: int, ck: int, mask: int, most: int, mac_ck: int, macs: History) -> None:
    """Find fault where a MAC makes more than ``most`` ranks compute at once."""
    required, earlier = ck, -1
    ranks, first = _computing(required, mask, mac_ck, macs)
    while ranks > most and first >= 0:
        required, earlier = macs.ck[first] + mac_ck, first
        ranks, first = _computing(required, mask, mac_ck, macs)
    if ranks > most:  # the ranks of this MAC alone are too many
        report(log, Rule.concurrent_ranks, index, ck, -1, -1, -1)
    elif earlier >= 0:
        report(log, Rule.concurrent_ranks, index, ck, macs.command[earlier], macs.ck[earlier], required)


@cached_njit()
def check_pim_rows(
    stream: Stream, start: int, t: CheckTiming, parities: int, settle_ck: int, most: int, log: Log, rows: PimRowHistory
) -> None:
    """Rows of all MPUs: nRCD and nRAS count from the last internal activation, ``settle_ck`` after PIM_ACT; nRTP
    before PIM_PRE, nRPab after it; PIM_MAC and PIM_OUT wait nMAC for the last PIM_MAC of the rank, and
    at most ``most`` ranks compute at once."""
    for i in range(stream.op.shape[0]):
        op, ck, mask, parity, index = stream.op[i], stream.ck[i], stream.mask[i], stream.bank[i], start + i
        if op == Op.PIM_MAC:
            _pim_state(log, index, ck, rows, mask, parities, parity, 1, max(stream.row[i], -1))
            _need_power(log, index, ck, mask, most, t.nMAC, rows.rank_mac)
            place = latest_of_ranks(rows.act, mask, parities, parity, 1)
            need(log, Rule.nRCD, index, ck, rows.act, place, t.nRCD)
            need(log, Rule.nMAC, index, ck, rows.rank_mac, latest_of_ranks(rows.rank_mac, mask, 1, 0, 1), t.nMAC)
            _note_ranks(rows.mac, mask, parities, parity, ck, index)
            _note_ranks(rows.rank_mac, mask, 1, 0, ck, index)
        elif op == Op.PIM_OUT:
            need(log, Rule.nMAC, index, ck, rows.rank_mac, stream.low[i], t.nMAC)
        elif op == Op.PIM_ACT:
            _pim_state(log, index, ck, rows, mask, parities, parity, 1, -2)
            place = latest_of_ranks(rows.pre, mask, parities, parity, 1)
            need(log, Rule.nRPab, index, ck, rows.pre, place, t.nRPab)
            _note_ranks(rows.act, mask, parities, parity, ck + settle_ck, index)
            _set_row(rows, mask, parities, parity, stream.row[i])
        elif op == Op.PIM_PRE:
            place = latest_of_ranks(rows.act, mask, parities, parity, 1)
            need(log, Rule.nRAS, index, ck, rows.act, place, t.nRAS)
            place = latest_of_ranks(rows.mac, mask, parities, parity, 1)
            need(log, Rule.nRTP, index, ck, rows.mac, place, t.nRTP)
            _note_ranks(rows.pre, mask, parities, parity, ck, index)
            _set_row(rows, mask, parities, parity, -1)
        elif op == Op.PIM_EXIT or op == Op.PIM_REFAB:
            _pim_state(log, index, ck, rows, mask, parities, 0, parities, -2)
            place = latest_of_ranks(rows.pre, mask, parities, 0, parities)
            need(log, Rule.nRPab, index, ck, rows.pre, place, t.nRPab)
            for other in range(parities):
                _set_row(rows, mask, parities, other, -1)


class InputHistory(NamedTuple):
    """Loads of the input registers of each rank, and the segment (run of MACs over one row) that reads them."""

    load: History  # [ranks * slots]: last PIM_IN of each slot
    before: History  # the one before it, whose data stays until the last one lands
    spoilt: History  # [ranks * 2]: landing of the first PIM_IN over a slot that the segment needs
    segment: IntArray  # [ranks, 7]: see the names below
    activations: IntArray  # [ranks * parities]: count of PIM_ACT, to tell rows apart


SEG_PLACE, SEG_ROW, SEG_COLUMN, SEG_INPUTS, SEG_SETS, SEG_NEEDED, SEG_REPORTED = range(7)
# The parity as a place (-1: no segment yet), its count of activations, the last column, the set that its MACs name
# (-1: none), the sets that could have fed every MAC so far (a bit each), the slots that mustn't change (a bit each),
# and whether fault was found already.


def new_input_history(ranks: int, slots: int, parities: int) -> InputHistory:
    """Empty registers."""
    segment = np.zeros((ranks, 7), np.int64)
    segment[:, SEG_PLACE] = -1
    return InputHistory(
        new_history(ranks * slots),
        new_history(ranks * slots),
        new_history(ranks * SETS),
        segment,
        np.zeros(ranks * parities, np.int64),
    )


@cached_njit()
def _load_input(t: CheckTiming, index: int, ck: int, rank: int, slot: int, slots: int, inputs: InputHistory) -> None:
    """One rank latches a burst: it lands from WL to WL + BL/n_min after the command."""
    place = rank * slots + slot
    note(inputs.before, place, inputs.load.ck[place], inputs.load.command[place])
    note(inputs.load, place, ck, index)
    half = slots // SETS
    spot = rank * SETS + slot // half
    landing_ck = ck + t.nCWL
    if inputs.segment[rank, SEG_NEEDED] >> min(slot % half, MOST_BITS) & 1 and landing_ck < inputs.spoilt.ck[spot]:
        note(inputs.spoilt, spot, landing_ck, index)


@cached_njit()
def _follow_segment(
    t: CheckTiming,
    ck: int,
    rank: int,
    place: int,
    column: int,
    named: int,
    depth: int,
    slots: int,
    inputs: InputHistory,
) -> None:
    """A segment ends where the row or the named set changes, or the columns start again with the first k of a set."""
    segment = inputs.segment[rank]
    row = inputs.activations[place]
    step = COLUMN_STEP * depth
    same = segment[SEG_PLACE] == place and segment[SEG_ROW] == row and segment[SEG_INPUTS] == named
    if not same or column <= segment[SEG_COLUMN] or column // step != segment[SEG_COLUMN] // step:
        segment[SEG_PLACE] = place
        segment[SEG_ROW] = row
        segment[SEG_INPUTS] = named
        segment[SEG_SETS] = (1 << SETS) - 1 if named < 0 else 1 << named
        segment[SEG_NEEDED] = 0 if named < 0 else WHOLE_SET
        segment[SEG_REPORTED] = 0
        for s in range(SETS):
            note(inputs.spoilt, rank * SETS + s, -NEVER, -1)
        if named >= 0:
            _expect_landings(t, ck, rank, named, slots, inputs)
    segment[SEG_COLUMN] = column


@cached_njit()
def _expect_landings(t: CheckTiming, ck: int, rank: int, named: int, slots: int, inputs: InputHistory) -> None:
    """Bursts still on their way into the set when its first MAC comes are for a later segment, or too late."""
    half, spot = slots // SETS, rank * SETS + named
    for place in range(rank * slots + named * half, rank * slots + (named + 1) * half):
        landing_ck = inputs.load.ck[place] + t.nCWL
        if ck < landing_ck + t.nBL_min and landing_ck < inputs.spoilt.ck[spot]:
            note(inputs.spoilt, spot, landing_ck, inputs.load.command[place])


@cached_njit()
def _use_inputs(
    t: CheckTiming, log: Log, index: int, ck: int, rank: int, slot: int, slots: int, inputs: InputHistory
) -> bool:
    """Strike out the sets that can't have fed this MAC; find fault once none is left."""
    segment = inputs.segment[rank]
    segment[SEG_NEEDED] |= 1 << slot
    latch_ck = t.nCWL + t.nBL_min
    rule, earlier, earlier_ck, required = -1, -1, -1, -1
    for s in range(SETS):
        if segment[SEG_SETS] >> s & 1 == 0:
            continue
        place, spot = rank * slots + s * (slots // SETS) + slot, rank * SETS + s
        load_ck, loaded_by = inputs.load.ck[place], inputs.load.command[place]
        old_is_there = inputs.before.command[place] >= 0 and inputs.before.ck[place] + latch_ck <= ck
        landed = loaded_by >= 0 and load_ck + latch_ck <= ck
        if inputs.spoilt.ck[spot] < ck and (landed or old_is_there):
            rule, earlier, required = Rule.input_overwrite + 0, inputs.spoilt.command[spot], inputs.spoilt.ck[spot]
            earlier_ck = required - t.nCWL
        elif landed:
            continue
        elif old_is_there and ck <= load_ck + t.nCWL:
            if load_ck + t.nCWL < inputs.spoilt.ck[spot]:
                note(inputs.spoilt, spot, load_ck + t.nCWL, loaded_by)
            continue
        elif loaded_by > earlier or rule < 0:  # the set that came nearest is the one to name
            rule, earlier, earlier_ck = Rule.input_ready + 0, loaded_by, load_ck
            required = load_ck + latch_ck if loaded_by >= 0 else -1
        segment[SEG_SETS] &= ~(1 << s)
    if segment[SEG_SETS] == 0:
        report(log, rule, index, ck, earlier, earlier_ck, required)
    return bool(segment[SEG_SETS] != 0)


@cached_njit()
def check_inputs(
    stream: Stream,
    start: int,
    t: CheckTiming,
    tokens: int,
    layout: tuple[int, int],
    slots: int,
    parities: int,
    log: Log,
    inputs: InputHistory,
) -> None:
    """A MAC on column c reads k = c/16 mod the depth of one of two register sets: its burst has landed (WL + BL/n_min
    after PIM_IN), and no burst lands over what a segment needs before the last MAC of the segment. ``layout`` is that
    depth, inputs of a token in a set, and the bytes of an input.

    A segment needs the whole set that its MACs name. Where they name none it needs what it has used, and fault is
    found where neither set can have fed all of it. Slots hold the inputs of one token behind those of another, and a
    stream doesn't say how many tokens there are: each MAC uses the slots of ``tokens`` of them, for its k.
    """
    depth, width = layout
    silent = silent_log(log)
    for i in range(stream.op.shape[0]):
        op, ck, mask, index = stream.op[i], stream.ck[i], stream.mask[i], start + i
        if op != Op.PIM_IN and op != Op.PIM_MAC and op != Op.PIM_ACT:
            continue
        fine = True
        for rank in range(inputs.segment.shape[0]):
            if mask >> rank & 1 == 0:
                continue
            if op == Op.PIM_IN:
                _load_input(t, index, ck, rank, stream.column[i], slots, inputs)
            elif op == Op.PIM_ACT:
                inputs.activations[rank * parities + stream.bank[i]] += 1
            else:
                place, column = rank * parities + stream.bank[i], stream.column[i]
                _follow_segment(t, ck, rank, place, column, stream.inputs[i], depth, slots, inputs)
                for token in range(tokens):
                    if inputs.segment[rank, SEG_REPORTED] != 0:
                        break
                    slot = (token * min(depth, ROW_INPUTS) + column // COLUMN_STEP % depth) * width // BURST_BYTES
                    fed = _use_inputs(t, log if fine else silent, index, ck, rank, slot, slots, inputs)
                    inputs.segment[rank, SEG_REPORTED] = 0 if fed else 1
                    fine = fine and fed
