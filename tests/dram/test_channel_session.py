"""A channel that lives on: both engines give the same, segment by segment, and the fast one does jump beside reads."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from drawn_programs import commands_in, programs
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram import windows
from lpspec.dram.channel_session import ChannelSession, SegmentRun
from lpspec.dram.controller import Controller
from lpspec.dram.device import DeviceSpec
from lpspec.dram.fast import forget, run_fast
from lpspec.dram.gemm import compile_gemm
from lpspec.dram.layout import PimChannel, place_weights
from lpspec.dram.program import ProgramBuilder
from lpspec.dram.read_stream import ReadStream
from lpspec.dram.simulate import run_channel
from lpspec.errors import InputError
from lpspec.machine.loading import load_profile

SHARED = Controller(ranks=4)
NOTHING = np.empty((0, 17), np.int64)
Program = NDArray[np.int64]
Segment = tuple[Program, ReadStream, int]  # what runs, what is read beside it, CK after the end of the one before


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    forget()


def run_session(segments: list[Segment], device: DeviceSpec, controller: Controller, engine: Any) -> list[SegmentRun]:
    session = ChannelSession(device, controller, engine)
    return [session.run(program, reads, session.end_ck + gap) for program, reads, gap in segments]


def drop_segments() -> None:
    """Keep what is known of windows, and nothing of whole segments."""
    for known in windows.known():
        known.segments.clear()


def both(segments: list[Segment], device: DeviceSpec = DIE, controller: Controller = SHARED) -> list[SegmentRun]:
    """Run on both engines, the fast one three times: nothing known, windows known, segments known."""
    try:
        exact = run_session(segments, device, controller, "exact")
    except InputError as refused:
        with pytest.raises(InputError, match=str(refused).split(" (CK", maxsplit=1)[0]):
            run_session(segments, device, controller, "fast")
        return []
    for _ in range(2):
        drop_segments()
        fast = run_session(segments, device, controller, "fast")
        assert fast == exact
    assert run_session(segments, device, controller, "fast") == exact
    return fast


def jumped(runs: list[SegmentRun]) -> float:
    """Share of the commands that were added in jumps."""
    return sum(run.jumped for run in runs) / sum(sum(run.command_counts.values()) for run in runs)


def product(k: int = 2048, n: int = 768, row: int = 0) -> Program:
    return compile_gemm(place_weights(PimChannel(DIE, (0, 1, 2), 3, 4), k, n, row), 4).lines


READS = st.builds(
    ReadStream,
    rank=st.sampled_from([3, 3, 3, 0]),
    bursts=st.sampled_from([0, 1, 31, 33, 200, 257, 1024, 2500, 5000]),
    row=st.sampled_from([0, 0, 1, 100]),
    at=st.sampled_from([0, 0, 0, 50, 3000]),
)
POLICIES = st.builds(
    Controller,
    ranks=st.just(4),
    refresh=st.sampled_from(["all-bank", "all-bank", "all-bank", "per-bank", "none"]),
    postpone=st.sampled_from([0, 0, 2, 8]),
    wck=st.sampled_from(["on-demand", "always-on"]),
    page=st.sampled_from(["open", "open", "closed"]),
    fairness=st.sampled_from(["pim-first", "pim-first", "npu-first", "round-robin"]),
    quantum=st.sampled_from([1, 16]),
    pim_wait=st.sampled_from([50, 4096]),
)
SMALL = programs().filter(lambda case: commands_in(case[0]) < 20_000)


@settings(max_examples=60, deadline=None)
@given(case=SMALL, reads=READS, controller=POLICIES)
def test_any_program_beside_any_stream(
    case: tuple[Program, DeviceSpec], reads: ReadStream, controller: Controller
) -> None:
    """Served times included; the second stream finds the windows of the first, at other places of the rows."""
    program, device = case
    for stream in (reads, replace(reads, bursts=reads.bursts + 777)):
        try:
            exact = run_channel(stream.requests(device), program, device, controller)
        except InputError as refused:
            with pytest.raises(InputError, match=str(refused).split(" (CK", maxsplit=1)[0]):
                run_fast(program, device, controller, requests=stream)
            continue
        fast = run_fast(program, device, controller, requests=stream).run
        for field in fields(exact):
            assert np.array_equal(getattr(exact, field.name), getattr(fast, field.name)), field.name


@settings(max_examples=40, deadline=None)
@given(
    case=SMALL,
    parts=st.lists(st.tuples(st.booleans(), READS, st.sampled_from([0, 1, 700, 40_000])), min_size=2, max_size=5),
    controller=POLICIES,
)
def test_any_session(
    case: tuple[Program, DeviceSpec], parts: list[tuple[bool, ReadStream, int]], controller: Controller
) -> None:
    program, device = case
    both([(program if computes else NOTHING, reads, gap) for computes, reads, gap in parts], device, controller)


@pytest.mark.parametrize("refresh", ["all-bank", "none"])
@pytest.mark.parametrize("fairness", ["pim-first", "npu-first", "round-robin"])
def test_products_beside_reads_in_a_row(refresh: Any, fairness: Any) -> None:
    """The same product again and again, at any phase of the refreshes and other rows each time; and it jumps."""
    controller = Controller(ranks=4, refresh=refresh, fairness=fairness)
    segments = [(product(row=50 * i), ReadStream(3, 9000 + 37 * i, 20 * i), 13 * i) for i in range(6)]
    fast = both(segments, DIE, controller)
    assert jumped(fast) > 0.75
    drop_segments()
    other = [(product(row=50 * i), ReadStream(3, 9500 + 41 * i, 20 * i), 29 * i) for i in range(6)]
    again = run_session(other, DIE, controller, "fast")
    assert jumped(again) > 0.3
    assert again == run_session(other, DIE, controller, "exact")


def test_refreshes_go_on_between_segments() -> None:
    """Every rank once per interval, whether the channel works or waits; energy of the wait is that of its segment."""
    segments = [
        (product(), ReadStream(3, 3000), 0),
        (NOTHING, ReadStream(0, 0), 1_000_000),
        (product(), ReadStream(3, 3000), 0),
    ]
    fast = both(segments)
    interval = DIE.timing.nREFI.n
    for rank in range(4):
        refreshes = sum(run.refreshes[rank][0] for run in fast)
        assert refreshes == pytest.approx(fast[-1].end_ck / interval, abs=2)
    assert fast[1].command_counts["REFAB"] == pytest.approx(4 * 1_000_000 / interval, abs=4)
    assert [run.since_ck for run in fast[1:]] == [run.end_ck for run in fast[:-1]]
    assert fast[1].end_ck == fast[1].start_ck == fast[0].end_ck + 1_000_000
    profile = load_profile("attacc")
    assert fast[1].energy_pj(DIE, profile)["activate"] == 0.0
    assert sum(fast[0].energy_pj(DIE, profile).values()) > 0.0


def test_one_segment_is_what_a_run_by_itself_is() -> None:
    reads = ReadStream(3, 5000, row=7, at=100)
    run = run_channel(reads.requests(DIE), product(), DIE, SHARED)
    (segment,) = both([(product(), reads, 0)])
    assert segment.command_counts == run.command_counts
    assert (segment.end_ck, segment.active_ck, segment.mac_tokens) == (run.end_ck, run.active_ck, run.mac_tokens)
    assert np.array_equal(segment.refreshes, run.refreshes)


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for more it begins anew, and results stay."""
    monkeypatch.setattr(windows, "_MOST_STATES", 128)
    monkeypatch.setattr(windows, "_MOST_SEGMENTS", 2)
    both([(product(row=50 * i), ReadStream(3, 3000 + 37 * i), 0) for i in range(5)])


def test_a_known_segment_is_caught_up_with_when_an_unknown_one_follows() -> None:
    first, second, third = ((product(row=50 * i), ReadStream(3, 2000), 0) for i in range(3))
    both([first, second])
    both([first, second, third])


def test_a_finished_program_lets_go_of_the_data_bus() -> None:
    """A program that ends with a burst, and in PIM mode."""
    build = ProgramBuilder(DIE, 4)
    build.enter(0b1)
    build.load_inputs(0b1, 0, 8)
    run = run_channel(ReadStream(3, 500).requests(DIE), build.build(), DIE, Controller(ranks=4, refresh="none"))
    assert run.command_counts["RD"] == 500


def test_malformed_streams_and_engines_are_named() -> None:
    with pytest.raises(InputError, match="rank of the reads is 4: allowed is 0 to 3"):
        ChannelSession(DIE, SHARED).run(NOTHING, ReadStream(4, 1))
    with pytest.raises(InputError, match="last row of the reads"):
        ChannelSession(DIE, SHARED).run(NOTHING, ReadStream(3, 2000, DIE.organisation.rows.n - 1))
    with pytest.raises(InputError, match="engine"):
        ChannelSession(DIE, SHARED, "quick")  # type: ignore[arg-type]
