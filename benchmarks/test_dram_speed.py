"""How fast the memory is simulated at command level: ``make bench``.

The products are those of Llama2-7B on one of four channels,
three ranks of which compute. ``layers in a row`` are one program of 32 layers, refreshes running on through them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.moves import plan_between_sides
from lpspec.dram.pim.products import compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, place_weights, share_of_channel
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.mover import move
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import Session
from lpspec.dram.run.simulate import ChannelRun, run_channel, run_requests
from lpspec.machine.loading import load_die

DIE = load_die()
CHANNEL = PimChannel(DIE, (0, 1, 2), 3, 4)
SHARED = Controller(ranks=4)
NO_REQUESTS = np.empty((0, 5), np.int64)
TOKENS, KEYS, LAYERS, CHANNELS = 4, 512, 32, 4
MATRICES = ((4096, 12288), (4096, 4096), (4096, 22016), (11008, 4096))
NPU_SHARE = 0.25  # of every matrix lies on the DRAM rank, so that the NPU is done about when PIM is
REQUESTS = 200_000

Program = NDArray[np.int64]


def layer(tokens: int = TOKENS, keys: int = KEYS, share: float = 1.0) -> list[Program]:
    """The products of a layer, as programs of one channel; of matrices, so great a share of the outputs."""
    row, programs = 0, []
    for k, n in MATRICES:
        placement = place_weights(CHANNEL, k, max(1, round(share_of_channel(n, CHANNELS, 0)[1] * share)), row)
        programs.append(compile_gemm(placement, tokens).lines)
        row = placement.end_row
    kv = KvPlacement(CHANNEL, 32 // CHANNELS, 128, 4096, row)
    return [programs[0], compile_scores(kv, keys, tokens).lines, compile_values(kv, keys, tokens).lines, *programs[1:]]


def streams() -> list[ReadStream]:
    """What the NPU reads beside each of these products: its share of the matrix; nothing beside attention."""
    bursts = [round(k * n * NPU_SHARE / CHANNELS / 32) for k, n in MATRICES]
    row, reads = 0, []
    for count in (bursts[0], 0, 0, *bursts[1:]):
        reads.append(ReadStream(3, count, row))
        row += -(-count // 1024)
    return reads


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    run_channel(streams()[1].requests(DIE), layer()[1], DIE, SHARED)


def _time(benchmark: BenchmarkFixture, work: Callable[[], Any], rounds: int) -> Any:
    return benchmark.pedantic(work, rounds=rounds)  # type: ignore[no-untyped-call]


def _report(benchmark: BenchmarkFixture, name: str, count: float) -> None:
    assert benchmark.stats is not None
    benchmark.extra_info[name] = round(count / benchmark.stats["min"])


@pytest.mark.benchmark(group="dram: commands of a PIM program")
def test_commands(benchmark: BenchmarkFixture) -> None:
    program = np.concatenate(layer() * 8)
    run = benchmark(lambda: run_channel(NO_REQUESTS, program, DIE, SHARED))
    _report(benchmark, "commands_per_s", sum(run.command_counts.values()))


@pytest.mark.parametrize("pattern", ["streaming", "random"])
@pytest.mark.benchmark(group="dram: requests under FR-FCFS")
def test_requests(benchmark: BenchmarkFixture, pattern: str) -> None:
    requests = ReadStream(0, REQUESTS).requests(DIE)
    if pattern == "random":
        rng = np.random.default_rng(1)
        for column, limit, step in ((2, 16, 1), (3, DIE.organisation.rows.n, 1), (4, 64, 16)):
            requests[:, column] = rng.integers(0, limit, REQUESTS) * step
    benchmark(lambda: run_requests(requests, DIE, Controller()))
    _report(benchmark, "requests_per_s", REQUESTS)


# A verify pass


def verify_pass(programs: list[Program], reads: list[ReadStream]) -> list[ChannelRun]:
    return [
        run_channel(stream.requests(DIE), program, DIE, SHARED)
        for _ in range(LAYERS)
        for program, stream in zip(programs, reads, strict=True)
    ]


ALONE = [ReadStream(3, 0)] * 6
TRAFFIC = [pytest.param(1.0, ALONE, id="PIM alone"), pytest.param(1 - NPU_SHARE, streams(), id="NPU beside it")]


@pytest.mark.parametrize(("share", "reads"), TRAFFIC)
@pytest.mark.benchmark(group="dram: Llama2-7B verify pass, product by product")
def test_pass(benchmark: BenchmarkFixture, share: float, reads: list[ReadStream]) -> None:
    programs = layer(share=share)
    _time(benchmark, lambda: verify_pass(programs, reads), 2)


@pytest.mark.benchmark(group="dram: Llama2-7B verify pass, layers in a row")
def test_row_of_layers(benchmark: BenchmarkFixture) -> None:
    program = np.concatenate(layer() * LAYERS)
    _time(benchmark, lambda: run_channel(NO_REQUESTS, program, DIE, SHARED), 5)


# Moves


@pytest.mark.benchmark(group="dram: moving 3 MiB of weights between ranks")
def test_move(benchmark: BenchmarkFixture) -> None:
    plan = plan_between_sides(CHANNEL, 4096, 768, to_pim=True)
    _time(benchmark, lambda: move(plan, Session(DIE, SHARED)), 2)
    _report(benchmark, "bursts_per_s", len(plan.source))
