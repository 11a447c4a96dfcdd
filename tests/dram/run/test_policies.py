"""Kinds of traffic under every policy of the controller: legal, complete, no row opened in vain, nobody forgotten."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, at, commands_of, read, serve, violations, write
from numpy.typing import NDArray

from lpspec.dram.run.controller import Controller, Refresh
from lpspec.dram.run.simulate import ChannelRun, run_requests
from lpspec.errors import InputError

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


def unused_activations(run: ChannelRun) -> int:
    """Rows that were closed without a read or write since they were opened, by the run's own commands."""
    unused, used = 0, {}
    for command in commands_of(run):
        name = command["command"]
        bank = (int(command["rank"]), int(command["bank_group"]), int(command["bank"]))
        if name == "ACT2":
            used[bank] = False
        elif name in ("RD", "WR", "RDA", "WRA"):
            used[bank] = True
        elif name == "PRE":
            unused += not used[bank]
        elif name == "PREAB":
            unused += sum(not at_all for place, at_all in used.items() if place[0] == bank[0])
        if name in ("PRE", "PREAB", "RDA", "WRA"):
            used = {
                place: at_all
                for place, at_all in used.items()
                if place != bank and (name != "PREAB" or place[0] != bank[0])
            }
    return unused


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
        if refresh == "none":
            assert unused_activations(run) == 0


def test_turns_between_reads_and_writes_waste_no_row() -> None:
    """Random 70/30 on one rank: 8,192 requests took 45,517 CK when rows were thrown away at turns."""
    table = requests("mixed", 1, 8192)
    run = run_requests(table, DIE, Controller(refresh="none"), keep_commands=True)
    assert unused_activations(run) == 0
    assert run.command_counts["ACT2"] <= len(table)
    assert run.total_ck <= 42_750


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
