"""PIM commands issued: registers, rows and modes of the ranks that take them."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.effects import keep_wck, row_closed, row_opened, wait_of_rank, word, write_down
from lpspec.dram.engine.pim_units import go_on, lowest, past_barrier, pick_barrier, row_of, tell
from lpspec.dram.engine.plain_issue import start_wck
from lpspec.dram.engine.queues import note_need
from lpspec.dram.engine.state import *
from lpspec.native.functions import native


@native()
def issue_pim(m: IntArray, program: IntArray, log: IntArray, unit: int, command: int) -> None:
    """Issue one PIM command now, and let the unit go on when its instruction is done."""
    if unit == EVERY_UNIT:
        _issue_at_barrier(m, program, log)
        return
    pc = m[WALKER + unit, W_PC]
    mask = program[pc, I_MASK]
    if command == CAS:
        start_wck(m, log, lowest(mask))
        return
    _refuse_plain_ranks(m, mask)
    done = m[WALKER + unit, W_DONE]
    if command == PIM_MAC:
        _multiply(m, program, log, pc, done)
    elif command == PIM_IN:
        _load(m, log, mask, program[pc, I_COLUMN] + done)
    elif command == PIM_OUT:
        _read_back(m, log, mask, program[pc, I_BANK], program[pc, I_COLUMN] + done)
    else:
        row = row_of(m, program, unit) if command == PIM_ACT else -1
        _move_no_data(m, log, command, mask, program[pc, I_BANK], row)
    runs = command in (PIM_MAC, PIM_IN, PIM_OUT)
    if runs and done + 1 < program[pc, I_COUNT]:
        m[WALKER + unit, W_DONE] = done + 1
        return
    m[WALKER + unit, W_DONE] = 0
    tell(m, DONE, program, pc)
    m[WALKER + unit, W_PC] = pc + 1
    go_on(m, program, unit)


@native()
def _issue_at_barrier(m: IntArray, program: IntArray, log: IntArray) -> None:
    """Issue the next command of an instruction for which all units stand still."""
    _, command, mask, parity = pick_barrier(m, program, m[STATE, S_NOW])
    row = m[STATE, S_ROW0 + parity] if command == PIM_ACT else -1
    if command == PIM_REFAB:
        m[STATE, S_REF_LEFT] -= 1
    elif command in (PIM_PRE, PIM_ACT):
        m[STATE, S_REF_STAGE] += 1
    if command != PIM_ENTER:
        _refuse_plain_ranks(m, mask)
    _move_no_data(m, log, command, mask, parity, row)
    if command in (PIM_ENTER, PIM_EXIT):
        past_barrier(m, program)


@native()
def _refuse_plain_ranks(m: IntArray, mask: int) -> None:
    """A rank that is not in PIM mode has no MPUs that could take a PIM command."""
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1 and m[RANK + r, R_MODE] != 2:
            m[STATE, S_ERROR] = E_PIM_MODE


@native()
def _ranks_in(m: IntArray, mask: int) -> int:
    ranks = 0
    for r in range(m[GIVEN, P_RANKS]):
        ranks += (mask >> r) & 1
    return ranks


@native()
def _multiply(m: IntArray, program: IntArray, log: IntArray, pc: int, done: int) -> None:
    """PIM_MAC: a column of an open row goes to the MPUs, whose accumulators are busy for nMAC.

    The row must stay open for nRTP, as after any read of it.
    """
    now = m[STATE, S_NOW]
    mask = program[pc, I_MASK]
    parity = program[pc, I_BANK]
    ranks = _ranks_in(m, mask)
    column = (program[pc, I_COLUMN] + done) << COLUMN_BITS
    write_down(m, log, now, PIM_MAC, mask, ranks, parity | program[pc, I_SET] << 2, word(-1, column))
    m[STATE, S_MAC_TOKENS] += program[pc, I_TOKENS] * ranks
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            if m[RANK + r, R_PIM_ROW + parity] < 0:
                m[STATE, S_ERROR] = E_PIM_ROW
            m[RANK + r, R_PIM_MAC] = now + m[GIVEN, P_NMAC]
            m[RANK + r, R_PIM_OUT] = now + m[GIVEN, P_NMAC]
            m[RANK + r, R_CLOSE + parity] = max(m[RANK + r, R_CLOSE + parity], now + m[GIVEN, P_NRTP])


@native()
def _load(m: IntArray, log: IntArray, mask: int, slot: int) -> None:
    """PIM_IN: a burst goes over DQ into registers of all ranks of a mask; MACs read them once it has landed."""
    now = m[STATE, S_NOW]
    write_down(m, log, now, PIM_IN, mask, _ranks_in(m, mask), -1, word(-1, slot))
    end = now + m[GIVEN, P_NCWL] + m[GIVEN, P_NBL]
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            wait_of_rank(m, PIM_IN, r, mask, now)
            m[RANK + r, R_INPUT + slot // m[GIVEN, P_SLOTS]] = end
            m[RANK + r, R_EXIT] = max(m[RANK + r, R_EXIT], end)
    _burst_until(m, lowest(mask), end, 1)


@native()
def _read_back(m: IntArray, log: IntArray, mask: int, first_mpu: int, burst: int) -> None:
    """PIM_OUT: accumulators of one rank go over DQ; the rank keeps PIM mode until they have."""
    now = m[STATE, S_NOW]
    r = lowest(mask)
    place = r * BANKS + first_mpu + burst // m[GIVEN, P_OUTS]
    write_down(m, log, now, PIM_OUT, r, 1, place, word(-1, burst % m[GIVEN, P_OUTS]))
    end = now + m[GIVEN, P_NCL] + m[GIVEN, P_NBL]
    wait_of_rank(m, PIM_OUT, r, mask, now)
    m[RANK + r, R_EXIT] = max(m[RANK + r, R_EXIT], end)
    _burst_until(m, r, end, 0)


@native()
def _burst_until(m: IntArray, r: int, end: int, wrote: int) -> None:
    """A burst of registers holds DQ, and keeps WCK of its rank running, as any other does."""
    keep_wck(m, r, end + m[GIVEN, P_WCKPST], wrote)
    m[STATE, S_END] = max(m[STATE, S_END], end)
    m[STATE, S_DQ_BURSTS] += 1


@native()
def _move_no_data(m: IntArray, log: IntArray, command: int, mask: int, parity: int, row: int) -> None:
    """Rows, refresh and mode of all ranks of a mask."""
    now = m[STATE, S_NOW]
    place = parity if command in (PIM_ACT, PIM_PRE) else -1
    write_down(m, log, now, command, mask, _ranks_in(m, mask), place, word(row, -1) if row >= 0 else 0)
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            _change_state(m, command, r, parity, row, now)


@native()
def _change_state(m: IntArray, command: int, r: int, parity: int, row: int, now: int) -> None:
    """What a PIM command that moves no data does to one rank."""
    if command == PIM_ACT:  # the banks of a parity open nRRD and nFAW apart: its columns wait for the last of them
        if m[RANK + r, R_PIM_ROW + parity] >= 0:
            m[STATE, S_ERROR] = E_PIM_ROW
        m[RANK + r, R_PIM_ROW + parity] = row
        opened = now + m[GIVEN, P_OPENED]
        m[RANK + r, R_COLUMN + parity] = opened + m[GIVEN, P_NRCD]
        m[RANK + r, R_CLOSE + parity] = opened + m[GIVEN, P_NRAS]
        m[RANK + r, R_PIM_ACT] = now + m[GIVEN, P_ACT_ACT]
        row_opened(m, r, now)
    elif command == PIM_PRE:  # all banks of the parity close; the next PRE of the rank may follow nPPD later
        m[RANK + r, R_REOPEN + parity] = now + m[GIVEN, P_NRPAB]
        for either in range(2):
            m[RANK + r, R_CLOSE + either] = max(m[RANK + r, R_CLOSE + either], now + m[GIVEN, P_NPPD])
        row_closed(m, r, 1 if m[RANK + r, R_PIM_ROW + parity] >= 0 else 0, now)
        m[RANK + r, R_PIM_ROW + parity] = -1
    elif command == PIM_REFAB:  # nothing of the rank may be touched while its rows are restored
        m[RANK + r, R_READY] = now + m[GIVEN, P_NRFCAB]
        m[RANK + r, R_DEBT] -= PAIRS if m[GIVEN, P_REFRESH] == REFRESH_PAIR else 1
        for b in range(r * BANKS, (r + 1) * BANKS):
            m[b, B_REFRESHES] += 1
    elif command == PIM_ENTER:
        m[RANK + r, R_MODE] = 2
        m[RANK + r, R_READY] = now + m[GIVEN, P_NMODE]
    elif command == PIM_EXIT:
        m[RANK + r, R_MODE] = 0
        m[STATE, S_PIM_RANKS] -= 1
        wait_of_rank(m, PIM_EXIT, r, 1 << r, now)
        m[STATE, S_LOOK_AT] = now
        for place in range(r * BANKS, (r + 1) * BANKS):
            note_need(m, place)


@native()
def issue_macs(m: IntArray, program: IntArray, log: IntArray, before: int, most: int) -> int:
    """Go on with a run of MACs as long as no other command comes between, its last one excepted; return how many."""
    pc = m[WALKER + U_MAC, W_PC]
    done = m[WALKER + U_MAC, W_DONE]
    step = m[GIVEN, P_NMAC]
    first = m[STATE, S_LAST] + step
    n = min(program[pc, I_COUNT] - 1 - done, (before - 1 - first) // step + 1, most)
    if log.shape[0] > 0:
        n = min(n, log.shape[0] - 1 - m[STATE, S_LOGGED])
    if done == 0 or n <= 0:
        return 0
    mask = program[pc, I_MASK]
    parity = program[pc, I_BANK]
    ranks = 0
    last = first + (n - 1) * step
    for r in range(m[GIVEN, P_RANKS]):
        if (mask >> r) & 1:
            ranks += 1
            m[RANK + r, R_PIM_MAC] = last + step
            m[RANK + r, R_PIM_OUT] = last + step
            m[RANK + r, R_CLOSE + parity] = max(m[RANK + r, R_CLOSE + parity], last + m[GIVEN, P_NRTP])
    if log.shape[0] > 0:
        place = parity | program[pc, I_SET] << 2
        for k in range(n):
            column = (program[pc, I_COLUMN] + done + k) << COLUMN_BITS
            write_down(m, log, first + k * step, PIM_MAC, mask, ranks, place, word(-1, column))
    else:
        m[COUNT, PIM_MAC] += n
        m[COUNT + 1, PIM_MAC] += n * ranks
        m[STATE, S_LAST] = last
    m[STATE, S_MAC_TOKENS] += program[pc, I_TOKENS] * ranks * n
    m[WALKER + U_MAC, W_DONE] = done + n
    m[STATE, S_NOW] = last + m[GIVEN, P_STEP]
    return int(n)


@native()
def next_mac(m: IntArray, program: IntArray) -> tuple[int, bool]:
    """CK of the next MAC of a run, and whether the next command of the program is to be picked anew all the same.

    It is, unless no other unit goes before that MAC or waits for DQ. MACs within a run hold back no other unit: what
    stands below waits for the last of them.
    """
    if m[WALKER + U_MAC, W_DONE] == 0 or m[STATE, S_PIM_WANTS] != 0:
        return NEVER, True
    at = m[RANK + lowest(program[m[WALKER + U_MAC, W_PC], I_MASK]), R_PIM_MAC]
    return int(at), bool(at > m[STATE, S_SECOND])
