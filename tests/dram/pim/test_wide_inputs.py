"""Activations of 16 bits: programs against numbers added one by one, legal commands, and the closed forms."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from executed import execute_commands, join_scores, join_values, spread_probabilities, spread_queries
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import count, die, run, violations

from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.dram.pim.cache import KvPlacement, parts_for
from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.products import compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, WeightPlacement, place_weights
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.llm.operators import Attention
from lpspec.machine.loading import load_platform
from lpspec.machine.pim_format import INT8, PimFormat
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.scenario import DEFAULT

W8A16, W4A16 = PimFormat(8, 16), PimFormat(4, 16)
WIDE = [W8A16, W4A16]
ALL = "w8a8 w4a8 w8a16 w4a16"
CHANNELS = 4
Numbers = NDArray[Any]


def channel(form: PimFormat, concurrent: int = 3, reach: str = "die", **counts: Any) -> PimChannel:
    some = die(reach=reach, **counts)
    device = some.model_copy(update={"pim_side": some.pim.model_copy(update={"formats": ALL})})
    return PimChannel(device, (0, 1, 2), concurrent, 4, form)


def platform(name: str = "lp-spec", **changes: str) -> PlatformSpec:
    return load_platform(name, {"pim.formats": ALL} | {f"pim.{key}": value for key, value in changes.items()})


def closed_form(machine: PlatformSpec) -> LpddrPim:
    assert machine.pim is not None
    assert machine.memory is not None
    return LpddrPim(machine.pim, machine.memory)


def weights_of(rng: np.random.Generator, form: PimFormat, *shape: int) -> NDArray[np.int8]:
    most = 1 << form.weight_bits - 1
    return rng.integers(-most, most, shape).astype(np.int8)


def halves(rng: np.random.Generator, *shape: int) -> NDArray[np.float16]:
    """Of all sizes that activations have, some of them too small for a normal half."""
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-20, 10, shape)).astype(np.float16)


def added_one_by_one(x: Numbers, w: Numbers) -> Numbers:
    """What (tokens, k) x (k, n) gives when every addition is rounded to 24 bits: each exact in 53, then rounded."""
    sums = np.zeros((len(x), w.shape[1]), np.float32)
    for i, row in enumerate(x.astype(np.float64)):
        for k in range(w.shape[0]):
            sums[i] = (sums[i].astype(np.float64) + row[k] * w[k].astype(np.float64)).astype(np.float32)
    return sums


def whole(placement: WeightPlacement, x: Numbers, w: Numbers) -> Numbers:
    """The same of a whole product, what ranks that share the k of some outputs sum up added in their order."""
    found = np.zeros((len(x), w.shape[1]), np.float32)
    for unit in (unit for tile in placement.tiles() for unit in tile):
        some = slice(unit.k_first, unit.k_first + unit.k)
        columns = slice(unit.blocks[0].first, unit.blocks[-1].first + unit.blocks[-1].lanes)
        found[:, columns] += added_one_by_one(x[:, some], w[some, columns])
    return found


@settings(max_examples=30)
@given(
    form=st.sampled_from(WIDE),
    tokens=st.integers(1, 9),
    k=st.sampled_from([1, 33, 64, 100, 192]),
    n=st.integers(1, 1500),
    alus=st.sampled_from([1, 3, 4]),
    depth=st.sampled_from([2, 24, 33, 64, 100, 256]),
    k_split=st.booleans(),
    seed=st.integers(0, 99),
)
def test_programs_add_halves_one_by_one(
    form: PimFormat, tokens: int, k: int, n: int, alus: int, depth: int, k_split: bool, seed: int
) -> None:
    rng, on = np.random.default_rng(seed), channel(form, alus=alus, input_depth=depth)
    placement = place_weights(on, k, n, split="left-over" if k_split else "never")
    weights, inputs = weights_of(rng, form, k, n), halves(rng, 1, tokens, k)
    cells = on.cells(placement.end_row)
    placement.write(cells, weights)
    found = execute(compile_gemm(placement, tokens), cells, inputs)[0]
    assert found.dtype == np.float32
    assert np.array_equal(found, whole(placement, inputs[0], weights))


def test_whole_numbers_give_the_integer_product() -> None:
    """Sums below 2^24 are exact in single precision, so they are those of integers."""
    rng, on = np.random.default_rng(3), channel(W8A16)
    placement = place_weights(on, 500, 900)
    weights, inputs = weights_of(rng, W8A16, 500, 900), rng.integers(-256, 256, (1, 6, 500))
    cells = on.cells(placement.end_row)
    placement.write(cells, weights)
    found = execute(compile_gemm(placement, 6), cells, inputs.astype(np.float16))[0]
    assert np.array_equal(found, inputs[0] @ weights.astype(np.int64))


@pytest.mark.parametrize("form", WIDE)
@pytest.mark.parametrize("alus", [1, 4])
@pytest.mark.parametrize("depth", [24, 64, 128])
def test_commands_are_legal_and_compute_it(form: PimFormat, alus: int, depth: int) -> None:
    rng, on = np.random.default_rng(1), channel(form, alus=alus, input_depth=depth)
    placement = place_weights(on, 200, 1000)
    weights, inputs = weights_of(rng, form, 200, 1000), halves(rng, 1, 5, 200)
    cells = on.cells(placement.end_row)
    placement.write(cells, weights)
    program = compile_gemm(placement, 5)
    done = run(program)
    assert violations(done, program) == []
    assert done.commands is not None
    found = execute_commands(program, done.commands, cells, inputs)[0]
    assert np.array_equal(found, whole(placement, inputs[0], weights))


def test_the_checker_sees_inputs_of_two_bytes_that_are_missing() -> None:
    """Every MAC needs the burst that holds its input: without the second of a set's two, its later MACs have none."""
    program = compile_gemm(place_weights(channel(W8A16, alus=1), 64, 256), 1)
    done = run(program)
    assert done.commands is not None
    sent = np.flatnonzero(done.commands["command"] == "PIM_IN")
    assert len(sent) == 4  # 128 bytes of a row, two sets of registers
    assert violations(done, program) == []
    done.commands["command"][sent[1]] = "CAS"  # harmless where WCK runs
    assert [line for line in violations(done, program) if "input_ready" in line]


@settings(max_examples=25)
@given(
    form=st.sampled_from(WIDE),
    heads=st.integers(1, 6),
    head_dim=st.sampled_from([32, 64, 80, 128]),
    context=st.integers(1, 200),
    queries=st.integers(1, 6),
    parts=st.integers(1, 3),
    reach=st.sampled_from(["die", "mpus"]),
    depth=st.sampled_from([64, 256]),
    in_turn=st.booleans(),
    seed=st.integers(0, 99),
)
def test_attention_adds_halves_one_by_one(
    form: PimFormat,
    heads: int,
    head_dim: int,
    context: int,
    queries: int,
    parts: int,
    reach: str,
    depth: int,
    in_turn: bool,
    seed: int,
) -> None:
    rng, on = np.random.default_rng(seed), channel(form, reach=reach, input_depth=depth)
    kv = KvPlacement(on, heads, head_dim, context, 2, 1, parts)
    keys, values = (weights_of(rng, form, heads, context, head_dim) for _ in range(2))
    cells = on.cells(kv.end_row)
    kv.write(cells, 0, keys, values)
    q, p = halves(rng, heads, queries, head_dim), halves(rng, heads, queries, context)
    scores = execute(compile_scores(kv, context, queries, in_turn=in_turn), cells, spread_queries(kv, q))
    want = np.stack([added_one_by_one(x, w.T) for x, w in zip(q, keys, strict=True)])
    if not (in_turn and head_dim > 64):  # ranks in turn begin every other tile with its second row
        assert np.array_equal(join_scores(kv, scores, context), want)
    else:
        exact = q.astype(np.float64) @ keys.astype(np.float64).swapaxes(1, 2)
        most = np.abs(q.astype(np.float64)) @ np.abs(keys.astype(np.float64)).swapaxes(1, 2)
        assert (np.abs(join_scores(kv, scores, context) - exact) <= most * head_dim * 2.0**-24).all()
    results = execute(compile_values(kv, context, queries), cells, spread_probabilities(kv, p))
    by_part, places = kv._dealt(np.arange(context))
    for head in range(heads):
        dealt = [places[by_part == part] for part in range(parts)]
        of_part = [
            added_one_by_one(p[head][:, by_part == part], values[head][by_part == part])
            for part, some in enumerate(dealt)
            if len(some)
        ]
        assert np.array_equal(join_values(kv, results)[head], reduce(np.add, of_part))


@settings(max_examples=30)
@given(
    form=st.sampled_from(WIDE),
    tokens=st.integers(1, 9),
    k=st.integers(1, 20),
    blocks=st.integers(1, 70),
    concurrent=st.integers(1, 3),
)
def test_counts_of_products_equal_the_closed_forms(
    form: PimFormat, tokens: int, k: int, blocks: int, concurrent: int
) -> None:
    program = compile_gemm(place_weights(channel(form, concurrent), 32 * k, 64 * blocks, split="never"), tokens)
    work = closed_form(platform(concurrent_ranks=str(concurrent))).gemm(tokens, 32 * k, CHANNELS * 64 * blocks, form)
    found = count(program)
    assert (found["PIM_MAC"], found["PIM_IN"], found["PIM_OUT"]) == (work.macs, work.input_bursts, work.output_bursts)


@settings(max_examples=30)
@given(
    form=st.sampled_from(WIDE),
    heads=st.integers(1, 9),
    head_dim=st.sampled_from([64, 96, 128]),
    key_blocks=st.integers(1, 40),
    queries=st.integers(1, 10),
    concurrent=st.integers(1, 3),
    reach=st.sampled_from(["die", "mpus"]),
)
def test_counts_of_attention_equal_the_closed_forms(
    form: PimFormat, heads: int, head_dim: int, key_blocks: int, queries: int, concurrent: int, reach: str
) -> None:
    keys, model = 32 * key_blocks, closed_form(platform(concurrent_ranks=str(concurrent), input_reach=reach))
    kv = KvPlacement(channel(form, concurrent, reach), heads, head_dim, keys, parts=parts_for(heads, concurrent))
    every, pairs = CHANNELS * heads, queries * keys
    op = Attention("attention", 1, queries, keys - queries, pairs, every, every, head_dim, form.weight_bits, 16)
    works = model.scores(op, every), model.values(op, every)
    for program, work in zip(
        (compile_scores(kv, keys, queries), compile_values(kv, keys, queries)), works, strict=True
    ):
        counts = count(program)
        found = counts["PIM_MAC"], counts["PIM_IN"], counts["PIM_OUT"]
        assert found == (work.macs, work.input_bursts, work.output_bursts)


@pytest.mark.parametrize("form", WIDE)
@pytest.mark.parametrize("name", ["lp-spec", "lp5x-pim"])
@pytest.mark.parametrize("tokens", [1, 4, 6])
def test_both_levels_agree(form: PimFormat, name: str, tokens: int) -> None:
    """4096 x 14336, as a feed-forward layer has it: MACs as of 8-bit activations, twice the inputs, FP16's price."""
    machine = platform(name)
    pim, memory = closed_form(machine), PackageCommands(machine)
    narrow = PimFormat(form.weight_bits, 8)
    took = {}
    for one in (narrow, form):
        work = pim.gemm(tokens, 4096, 14_336, one)
        found = memory.product(tokens, 4096, 14_336, memory.jobs.computing(pim.spec.concurrent_ranks.n, one), 0.0)
        took[one] = float(found.latency_ns)
        assert took[one] == pytest.approx(float(np.maximum(pim.busy_ns(work), pim.bus_ns(work))), rel=0.10)
        closed = pim.activity(work)
        for event in ("pim_macs_int8", "macs_fp16", "column_bits", "activation_input_bits", "activation_io_bits"):
            assert float(getattr(found.activity, event)) == pytest.approx(float(getattr(closed, event)), rel=0.02)
    assert took[form] > 0.999 * took[narrow]


@pytest.mark.parametrize("bits", [4, 8])
def test_a_model_with_activations_of_16_bits_runs_by_commands(bits: int) -> None:
    """As much as in closed form, within the 10 % that both levels may differ by."""
    scenario = DEFAULT.replace(
        model="tinyllama", weights=bits, activations=16, systems=("lp5x-pim",), new_tokens=4, prompt_tokens=16
    )
    (timed,), (closed,) = (compare(scenario.replace(fidelity=level)).runs for level in ("command", "analytic"))
    assert (timed.fidelity, closed.fidelity) == ("command", "analytic")
    assert timed.tokens_per_s == pytest.approx(closed.tokens_per_s, rel=0.10)
    assert timed.mj_per_token == pytest.approx(closed.mj_per_token, rel=0.10)


def test_registers_without_room_for_an_input_are_refused() -> None:
    with pytest.raises(InputError, match="input_depth is 1: allowed for w8a16 is 2 or more"):
        channel(W8A16, input_depth=1)


def test_inputs_of_another_type_are_refused() -> None:
    on = channel(W8A16)
    placement = place_weights(on, 32, 32)
    with pytest.raises(InputError, match="inputs are int8: w8a16 takes float16"):
        execute(compile_gemm(placement, 1), on.cells(placement.end_row), np.ones((1, 1, 32), np.int8))
    assert channel(INT8, input_depth=1).chunk == 1
