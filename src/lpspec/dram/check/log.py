"""What the checker's rules share: their names, the histories they look back on, and where they write findings."""
# ruff: noqa: N815 - rules carry the standard's spelling

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit

NEVER = -(1 << 40)
"""A CK so early that no rule counted from it still binds."""

BANKS = 16
GROUPS = 4
NO_GROUP = 4
"""Place of register bursts (PIM_IN, PIM_OUT) beside the four bank groups."""


class Rule(IntEnum):
    """Every rule by the name that a violation carries: timings as the standard spells them, the others in words."""

    order = 0
    CA = 1
    ACT_pair = 2
    nAAD = 3
    state = 4
    row = 5
    nRCD = 6
    nRAS = 7
    nRC = 8
    nRPpb = 9
    nRPab = 10
    nRTP = 11
    nWR = 12
    nPPD = 13
    nRRD = 14
    nFAW = 15
    nCCD_S = 16
    nCCD_L = 17
    nWTR_S = 18
    nWTR_L = 19
    nRTW = 20
    DQ = 21
    nRKSW = 22
    rank_turnaround = 23
    WCK = 24
    nRFCab = 25
    nRFCpb = 26
    nPBR2PBR = 27
    nPBR2ACT = 28
    retention = 29
    refresh_debt = 30
    mode = 31
    nMODE = 32
    nMAC = 33
    input_ready = 34
    input_overwrite = 35
    concurrent_ranks = 36
    CA_slot = 37
    WCK_running = 38
    WCK_sync = 39


RULES = len(Rule)

DEADLINES = frozenset({Rule.nAAD, Rule.WCK, Rule.retention, Rule.refresh_debt, Rule.input_overwrite})
"""Rules whose required CK is the latest allowed one; for all others it is the earliest."""


class Log(NamedTuple):
    """Findings of one piece of a stream: all are counted, as many as there is room for are kept."""

    rows: IntArray  # [room, 6]: rule, index, ck, earlier index, earlier ck, required ck (-1: none)
    counts: IntArray  # [rules]
    size: IntArray  # [1]
    step: IntArray  # [1]: CK that a command takes, and of which it begins on a multiple


class History(NamedTuple):
    """When something last happened at each place, and which command did it."""

    ck: IntArray
    command: IntArray


def new_log(room: int, step_ck: int) -> Log:
    """An empty log that keeps ``room`` findings on commands of so many CK."""
    rows, counts = np.zeros((room, 6), np.int64), np.zeros(len(Rule), np.int64)
    return Log(rows, counts, np.zeros(1, np.int64), np.full(1, step_ck, np.int64))


def new_history(places: int) -> History:
    """A history in which nothing has happened."""
    return History(np.full(places, NEVER, np.int64), np.full(places, -1, np.int64))


@cached_njit()
def report(log: Log, rule: int, index: int, ck: int, earlier: int, earlier_ck: int, required: int) -> None:
    """Write one finding."""
    log.counts[rule] += 1
    at = log.size[0]
    if at < log.rows.shape[0]:
        log.rows[at, 0] = rule
        log.rows[at, 1] = index
        log.rows[at, 2] = ck
        log.rows[at, 3] = earlier
        log.rows[at, 4] = earlier_ck
        log.rows[at, 5] = required
        log.size[0] = at + 1


@cached_njit()
def silent_log(log: Log) -> Log:
    """A log beside another for findings that say nothing new, such as those of the other ranks of one command."""
    return Log(np.zeros((0, 6), np.int64), np.zeros(RULES, np.int64), np.zeros(1, np.int64), log.step)


@cached_njit()
def in_commands(log: Log, ck: int) -> int:
    """The next CK at which a command may begin."""
    step = log.step[0]
    return ck if step == 1 else -(-ck // step) * step


@cached_njit()
def note(history: History, place: int, ck: int, index: int) -> None:
    """Remember that command ``index`` happened at ``place``."""
    history.ck[place] = ck
    history.command[place] = index


@cached_njit()
def need(log: Log, rule: int, index: int, ck: int, history: History, place: int, delay_ck: int) -> bool:
    """Find fault where ``ck`` comes sooner than ``delay_ck`` after what happened last at ``place``.

    Commands of 2 CK begin on even ones (``check_ca`` holds them to it), so what is required is rounded up once, when
    all that it is a sum of is added up; what happens inside a die may fall on any CK.
    """
    earlier_ck = history.ck[place]
    if ck - earlier_ck >= delay_ck:
        return True
    report(log, rule, index, ck, history.command[place], earlier_ck, in_commands(log, earlier_ck + delay_ck))
    return False


@cached_njit()
def latest(history: History, first: int, count: int) -> int:
    """The place, of ``count`` from ``first``, where something happened last."""
    best = first
    for place in range(first + 1, first + count):
        if history.ck[place] > history.ck[best]:
            best = place
    return best


@cached_njit()
def latest_of_ranks(history: History, mask: int, stride: int, offset: int, count: int) -> int:
    """The place where something happened last, among ``count`` places from ``offset`` of each rank of a mask."""
    best = -1
    rank = 0
    while mask >> rank:
        if mask >> rank & 1:
            place = latest(history, rank * stride + offset, count)
            if best < 0 or history.ck[place] > history.ck[best]:
                best = place
        rank += 1
    return best
