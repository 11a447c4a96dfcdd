"""A phase, or copies of it one after the other: most are so short that calls from Python would take longer."""

from lpspec.arrays import IntArray
from lpspec.dram.engine.loop import run
from lpspec.dram.engine.pim_units import start_program
from lpspec.dram.engine.state import *
from lpspec.native.functions import native

MOST_COMMANDS = 1 << 40


@native(fixed_widths=True)
def start_segment(m: IntArray, program: IntArray, start_ck: int) -> None:
    """Bring a program before its first line, not to go before a CK, and let requests count from none."""
    for row in range(DECIDED, LATENCY):
        for column in range(m.shape[1]):
            m[row, column] = 0
    for cell in (S_FINISHED, S_NEXT, S_SERVED, S_REF_DECIDED, S_REF_STAGE):
        m[STATE, cell] = 0
    m[STATE, S_PIM_FLOOR] = start_ck
    m[STATE, S_PROGRESS] = start_ck
    if program.shape[0] > 0:
        start_program(m, program)


@native(fixed_widths=True)
def run_phase(
    m: IntArray,
    program: IntArray,
    requests: IntArray,
    served_at: IntArray,
    log: IntArray,
    commands: int,
    start_ck: int,
    until_ck: int,
) -> tuple[int, int, int]:
    """Run a phase once, or copies of it until so many CK have passed; all that Python calls, so that it compiles once.

    Args:
        m: State of the channel, which the run moves on; for copies every bank closed.
        program: int64 [instructions, INSTRUCTION_FIELDS], empty for none.
        requests: int64 [n, 5], their CK counted from ``start_ck``; of copies, from the start of each.
        served_at: int64 [n], to write in.
        log: int64 [room, 5], for copies [0, 5].
        commands: Commands after which to stop; ``MOST_COMMANDS`` for copies.
        start_ck: The program, or its first copy, starts here; -1 to go on with what runs.
        until_ck: Copies run until this CK; 0 for a phase by itself.

    Returns:
        Copies that ran, the CK at which the last one ended, and what ``loop.run`` says: 1 if all is done, 0 if there is
        more to do, a negative error otherwise.
    """
    now_ck = max(start_ck, 0)
    copies = 0
    if until_ck == 0:
        if start_ck >= 0:
            m[STATE, S_SHIFT] = start_ck
            start_segment(m, program, start_ck)
        return copies, now_ck, run(m, requests, served_at, program, log, commands)
    while now_ck < until_ck:
        m[STATE, S_SHIFT] = now_ck
        start_segment(m, program, now_ck)
        done = 0
        while done == 0:
            done = run(m, requests, served_at, program, log, commands)
        if done < 0:
            return copies, now_ck, done
        now_ck = max(now_ck, m[STATE, S_END], m[STATE, S_LAST])
        copies += 1
    return copies, now_ck, 1
