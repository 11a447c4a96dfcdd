"""The four units that walk a PIM program, the order that they keep among each other, and where all stand still."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.refresh import refresh_owed
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native()
def _unit_of(op: int) -> int:
    """The unit that takes an instruction; -1 if all must stand still for it."""
    if op == PIM_MAC:
        return U_MAC
    if op in (PIM_ACT, PIM_PRE):
        return U_ARRAY
    if op == PIM_IN:
        return U_IN
    if op == PIM_OUT:
        return U_OUT
    return -1


@native()
def tell(m: IntArray, first: int, program: IntArray, pc: int) -> None:
    """Count an instruction for each rank that takes it."""
    op = program[pc, I_OP]
    for r in range(m[GIVEN, P_RANKS]):
        if (program[pc, I_MASK] >> r) & 1:
            if op == PIM_ACT:
                m[first + C_ACT + program[pc, I_BANK], r] += 1
            elif op == PIM_MAC:
                m[first + C_MAC + program[pc, I_BANK], r] += 1
                m[first + C_SET + program[pc, I_SET], r] += 1
            elif op == PIM_IN:
                m[first + C_IN + program[pc, I_COLUMN] // m[GIVEN, P_SLOTS], r] += 1
            elif op == PIM_OUT:
                m[first + C_OUT, r] += 1


@native()
def go_on(m: IntArray, program: IntArray, unit: int) -> None:
    """Take a unit to its next instruction, or to the barrier or the end before which it must stand still."""
    while True:
        pc = m[WALKER + unit, W_PC]
        if pc >= program.shape[0]:
            m[WALKER + unit, W_AT] = AT_END
            return
        op = program[pc, I_OP]
        if op == LOOP:
            depth = m[WALKER + unit, W_DEPTH]
            m[WALKER + unit, W_LEFT + depth] = program[pc, I_COUNT]
            m[WALKER + unit, W_START + depth] = pc + 1
            m[WALKER + unit, W_DEPTH] = depth + 1
        elif op == END:
            depth = m[WALKER + unit, W_DEPTH] - 1
            m[WALKER + unit, W_LEFT + depth] -= 1
            if m[WALKER + unit, W_LEFT + depth] > 0:
                m[WALKER + unit, W_PC] = m[WALKER + unit, W_START + depth]
                continue
            m[WALKER + unit, W_DEPTH] = depth
        elif op == PIM_REFAB:  # a refresh point: the array unit, which runs ahead by a row, decides for all
            point = m[WALKER + unit, W_POINTS]
            if unit == U_ARRAY and point == m[STATE, S_REF_DECIDED]:
                last = min(m[WALKER + U_MAC, W_POINTS], m[WALKER + U_IN, W_POINTS], m[WALKER + U_OUT, W_POINTS])
                if point - last >= DECISIONS - 1:
                    m[WALKER + unit, W_AT] = AT_POINT
                    return
                owed = refresh_owed(m, program[pc, I_MASK])
                m[DECIDED, point % DECISIONS] = 1 if owed > 0 else 0
                m[STATE, S_REF_DECIDED] = point + 1
            if point >= m[STATE, S_REF_DECIDED]:
                m[WALKER + unit, W_AT] = AT_POINT
                return
            if m[DECIDED, point % DECISIONS] != 0:
                m[WALKER + unit, W_AT] = AT_BARRIER
                return
            m[WALKER + unit, W_POINTS] = point + 1
        else:
            owner = _unit_of(op)
            if owner < 0:
                m[WALKER + unit, W_AT] = AT_BARRIER
                return
            if owner == unit:
                m[WALKER + unit, W_AT] = AT_RUN
                return
            tell(m, SEEN + 9 * unit, program, pc)
        m[WALKER + unit, W_PC] = pc + 1


@native()
def start_program(m: IntArray, program: IntArray) -> None:
    """Bring all units before their first instruction."""
    for unit in range(UNITS):
        go_on(m, program, unit)


@native()
def row_of(m: IntArray, program: IntArray, unit: int) -> int:
    """Row that an instruction names in this round of the loops around it."""
    pc = m[WALKER + unit, W_PC]
    row = program[pc, I_ROW]
    for depth in range(m[WALKER + unit, W_DEPTH]):
        start = m[WALKER + unit, W_START + depth]
        done = program[start - 1, I_COUNT] - m[WALKER + unit, W_LEFT + depth]
        row += done * program[pc, I_ROW_STEP + depth]
    return int(row)


@native()
def waits_for(m: IntArray, unit: int, mask: int, what: int) -> bool:
    """Whether a rank of the mask has not yet done all that stands earlier in the program."""
    behind = False
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1 and m[DONE + what, r] < m[SEEN + 9 * unit + what, r]:
            behind = True
    return behind


@native()
def lowest(mask: int) -> int:
    """The first rank of a mask."""
    r = 0
    while (mask >> r) & 1 == 0:
        r += 1
    return r


@native()
def latest(m: IntArray, mask: int, field: int, at: int) -> int:
    """The latest of a time over the ranks of a mask, not before ``at``."""
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            at = max(at, m[RANK + r, field])
    return at


@native()
def pick_barrier(m: IntArray, program: IntArray, now: int) -> tuple[int, int, int, int]:
    """The next command of an instruction for which all units stand still: CK, command, mask, parity."""
    pc = m[WALKER + 0, W_PC]
    op = program[pc, I_OP]
    mask = program[pc, I_MASK]
    if op == PIM_ENTER:
        at = latest(m, mask, REFAB, latest(m, mask, R_READY, now))
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1:
                if m[RANK + r, R_MODE] == 2 and program[pc, I_COUNT] == 0:  # a switch has further steps, counted from 1
                    m[STATE, S_ERROR] = E_PIM_MODE
                m[STATE, S_PIM_RANKS] += 1 if m[RANK + r, R_MODE] == 0 else 0
                m[RANK + r, R_MODE] = max(m[RANK + r, R_MODE], 1)
                m[RANK + r, R_TARGET] = -1
                if m[RANK + r, R_OPEN] > 0 or m[RANK + r, R_OPENING] >= 0:
                    at = NEVER
        return at, PIM_ENTER, mask, 0
    if op == PIM_EXIT:
        at = latest(m, mask, R_EXIT, latest(m, mask, R_READY, now))
        at = latest(m, mask, R_REOPEN, latest(m, mask, R_REOPEN + 1, at))
        for r in range(m[GIVEN, P_RANKS]):
            if (mask >> r) & 1 and (m[RANK + r, R_MODE] != 2 or m[RANK + r, R_OPEN] > 0):
                m[STATE, S_ERROR] = E_PIM_MODE
        return at, PIM_EXIT, mask, 0
    # A refresh point at which refresh is due: close what is open, refresh, open it again.
    stage = m[STATE, S_REF_STAGE]
    if stage == 0:
        m[STATE, S_REF_LEFT] = refresh_owed(m, mask)
        for parity in range(2):
            m[STATE, S_MASK0 + parity] = 0
            for r in range(m[GIVEN, P_RANKS]):
                row = m[RANK + r, R_PIM_ROW + parity]
                if (mask >> r) & 1 and row >= 0:
                    if m[STATE, S_MASK0 + parity] != 0 and m[STATE, S_ROW0 + parity] != row:
                        m[STATE, S_ERROR] = E_PIM_ROW
                    m[STATE, S_MASK0 + parity] |= 1 << r
                    m[STATE, S_ROW0 + parity] = row
        both = m[STATE, S_MASK0] != 0 and m[STATE, S_MASK1] != 0
        r = lowest(mask)
        m[STATE, S_FIRST_PARITY] = 1 if both and m[RANK + r, R_COLUMN + 1] < m[RANK + r, R_COLUMN] else 0
        stage = 1
    while stage <= 2 and m[STATE, S_MASK0 + stage - 1] == 0:
        stage += 1
    if stage == 3 and m[STATE, S_REF_LEFT] <= 0:
        stage = 4
    while 4 <= stage <= 5 and m[STATE, S_MASK0 + ((stage - 4) ^ m[STATE, S_FIRST_PARITY])] == 0:
        stage += 1
    m[STATE, S_REF_STAGE] = stage
    if stage <= 2:
        parity = stage - 1
        return latest(m, mask, R_CLOSE + parity, now), PIM_PRE, m[STATE, S_MASK0 + parity], parity
    at = latest(m, mask, R_READY, now)
    if stage == 3:
        at = latest(m, mask, R_REOPEN, latest(m, mask, R_REOPEN + 1, at))
        return at, PIM_REFAB, mask, 0
    if stage <= 5:
        parity = (stage - 4) ^ m[STATE, S_FIRST_PARITY]
        at = latest(m, mask, R_REOPEN + parity, latest(m, mask, R_PIM_ACT, at))
        return at, PIM_ACT, m[STATE, S_MASK0 + parity], parity
    return NEVER, END, 0, 0


@native()
def past_barrier(m: IntArray, program: IntArray) -> None:
    """Let all units go on behind the instruction for which they stood still."""
    is_point = program[m[WALKER + 0, W_PC], I_OP] == PIM_REFAB
    m[STATE, S_REF_STAGE] = 0
    for unit in range(UNITS):
        m[WALKER + unit, W_PC] += 1
        if is_point:
            m[WALKER + unit, W_POINTS] += 1
    for unit in range(UNITS):
        go_on(m, program, unit)
