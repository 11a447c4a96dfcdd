"""Each timing rule binds: the engine's command comes exactly when the rule allows it, not one CK earlier or later."""

import itertools
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, at, commands_of, serve
from engine_help import read as rd
from engine_help import write as wr

from lpspec.dram.rules import CLASSES, COMMANDS, LEVELS, ROW, RULE_GROUPS, evaluate, latency_table, timings_of
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import Request, run_requests
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import die_names, load_die


def changed(**timings: int) -> DieSpec:
    """The 6400 die with other timings, so that the rule in question is the one that binds."""
    fields = {name: getattr(DIE.timing, name).model_copy(update={"value": float(n)}) for name, n in timings.items()}
    return DIE.model_copy(update={"timing": DIE.timing.model_copy(update=fields)})


def gap(requests: list[Request], before: str, after: str, **options: Any) -> int:
    """CK from the first command of one kind to the first of another after it."""
    run = serve(*requests, **options)
    first = at(run, before)[0]
    return min(ck for ck in at(run, after) if ck > first) - first


OPEN_BOTH = [rd(0, bank_group=0), rd(0, bank_group=1)]


@pytest.mark.parametrize("nrcd", [10, 15, 21])
def test_nrcd(nrcd: int) -> None:
    assert gap([rd(0)], "ACT2", "RD", device=changed(nRCD=nrcd)) == nrcd
    assert gap([wr(0)], "ACT2", "WR", device=changed(nRCD=nrcd)) == nrcd


def test_act2_follows_act1() -> None:
    assert gap([rd(0)], "ACT1", "ACT2") == 1


@pytest.mark.parametrize("nras", [34, 41])
def test_nras(nras: int) -> None:
    assert gap([rd(0), rd(20, row=1)], "ACT2", "PRE", device=changed(nRAS=nras)) == nras


def test_nrc() -> None:
    assert gap([rd(0), rd(0, row=1)], "ACT2", "ACT1", device=changed(nRC=70)) == 70


@pytest.mark.parametrize("nrp", [12, 15, 20])
def test_nrppb(nrp: int) -> None:
    assert gap([rd(0), rd(20, row=1)], "PRE", "ACT1", device=changed(nRPpb=nrp, nRC=34 + nrp)) == nrp


@pytest.mark.parametrize("nrtp", [8, 13])
def test_nrtp(nrtp: int) -> None:
    run = serve(*[rd(0, column=16 * i) for i in range(12)], rd(61, row=1), device=changed(nRTP=nrtp))
    assert at(run, "PRE")[0] - at(run, "RD")[11] == nrtp


@pytest.mark.parametrize("nwr", [28, 31])
def test_nwr(nwr: int) -> None:
    assert gap([wr(0), wr(20, row=1)], "WR", "PRE", device=changed(nWR=nwr)) == 9 + 2 + nwr


def test_nppd() -> None:
    # Three rows time out at the same CK were it not for nRRD; with nRAS long past, PREs go nPPD apart.
    opened = [rd(0, bank_group=g) for g in range(3)]
    run = serve(*opened, *[rd(500, bank_group=g, row=1) for g in range(3)], device=changed(nPPD=5))
    assert np.diff(at(run, "PRE")).tolist() == [5, 5]


def test_nrrd() -> None:
    run = serve(*[rd(0, bank_group=g) for g in range(4)], device=changed(nRRD=5))
    assert np.diff(at(run, "ACT1")).tolist() == [5, 5, 5]


def test_nrrd_binds_whatever_the_groups() -> None:
    same = serve(rd(0, bank=0), rd(0, bank=1), device=changed(nRRD=9))
    other = serve(rd(0), rd(0, bank_group=1), device=changed(nRRD=9))
    assert np.diff(at(same, "ACT1")).tolist() == [9]
    assert np.diff(at(other, "ACT1")).tolist() == [9]


@pytest.mark.parametrize("nfaw", [17, 23])  # at 16 the first RD has the slot
def test_nfaw(nfaw: int) -> None:
    run = serve(*[rd(0, bank_group=i % 4, bank=i // 4) for i in range(6)], device=changed(nFAW=nfaw))
    assert at(run, "ACT1") == [0, 4, 8, 12, nfaw, nfaw + 4]


def test_nccd() -> None:
    columns = [rd(300, bank_group=g, column=16 * i) for i in range(1, 9) for g in range(2)]
    run = serve(*OPEN_BOTH, *columns)
    assert set(np.diff(at(run, "RD")[2:]).tolist()) == {2}
    one = serve(rd(0), *[rd(300, column=16 * i) for i in range(1, 9)])
    assert set(np.diff(at(one, "RD")[1:]).tolist()) == {4}


def test_nccd_of_writes() -> None:
    run = serve(*OPEN_BOTH, *[wr(300, bank_group=g, column=16 * i) for i in range(1, 9) for g in range(2)])
    assert set(np.diff(at(run, "WR")).tolist()) == {2}
    one = serve(rd(0), *[wr(300, column=16 * i) for i in range(1, 9)])
    assert set(np.diff(at(one, "WR")).tolist()) == {4}


@pytest.mark.parametrize(("group", "latency"), [(0, 17 + 4 + 2 - 9), (1, 17 + 2 + 2 - 9)])
def test_read_to_write(group: int, latency: int) -> None:
    run = serve(*OPEN_BOTH, rd(300, column=16), wr(301, bank_group=group, column=32), wck="always-on")
    assert at(run, "WR")[0] - at(run, "RD")[2] == latency


@pytest.mark.parametrize(("group", "latency"), [(0, 9 + 4 + 10), (1, 9 + 2 + 5)])
def test_write_to_read(group: int, latency: int) -> None:
    run = serve(*OPEN_BOTH, wr(300, column=16), rd(301, bank_group=group, column=32), wck="always-on")
    assert at(run, "RD")[2] - at(run, "WR")[0] == latency


@pytest.mark.parametrize(
    ("first", "second", "latency"),
    [(rd, rd, 2 + 2), (wr, wr, 2 + 2), (rd, wr, 17 + 2 + 2 - 9), (wr, rd, 1)],
)
def test_rank_switch(first: Any, second: Any, latency: int) -> None:
    # Write to read of another rank: WL 9 + 2 + gap 2 - RL 17 is negative, so the next slot of the bus.
    opened = [rd(0, rank=0), rd(0, rank=1)]
    run = serve(*opened, first(300, column=16, rank=0), second(301, column=16, rank=1), ranks=2, wck="always-on")
    table = commands_of(run)
    late = table["ck"][table["ck"] >= 300]
    assert int(late[1] - late[0]) == latency


@pytest.mark.parametrize("arrival", range(33, 41))
def test_wck_runs_on_for_its_postamble(arrival: int) -> None:
    # RD 16: WCK runs to 16 + 17 + 2 + 1 = 36. Up to then a read goes when it comes, later it waits 1 CK for CAS.
    run = serve(rd(0), rd(arrival, column=16))
    assert at(run, "RD")[1] == (arrival if arrival <= 36 else arrival + 1)
    assert len(at(run, "CAS")) == (1 if arrival <= 36 else 2)


def test_cold_accesses_of_a_known_future_lose_nothing_to_cas() -> None:
    requests = [rd(0, bank=i % 4, row=i // 4) for i in range(40)]
    assert serve(*requests).total_ck == serve(*requests, wck="always-on").total_ck


def test_always_on_needs_no_cas() -> None:
    assert at(serve(rd(0), rd(900, column=16), wck="always-on"), "CAS") == []


@pytest.mark.parametrize("device", [DIE, load_die("lpddr5-6400-16gb")], ids=lambda d: d.name)
def test_nrfcab(device: DieSpec) -> None:
    assert gap([rd(3126)], "REFAB", "ACT1", device=device, refresh="all-bank") == device.timing.nRFCab.n


def test_nrpab_before_refresh() -> None:
    assert gap([rd(0), rd(3200, row=1)], "PREAB", "REFAB", refresh="all-bank") == 17


def test_preab_obeys_nras_nrtp_and_nwr() -> None:
    # ACT-2 at 3106: PREAB at 3106 + nRAS 34; a write at 3120 ends at 3131 and needs nWR 28
    run = serve(rd(3105), refresh="all-bank")
    assert at(run, "PREAB") in ([], [3106 + 34])
    run = serve(rd(3105), rd(9000), refresh="all-bank")
    assert at(run, "PREAB")[0] == 3106 + 34
    run = serve(wr(3105), rd(9000), refresh="all-bank")
    assert at(run, "PREAB")[0] == at(run, "WR")[0] + 9 + 2 + 28


def test_npbr2pbr_when_many_are_owed() -> None:
    rng = np.random.default_rng(1)
    n = 1500
    busy = np.stack([np.zeros(n), np.zeros(n), np.arange(n) % 16, rng.integers(0, 9999, n), np.zeros(n)], 1)
    requests = np.concatenate([busy, [[20000, 0, 0, 0, 0]]]).astype(np.int64)
    run = run_requests(requests, DIE, Controller(refresh="per-bank", postpone=6), keep_commands=True)
    assert np.diff(at(run, "REFPB")).min() == 72


def test_ranks_refresh_apart_and_alone() -> None:
    # Rank 1 is due half an interval after rank 0, and rank 0's refresh does not hold up a read of rank 1.
    run = serve(rd(3126, rank=1), rd(3126, rank=0), ranks=2, refresh="all-bank")
    table = commands_of(run)
    refreshes = [(int(c["ck"]), int(c["rank"])) for c in table if c["command"] == "REFAB"]
    assert refreshes == [(3125, 0)]
    assert [int(c["ck"]) for c in table if c["command"] == "ACT1"] == [3126, 3125 + 168]


def test_act2_within_naad_under_load() -> None:
    rng = np.random.default_rng(2)
    n = 4000
    columns = [np.zeros(n), rng.integers(0, 2, n), rng.integers(0, 64, n), rng.integers(0, 99, n), np.zeros(n)]
    run = run_requests(np.stack(columns, 1).astype(np.int64), DIE, Controller(ranks=4), keep_commands=True)
    table = commands_of(run)
    apart = []
    for rank in range(4):
        of_rank = table[(table["rank"] == rank) & np.isin(table["command"], ["ACT1", "ACT2"])]
        assert of_rank["command"].tolist() == ["ACT1", "ACT2"] * (len(of_rank) // 2)
        apart.append(of_rank["ck"][1::2] - of_rank["ck"][::2])
    assert np.concatenate(apart).min() >= 1
    assert np.concatenate(apart).max() <= 8


# The table itself


def test_table_has_the_numbers_of_the_data_sheet() -> None:
    table = latency_table(DIE)

    def latency(level: str, before: str, after: str) -> int:
        return int(table[LEVELS.index(level), COMMANDS.index(before), CLASSES.index(after)])

    assert latency("bank", "ACT2", "RD") == 15
    assert latency("rank", "RD", "WR") == 12
    assert latency("bank_group", "RD", "WR") == 14
    assert latency("rank", "WR", "RD") == 16
    assert latency("bank_group", "WR", "RD") == 23
    assert latency("other_rank", "WR", "RD") == 1
    assert latency("rank", "PREAB", "REFAB") == 17
    assert latency("bank", "WRA", "ACT1") == 9 + 2 + 28 + 15


@pytest.mark.parametrize("name", die_names())
def test_every_rule_has_a_formula_and_every_group_a_source(name: str) -> None:
    timings = timings_of(load_die(name))
    for group in RULE_GROUPS:
        assert len(group.source) > 10
        for rule in group.rules:
            assert set(rule.before) | set(rule.after) <= {*COMMANDS, ROW}
            assert -100 < evaluate(rule.latency, timings) < 1100


def test_formula_is_arithmetic_only() -> None:
    assert evaluate("a + 2 * b - 3", {"a": 1, "b": 4}) == 6
    with pytest.raises(ValueError, match="not a timing formula"):
        evaluate("a ** b", {"a": 1, "b": 4})


def test_each_pair_of_commands_stands_once_per_level() -> None:
    rows = [
        (rule.level, before, after)
        for group in RULE_GROUPS
        for rule in group.rules
        for before, after in itertools.product(rule.before, rule.after)
    ]
    twice = {row for row in rows if rows.count(row) > 1}
    assert twice == set()
