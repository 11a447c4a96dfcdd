"""PIM programs on the exact engine: by hand, legal under any traffic, and nothing of a program lost."""

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, at, commands_of, spelt, streaming, violations
from engine_help import read as rd
from engine_help import write as wr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.program import ProgramBuilder
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.controller import Controller, all_bank_activate_ck
from lpspec.dram.run.simulate import ChannelRun, request_array, run_channel
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die, load_profile

NO_REQUESTS = np.empty((0, 5), np.int64)


def run_program(
    program: NDArray[np.int64], requests: Any = NO_REQUESTS, device: DieSpec = DIE, **policies: Any
) -> ChannelRun:
    controller = Controller(**{"ranks": 4, "refresh": "none", **policies})
    return run_channel(requests, program, device, controller, keep_commands=True)


def tile(build: ProgramBuilder, mask: int, rounds: int, *, outer: int = 0, refresh: bool = True) -> None:
    """Stream 2 * rounds rows through the MPUs, banks in turn, inputs and next row ahead; then read back."""
    slots = 8
    steps = [*[0] * outer, 1]
    build.load_inputs(mask, 0, slots)
    build.activate(mask, 0, 0)
    with build.loop(rounds):
        build.load_inputs(mask, slots, slots)
        build.activate(mask, 1, 0, steps)
        build.mac(mask, 0, 0)
        build.precharge(mask, 0)
        if refresh:
            build.refresh_point(mask)
        build.load_inputs(mask, 0, slots)
        build.activate(mask, 0, 1, steps)
        build.mac(mask, 1, 1)
        build.precharge(mask, 1)
    build.precharge(mask, 0)
    for rank in range(4):
        if mask >> rank & 1:
            build.read_back(rank)


def one_tile(rounds: int, mask: int = 0b111, tiles: int = 1, **options: Any) -> NDArray[np.int64]:
    build = ProgramBuilder(DIE, 4)
    build.enter(mask)
    with build.loop(tiles):
        tile(build, mask, rounds, outer=1, **options)
    build.leave(mask)
    return build.build()


def test_a_switch_in_two_steps_by_hand() -> None:
    """PIM_ENTER 0 and 80, PIM_EXIT 160: each keeps everything away for 100 ns."""
    device = load_die("lpddr5-6400-8gb", {"pim.mode_steps": "2"})
    build = ProgramBuilder(device, 2)
    build.enter(0b1)
    build.leave(0b1)
    run = run_program(build.build(), device=device, ranks=2)
    assert spelt(run) == [(0, "PIM_ENTER"), (80, "PIM_ENTER"), (160, "PIM_EXIT")]


def test_one_row_by_hand() -> None:
    build = ProgramBuilder(DIE, 2)
    build.enter(0b1)
    build.load_inputs(0b1, 0, 8)
    build.activate(0b1, 0, row=3)
    build.mac(0b1, 0, 0)
    build.precharge(0b1, 0)
    build.read_back(0)
    build.leave(0b1)
    run = run_program(build.build(), ranks=2)
    # PIM_ENTER 0, 100 ns = 80 CK: PIM_ACT 80, CAS 81, inputs each nCCD_S 2 from 82 to 96. The last activation inside
    # PIM_ACT is at 80 + 3 nRRD + nFAW = 108, so MACs from 108 + nRCD 15 = 123 to 123 + 63 * 4 = 375. WCK has stopped:
    # CAS 376, accumulators from 375 + nMAC 4 = 379. PIM_PRE at 375 + nRTP 8 = 383 takes the slot of the third one:
    # 379, 381, 384, ... 384 + 125 * 2 = 634, data to 634 + RL 17 + 2 = 653: PIM_EXIT (383 + nRPab 17 is earlier).
    stream = spelt(run)
    assert stream[:4] == [(0, "PIM_ENTER"), (80, "PIM_ACT"), (81, "CAS"), (82, "PIM_IN")]
    assert at(run, "PIM_IN") == list(range(82, 97, 2))
    assert at(run, "PIM_MAC") == list(range(123, 376, 4))
    assert at(run, "CAS") == [81, 376]
    assert at(run, "PIM_OUT") == [379, 381, *range(384, 635, 2)]
    assert at(run, "PIM_PRE") == [383]
    assert stream[-1] == (653, "PIM_EXIT")
    assert run.total_ck == 653
    macs = commands_of(run)[commands_of(run)["command"] == "PIM_MAC"]
    assert macs["column"].tolist() == list(range(0, 1024, 16))
    outs = commands_of(run)[commands_of(run)["command"] == "PIM_OUT"]
    assert outs[17].tolist()[2:] == (0, 0, 1, -1, 1)  # rank 0, MPU 1, second burst of its accumulators


def test_rows_of_the_two_banks_overlap_without_a_gap() -> None:
    run = run_program(one_tile(8, refresh=False))
    assert set(np.diff(at(run, "PIM_MAC")).tolist()) == {4}
    assert len(at(run, "PIM_MAC")) == 8 * 128


def test_one_set_of_inputs_used_twice_waits() -> None:
    # Without the second bank's help: one set, one parity; nothing overlaps, so rows cost PRE + ACT each.
    build = ProgramBuilder(DIE, 4)
    build.enter(1)
    with build.loop(3):
        build.load_inputs(1, 0, 8)
        build.activate(1, 0, 0, [1])
        build.mac(1, 0, 0)
        build.precharge(1, 0)
    build.leave(1)
    run = run_program(build.build())
    macs = np.array(at(run, "PIM_MAC"))
    # From the last MAC: nRTP 8, nRPab 17, activation 28, nRCD 15
    assert (macs[64] - macs[63], macs[128] - macs[127]) == (68, 68)


def test_program_is_what_its_loops_say() -> None:
    run = run_program(one_tile(5, tiles=3), refresh="all-bank")
    assert run.command_counts["PIM_MAC"] == 3 * 5 * 128
    assert run.command_counts["PIM_IN"] == 3 * (1 + 2 * 5) * 8
    assert run.command_counts["PIM_OUT"] == 3 * 3 * 128
    assert run.rank_counts["PIM_MAC"] == 3 * run.command_counts["PIM_MAC"]
    assert run.mac_tokens == 4 * run.rank_counts["PIM_MAC"]
    acts = commands_of(run)[commands_of(run)["command"] == "PIM_ACT"]
    assert acts["row"].max() == 5


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
def test_long_programs_keep_every_bank_alive(refresh: Any) -> None:
    run = run_program(one_tile(60, tiles=4), refresh=refresh)
    intervals = run.end_ck // 3125
    assert intervals > 30
    assert run.refreshes[:3].min() >= intervals - 1
    assert run.refreshes[:3].max() <= intervals + 1
    assert violations(run, DIE, Controller(ranks=4, refresh=refresh), (0, 1, 2)) == []


def test_without_refresh_points_the_checker_objects() -> None:
    run = run_program(one_tile(120, refresh=False), refresh="all-bank")
    found = violations(run, DIE, Controller(ranks=4, refresh="all-bank"), (0, 1, 2))
    assert any("retention" in line for line in found)


@pytest.mark.parametrize("fairness", ["pim-first", "npu-first", "round-robin"])
@pytest.mark.parametrize("writes", [0.0, 0.3])
def test_npu_and_pim_share_the_channel_legally(fairness: Any, writes: float) -> None:
    policies: dict[str, Any] = {"fairness": fairness, "refresh": "all-bank"}
    run = run_program(one_tile(8, tiles=2), streaming(6000, writes, rank=3), **policies)
    assert (run.served_at > 0).all()
    assert run.command_counts["PIM_MAC"] == 2 * 8 * 128
    assert violations(run, DIE, Controller(ranks=4, **policies), (0, 1, 2)) == []


def test_who_is_favoured_finishes_first() -> None:
    def ends(fairness: str) -> tuple[int, int]:
        run = run_program(one_tile(8, tiles=2), streaming(6000, rank=3), fairness=fairness)
        return int(run.served_at.max()), at(run, "PIM_EXIT")[0]

    (npu_p, pim_p), (npu_n, pim_n), (_, pim_r) = (ends(f) for f in ("pim-first", "npu-first", "round-robin"))
    assert npu_n < npu_p
    assert pim_p < pim_r < pim_n
    alone = run_program(one_tile(8, tiles=2))
    assert pim_p < 1.05 * alone.total_ck


@pytest.mark.parametrize("quantum", [3, 16])
def test_round_robin_hands_the_bus_over_after_its_quantum(quantum: int) -> None:
    build = ProgramBuilder(DIE, 4)
    build.enter(1)
    with build.loop(8):
        build.load_inputs(1, 0, 8)
        build.load_inputs(1, 8, 8)
    build.leave(1)
    run = run_program(build.build(), streaming(1000, rank=3), fairness="round-robin", quantum=quantum)
    bursts = [name for _, name in spelt(run) if name in ("RD", "PIM_IN")]
    first, last = bursts.index("PIM_IN"), len(bursts) - bursts[::-1].index("PIM_IN")
    turns = [len(list(turn)) for _, turn in groupby(bursts[first:last])]
    assert set(turns[:-1]) == {quantum}


def test_macs_wait_for_the_readback_above_them() -> None:
    """There is one set of accumulators: the second run of MACs would add to what is not read yet."""
    build = ProgramBuilder(DIE, 4)
    build.enter(1)
    build.load_inputs(1, 0, 8)
    build.activate(1, 0, 0)
    build.mac(1, 0, 0, count=4)
    build.read_back(0)
    build.mac(1, 0, 0, count=4)
    build.precharge(1, 0)
    build.leave(1)
    run = run_program(build.build())
    macs, outs = at(run, "PIM_MAC"), at(run, "PIM_OUT")
    assert len(macs) == 8
    assert max(macs[:4]) < min(outs)
    assert max(outs) < min(macs[4:])


def test_npu_first_keeps_pim_waiting_but_not_for_ever() -> None:
    requests = streaming(30_000, rank=3)
    fast, slow = (run_program(one_tile(1), requests, fairness="npu-first", pim_wait=ck) for ck in (500, 20_000))
    assert at(fast, "PIM_EXIT")[0] < at(slow, "PIM_EXIT")[0] < 60_000


def test_a_program_kept_waiting_still_gets_to_its_refreshes() -> None:
    """Forty bursts that wait pim_wait each take 13 nREFI: whoever is favoured, refresh of the rank goes first."""
    lines = compile_gemm(place_weights(PimChannel(DIE, (0,), 1, 2), 1500, 1500), 8).lines
    policies: dict[str, Any] = {"ranks": 2, "fairness": "npu-first", "pim_wait": 4096, "refresh": "all-bank"}
    done = run_program(lines, streaming(60_000, rank=1), **policies)
    assert violations(done, DIE, Controller(**policies), (0,)) == []


def test_requests_for_a_computing_rank_wait_until_it_leaves_pim_mode() -> None:
    requests = request_array([rd(0, rank=0), rd(300, rank=0, row=1)], DIE, 4)
    run = run_program(one_tile(2), requests, refresh="all-bank")
    table = commands_of(run)
    ours = table[(table["command"] == "ACT1") & (table["rank"] == 0)]["ck"]
    assert (ours >= at(run, "PIM_EXIT")[0] + 80).sum() == 2
    assert violations(run, DIE, Controller(ranks=4, refresh="all-bank"), (0, 1, 2)) == []


def test_open_rows_are_closed_before_pim_mode() -> None:
    build = ProgramBuilder(DIE, 4)
    build.wait(50)  # let the NPU open a row first
    build.enter(1)
    build.leave(1)
    requests = request_array([rd(0, rank=0)], DIE, 4)
    run = run_program(build.build(), requests)
    # RD 16; from 50 the rank is claimed: PREAB 50 (1 + nRAS 34 is past), PIM_ENTER + nRPab 17 = 67
    assert (at(run, "PREAB"), at(run, "PIM_ENTER"), at(run, "PIM_EXIT")) == ([50], [67], [147])


def test_ranks_in_turn_overlap_readback_with_the_next_ranks_macs() -> None:
    build = ProgramBuilder(DIE, 4)
    build.enter(0b11)
    for rank in (0, 1):
        mask = 1 << rank
        build.load_inputs(mask, 0, 8)
        build.activate(mask, 0, 0)
        build.mac(mask, 0, 0)
        build.precharge(mask, 0)
        build.read_back(rank)
    build.leave(0b11)
    run = run_program(build.build())
    table = commands_of(run)
    second = table[(table["command"] == "PIM_MAC") & (table["rank"] == 2)]["ck"]
    readback = table[(table["command"] == "PIM_OUT") & (table["rank"] == 0)]["ck"]
    assert second[0] < readback[-1]
    assert violations(run, DIE, Controller(ranks=4, refresh="none"), (0, 1)) == []


def test_activation_of_all_banks_obeys_the_window_at_any_speed() -> None:
    # 8533: nRRD 6, nFAW 22: four rows take 4 nRRD = 24, more than the window
    assert all_bank_activate_ck(DIE) == (28, 32)
    assert all_bank_activate_ck(load_die("lpddr5x-8533")) == (24 + 18, 48)


def test_energy_of_a_program() -> None:
    controller = Controller(ranks=4, refresh="none")
    run = run_channel(NO_REQUESTS, one_tile(2), DIE, controller)
    energy_pj = run.activity.by_event_pj(load_profile("attacc"))
    macs = 4 * 64 * 3 * 8  # MACs x columns x ranks x MPUs
    assert energy_pj["pim_macs_int8"] == pytest.approx(macs * 32 * 4 * 0.32)
    assert energy_pj["column_bits"] == pytest.approx(macs * 256 * 0.44)
    assert energy_pj["activate_bits"] == pytest.approx(5 * 3 * 8 * 2048 * 8 * 0.11)
    assert "io_bits" not in energy_pj  # nobody reads or writes beside the program
    assert energy_pj["activation_io_bits"] == pytest.approx(3 * 128 * 256 * 3.04)
    assert energy_pj["activation_input_bits"] == pytest.approx(5 * 8 * 256 * 3.04)
    assert energy_pj["pim_register_bits"] == pytest.approx((macs + 3 * (5 * 8 + 128)) * 256 * 0.000425)


# What no die could do


@pytest.mark.parametrize("fault", ["no mode", "closed row", "left open", "opened twice"])
def test_impossible_programs_are_refused(fault: str) -> None:
    build = ProgramBuilder(DIE, 4)
    if fault != "no mode":
        build.enter(1)
    build.load_inputs(1, 0, 8)
    if fault != "closed row":
        build.activate(1, 0, 0)
    if fault == "opened twice":
        build.activate(1, 0, 1)
    build.mac(1, 0, 0)
    build.leave(1)
    with pytest.raises(InputError, match="PIM"):
        run_program(build.build())


@pytest.mark.parametrize("refresh", ["none", "all-bank", "per-bank"])
@pytest.mark.parametrize("ranks", [1, 4])
def test_a_switch_into_the_mode_that_a_rank_is_in_is_refused(refresh: Any, ranks: int) -> None:
    build = ProgramBuilder(DIE, ranks)
    build.enter(1)
    build.enter(1)
    build.leave(1)
    with pytest.raises(InputError, match="a mode switch"):
        run_program(build.build(), refresh=refresh, ranks=ranks)


@pytest.mark.parametrize("refresh", ["none", "all-bank", "per-bank"])
@pytest.mark.parametrize("ranks", [1, 4])
def test_requests_for_a_rank_left_in_pim_mode_are_not_waited_for_for_ever(refresh: Any, ranks: int) -> None:
    """Alone, the rank takes no refresh either, so that no command is left to issue."""
    build = ProgramBuilder(DIE, ranks)
    build.enter(1)
    requests = request_array([rd(100, rank=0)], DIE, ranks)
    with pytest.raises(InputError, match=r"rank 0 never leaves PIM mode.*PIM_EXIT is missing"):
        run_program(build.build(), requests, refresh=refresh, ranks=ranks)


def test_a_program_that_waits_long_while_other_ranks_are_refreshed_is_not_stuck() -> None:
    build = ProgramBuilder(DIE, 4)
    build.enter(1)
    with build.loop(60):
        build.wait(5000)
    build.wait(300_000)
    build.leave(1)
    requests = request_array([rd(100, rank=0)], DIE, 4)  # waits for the rank, at last behind its refreshes
    assert run_program(build.build(), requests, refresh="all-bank").served_at[0] > 600_000


def test_builder_refuses_what_does_not_fit() -> None:
    build = ProgramBuilder(DIE, 4)
    with pytest.raises(InputError, match="don't fit into one set of 8"):
        build.load_inputs(1, 4, 8)
    with pytest.raises(InputError, match="don't fit into a row of 64"):
        build.mac(1, 0, 0, column=1)
    with pytest.raises(InputError, match="names no rank"):
        build.enter(0b10000)
    with pytest.raises(InputError, match="parity is 2"):
        build.activate(1, 2, 0)
    with pytest.raises(InputError, match="row steps inside 0 loops"):
        build.activate(1, 0, 0, [1])


# Invariants


@st.composite
def shared_channel(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64], DieSpec, Controller, int]:
    device = load_die(draw(st.sampled_from(["lpddr5-6400-8gb", "lpddr5x-9600"])))
    mask = draw(st.sampled_from([0b1, 0b10, 0b110, 0b111]))
    build = ProgramBuilder(device, 4)
    build.enter(mask)
    tiles = draw(st.integers(1, 3))
    macs = 0
    for _ in range(tiles):
        rounds = draw(st.integers(1, 5))
        tile(build, mask, rounds, refresh=draw(st.booleans()))
        macs += rounds * 128
        if draw(st.booleans()):
            build.wait(draw(st.integers(0, 300)))
    build.leave(mask)
    n = draw(st.integers(0, 300))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    arrival = np.cumsum(rng.integers(0, draw(st.sampled_from([1, 3, 40])), n))
    banks = rng.integers(48 if draw(st.booleans()) else 0, 64, n)
    places = [banks, rng.integers(0, draw(st.sampled_from([1, 50])), n), rng.integers(0, 64, n) * 16]
    requests = np.stack([arrival, rng.random(n) < 0.3, *places], 1).astype(np.int64)
    controller = Controller(
        ranks=4,
        refresh=draw(st.sampled_from(["none", "all-bank", "per-bank"])),
        wck=draw(st.sampled_from(["on-demand", "always-on"])),
        fairness=draw(st.sampled_from(["pim-first", "npu-first", "round-robin"])),
        pim_wait=draw(st.sampled_from([0, 100, 4096])),
        quantum=draw(st.sampled_from([1, 16])),
    )
    return build.build(), requests, device, controller, macs


@settings(max_examples=100)
@given(shared_channel())
def test_any_program_beside_any_traffic_is_legal_and_whole(
    case: tuple[NDArray[np.int64], NDArray[np.int64], DieSpec, Controller, int],
) -> None:
    program, requests, device, controller, macs = case
    run = run_channel(requests, program, device, controller, keep_commands=True)
    assert run.command_counts["PIM_MAC"] == macs
    assert (run.served_at >= 0).all()
    counts = run.command_counts
    assert sum(counts.get(name, 0) for name in ("RD", "RDA", "WR", "WRA")) == len(requests)
    table = commands_of(run)
    assert len(np.unique(table["ck"])) == len(table)
    found = [line for line in violations(run, device, controller, (0, 1, 2)) if "retention" not in line]
    assert [line for line in found if "refresh_debt" not in line] == []


@pytest.mark.parametrize("fairness", ["pim-first", "npu-first", "round-robin"])
def test_reads_that_wait_for_a_computing_rank_hold_up_neither_writes_nor_the_program(fairness: Any) -> None:
    # 32 reads of rank 0 fill their queue while it computes; the writes behind them are for the DRAM rank.
    waiting = [rd(200, bank_group=i % 4, row=i, rank=0) for i in range(32)]
    requests = request_array([*waiting, *[wr(300, bank_group=i % 4, rank=3) for i in range(8)]], DIE, 4)
    run = run_program(one_tile(4), requests, fairness=fairness, refresh="all-bank")
    left = at(run, "PIM_EXIT")[0]
    assert (run.served_at[:32] > left).all()
    assert (run.served_at[32:] < left).all()
