"""Seconds of CPU that the memory at command level takes, for ``earlier_build.py``: random, streams, PIM programs.

    python benchmarks/earlier_build.py benchmarks/memory_speed.py

Each is the least of many short runs, so that other work on the machine counts as little as can be.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.simulate import run_channel, run_requests
from lpspec.machine.loading import load_die

DIE = load_die()
REQUESTS = 20_000
ROUNDS = 25
Requests = NDArray[np.int64]


def random(ranks: int, writes: float = 0.0) -> Requests:
    """Requests all over the banks of some ranks."""
    requests, draw = ReadStream(0, REQUESTS).requests(DIE), np.random.default_rng(1)
    for column, limit, step in ((2, 16 * ranks, 1), (3, DIE.organisation.rows.n, 1), (4, 64, 16)):
        requests[:, column] = draw.integers(0, limit, REQUESTS) * step
    requests[:, 1] = draw.random(REQUESTS) < writes
    return requests


def stream(ranks: int) -> Requests:
    """Reads of consecutive bursts, some ranks taking turns of 256."""
    requests = ReadStream(0, REQUESTS).requests(DIE)
    requests[:, 2] += 16 * (np.arange(REQUESTS) // 256 % ranks)
    return requests


def program() -> Requests:
    """A product of four tokens in three ranks that compute."""
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    return compile_gemm(place_weights(channel, 4096, 3072, 0), 4).lines


def least_s(work: Callable[[], Any]) -> float:
    """Seconds of CPU, the least of some rounds after one that compiles."""
    work()
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def main() -> None:
    """Print seconds by name."""
    product, beside = program(), ReadStream(3, 4000).requests(DIE)
    one, four, none = Controller(), Controller(ranks=4), beside[:0]
    kinds: dict[str, Callable[[], Any]] = {
        "random, 1 rank": partial(run_requests, random(1), DIE, one),
        "random, 4 ranks": partial(run_requests, random(4), DIE, four),
        "stream, 1 rank": partial(run_requests, stream(1), DIE, one),
        "stream, 4 ranks": partial(run_requests, stream(4), DIE, four),
        "reads and writes, 1 rank": partial(run_requests, random(1, 0.3), DIE, one),
        "PIM program": partial(run_channel, none, product, DIE, four),
        "PIM program beside reads": partial(run_channel, beside, product, DIE, four),
    }
    print(json.dumps({name: least_s(work) for name, work in kinds.items()}))


if __name__ == "__main__":
    main()
