"""Scores by ranks in turn: the same products bit for bit, legal commands, counts of the closed form, and less time."""

import numpy as np
import pytest
from executed import execute_commands, join_scores, spread_queries
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import count, die, random_int8, run, violations

from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.products import compile_scores
from lpspec.dram.pim.weights import PimChannel
from lpspec.machine.loading import load_platform
from lpspec.machine.pim_format import PimFormat

CHANNELS = 4


def closed_form(concurrent: int = 3, order: str = "in-turn") -> LpddrPim:
    changes = {"pim.concurrent_ranks": str(concurrent), "pim.scores_order": order}
    platform = load_platform("lp-spec", changes)
    assert platform.pim is not None
    assert platform.memory is not None
    return LpddrPim(platform.pim, platform.memory)


@settings(max_examples=60)
@given(
    heads=st.integers(1, 7),
    head_dim=st.sampled_from([32, 64, 80, 128, 300]),
    context=st.integers(1, 3000),
    queries=st.integers(1, 9),
    concurrent=st.integers(1, 3),
    parts=st.integers(1, 3),
    banks=st.sampled_from([1, 2]),
    depth=st.sampled_from([32, 64]),
    bits=st.sampled_from([4, 8]),
    seed=st.integers(0, 99),
)
def test_they_are_the_integer_products(
    heads: int,
    head_dim: int,
    context: int,
    queries: int,
    concurrent: int,
    parts: int,
    banks: int,
    depth: int,
    bits: int,
    seed: int,
) -> None:
    """Where ranks cannot take turns, programs are those of all ranks together."""
    rng, device = np.random.default_rng(seed), die(banks_per_mpu=banks, input_depth=depth)
    if bits == 4:
        device = device.model_copy(update={"pim_side": device.pim.model_copy(update={"formats": "w8a8 w4a8"})})
    channel = PimChannel(device, (0, 1, 2), concurrent, 4, PimFormat(bits, 8))
    kv = KvPlacement(channel, heads, head_dim, context, 2, parts=parts)
    most = 1 << bits - 1
    keys = rng.integers(-most, most, (heads, context, head_dim)).astype(np.int8)
    cells = channel.cells(kv.end_row)
    kv.write(cells, 0, keys, np.zeros_like(keys))
    q = random_int8(rng, heads, queries, head_dim)
    scores = execute(compile_scores(kv, context, queries, in_turn=True), cells, spread_queries(kv, q))
    assert np.array_equal(join_scores(kv, scores, context), q.astype(np.int64) @ keys.astype(np.int64).swapaxes(1, 2))


@pytest.mark.parametrize(
    ("head_dim", "heads", "parts", "queries", "concurrent"),
    [(128, 2, 3, 6, 3), (64, 2, 3, 4, 3), (80, 3, 1, 3, 3), (128, 3, 1, 4, 2)],
)
def test_commands_are_legal_and_compute_them(
    head_dim: int, heads: int, parts: int, queries: int, concurrent: int
) -> None:
    """Long enough for refreshes between tiles."""
    rng, channel = np.random.default_rng(1), PimChannel(die(), (0, 1, 2), concurrent, 4)
    kv = KvPlacement(channel, heads, head_dim, 9000, parts=parts)
    keys, q = random_int8(rng, heads, 9000, head_dim), random_int8(rng, heads, queries, head_dim)
    cells = channel.cells(kv.end_row)
    kv.write(cells, 0, keys, np.zeros_like(keys))
    program = compile_scores(kv, 9000, queries, in_turn=True)
    done = run(program, refresh="all-bank")
    assert violations(done, program) == []
    assert done.command_counts["PIM_REFAB"] > 3
    assert done.commands is not None
    found = execute_commands(program, done.commands, cells, spread_queries(kv, q))
    want = q.astype(np.int64) @ keys.astype(np.int64).swapaxes(1, 2)
    assert np.array_equal(join_scores(kv, found, 9000), want)
    together = run(compile_scores(kv, 9000, queries), refresh="all-bank")
    assert done.total_ck < together.total_ck


@settings(max_examples=60)
@given(
    heads=st.integers(1, 7),
    head_dim=st.sampled_from([32, 64, 80, 128, 256]),
    key_blocks=st.integers(1, 150),
    queries=st.integers(1, 10),
    concurrent=st.integers(1, 3),
)
def test_counts_equal_the_closed_form(
    heads: int, head_dim: int, key_blocks: int, queries: int, concurrent: int
) -> None:
    model, keys = closed_form(concurrent), 32 * key_blocks
    share = KvShare(CHANNELS * heads, head_dim, CHANNELS, concurrent, 64)
    kv = KvPlacement(PimChannel(die(), (0, 1, 2), concurrent, 4), heads, head_dim, keys, parts=share.parts)
    asked = Heads(CHANNELS * heads, share, queries, keys)
    work = model.scores_of(asked)
    counts = count(compile_scores(kv, keys, queries, in_turn=bool(work.in_turn)))
    assert (counts["PIM_MAC"], counts["PIM_IN"], counts["PIM_OUT"]) == (
        work.macs,
        work.input_bursts,
        work.output_bursts,
    )
    together = closed_form(concurrent, "together").scores_of(asked)
    assert model.busy_ns(work) <= model.busy_ns(together)


def test_by_hand() -> None:
    """Three heads of 128 over 1024 keys, 4 queries: 4 tiles on each rank, of 2 rows of MACs and a readback each."""
    kv = KvPlacement(PimChannel(die(), (0, 1, 2), 3, 4), 3, 128, 1024)
    counts = count(compile_scores(kv, 1024, 4, in_turn=True))
    assert counts["PIM_MAC"] == (3 * 4 + 1) * 64  # a row in every slot but the last, in which a rank reads back alone
    assert counts["PIM_IN"] == 3 * 4 * 128 // 32  # queries once, not for each tile
    assert counts["PIM_OUT"] == 3 * 4 * 1024 * 4 // 32
    assert counts["PIM_ACT"] == 3 * 4 * 2


@pytest.mark.parametrize(("heads", "head_dim"), [(8, 128), (8, 64)])
def test_commands_take_what_the_closed_form_says(heads: int, head_dim: int) -> None:
    """Eight key-value heads, four queries each, 8,192 positions."""
    platform = load_platform("lp-spec", {"pim.scores_order": "in-turn"})
    model, memory = closed_form(), PackageCommands(platform)
    asked = Heads(heads, KvShare(heads, head_dim, CHANNELS, 3, 64), 16, 8192)
    work = model.scores_of(asked)
    assert work.in_turn
    assert memory.scores(asked, 0.0).latency_ns == pytest.approx(float(model.busy_ns(work)), rel=0.04)
