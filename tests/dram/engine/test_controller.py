"""What holds for every run: nothing lost or wrongly reordered, every bank refreshed, bandwidth as it must be."""

import itertools

import numpy as np
import pytest
from engine_help import DIE, at, commands_of, order_kept, serve, streaming, violations
from engine_help import read as rd
from engine_help import write as wr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram.run.command_log import CSV_HEADER, csv_lines
from lpspec.dram.run.controller import Controller, Refresh
from lpspec.dram.run.simulate import Request, request_array, run_requests
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import die_names, load_die, load_profile

IntArray = NDArray[np.int64]


# Anchors


def test_streaming_reaches_the_bus() -> None:
    run = run_requests(streaming(60_000), DIE, Controller(refresh="none"))
    assert 12.79 <= run.avg_gb_per_s <= 12.8


def test_streaming_under_all_bank_refresh() -> None:
    # Each refresh takes nRTP 8 (or what is left of it) + nRPab 17 + nRFCab 168 + 1 + nRCD 15 of 3125 CK: 6.7 %.
    run = run_requests(streaming(60_000), DIE, Controller(refresh="all-bank"))
    assert 11.7 <= run.avg_gb_per_s <= 11.95


def test_per_bank_refresh_costs_a_stream_next_to_nothing() -> None:
    run = run_requests(streaming(60_000), DIE, Controller(refresh="per-bank"))
    assert run.avg_gb_per_s > 12.6


def test_random_reads_are_held_by_the_activation_window() -> None:
    # At most four rows per nFAW 16 CK, so 32 B per 4 CK: 6.4 GB/s; queues of 32 over 16 banks come close.
    rng = np.random.default_rng(0)
    n = 20_000
    requests = np.stack([np.zeros(n), np.zeros(n), rng.integers(0, 16, n), rng.integers(0, 32768, n), np.zeros(n)], 1)
    run = run_requests(requests.astype(np.int64), DIE, Controller(refresh="none"))
    assert 5.7 < run.avg_gb_per_s <= 6.4


def test_one_bank_is_held_by_the_row_cycle() -> None:
    # PRE 34 after ACT-2, ACT-1 15 later, ACT-2 1 later: 50 CK per request
    n = 1000
    requests = np.stack([np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n), np.zeros(n)], 1).astype(np.int64)
    run = run_requests(requests, DIE, Controller(refresh="none"))
    assert run.total_ck == 50 * (n - 1) + 35


# Invariants


@st.composite
def traffic(draw: st.DrawFn) -> tuple[IntArray, DieSpec, Controller]:
    ranks = draw(st.integers(1, 4))
    n = draw(st.integers(1, 400))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    banks = draw(st.integers(1, 16 * ranks))
    rows = draw(st.sampled_from([1, 2, 5, 1000]))
    columns = draw(st.sampled_from([1, 3, 64]))
    writes = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    pause = draw(st.sampled_from([0, 2, 30, 900]))
    arrival = np.cumsum(rng.integers(0, pause + 1, n))
    places = [rng.integers(0, banks, n), rng.integers(0, rows, n), rng.integers(0, columns, n) * 16]
    controller = Controller(
        ranks=ranks,
        refresh=draw(st.sampled_from(["none", "all-bank", "per-bank"])),
        postpone=draw(st.integers(0, 8)),
        wck=draw(st.sampled_from(["on-demand", "always-on"])),
        page=draw(st.sampled_from(["open", "closed"])),
        patience=draw(st.sampled_from([0, 256])),
    )
    device = load_die(draw(st.sampled_from(die_names())))
    return np.stack([arrival, rng.random(n) < writes, *places], 1).astype(np.int64), device, controller


@settings(max_examples=150)
@given(traffic())
def test_any_traffic_is_served_once_in_order_and_legally(case: tuple[IntArray, DieSpec, Controller]) -> None:
    requests, device, controller = case
    run = run_requests(requests, device, controller, keep_commands=True)
    order_kept(requests, run)
    assert violations(run, device, controller) == []
    table = commands_of(run)
    assert len(np.unique(table["ck"])) == len(table)
    data = table[np.isin(table["command"], ["RD", "RDA", "WR", "WRA"])]
    latency = np.where(np.char.startswith(data["command"], "R"), device.timing.nCL.n, device.timing.nCWL.n)
    assert (np.diff(data["ck"] + latency) >= 2).all()


@pytest.mark.slow
@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
def test_a_long_random_run_is_legal(refresh: Refresh) -> None:
    rng = np.random.default_rng(5)
    n = 400_000
    columns = [np.zeros(n), rng.random(n) < 0.3, rng.integers(0, 64, n), rng.integers(0, 40, n), rng.integers(0, 64, n)]
    requests = np.stack(columns, 1).astype(np.int64)
    requests[:, 4] *= 16
    controller = Controller(ranks=4, refresh=refresh, postpone=8)
    run = run_requests(requests, DIE, controller, keep_commands=True)
    assert violations(run, DIE, controller) == []


def test_run_is_the_same_whether_commands_are_kept_or_not() -> None:
    requests = streaming(5000, 0.3)
    kept = run_requests(requests, DIE, keep_commands=True)
    counted = run_requests(requests, DIE)
    assert counted.commands is None
    assert (kept.total_ck, kept.command_counts) == (counted.total_ck, counted.command_counts)
    assert len(commands_of(kept)) == sum(kept.command_counts.values())


# Order


def test_many_writes_and_reads_of_one_address_keep_their_order() -> None:
    requests = [(wr if i % 3 == 0 else rd)(i, row=i % 2) for i in range(120)]
    run = serve(*requests)
    order_kept(request_array(requests, DIE, 1), run)


def test_a_read_behind_a_write_does_not_wait_for_ever() -> None:
    stream = [rd(2 * i, bank_group=i % 4, column=i // 4 % 64 * 16) for i in range(3000)]
    requests = sorted([*stream, wr(100, row=9), rd(101, row=9)])
    run = serve(*requests)
    behind = next(i for i, q in enumerate(requests) if q.row == 9 and not q.is_write)
    assert run.served_at[behind] < 101 + 256 + 200


def test_writes_are_drained_in_batches() -> None:
    rng = np.random.default_rng(3)
    requests = [(wr if rng.random() < 0.5 else rd)(0, i % 4, 0, 0, i % 64 * 16) for i in range(600)]
    run = serve(*requests)
    table = commands_of(run)
    ways = "".join(str(c)[0] for c in table["command"] if str(c) in ("RD", "WR"))
    turns = sum(a != b for a, b in itertools.pairwise(ways))
    assert turns < len(ways) / 8


# Refresh


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
@pytest.mark.parametrize("postpone", [0, 8])
def test_every_bank_is_refreshed_once_per_interval(refresh: Refresh, postpone: int) -> None:
    run = run_requests(streaming(40_000), DIE, Controller(ranks=2, refresh=refresh, postpone=postpone))
    due = run.end_ck // 3125
    busy, idle = run.refreshes
    assert busy.min() >= due - postpone - 1
    assert busy.max() <= due + 1
    assert set(idle.tolist()) <= {due - 1, due, due + 1}


def test_postponed_refreshes_are_made_up_when_idle() -> None:
    requests = np.concatenate([streaming(9000), [[60_000, 0, 0, 0, 0]]])
    run = run_requests(requests, DIE, Controller(postpone=8), keep_commands=True)
    refreshes = np.array(at(run, "REFAB"))
    assert (refreshes < 18_000).sum() == 0
    assert ((refreshes > 18_000) & (refreshes < 18_750)).sum() == 5  # those of 3125 .. 15625, once the rank idles
    assert run.refreshes.min() == 60_000 // 3125


@pytest.mark.parametrize(("refresh", "in_nrefi"), [("all-bank", 1), ("per-bank", 8)])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_ranks_refresh_in_turn_evenly_over_an_interval(refresh: Refresh, in_nrefi: int, ranks: int) -> None:
    """Each of 2, 3 and 4 ranks is due every 3,125 CK, one of them every 1,562.5, 1,041.7 and 781.25 CK."""
    run = run_requests([rd(50 * 3125)], DIE, Controller(ranks=ranks, refresh=refresh), keep_commands=True)
    table = commands_of(run)
    table = table[np.isin(table["command"], ["REFAB", "REFPB"])]
    step = 3125 / in_nrefi / ranks
    due = step * (ranks + np.arange(len(table)))
    np.testing.assert_allclose(table["ck"], due, atol=2.5)  # of three fractions each is rounded down
    np.testing.assert_array_equal(table["rank"], np.arange(len(table)) % ranks)
    assert len(table) == pytest.approx(50 * in_nrefi * ranks, abs=in_nrefi * ranks)


def test_no_refresh_when_none_is_wanted() -> None:
    assert run_requests(streaming(9000), DIE, Controller(refresh="none")).refreshes.max() == 0


# Energy


def test_energy_is_counted_by_component() -> None:
    run = run_requests(streaming(1000), DIE, Controller(refresh="none"))
    rows, energy_pj = run.command_counts["ACT2"], run.activity.energy_pj(load_profile("attacc"))
    assert energy_pj["array"] == pytest.approx(rows * 2048 * 8 * 0.11 + 1000 * 256 * 0.44)
    assert energy_pj["io"] == pytest.approx(1000 * 256 * 3.04)
    assert all(energy_pj[other] == 0 for other in ("buffer", "mac", "activation", "migration", "static"))


def test_what_is_written_pays_for_the_column_as_what_is_read_and_for_its_own_way() -> None:
    profile = load_profile("micron-y52p")
    reads, writes = (
        run_requests(requests, DIE, Controller(refresh="none")).activity.by_event_pj(profile)
        for requests in ([kind(0, column=16 * c) for c in range(8)] for kind in (rd, wr))
    )
    assert {name: reads[name] for name in ("activate_bits", "column_bits")} == {
        name: writes[name] for name in ("activate_bits", "column_bits")
    }
    assert ("io_written_bits" in reads, "io_bits" in writes) == (False, False)
    bits = 8 * 256  # and a burst costs 3.75 pJ/b read, 2.17 written
    assert (reads["column_bits"] + reads["io_bits"]) / bits == pytest.approx(3.754, rel=1e-3)
    assert (writes["column_bits"] + writes["io_written_bits"]) / bits == pytest.approx(2.174, rel=1e-3)


def test_idd_profile_prices_refresh_and_background() -> None:
    requests = [rd(0), rd(40_000)]
    run = run_requests(requests, DIE, Controller(ranks=2))
    energy_pj = run.activity.by_event_pj(load_profile("micron-y52p"))
    # An 8 Gb die refreshes for 210 ns, at 172.5 mA of 1.05 V beyond standby.
    assert energy_pj["refreshing_die_ns"] == pytest.approx(run.command_counts["REFAB"] * 172.5 * 1.05 * 210)
    # Rank 0 has a row open from ACT-2 at 1 to PREAB at 3125, and from its last ACT-2 on; all else is idle.
    active = 3124 + run.end_ck - (40_000 + 1)
    assert run.active_ck == active
    assert energy_pj["active_die_ns"] == pytest.approx(47.34 * active * 1.25)
    assert energy_pj["idle_die_ns"] == pytest.approx(36.825 * (2 * run.total_ck - active) * 1.25)


def test_a_refresh_of_a_pair_costs_an_eighth_of_one_of_all_banks() -> None:
    run = run_requests([rd(0), rd(8 * 3125)], DIE, Controller(refresh="per-bank"))
    refreshing_pj = run.activity.by_event_pj(load_profile("micron-y52p"))["refreshing_die_ns"]
    assert run.command_counts["REFPB"] > 56
    assert refreshing_pj == pytest.approx(run.command_counts["REFPB"] / 8 * 172.5 * 1.05 * 210)


# Input and output


def test_commands_are_written_as_the_exchange_format() -> None:
    lines = csv_lines(commands_of(serve(rd(3, bank_group=1, bank=2, row=7, column=32))))
    assert (CSV_HEADER + lines).decode().splitlines() == [
        "ck,command,rank,bank_group,bank,row,column",
        "3,ACT1,0,1,2,7,",
        "4,ACT2,0,1,2,7,",
        "11,CAS,0,,,,",
        "19,RD,0,1,2,7,32",
    ]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (rd(-1), "request 1: at is -1"),
        (rd(0, bank_group=4), "request 1: bank_group is 4: allowed is 0 to 3"),
        (rd(0, rank=1), "request 1: rank is 1: allowed is 0 to 0"),
        (rd(0, row=32768), "request 1: row is 32768: allowed is 0 to 32767"),
        (rd(0, column=8), "request 1: column is 8: allowed are multiples of 16"),
        (rd(0, column=1024), "request 1: column is 1024: allowed is 0 to 1008"),
    ],
)
def test_impossible_requests_are_named(request_: Request, said: str) -> None:
    with pytest.raises(InputError, match=said):
        run_requests([request_], DIE)


def test_requests_must_be_in_order() -> None:
    with pytest.raises(InputError, match="request 2: at is 4, before the request above it"):
        run_requests([rd(5), rd(4)], DIE)


@pytest.mark.parametrize("wrong", [{"ranks": 0}, {"ranks": 9}, {"postpone": 9}, {"refresh": "all"}, {"page": "ajar"}])
def test_impossible_controllers_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Controller(**wrong)  # type: ignore[arg-type]


def test_nothing_to_do() -> None:
    run = run_requests([], DIE)
    assert (run.total_ck, run.avg_gb_per_s, run.command_counts) == (0, 0.0, {})
