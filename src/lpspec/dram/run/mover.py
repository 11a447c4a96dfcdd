"""Move bursts between ranks while the channel serves requests and runs a PIM program, command by command.

The near-data memory controller moves a burst by a RD on its old rank and a WR on its new one. Both are commands of the
channel and keep every rule: the ranks share one command bus and one data bus, and no path between dies beside it is
published, so a burst takes DQ twice (once if it was caught). What stays inside the package needs no pins of the SoC:
its path costs a share of an off-chip bit (``EnergyProfile.transfer_pj_per_bit``).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.engine import kernels
from lpspec.dram.pim.moves import MovePlan
from lpspec.dram.run import move_kernels
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.dram.run.simulate import ChannelRun, Request, request_array, run_of, what_stopped
from lpspec.errors import InputError, unknown_name
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity

IntArray = NDArray[np.int64]
MovePolicy = Literal["blocking", "background", "catch"]

POLICIES = {
    "blocking": move_kernels.BLOCKING,
    "background": move_kernels.BACKGROUND,
    "catch": move_kernels.CATCH,
}
_AT_ONCE = 1 << 18
_NO_REQUESTS = np.empty((0, 5), np.int64)
_NO_PROGRAM = np.empty((0, kernels.INSTRUCTION_FIELDS), np.int64)


@dataclass(frozen=True, slots=True)
class Mover:
    """The part of the near-data memory controller that moves bursts; no public source gives its sizes.

    Args:
        buffer_bursts: Bursts of 32 B between RD and WR: two rows of a bank; assumed, range 8 to 1024.
        window: Own reads in the queue at once beside the NPU's requests; assumed, range 1 to 32.
        patience: CK without progress after which a window of own requests goes before the NPU's; assumed, range 256
            to 65536.
    """

    buffer_bursts: int = 128
    window: int = 16
    patience: int = 1024

    def __post_init__(self) -> None:
        """Refuse what can't move anything."""
        for name, high in (("buffer_bursts", 1 << 20), ("window", kernels.QUEUE), ("patience", 1 << 30)):
            if not 1 <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}: allowed is 1 to {high}")


@dataclass(frozen=True)
class ReallocationRun:
    """A run in which bursts were moved.

    Attributes:
        run: All that the channel did; its requests are the NPU's, its commands and energy also those of the moves.
        finished_ck: CK at which the data of the last move are written.
        reads: RDs that the controller issued for moves; the others were caught from the NPU's.
        read_at: int64 [moves], end of the data of the RD that each move took, CK.
        written_at: int64 [moves], end of the data of its WR, CK.
        burst_bytes: Bytes of each move.
        activity: Events that cost energy; moved bits do not leave the chip, but go from rank to rank.
    """

    run: ChannelRun
    finished_ck: int
    reads: int
    read_at: IntArray
    written_at: IntArray
    burst_bytes: int
    activity: Activity

    @property
    def caught(self) -> int:
        """Moves that took their data from a read of the NPU."""
        return len(self.read_at) - self.reads

    @property
    def moved_bytes(self) -> int:
        """Bytes with a new home."""
        return len(self.read_at) * self.burst_bytes


def run_reallocation(
    plan: MovePlan,
    device: DieSpec,
    controller: Controller | None = None,
    *,
    policy: MovePolicy = "background",
    mover: Mover | None = None,
    requests: Iterable[Request] | IntArray = _NO_REQUESTS,
    program: IntArray = _NO_PROGRAM,
    keep_commands: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ReallocationRun:
    """Move bursts on one channel, with whatever else it does.

    Requests name old places; each goes to where its burst is when it is let in. New places are free until then, and
    neither requests nor the program may use them.

    Args:
        plan: The moves.
        device: The die of every rank.
        controller: Policies; by default one rank with all-bank refresh.
        policy: ``blocking`` moves all before anything else starts; ``background`` while no request of the NPU is
            queued (and a window's worth after each ``patience``); ``catch`` takes what the NPU reads anyway, and
            moves the rest in the background once the NPU has sent its last request.
        mover: Sizes of the moving part.
        requests: Of the NPU, as for ``simulate.run_requests``.
        program: PIM program, as for ``simulate.run_channel``. A rank in PIM mode takes no RD or WR: moves wait.
        keep_commands: Keep every command, 40 B each.
        progress: Called now and then with requests served, those of moves included, and CK reached.

    Raises:
        InputError: A place out of range, a request for a new place, or moves that can't be finished because a rank
            stays in PIM mode.
    """
    controller = controller or Controller()
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    work = _Work(plan, device, controller, request_array(requests, device, controller.ranks), mover or Mover(), policy)
    return work.run(program, keep_commands, progress)


class _Work:
    """The arrays of one run, and the loops over them."""

    def __init__(
        self,
        plan: MovePlan,
        device: DieSpec,
        controller: Controller,
        npu: IntArray,
        mover: Mover,
        policy: MovePolicy,
    ) -> None:
        self.device, self.controller, self.policy = device, controller, policy
        self.moves = _moves_of(plan, device, controller.ranks)
        self.npu, self.move_of = npu, _move_of(npu, self.moves)
        self.channel = channel_of(device, controller)
        self.scalars = np.zeros(move_kernels.SCALARS, np.int64)
        self.scalars[move_kernels.W_POLICY] = POLICIES[policy]
        self.scalars[move_kernels.W_WINDOW] = kernels.QUEUE if policy == "blocking" else mover.window
        self.scalars[move_kernels.W_PATIENCE] = mover.patience
        self.buffer = np.zeros((2, mover.buffer_bursts), np.int64)
        rows = len(npu) + 2 * len(self.moves)
        self.table, self.owner = np.zeros((rows, 5), np.int64), np.full(rows, -1, np.int64)
        self.served = np.full(rows, -1, np.int64)
        self.parts: list[IntArray] = []

    def run(
        self,
        program: IntArray,
        keep_commands: bool,
        progress: Callable[[int, int], None] | None,
    ) -> ReallocationRun:
        """Move, then serve what is left."""
        log = np.empty((_AT_ONCE if keep_commands else 0, 5), np.int64)
        blocking = self.policy == "blocking"
        if len(program) and not blocking:
            kernels.start_program(self.channel, program)
        npu, among = (_NO_REQUESTS, _NO_PROGRAM) if blocking else (self.npu, program)
        self._repeat(lambda: self._drive(npu, among, log), log, progress)
        if len(program) and blocking:
            self.channel[kernels.STATE, kernels.S_FINISHED] = 0
            kernels.start_program(self.channel, program)
        table = self._whole_table()
        serve = kernels.run
        self._repeat(lambda: serve(self.channel, table, self.served, program, log, _AT_ONCE), log, progress)
        return self._result(keep_commands)

    def _drive(self, npu: IntArray, program: IntArray, log: IntArray) -> int:
        state = move_kernels.drive(
            *(self.channel, self.scalars, self.buffer, self.moves, npu, self.move_of),
            *(self.table, self.owner, self.served, program, log, _AT_ONCE),
        )
        self.channel[kernels.STATE, kernels.S_LOGGED] = self.scalars[move_kernels.W_LOGGED]
        return int(state)

    def _repeat(self, step: Callable[[], int], log: IntArray, progress: Callable[[int, int], None] | None) -> None:
        """Go on until all is done, keeping commands and telling how far it is."""
        state, scalar = 0, self.channel[kernels.STATE]
        while state == 0:
            state = step()
            if len(log):
                self.parts.append(log[: scalar[kernels.S_LOGGED]].copy())
            if progress is not None:
                progress(int(scalar[kernels.S_SERVED]), int(scalar[kernels.S_NOW]))
        if state < 0:
            raise self._error(state)

    def _error(self, state: int) -> InputError:
        """What is wrong, after the engine returned a negative state: first of all, that moves wait for ever."""
        left = len(self.moves) - int(self.scalars[move_kernels.W_WRITTEN])
        if not left or state not in (-kernels.E_DEADLOCK, -move_kernels.E_STUCK):
            return what_stopped(self.channel, state)
        mode = self.channel[kernels.RANK : kernels.RANK + self.controller.ranks, kernels.R_MODE]
        ranks = ", ".join(str(rank) for rank in np.flatnonzero(mode))
        at = self.channel[kernels.STATE, kernels.S_NOW]
        return InputError(
            f"{left} of {len(self.moves)} moves can't be finished: the program leaves ranks {ranks} in PIM mode "
            f"(CK {at})"
        )

    def _whole_table(self) -> IntArray:
        """All requests, those that are not let in yet with the new homes of their bursts."""
        first, rest = int(self.channel[kernels.STATE, kernels.S_NEXT]), int(self.scalars[move_kernels.W_NPU])
        left = self.npu[rest:].copy()
        moved = self.move_of[rest:] >= 0
        left[moved, 2:] = self.moves[self.move_of[rest:][moved], move_kernels.M_NEW : move_kernels.M_NEW + 3]
        self.table[first : first + len(left)] = left
        self.owner[first : first + len(left)] = np.arange(rest, len(self.npu))
        return self.table[: first + len(left)]

    def _result(self, keep_commands: bool) -> ReallocationRun:
        mine = self.owner >= 0
        served_at = np.empty(len(self.npu), np.int64)
        served_at[self.owner[mine]] = self.served[mine]
        commands = command_table(np.concatenate(self.parts)) if keep_commands else None
        run = run_of(self.channel, self.device, self.controller, served_at, commands)
        read_at, written_at = self.moves[:, move_kernels.M_READ_CK], self.moves[:, move_kernels.M_WRITTEN_CK]
        reads = len(self.moves) - int(self.scalars[move_kernels.W_CAUGHT])
        finished_ck, burst_bytes = int(written_at.max(initial=0)), self.device.organisation.burst_bytes.n
        inside_bits, moved_bits = ((reads + len(read_at)) * burst_bytes * 8, len(read_at) * burst_bytes * 8)
        activity = replace(run.activity, io_bits=run.activity.io_bits - inside_bits, transferred_bits=moved_bits)
        return ReallocationRun(run, finished_ck, reads, read_at, written_at, burst_bytes, activity)


def _moves_of(plan: MovePlan, device: DieSpec, ranks: int) -> IntArray:
    """The moves as the engine takes them."""
    moves = np.zeros((len(plan.source), move_kernels.MOVE_FIELDS), np.int64)
    for first, places in ((move_kernels.M_OLD, plan.source), (move_kernels.M_NEW, plan.destination)):
        die = device.organisation
        limits = ((0, "rank", ranks * die.banks), (1, "row", die.rows.n), (2, "column", die.columns * 16))
        for field_, name, limit in limits:
            bad = np.flatnonzero((places[:, field_] < 0) | (places[:, field_] >= limit))
            if bad.size:
                unit = die.banks if name == "rank" else 1
                value, high = places[bad[0], field_] // unit, (limit - 1) // unit
                raise InputError(f"move {bad[0] + 1}: {name} is {value}: allowed is 0 to {high}")
        moves[:, first : first + 3] = places
    return moves


def _move_of(npu: IntArray, moves: IntArray) -> IntArray:
    """The move of the burst that each request names, -1 if none.

    Raises:
        InputError: A request names a place that is to be written.
    """
    taken = np.flatnonzero(_among(npu, moves[:, move_kernels.M_NEW : move_kernels.M_NEW + 3]) >= 0)
    if taken.size:
        raise InputError(
            f"request {taken[0] + 1} names a place that a move writes: name the old one until all are moved"
        )
    return _among(npu, moves[:, move_kernels.M_OLD : move_kernels.M_OLD + 3])


def _among(npu: IntArray, places: IntArray) -> IntArray:
    """Index of the place that each request names, -1 if it is not among them."""
    if not len(places):
        return np.full(len(npu), -1, np.int64)
    keys = (places[:, 0] << 40) + (places[:, 1] << 16) + places[:, 2]
    wanted = (npu[:, 2] << 40) + (npu[:, 3] << 16) + npu[:, 4]
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[at] == wanted, at, -1)
