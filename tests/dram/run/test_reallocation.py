"""Bursts change their home, and nothing else: plans, order against the NPU, rules, products in between, times."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from engine_help import violations as violations_of
from hypothesis import given, settings
from hypothesis import strategies as st
from move_help import Int8, IntArray, bank_view, execute_moves, homes, reference
from pim_help import random_int8
from pim_help import violations as pim_violations

from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.moves import DramPlacement, MovePlan, plan_move
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.program import ProgramBuilder
from lpspec.dram.pim.weights import PimChannel, WeightPlacement, place_weights
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.mover import POLICIES, Mover, ReallocationRun, run_reallocation
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.simulate import run_requests
from lpspec.errors import InputError
from lpspec.machine.loading import load_profile

CHANNEL = PimChannel(DIE, (0, 1, 2), 3, 4)
QUIET = Controller(ranks=4, refresh="none")


def placements(k: int, n: int) -> tuple[DramPlacement, WeightPlacement]:
    return DramPlacement(DIE, 3, k, n), place_weights(CHANNEL, k, n, 0, "never")


def into_pim(k: int, n: int, first: int = 0, columns: int = 0) -> MovePlan:
    dram, pim = placements(k, n)
    return plan_move(dram, pim, first, columns or n - first)


# Plans


@given(k=st.integers(1, 300), blocks=st.integers(1, 40), start=st.integers(0, 9))
@settings(deadline=None)
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


def test_impossible_runs_are_refused() -> None:
    plan = into_pim(64, 32)
    with pytest.raises(InputError, match="move 1: rank is 3: allowed is 0 to 2"):
        run_reallocation(plan, DIE, Controller(ranks=3))
    with pytest.raises(InputError, match="policy"):
        run_reallocation(plan, DIE, QUIET, policy="sometime")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="buffer_bursts is 0"):
        Mover(buffer_bursts=0)
    new = np.array([[0, 0, *plan.destination[7]]])
    with pytest.raises(InputError, match="request 1 names a place that a move writes"):
        run_reallocation(plan, DIE, QUIET, requests=new)


def ends_in_pim_mode() -> IntArray:
    builder = ProgramBuilder(DIE, 4)
    builder.enter(0b0001)
    return builder.build()


@pytest.mark.parametrize("policy", ["background", "catch"])
@pytest.mark.parametrize("refresh", ["none", "all-bank"])
def test_a_rank_that_stays_in_pim_mode_is_an_error(policy: Any, refresh: Any) -> None:
    controller = Controller(ranks=4, refresh=refresh)
    with pytest.raises(InputError, match=r"\d+ of 64 moves can't be finished: the program leaves ranks 0 in PIM mode"):
        run_reallocation(into_pim(64, 32), DIE, controller, policy=policy, program=ends_in_pim_mode())


# Order


@dataclass
class Case:
    plan: MovePlan
    requests: IntArray
    data: Int8
    controller: Controller
    mover: Mover
    policy: Any


@st.composite
def cases(draw: st.DrawFn) -> Case:
    k, n = draw(st.integers(1, 70)), draw(st.integers(1, 300))
    plan = into_pim(k, n)
    plan = draw(st.sampled_from([plan, plan.reversed()]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    count, few = draw(st.integers(0, 300)), draw(st.sampled_from([1, 5, 100_000]))
    named = plan.source[rng.integers(0, min(few, len(plan.source)), count)]
    elsewhere = rng.random(count) < draw(st.sampled_from([0.0, 0.3]))
    named[elsewhere, 1] += 10  # rows that no move touches
    way = rng.random(count) < draw(st.sampled_from([0.0, 0.2, 0.7]))
    arrival = np.cumsum(rng.integers(0, draw(st.sampled_from([0, 2, 40, 400])) + 1, count))
    controller = Controller(
        ranks=4,
        refresh=draw(st.sampled_from(["none", "all-bank", "per-bank"])),
        wck=draw(st.sampled_from(["on-demand", "always-on"])),
        page=draw(st.sampled_from(["open", "closed"])),
        drain_low=draw(st.sampled_from([0, 6])),
        patience=draw(st.sampled_from([0, 256])),
    )
    mover = Mover(
        draw(st.sampled_from([1, 3, 16, 128])), draw(st.sampled_from([1, 16])), draw(st.sampled_from([1, 60, 1024]))
    )
    requests = np.concatenate([np.stack([arrival, way], 1), named], 1).astype(np.int64)
    return Case(plan, requests, random_int8(rng, count, 32), controller, mover, draw(st.sampled_from(list(POLICIES))))


def run_case(case: Case) -> ReallocationRun:
    return run_reallocation(
        case.plan,
        DIE,
        case.controller,
        policy=case.policy,
        mover=case.mover,
        requests=case.requests,
        keep_commands=True,
    )


def check(case: Case, done: ReallocationRun, cells: Any = None) -> None:
    """Reads, what is left behind, and where it lies are as if requests came one by one and bursts never moved."""
    rng = np.random.default_rng(1)
    if cells is None:
        cells = random_int8(rng, *CHANNEL.cells(16).shape)
    banks, before = bank_view(cells), bank_view(cells.copy())
    touched = {tuple(place) for place in [*case.requests[:, 2:].tolist(), *case.plan.source.tolist()]}
    expected, memory = reference(case.requests, case.data, {p: before[p[0], p[1], p[2] // 16] for p in touched})
    found = execute_moves(done, case.plan, DIE, case.requests, case.data, cells)
    reads = case.requests[:, 1] == 0
    assert np.array_equal(found[reads], expected[reads])
    new = homes(case.plan)
    after = before.copy()
    for place, burst in memory.items():
        bank, row, column = new.get(place, place)
        after[bank, row, column // 16] = burst
    for bank, row, column in new:  # what is left at an old place means nothing
        after[bank, row, column // 16] = banks[bank, row, column // 16]
    assert np.array_equal(banks, after)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_no_write_is_lost_or_passed_by_a_read(case: Case) -> None:
    done = run_case(case)
    check(case, done)
    assert violations_of(done.run, DIE, case.controller, (0, 1, 2)) == []
    counts = done.run.command_counts
    reads = counts.get("RD", 0) + counts.get("RDA", 0)
    assert reads == done.reads + int((case.requests[:, 1] == 0).sum())
    assert counts.get("WR", 0) + counts.get("WRA", 0) == len(case.plan.source) + int((case.requests[:, 1] == 1).sum())
    assert (done.read_at < done.written_at).all()
    assert done.finished_ck == done.written_at.max()
    assert case.policy == "catch" or done.caught == 0


def test_a_write_to_a_burst_in_flight_reaches_its_new_home() -> None:
    """The write comes in the very CKs between the RD and the WR of its burst, each of them in turn."""
    plan = into_pim(8, 32)
    base = run_reallocation(plan, DIE, QUIET, policy="background")
    for at in range(int(base.read_at[3]) - 20, int(base.written_at[3]) + 3):
        requests = np.array([[at, 1, *plan.source[3]], [at, 0, *plan.source[3]]])
        case = Case(plan, requests, random_int8(np.random.default_rng(at), 2, 32), QUIET, Mover(), "background")
        done = run_case(case)
        check(case, done)


def test_a_write_goes_once_its_data_have_come() -> None:
    """Rows being open, the rules would let the WR follow its RD by 12 CK; the data come after 17 + 2."""
    plan = into_pim(16, 32)
    done = run_reallocation(plan, DIE, QUIET, mover=Mover(buffer_bursts=1))
    gap_ck = done.written_at - (9 + 2) - done.read_at
    assert 0 <= gap_ck.min() <= 2


@pytest.mark.parametrize("policy", list(POLICIES))
def test_writes_beside_a_program_wait_until_ranks_leave_pim_mode(policy: Any) -> None:
    placement = place_weights(CHANNEL, 128, 512, 20)
    program = compile_gemm(placement, 3)
    plan = into_pim(64, 256)
    requests = DramPlacement(DIE, 3, 64, 256).reads()
    requests[::7, 1] = 1
    data = random_int8(np.random.default_rng(0), len(requests), 32)
    case = Case(plan, requests, data, Controller(ranks=4), Mover(), policy)
    done = run_reallocation(
        plan, DIE, case.controller, policy=policy, requests=requests, program=program.lines, keep_commands=True
    )
    assert pim_violations(done.run, program) == []
    commands = done.run.commands
    assert commands is not None
    left = int(commands["ck"][commands["command"] == "PIM_EXIT"][0])
    entered = int(commands["ck"][commands["command"] == "PIM_ENTER"][0])
    assert done.finished_ck < entered if policy == "blocking" else done.written_at.min() > left
    plain = commands[~np.char.startswith(commands["command"], "PIM_")]
    check(case, replace(done, run=replace(done.run, commands=plain)))


# Products in between


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(1, 200),
    n=st.integers(40, 600),
    steps=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(list(POLICIES))), min_size=1, max_size=5),
    tokens=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_products_stay_the_integer_ones_whatever_moves(
    k: int, n: int, steps: list[tuple[int, Any]], tokens: int, seed: int
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
    for blocks, policy in steps:
        wanted = min(blocks * 32, n)
        low, high = sorted((held, wanted))
        if low < high:
            plan = plan_move(dram, pim, low, high - low)
            plan = plan if wanted > held else plan.reversed()
            requests = dram.reads(held // 32 * 32) if held < n else np.empty((0, 5), np.int64)
            four = Controller(ranks=4)
            done = run_reallocation(plan, DIE, four, policy=policy, requests=requests, keep_commands=True)
            assert violations_of(done.run, DIE, four, (0, 1, 2)) == []
            found = execute_moves(done, plan, DIE, requests, np.zeros((len(requests), 32), np.int8), cells)
            assert done.caught > 0 or policy != "catch" or wanted < held
            assert len(found) == len(requests)
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


# Times


@pytest.mark.parametrize("buffer", [32, 128, 512])
@pytest.mark.parametrize("back", [False, True])
def test_a_long_blocking_move_takes_the_bus_twice_per_burst(buffer: int, back: bool) -> None:
    plan = into_pim(4096, 256)
    plan = plan.reversed() if back else plan
    done = run_reallocation(plan, DIE, QUIET, policy="blocking", mover=Mover(buffer))
    # A buffer of B: B RDs 2 CK apart, RL 17 + BL 2 + gap 2 - WL 9 = 12 to the first of B WRs, 1 back to a RD.
    fills = len(plan.source) // buffer
    bound = fills * (2 * (buffer - 1) + 12 + 2 * (buffer - 1) + 1)
    assert done.finished_ck > bound
    # Beyond it: one CK until the first RD of a fill, and rows: nRP 15 + 1 + nRCD 15 of the old rank every 256 bursts,
    # of the new one every 512, hidden only in part.
    rows = len(plan.source) / 256 * 31 + len(plan.source) / 512 * 31
    assert done.finished_ck == pytest.approx(bound + fills + rows, rel=0.03)


def test_catching_takes_no_reads_of_its_own() -> None:
    plan = into_pim(1024, 256)
    requests = DramPlacement(DIE, 3, 1024, 256).reads()
    done = run_reallocation(plan, DIE, Controller(ranks=4), policy="catch", requests=requests)
    assert (done.reads, done.caught) == (0, len(plan.source))
    assert done.run.command_counts["RD"] == len(requests)
    alone = run_reallocation(plan, DIE, Controller(ranks=4), policy="blocking", requests=requests)
    assert alone.run.command_counts["RD"] == 2 * len(requests)
    assert done.run.total_ck < 0.8 * alone.run.total_ck


def test_what_the_npu_does_not_read_is_read_behind_it() -> None:
    plan = into_pim(256, 256)
    requests = DramPlacement(DIE, 3, 256, 256).reads()[:500]
    done = run_reallocation(plan, DIE, QUIET, policy="catch", requests=requests, mover=Mover(buffer_bursts=16))
    assert 0 < done.caught <= 500
    assert done.run.command_counts["RD"] == 500 + done.reads


@pytest.mark.parametrize("window", [1, 16, 32])
@pytest.mark.parametrize("gap_ck", [4, 16])
def test_the_background_delays_a_request_by_no_more_than_a_window(window: int, gap_ck: int) -> None:
    """A request finds at most a window of own ones before it: their bursts, one turn of the bus, two row cycles."""
    requests = ReadStream(3, 4000, 1000).requests(DIE)
    requests[:, 0] = gap_ck * np.arange(len(requests))
    alone = run_requests(requests, DIE, QUIET)
    done = run_reallocation(into_pim(1024, 256), DIE, QUIET, requests=requests, mover=Mover(window=window))
    delay = done.run.served_at - alone.served_at
    assert delay.max() <= window * 2 + 12 + 2 * (49 + 15)
    assert delay.mean() < 16
    assert (done.written_at < requests[-1, 0]).sum() >= 64  # and yet it goes on


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("writes", [False, True])
def test_a_busy_npu_lets_a_window_pass_after_each_patience(back: bool, writes: bool) -> None:
    """Also where the NPU's next burst is always the earlier one, its rank having the bus already."""
    requests = ReadStream(3, 20_000, 1000).requests(DIE)
    requests[:, 1] = writes
    plan = into_pim(1024, 256)
    plan = plan.reversed() if back else plan
    done = run_reallocation(plan, DIE, QUIET, requests=requests, mover=Mover(window=16, patience=500))
    busy = done.run.served_at.max()
    served = (done.read_at < busy).sum() + (done.written_at < busy).sum()
    assert 16 * (busy // (500 + 250)) <= served <= 16 * (busy // 500 + 1)


def test_moves_go_on_beside_a_program_on_other_ranks() -> None:
    program = compile_gemm(place_weights(PimChannel(DIE, (0, 1), 2, 4), 2048, 1024, 100), 4)
    dram, pim = DramPlacement(DIE, 3, 64, 256), place_weights(PimChannel(DIE, (2,), 1, 4), 64, 256)
    four = Controller(ranks=4)
    plan = plan_move(dram, pim, 0, 256)
    done = run_reallocation(plan, DIE, four, program=program.lines, keep_commands=True)
    assert violations_of(done.run, DIE, four, (0, 1, 2)) == []
    commands = done.run.commands
    assert commands is not None
    assert done.finished_ck < commands["ck"][commands["command"] == "PIM_EXIT"][0]


def test_without_moves_the_channel_does_what_it_does() -> None:
    rng = np.random.default_rng(2)
    n = 2000
    places = [rng.integers(0, 64, n), rng.integers(0, 9, n), rng.integers(0, 64, n) * 16]
    requests = np.stack([np.sort(rng.integers(0, 9000, n)), rng.random(n) < 0.3, *places], 1).astype(np.int64)
    nothing = MovePlan(np.empty((0, 3), np.int64), np.empty((0, 3), np.int64))
    done = run_reallocation(nothing, DIE, Controller(ranks=4), requests=requests)
    plain = run_requests(requests, DIE, Controller(ranks=4))
    assert (done.run.total_ck, done.run.command_counts) == (plain.total_ck, plain.command_counts)
    assert np.array_equal(done.run.served_at, plain.served_at)
    assert done.finished_ck == 0


def test_energy_of_moved_bits() -> None:
    profile = load_profile("attacc")
    plan = into_pim(256, 256)
    requests = DramPlacement(DIE, 3, 256, 256).reads()
    bits = len(plan.source) * 256
    alone = run_reallocation(plan, DIE, QUIET, policy="blocking").activity.by_event_pj(profile)
    assert "io_bits" not in alone
    assert alone["transferred_bits"] == pytest.approx(bits * 0.15 * (0.11 + 0.44 + 3.04))
    assert alone["column_bits"] == pytest.approx(2 * bits * 0.44)
    caught = run_reallocation(plan, DIE, QUIET, policy="catch", requests=requests).activity.by_event_pj(profile)
    assert caught["io_bits"] == pytest.approx(bits * 3.04)  # the NPU's own reads
    assert caught["transferred_bits"] == pytest.approx(alone["transferred_bits"])
