"""Requests in pieces: the same commands, times and waits as all of them at once, in memory that stays the same."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, commands_of, streaming
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.dram.run import request_stream
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.latencies import Latencies
from lpspec.dram.run.request_stream import SPARE, run_stream
from lpspec.dram.run.simulate import run_requests

IntArray = NDArray[np.int64]


def drawn_requests(rng: np.random.Generator, n: int, ranks: int) -> IntArray:
    """From one bank to all, bursts and trickles, addresses that reads and writes share."""
    at = np.cumsum(rng.integers(0, rng.choice([1, 4, 60]), n))
    places = rng.integers(0, rng.choice([1, 4, 16 * ranks]), n), rng.integers(0, rng.choice([2, 50]), n)
    return np.stack([at, rng.random(n) < rng.choice([0, 0.4, 1]), *places, rng.integers(0, 4, n) * 16], 1).astype(int)


def in_pieces(requests: IntArray, rng: np.random.Generator) -> Iterator[IntArray]:
    cuts = np.sort(rng.integers(0, len(requests) + 1, 5))
    yield from np.split(requests, cuts)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1 << 30),
    n=st.integers(1, 900),
    ranks=st.sampled_from([1, 2, 4]),
    window=st.sampled_from([SPARE + 1, SPARE + 7, 300, 10_000]),
    commands=st.sampled_from([40, 1 << 18]),
    policies=st.fixed_dictionaries(
        {
            "refresh": st.sampled_from(["none", "all-bank", "per-bank"]),
            "page": st.sampled_from(["open", "closed"]),
            "wck": st.sampled_from(["on-demand", "always-on"]),
            "patience": st.sampled_from([16, 256]),
        }
    ),
)
def test_pieces_give_what_the_whole_gives(
    seed: int, n: int, ranks: int, window: int, commands: int, policies: dict[str, Any]
) -> None:
    rng = np.random.default_rng(seed)
    requests, controller = drawn_requests(rng, n, ranks), Controller(ranks=ranks, **policies)
    whole = run_requests(requests, DIE, controller, keep_commands=True)
    taken: list[NDArray[Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_stream, "WINDOW", window)
        patch.setattr(request_stream, "COMMANDS_AT_ONCE", commands)
        run, latency_ck = run_stream(in_pieces(requests, rng), DIE, controller, take=taken.append)
    assert np.concatenate(taken).tolist() == commands_of(whole).tolist()
    names = ("requests", "total_ck", "avg_gb_per_s", "rank_counts", "row_hits", "row_misses", "row_conflicts")
    assert [getattr(run, name) for name in names] == [getattr(whole, name) for name in names]
    assert (run.active_ck, run.refreshes.tolist()) == (whole.active_ck, whole.refreshes.tolist())
    waited = whole.served_at - requests[:, 0]
    if waited.max() < 4096:
        half, most = np.percentile(waited, [50, 99])
        known = {"mean": waited.mean(), "p50": half, "p99": most, "max": waited.max()}
        assert latency_ck == pytest.approx(known, rel=1e-12)


def test_memory_stays_the_same_for_long_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_stream, "WINDOW", 1 << 12)
    monkeypatch.setattr(request_stream, "COMMANDS_AT_ONCE", 1 << 12)

    def peak_bytes(pieces: int) -> int:
        """Requests without end, all there from the start."""
        rows = streaming(2000)
        tracemalloc.start()
        run_stream((rows for _ in range(pieces)), DIE, Controller())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(1)
    assert peak_bytes(60) < 1.5 * peak_bytes(4)


def test_a_stream_without_requests_has_no_waits() -> None:
    run, latency_ck = run_stream([], DIE, Controller(refresh="none"))
    assert (run.requests, run.total_ck, run.avg_gb_per_s) == (0, 0, 0)
    assert latency_ck == {"mean": None, "p50": None, "p99": None, "max": None}


def test_latency_counts_from_the_arrival() -> None:
    """A cold read takes 35 CK; one that finds the row open when it comes takes nCL + 2."""
    requests = np.array([[0, 0, 0, 5, 0], [30, 0, 0, 5, 16]])
    waits = run_stream([requests], DIE, Controller(refresh="none")).latency_ck
    assert waits == {"mean": 27, "p50": 27, "p99": pytest.approx(34.84), "max": 35}


@given(st.lists(st.integers(0, 1 << 51), min_size=1, max_size=50), st.integers(0, 50))
def test_percentiles_are_true_to_one_part_in_4096(waits: list[int], cut: int) -> None:
    counted = Latencies()
    counted.add(np.array(waits[:cut], np.int64))
    counted.add(np.array(waits[cut:], np.int64))
    found = counted.summary_ck()
    half, most = np.percentile(np.array(waits), [50, 99])
    assert found["p50"] == pytest.approx(half, rel=2**-12)
    assert found["p99"] == pytest.approx(most, rel=2**-12)
    assert found["mean"] == pytest.approx(sum(waits) / len(waits))
    assert found["max"] == max(waits)


def test_percentiles_of_short_waits_are_exact() -> None:
    counted, waits = Latencies(), np.random.default_rng(2).integers(0, 4096, 10_001)
    counted.add(waits)
    found = counted.summary_ck()
    assert [found["p50"], found["p99"]] == pytest.approx(np.percentile(waits, [50, 99]), rel=1e-12)
