"""Programs as hypothesis draws them, beside any reads, under any policy: every rule is kept and every line executed."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from drawn_programs import commands_in, devices, programs, sequences
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import die

from lpspec.dram.check.checker import CheckReport, check_commands
from lpspec.dram.check.table import command_table as as_checked
from lpspec.dram.engine.state import I_COUNT, I_OP
from lpspec.dram.pim.functional import unroll
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.program import ProgramBuilder
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM, Session
from lpspec.dram.run.simulate import run_channel
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

Program = NDArray[np.int64]
PROGRAMMED = ("PIM_ENTER", "PIM_EXIT", "PIM_IN", "PIM_MAC", "PIM_OUT")
"""Commands that come from lines alone; rows are also closed and opened for refresh."""
OF_ITS_DATA = {"input_ready", "input_overwrite"}
"""Rules about data that a program uses: a drawn one multiplies with whatever is in the registers."""

READS = st.builds(
    ReadStream,
    rank=st.sampled_from([3, 3, 3, 0]),
    bursts=st.sampled_from([0, 1, 31, 33, 200, 257, 1024, 2500]),
    row=st.sampled_from([0, 0, 1, 100]),
    at=st.sampled_from([0, 0, 0, 50, 3000]),
)
POLICIES = st.builds(
    Controller,
    ranks=st.just(4),
    refresh=st.sampled_from(["all-bank", "all-bank", "all-bank", "per-bank", "none"]),
    postpone=st.sampled_from([0, 0, 2, 7]),
    wck=st.sampled_from(["on-demand", "always-on"]),
    page=st.sampled_from(["open", "open", "closed"]),
    fairness=st.sampled_from(["pim-first", "pim-first", "npu-first", "round-robin"]),
    quantum=st.sampled_from([1, 16]),
    pim_wait=st.sampled_from([50, 4096]),
)
SMALL = programs().filter(lambda case: commands_in(case[0]) < 20_000)
DIES = st.one_of(st.just(DIE), st.just(die(alus=1)), st.just(die(banks_per_mpu=1)), devices())


def checked(table: NDArray[Any], device: DieSpec, controller: Controller) -> CheckReport:
    """What the checker says; it is not asked whether banks stay alive, since a drawn program may never refresh."""
    options = check_options(device, 4, (0, 1, 2, 3), controller.wck)
    columns: list[Any] = [table[name] for name in ("ck", "command", "rank", "bank_group", "bank", "row", "column")]
    return check_commands(as_checked(*columns), options)


def broken(report: CheckReport) -> list[str]:
    return [rule for rule, count in report.counts.items() if count and str(rule) not in OF_ITS_DATA]


def named(program: Program) -> Counter[str]:
    """Commands that the lines of a program name."""
    found: Counter[str] = Counter()
    for line in unroll(program):
        if line[I_OP] < len(COMMANDS) and COMMANDS[line[I_OP]] in PROGRAMMED:
            found[COMMANDS[line[I_OP]]] += max(1, line[I_COUNT])
    return found


def with_open_rows_ck(table: NDArray[Any], end_ck: int) -> int:
    """How long ranks have a row open, all together: from the first ACT-2 to what closes the last row of a rank."""
    opens, closes = ("ACT2", "PIM_ACT"), ("PRE", "RDA", "WRA", "PIM_PRE")
    total, rows, since = 0, defaultdict[int, set[tuple[bool, int, int]]](set), dict[int, int]()
    for at, command, rank, group, bank, *_ in table[np.isin(table["command"], [*opens, *closes, "PREAB"])].tolist():
        in_pim = command.startswith("PIM")
        for r in [r for r in range(4) if rank >> r & 1] if in_pim else [rank]:
            was_open = bool(rows[r])
            if command in opens:
                rows[r].add((in_pim, group, bank))
            else:
                rows[r] = set() if command == "PREAB" else rows[r] - {(in_pim, group, bank)}
            if rows[r] and not was_open:
                since[r] = at
            elif was_open and not rows[r]:
                total += at - since[r]
    return total + sum(end_ck - since[r] for r, still in rows.items() if still)


@settings(max_examples=120)
@given(case=SMALL, reads=READS, controller=POLICIES)
def test_any_program_beside_any_stream(
    case: tuple[Program, DieSpec], reads: ReadStream, controller: Controller
) -> None:
    program, device = case
    try:
        run = run_channel(reads.requests(device), program, device, controller, keep_commands=True)
    except InputError as refused:
        if not any(what in str(refused) for what in ("different rows at a refresh", "leaves PIM mode")):
            raise
        return
    assert run.commands is not None
    assert broken(checked(run.commands, device, controller)) == []
    assert run.active_ck == with_open_rows_ck(run.commands, run.end_ck)
    wanted = named(program)
    assert {name: run.command_counts.get(name, 0) for name in PROGRAMMED} == {n: wanted[n] for n in PROGRAMMED}
    assert run.command_counts.get("RD", 0) + run.command_counts.get("RDA", 0) == reads.bursts == run.requests
    assert run.row_hits + run.row_misses + run.row_conflicts == reads.bursts


@settings(max_examples=60)
@given(data=st.data(), device=DIES, controller=POLICIES)
def test_any_programs_in_one_session(data: st.DataObject, device: DieSpec, controller: Controller) -> None:
    """The checker reads one stream; a program does in it what it does alone, but for refresh."""
    session, pieces = Session(device, controller), list[Program]()
    wanted: Counter[str] = Counter()
    for program in data.draw(sequences(device)):
        reads = data.draw(READS)
        try:
            session.run(program, reads.requests(device), pieces.append)
        except InputError:
            return
        wanted += named(program)
        wanted["RD"] += reads.bursts
    table = command_table(np.concatenate(pieces))
    assert broken(checked(table, device, controller)) == []
    counts = Counter(table["command"].tolist())
    counts["RD"] += counts["RDA"]
    assert {name: counts[name] for name in (*PROGRAMMED, "RD")} == {n: wanted[n] for n in (*PROGRAMMED, "RD")}


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank", "none"])
@pytest.mark.parametrize("interval", [911, 1024, 3125, 4096])
def test_refreshes_come_by_the_clock(interval: int, refresh: str) -> None:
    """Whatever share of the program's period the interval is; the ranks that don't compute are refreshed as well."""
    timing = DIE.timing.model_copy(update={"nREFI": DIE.timing.nREFI.model_copy(update={"value": interval})})
    device = DIE.model_copy(update={"timing": timing})
    build = ProgramBuilder(device, 4)
    build.enter(0b111)
    with build.loop(2000):
        for parity in range(2):
            build.load_inputs(0b111, 8 * parity, 8)
            build.activate(0b111, parity, 0, [1])
            if parity == 0:
                build.refresh_point(0b111)
            build.mac(0b111, parity, parity)
            build.precharge(0b111, parity)
    build.leave(0b111)
    run = run_channel(NO_PROGRAM[:, :5], build.build(), device, Controller(ranks=4, refresh=refresh))  # type: ignore[arg-type]
    intervals = run.total_ck // interval
    if refresh == "none":
        assert run.refreshes.sum() == 0
        return
    assert run.command_counts["PIM_REFAB"] > 0.9 * intervals
    np.testing.assert_allclose(run.refreshes[3], intervals, atol=2)


def test_refreshes_go_on_between_phases() -> None:
    """Every rank once per interval, whether the channel works or waits."""
    session = Session(DIE, Controller(ranks=4))
    product = compile_gemm(place_weights(PimChannel(DIE, (0, 1, 2), 3, 4), 2048, 768), 4).lines
    reads = ReadStream(3, 3000).requests(DIE)
    session.run(product, reads)
    session.now_ck += 1_000_000
    session.run(product, reads)
    interval = DIE.timing.nREFI.n
    refreshes = session.mean_of(1).rank_counts
    assert refreshes["REFAB"] + refreshes["PIM_REFAB"] == pytest.approx(4 * session.now_ck / interval, abs=8)


def test_a_finished_program_lets_go_of_the_data_bus() -> None:
    """A program that ends with a burst, and in PIM mode."""
    build = ProgramBuilder(DIE, 4)
    build.enter(0b1)
    build.load_inputs(0b1, 0, 8)
    run = run_channel(ReadStream(3, 500).requests(DIE), build.build(), DIE, Controller(ranks=4, refresh="none"))
    assert run.command_counts["RD"] == 500


def test_a_program_with_different_rows_at_a_refresh_is_refused() -> None:
    build = ProgramBuilder(DIE, 4)
    build.enter(0b11)
    with build.loop(100):  # rows of the two ranks drift apart, and are both open when refresh is due
        for rank in range(2):
            build.activate(1 << rank, 0, 0, [rank])
        build.refresh_point(0b11)
        for rank in range(2):
            build.mac(1 << rank, 0, 0)
            build.precharge(1 << rank, 0)
    build.leave(0b11)
    with pytest.raises(InputError, match="different rows at a refresh"):
        run_channel([], build.build(), DIE, Controller(ranks=4))


def test_malformed_streams_are_named() -> None:
    with pytest.raises(InputError, match="bursts is -1"):
        ReadStream(0, -1)


@pytest.mark.parametrize("wait", range(5600, 5800, 10))
def test_a_rank_enters_pim_mode_after_the_refresh_of_a_pair(wait: int) -> None:
    """Its other rows are closed by PREAB, which waits for the pair: all banks of the rank must be free for it."""
    build = ProgramBuilder(DIE, 4)
    build.wait(wait)
    build.enter(0b1)
    build.leave(0b1)
    controller = Controller(ranks=4, refresh="per-bank")
    reads = ReadStream(0, 3000).requests(DIE)
    run = run_channel(reads, build.build(), DIE, controller, keep_commands=True)
    assert run.commands is not None
    assert broken(checked(run.commands, DIE, controller)) == []


def test_ranks_that_shared_inputs_take_more_at_once() -> None:
    """A rank that latched a burst with another goes on alone at once; one that did not waits for a turn of the bus."""
    build = ProgramBuilder(DIE, 4)
    build.enter(0b110)
    build.load_inputs(0b110, 0, 1)
    build.load_inputs(0b100, 1, 1)
    build.load_inputs(0b010, 2, 1)
    build.load_inputs(0b110, 3, 1)
    build.leave(0b110)
    controller = Controller(ranks=4, refresh="none", wck="always-on")
    run = run_channel([], build.build(), DIE, controller, keep_commands=True)
    assert run.commands is not None
    loads = run.commands["ck"][run.commands["command"] == "PIM_IN"]
    t = DIE.timing
    switch = t.nBL_min.n + t.nRTRS.n
    assert np.diff(loads).tolist() == [t.nCCD_S.n, switch, switch]
    assert broken(checked(run.commands, DIE, controller)) == []
