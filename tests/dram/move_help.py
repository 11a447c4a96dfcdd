"""Package memory that does what commands say, and plain memory that does what requests say."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.pim.moves import MovePlan
from lpspec.dram.pim.weights import Cells
from lpspec.dram.run.mover import ReallocationRun
from lpspec.machine.die import DieSpec

IntArray = NDArray[np.int64]
Int8 = NDArray[np.int8]
Place = tuple[int, int, int]  # bank of the channel, row, column in steps of 16


def bank_view(cells: Cells) -> Int8:
    """Cells as banks of the channel: int8 [bank, row, column, 32]."""
    ranks, mpus, banks, *rest = cells.shape
    view = cells.view()
    view.shape = (ranks * mpus * banks, *rest)
    return view


def homes(plan: MovePlan) -> dict[Place, Place]:
    """New place by old place."""
    old, new = ([(int(b), int(r), int(c)) for b, r, c in places.tolist()] for places in (plan.source, plan.destination))
    return dict(zip(old, new, strict=True))


def execute_moves(
    done: ReallocationRun, plan: MovePlan, device: DieSpec, requests: IntArray, data: Int8, cells: Cells
) -> Int8:
    """Execute the RDs and WRs of a run on banks, in their order; return what each request read, int8 [n, 32].

    A RD takes the open row of its bank. A WR writes what its request brings, or what the RD of its move found, which
    must have come before. Every RD and WR must be somebody's, and everybody must have had theirs.
    """
    timing, banks = device.timing, bank_view(cells)
    asked = {int(ck): i for i, ck in enumerate(done.run.served_at)}
    taken = {int(ck): i for i, ck in enumerate(done.read_at)}
    given = {int(ck): i for i, ck in enumerate(done.written_at)}
    home, old = homes(plan), [tuple(place) for place in plan.source.tolist()]
    rows: dict[int, int] = {}
    latch: dict[int, tuple[int, Int8]] = {}
    found = np.zeros_like(data)
    got: set[tuple[str, int]] = set()
    assert done.run.commands is not None
    for ck, name, rank, group, bank, row, column in done.run.commands.tolist():
        place = rank * 16 + group * 4 + bank
        if name == "ACT2":
            rows[place] = row
        elif name == "PRE":
            del rows[place]
        elif name == "PREAB":
            rows = {b: r for b, r in rows.items() if b // 16 != rank}
        elif name in ("RD", "RDA", "WR", "WRA"):
            assert rows[place] == row
            is_read = name.startswith("R")
            end = ck + (timing.nCL.n if is_read else timing.nCWL.n) + timing.nBL_min.n
            cell, here = banks[place, row, column // 16], (place, row, column)
            mine = asked.get(end)
            if mine is not None and bool(requests[mine, 1]) != is_read:
                named = (int(requests[mine, 2]), int(requests[mine, 3]), int(requests[mine, 4]))
                assert here in (named, home.get(named)), "a request went neither to the old place nor to the new one"
                got.add(("request", mine))
                if is_read:
                    found[mine] = cell
                else:
                    cell[:] = data[mine]
            if is_read and end in taken:
                assert here == old[taken[end]]
                latch[taken[end]] = (end, cell.copy())
            elif not is_read and end in given and mine is None:
                move = given[end]
                assert here == home[old[move]]
                came, burst = latch.pop(move)
                assert came <= ck, "written before it was read"
                cell[:] = burst
                got.add(("move", move))
            else:
                assert mine is not None, "a command for nobody"
            if name.endswith("A"):
                del rows[place]
    assert not latch
    assert len(got) == len(requests) + len(plan.source)
    return found


def reference(requests: IntArray, data: Int8, before: Mapping[Place, Int8]) -> tuple[Int8, dict[Place, Int8]]:
    """What requests read and leave behind when they are served one after the other, places never changing."""
    memory: dict[Place, Any] = dict(before)
    found = np.zeros_like(data)
    for i, (_, is_write, *place) in enumerate(requests.tolist()):
        if is_write:
            memory[tuple(place)] = data[i].copy()
        else:
            found[i] = memory[tuple(place)]
    return found, memory
