"""Commands of LPDDR6 at 10,667 MT/s against CK worked out on paper from lpddr_newer.md, and legal to the checker.

RL 56, WL 26, BL/n 6 and 12, nRCDr 48, nRCDw 22, nRPpb 107, nRAS 54, nWTP 32, nRTP 14, WCK postamble 3; a command takes
2 CK, begins on an even one, and every gap is even. No refresh unless said.
"""

from typing import Any

import numpy as np
import pytest
from engine_help import at, commands_of, serve, spelt, streaming, violations
from engine_help import read as rd
from engine_help import write as wr

from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import ChannelRun, Request, run_requests
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die

DIE = load_die("lpddr6-10667-16gb")


def run(*requests: Request, device: DieSpec = DIE, **policies: Any) -> ChannelRun:
    """Serve requests, whose commands must be legal."""
    done = serve(*requests, device=device, **policies)
    assert violations(done, device, Controller(**{"refresh": "none", **policies})) == []
    return done


def die_of(**changes: str) -> DieSpec:
    return load_die("lpddr6-10667-16gb", {f"memory.{key.replace('__', '.')}": value for key, value in changes.items()})


def test_one_cold_read() -> None:
    # ACT-1 0, ACT-2 2, RD 2 + nRCDr 48 = 50, data 50 + RL 56 .. + 6 = 112. CAS comes before, in a free slot.
    done = run(rd(0))
    assert [c for c in spelt(done) if c[1] != "CAS"] == [(0, "ACT1"), (2, "ACT2"), (50, "RD")]
    assert at(done, "CAS")[0] <= 48
    assert done.total_ck == 112


def test_one_cold_write() -> None:
    # WR 2 + nRCDw 22 = 24, data 24 + WL 26 .. + 6 = 56
    done = run(wr(0))
    assert at(done, "WR") == [24]
    assert done.total_ck == 56


def test_rows_may_count_from_act_1() -> None:
    device = die_of(mode__rows_from="ACT-1")
    assert at(run(rd(0), device=device), "RD") == [48]
    assert at(run(wr(0), device=device), "WR") == [22]


def test_a_request_that_comes_at_an_odd_ck_waits_for_an_even_one() -> None:
    assert [c for c in spelt(run(rd(7))) if c[1] != "CAS"] == [(8, "ACT1"), (10, "ACT2"), (58, "RD")]


def test_hits_of_one_bank_follow_each_other_by_the_gap_of_their_group() -> None:
    # RD 50, 60, 70: 10 CK, of which a burst fills 6
    assert at(run(rd(0), rd(0, column=16), rd(0, column=32)), "RD") == [50, 60, 70]


def test_row_conflict_between_reads() -> None:
    # RD 50; PRE 50 + nRTP 14 = 64 (nRAS 2 + 54 = 56 is earlier); ACT-1 64 + 107 = 171, even 172 (nRC: 2 + 169 = 171);
    # RD 174 + 48 = 222. WCK stopped at 50 + 56 + 6 + 3 = 115, so a second CAS comes.
    done = run(rd(0, row=5), rd(51, row=6))
    assert [c for c in spelt(done) if c[1] in ("RD", "PRE", "ACT1")] == [
        *((0, "ACT1"), (50, "RD"), (64, "PRE")),
        *((172, "ACT1"), (222, "RD")),
    ]
    assert len(at(done, "CAS")) == 2


def test_row_conflict_after_a_write() -> None:
    # WR 24; PRE 24 + 26 + 12 + 32 = 94; ACT-1 94 + 107 = 201, even 202; WR 204 + 22 = 226
    done = run(wr(0, row=5), wr(51, row=6))
    assert [c for c in spelt(done) if c[1] in ("PRE", "ACT1", "WR")] == [
        *((0, "ACT1"), (24, "WR"), (94, "PRE")),
        *((202, "ACT1"), (226, "WR")),
    ]


def test_two_banks_open_nrrd_apart() -> None:
    done = run(rd(0, bank_group=0), rd(0, bank_group=1))
    assert (at(done, "ACT1"), at(done, "RD")) == ([0, 10], [50, 60])


OPEN_BOTH = [rd(0, bank_group=0), rd(0, bank_group=1)]


@pytest.mark.parametrize(("group", "latency"), [(0, 48), (1, 42)])
def test_read_to_write(group: int, latency: int) -> None:
    # RL 56 + BL/n + tWCK2DQO 5 + 1 - ODTLon 27 = 47 or 41, even
    done = run(*OPEN_BOTH, rd(300, column=16), wr(301, bank_group=group, column=32))
    assert at(done, "WR")[0] - at(done, "RD")[2] == latency


@pytest.mark.parametrize(("group", "latency"), [(0, 70), (1, 50)])
def test_write_to_read_with_a_new_wck(group: int, latency: int) -> None:
    # WL 26 + BL/n + nWTR = 70 or 49, even; WCK stops 26 + 6 + 3 = 35 behind the write, and a CAS comes from 36 on
    done = run(*OPEN_BOTH, wr(300, column=16), rd(310, bank_group=group, column=32))
    write, read = at(done, "WR")[0], at(done, "RD")[2]
    assert read - write == latency
    assert any(write + 36 <= ck <= read - 2 for ck in at(done, "CAS"))


def test_a_new_wck_waits_until_the_old_one_has_stopped() -> None:
    # With a postamble of 61 WCK runs 26 + 6 + 61 = 93 behind the write: CAS at 94, the read at 96, not at 50.
    done = run(*OPEN_BOTH, wr(300, column=16), rd(310, bank_group=1, column=32), device=die_of(timing__nWCKPST="61"))
    write = at(done, "WR")[0]
    assert [ck - write for ck in at(done, "CAS") if ck > write] == [94]
    assert at(done, "RD")[2] - write == 96


@pytest.mark.parametrize("postamble", [1, 2, 3])
def test_wck_runs_on_for_its_postamble(postamble: int) -> None:
    # A read at 50 keeps WCK running to 50 + 62 + postamble: one that comes within it needs no CAS.
    device, last = die_of(timing__nWCKPST=str(postamble)), 50 + 62 + postamble
    within, beyond = last // 2 * 2, last // 2 * 2 + 2
    assert len(at(run(rd(0), rd(within, column=16), device=device), "CAS")) == 1
    late = run(rd(0), rd(beyond, column=16), device=device)
    first_ck = last + 1 + (last + 1) % 2
    assert (at(late, "CAS")[1], at(late, "RD")[1]) == (first_ck, first_ck + 2)


def test_efficiency_mode() -> None:
    # RL 62 of set 1: read to write 62 + 6 + 5 + 1 - 27 = 47, even; write to read 26 + 6 + 8.25 ns (22) = 54
    device = die_of(mode__efficiency="on")
    to_write = run(*OPEN_BOTH, rd(300, column=16), wr(301, bank_group=1, column=32), device=device)
    assert at(to_write, "WR")[0] - at(to_write, "RD")[2] == 48
    to_read = run(*OPEN_BOTH, wr(300, column=16), rd(310, bank_group=1, column=32), device=device)
    assert at(to_read, "RD")[2] - at(to_read, "WR")[0] == 54


def test_bursts_of_two_ranks_leave_a_gap() -> None:
    ranks = [rd(0), rd(0, rank=1)]
    done = run(*ranks, rd(300, column=16), rd(300, column=16, rank=1), ranks=2)
    assert np.diff(at(done, "RD")[2:]).tolist() == [8]


def test_one_group_alone_gives_six_tenths_of_the_peak() -> None:
    requests = streaming(3000)
    requests[:, 2] = 0
    requests[:, 3:] = 0
    requests[:, 4] = np.arange(3000) % 64 * 16
    done = run_requests(requests, DIE, Controller(refresh="none"))
    assert done.avg_gb_per_s / DIE.peak_gb_per_s == pytest.approx(0.6, abs=0.005)


def test_streams_give_what_the_rules_allow() -> None:
    """14.19 GB/s of 14.22 a sub-channel without refresh; 12.66 with it (lpddr_newer.md).

    Once per nREFI of 10,416 CK the stream stops for nRTP 14 + nRPab 116 + nRFCab 1,014 + ACT-2 2 + nRCD 48, less
    a burst of 6: 12.60. Refreshes that are postponed and done together share all but nRFCab: eight leave
    12.81.
    """
    assert DIE.peak_gb_per_s == pytest.approx(14.222, abs=0.001)
    free = run_requests(streaming(20_000), DIE, Controller(refresh="none"), keep_commands=True)
    assert free.avg_gb_per_s >= 14.19
    assert violations(free, DIE, Controller(refresh="none")) == []
    assert run_requests(streaming(100_000), DIE, Controller()).avg_gb_per_s == pytest.approx(12.60, rel=0.002)
    assert run_requests(streaming(100_000), DIE, Controller(postpone=7)).avg_gb_per_s >= 12.66


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
@pytest.mark.parametrize("mbps", [3200, 6400, 7500, 8533, 9600, 10667, 12800])
def test_every_command_begins_on_an_even_ck(mbps: int, refresh: Any) -> None:
    rng = np.random.default_rng(mbps)
    n = 1500
    places = [rng.integers(0, 32, n), rng.integers(0, 8, n), rng.integers(0, 64, n) * 16]
    requests = np.stack([np.cumsum(rng.integers(0, 30, n)), rng.random(n) < 0.3, *places], 1).astype(np.int64)
    device, controller = die_of(data_rate=f"{mbps} Mbps"), Controller(ranks=2, refresh=refresh)
    done = run_requests(requests, device, controller, keep_commands=True)
    assert violations(done, device, controller) == []
    assert set(commands_of(done)["ck"] % 2) == {0}
