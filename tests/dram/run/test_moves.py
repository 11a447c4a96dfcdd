"""Bursts change their home, and nothing else: plans, rules, products in between, times, energy."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import random_int8

from lpspec.dram.check.checker import check_commands
from lpspec.dram.check.table import command_table as as_checked
from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.moves import DramPlacement, plan_between_sides, plan_move, run_package_move
from lpspec.dram.pim.package import package_of
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import Cells, PimChannel, WeightPlacement, place_weights
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.mover import Moved, MovePlan, move, repeated_move
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import Session
from lpspec.errors import InputError
from lpspec.machine.loading import load_platform, load_profile

IntArray = NDArray[np.int64]
Int8 = NDArray[np.int8]
CHANNEL = PimChannel(DIE, (0, 1, 2), 3, 4)
QUIET = Controller(ranks=4, refresh="none")


def placements(k: int, n: int) -> tuple[DramPlacement, WeightPlacement]:
    return DramPlacement(DIE, 3, k, n), place_weights(CHANNEL, k, n, 0, "never")


def into_pim(k: int, n: int, first: int = 0, columns: int = 0) -> MovePlan:
    dram, pim = placements(k, n)
    return plan_move(dram, pim, first, columns or n - first)


# Plans


@given(k=st.integers(1, 300), blocks=st.integers(1, 40), start=st.integers(0, 9))
def test_a_dram_rank_holds_each_burst_once_in_consecutive_bursts(k: int, blocks: int, start: int) -> None:
    placement = DramPlacement(DIE, 3, k, blocks * 32 - 5, start)
    stream = ReadStream(3, blocks * k, start).requests(DIE)
    reads = placement.reads()
    assert np.array_equal(reads, stream)  # all of it is one stream
    assert placement.end_row == reads[:, 3].max() + 1
    block = blocks // 2
    some = placement.bursts(32 * block)
    assert np.array_equal(some, placement.bursts()[block:])
    part = placement.reads(32 * block)
    assert {tuple(q) for q in part.tolist()} <= {tuple(q) for q in stream.tolist()}
    assert len(part) == (blocks - block) * k


def test_whole_units_are_one_stream() -> None:
    reads = DramPlacement(DIE, 3, 100, 768).reads(256, 256)
    assert np.array_equal(reads, ReadStream(3, 2400).requests(DIE)[800:1600])


@pytest.mark.parametrize(
    ("first", "columns", "said"),
    [
        (0, 40, "columns is 40: allowed are multiples of 32"),
        (16, 32, "allowed are blocks of 32"),
        (320, 64, "outputs 320 to 383"),
        (0, 0, "columns is 0"),
    ],
)
def test_impossible_blocks_are_refused(first: int, columns: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_move(*placements(64, 350), first, columns)


def test_no_room_at_the_destination() -> None:
    dram, pim = DramPlacement(DIE, 3, 64, 512), place_weights(CHANNEL, 64, 256)
    with pytest.raises(InputError, match="no room for columns 256 to 287: there are 256"):
        plan_move(dram, pim, 256, 32)
    with pytest.raises(InputError, match="rows 32768 to 32768 of rank 3: a bank of"):
        DramPlacement(DIE, 3, 64, 512, 32768)
    with pytest.raises(InputError, match="columns of 64 weights can't go where columns have 65"):
        plan_move(dram, place_weights(CHANNEL, 65, 512), 0, 32)
    with pytest.raises(InputError, match="source and destination overlap in row 0 of bank 0 of rank 3"):
        plan_move(dram, DramPlacement(DIE, 3, 64, 512), 0, 32)


def moved(plan: MovePlan, controller: Controller, buffer_bursts: int = 128) -> tuple[Moved, NDArray[Any], Session]:
    """Move on a channel of its own; the commands too, which the checker finds no fault in."""
    session, pieces = Session(DIE, controller), [np.empty((0, 5), np.int64)]
    done = move(plan, session, buffer_bursts, pieces.append)
    table = command_table(np.concatenate(pieces))
    columns: list[Any] = [table[name] for name in ("ck", "command", "rank", "bank_group", "bank", "row", "column")]
    options = check_options(DIE, 4, (0, 1, 2), controller.wck, controller.refresh)
    report = check_commands(as_checked(*columns), options, session.now_ck)
    assert report.counts == {}, report.violations[:3]
    return done, table, session


def bank_view(cells: Cells) -> Int8:
    """Cells as banks of the channel: int8 [bank, row, column, 32]."""
    ranks, mpus, banks, *rest = cells.shape
    return cells.reshape(ranks * mpus * banks, *rest)


def execute_moves(table: NDArray[Any], plan: MovePlan, cells: Cells) -> None:
    """Carry out the RDs and WRs of a move on banks, in their order: a WR writes what the RD of its burst brought."""
    banks, timing = bank_view(cells), DIE.timing
    sources, homes = ({tuple(p): i for i, p in enumerate(s.tolist())} for s in (plan.source, plan.destination))
    rows: dict[int, int] = {}
    buffer: dict[int, tuple[int, Int8]] = {}
    for ck, name, rank, group, bank, row, column in table.tolist():
        place = rank * 16 + group * 4 + bank
        if name == "ACT2":
            rows[place] = row
        elif name == "PRE":
            del rows[place]
        elif name == "PREAB":
            rows = {b: r for b, r in rows.items() if b // 16 != rank}
        elif name in ("RD", "RDA"):
            assert rows[place] == row
            came = ck + timing.nCL.n + timing.nBL_min.n
            buffer[sources[place, row, column]] = came, banks[place, row, column // 16].copy()
        elif name in ("WR", "WRA"):
            assert rows[place] == row
            came, burst = buffer.pop(homes[place, row, column])
            assert came <= ck, "written before it was read"
            banks[place, row, column // 16] = burst
        if name in ("RDA", "WRA"):
            del rows[place]
    assert not buffer


@settings(max_examples=60)
@given(
    k=st.integers(1, 70),
    n=st.integers(1, 300),
    back=st.booleans(),
    buffer_bursts=st.sampled_from([1, 3, 16, 128, 1000]),
    refresh=st.sampled_from(["none", "all-bank", "per-bank"]),
    wck=st.sampled_from(["on-demand", "always-on"]),
    page=st.sampled_from(["open", "closed"]),
)
def test_every_burst_is_read_and_written_once(
    k: int, n: int, back: bool, buffer_bursts: int, refresh: Any, wck: Any, page: Any
) -> None:
    plan = into_pim(k, n)
    plan = plan.reversed() if back else plan
    controller = Controller(ranks=4, refresh=refresh, wck=wck, page=page)
    done, table, session = moved(plan, controller, buffer_bursts)
    for letter, places in (("R", plan.source), ("W", plan.destination)):
        mine = table[np.char.startswith(table["command"], letter) & (np.char.str_len(table["command"]) <= 3)]
        mine = mine[np.isin(mine["command"], ("RD", "RDA", "WR", "WRA"))]
        found = np.stack([mine["rank"] * 16 + mine["bank_group"] * 4 + mine["bank"], mine["row"], mine["column"]], 1)
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, places.tolist()))
    assert (done.read_at + DIE.timing.nBL_min.n < done.written_at).all()
    assert done.written_at.max() <= session.now_ck
    for first, later in pairwise(range(0, len(plan.source), buffer_bursts)):
        last_written = done.written_at[first : first + buffer_bursts].max()
        assert (
            done.read_at[later : later + buffer_bursts].min() > last_written - DIE.timing.nCWL.n - DIE.timing.nBL_min.n
        )


def test_a_place_that_is_none_is_refused() -> None:
    plan = into_pim(64, 32)
    with pytest.raises(InputError, match="move 1: rank is 3: allowed is 0 to 2"):
        move(plan, Session(DIE, Controller(ranks=3)))
    with pytest.raises(InputError, match="buffer_bursts is 0"):
        move(plan, Session(DIE, QUIET), 0)


# Products in between


@settings(max_examples=25)
@given(
    k=st.integers(1, 200),
    n=st.integers(40, 600),
    steps=st.lists(st.integers(0, 20), min_size=1, max_size=5),
    tokens=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_products_stay_the_integer_ones_whatever_moves(
    k: int, n: int, steps: list[int], tokens: int, seed: int
) -> None:
    """PIM computes the columns that it holds, the NPU the others; after each move both together are the product."""
    rng = np.random.default_rng(seed)
    weights, inputs = random_int8(rng, k, n), random_int8(rng, 1, tokens, k)
    exact = inputs[0].astype(np.int64) @ weights.astype(np.int64)
    dram, pim = placements(k, n)
    cells = CHANNEL.cells(max(dram.end_row, pim.end_row), -77)
    padded = np.zeros((k, dram.blocks * 32), np.int8)
    padded[:, :n] = weights
    banks = bank_view(cells)
    rank, bank, row, column = dram.bursts().transpose(2, 0, 1)
    banks[rank * 16 + bank, row, column] = padded.reshape(k, -1, 32).swapaxes(0, 1)
    held = 0
    for blocks in steps:
        wanted = min(blocks * 32, n)
        low, high = sorted((held, wanted))
        if low < high:
            plan = plan_move(dram, pim, low, high - low)
            plan = plan if wanted > held else plan.reversed()
            _, table, _ = moved(plan, Controller(ranks=4))
            execute_moves(table, plan, cells)
            for b, r, c in plan.source.tolist():
                banks[b, r, c // 16] = -77  # the old place is free again
            held = wanted
        if held:
            lines = compile_gemm(WeightPlacement(CHANNEL, k, held), tokens)
            assert np.array_equal(execute(lines, cells, inputs)[0], exact[:, :held])
        if held < n:
            rank, bank, row, column = dram.bursts(held // 32 * 32).transpose(2, 0, 1)
            share = banks[rank * 16 + bank, row, column].swapaxes(0, 1).reshape(k, -1)[:, : n - held]
            assert np.array_equal(inputs[0].astype(np.int64) @ share.astype(np.int64), exact[:, held:])


# Times and energy


@pytest.mark.parametrize("buffer", [32, 128, 512])
@pytest.mark.parametrize("back", [False, True])
def test_a_long_move_takes_the_bus_twice_per_burst(buffer: int, back: bool) -> None:
    plan = into_pim(4096, 256)
    plan = plan.reversed() if back else plan
    done, _, _ = moved(plan, QUIET, buffer)
    # A buffer of B: B RDs 2 CK apart, RL 17 + BL 2 + gap 2 - WL 9 = 12 to the first of B WRs, 1 back to a RD.
    fills = len(plan.source) // buffer
    bound = fills * (2 * (buffer - 1) + 12 + 2 * (buffer - 1) + 1)
    finished_ck = done.written_at.max()
    assert finished_ck > bound
    # Beyond it: one CK until the first RD of a fill, and rows: nRP 15 + 1 + nRCD 15 of the old rank every 256 bursts,
    # of the new one every 512, hidden only in part.
    rows = len(plan.source) / 256 * 31 + len(plan.source) / 512 * 31
    assert finished_ck == pytest.approx(bound + fills + rows, rel=0.03)


def test_a_copy_of_a_move_holds_its_commands_and_its_share_of_refresh() -> None:
    plan = plan_between_sides(CHANNEL, 512, 768, to_pim=True)
    mean = repeated_move(plan, DIE, Controller(ranks=4))
    assert mean.command_counts["RD"] == mean.command_counts["WR"] == len(plan.source) == 512 * 24
    assert mean.rank_counts["REFAB"] == pytest.approx(4 * mean.ck / DIE.timing.nREFI.n, rel=0.05)


@pytest.mark.parametrize("to_pim", [True, False])
def test_a_package_moves_what_its_channels_hold(to_pim: bool) -> None:
    package, profile = package_of(load_platform("lp-spec")), load_profile("attacc")
    done = run_package_move(package, 256, 4096, to_pim)
    assert done.moved_bytes == 256 * 4096
    pj, bits = done.activity.by_event_pj(profile), done.moved_bytes * 8
    assert "io_bits" not in pj
    assert pj["transferred_bits"] == pytest.approx(bits * 0.15 * (0.11 + 0.44 + 3.04))
    assert pj["column_bits"] == pytest.approx(2 * bits * 0.44)
    assert done.total_ns > 2 * done.moved_bytes / 51.2


def test_what_cannot_move_is_named() -> None:
    package = package_of(load_platform("lp-spec"))
    with pytest.raises(InputError, match="k is 0: allowed is 1 to 1000000"):
        run_package_move(package, 0, 4096, True)
    with pytest.raises(InputError, match="rank 3: a bank of"):
        run_package_move(package, 10**6, 10**6, True)
