"""Phases one after the other: the first is a plain run, all obey the rules, and refresh takes its share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import NO_REQUESTS, count, die, violations

from lpspec.dram.pim.products import PimProgram, compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller, Refresh
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import CK, NO_PROGRAM, PhaseCommands, PhaseWork, Session, copied
from lpspec.dram.run.simulate import ChannelRun, run_channel
from lpspec.dram.run.steady import (
    REFRESH_INTERVALS,
    Enough,
    in_the_long_run,
    is_long,
    per_refresh,
    refreshed,
    without_refresh,
)
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

DIE = die()
CHANNEL = PimChannel(DIE, (0, 1, 2), ranks=4)
CONTROLLER = Controller(ranks=4)


def repeated(phase: PhaseWork, device: DieSpec, controller: Controller) -> PhaseCommands:
    """A copy among copies that follow each other for ever."""
    alone = without_refresh(phase, device, controller)
    before = phase if is_long(alone, device) else None
    copies = refreshed(phase, device, controller, Enough(REFRESH_INTERVALS), before)
    return in_the_long_run(alone, per_refresh(copies, alone), device)


def product(tokens: int = 4, k: int = 256, n: int = 768) -> PimProgram:
    return compile_gemm(place_weights(CHANNEL, k, n, split="never"), tokens)


@pytest.mark.parametrize(("tokens", "bursts"), [(1, 0), (4, 500), (6, 3000)])
def test_the_first_phase_is_a_run_of_its_own(tokens: int, bursts: int) -> None:
    program, reads = product(tokens).lines, ReadStream(3, bursts).requests(DIE)
    alone = run_channel(reads, program, DIE, CONTROLLER)
    session = Session(DIE, CONTROLLER)
    assert np.array_equal(session.run(program, reads), alone.served_at)
    assert session.now_ck == alone.end_ck


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 800)), min_size=2, max_size=8), st.integers(0, 2))
def test_phases_in_any_order_obey_every_rule(phases: list[tuple[int, int]], refresh: int) -> None:
    """The independent checker reads one stream, in which every rank stays alive across phases."""
    kinds: tuple[Refresh, ...] = ("all-bank", "per-bank", "none")
    kind = kinds[refresh]
    session, pieces = Session(DIE, Controller(ranks=4, refresh=kind)), list[NDArray[np.int64]]()
    for tokens, bursts in phases:
        program = product(tokens).lines if tokens else NO_PROGRAM
        reads = ReadStream(3, max(bursts, 1)).requests(DIE)
        reads[:, 1] = bursts % 2
        before = session.now_ck
        served_at = session.run(program, reads, pieces.append)
        assert before < served_at.max() <= session.now_ck
    commands = command_table(np.concatenate(pieces))
    done = ChannelRun(0, 0, 0, 0, 0.0, {}, {}, 0, 0, 0, 0, 0, NO_REQUESTS, NO_REQUESTS, commands=commands)
    assert violations(done, product(), kind) == []


def test_no_phase_begins_before_the_last_has_ended() -> None:
    session = Session(DIE, CONTROLLER)
    reads = ReadStream(3, 100).requests(DIE)
    for _ in range(5):
        begin = session.now_ck
        pieces: list[NDArray[np.int64]] = []
        session.run(product().lines, reads, pieces.append)
        log = np.concatenate(pieces)
        assert log[0, 0] >= begin
        assert log[-1, 0] <= session.now_ck


@pytest.mark.parametrize(("tokens", "k", "n", "bursts"), [(1, 256, 768, 0), (4, 512, 1536, 700), (9, 192, 500, 64)])
def test_a_copy_holds_every_command_of_its_lines_and_no_less_time(tokens: int, k: int, n: int, bursts: int) -> None:
    program = product(tokens, k, n)
    mean = repeated(PhaseWork(program.lines, ReadStream(3, bursts).requests(DIE)), DIE, CONTROLLER)
    expected = count(program)
    for name in ("PIM_MAC", "PIM_IN", "PIM_OUT"):
        assert mean.command_counts[name] == pytest.approx(expected[name])
    assert mean.command_counts.get("RD", 0) == pytest.approx(bursts)
    on_bus = expected["PIM_IN"] + expected["PIM_OUT"] + bursts
    assert mean.ck >= on_bus * DIE.timing.nBL_min.n
    assert mean.ck >= expected["PIM_MAC"] * DIE.mac_ck
    assert 0 < mean.active_ck <= mean.ck * CONTROLLER.ranks


@pytest.mark.parametrize("bursts", [0, 300])
def test_refresh_takes_its_share_of_copies_shorter_than_its_interval(bursts: int) -> None:
    reads = ReadStream(3, bursts).requests(DIE)
    mean = repeated(PhaseWork(product().lines, reads), DIE, CONTROLLER)
    calm = repeated(PhaseWork(product().lines, reads), DIE, Controller(ranks=4, refresh="none"))
    assert mean.ck < DIE.timing.nREFI.n
    refreshes = (mean.rank_counts["PIM_REFAB"] + mean.rank_counts["REFAB"]) / CONTROLLER.ranks
    assert refreshes * DIE.timing.nREFI.n / mean.ck == pytest.approx(1, abs=0.05)
    assert calm.ck < mean.ck < calm.ck * 1.12


@pytest.mark.parametrize(("tokens", "bursts"), [(0, 3), (4, 0), (6, 700)])
def test_copies_are_phases_of_a_session(tokens: int, bursts: int) -> None:
    program = product(tokens).lines if tokens else NO_PROGRAM
    reads = ReadStream(3, bursts).requests(DIE)
    session, copies = Session(DIE, CONTROLLER), 0
    enough_ck = REFRESH_INTERVALS * DIE.timing.nREFI.n
    while session.now_ck < enough_ck:
        session.run(program, reads)
        copies += 1
    twin = copied(PhaseWork(program, reads), DIE, CONTROLLER, enough_ck)
    assert twin.n == copies
    assert np.array_equal(twin.session.mean_of(copies).counts, session.mean_of(copies).counts)


@pytest.mark.parametrize(("tokens", "k", "n", "bursts"), [(0, 0, 0, 40), (4, 1024, 768, 0), (4, 1024, 768, 1500)])
def test_few_intervals_give_what_many_do(tokens: int, k: int, n: int, bursts: int) -> None:
    """The plain mean of 32 intervals begins with no refresh owed and ends owing some: 0.05 to 0.3 % too fast."""
    program = product(tokens, k, n).lines if tokens else NO_PROGRAM
    reads = ReadStream(3, bursts).requests(DIE)
    interval_ck = DIE.timing.nREFI.n
    many = copied(PhaseWork(program, reads), DIE, CONTROLLER, 600 * interval_ck)
    few = copied(PhaseWork(program, reads), DIE, CONTROLLER, REFRESH_INTERVALS * interval_ck)
    true_ck = many.session.now_ck / many.n
    assert repeated(PhaseWork(program, reads), DIE, CONTROLLER).ck == pytest.approx(true_ck, rel=1e-3)
    assert few.session.now_ck / few.n < true_ck


@pytest.mark.parametrize(("error", "least", "most"), [(1.0, 8, 24), (-1.0, 32, 48)])
def test_more_copies_run_while_they_differ(error: float, least: int, most: int) -> None:
    phase, interval_ck = PhaseWork(product(4, 4096, 768).lines, NO_REQUESTS), DIE.timing.nREFI.n
    alone = without_refresh(phase, DIE, CONTROLLER)
    *counts, n, served = refreshed(phase, DIE, CONTROLLER, Enough(8, float(alone[CK]), error), phase).tolist()
    assert least <= counts[CK] / interval_ck <= most
    assert n >= 2
    assert served == pytest.approx(counts[CK] / interval_ck, abs=2)


def test_what_goes_before_copies_is_not_counted() -> None:
    """By a session of its own: a short program, whose refreshes and commands are none of the copies'."""
    short, phase = (PhaseWork(product(4, 4096, n).lines, NO_REQUESTS) for n in (768, 3072))
    found = refreshed(phase, DIE, CONTROLLER, Enough(40), short)
    session = Session(DIE, CONTROLLER)
    session.run(short.program, short.requests)
    begin_ck, before, copies = session.now_ck, session.mean_of(1).counts, 0
    already = session.refreshes(0)
    while session.now_ck < begin_ck + 40 * DIE.timing.nREFI.n:
        session.run(phase.program, phase.requests)
        copies += 1
    assert np.array_equal(found[:-2], session.mean_of(1).counts - before)
    assert found[-2:].tolist() == [copies, session.refreshes(0) - already]


def test_nothing_is_no_phase() -> None:
    with pytest.raises(InputError, match="without commands"):
        repeated(PhaseWork(NO_PROGRAM, NO_REQUESTS), DIE, CONTROLLER)
