"""Kinds of traffic under every policy of the controller: legal, complete, no row opened in vain, nobody forgotten."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, at, commands_of, order_kept, read, serve, violations, write
from numpy.typing import NDArray

from lpspec.dram.run.controller import Controller, Refresh
from lpspec.dram.run.simulate import ChannelRun, run_requests
from lpspec.errors import InputError
from lpspec.machine.loading import load_die

Requests = NDArray[np.int64]

PATTERNS = ("random", "mixed", "writes", "few rows", "hot banks", "one address", "slow mixed", "bursts", "stream")
REFRESHES: tuple[Refresh, ...] = ("none", "all-bank", "per-bank")
PAGES: tuple[dict[str, Any], ...] = ({"page": "open"}, {"page": "closed"}, {"page": "timeout", "page_timeout": 64})


def requests(pattern: str, ranks: int, n: int = 600, seed: int = 1) -> Requests:
    """Requests of one kind: int64 [n, 5] of CK, way, bank of the channel, row, column."""
    draw, i = np.random.default_rng(seed), np.arange(n)
    table = np.zeros((n, 5), np.int64)
    if pattern == "stream":
        table[:, 2], table[:, 3], table[:, 4] = i % 4 * 4 + 16 * (i // 64 % ranks), i // 256, i // 4 % 64 * 16
        return table
    rows = {"few rows": 8, "hot banks": 3, "one address": 1}.get(pattern, DIE.organisation.rows.n)
    banks = {"hot banks": 2, "one address": 2}.get(pattern, 16 * ranks)
    columns = 1 if pattern == "one address" else 64
    table[:, 2], table[:, 3] = draw.integers(0, banks, n), draw.integers(0, rows, n)
    table[:, 4] = draw.integers(0, columns, n) * 16
    shares = {"random": 0.0, "hot banks": 0.0, "writes": 1.0, "one address": 0.5}
    table[:, 1] = draw.random(n) < shares.get(pattern, 0.3)
    if pattern == "slow mixed":
        table[:, 0] = np.cumsum(draw.integers(0, 30, n))
    if pattern == "bursts":
        table[:, 0] = np.cumsum((i % 50 == 0) * draw.integers(0, 4000, n))
    return table


def opened_in_vain(run: ChannelRun) -> tuple[int, int]:
    """Rows closed without a read or write since they were opened, by the run's own commands; all, and for no refresh.

    One was closed for a refresh if its bank is refreshed before it is opened again.
    """
    in_vain, for_none = 0, 0
    used: dict[tuple[int, int], bool] = {}  # by bank whose row is open
    waiting: set[tuple[int, int]] = set()  # banks whose rows were closed in vain, and that are not refreshed yet
    for command in commands_of(run):
        name, rank = command["command"], int(command["rank"])
        bank = rank, 4 * int(command["bank_group"]) + int(command["bank"])
        if name == "ACT2":
            used[bank] = False
            for_none += bank in waiting
            waiting.discard(bank)
        elif name in ("RD", "WR"):
            used[bank] = True
        elif name in ("RDA", "WRA"):
            del used[bank]
        elif name in ("PRE", "PREAB"):
            closed = [place for place in used if place == bank or (name == "PREAB" and place[0] == rank)]
            unused = {place for place in closed if not used.pop(place)}
            in_vain += len(unused)
            waiting |= unused
        elif name in ("REFAB", "REFPB"):
            pair = bank, (rank, (bank[1] + 8) % 16)
            waiting -= {place for place in waiting if place in pair or (name == "REFAB" and place[0] == rank)}
    return in_vain, for_none + len(waiting)


@pytest.mark.parametrize("refresh", REFRESHES)
@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_kind_of_traffic_is_served_legally(pattern: str, ranks: int, refresh: Refresh) -> None:
    """Under each page policy, with and without postponed refreshes; a row is opened in vain for refresh only."""
    table = requests(pattern, ranks)
    for policy, postponed in product(PAGES, (0, 7)):
        controller = Controller(ranks=ranks, refresh=refresh, postpone=postponed * (refresh != "none"), **policy)
        run = run_requests(table, DIE, controller, keep_commands=True)
        assert violations(run, DIE, controller) == []
        assert sum(run.command_counts.get(name, 0) for name in ("RD", "WR", "RDA", "WRA")) == len(table)
        assert (run.served_at > table[:, 0]).all()
        assert opened_in_vain(run)[refresh != "none"] == 0


DIES = [
    *map(load_die, ("lpddr5-6400-16gb", "lpddr5x-7500", "lpddr5x-9600", "lpddr5x-10667", "lpddr6-10667-16gb")),
    load_die("lpddr6-10667-16gb", {"memory.mode.burst": "BL48"}),
]


@pytest.mark.parametrize(("refresh", "postpone"), [("none", 0), ("all-bank", 3), ("per-bank", 6)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_die_opens_a_row_in_vain(pattern: str, refresh: Refresh, postpone: int) -> None:
    """81 kinds of traffic and policy on dies and ranks in turn: legal, each request served once and in order."""
    first = PATTERNS.index(pattern) + REFRESHES.index(refresh)
    for i, policy in enumerate(PAGES):
        device, ranks = DIES[(first + 2 * i) % len(DIES)], (1, 2, 4)[(first + i) % 3]
        table = requests(pattern, ranks, 500, 100 + first)
        table[:, 3] %= device.organisation.rows.n
        table[:, 4] = table[:, 4] // 16 % device.organisation.columns * device.organisation.burst_beats
        controller = Controller(ranks=ranks, refresh=refresh, postpone=postpone, **policy)
        run = run_requests(table, device, controller, keep_commands=True)
        assert violations(run, device, controller) == []
        order_kept(table, run)
        assert opened_in_vain(run)[refresh != "none"] == 0


@pytest.mark.parametrize("seed", range(16))
def test_turns_between_reads_and_writes_waste_no_row(seed: int) -> None:
    """Random 70/30 on one rank: 8,192 requests took 44,700 CK when rows were thrown away at turns.

    An activation each nRRD 4, and the last write's WR 1 + nRCD 15 behind its ACT-1, would be 32,791 CK.
    """
    table = requests("mixed", 1, 8192, seed)
    run = run_requests(table, DIE, Controller(refresh="none"), keep_commands=True)
    assert opened_in_vain(run) == (0, 0)
    assert run.command_counts["ACT2"] <= len(table)
    assert 4 * (len(table) - 1) + 1 + 15 + 9 + 2 <= run.total_ck <= 41_000


KINDS = {
    "50/50": (0.5, 1, 32_768, 44_000),
    "90/10": (0.1, 1, 32_768, 37_800),
    "8 rows a bank": (0.3, 1, 8, 33_000),
    "2 rows a bank": (0.3, 1, 2, 21_500),
    "4 ranks": (0.3, 4, 32_768, 33_000),
}
"""Share of writes, ranks, rows of a bank, and the most CK for 8,192 requests, all there from the start."""


@pytest.mark.parametrize("kind", KINDS)
def test_other_mixtures_of_reads_and_writes_take_no_longer_than_they_did(kind: str) -> None:
    share, ranks, rows, most_ck = KINDS[kind]
    draw, n = np.random.default_rng(77), 8192
    places = [draw.integers(0, 16 * ranks, n), draw.integers(0, rows, n), draw.integers(0, 64, n) * 16]
    table = np.stack([np.zeros(n), draw.random(n) < share, *places], 1).astype(np.int64)
    run = run_requests(table, DIE, Controller(ranks=ranks, refresh="none"))
    assert run.total_ck <= most_ck


# The age cap


@pytest.mark.parametrize("place", [0, 10, 31])
@pytest.mark.parametrize("make", [read, write])
def test_a_lone_request_under_hits_is_served_within_the_age_cap(place: int, make: Any) -> None:
    """4,000 reads of one row, and one request to another row of the bank."""
    hits = [read(0, column=k % 64 * 16) for k in range(4000)]
    for cap in (512, 2048):
        run = serve(*hits[:place], make(0, row=5), *hits[place:], age_cap=cap)
        assert run.served_at[place] <= cap
    last = serve(*hits[1:32], make(0, row=5), *hits[32:], age_cap=0)
    assert last.served_at[31] == last.served_at.max(), "without a cap it is served last"


def test_the_oldest_of_several_overdue_requests_goes_first() -> None:
    hits = [read(0, column=k % 64 * 16) for k in range(2000)]
    run = serve(hits[0], read(0, row=5), read(0, row=6), *hits[1:], age_cap=512)
    assert run.served_at[1] < run.served_at[2] < run.served_at.max()


# Rows without requests


def test_a_row_without_requests_closes_when_its_time_is_over() -> None:
    """PRE so long after the last command to the row, unless a request comes before."""
    for timeout in (60, 200):
        run = serve(read(0), read(1000, row=1), page="timeout", page_timeout=timeout)
        assert at(run, "PRE") == [at(run, "RD")[0] + timeout]
    kept = serve(read(0), read(150, column=16), page="timeout", page_timeout=200)
    assert at(kept, "PRE") == []
    assert kept.row_hits == 1
    assert at(serve(read(0), page="timeout", page_timeout=1), "PRE") == []


def test_a_row_that_may_stay_open_for_long_does() -> None:
    """Beyond the score's span of CK a bank that only waits to be closed went before all others, for ever."""
    gaps = [(2306, 1), (7375, 1), (9624, 2), (24242, 1), (28697, 2)]
    requests = [read(ck, row=row, column=16 * k) for k, (ck, row) in enumerate(gaps)]
    late = serve(*requests, page="timeout", page_timeout=2**20)
    assert late.served_at.tolist() == serve(*requests, page="open").served_at.tolist()
    with pytest.raises(InputError, match="page_timeout is 1048577: allowed is 1 to 1048576"):
        Controller(page="timeout", page_timeout=2**20 + 1)


def test_a_timeout_of_another_policy_is_refused() -> None:
    with pytest.raises(InputError, match="page_timeout counts under page = timeout only: page is open"):
        Controller(page_timeout=10)


# WCK


def test_no_cas_goes_while_wck_runs() -> None:
    """A read that comes as WCK is about to stop waits until it has: its CAS starts WCK anew."""
    for gap in range(15, 60):
        run = serve(read(0), read(at_ck := 40 + gap, column=16))
        _, *later = at(run, "CAS")
        stops = at(run, "RD")[0] + 17 + 2 + 1
        assert all(ck > stops for ck in later), (gap, at_ck)
