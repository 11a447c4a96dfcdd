"""Real decoding of the demo model on this machine: what trees buy over none, and compiled loops over torch, in one run.

Backends are timed on one torch thread, in the calling thread's CPU time, in turns: each text by one right after the
other, the fastest of several rounds kept, so that a busy machine does not decide. The table goes into docs/decoder.md:
``pytest -s benchmarks/test_generate_speed.py -k compiled``.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from lpspec.decoding.drafter import NoDrafter
from lpspec.decoding.generate import Generation, Price, fixed_size
from lpspec.experiments.decoder import Decoder, fresh_drafter, load_decoder
from lpspec.experiments.machine import machine_prices
from lpspec.experiments.speed_curve import DTP, NONE, PROMPTS, CurveWork, SpeedCurve, measure_curve
from lpspec.experiments.step_pricing import live_costs, with_real_heads
from lpspec.experiments.systems import make_system
from lpspec.scenario.names import BACKENDS


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return load_decoder("demo", "medusa")


@pytest.mark.benchmark(group="real decoding of the demo model, calibration included")
def test_the_calibrated_pruner_beside_every_fixed_tree(benchmark: BenchmarkFixture, decoder: Decoder) -> None:
    def measure() -> SpeedCurve:
        return measure_curve(decoder, machine_prices(decoder, 256), work=CurveWork(rounds=5))

    curve: SpeedCurve = benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]
    none, dtp = curve.of(NONE), curve.of(DTP)
    best = max(curve.fixed, key=lambda point: point.measured)
    benchmark.extra_info.update(
        {
            "none, token/s": round(none.measured),
            f"best fixed tree ({best.tree}), token/s": round(best.measured),
            "DTP, token/s": round(dtp.measured),
            "DTP over none": round(dtp.measured / none.measured, 2),
            "DTP over the best fixed tree": round(dtp.measured / best.measured, 2),
            "8 nodes over none": round(curve.of("8").measured / none.measured, 2),
            "63 nodes over none": round(curve.of("63").measured / none.measured, 2),
            "tokens per pass with 8 nodes": round(curve.of("8").tokens_per_pass, 2),
        }
    )


class Way(NamedTuple):
    """A way to decode: by whom trees are drafted, and how large they are; None for the pruner's choice for LP-Spec."""

    words: str
    drafter: str
    size: int | None


WAYS = (
    Way("plain", "none", 1),
    Way("Medusa, 8 nodes", "medusa", 8),
    Way("Medusa, 32 nodes", "medusa", 32),
    Way("Medusa, DTP for EDP on LP-Spec", "medusa", None),
    Way("EAGLE-2, 8 nodes", "eagle", 8),
)
NEW_TOKENS, ROUNDS, TEXTS = 64, 8, 3
LEAST = 1.2
"""What the loops must buy end to end, or they go."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def price_of(way: Way, decoder: Decoder) -> Price:
    if way.size is not None:
        return fixed_size(way.size)
    system = with_real_heads(make_system("lp-spec", decoder.model.config.spec), decoder.drafter)
    rows = live_costs(system, decoder.drafter, 1, 1023).prices("edp")[0]
    return lambda context: rows[context - 1]


def writer(way: Way, dtype: str, backend: str) -> Callable[[np.ndarray], list[int]]:
    """Decodes a prompt."""
    decoder = load_decoder("demo", way.drafter, dtype=dtype, backend=backend)
    assert decoder.model.computing.backend.name == backend
    price = price_of(way, decoder)

    def write(prompt: np.ndarray) -> list[int]:
        drafter = NoDrafter() if way.drafter == "none" else fresh_drafter(decoder)
        generation = Generation(decoder.model, prompt, NEW_TOKENS, drafter, price=price)
        list(generation)
        return generation.tokens

    return write


def tokens_per_s(writers: list[Callable[[np.ndarray], list[int]]], prompts: list[np.ndarray]) -> list[float]:
    """Of each, over all prompts; they take turns within every prompt."""
    least = np.full((len(writers), len(prompts)), np.inf)
    written = np.zeros_like(least)
    for _ in range(1 + ROUNDS):  # the first compiles, and is beaten
        for text, prompt in enumerate(prompts):
            for index, write in enumerate(writers):
                start = time.thread_time()
                written[index, text] = len(write(prompt))
                least[index, text] = min(least[index, text], time.thread_time() - start)
    speeds: list[float] = (written.sum(axis=1) / least.sum(axis=1)).tolist()
    return speeds


@pytest.mark.usefixtures("one_thread")
def test_what_compiled_loops_buy_over_torch() -> None:
    """The table of docs/decoder.md; the loops have to earn their place in every precision that they have code for."""
    tokenizer = load_decoder("demo", "none").tokenizer
    prompts = [np.array(tokenizer.encode(prompt)) for prompt in PROMPTS[:TEXTS]]
    print("\n| precision | drafts | torch, token/s | compiled, token/s | ratio |\n|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {}
    for dtype in ("float32", "bfloat16", "int8"):
        for way in WAYS if dtype == "float32" else WAYS[:2]:
            compiled, by_torch = tokens_per_s([writer(way, dtype, backend) for backend in BACKENDS], prompts)
            ratios.setdefault(dtype, []).append(compiled / by_torch)
            print(
                f"| {dtype} | {way.words} | {by_torch:,.0f} | {compiled:,.0f} | {compiled / by_torch:.2f} |", flush=True
            )
    assert all(max(found) >= LEAST for found in ratios.values())
    assert min(ratios["float32"]) >= LEAST
