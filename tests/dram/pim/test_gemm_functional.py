"""Products computed by PIM commands equal integer arithmetic bit for bit, by program and as the channel ran it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from executed import execute_commands, join_scores, join_values, spread_probabilities, spread_queries
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import die, fill_cache, random_int8, run, violations

from lpspec.dram.engine import state
from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.functional import PimDies, execute
from lpspec.dram.pim.products import PimProgram, compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, WeightPlacement, place_weights
from lpspec.errors import InputError
from lpspec.machine.loading import die_names, load_die

GARBAGE = -77


@st.composite
def channels(draw: st.DrawFn, depths: tuple[int, ...] = (64, 64, 64, 32, 24, 128)) -> PimChannel:
    device = die(
        alus=draw(st.sampled_from([1, 2, 4])),
        banks_per_mpu=draw(st.sampled_from([1, 2])),
        input_depth=draw(st.sampled_from(depths)),
        reach=draw(st.sampled_from(["die", "mpus"])),
    )
    ranks = draw(st.permutations(range(4)))[: draw(st.integers(1, 3))]
    return PimChannel(device, tuple(ranks), draw(st.integers(1, len(ranks))), 4)


@dataclass
class Product:
    placement: WeightPlacement
    program: PimProgram
    weights: Any
    inputs: Any
    cells: Any

    @property
    def expected(self) -> Any:
        return self.inputs.astype(np.int64) @ self.weights.astype(np.int64)


def product(
    channel: PimChannel, k: int, n: int, tokens: int, start: int = 0, split: Any = "auto", seed: int = 0
) -> Product:
    rng = np.random.default_rng(seed)
    placement = place_weights(channel, k, n, start, split)
    weights, inputs = random_int8(rng, k, n), random_int8(rng, 1, tokens, k)
    cells = channel.cells(placement.end_row, GARBAGE)
    placement.write(cells, weights)
    return Product(placement, compile_gemm(placement, tokens), weights, inputs, cells)


@settings(max_examples=150)
@given(
    channel=channels(),
    k=st.integers(1, 700),
    n=st.integers(1, 1700),
    tokens=st.integers(1, 9),
    start=st.integers(0, 20),
    split=st.sampled_from(["auto", "never", "left-over", "always"]),
    seed=st.integers(0, 99),
)
def test_a_program_computes_the_integer_product(
    channel: PimChannel, k: int, n: int, tokens: int, start: int, split: str, seed: int
) -> None:
    p = product(channel, k, n, tokens, start, split, seed)
    assert np.array_equal(execute(p.program, p.cells, p.inputs), p.expected)


@settings(max_examples=25)
@given(
    channel=channels(depths=(64,)),  # the checker knows sets of 64 only
    k=st.integers(1, 1500),
    n=st.integers(1, 1100),
    tokens=st.integers(1, 6),
    split=st.sampled_from(["auto", "never", "left-over", "always"]),
)
def test_the_engine_runs_it_legally_and_its_commands_compute_the_same(
    channel: PimChannel, k: int, n: int, tokens: int, split: str
) -> None:
    p = product(channel, k, n, tokens, 3, split)
    done = run(p.program)
    assert violations(done, p.program) == []
    assert done.commands is not None
    assert np.array_equal(execute_commands(p.program, done.commands, p.cells, p.inputs), p.expected)


@pytest.mark.parametrize("fairness", ["pim-first", "npu-first", "round-robin"])
@pytest.mark.parametrize("concurrent", [1, 2, 3])
def test_traffic_of_the_npu_beside_it_changes_times_only(fairness: str, concurrent: int) -> None:
    p = product(PimChannel(die(), (0, 1, 2), concurrent, 4), 1000, 1024, 5)
    i = np.arange(3000)
    reads = np.stack([0 * i, 0 * i, 48 + i % 4 * 4, i // 256, i // 4 % 64 * 16], 1)
    done = run(p.program, reads, fairness=fairness)
    assert violations(done, p.program) == []
    assert done.commands is not None
    assert np.array_equal(execute_commands(p.program, done.commands, p.cells, p.inputs), p.expected)


@pytest.mark.parametrize("name", die_names())
@pytest.mark.parametrize(("refresh", "activate"), [("per-bank", "faw"), ("all-bank", "at_once"), ("none", "faw")])
def test_every_die_and_refresh(name: str, refresh: str, activate: str) -> None:
    p = product(PimChannel(die(load_die(name), activate), (1, 2), 2, 4), 2000, 1100, 4)
    done = run(p.program, refresh=refresh)
    assert violations(done, p.program, refresh) == []
    assert done.commands is not None
    assert np.array_equal(execute_commands(p.program, done.commands, p.cells, p.inputs), p.expected)


def test_whole_loops_of_refresh_points_keep_retention() -> None:
    """A tile of 11008 k runs longer than a bank may wait for refresh."""
    p = product(PimChannel(die(), (0, 1, 2), 3, 4), 11008, 1024, 5)
    done = run(p.program)
    assert done.command_counts["PIM_REFAB"] > 9
    assert violations(done, p.program) == []
    assert done.commands is not None
    assert np.array_equal(execute_commands(p.program, done.commands, p.cells, p.inputs), p.expected)


@settings(max_examples=60)
@given(
    channel=channels(),
    heads=st.integers(1, 8),
    head_dim=st.sampled_from([32, 64, 80, 128, 300]),
    context=st.integers(1, 330),
    room=st.integers(0, 100),
    queries=st.integers(1, 9),
    per_die=st.integers(1, 3),
    parts=st.integers(1, 4),
    value_dim=st.sampled_from([None, 32, 96, 512]),
    seed=st.integers(0, 99),
)
def test_attention_computes_the_integer_products(
    channel: PimChannel,
    heads: int,
    head_dim: int,
    context: int,
    room: int,
    queries: int,
    per_die: int,
    parts: int,
    value_dim: int | None,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    kv = KvPlacement(channel, heads, head_dim, context + room, 2, per_die, parts, value_dim)
    keys, values = (random_int8(rng, heads, context, width) for width in (head_dim, value_dim or head_dim))
    cells = channel.cells(kv.end_row, GARBAGE)
    kv.write(cells, 0, keys, values)
    q, p = random_int8(rng, heads, queries, head_dim), random_int8(rng, heads, queries, context)
    scores = execute(compile_scores(kv, context, queries), cells, spread_queries(kv, q))
    assert np.array_equal(join_scores(kv, scores, context), q.astype(np.int64) @ keys.astype(np.int64).swapaxes(1, 2))
    results = execute(compile_values(kv, context, queries), cells, spread_probabilities(kv, p))
    assert np.array_equal(join_values(kv, results), p.astype(np.int64) @ values.astype(np.int64))


@settings(max_examples=30)
@given(
    st.sampled_from([(2, 3), (3, 1), (1, 2)]),
    st.integers(2, 330),
    st.data(),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_positions_of_pim_and_those_of_the_npu_make_the_whole(
    heads_and_parts: tuple[int, int], context: int, data: st.DataObject, queries: int, seed: int
) -> None:
    """PIM takes the first positions of every head, the NPU the others: scores side by side, values added."""
    heads, parts = heads_and_parts
    rng, first = np.random.default_rng(seed), data.draw(st.integers(1, context))
    channel = PimChannel(die(), (0, 1, 2), 3, 4)
    kv = KvPlacement(channel, heads, 64, context, parts=parts)
    keys, values, q, p = (
        random_int8(rng, heads, *shape).astype(np.int8)
        for shape in ((context, 64), (context, 64), (queries, 64), (queries, context))
    )
    cells = channel.cells(kv.end_row, GARBAGE)
    kv.write(cells, 0, keys, values)
    wide = [array.astype(np.int64) for array in (keys, values, q, p)]
    on_pim = execute(compile_scores(kv, first, queries), cells, spread_queries(kv, q))
    by_npu = wide[2] @ wide[0][:, first:].swapaxes(1, 2)
    scores = np.concatenate([join_scores(kv, on_pim, first), by_npu], axis=2)
    assert np.array_equal(scores, wide[2] @ wide[0].swapaxes(1, 2))
    results = execute(compile_values(kv, first, queries), cells, spread_probabilities(kv, p[..., :first]))
    assert np.array_equal(join_values(kv, results) + wide[3][..., first:] @ wide[1][:, first:], wide[3] @ wide[1])


@pytest.mark.parametrize("reach", ["die", "mpus"])
@pytest.mark.parametrize(("queries", "concurrent", "banks"), [(1, 3, 2), (4, 3, 2), (3, 2, 2), (6, 3, 1)])
def test_attention_on_the_engine(queries: int, concurrent: int, banks: int, reach: str) -> None:
    """Eight heads of 128 on a channel, as a quarter of Llama2-7B's layer."""
    rng = np.random.default_rng(1)
    channel = PimChannel(die(banks_per_mpu=banks, reach=reach), (0, 1, 2), concurrent, 4)
    kv = KvPlacement(channel, 8, 128, 512)
    keys, values = random_int8(rng, 8, 300, 128), random_int8(rng, 8, 300, 128)
    cells = channel.cells(kv.end_row, GARBAGE)
    kv.write(cells, 0, keys, values)
    q, p = random_int8(rng, 8, queries, 128), random_int8(rng, 8, queries, 300)
    for program, inputs, want in [
        (compile_scores(kv, 300, queries), q, q.astype(np.int64) @ keys.astype(np.int64).swapaxes(1, 2)),
        (compile_values(kv, 300, queries), p, p.astype(np.int64) @ values.astype(np.int64)),
    ]:
        done = run(program)
        assert violations(done, program) == []
        assert done.commands is not None
        assert np.array_equal(execute_commands(program, done.commands, cells, inputs), want)


def test_a_cache_grows_token_by_token() -> None:
    rng = np.random.default_rng(2)
    channel = PimChannel(die(), (0, 1, 2), 3, 4)
    kv = KvPlacement(channel, 4, 64, 70)
    keys, values, q = random_int8(rng, 4, 70, 64), random_int8(rng, 4, 70, 64), random_int8(rng, 4, 2, 64)
    grown, at_once = channel.cells(kv.end_row), channel.cells(kv.end_row)
    fill_cache(kv, keys, values, grown)
    kv.write(at_once, 0, keys, values)
    assert np.array_equal(grown, at_once)
    for context in (1, 31, 33, 70):
        scores = execute(compile_scores(kv, context, 2), grown, q)
        assert np.array_equal(scores, q.astype(np.int64) @ keys[:, :context].astype(np.int64).swapaxes(1, 2))


def test_matrices_beside_each_other_do_not_disturb_each_other() -> None:
    channel = PimChannel(die(), (0, 1, 2), 3, 4)
    rng = np.random.default_rng(3)
    first = place_weights(channel, 300, 1000, 4)
    second = place_weights(channel, 500, 700, first.end_row)
    kv = KvPlacement(channel, 3, 64, 100, second.end_row)
    cells = channel.cells(kv.end_row, GARBAGE)
    a, b = random_int8(rng, 300, 1000), random_int8(rng, 500, 700)
    keys, values = random_int8(rng, 3, 100, 64), random_int8(rng, 3, 100, 64)
    first.write(cells, a)
    second.write(cells, b)
    kv.write(cells, 0, keys, values)
    x, y = random_int8(rng, 1, 4, 300), random_int8(rng, 1, 4, 500)
    assert np.array_equal(execute(compile_gemm(first, 4), cells, x), x.astype(np.int64) @ a.astype(np.int64))
    assert np.array_equal(execute(compile_gemm(second, 4), cells, y), y.astype(np.int64) @ b.astype(np.int64))


# --- errors, and that the data really goes through the commands ---------------------------------------------------


@pytest.mark.parametrize(("k", "fits"), [(131071, True), (131072, False)])
def test_a_sum_beyond_int32_is_an_error(k: int, fits: bool) -> None:
    """131072 products of -128 x -128 are 2^31, one more than INT32 holds."""
    channel = PimChannel(die(), (0,))
    placement = place_weights(channel, k, 3)
    cells = channel.cells(placement.end_row)
    placement.write(cells, np.full((k, 3), -128, np.int8))
    program, inputs = compile_gemm(placement, 1), np.full((1, 1, k), -128, np.int8)
    if fits:
        assert (execute(program, cells, inputs) == k * 2**14).all()
    else:
        with pytest.raises(InputError, match="leaves INT32"):
            execute(program, cells, inputs)


def test_a_sum_that_leaves_int32_on_the_way_and_comes_back_is_an_error_too() -> None:
    channel = PimChannel(die(), (0,))
    k = 131072 + 64
    placement = place_weights(channel, k, 1)
    cells = channel.cells(placement.end_row)
    weights = np.full((k, 1), -128, np.int8)
    weights[131072:] = 127
    placement.write(cells, weights)
    with pytest.raises(InputError, match="leaves INT32"):
        execute(compile_gemm(placement, 1), cells, np.full((1, 1, k), -128, np.int8))


@pytest.mark.parametrize(
    ("op", "field", "by"),
    [
        (state.PIM_ACT, state.I_ROW, 1),
        (state.PIM_IN, state.I_DATA, 1),
        (state.PIM_MAC, state.I_SET, 1),
        (state.PIM_MAC, state.I_COLUMN, -1),
        (state.PIM_MAC, state.I_COUNT, -1),
        (state.PIM_OUT, state.I_COLUMN, 1),
    ],
)
def test_a_wrong_row_slot_set_or_column_gives_wrong_numbers(op: int, field: int, by: int) -> None:
    p = product(PimChannel(die(), (0, 1)), 640, 300, 4)
    lines = p.program.lines.copy()
    at = np.flatnonzero(lines[:, state.I_OP] == op)[-1]
    if op == state.PIM_MAC and field == state.I_COLUMN:
        lines[at, state.I_COUNT] -= 1
        lines[at, field] += 1
    elif op == state.PIM_MAC and field == state.I_SET:
        lines[at, field] ^= 1
    elif op == state.PIM_ACT:
        lines[at, field] -= by
    else:
        lines[at, field] += by
    if op == state.PIM_OUT:
        lines[at, state.I_COUNT] = min(lines[at, state.I_COUNT], 128 - lines[at, field])
    broken = replace(p.program, lines=lines, input_bursts=p.program.input_bursts + 1)
    assert not np.array_equal(execute(broken, p.cells, p.inputs), p.expected)


def test_a_readback_left_out_is_noticed() -> None:
    p = product(PimChannel(die(), (0,)), 64, 512, 4)
    lines = p.program.lines[p.program.lines[:, state.I_OP] != state.PIM_OUT]
    with pytest.raises(InputError, match="was read 0 times"):
        execute(replace(p.program, lines=lines), p.cells, p.inputs)


def test_sums_start_anew_with_the_first_mac_after_a_readback() -> None:
    channel = PimChannel(die(), (0,))
    dies = PimDies(channel, channel.cells(1, fill=3))
    dies.enter(1)
    dies.activate(1, 0, 0)
    for slot in range(8):
        dies.load(1, slot, np.full(32, 2, np.int8))
    dies.mac(1, 0, 0, column=0, count=10)
    dies.mac(1, 0, 0, column=10, count=1)
    assert (dies.read(0, 7, 15) == 66).all()
    assert (dies.read(0, 0, 0) == 66).all()
    dies.mac(1, 0, 0, column=0)
    assert (dies.read(0, 7, 15) == 6).all()


@pytest.mark.parametrize(
    ("command", "match"),
    [
        (lambda dies: dies.mac(1, 1, 0, 0), "closed row"),
        (lambda dies: dies.activate(1, 0, 0), "while row 0 is open"),
        (lambda dies: dies.activate(1, 1, 1), "data lies in rows 0 to 0"),
        (lambda dies: dies.leave(1), "with a row open"),
        (lambda dies: dies.mac(2, 0, 0, 0), "not in PIM mode"),
    ],
)
def test_what_no_die_can_do_is_an_error(command: Callable[[PimDies], None], match: str) -> None:
    channel = PimChannel(die(), (0, 1))
    dies = PimDies(channel, channel.cells(1))
    dies.enter(1)
    dies.activate(1, 0, 0)
    with pytest.raises(InputError, match=match):
        command(dies)
