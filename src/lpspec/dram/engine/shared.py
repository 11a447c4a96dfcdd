"""A phase that shares its channel with requests of others, which come at their own times, phase or no phase.

The engine admits requests in the order of its table. So the table is written a few lines ahead: others' requests go
before those of the phase once they have come, as if each had a port of its own.
"""

from lpspec.arrays import IntArray
from lpspec.dram.engine.loop import run
from lpspec.dram.engine.state import *
from lpspec.native.functions import native

AHEAD = 4  # requests of the phase that are written ahead, and commands between two looks at who has come
OTHERS_AHEAD = 64  # requests of others that are, where the phase has none left
COMMANDS = 256  # between two looks then
NOT_SERVED = -1
LINE_FIELDS = 7  # of a line of the table, and when its data end
T_OWN = 5  # field of the table behind those of a request: 1 for one of the phase


@native()
def _write(table: IntArray, served_at: IntArray, line: int, request: IntArray, is_own: int) -> None:
    """Write a line of the table."""
    for field in range(T_OWN):
        table[line, field] = request[field]
    table[line, T_OWN] = is_own
    served_at[line] = NOT_SERVED


@native()
def _waiting(table: IntArray, served_at: IntArray, first: int, lines: int) -> bool:
    """Whether a request of the phase is not served yet."""
    waits = False
    for line in range(first, lines):
        if table[line, T_OWN] == 1 and served_at[line] == NOT_SERVED:
            waits = True
    return waits


@native()
def _write_others(
    table: IntArray, served_at: IntArray, others: IntArray, written: int, line: int, until_ck: int
) -> int:
    """Write some more of the others that come until a CK; how many are written now."""
    first = written
    while written < others.shape[0] and others[written, 0] <= until_ck and written - first < OTHERS_AHEAD:
        _write(table, served_at, line + written - first, others[written], 0)
        written += 1
    return written


@native()
def _of_phase(table: IntArray, first: int, lines: int) -> int:
    """How many of some lines are of the phase."""
    n = 0
    for line in range(first, lines):
        n += table[line, T_OWN]
    return n


@native()
def _finish(m: IntArray, program: IntArray, table: IntArray, served_at: IntArray, log: IntArray) -> int:
    """Serve whoever was admitted; the engine's error, or 1."""
    m[STATE, S_HALT] = 0
    logged = m[STATE, S_LOGGED]
    done = 0
    while done == 0:
        done = run(m, table, served_at, program, log[logged:], COMMANDS)
        logged += m[STATE, S_LOGGED]
    m[STATE, S_LOGGED] = logged
    return done


@native(fixed_widths=True)
def run_shared(
    m: IntArray, program: IntArray, own: IntArray, others: IntArray, room: IntArray, log: IntArray
) -> tuple[int, int, int]:
    """Run a phase until its program has ended and its requests are served, and serve whoever else was admitted.

    Args:
        m: State of the channel, brought before the first line of the program.
        program: int64 [instructions, INSTRUCTION_FIELDS], empty for none.
        own, others: int64 [n, 5], requests of the phase, all there from its start; of others, in order of arrival.
        room: int64 [LINE_FIELDS * lines], to write in: CK at which data end, then the table, int64 [lines, 6].
        log: int64 [commands, 5], filled as the engine's, with room for all; empty to keep none.

    Returns:
        The engine's error, 0 if the table has no room, else 1; lines of the table; the CK at which the phase ended.
    """
    most = room.shape[0] // LINE_FIELDS
    served_at = room[:most]
    table = room[most:].reshape(most, LINE_FIELDS - 1)
    logged = own_written = others_written = lines = first = 0  # all before the first are served
    end_ck = m[STATE, S_NOW]
    while True:
        admitted = m[STATE, S_NEXT]
        ahead = _of_phase(table, admitted, lines)  # not admitted yet: written anew
        own_written -= ahead
        others_written -= lines - admitted - ahead
        if admitted + 2 * OTHERS_AHEAD + AHEAD > most:
            return 0, admitted, end_ck
        lines = admitted - others_written
        others_written = _write_others(table, served_at, others, others_written, admitted, m[STATE, S_NOW])
        lines += others_written
        ahead = 0
        while ahead < AHEAD and own_written < own.shape[0]:
            _write(table, served_at, lines, own[own_written], 1)
            own_written += 1
            ahead += 1
            lines += 1
        while first < admitted and served_at[first] != NOT_SERVED:
            first += 1
        waits = ahead > 0 or _waiting(table, served_at, first, admitted)
        if not waits:  # time may go on to whoever comes next
            lines -= others_written
            others_written = _write_others(table, served_at, others, others_written, lines + others_written, NEVER)
            lines += others_written
        computes = program.shape[0] > 0 and m[STATE, S_FINISHED] == 0
        if not waits and not computes:
            break
        m[STATE, S_HALT] = 0 if waits else 1
        done = run(m, table[:lines], served_at, program, log[logged:], AHEAD if waits else COMMANDS)
        logged += m[STATE, S_LOGGED]
        if computes and m[STATE, S_FINISHED] != 0:
            end_ck = m[STATE, S_NOW]
        if done < 0:
            return done, lines, end_ck
    m[STATE, S_LOGGED] = logged
    done = _finish(m, program, table[: m[STATE, S_NEXT]], served_at, log)
    for line in range(m[STATE, S_NEXT]):
        if table[line, T_OWN] == 1:
            end_ck = max(end_ck, served_at[line])
    return done, int(m[STATE, S_NEXT]), end_ck
