"""Products of weights of 4 bits: bit-exact programs, legal commands, counts and times of the closed forms."""

import numpy as np
import pytest
from executed import execute_commands
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import count, die, random_int8, run, violations

from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.experiments.compare import compare
from lpspec.machine.loading import load_platform
from lpspec.machine.pim_format import INT8, PimFormat
from lpspec.scenario.scenario import DEFAULT

NARROW = PimFormat(4, 8)
FORMATS = {"pim.formats": "w8a8 w4a8"}


def channel(concurrent: int = 3, alus: int = 4) -> PimChannel:
    wide = die(alus=alus)
    device = wide.model_copy(update={"pim_side": wide.pim.model_copy(update={"formats": FORMATS["pim.formats"]})})
    return PimChannel(device, (0, 1, 2), concurrent, 4, NARROW)


def closed_form(name: str = "lp-spec", concurrent: int = 3) -> LpddrPim:
    changes = FORMATS | ({"pim.concurrent_ranks": str(concurrent)} if name == "lp-spec" else {})
    platform = load_platform(name, changes)
    assert platform.pim is not None
    assert platform.memory is not None
    return LpddrPim(platform.pim, platform.memory)


def random_int4(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return rng.integers(-8, 8, shape).astype(np.int8)


@settings(max_examples=30)
@given(
    tokens=st.integers(1, 9),
    k=st.sampled_from([1, 64, 100, 192]),
    n=st.integers(1, 1800),
    alus=st.sampled_from([1, 4]),
    k_split=st.booleans(),
    seed=st.integers(0, 99),
)
def test_programs_compute_the_integer_product(tokens: int, k: int, n: int, alus: int, k_split: bool, seed: int) -> None:
    rng, on = np.random.default_rng(seed), channel(alus=alus)
    placement = place_weights(on, k, n, split="left-over" if k_split else "never")
    weights, inputs = random_int4(rng, k, n), random_int8(rng, 1, tokens, k)
    cells = on.cells(placement.end_row)
    placement.write(cells, weights)
    found = execute(compile_gemm(placement, tokens), cells, inputs)[0]
    assert np.array_equal(found, inputs[0].astype(np.int64) @ weights.astype(np.int64))


def test_commands_are_legal_and_compute_it() -> None:
    rng, on = np.random.default_rng(1), channel()
    placement = place_weights(on, 200, 1900)
    weights, inputs = random_int4(rng, 200, 1900), random_int8(rng, 1, 5, 200)
    cells = on.cells(placement.end_row)
    placement.write(cells, weights)
    program = compile_gemm(placement, 5)
    done = run(program)
    assert violations(done, program) == []
    assert done.commands is not None
    found = execute_commands(program, done.commands, cells, inputs)[0]
    assert np.array_equal(found, inputs[0].astype(np.int64) @ weights.astype(np.int64))


@settings(max_examples=30)
@given(tokens=st.integers(1, 9), k=st.integers(1, 20), blocks=st.integers(1, 70), concurrent=st.integers(1, 3))
def test_counts_equal_the_closed_forms(tokens: int, k: int, blocks: int, concurrent: int) -> None:
    program = compile_gemm(place_weights(channel(concurrent), 32 * k, 64 * blocks, split="never"), tokens)
    work = closed_form(concurrent=concurrent).gemm(tokens, 32 * k, 4 * 64 * blocks, NARROW)
    found = count(program)
    assert (found["PIM_MAC"], found["PIM_IN"], found["PIM_OUT"]) == (work.macs, work.input_bursts, work.output_bursts)


@pytest.mark.parametrize("name", ["lp-spec", "lp5x-pim"])
@pytest.mark.parametrize("tokens", [1, 4])
def test_both_levels_agree(name: str, tokens: int) -> None:
    """4096 x 14336, as a feed-forward layer has it: the narrow one takes half the MACs, and so about half the time."""
    pim, memory = closed_form(name), PackageCommands(load_platform(name, FORMATS))
    took = {}
    for form in (INT8, NARROW):
        work = pim.gemm(tokens, 4096, 14_336, form)
        on = memory.jobs.computing(pim.spec.concurrent_ranks.n, form)
        found = memory.product(tokens, 4096, 14_336, on, 0.0)
        took[form] = float(found.latency_ns)
        assert took[form] == pytest.approx(float(np.maximum(pim.busy_ns(work), pim.bus_ns(work))), rel=0.03)
        closed = pim.activity(work)
        for event in ("pim_macs_int8", "column_bits", "activation_input_bits", "activation_io_bits"):
            assert float(getattr(found.activity, event)) == pytest.approx(float(getattr(closed, event)), rel=0.02)
    assert 0.45 < took[NARROW] / took[INT8] < 0.7


def test_a_model_of_4_bits_runs_by_commands() -> None:
    (run_of,) = compare(
        DEFAULT.replace(model="tinyllama", weights=4, systems=("lp5x-pim",), new_tokens=4, prompt_tokens=16)
    ).runs
    assert run_of.fidelity == "command"
