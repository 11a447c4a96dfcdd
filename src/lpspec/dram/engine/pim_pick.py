"""The next command of a PIM program."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.pim_units import go_on, latest, lowest, past_barrier, pick_barrier, waits_for
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native()
def pick_pim(m: IntArray, program: IntArray) -> tuple[int, int, int]:
    """Find the next command of the program, and note whether a unit wants DQ.

    Returns:
        CK, unit (EVERY_UNIT for a barrier), command.
    """
    slots = m[GIVEN, P_SLOTS]
    m[STATE, S_PIM_WANTS] = 0
    now = m[STATE, S_NOW]
    while True:
        if now < m[STATE, S_PIM_FLOOR]:  # in a WAIT
            return NEVER, -1, NO_COMMAND
        standing = 0
        for unit in range(UNITS):
            if m[WALKER + unit, W_AT] == AT_POINT:
                go_on(m, program, unit)
            if m[WALKER + unit, W_AT] == AT_BARRIER:
                standing += 1
        if standing < UNITS:
            break
        pc = m[WALKER, W_PC]
        if program[pc, I_OP] == WAIT:
            m[STATE, S_PIM_FLOOR] = now + program[pc, I_COUNT]
        else:
            at, command, _, _ = pick_barrier(m, program, now)
            if command != END:
                return at, EVERY_UNIT, command
        past_barrier(m, program)
    best_at = NEVER
    best = -1
    best_command = NO_COMMAND
    second_at = NEVER
    ended = 0
    for unit in (U_MAC, U_ARRAY, U_IN, U_OUT):
        if m[WALKER + unit, W_AT] != AT_RUN:
            if m[WALKER + unit, W_AT] == AT_END:
                ended += 1
            continue
        pc = m[WALKER + unit, W_PC]
        mask = program[pc, I_MASK]
        command = program[pc, I_OP]
        fresh = m[WALKER + unit, W_DONE] == 0
        if unit == U_MAC:
            parity = program[pc, I_BANK]
            inputs = program[pc, I_SET]
            if fresh and (
                waits_for(m, U_MAC, mask, C_ACT + parity)
                or waits_for(m, U_MAC, mask, C_IN + inputs)
                or waits_for(m, U_MAC, mask, C_OUT)
            ):
                continue
            at = now
            for r in range(m[GIVEN, P_RANKS]):
                if (mask >> r) & 1:
                    at = max(at, m[RANK + r, R_PIM_MAC], m[RANK + r, R_READY])
                    if fresh:
                        at = max(at, m[RANK + r, R_COLUMN + parity], m[RANK + r, R_INPUT + inputs])
        elif unit == U_ARRAY:
            parity = program[pc, I_BANK]
            if command == PIM_ACT:
                at = latest(m, mask, R_PIM_ACT, latest(m, mask, R_READY, now))
                at = latest(m, mask, R_REOPEN + parity, at)
            else:
                if waits_for(m, U_ARRAY, mask, C_MAC + parity):
                    continue
                at = latest(m, mask, R_CLOSE + parity, latest(m, mask, R_READY, now))
        else:
            if unit == U_IN:
                if fresh and waits_for(m, U_IN, mask, C_SET + program[pc, I_COLUMN] // slots):
                    continue
                column = WR
            else:
                if fresh and (waits_for(m, U_OUT, mask, C_MAC) or waits_for(m, U_OUT, mask, C_MAC + 1)):
                    continue
                column = RD
            m[STATE, S_PIM_WANTS] = 1
            if m[STATE, S_DQ_OWNER] == 0:
                continue
            at = latest(m, mask, column, latest(m, mask, R_READY, now))
            if unit == U_OUT:
                at = latest(m, mask, R_PIM_OUT, at)
            r = lowest(mask)
            stopped = at > m[RANK + r, R_WCK] or (column == RD and m[RANK + r, R_WROTE] != 0)
            if stopped:
                # R_READY holds CAS back as well
                at = max(m[RANK + r, R_WCK] + 1, at - CAS_LEAD, latest(m, mask, R_READY, now))
                command = CAS
        if at < best_at:
            second_at = best_at
            best_at = at
            best = unit
            best_command = command
        else:
            second_at = min(second_at, at)
    m[STATE, S_SECOND] = second_at
    if ended == UNITS:
        m[STATE, S_FINISHED] = 1
        m[STATE, S_DQ_OWNER] = m[STATE, S_COLUMNS_HELD] = 0  # only the NPU is left
    return best_at, best, best_command
