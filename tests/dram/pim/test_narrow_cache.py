"""A cache of 4 bits in the banks: bit-exact programs, legal commands, counts of the closed forms, what appends take."""

from typing import Any

import numpy as np
import pytest
from executed import execute_commands, join_scores, join_values, spread_probabilities, spread_queries
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import count, die, fill_cache, random_int8, run, violations

from lpspec.devices.kv_append import append_to_pim, columns_of_keys
from lpspec.devices.pim import LpddrPim
from lpspec.dram.pim.cache import KvPlacement, parts_for
from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.products import compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel
from lpspec.errors import InputError
from lpspec.llm.operators import Attention
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_platform
from lpspec.machine.pim_format import PimFormat

NARROW = PimFormat(4, 8)
FORMATS = "w8a8 w4a8"
CHANNELS = 4


def narrow_die(reach: str = "die", **counts: Any) -> DieSpec:
    wide = die(reach=reach, **counts)
    return wide.model_copy(update={"pim_side": wide.pim.model_copy(update={"formats": FORMATS})})


def narrow_channel(reach: str = "die", concurrent: int = 3, **counts: float) -> PimChannel:
    return PimChannel(narrow_die(reach, **counts), (0, 1, 2), concurrent, 4, NARROW)


def random_int4(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-8, 8, shape).astype(np.int8)


def closed_form(concurrent: int = 3, reach: str = "die") -> LpddrPim:
    changes = {"pim.formats": FORMATS, "pim.concurrent_ranks": str(concurrent), "pim.input_reach": reach}
    platform = load_platform("lp-spec", changes)
    assert platform.pim is not None
    assert platform.memory is not None
    return LpddrPim(platform.pim, platform.memory)


def attention(heads: int, head_dim: int, queries: int, keys: int, bits: int = 4) -> Attention:
    every = CHANNELS * heads
    return Attention("attention", 1, queries, keys - queries, queries * keys, every, every, head_dim, bits, 8)


@settings(max_examples=40)
@given(
    heads=st.integers(1, 8),
    head_dim=st.sampled_from([32, 64, 80, 128]),
    context=st.integers(1, 330),
    queries=st.integers(1, 9),
    parts=st.integers(1, 3),
    reach=st.sampled_from(["die", "mpus"]),
    banks=st.sampled_from([1, 2]),
    alus=st.sampled_from([1, 4]),
    seed=st.integers(0, 99),
)
def test_attention_computes_the_integer_products(
    heads: int, head_dim: int, context: int, queries: int, parts: int, reach: str, banks: int, alus: int, seed: int
) -> None:
    rng, channel = np.random.default_rng(seed), narrow_channel(reach, banks_per_mpu=banks, alus=alus)
    kv = KvPlacement(channel, heads, head_dim, context, 2, 1, parts)
    keys, values = random_int4(rng, heads, context, head_dim), random_int4(rng, heads, context, head_dim)
    cells = channel.cells(kv.end_row)
    kv.write(cells, 0, keys, values)
    q, p = random_int8(rng, heads, queries, head_dim), random_int8(rng, heads, queries, context)
    scores = execute(compile_scores(kv, context, queries), cells, spread_queries(kv, q))
    assert np.array_equal(join_scores(kv, scores, context), q.astype(np.int64) @ keys.astype(np.int64).swapaxes(1, 2))
    results = execute(compile_values(kv, context, queries), cells, spread_probabilities(kv, p))
    assert np.array_equal(join_values(kv, results), p.astype(np.int64) @ values.astype(np.int64))


@pytest.mark.parametrize("reach", ["die", "mpus"])
def test_commands_are_legal_and_compute_it(reach: str) -> None:
    """Eight heads of 128 on a channel, 300 positions: two columns of keys hold what five did."""
    rng, channel = np.random.default_rng(1), narrow_channel(reach)
    kv = KvPlacement(channel, 8, 128, 512)
    keys, values = random_int4(rng, 8, 300, 128), random_int4(rng, 8, 300, 128)
    cells = channel.cells(kv.end_row)
    fill_cache(kv, keys, values, cells)
    q, p = random_int8(rng, 8, 3, 128), random_int8(rng, 8, 3, 300)
    for program, inputs, want in [
        (compile_scores(kv, 300, 3), q, q.astype(np.int64) @ keys.astype(np.int64).swapaxes(1, 2)),
        (compile_values(kv, 300, 3), p, p.astype(np.int64) @ values.astype(np.int64)),
    ]:
        done = run(program)
        assert violations(done, program) == []
        assert done.commands is not None
        assert np.array_equal(execute_commands(program, done.commands, cells, inputs), want)


@settings(max_examples=40)
@given(
    heads=st.integers(1, 9),
    head_dim=st.sampled_from([64, 80, 128]),
    key_blocks=st.integers(1, 40),
    queries=st.integers(1, 10),
    concurrent=st.integers(1, 3),
    reach=st.sampled_from(["die", "mpus"]),
)
def test_counts_equal_the_closed_forms(
    heads: int, head_dim: int, key_blocks: int, queries: int, concurrent: int, reach: str
) -> None:
    """Blocks are of 32 positions, so the last column of keys may be half full."""
    keys, model = 32 * key_blocks, closed_form(concurrent, reach)
    kv = KvPlacement(narrow_channel(reach, concurrent), heads, head_dim, keys, parts=parts_for(heads, concurrent))
    op = attention(heads, head_dim, queries, keys)
    works = model.scores(op, CHANNELS * heads), model.values(op, CHANNELS * heads)
    for program, work in zip(
        (compile_scores(kv, keys, queries), compile_values(kv, keys, queries)), works, strict=True
    ):
        counts = count(program)
        found = counts["PIM_MAC"], counts["PIM_IN"], counts["PIM_OUT"]
        assert found == (work.macs, work.input_bursts, work.output_bursts)


def test_a_column_has_twice_the_lanes_by_hand() -> None:
    """One head of 128 over 1024 positions, 4 queries: 2 units of 512 keys; values in two MPUs of eight."""
    kv = KvPlacement(PimChannel(narrow_die(), (0,), 1, 1, NARROW), 1, 128, 1024)
    scores, values = count(compile_scores(kv, 1024, 4)), count(compile_values(kv, 1024, 4))
    assert scores["PIM_MAC"] == 2 * 128
    assert scores["PIM_OUT"] == 4 * 1024 * 4 // 32
    assert scores["PIM_IN"] == 2 * 4 * 128 // 32
    assert values["PIM_MAC"] == 1024
    assert values["PIM_OUT"] == 4 * 128 * 4 // 32
    assert len(kv.append_places(64, 1)) == 128 + 2  # a byte of 128 columns, and two whole columns of values


def test_banks_hold_no_more_than_the_bits_of_the_format() -> None:
    channel = narrow_channel()
    kv = KvPlacement(channel, 1, 32, 32)
    cells = channel.cells(kv.end_row)
    kv.write(cells, 0, np.full((1, 1, 32), 8, np.int8), np.zeros((1, 1, 32), np.int8))
    with pytest.raises(InputError, match="more than 4 bits"):
        execute(compile_scores(kv, 1, 1), cells, np.ones((1, 1, 32), np.int8))


def test_appending_reads_bytes_of_keys_that_another_position_shares() -> None:
    """A token of a head of 128: 128 bursts of keys read and written, 2 of values written; INT8 128 and 4 written."""
    model = closed_form()
    narrow, wide = (append_to_pim(model, attention(1, 128, 1, 33, bits), 1).activity for bits in (4, 8))
    burst_bits = 32 * 8 * CHANNELS
    assert narrow.io_bits == 128 * burst_bits
    assert narrow.activation_memory_bits == (128 + 2) * burst_bits
    assert (wide.io_bits, wide.activation_memory_bits) == (0, (128 + 4) * burst_bits)
    assert [columns_of_keys(blocks, 2) for blocks in range(1, 6)] == [1, 2, 2, 3, 3]
    for first in range(4):  # blocks of 32 positions, from any of them on, lie in so many columns of 64 at most
        for blocks in range(1, 9):
            assert (first + blocks - 1) // 2 - first // 2 + 1 <= columns_of_keys(blocks, 2)
