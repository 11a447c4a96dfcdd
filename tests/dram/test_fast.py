"""The fast engine equals the exact one in everything, on any program; and it does jump."""

import numpy as np
import pytest
from drawn_programs import commands_in, programs
from engine_help import DIE, streaming
from fast_help import both, differences
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import die

from lpspec.dram.controller import Controller
from lpspec.dram.device import DeviceSpec
from lpspec.dram.fast import forget, run_fast
from lpspec.dram.gemm import compile_gemm, compile_scores, compile_values
from lpspec.dram.kv_layout import KvPlacement
from lpspec.dram.layout import PimChannel, place_weights, share_of_channel
from lpspec.dram.program import ProgramBuilder
from lpspec.dram.read_stream import ReadStream
from lpspec.dram.simulate import run_channel
from lpspec.errors import InputError

LAYER = ((4096, 12288), (4096, 4096), (4096, 22016), (11008, 4096))  # Llama2-7B's products, K x N
Program = NDArray[np.int64]


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    forget()


# Any program


@settings(max_examples=200, deadline=None)
@given(
    case=programs().filter(lambda case: commands_in(case[0]) < 60_000),
    refresh=st.sampled_from(["all-bank", "all-bank", "all-bank", "per-bank", "none"]),
    fairness=st.sampled_from(["pim-first", "npu-first", "round-robin"]),
    wck=st.sampled_from(["on-demand", "always-on"]),
)
def test_any_program_and_then_twice_over(
    case: tuple[Program, DeviceSpec], refresh: str, fairness: str, wck: str
) -> None:
    """The second run starts with what the first has learnt."""
    program, device = case
    policies = {"refresh": refresh, "fairness": fairness, "wck": wck}
    both(program, device, **policies)
    both(np.concatenate([program, program]), device, **policies)


def rows(rounds: int, *, refresh: bool = True, mask: int = 0b111) -> Program:
    """Rows in turn from both banks, each once for every round, with a refresh point."""
    build = ProgramBuilder(DIE, 4)
    build.enter(mask)
    with build.loop(rounds):
        for parity in range(2):
            build.load_inputs(mask, 8 * parity, 8)
            build.activate(mask, parity, 0, [1])
            if refresh and parity == 0:
                build.refresh_point(mask)
            build.mac(mask, parity, parity)
            build.precharge(mask, parity)
    build.leave(mask)
    return build.build()


@pytest.mark.parametrize("rounds", [1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 1000])
@pytest.mark.parametrize("refresh", ["none", "all-bank", "per-bank"])
def test_loops_end_where_they_should(rounds: int, refresh: str) -> None:
    fast = both(rows(rounds), refresh=refresh)
    if rounds == 1000 and refresh != "per-bank":
        assert fast.issued < 0.5 * fast.jumped
    both(rows(rounds + 1), refresh=refresh)


@pytest.mark.parametrize("interval", [911, 1024, 3125, 4096])
def test_refreshes_come_by_the_clock_and_not_by_the_jump(interval: int) -> None:
    """Whatever share of the program's period the interval is; the ranks that don't compute are refreshed as well."""
    timing = DIE.timing.model_copy(update={"nREFI": DIE.timing.nREFI.model_copy(update={"value": interval})})
    fast = both(rows(3000), DIE.model_copy(update={"timing": timing}))
    assert fast.jumped > fast.issued
    assert fast.run.command_counts["PIM_REFAB"] > 0.9 * fast.run.total_ck // interval
    assert fast.run.command_counts["REFAB"] == pytest.approx(fast.run.total_ck // interval, abs=1)


@pytest.mark.parametrize("wait", [0, 1, 500])
@pytest.mark.parametrize("leaves_first", [False, True])
def test_modes_switched_in_every_round(wait: int, leaves_first: bool) -> None:
    build = ProgramBuilder(DIE, 4)
    if leaves_first:
        build.enter(0b11)
    with build.loop(200):
        if leaves_first:
            build.leave(0b11)
        build.wait(wait)
        build.enter(0b11)
        build.load_inputs(0b11, 0, 8)
        build.activate(0b11, 0, 0, [1])
        build.refresh_point(0b11)
        build.mac(0b11, 0, 0)
        build.precharge(0b11, 0)
        if not leaves_first:
            build.leave(0b11)
    both(build.build())


def test_a_program_that_cannot_be_is_refused_by_both() -> None:
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
        run_fast(build.build(), DIE, Controller(ranks=4))
    both(build.build())


def test_what_is_known_of_one_device_is_not_taken_for_another() -> None:
    for nmac in (4, 5, 4):
        both(rows(100), die(nMAC=nmac))
    slower = DIE.model_copy(update={"tCK": DIE.tCK.model_copy(update={"value": 2 * DIE.tCK.value})})
    both(rows(100), slower, streaming(50, rank=3))
    both(rows(100), DIE, streaming(50, rank=3))


# Compiled products


@pytest.mark.parametrize(("banks", "alus", "depth"), [(2, 4, 64), (1, 4, 64), (2, 1, 64), (2, 4, 32)])
@pytest.mark.parametrize("concurrent", [1, 2, 3])
@pytest.mark.parametrize(("k", "n", "tokens"), [(64, 32, 1), (700, 300, 3), (2048, 1700, 6), (5000, 800, 4)])
def test_products(k: int, n: int, tokens: int, concurrent: int, banks: int, alus: int, depth: int) -> None:
    channel = PimChannel(die(banks_per_mpu=banks, alus=alus, input_depth=depth), (0, 1, 2), concurrent, 4)
    program = compile_gemm(place_weights(channel, k, n), tokens).lines
    both(program, channel.device)
    both(np.concatenate([program] * 3), channel.device)


def layer(tokens: int, keys: int) -> list[Program]:
    """The products of one Llama2-7B layer on one of four channels: 8 heads, a quarter of every matrix."""
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    row = 0
    programs = []
    for k, n in LAYER:
        placement = place_weights(channel, k, share_of_channel(n, 4, 0)[1], row)
        programs.append(compile_gemm(placement, tokens).lines)
        row = placement.end_row
    kv = KvPlacement(channel, 8, 128, 2048, row)
    return [programs[0], compile_scores(kv, keys, tokens).lines, compile_values(kv, keys, tokens).lines, *programs[1:]]


@pytest.mark.parametrize("refresh", ["all-bank", "none"])
@pytest.mark.parametrize(("tokens", "keys"), [(4, 512), (6, 1300)])
def test_whole_layers_of_llama2_7b(tokens: int, keys: int, refresh: str) -> None:
    one = np.concatenate(layer(tokens, keys))
    assert both(one, refresh=refresh).run.mac_tokens > 0
    three = both(np.concatenate([one] * 3), refresh=refresh)
    assert three.jumped > 0.5 * three.issued


def test_every_product_of_a_layer_by_itself() -> None:
    for program in layer(4, 512):
        fast = both(program)
        again = run_fast(program, DIE, Controller(ranks=4))
        assert differences(fast.run, again.run) == []
        assert (again.issued, again.jumped) == (0, fast.issued + fast.jumped)


# Beside requests


@pytest.mark.parametrize("fairness", ["pim-first", "npu-first", "round-robin"])
@pytest.mark.parametrize("writes", [0.0, 0.3])
def test_beside_requests(fairness: str, writes: float) -> None:
    program = layer(4, 512)[3]
    both(program, requests=streaming(4000, writes, rank=3), fairness=fairness)
    both(program, requests=streaming(4000, writes, rank=3), fairness=fairness)  # known as a whole now


def test_a_stream_is_its_reads() -> None:
    stream = ReadStream(rank=3, bursts=5000, row=7, at=100)
    controller, program = Controller(ranks=4), rows(20)
    exact = run_channel(stream.requests(DIE), program, DIE, controller)
    for most_issued in (0.9 * sum(exact.command_counts.values()), 0):
        fast = run_fast(program, DIE, controller, requests=stream)
        assert differences(exact, fast.run) == []
        assert fast.issued <= most_issued
    assert exact.row_hits > 4900
    assert len(set(map(tuple, stream.requests(DIE)[:, 2:].tolist()))) == 5000
    assert differences(exact, run_fast(program, DIE, controller, requests=ReadStream(3, 5001, 7, 100)).run)


def test_no_program_or_no_stream_at_all() -> None:
    both(np.empty((0, 17), np.int64), requests=streaming(100))
    with pytest.raises(InputError, match="bursts is -1"):
        ReadStream(0, -1)
