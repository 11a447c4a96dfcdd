"""LPDDR6 with BL48, against CK worked out on paper from lpddr_newer.md, and legal to the checker.

At 10,667 MT/s a BL48 lies on the pins for 6 CK, leaves 6, and lies there for 6 more: BL/n 18 and 24. Another one of its
direction and rank may begin in that gap, 6 CK behind; if none does, 18 CK behind. Those of one group keep 22 CK, of two
ranks 18 + 2. RL 56, WL 26, nRCDr 48, nRTP 26, nWTP 32, nWTR 17 and 32, WCK postamble 3. Up to 6,400 MT/s its 12 CK
follow each other.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from engine_help import at, commands_of, serve, streaming, violations
from engine_help import read as rd
from engine_help import write as wr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.devices.memory_timing import timing_of
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.simulate import ChannelRun, Request, run_requests
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.experiments.systems import check_changes, platform_of
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die, load_platform
from lpspec.scenario.scenario import DEFAULT

LONG = {"memory.mode.burst": "BL48"}
DIE = load_die("lpddr6-10667-16gb", LONG)
RATES = (3200, 6400, 7500, 8533, 9600, 10667, 12800)


def run(*requests: Request, device: DieSpec = DIE, **policies: Any) -> ChannelRun:
    """Serve requests, whose commands must be legal."""
    done = serve(*requests, device=device, **policies)
    assert violations(done, device, Controller(**{"refresh": "none", **policies})) == []
    return done


def at_rate(mbps: int) -> DieSpec:
    return load_die("lpddr6-10667-16gb", {**LONG, "memory.data_rate": f"{mbps} Mbps"})


def on_pins(done: ChannelRun, device: DieSpec) -> Counter[int]:
    """How many bursts lie on the pins in each CK, by two segments of 6 CK written down here."""
    t = device.timing
    apart = 12 if device.data_rate.mbps > 6400 else 6
    held: Counter[int] = Counter()
    for row in commands_of(done):
        if row["command"] in ("RD", "RDA", "WR", "WRA"):
            begin = int(row["ck"]) + (t.nCL.n if row["command"].startswith("R") else t.nCWL.n)
            held.update(begin + segment + ck for segment in (0, apart) for ck in range(6))
    return held


OPEN = [rd(0, bank_group=group) for group in range(4)]


def apart(*requests: Request, kind: str = "RD", **policies: Any) -> list[int]:
    """CK between the commands that serve requests to rows that are open."""
    done = run(*OPEN, *requests, **policies)
    return np.diff(at(done, kind)[(len(OPEN) if kind == "RD" else 0) :]).tolist()


def test_one_cold_read() -> None:
    # ACT-1 0, ACT-2 2, RD 2 + 48 = 50, data 50 + 56 .. + 18 = 124: 64 B of data
    done = run(rd(0))
    assert at(done, "RD") == [50]
    assert done.total_ck == 124
    assert done.avg_gb_per_s * 124 * 0.375 == pytest.approx(64)
    assert done.activity.io_bits == done.activity.column_bits == 512


@pytest.mark.parametrize("kind", ["RD", "WR"])
def test_groups_take_turns_in_each_others_gaps(kind: str) -> None:
    access = rd if kind == "RD" else wr
    four = [access(600, bank_group=group, column=32) for group in range(4)]
    assert apart(*four, kind=kind) == [6, 18, 6]


@pytest.mark.parametrize("kind", ["RD", "WR"])
def test_one_group_alone_keeps_22_ck(kind: str) -> None:
    access = rd if kind == "RD" else wr
    assert apart(*(access(600, column=32 * n) for n in (1, 2, 3)), kind=kind) == [22, 22]


@pytest.mark.parametrize(("later", "ck"), [(2, 6), (5, 6), (6, 6), (7, 18), (8, 18), (17, 18), (19, 20)])
def test_who_comes_too_late_for_the_gap_waits_for_the_end(later: int, ck: int) -> None:
    first_ck = 602  # behind its CAS
    assert apart(rd(600, column=32), rd(first_ck + later, bank_group=1, column=32)) == [ck]


def test_a_filled_gap_leaves_none() -> None:
    """Three groups at once: 0, 6, and behind the second one's last segment at 6 + 18."""
    assert apart(*(rd(600, bank_group=group, column=32) for group in range(3))) == [6, 18]


@pytest.mark.parametrize(("group", "ck"), [(0, 60), (1, 54)])
def test_read_to_write(group: int, ck: int) -> None:
    # RL 56 + BL/n + tWCK2DQO 5 + 1 - ODTLon 27 = 59 or 53, even
    done = run(*OPEN, rd(600, column=32), wr(601, bank_group=group, column=64))
    assert at(done, "WR")[0] - at(done, "RD")[4] == ck


@pytest.mark.parametrize(("group", "ck"), [(0, 82), (1, 62)])
def test_write_to_read(group: int, ck: int) -> None:
    # WL 26 + BL/n + nWTR = 26 + 24 + 32 or 26 + 18 + 17 = 61, even
    done = run(*OPEN, wr(600, column=32), rd(610, bank_group=group, column=64))
    assert at(done, "RD")[4] - at(done, "WR")[0] == ck


def test_a_row_closes_behind_a_read_and_a_write() -> None:
    # nRTP 26; WL 26 + BL/n_max 24 + nWTP 32
    read, write = run(rd(0, row=5), rd(60, row=6)), run(wr(0, row=5), wr(60, row=6))
    assert at(read, "PRE")[0] - at(read, "RD")[0] == 26
    assert at(write, "PRE")[0] - at(write, "WR")[0] == 82


def test_ranks_take_no_turns_in_a_gap() -> None:
    done = run(rd(0), rd(0, rank=1), rd(600, column=32), rd(600, column=32, rank=1), ranks=2)
    assert np.diff(at(done, "RD")[2:]).tolist() == [20]


def test_wck_runs_to_the_end_of_the_second_segment() -> None:
    # 50 + 56 + 18 + 3 = 127: a read at 126 needs no CAS, one at 128 does
    assert len(at(run(rd(0), rd(126, column=32)), "CAS")) == 1
    assert len(at(run(rd(0), rd(128, column=32)), "CAS")) == 2


def test_up_to_6400_a_burst_is_one_piece() -> None:
    done = run(*OPEN, *(rd(600, bank_group=group, column=32) for group in range(3)), device=at_rate(6400))
    assert np.diff(at(done, "RD")[4:]).tolist() == [12, 12]


@pytest.mark.parametrize("mbps", RATES)
@pytest.mark.parametrize("way", [0, 1])
def test_streams_give_eight_ninths_of_the_pins(mbps: int, way: int) -> None:
    """Twelve pins, 512 of 576 bits are data; without refresh nothing but the begin is lost."""
    device, requests = at_rate(mbps), ReadStream(0, 20_000).requests(at_rate(mbps))
    requests[:, 1] = way
    done = run_requests(requests, device, Controller(refresh="none"), keep_commands=True)
    exact = {8533: 25600 / 3, 10667: 32000 / 3}.get(mbps, mbps)
    assert 0.999 < done.avg_gb_per_s / (12 * exact / 8e3 * 8 / 9) < 1
    assert violations(done, device, Controller(refresh="none")) == []
    assert max(on_pins(done, device).values()) == 1


def test_one_group_alone_gives_six_elevenths() -> None:
    """A burst holds the pins for 12 of the 22 CK between two of one group."""
    requests = streaming(3000)
    requests[:, 2:] = 0
    requests[:, 4] = np.arange(3000) % 32 * 32
    done = run_requests(requests, DIE, Controller(refresh="none"))
    assert done.avg_gb_per_s / DIE.peak_gb_per_s == pytest.approx(6 / 11, abs=0.003)


def drawn(seed: int, n: int, ranks: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    gap, rows = (1, 2, 30, 200)[seed % 4], (1, 2, 8, 1000)[seed // 4 % 4]
    places = [rng.integers(0, ranks * 16, n), rng.integers(0, rows, n), rng.integers(0, 32, n) * 32]
    is_write = rng.random(n) < (0, 0.3, 0.5, 1)[seed // 16 % 4]
    return np.stack([np.cumsum(rng.integers(0, gap, n)), is_write, *places], 1).astype(np.int64)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1 << 16),
    st.sampled_from(RATES),
    st.integers(1, 4),
    st.sampled_from(["none", "all-bank", "per-bank"]),
    st.sampled_from(["open", "closed", "timeout"]),
)
def test_whatever_is_asked_for_is_served_once_and_legally(
    seed: int, mbps: int, ranks: int, refresh: Any, page: Any
) -> None:
    device, controller, requests = at_rate(mbps), Controller(ranks, refresh, page=page), drawn(seed, 300, ranks)
    done = run_requests(requests, device, controller, keep_commands=True)
    assert violations(done, device, controller) == []
    assert max(on_pins(done, device).values()) == 1
    asked = Counter((row[1], *row[2:]) for row in requests.tolist())
    table = commands_of(done)
    served: Counter[Any] = Counter()
    open_row: dict[int, int] = {}
    for row in table:
        place = int(row["rank"]) * 16 + int(row["bank_group"]) * 4 + int(row["bank"])
        if row["command"] == "ACT1":
            open_row[place] = int(row["row"])
        elif row["command"] in ("RD", "RDA", "WR", "WRA"):
            served[int(row["command"].startswith("W")), place, open_row[place], int(row["column"])] += 1
    assert served == asked


def test_levels_agree_on_what_an_npu_reads() -> None:
    platform = load_platform("mobile-npu", {"memory.die": "lpddr6-10667-16gb", **LONG})
    assert platform.memory is not None
    read_bytes = 64 << 20
    closed_ns = read_bytes / timing_of(platform.memory).bus_gb_per_s
    assert float(PackageCommands(platform).reads(read_bytes).latency_ns) == pytest.approx(closed_ns, rel=0.003)


def test_a_burst_may_be_set_together_with_the_die_that_has_it() -> None:
    """Of a system whose own die, of LPDDR5, has no mode; levels agree on its steps."""
    changes = {"memory.die": "lpddr6-10667-16gb", **LONG}
    check_changes(["npu"], changes)
    assert platform_of("npu", changes).die.organisation.burst_bytes.n == 64
    closed, commands = (
        compare(DEFAULT.replace(model="tinyllama", systems=("npu",), new_tokens=4, fidelity=fidelity, changes=changes))
        for fidelity in ("analytic", "command")
    )
    (one,), (other,) = closed.runs, commands.runs
    assert other.tokens_per_s == pytest.approx(one.tokens_per_s, rel=0.005)


@pytest.mark.parametrize(("column", "highest"), [(16, 992), (1008, 992), (1024, 992)])
def test_a_column_that_begins_inside_a_burst_is_refused(column: int, highest: int) -> None:
    with pytest.raises(InputError, match=rf"column is {column}: allowed (is 0 to {highest}|are multiples of 32)"):
        run_requests([rd(0, column=column)], DIE, Controller(refresh="none"))


def test_pim_takes_no_long_bursts() -> None:
    with pytest.raises(InputError, match=r"memory.mode.burst BL48 is for packages without PIM"):
        load_platform("lp-spec-lpddr6", LONG)
    with pytest.raises(InputError, match=r"32 \(BL48\) where there are no PIM ranks"):
        check_options(DIE, 4, (0, 1, 2))
