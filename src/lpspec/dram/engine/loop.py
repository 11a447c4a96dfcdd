"""One channel, two masters: the NPU and a PIM program share command slots and DQ until all is done."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.pim_issue import issue_macs, issue_pim, next_mac
from lpspec.dram.engine.pim_pick import pick_pim
from lpspec.dram.engine.plain_issue import issue_plain, open_row
from lpspec.dram.engine.plain_pick import column_is_next, opens_at_once, pick_plain
from lpspec.dram.engine.queues import admit, can_serve, choose_way, next_to_come
from lpspec.dram.engine.refresh import count_dues, refresh_presses, skip_refreshes
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native()
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
    elif not npu_wants or m[GIVEN, P_POLICY] == PIM_FIRST or refresh_presses(m):
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


@native()
def _pim_wins(m: IntArray, urgency: int) -> bool:
    """Who gets a command slot that both could use; ACT-2 before its deadline goes first in any case."""
    if urgency < 0:
        return False
    if m[GIVEN, P_POLICY] == ROUND_ROBIN:
        m[STATE, S_LAST_WINNER] = 1 - m[STATE, S_LAST_WINNER]
        return bool(m[STATE, S_LAST_WINNER] == 1)
    return bool(m[GIVEN, P_POLICY] == PIM_FIRST)


@native()
def _up(ck: int, step: int) -> int:
    """The next CK at which a command may begin: every one, or every other one."""
    return ck + (-ck & (step - 1))


@native()
def _pim_goes(m: IntArray, at: int, at_pim: int, urgency: int) -> bool:
    """Whether the next command is one of the PIM program."""
    first = min(at, at_pim)
    if at_pim != first or m[STATE, S_PIM_USED] == first:
        return False
    return bool(at != first or m[STATE, S_PLAIN_USED] == first or _pim_wins(m, urgency))


@native()
def _is_apart(m: IntArray, command: int, place: int) -> bool:
    """Whether a plain command goes over another bus than PIM commands; ``place`` is a rank for PREAB and REFAB."""
    r = place if command in (PREAB, REFAB) else place >> BANK_BITS
    return bool(m[GIVEN, P_OWN_BUS] != 0 and (m[GIVEN, P_OWN_BUS] >> r) & 1 == 0)


@native()
def _both_taken(m: IntArray, at: int, at_pim: int, command: int, place: int) -> bool:
    """Whether a bus has taken a command in this CK, and there is none now for the other."""
    now = m[STATE, S_NOW]
    if m[STATE, S_PIM_USED] == now:
        return bool(at != now or not _is_apart(m, command, place))
    return bool(m[STATE, S_PLAIN_USED] == now and at_pim != now)


@native()
def _pim_stands(m: IntArray, unit: int, at_pim: int, now: int) -> bool:
    """Whether a plain command leaves the next PIM command as it is: of plain ranks only DQ matters to the program.

    A command that could go by now may be held back by what goes now, and barriers look at rows.
    """
    return bool(at_pim > now and 0 <= unit < EVERY_UNIT and m[STATE, S_PIM_WANTS] == 0)


@native(inline=True)
def _next_event(m: IntArray, of_requests: int) -> int:
    """CK at which a request comes, a refresh comes due, or a wait of the program ends."""
    event = min(of_requests, m[STATE, S_NEXT_DUE])
    return int(min(event, m[STATE, S_PIM_FLOOR]) if m[STATE, S_PIM_FLOOR] > m[STATE, S_NOW] else event)


@native()
def _is_stuck(m: IntArray, first: int, horizon: int, of_requests: int) -> bool:
    """Whether nothing but refreshes come due, and they free nobody."""
    only_refreshes = first == NEVER and of_requests == NEVER and horizon == m[STATE, S_NEXT_DUE]
    return bool(only_refreshes and horizon > max(m[STATE, S_PROGRESS], m[STATE, S_PIM_FLOOR]) + 256 * m[GIVEN, P_NREFI])


@native()
def _skip_idle(m: IntArray, first: int, horizon: int, of_requests: int) -> bool:
    """Jump over refreshes where nothing else happens for long; whether there were any to jump over."""
    if first != NEVER or horizon != m[STATE, S_NEXT_DUE] or m[STATE, S_PIM_WANTS] != 0 or m[STATE, S_FIRST] < 0:
        return False
    until = of_requests
    if m[STATE, S_PIM_FLOOR] > m[STATE, S_NOW]:
        until = min(until, m[STATE, S_PIM_FLOOR])
    return bool(until < NEVER and until - horizon > IDLE_ROUNDS * m[GIVEN, P_NREFI] and skip_refreshes(m, until))


@native()
def run(m: IntArray, requests: IntArray, served_at: IntArray, program: IntArray, log: IntArray, commands: int) -> int:
    """Run the channel until all is done, the log is full, or so many commands are issued.

    Where nothing but refresh happens for long, and no log is kept, it jumps.

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
    if program.shape[0] > 0:
        return _run(m, requests, served_at, program, log, commands)
    return _run(m, requests, served_at, program[:0], log, commands)


@native(inline=True)
def _run(m: IntArray, requests: IntArray, served_at: IntArray, program: IntArray, log: IntArray, commands: int) -> int:
    """The same, compiled once for requests beside a program, and once for requests alone, where nothing asks for it."""
    total = requests.shape[0]
    computes = program.shape[0] > 0
    refreshes = m[GIVEN, P_REFRESH] != REFRESH_NONE
    m[STATE, S_LOGGED] = 0
    if not computes:
        m[STATE, S_FINISHED] = 1
        m[STATE, S_NPU_WANTS] = 0
    stale = True
    stale_pim = computes
    turn = True  # whether requests came or went
    at = NEVER
    at_pim = NEVER
    command = NO_COMMAND
    command_pim = NO_COMMAND
    place = 0
    slot = -1
    unit = -1
    urgency = 0
    patience = 256 * m[GIVEN, P_NREFI]
    step = m[GIVEN, P_STEP]
    two_buses = computes and m[GIVEN, P_OWN_BUS] != 0
    left = commands
    while left > 0 and (log.shape[0] == 0 or m[STATE, S_LOGGED] < log.shape[0] - 1):
        horizon_of_requests = next_to_come(m, requests)
        if horizon_of_requests <= m[STATE, S_NOW]:
            admit(m, requests)
            horizon_of_requests = next_to_come(m, requests)
            stale = turn = True
        if refreshes and m[STATE, S_NEXT_DUE] <= m[STATE, S_NOW]:
            count_dues(m)
            stale = True
        finished = (turn or computes) and m[STATE, S_FINISHED] != 0
        if finished and (m[STATE, S_SERVED] == total or m[STATE, S_HALT] != 0):
            return 1
        if stale_pim and m[STATE, S_FINISHED] == 0:
            at_pim, unit, command_pim = pick_pim(m, program)
            if m[STATE, S_FINISHED] != 0:
                stale = True
                continue
            if _share_dq(m):
                stale = True
                continue
            stale_pim = False
        if stale:
            if turn or computes or m[STATE, S_BLOCKED_READS] > 0 or m[STATE, S_NOW] >= m[STATE, S_LOOK_AT]:
                choose_way(m)
            turn = False
            at, command, place, slot, urgency = pick_plain(m)
            stale = False
            if computes:
                m[STATE, S_NPU_WANTS] = 1 if can_serve(m, m[STATE, S_WRITING]) else 0
                if m[STATE, S_FINISHED] == 0 and _share_dq(m):
                    stale = True
                    stale_pim = True
                    continue
        horizon = _next_event(m, horizon_of_requests)
        if computes and m[STATE, S_PIM_WANTS] != 0 and m[STATE, S_DQ_OWNER] == 0:  # npu-first ends its turn then
            horizon = min(horizon, max(m[STATE, S_DQ_WAITS] + m[GIVEN, P_WAIT], m[STATE, S_NOW] + 1))
        at = _up(at, step)
        if computes:
            at_pim = NEVER if m[STATE, S_FINISHED] != 0 else _up(at_pim, step)
        first = min(at, at_pim)
        if horizon <= first:
            if horizon == NEVER:
                return -E_DEADLOCK
            if _is_stuck(m, first, horizon, horizon_of_requests):
                return -E_DEADLOCK
            if log.shape[0] == 0 and _skip_idle(m, first, horizon, horizon_of_requests):
                continue
            m[STATE, S_NOW] = _up(horizon, step)
            if horizon in (horizon_of_requests, m[STATE, S_PIM_FLOOR]):
                m[STATE, S_PROGRESS] = horizon
            stale = True
            stale_pim = computes
            continue
        if two_buses and _both_taken(m, at, at_pim, command, place):
            m[STATE, S_NOW] += step
            stale = stale_pim = True
            continue
        m[STATE, S_NOW] = first
        macs = False
        again = False  # the other bus may take a command in the same CK
        if _pim_goes(m, at, at_pim, urgency):
            issue_pim(m, program, log, unit, command_pim)
            m[STATE, S_PROGRESS] = first
            stale_pim = True
            macs = command_pim == PIM_MAC and at > first and not stale
            again = two_buses and at == first and m[STATE, S_PLAIN_USED] != first
            m[STATE, S_PIM_USED] = first
            if at == first or command_pim in (PIM_IN, PIM_OUT, PIM_ENTER, PIM_EXIT):
                stale = True
        else:
            again = two_buses and at_pim == first and m[STATE, S_PIM_USED] != first and _is_apart(m, command, place)
            m[STATE, S_PLAIN_USED] = first
            of_row = command == PRE
            if command == ACT1 and min(horizon, at_pim) > first + step and opens_at_once(m, place, first, first + step):
                open_row(m, log, place, slot)
                first += step
                left -= 1
                of_row = True
            else:
                issue_plain(m, served_at, log, command, place, slot)
                turn = turn or command in (RD, WR)
            stale = True
            if command not in (REFAB, REFPB, PREAB):
                m[STATE, S_PROGRESS] = first
            elif (
                min(at_pim, horizon_of_requests) == NEVER
                and first > max(m[STATE, S_PROGRESS], m[STATE, S_PIM_FLOOR]) + patience
            ):
                return -E_DEADLOCK  # nothing but refreshes for a long time, and nothing to come
            stale_pim = computes and not _pim_stands(m, unit, at_pim, first if again else first + step)
            if not computes and of_row and column_is_next(m, first + step):
                at, place = first + step, m[STATE, S_COLUMN]
                command, slot = m[NEXT + (place >> BANK_BITS), N_CLASS + (place & (BANKS - 1))], m[place, B_FOR]
                stale = False
        m[STATE, S_NOW] = first if again else first + step
        left -= 1
        if macs:
            left -= issue_macs(m, program, log, min(at, horizon, m[STATE, S_SECOND]), left)
        if computes and stale_pim and unit == U_MAC and m[STATE, S_PIM_USED] == first:
            at_pim, stale_pim = next_mac(m, program)
        if m[STATE, S_ERROR] != 0:
            return -int(m[STATE, S_ERROR])
    if m[STATE, S_SERVED] == total and m[STATE, S_FINISHED] != 0:
        return 1
    return 0
