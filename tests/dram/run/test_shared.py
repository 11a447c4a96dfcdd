"""Work that shares its channel: without others nothing changes, all commands stay legal, all are served, by hand."""

from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram.check.checker import check_commands
from lpspec.dram.check.table import command_table as checkable
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.address_mapping import address_mapping
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM, Session
from lpspec.dram.run.shared import OverloadError, SharedSession
from lpspec.dram.run.simulate import run_requests
from lpspec.dram.run.traffic import Traffic
from lpspec.errors import InputError

IntArray = NDArray[np.int64]
NOBODY = np.empty((0, 5), np.int64)
CHANNEL = PimChannel(DIE, (0, 1, 2), 3, 4)
PROGRAM = compile_gemm(place_weights(CHANNEL, 256, 768, split="never"), 4).lines
READS = ReadStream(3, 300).requests(DIE)
ONE_RANK = address_mapping("ro-ba-co-bg", DIE, 1, 1)
LONGEST_CK = 400_000


def arrivals(gb_per_s: float, pattern: Any = "random", until_ck: int = LONGEST_CK) -> IntArray:
    return np.concatenate([NOBODY, *Traffic(gb_per_s, pattern).requests(DIE, 4, 3, until_ck, ONE_RANK)])


@pytest.mark.parametrize("fairness", ["pim-first", "npu-first", "round-robin"])
def test_without_others_work_takes_its_time(fairness: Any) -> None:
    controller = Controller(ranks=4, fairness=fairness)
    plain, shared = Session(DIE, controller), SharedSession(DIE, controller, [])
    for program, requests in ((PROGRAM, READS), (NO_PROGRAM, READS), (PROGRAM, NOBODY)) * 3:
        plain.run(program, requests)
        shared.work(program, requests)
        assert shared.now_ck == pytest.approx(plain.now_ck, abs=9)  # a CK a piece
        shared.now_ck = plain.now_ck
    assert shared.mean_of(1).command_counts == plain.mean_of(1).command_counts


def test_others_come_when_they_say_after_other_work() -> None:
    """Requests of ``run`` count from its start, those of others from CK 0."""
    session = SharedSession(DIE, Controller(ranks=4, refresh="none"), [np.array([[5000, 0, 48, 7, 0]])])
    session.now_ck = 1000
    session.run(NO_PROGRAM, READS[:20])
    session.idle_until(6000)
    assert session.now_ck == 6000
    assert session.latencies.summary_ck()["max"] == pytest.approx(50, abs=40)


def test_others_alone_wait_as_in_a_run_of_requests() -> None:
    others = arrivals(5)
    session = SharedSession(DIE, Controller(ranks=4), [others])
    session.idle_until(LONGEST_CK)
    run = run_requests(others, DIE, Controller(ranks=4))
    waited = (run.served_at - others[:, 0])[others[:, 1] == 0]
    found = session.latencies.summary_ck()
    assert (session.served, found["max"]) == (len(others), waited.max())
    assert found["mean"] == pytest.approx(waited.mean())


@settings(max_examples=15)
@given(
    rate=st.sampled_from([0.5, 3.0, 12.0, 40.0]),
    pattern=st.sampled_from(["stream", "random"]),
    refresh=st.sampled_from(["none", "all-bank", "per-bank"]),
    fairness=st.sampled_from(["pim-first", "npu-first", "round-robin"]),
    pieces=st.lists(st.sampled_from(["product", "beside reads", "reads", "pause"]), min_size=1, max_size=5),
)
def test_every_command_is_legal_and_everybody_is_served(
    rate: float, pattern: Any, refresh: Any, fairness: Any, pieces: list[str]
) -> None:
    others = arrivals(rate, pattern, 60_000)
    session = SharedSession(DIE, Controller(ranks=4, refresh=refresh, fairness=fairness), [others])
    logs: list[IntArray] = []
    for piece in pieces:
        if piece == "pause":
            session.now_ck += 700  # the memory idle, nobody looked at
            continue
        program = NO_PROGRAM if piece == "reads" else PROGRAM
        begin_ck, bursts = session.now_ck, 0 if piece == "product" else len(READS)
        end_ck = session.work(program, READS[:bursts], lambda log: logs.append(log.copy()))
        assert begin_ck < end_ck <= session.now_ck
        counts = session.mean_of(1).command_counts
        came = int(np.searchsorted(others[:, 0], begin_ck))
        assert rate > 12 or session.served >= came - 64  # those that wait at the door of full queues
        assert sum(counts.get(name, 0) for name in ("RD", "RDA", "WR", "WRA")) >= session.served
    if not logs:
        return
    table = command_table(np.concatenate(logs))
    assert len(table) == sum(session.mean_of(1).command_counts.values())
    fields: Any = [table[name] for name in table.dtype.names or ()]
    stream = checkable(*fields)
    options = check_options(DIE, 4, (0, 1, 2), refresh=refresh)
    report = check_commands(stream, options)
    assert [str(found) for found in report.violations] == []


def test_a_line_that_comes_while_pim_computes_is_served_at_once() -> None:
    """By hand: ACT-1 and ACT-2 at the CK it comes and the next, nRCD 15, RL 17, data 2; command slots may be taken."""
    line = np.array([[500, 0, 48, 7, 0]])
    session = SharedSession(DIE, Controller(ranks=4, refresh="none", fairness="npu-first"), [line])
    session.work(PROGRAM, NOBODY)
    assert session.latencies.summary_ck()["max"] == pytest.approx(1 + 15 + 17 + 2, abs=4)


def test_more_others_slow_work_down_more_and_nobody_is_lost() -> None:
    ends = []
    for rate in (0.0, 5.0, 20.0):
        session = SharedSession(DIE, Controller(ranks=4, fairness="npu-first"), [arrivals(rate)])
        for _ in range(3):
            session.work(PROGRAM, READS)
        ends.append(session.now_ck)
    assert ends == sorted(ends)
    assert ends[2] > 1.1 * ends[0]


@pytest.mark.parametrize("pattern", ["stream", "random"])
def test_lines_come_at_their_rate_and_in_order(pattern: Any) -> None:
    requests = arrivals(8, pattern, 4_000_000)
    assert len(requests) * 32 * 4 / (4_000_000 * 1.25) == pytest.approx(8, rel=0.02)
    assert (np.diff(requests[:, 0]) >= 0).all()
    assert set((requests[:, 2] // 16).tolist()) == {3}
    assert requests[:, 1].mean() == pytest.approx(0.33, abs=0.01)
    pairs = requests.reshape(-1, 2, 5)  # the two bursts of a line: same row, columns side by side
    assert (pairs[:, 0, [0, 1, 2, 3]] == pairs[:, 1, [0, 1, 2, 3]]).all()
    assert (pairs[:, 1, 4] - pairs[:, 0, 4] == 16).all()
    rows = len(np.unique(requests[:, 3]))
    assert rows > 20_000 if pattern == "random" else rows < 400


def test_lines_are_drawn_some_at_a_time_and_come_as_if_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 1,000 GB/s a second of them took all of a machine's memory, and the process was killed."""
    monkeypatch.setattr("lpspec.dram.run.traffic.LINES_AT_ONCE", 1000)
    parts = list(Traffic(8, "stream").requests(DIE, 4, 3, 2_000_000, ONE_RANK))
    assert len(parts) > 50
    assert max(map(len, parts)) <= 2 * 1000
    together = np.concatenate(parts)
    assert (np.diff(together[:, 0]) >= 0).all()
    assert together[-1, 0] < 2_000_000
    assert len(together) * 32 * 4 / (2_000_000 * 1.25) == pytest.approx(8, rel=0.02)
    assert len(np.unique(together[:, 2:], axis=0)) == len(together)  # no place twice
    assert len(np.unique(together[:, 3])) < 400  # and one after the other


def test_a_session_takes_others_in_parts() -> None:
    others = arrivals(8)
    found = []
    for parts in ([others], np.array_split(others, 17)):
        session = SharedSession(DIE, Controller(ranks=4), parts)
        session.work(PROGRAM, READS)
        session.idle_until(LONGEST_CK)
        found.append((session.served, session.now_ck, session.latencies.summary_ck()))
    assert found[0] == found[1]
    assert found[0][0] == len(others)


def test_work_that_others_never_let_end_is_overloaded() -> None:
    session = SharedSession(DIE, Controller(ranks=4), Traffic(50, "random").requests(DIE, 4, 3, 10**9, ONE_RANK))
    with pytest.raises(OverloadError):
        session.work(NO_PROGRAM, READS)


@pytest.mark.parametrize(
    "wrong",
    [{"gb_per_s": -1}, {"gb_per_s": 1e4}, {"gb_per_s": 1, "pattern": "zigzag"}, {"gb_per_s": 1, "write_share": 2}],
)
def test_what_no_cpu_asks_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed is|known are"):
        Traffic(**wrong)
