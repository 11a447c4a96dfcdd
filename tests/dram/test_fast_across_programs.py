"""What the fast engine learns in one program it uses in the next: nothing of it may be wrong there."""

from typing import Any

import pytest
from drawn_programs import devices, sequences
from engine_help import DIE
from fast_help import Program, both
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import die

from lpspec.dram.channel_session import ChannelSession, SegmentRun
from lpspec.dram.controller import Controller
from lpspec.dram.device import DeviceSpec
from lpspec.dram.fast import forget
from lpspec.dram.gemm import compile_gemm
from lpspec.dram.layout import PimChannel, place_weights
from lpspec.dram.program import ProgramBuilder
from lpspec.dram.read_stream import ReadStream
from lpspec.errors import InputError

DIES = st.one_of(st.just(DIE), st.just(die(alus=1)), st.just(die(banks_per_mpu=1)), devices())
REFRESH = st.sampled_from(["all-bank", "all-bank", "per-bank", "none"])
FAIRNESS = st.sampled_from(["pim-first", "npu-first", "round-robin"])
READS = st.builds(
    ReadStream, st.sampled_from([3, 3, 0]), st.sampled_from([0, 0, 0, 33, 500, 1500]), st.sampled_from([0, 100])
)
Segment = tuple[Program, ReadStream, int]  # what runs, what is read beside it, CK after the end of the one before


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    forget()


def test_a_program_that_ends_where_another_went_on_is_run_to_its_end() -> None:
    """Two tiles, then one: the same lines up to the end of the first tile, of 4096 inputs each."""
    channel = PimChannel(die(), (0, 1, 2), ranks=4)
    for outputs in (1024, 768):
        both(compile_gemm(place_weights(channel, 4096, outputs, split="never"), 1).lines, channel.device)


def test_rows_that_stay_open_count_up_to_the_last_command_and_no_further() -> None:
    """The last jump ends a CK later; the stream's rows are open still."""
    build = ProgramBuilder(DIE, 4)
    build.enter(0b111)
    with build.loop(4):
        build.activate(0b1, 0, 0)
        build.load_inputs(0b1, 0, 2)
        build.mac(0b1, 0, 0)
        build.precharge(0b1, 0)
        build.read_back(0b1, 0, 4)
        build.refresh_point(0b111)
    build.leave(0b111)
    assert both(build.build(), requests=ReadStream(3, 33), refresh="none").jumped > 0


@settings(max_examples=60, deadline=None)
@given(data=st.data(), device=DIES)
def test_any_programs_one_after_the_other(data: st.DataObject, device: DeviceSpec) -> None:
    """All in one memory, refreshed in one way or another, most of them alone and some beside reads."""
    forget()
    for program in data.draw(sequences(device)):
        both(program, device, data.draw(READS), refresh=data.draw(REFRESH))


def run_session(segments: list[Segment], device: DeviceSpec, controller: Controller, engine: Any) -> list[SegmentRun]:
    """Run segments up to the first that can't be."""
    session = ChannelSession(device, controller, engine)
    runs = []
    try:
        for program, reads, gap in segments:
            runs.append(session.run(program, reads, session.end_ck + gap))
    except InputError:
        pass
    return runs


@settings(max_examples=30, deadline=None)
@given(data=st.data(), device=DIES, refresh=REFRESH, fairness=FAIRNESS)
def test_any_programs_in_one_session_and_the_next(
    data: st.DataObject, device: DeviceSpec, refresh: Any, fairness: Any
) -> None:
    """On channels that live on, the second of which finds what the first has learnt, and other reads."""
    forget()
    controller = Controller(ranks=4, refresh=refresh, fairness=fairness)
    some = data.draw(sequences(device))
    for _ in range(2):
        segments = [(program, data.draw(READS), data.draw(st.sampled_from([0, 1, 700]))) for program in some]
        exact = run_session(segments, device, controller, "exact")
        assert run_session(segments, device, controller, "fast") == exact
        some = data.draw(st.permutations(some))
