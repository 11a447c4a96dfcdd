import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_twin import ONE_BANK, SMALL, Machine, Tally, attention, gemm

from lpspec.devices.cost import Activity
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.hardware.loading import load_profile, profile_names
from lpspec.llm.operators import Attention, Gemm

LP_SPEC = Machine()
TWELVE_DIES_GB_PER_S = 614.4
BUILT = {machine: machine.build() for machine in (SMALL, ONE_BANK, LP_SPEC)}
SMALL_PIM = BUILT[SMALL]


def product(tokens: int, k: int, n: int, count: int = 1) -> Gemm:
    return Gemm("product", count, tokens, k, n, 8, 8)


def heads_over(tokens: int, context: int, heads: int, kv_heads: int, head_dim: int, count: int = 1) -> Attention:
    pairs = tokens * (context + tokens)
    return Attention("attention", count, tokens, context, pairs, heads, kv_heads, head_dim, 8, 8)


def assert_same_events(activity: Activity, tally: Tally, machine: Machine, count: int = 1) -> None:
    assert activity.column_bits == count * tally.column_reads * machine.column_bytes * 8
    assert activity.activate_bits == count * tally.rows_opened * machine.row_bytes * 8
    assert activity.pim_register_bits == activity.column_bits
    assert activity.macs_int8 == count * tally.macs
    assert activity.activation_io_bits == count * tally.bus_bytes * 8
    on_chip = ("scratchpad_bits", "local_buffer_bits", "register_bits", "macs_fp16")
    for other in ("io_bits", "activation_memory_bits", *on_chip):
        assert getattr(activity, other) == 0


def assert_same_product(machine: Machine, pim: LpddrPim, tokens: int, k: int, n: int, count: int = 1) -> None:
    tally, cost = gemm(machine, tokens, k, n), pim.price(product(tokens, k, n, count))
    assert_same_events(cost.activity, tally, machine, count)
    bus_ns = tally.bus_bytes / (12.8 * machine.channels)
    assert pim.gemm_ns(tokens, k, n) == pytest.approx(tally.busy_ns(machine), rel=1e-12)
    assert cost.latency_ns == pytest.approx(count * max(tally.busy_ns(machine), bus_ns), rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([SMALL, ONE_BANK]), st.integers(1, 9), st.integers(1, 24), st.integers(1, 200), st.integers(1, 3)
)
def test_products_take_what_their_commands_take(machine: Machine, tokens: int, k: int, n: int, count: int) -> None:
    assert_same_product(machine, BUILT[machine], tokens, k, n, count)


@pytest.mark.parametrize(
    ("tokens", "k", "n"),
    [
        (1, 64, 3072),  # one row of every MPU
        (4, 64, 3072),
        (5, 64, 3072),  # a second pass for one token
        (4, 65, 3072),  # a second row for one column
        (4, 64, 3073),  # a second tile for one output
        (4, 64, 1024),  # one rank
        (4, 64, 1025),  # two ranks, the second for one output
        (1, 1, 1),
    ],
)
def test_products_on_the_papers_package(tokens: int, k: int, n: int) -> None:
    assert_same_product(LP_SPEC, BUILT[LP_SPEC], tokens, k, n)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([SMALL, ONE_BANK]),
    st.integers(1, 4),
    st.integers(0, 40),
    st.sampled_from([8, 16]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 4),
)
def test_attention_takes_what_its_commands_take(
    machine: Machine, tokens: int, context: int, head_dim: int, kv_heads: int, group: int, on_pim: int
) -> None:
    on_pim = min(on_pim, kv_heads)
    op, pim = heads_over(tokens, context, kv_heads * group, kv_heads, head_dim, count=2), BUILT[machine]
    tally = attention(machine, tokens * group, context + tokens, head_dim, on_pim)
    assert_same_events(pim.attention_activity(op, on_pim), tally, machine, count=2)
    assert pim.attention_ns(op, on_pim) == pytest.approx(tally.busy_ns(machine), rel=1e-12)
    assert pim.attention_bus_bytes(op, on_pim) == tally.bus_bytes
    assert tally.macs == 2 * tokens * group * on_pim * head_dim * (context + tokens)


def test_attention_of_the_7b_model_on_the_papers_package() -> None:
    op, pim = heads_over(4, 96, 32, 32, 128), BUILT[LP_SPEC]
    tally = attention(LP_SPEC, 4, 100, 128, 32)
    assert_same_events(pim.attention_activity(op, 32), tally, LP_SPEC)
    bus_ns = tally.bus_bytes / 51.2
    assert pim.price(op).latency_ns == pytest.approx(max(tally.busy_ns(LP_SPEC), bus_ns), rel=1e-12)


# The paper's closed form


@pytest.mark.parametrize(("tokens", "passes"), [(1, 1), (3, 1), (4, 1), (5, 2), (8, 2), (16, 4), (64, 16)])
def test_tiles_that_are_full_take_the_papers_time(tokens: int, passes: int) -> None:
    """T_PIM = N_params / BW_PIM x ceil(L / N_ALU), and besides it only mode switches and the readback."""
    k, n = 4096, 4 * 3072
    paper_ns = k * n / TWELVE_DIES_GB_PER_S * passes
    overhead_ns = 2 * 100 + tokens * n * 4 / 51.2
    assert BUILT[LP_SPEC].gemm_ns(tokens, k, n) == pytest.approx(paper_ns + overhead_ns, rel=1e-12)
    assert overhead_ns < 0.06 * paper_ns


def test_overheads_vanish_with_depth() -> None:
    k, n = 10**6, 3072
    paper_ns = k * n / TWELVE_DIES_GB_PER_S
    assert paper_ns <= BUILT[LP_SPEC].gemm_ns(4, k, n) <= 1.001 * paper_ns


def test_the_next_output_after_a_full_tile_costs_a_tile() -> None:
    """The quantum that splits must respect: 12 dies x 8 MPUs x 32 lanes."""
    pim = BUILT[LP_SPEC]
    assert pim.tile_columns == 12 * 8 * 32
    full, next_one, two = (pim.gemm_ns(1, 4096, n) for n in (3072, 3073, 6144))
    assert next_one - full > 4096 * 5
    assert two - next_one < 3072 * 4 / 51.2 + 1


# Shape of the costs


@pytest.mark.parametrize("machine", [SMALL, ONE_BANK, LP_SPEC])
def test_nothing_costs_nothing(machine: Machine) -> None:
    pim = BUILT[machine]
    assert pim.gemm_ns(5, 16, 0) == 0
    assert pim.gemm_bus_bytes(5, 16, 0) == 0
    assert pim.gemm_activity(product(5, 16, 100), 0) == Activity() * 0.0
    op = heads_over(3, 10, 4, 2, 8)
    assert pim.attention_ns(op, 0) == 0
    assert pim.attention_bus_bytes(op, 0) == 0
    assert pim.attention_activity(op, 0) == Activity() * 0.0


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 300), st.integers(0, 400), st.integers(0, 5), st.integers(0, 50))
def test_more_tokens_or_outputs_never_cost_less(tokens: int, k: int, n: int, more: int, wider: int) -> None:
    pim = SMALL_PIM
    assert pim.gemm_ns(tokens, k, n) <= pim.gemm_ns(tokens + more, k, n + wider)
    assert pim.gemm_ns(tokens, k, n) <= pim.gemm_ns(tokens, k + more, n)
    assert pim.gemm_bus_bytes(tokens, k, n) <= pim.gemm_bus_bytes(tokens + more, k, n + wider)
    narrow = pim.gemm_activity(product(tokens, k, 450), n)
    wide = pim.gemm_activity(product(tokens + more, k, 450), n + wider)
    profile = load_profile("attacc")
    for component, energy_pj in narrow.energy_pj(profile).items():
        assert energy_pj <= wide.energy_pj(profile)[component]


def test_arrays_agree_with_numbers() -> None:
    tokens, columns = np.arange(1, 10)[:, None], np.array([0, 1, 31, 32, 33, 64, 150])
    grid_ns = np.asarray(SMALL_PIM.gemm_ns(tokens, 20, columns))
    grid_bytes = np.asarray(SMALL_PIM.gemm_bus_bytes(tokens, 20, columns))
    assert grid_ns.shape == grid_bytes.shape == (9, 7)
    for i, t in enumerate(range(1, 10)):
        for j, c in enumerate([0, 1, 31, 32, 33, 64, 150]):
            assert grid_ns[i, j] == SMALL_PIM.gemm_ns(t, 20, c)
            assert grid_bytes[i, j] == SMALL_PIM.gemm_bus_bytes(t, 20, c)


def test_grids_of_tokens_and_contexts_agree_with_numbers() -> None:
    tokens, contexts = np.array([1, 3, 4]), np.array([[0], [7], [100]])
    op = Attention("attention", 2, tokens, contexts, tokens * (contexts + tokens), 4, 2, 8, 8, 8)
    cost = SMALL_PIM.price(op)
    activity = cost.activity
    for j, t in enumerate([1, 3, 4]):
        for i, c in enumerate([0, 7, 100]):
            one = SMALL_PIM.price(heads_over(t, c, 4, 2, 8, count=2))
            assert np.asarray(cost.latency_ns)[i, j] == one.latency_ns
            for name in ("activate_bits", "column_bits", "macs_int8", "activation_io_bits"):
                assert np.broadcast_to(getattr(activity, name), (3, 3))[i, j] == getattr(one.activity, name)


# Energy


@pytest.mark.parametrize("name", profile_names())
def test_whole_rows_cost_the_in_bank_energy_of_their_bits(name: str) -> None:
    """Two rows of each of the 96 MPUs, each row 64 columns of 32 bytes."""
    profile = load_profile(name)
    activity = BUILT[LP_SPEC].price(product(4, 128, 3072)).activity
    bits = 2 * 96 * 2048 * 8
    assert bits == 8 * 128 * 3072  # every weight once
    assert activity.energy_pj(profile)["array"] == pytest.approx(profile.in_bank_pj_per_bit * bits, rel=1e-12)


def test_published_in_bank_energy_of_a_row() -> None:
    activity = BUILT[LP_SPEC].price(product(1, 64, 3072)).activity
    row_pj = 16384 * 0.55  # AttAcc: 0.11 to open, 0.44 to read
    assert activity.energy_pj(load_profile("attacc"))["array"] == pytest.approx(96 * row_pj)


def test_part_of_a_row_still_opens_the_whole_row() -> None:
    one, full = (BUILT[LP_SPEC].price(product(1, k, 3072)).activity for k in (1, 64))
    assert one.activate_bits == full.activate_bits
    assert 64 * one.column_bits == full.column_bits


def test_passes_read_the_weights_again() -> None:
    once, again = (BUILT[LP_SPEC].price(product(tokens, 64, 3072)).activity for tokens in (4, 5))
    assert again.column_bits == 2 * once.column_bits
    assert again.macs_int8 == 1.25 * once.macs_int8


# Precision


@pytest.mark.parametrize("bits", [(4, 8), (16, 8), (8, 16), (8, 4), (16, 16)])
def test_only_int8_is_computed(bits: tuple[int, int]) -> None:
    resident, activation = bits
    wrong = (
        Gemm("qkv", 1, 1, 8, 8, resident, activation),
        Attention("attention", 1, 1, 1, 2, 1, 1, 8, resident, activation),
    )
    for op in wrong:
        for refuse in (SMALL_PIM.check_precision, SMALL_PIM.price):
            with pytest.raises(InputError) as caught:
                refuse(op)
            line = str(caught.value)
            assert "\n" not in line
            assert op.name in line
            assert f"{resident}-bit" in line
            assert "allowed is 8" in line


def test_weights_with_scales_in_memory_are_refused() -> None:
    with pytest.raises(InputError, match=r"PIM adds products up unscaled: 'qkv'.*compare --weights"):
        SMALL_PIM.check_precision(Gemm("qkv", 1, 1, 64, 64, 8, 8, group_size=0, group_bits=16))
