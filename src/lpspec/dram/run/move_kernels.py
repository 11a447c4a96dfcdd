"""How the NMC moves bursts between ranks, compiled: it lets its own requests in beside the NPU's.

It stands before the queues of ``lpspec.dram.engine.kernels``, which it steps command by command. A burst is read into a
buffer of a few KiB, and its write let in once its data have come. Until then its old home counts: reads of the NPU go
there, a write of the NPU to it waits outside with all behind it. From then on its new home counts, where the queues
keep reads and writes of one address in order.
"""

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit
from lpspec.dram.engine import kernels
from lpspec.dram.engine.kernels import (
    GIVEN,
    NEVER,
    P_DRAIN_HIGH,
    P_DRAIN_LOW,
    QUEUE,
    R_MODE,
    RANK,
    S_DRAIN,
    S_FINISHED,
    S_LOGGED,
    S_NEXT,
    S_NOW,
    S_QUEUED,
    S_QUEUED_W,
    S_SERVED,
    S_UNTIL,
    STATE,
)

IntArray = NDArray[np.int64]

BLOCKING, BACKGROUND, CATCH = range(3)
E_STUCK = 16

# A move: old place (bank, row, column), new place, how far it is, and when its data were read and written.
M_OLD, M_NEW, M_STATE, M_READ_CK, M_WRITTEN_CK = 0, 3, 6, 7, 8
MOVE_FIELDS = 9
AT_OLD, IN_FLIGHT, AT_NEW = range(3)

# Scalars of the mover.
(
    W_POLICY, W_WINDOW, W_PATIENCE,  # given
    W_NPU,  # next request of the NPU
    W_MOVE,  # next move to read
    W_HELD,  # bursts that the buffer holds, or is to take from a read under way
    W_READS, W_WRITES,  # own requests in the queues
    W_WATCHED,  # requests in the queues whose service matters to a move
    W_HEAD, W_TAIL,  # bursts taken out of, and put into the buffer
    W_WRITTEN, W_CAUGHT,  # moves done; moves whose data an NPU read brought
    W_DRAINING,  # whether the buffer is being emptied
    W_FORCED,  # whether requests of the NPU wait outside until own ones are served
    W_GRANT,  # own requests that may go beside the NPU's
    W_LAST,  # CK at which the last own request was served
    W_LOGGED,
) = range(18)  # fmt: skip
SCALARS = 18
WATCHED, ARRIVED = range(2)  # rows of the buffer: requests watched; moves in the order in which their data came


@cached_njit()
def _let_in(
    m: IntArray, table: IntArray, owner: IntArray, who: int, at: int, way: int, place: int, row: int, column: int
) -> None:
    """Put a request into its queue, which has room."""
    i = m[STATE, S_NEXT]
    table[i, 0] = at
    table[i, 1] = way
    table[i, 2] = place
    table[i, 3] = row
    table[i, 4] = column
    owner[i] = who
    kernels._admit(m, table[: i + 1])


@cached_njit()
def _watch(m: IntArray, w: IntArray, buffer: IntArray) -> None:
    """Remember the request that is let in next."""
    buffer[WATCHED, w[W_WATCHED]] = m[STATE, S_NEXT]
    w[W_WATCHED] += 1


@cached_njit()
def _note_served(
    m: IntArray, w: IntArray, buffer: IntArray, moves: IntArray, move_of: IntArray, owner: IntArray, served: IntArray
) -> None:
    """See which reads have brought their data, and which writes are done."""
    k = 0
    while k < w[W_WATCHED]:
        i = buffer[WATCHED, k]
        if served[i] < 0:
            k += 1
            continue
        w[W_LAST] = m[STATE, S_NOW]
        w[W_WATCHED] -= 1
        buffer[WATCHED, k] = buffer[WATCHED, w[W_WATCHED]]
        move = move_of[owner[i]] if owner[i] >= 0 else -1 - owner[i]
        if moves[move, M_STATE] == IN_FLIGHT:
            moves[move, M_READ_CK] = served[i]
            buffer[ARRIVED, w[W_TAIL] % buffer.shape[1]] = move
            w[W_TAIL] += 1
            if owner[i] < 0:
                w[W_READS] -= 1
        else:
            moves[move, M_WRITTEN_CK] = served[i]
            w[W_HELD] -= 1
            w[W_WRITES] -= 1
            w[W_WRITTEN] += 1


@cached_njit()
def _admit_npu(
    m: IntArray,
    w: IntArray,
    buffer: IntArray,
    moves: IntArray,
    npu: IntArray,
    move_of: IntArray,
    table: IntArray,
    owner: IntArray,
) -> None:
    """Let requests of the NPU in, in order, each to where its burst is at home now; note those worth catching."""
    while w[W_NPU] < npu.shape[0]:
        i = w[W_NPU]
        way = npu[i, 1]
        if npu[i, 0] > m[STATE, S_NOW] or m[STATE, S_QUEUED + way] == QUEUE:
            return
        place, row, column = npu[i, 2], npu[i, 3], npu[i, 4]
        move = move_of[i]
        if move >= 0:
            state = moves[move, M_STATE]
            if state == IN_FLIGHT and way == 1:
                return
            if state == AT_NEW:
                place, row, column = moves[move, M_NEW], moves[move, M_NEW + 1], moves[move, M_NEW + 2]
            elif w[W_POLICY] == CATCH and way == 0 and state == AT_OLD and w[W_HELD] < buffer.shape[1]:
                moves[move, M_STATE] = IN_FLIGHT
                w[W_HELD] += 1
                w[W_CAUGHT] += 1
                _watch(m, w, buffer)
        _let_in(m, table, owner, i, npu[i, 0], way, place, row, column)
        w[W_NPU] = i + 1


@cached_njit()
def _admit_read(m: IntArray, w: IntArray, buffer: IntArray, moves: IntArray, table: IntArray, owner: IntArray) -> bool:
    """Let the read of the next move in, if buffer, queue and rank are ready for it."""
    move = w[W_MOVE]
    if w[W_DRAINING] != 0 or w[W_READS] >= w[W_WINDOW] or m[STATE, S_QUEUED] == QUEUE:
        return False
    if m[RANK + (moves[move, M_OLD] >> 4), R_MODE] != 0:
        return False
    moves[move, M_STATE] = IN_FLIGHT
    w[W_HELD] += 1
    w[W_READS] += 1
    _watch(m, w, buffer)
    now = m[STATE, S_NOW]
    _let_in(m, table, owner, -1 - move, now, 0, moves[move, M_OLD], moves[move, M_OLD + 1], moves[move, M_OLD + 2])
    return True


@cached_njit()
def _admit_write(
    m: IntArray, w: IntArray, buffer: IntArray, moves: IntArray, table: IntArray, owner: IntArray, most: int
) -> bool:
    """Let the write of the burst that came first in, once its data are there: from now on its new home counts."""
    if w[W_HEAD] == w[W_TAIL] or w[W_WRITES] >= most or m[STATE, S_QUEUED_W] == QUEUE:
        return False
    move = buffer[ARRIVED, w[W_HEAD] % buffer.shape[1]]
    now = m[STATE, S_NOW]
    if moves[move, M_READ_CK] > now or m[RANK + (moves[move, M_NEW] >> 4), R_MODE] != 0:
        return False
    moves[move, M_STATE] = AT_NEW
    w[W_HEAD] += 1
    w[W_WRITES] += 1
    _watch(m, w, buffer)
    _let_in(m, table, owner, -1 - move, now, 1, moves[move, M_NEW], moves[move, M_NEW + 1], moves[move, M_NEW + 2])
    return True


@cached_njit()
def _turn(w: IntArray, buffer: IntArray, moves: IntArray) -> None:
    """Decide between filling the buffer and emptying it."""
    while w[W_MOVE] < moves.shape[0] and moves[w[W_MOVE], M_STATE] != AT_OLD:
        w[W_MOVE] += 1
    if w[W_HELD] == 0:
        w[W_DRAINING] = 0
    if w[W_HELD] == buffer.shape[1] or w[W_MOVE] == moves.shape[0]:
        w[W_DRAINING] = 1


@cached_njit()
def _insist(m: IntArray, w: IntArray, buffer: IntArray, table: IntArray, owner: IntArray, catching: bool) -> None:
    """Decide whether own requests go before the NPU's: after patience, or with writes enough of what was caught.

    It ends when they are served, when none could be let in, and when one waits for its rank to leave PIM mode.
    """
    if catching and w[W_WRITES] >= min(m[GIVEN, P_DRAIN_HIGH], max(1, buffer.shape[1] // 2)):
        w[W_FORCED] = 1
    if w[W_READS] + w[W_WRITES] == 0 and max(m[STATE, S_QUEUED], m[STATE, S_QUEUED_W]) < QUEUE:
        w[W_FORCED] = 0
    for k in range(w[W_WATCHED] if w[W_FORCED] != 0 else 0):
        i = buffer[WATCHED, k]
        if owner[i] < 0 and m[RANK + (table[i, 2] >> 4), R_MODE] != 0:
            w[W_FORCED] = 0
    if w[W_FORCED] == 0:
        w[W_GRANT] = 0
    m[STATE, S_DRAIN] = 1 if w[W_FORCED] != 0 and w[W_WRITES] > 0 else 0


@cached_njit()
def _admit_moves(
    m: IntArray, w: IntArray, buffer: IntArray, moves: IntArray, npu: IntArray, table: IntArray, owner: IntArray
) -> None:
    """Let own requests in: a buffer of reads, then its writes, since turning the bus round costs.

    While reads of the NPU are caught there are no own reads, and writes go as data come. In the background own
    requests go while no request of the NPU is queued, or as many as have been granted.
    """
    catching = w[W_POLICY] == CATCH and w[W_NPU] < npu.shape[0]
    while True:
        _turn(w, buffer, moves)
        others = m[STATE, S_QUEUED] + m[STATE, S_QUEUED_W] - w[W_READS] - w[W_WRITES]
        is_open = w[W_GRANT] > 0 if w[W_FORCED] != 0 else others == 0
        if not (catching or w[W_POLICY] == BLOCKING or is_open):
            break
        if catching or (w[W_DRAINING] != 0 and w[W_READS] == 0):
            few = w[W_POLICY] == BACKGROUND and w[W_FORCED] == 0
            most = max(1, m[GIVEN, P_DRAIN_LOW]) if few else QUEUE  # few: so that a read of the NPU ends the drain
            admitted = _admit_write(m, w, buffer, moves, table, owner, most)
        else:
            admitted = w[W_MOVE] < moves.shape[0] and _admit_read(m, w, buffer, moves, table, owner)
        if not admitted:
            break
        w[W_GRANT] = max(0, w[W_GRANT] - 1)
    _insist(m, w, buffer, table, owner, catching)


@cached_njit()
def _next_stop(m: IntArray, w: IntArray, buffer: IntArray, moves: IntArray, npu: IntArray) -> int:
    """CK at which something can be let in that can't yet: a request comes, data come, or patience ends."""
    now = m[STATE, S_NOW]
    until = NEVER
    if w[W_NPU] < npu.shape[0] and npu[w[W_NPU], 0] > now:
        until = npu[w[W_NPU], 0]
    if w[W_HEAD] < w[W_TAIL]:
        arrives = moves[buffer[ARRIVED, w[W_HEAD] % buffer.shape[1]], M_READ_CK]
        if arrives > now:
            until = min(until, arrives)
    others = m[STATE, S_QUEUED] + m[STATE, S_QUEUED_W] - w[W_READS] - w[W_WRITES]
    if others > 0 and w[W_LAST] + w[W_PATIENCE] > now:
        until = min(until, w[W_LAST] + w[W_PATIENCE])
    return until


@cached_njit()
def drive(
    m: IntArray,
    w: IntArray,
    buffer: IntArray,
    moves: IntArray,
    npu: IntArray,
    move_of: IntArray,
    table: IntArray,
    owner: IntArray,
    served: IntArray,
    program: IntArray,
    log: IntArray,
    commands: int,
) -> int:
    """Move bursts until all have been moved, the log is full, or so many commands are issued.

    Args:
        m: State of the channel, as ``kernels.run`` has it.
        w: int64 [SCALARS], state of the mover.
        buffer: int64 [2, bursts], what the buffer holds.
        moves: int64 [moves, MOVE_FIELDS].
        npu: int64 [n, 5], requests of the NPU as ``kernels.run`` takes them.
        move_of: int64 [n], the move of the burst that each of them names, -1 if none.
        table: int64 [n + 2 moves, 5], filled with requests as they are let in.
        owner: int64 [n + 2 moves], whose they are: a request of the NPU, or -1 - the move.
        served: int64 [n + 2 moves], filled with the CK at which the data of each end; -1 before.
        program: As ``kernels.run`` takes it.
        log: As ``kernels.run`` takes it; W_LOGGED rows of it are filled.
        commands: Commands after which to stop.

    Returns:
        1 if all is moved, 0 if there is more to do, a negative error otherwise.
    """
    w[W_LOGGED] = 0
    while commands > 0 and (log.shape[0] == 0 or w[W_LOGGED] < log.shape[0] - 2):
        _note_served(m, w, buffer, moves, move_of, owner, served)
        if w[W_WRITTEN] == moves.shape[0]:
            m[STATE, S_UNTIL] = NEVER
            m[STATE, S_DRAIN] = 0
            return 1
        if m[STATE, S_NOW] >= w[W_LAST] + w[W_PATIENCE]:
            w[W_LAST] = m[STATE, S_NOW]
            w[W_GRANT] = w[W_WINDOW]
            w[W_FORCED] = 1
        if w[W_FORCED] != 0:
            _admit_moves(m, w, buffer, moves, npu, table, owner)
        if w[W_FORCED] == 0:
            _admit_npu(m, w, buffer, moves, npu, move_of, table, owner)
            _admit_moves(m, w, buffer, moves, npu, table, owner)
        until = _next_stop(m, w, buffer, moves, npu)
        if until == NEVER and m[STATE, S_SERVED] == m[STATE, S_NEXT] and m[STATE, S_FINISHED] != 0:
            return -E_STUCK
        m[STATE, S_UNTIL] = until
        state = kernels.run(m, table[: m[STATE, S_NEXT]], served, program, log[w[W_LOGGED] :], 1)
        w[W_LOGGED] += m[STATE, S_LOGGED]
        commands -= 1
        if state < 0:
            return state
    return 0
