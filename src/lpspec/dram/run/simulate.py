"""Run requests and PIM programs on one channel, command by command, and see time, commands and energy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import IntArray
from lpspec.dram.energy import activity_of, standing_by
from lpspec.dram.engine import state as k
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import NO_PROGRAM, Session, TakeLog, active_ck
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec, Organisation
from lpspec.machine.energy_profile import Activity
from lpspec.native.functions import native

Take = Callable[[NDArray[Any]], None]
"""Whoever is given the commands of a run, piece by piece, as they are issued; what it doesn't keep is gone."""

MOST_LISTED = 10**8
"""Refreshes of one gap that a list of commands may hold: some minutes, and 2 GB as text."""


class Request(NamedTuple):
    """One access of a burst: arrival in CK, whether it writes, and its place on the channel."""

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
    session = Session(device, controller)
    parts: list[NDArray[Any]] = []
    takers = [*([take] if take else []), *([parts.append] if keep_commands else [])]
    if takers:
        check_gaps(table, 0, session.channel)
    served_at = session.run(program, table, tables_to(*takers) if takers else None, progress)
    commands = np.concatenate(parts) if keep_commands else None
    return run_of(session, served_at, commands)


def tables_to(*takers: Take) -> TakeLog:
    """Whoever is given the engine's log hands it over as pieces of the command table."""

    def take(log: IntArray) -> None:
        piece = command_table(log)
        for taker in takers:
            taker(piece)

    return take


def check_gaps(requests: IntArray, after_ck: int, channel: IntArray) -> None:
    """Refuse a list of commands that would be refreshes almost all: time between requests is jumped over without one.

    Args:
        requests: int64 [n, 5], as the engine takes them.
        after_ck: When the last request before them came.
        channel: That they go to.

    Raises:
        InputError: A gap holds more than ``MOST_LISTED`` refreshes.
    """
    given = channel[k.GIVEN]
    each = {k.REFRESH_NONE: 0, k.REFRESH_ALL: 1, k.REFRESH_PAIR: 8}[int(given[k.P_REFRESH])]
    gaps = np.diff(requests[:, 0], prepend=after_ck)
    refreshes = gaps // int(given[k.P_NREFI]) * each * int(given[k.P_RANKS])
    if len(wide := np.flatnonzero(refreshes > MOST_LISTED)):
        at, count = requests[wide[0], 0], refreshes[wide[0]]
        raise InputError(
            f"the gap before the request at CK {at} holds {count} refreshes, a list of commands takes {MOST_LISTED} at"
            " most: leave the list out"
        )


def request_array(requests: Iterable[Request] | IntArray, device: DieSpec, ranks: int) -> IntArray:
    """Requests as the engine takes them: int64 [n, 5] of CK, way, bank of the channel, row, column.

    Raises:
        InputError: A request out of range, or one that comes before the request above it.
    """
    die = device.organisation
    if isinstance(requests, np.ndarray):
        table = np.ascontiguousarray(requests, dtype=np.int64).reshape(-1, 5)
    else:
        rows = [(q.at, int(q.is_write), _place(q, i, die), q.row, q.column) for i, q in enumerate(requests, 1)]
        table = np.array(rows, np.int64).reshape(-1, 5)
    beats = device.organisation.burst_beats
    last_column = (device.organisation.columns - 1) * beats
    limits = [
        ("at", 1 << 50),
        ("op", 1),
        ("rank", ranks * device.organisation.banks - 1),
        ("row", device.organisation.rows.n - 1),
        ("column", last_column),
    ]
    if _are_fine(table, np.array([high for _, high in limits], np.int64), beats):
        return table
    for place, (name, high) in enumerate(limits):
        bad = np.flatnonzero((table[:, place] < 0) | (table[:, place] > high))
        if bad.size:
            value = table[bad[0], place]
            shown, top = (value // device.organisation.banks, ranks - 1) if name == "rank" else (value, high)
            raise InputError(f"request {bad[0] + 1}: {name} is {shown}: allowed is 0 to {top}")
    if (bad := np.flatnonzero(table[:, 4] % beats)).size:
        raise InputError(f"request {bad[0] + 1}: column is {table[bad[0], 4]}: allowed are multiples of {beats}")
    if (bad := np.flatnonzero(np.diff(table[:, 0]) < 0)).size:
        raise InputError(f"request {bad[0] + 2}: at is {table[bad[0] + 1, 0]}, before the request above it")
    return table


@native()
def _are_fine(requests: IntArray, most: IntArray, beats: int) -> bool:
    """Whether requests are in order, begin with a burst, and no field is negative or beyond its most, int64 [5]."""
    at = 0
    signs = 0  # negative as soon as something is wrong
    for i in range(requests.shape[0]):
        for place in (0, 1, 2, 3, 4):
            signs |= requests[i, place] | (most[place] - requests[i, place])
        signs |= (requests[i, 0] - at) | -(requests[i, 4] & (beats - 1))
        at = requests[i, 0]
    return signs >= 0


def _place(request: Request, number: int, die: Organisation) -> int:
    """The bank of the channel that a request names."""
    limits = ("bank_group", die.bank_groups.n), ("bank", die.banks_per_group.n)
    for name, limit in limits:
        if not 0 <= getattr(request, name) < limit:
            raise InputError(f"request {number}: {name} is {getattr(request, name)}: allowed is 0 to {limit - 1}")
    return (request.rank * die.bank_groups.n + request.bank_group) * die.banks_per_group.n + request.bank


def run_of(
    session: Session, served_at: IntArray, commands: NDArray[Any] | None = None, requests: int | None = None
) -> ChannelRun:
    """What a channel did until now, and what was kept of it.

    Args:
        session: The channel.
        served_at: int64 [requests], CK at which each request's data ends; empty if not kept.
        commands: Command table, if it was kept.
        requests: How many were served, where ``served_at`` was not kept for each.
    """
    channel, device, ranks = session.channel, session.device, session.controller.ranks
    scalar = channel[k.STATE]
    banks = channel[: ranks * k.BANKS]
    first = max(int(scalar[k.S_FIRST]), 0)
    end = max(int(scalar[k.S_END]), int(scalar[k.S_LAST]))
    counts = [
        {name: int(n) for name, n in zip(COMMANDS, row, strict=True) if n}
        for row in channel[k.COUNT : k.COUNT + 2, : len(COMMANDS)]
    ]
    total_ck = end - first
    requests = len(served_at) if requests is None else requests
    total_bytes = requests * device.organisation.burst_bytes.n
    run = ChannelRun(
        requests=requests,
        total_ck=total_ck,
        first_ck=first,
        end_ck=end,
        avg_gb_per_s=total_bytes / (total_ck * device.ck_ns) if total_ck else 0.0,
        command_counts=counts[0],
        rank_counts=counts[1],
        row_hits=int(scalar[k.S_HITS]),
        row_misses=int(scalar[k.S_MISSES]),
        row_conflicts=int(scalar[k.S_CONFLICTS]),
        active_ck=active_ck(channel, end),
        mac_tokens=int(scalar[k.S_MAC_TOKENS]),
        refreshes=banks[:, k.B_REFRESHES].reshape(ranks, -1).copy(),
        served_at=served_at,
        commands=commands,
    )
    return replace(run, activity=standing_by(activity_of(run, device), device, total_ck * ranks))
