"""Idle time is jumped over: the channel is then as if every refresh had been issued, however far it jumped."""

from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram.engine import phases
from lpspec.dram.engine import state as k
from lpspec.dram.engine.pim_units import start_program
from lpspec.dram.pim.program import ProgramBuilder
from lpspec.dram.run import simulate
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.dram.run.request_stream import run_stream
from lpspec.dram.run.session import NO_PROGRAM
from lpspec.dram.run.simulate import run_requests
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

IntArray = NDArray[np.int64]
LATEST = 1 << 50
NREFI = int(channel_of(DIE, Controller())[k.GIVEN, k.P_NREFI])


def final_state(
    requests: IntArray, controller: Controller, walk: bool, program: IntArray = NO_PROGRAM, die: DieSpec = DIE
) -> tuple[IntArray, IntArray]:
    """The whole channel after the requests, and when each was served; a log that is kept makes the engine walk."""
    channel = channel_of(die, controller)
    served_at = np.full(len(requests), -1, np.int64)
    log = np.empty((1 << 16 if walk else 0, 5), np.int64)
    if len(program):
        start_program(channel, program)
    while (state := phases.run_phase(channel, program, requests, served_at, log, 1 << 16, -1, 0)[2]) == 0:
        pass
    assert state == 1
    channel[k.STATE, k.S_LOGGED] = 0
    return channel, served_at


def requests_with_gaps(rng: np.random.Generator, ranks: int, gaps: list[float]) -> IntArray:
    """A few requests at once after each gap, in intervals of refresh."""
    rows: list[list[int]] = []
    at = 0
    for gap in gaps:
        at += int(gap * NREFI)
        for _ in range(int(rng.integers(1, 12))):
            rows.append([at, *rng.integers(0, [2, 16 * ranks, 3]), int(rng.integers(4)) * 16])
            at += int(rng.integers(0, 40))
    return np.array(rows, np.int64)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 30),
    gaps=st.lists(st.floats(0, 60), min_size=1, max_size=4),
    ranks=st.sampled_from([1, 2, 3, 8]),
    policies=st.fixed_dictionaries(
        {
            "refresh": st.sampled_from(["all-bank", "per-bank"]),
            "postpone": st.integers(0, 8),
            "page": st.sampled_from(["open", "closed"]),
            "wck": st.sampled_from(["on-demand", "always-on"]),
        }
    ),
)
def test_a_jump_leaves_what_walking_leaves(seed: int, gaps: list[float], ranks: int, policies: dict[str, Any]) -> None:
    controller = Controller(ranks=ranks, **policies)
    requests = requests_with_gaps(np.random.default_rng(seed), ranks, gaps)
    jumped, walked = (final_state(requests, controller, walk) for walk in (False, True))
    np.testing.assert_array_equal(jumped[1], walked[1])
    np.testing.assert_array_equal(jumped[0], walked[0])


@pytest.mark.parametrize(
    ("refresh", "timing", "ck", "reads"),
    [
        ("all-bank", "nRFCab", NREFI - 80, 2500),
        ("per-bank", "nPBR2PBR", NREFI // 8 - 2, 380),
        ("per-bank", "nRFCpb", NREFI - 80, 1500),
    ],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_late_refreshes_are_late_behind_a_jump_too(refresh: Any, timing: str, ck: int, reads: int, ranks: int) -> None:
    """Where a refresh takes nearly as long as the next takes to come, one that waits for reads delays all behind it."""
    slow = {timing: getattr(DIE.timing, timing).model_copy(update={"value": ck})}
    die = DIE.model_copy(update={"timing": DIE.timing.model_copy(update=slow)})
    controller = Controller(ranks=ranks, refresh=refresh, postpone=8)
    i = np.arange(reads)
    busy = np.stack([0 * i, 0 * i, i % 16, i // 1024, i // 16 % 64 * 16], 1)
    for gap in (10.9, 11.2, 14.1, 14.4, 14.7, 15):
        requests = np.concatenate([busy, [[int(gap * NREFI), 0, 3, 1, 0]]])
        jumped, walked = (final_state(requests, controller, walk, die=die) for walk in (False, True))
        np.testing.assert_array_equal(jumped[1], walked[1])
        np.testing.assert_array_equal(jumped[0], walked[0])


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
@pytest.mark.parametrize("in_pim_mode", [False, True])
def test_a_program_that_waits_is_jumped_too(refresh: Any, in_pim_mode: bool) -> None:
    """A rank in PIM mode gets no refresh meanwhile and owes it afterwards; the other is refreshed."""
    builder = ProgramBuilder(DIE, 2)
    if in_pim_mode:
        builder.enter(2)
    builder.wait(70 * NREFI + 17)
    if in_pim_mode:
        builder.leave(2)
    requests = np.array([[0, 0, 3, 0, 0], [40 * NREFI, 1, 3, 1, 0], [150 * NREFI, 0, 17, 0, 0]])
    controller = Controller(ranks=2, refresh=refresh)
    jumped, walked = (final_state(requests, controller, walk, builder.build()) for walk in (False, True))
    np.testing.assert_array_equal(jumped[1], walked[1])
    np.testing.assert_array_equal(jumped[0], walked[0])


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_the_latest_request_is_served_at_once_and_every_refresh_counted(refresh: Any, ranks: int) -> None:
    requests = np.array([[0, 0, 0, 0, 0], [LATEST, 0, 5, 0, 0]])
    run = run_requests(requests, DIE, Controller(ranks=ranks, refresh=refresh))
    assert run.served_at[1] - LATEST < NREFI // 4
    due = LATEST // NREFI if refresh == "all-bank" else 8 * LATEST // NREFI
    name = "REFAB" if refresh == "all-bank" else "REFPB"
    assert due * ranks - 9 * ranks <= run.command_counts[name] <= due * ranks
    assert run.command_counts[name] > 1 << 32
    np.testing.assert_allclose(run.refreshes, LATEST // NREFI, atol=2)
    stream = run_stream([requests[:1], requests[1:]], DIE, Controller(ranks=ranks, refresh=refresh)).run
    assert stream.command_counts == run.command_counts
    assert stream.end_ck == run.end_ck


@pytest.mark.parametrize(("refresh", "ranks", "most"), [("all-bank", 1, 10**8), ("per-bank", 2, 10**8 // 16)])
def test_a_list_of_commands_is_no_list_of_refreshes(refresh: Any, ranks: int, most: int) -> None:
    """Where every command is wanted nothing can be jumped, so what would take hours is refused."""
    controller = Controller(ranks=ranks, refresh=refresh)
    channel = channel_of(DIE, controller)
    allowed = np.array([[7, 0, 0, 0, 0], [7 + most * NREFI, 0, 0, 0, 0]])
    simulate.check_gaps(allowed, 0, channel)
    simulate.check_gaps(allowed[1:], 7, channel)
    late = allowed + np.array([[0] * 5, [NREFI, 0, 0, 0, 0]])
    for call in (
        lambda: run_requests(late, DIE, controller, keep_commands=True),
        lambda: run_stream([late[:1], late[1:]], DIE, controller, take=lambda table: None),
    ):
        with pytest.raises(InputError, match=r"holds 1000000\d* refreshes, a list of commands takes 100000000"):
            call()
    simulate.check_gaps(late, 0, channel_of(DIE, Controller(ranks=ranks, refresh="none")))


def test_the_first_request_may_be_late() -> None:
    run = run_requests(np.array([[LATEST, 1, 0, 0, 0]]), DIE, Controller())
    assert run.command_counts["REFAB"] == pytest.approx(LATEST // NREFI, abs=2)
    assert run.first_ck == NREFI
