"""Short ways to write request lists and to look at the commands that they cause."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.check.checker import check_commands
from lpspec.dram.check.table import CommandTable, command_table
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import ChannelRun, Request, run_requests
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die

DIE = load_die("lpddr5-6400-8gb")


def read(at: int, bank_group: int = 0, bank: int = 0, row: int = 0, column: int = 0, rank: int = 0) -> Request:
    return Request(at, False, rank, bank_group, bank, row, column)


def write(at: int, bank_group: int = 0, bank: int = 0, row: int = 0, column: int = 0, rank: int = 0) -> Request:
    return Request(at, True, rank, bank_group, bank, row, column)


def commands_of(run: ChannelRun) -> NDArray[Any]:
    assert run.commands is not None
    return run.commands


def spelt(run: ChannelRun) -> list[tuple[int, str]]:
    """The stream as (CK, command)."""
    return [(int(c["ck"]), str(c["command"])) for c in commands_of(run)]


def at(run: ChannelRun, command: str) -> list[int]:
    """CKs of one command."""
    table = commands_of(run)
    return [int(ck) for ck in table["ck"][table["command"] == command]]


def serve(*requests: Request, device: DieSpec = DIE, **policies: Any) -> ChannelRun:
    """Run requests without refresh unless asked for, keeping the commands."""
    return run_requests(requests, device, Controller(**{"refresh": "none", **policies}), keep_commands=True)


def streaming(n: int, write_share: float = 0.0, rank: int = 0) -> NDArray[np.int64]:
    """Reads of whole rows, bank groups interleaved."""
    i = np.arange(n)
    is_write = (i % 100 < 100 * write_share).astype(np.int64)
    place = rank * 16 + i % 4 * 4 + i // 256 % 4
    return np.stack([0 * i, is_write, place, i // 1024, i // 4 % 64 * 16], 1)


def _checkable(table: NDArray[Any]) -> CommandTable:
    return command_table(
        table["ck"],
        table["command"],
        table["rank"],
        table["bank_group"],
        table["bank"],
        table["row"],
        table["column"],
    )


def violations(run: ChannelRun, device: DieSpec, controller: Controller, pim: tuple[int, ...] = ()) -> list[str]:
    """What the independent checker finds in a run."""
    options = check_options(device, controller.ranks, pim, controller.wck, controller.refresh)
    table = commands_of(run)
    report = check_commands(_checkable(table), options, run.end_ck)
    return [str(found) for found in report.violations]


def order_kept(requests: NDArray[np.int64], run: ChannelRun) -> None:
    """Every request served once; reads and writes of one address in the order of the requests."""
    asked: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for _, is_write, bank, row, column in requests.tolist():
        asked[bank // 16, bank % 16 // 4, bank % 4, row, column].append("W" if is_write else "R")
    got: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for _, name, *address in commands_of(run).tolist():
        if name in ("RD", "RDA", "WR", "WRA"):
            got[tuple(address)].append(name[0])
    assert got == asked
    assert (run.served_at > requests[:, 0]).all()
    assert run.row_hits + run.row_misses + run.row_conflicts == len(requests)
