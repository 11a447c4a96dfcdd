"""Run requests and PIM programs on one channel, command by command, and see time, commands and energy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.energy import activity_of, standing_by
from lpspec.dram.engine import kernels
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity

IntArray = NDArray[np.int64]

COMMANDS_AT_ONCE = 1 << 18  # commands between two looks at the clock, and rows of the log that is filled meanwhile
Take = Callable[[NDArray[Any]], None]
"""Whoever is given the commands of a run, piece by piece, as they are issued; what it doesn't keep is gone."""

MOST_LISTED = 10**8
"""Refreshes of one gap that a list of commands may hold: some minutes, and 2 GB as text."""

NO_PROGRAM = np.empty((0, kernels.INSTRUCTION_FIELDS), np.int64)
_ERRORS = {
    kernels.E_ACT2_LATE: "an ACT-2 came later than nAAD after its ACT-1",
    kernels.E_PIM_MODE: "a PIM command to a rank that is not in PIM mode, or a mode switch with open rows",
    kernels.E_PIM_ROW: "a PIM_MAC to a closed row, a PIM_ACT to an open one, or ranks with different rows at a refresh",
}


class Request(NamedTuple):
    """One access of 32 B: arrival in CK, whether it writes, and its place on the channel."""

    at: int
    is_write: bool
    rank: int
    bank_group: int
    bank: int
    row: int
    column: int


@dataclass(frozen=True)
class ChannelRun:
    """What a run did: times in CK, commands, and the events that cost energy.

    Attributes:
        requests: How many were served.
        total_ck: From the first command to the end of the last data, or to the last command if that is later.
        avg_gb_per_s: Bytes of all requests over that time, GB/s.
        command_counts: Issued commands by name.
        rank_counts: The same, each command times the ranks that take it.
        row_hits: Requests that found their row open.
        row_misses: Requests whose bank was closed.
        row_conflicts: Requests that had another row closed first.
        activity: Events that cost energy, those of waiting dies included.
        refreshes: int64 [ranks, 16], times that each bank was refreshed.
        served_at: int64 [requests], CK at which each request's data ends, in the order given; empty if not
            kept.
        commands: Command table, or None if it was not kept.
    """

    requests: int
    total_ck: int
    first_ck: int
    end_ck: int
    avg_gb_per_s: float
    command_counts: dict[str, int]
    rank_counts: dict[str, int]
    row_hits: int
    row_misses: int
    row_conflicts: int
    active_ck: int
    mac_tokens: int
    refreshes: IntArray
    served_at: IntArray
    activity: Activity = field(default_factory=Activity)
    commands: NDArray[Any] | None = None

    @property
    def dq_bursts(self) -> int:
        """Bursts on the data bus."""
        return sum(self.command_counts.get(name, 0) for name in ("RD", "WR", "RDA", "WRA", "PIM_IN", "PIM_OUT"))


def run_requests(
    requests: Iterable[Request] | IntArray,
    device: DieSpec,
    controller: Controller | None = None,
    *,
    keep_commands: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ChannelRun:
    """Serve read and write requests on one channel.

    Args:
        requests: Requests, or int64 [n, 5] of CK, 0 read or 1 write, bank of the channel, row, column; in order of CK.
        device: The die of every rank.
        controller: Policies; by default one rank with all-bank refresh.
        keep_commands: Keep every command, 40 B each.
        progress: Called now and then with requests served and CK reached.

    Raises:
        InputError: A request out of range or out of order, or, where commands are kept, after a gap with too many.
    """
    return run_channel(requests, NO_PROGRAM, device, controller, keep_commands=keep_commands, progress=progress)


def run_channel(
    requests: Iterable[Request] | IntArray,
    program: IntArray,
    device: DieSpec,
    controller: Controller | None = None,
    *,
    keep_commands: bool = False,
    take: Take | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ChannelRun:
    """Serve requests while a PIM program runs on some ranks of the same channel; arguments as in ``run_requests``.

    Args:
        program: int64 [instructions, fields] as ``lpspec.dram.pim.program`` builds it; empty for none.
        take: Given each piece of the command table, in order, whether or not commands are kept.
    """
    controller = controller or Controller()
    table = request_array(requests, device, controller.ranks)
    channel = channel_of(device, controller)
    served_at = np.full(len(table), -1, np.int64)
    if len(program):
        kernels.start_program(channel, program)
    parts: list[NDArray[Any]] = []
    takers = [*([take] if take else []), *([parts.append] if keep_commands else [])]
    if takers:
        check_gaps(table, 0, channel)
    log = np.empty((COMMANDS_AT_ONCE if takers else 0, 5), np.int64)
    state = 0
    while state == 0:
        state = kernels.run(channel, table, served_at, program, log, COMMANDS_AT_ONCE)
        if takers:
            hand_over(channel, log, *takers)
        if progress is not None:
            progress(int(channel[kernels.STATE, kernels.S_SERVED]), int(channel[kernels.STATE, kernels.S_NOW]))
    if state < 0:
        raise what_stopped(channel, state)
    commands = np.concatenate(parts) if keep_commands else None
    return run_of(channel, device, controller, served_at, commands)


def hand_over(channel: IntArray, log: IntArray, *takers: Take) -> None:
    """Give away the commands that the engine noted last."""
    piece = command_table(log[: channel[kernels.STATE, kernels.S_LOGGED]])
    for taker in takers:
        taker(piece)


def check_gaps(requests: IntArray, after_ck: int, channel: IntArray) -> None:
    """Refuse a list of commands that would be refreshes almost all: time between requests is jumped over without one.

    Args:
        requests: int64 [n, 5], as the engine takes them.
        after_ck: When the last request before them came.
        channel: That they go to.

    Raises:
        InputError: A gap holds more than ``MOST_LISTED`` refreshes.
    """
    given = channel[kernels.GIVEN]
    each = {kernels.REFRESH_NONE: 0, kernels.REFRESH_ALL: 1, kernels.REFRESH_PAIR: 8}[int(given[kernels.P_REFRESH])]
    gaps = np.diff(requests[:, 0], prepend=after_ck)
    refreshes = gaps // int(given[kernels.P_NREFI]) * each * int(given[kernels.P_RANKS])
    if len(wide := np.flatnonzero(refreshes > MOST_LISTED)):
        at, count = requests[wide[0], 0], refreshes[wide[0]]
        raise InputError(
            f"the gap before the request at CK {at} holds {count} refreshes, a list of commands takes {MOST_LISTED} at"
            " most: leave the list out"
        )


def what_stopped(channel: IntArray, state: int) -> InputError:
    """What is wrong with a program or its requests, after the engine returned a negative state."""
    what = _what_waits(channel) if state == -kernels.E_DEADLOCK else _ERRORS[-state]
    return InputError(f"{what} (CK {channel[kernels.STATE, kernels.S_NOW]})")


def _what_waits(channel: IntArray) -> str:
    """What never happens, when nothing can go on."""
    ranks = channel[kernels.RANK : kernels.RANK + channel[kernels.GIVEN, kernels.P_RANKS]]
    for r, rank in enumerate(ranks):
        if rank[kernels.R_MODE] == 2 and rank[kernels.R_QUEUED]:
            return f"rank {r} never leaves PIM mode while requests wait for it: its PIM_EXIT is missing"
    walkers = channel[kernels.WALKER : kernels.WALKER + 4]
    line = walkers[walkers[:, kernels.W_AT] != kernels.AT_END, kernels.W_PC].min(initial=0)
    return f"the PIM program never gets past its line {line + 1}"


def request_array(requests: Iterable[Request] | IntArray, device: DieSpec, ranks: int) -> IntArray:
    """Requests as the engine takes them: int64 [n, 5] of CK, way, bank of the channel, row, column.

    Raises:
        InputError: A request out of range, or one that comes before the request above it.
    """
    if isinstance(requests, np.ndarray):
        table = np.ascontiguousarray(requests, dtype=np.int64).reshape(-1, 5)
    else:
        rows = [(q.at, int(q.is_write), _place(q, i), q.row, q.column) for i, q in enumerate(requests, 1)]
        table = np.array(rows, np.int64).reshape(-1, 5)
    last_column = (device.organisation.columns - 1) * 16
    limits = [
        (0, "at", 0, 1 << 50),
        (1, "op", 0, 1),
        (2, "rank", 0, ranks * device.organisation.banks - 1),
        (3, "row", 0, device.organisation.rows.n - 1),
        (4, "column", 0, last_column),
    ]
    for place, name, low, high in limits:
        bad = np.flatnonzero((table[:, place] < low) | (table[:, place] > high))
        if bad.size:
            value = table[bad[0], place]
            shown, top = (value // 16, ranks - 1) if name == "rank" else (value, high)
            raise InputError(f"request {bad[0] + 1}: {name} is {shown}: allowed is {low} to {top}")
    if (bad := np.flatnonzero(table[:, 4] % 16)).size:
        raise InputError(f"request {bad[0] + 1}: column is {table[bad[0], 4]}: allowed are multiples of 16")
    if (bad := np.flatnonzero(np.diff(table[:, 0]) < 0)).size:
        raise InputError(f"request {bad[0] + 2}: at is {table[bad[0] + 1, 0]}, before the request above it")
    return table


def _place(request: Request, number: int) -> int:
    """The bank of the channel that a request names."""
    for name in ("bank_group", "bank"):
        if not 0 <= getattr(request, name) <= 3:
            raise InputError(f"request {number}: {name} is {getattr(request, name)}: allowed is 0 to 3")
    return request.rank * kernels.BANKS + request.bank_group * 4 + request.bank


def run_of(
    channel: IntArray,
    device: DieSpec,
    controller: Controller,
    served_at: IntArray,
    commands: NDArray[Any] | None = None,
    requests: int | None = None,
) -> ChannelRun:
    """What a channel did until now; arguments as the run was given them, and what was kept of it.

    Args:
        requests: How many were served, where ``served_at`` was not kept for each.
    """
    scalar = channel[kernels.STATE]
    rank = channel[kernels.RANK : kernels.RANK + controller.ranks]
    banks = channel[: controller.ranks * kernels.BANKS]
    first = max(int(scalar[kernels.S_FIRST]), 0)
    end = max(int(scalar[kernels.S_END]), int(scalar[kernels.S_LAST]))
    still_open = rank[:, kernels.R_OPEN] > 0
    active = int(rank[:, kernels.R_ACTIVE].sum() + (end - rank[still_open, kernels.R_SINCE]).sum())
    counts = [
        {name: int(n) for name, n in zip(COMMANDS, row, strict=True) if n}
        for row in channel[kernels.COUNT : kernels.COUNT + 2, : len(COMMANDS)]
    ]
    total_ck = end - first
    requests = len(served_at) if requests is None else requests
    total_bytes = requests * device.organisation.burst_bytes.n
    run = ChannelRun(
        requests=requests,
        total_ck=total_ck,
        first_ck=first,
        end_ck=end,
        avg_gb_per_s=total_bytes / (total_ck * device.tCK.ns) if total_ck else 0.0,
        command_counts=counts[0],
        rank_counts=counts[1],
        row_hits=int(scalar[kernels.S_HITS]),
        row_misses=int(scalar[kernels.S_MISSES]),
        row_conflicts=int(scalar[kernels.S_CONFLICTS]),
        active_ck=active,
        mac_tokens=int(scalar[kernels.S_MAC_TOKENS]),
        refreshes=banks[:, kernels.B_REFRESHES].reshape(controller.ranks, -1).copy(),
        served_at=served_at,
        commands=commands,
    )
    return replace(run, activity=standing_by(activity_of(run, device), device, total_ck * controller.ranks))
