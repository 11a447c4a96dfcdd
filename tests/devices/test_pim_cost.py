import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_twin import ONE_BANK, SMALL, Machine, Tally, gemm, scores, values

from lpspec.devices.cost import Activity
from lpspec.devices.pim import LpddrPim
from lpspec.devices.pim_work import PimWork
from lpspec.errors import InputError
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Attention, Gemm
from lpspec.machine.loading import load_platform, load_profile, profile_names
from lpspec.machine.pim_format import PimFormat

LP_SPEC = Machine()
TWELVE_DIES_GB_PER_S = 614.4
BUILT = {machine: machine.build() for machine in (SMALL, ONE_BANK, LP_SPEC)}
SMALL_PIM = BUILT[SMALL]
COUNTS = [name for name in PimWork.__slots__ if name not in ("share", "form", "in_turn")]


def product(tokens: int, k: int, n: int, count: int = 1) -> Gemm:
    return Gemm("product", count, tokens, k, n, WeightFormat(8), 8)


def heads_over(tokens: int, context: int, heads: int, kv_heads: int, head_dim: int, count: int = 1) -> Attention:
    pairs = tokens * (context + tokens)
    return Attention("attention", count, tokens, context, pairs, heads, kv_heads, head_dim, 8, 8)


def assert_same(work: PimWork, tally: Tally, machine: Machine, share: float = 1.0) -> None:
    """Counts, time and events of one program."""
    pim = BUILT[machine]
    for name in COUNTS:
        assert getattr(work, name) == getattr(tally, name), name
    assert pim.busy_ns(work) == pytest.approx(tally.busy_ns(machine), rel=1e-12)
    assert pim.bus_ns(work) == pytest.approx(tally.bus_ns(), rel=1e-12)
    activity, total = pim.activity(work), machine.channels * share
    column_bits, row_bits = machine.column_bytes * 8 * total, machine.row_bytes * 8 * total
    mac_ns = -(-machine.mac_interval_ns // 1.25) * 1.25
    too_early = tally.die_macs * mac_ns / (2 * 3906.25)  # rows closed to refresh, two refreshes at a time
    bus_bits = (tally.input_bursts + tally.output_bursts) * machine.column_bytes * 8 * total
    assert activity.column_bits == pytest.approx(tally.die_macs * machine.mpus * column_bits)
    assert activity.activate_bits == pytest.approx((tally.die_rows + too_early) * machine.mpus * row_bits)
    assert activity.pim_register_bits == pytest.approx(activity.column_bits + bus_bits)
    assert activity.pim_macs_int8 == pytest.approx(tally.token_macs * machine.mpus * machine.lanes * total)
    assert activity.activation_io_bits == pytest.approx(tally.output_bursts * machine.column_bytes * 8 * total)
    assert activity.activation_input_bits == pytest.approx(tally.input_bursts * machine.column_bytes * 8 * total)
    open_ns = (tally.die_macs * mac_ns + tally.die_passes * machine.open_ns) * total
    assert activity.active_die_ns == pytest.approx(open_ns)
    on_chip = ("scratchpad_bits", "local_buffer_bits", "register_bits", "macs_fp16")
    for other in ("io_bits", "io_written_bits", "activation_memory_bits", *on_chip):
        assert getattr(activity, other) == 0


def assert_same_product(machine: Machine, tokens: int, k: int, n: int) -> None:
    tally, pim = gemm(machine, tokens, k, n), BUILT[machine]
    assert_same(pim.gemm(tokens, k, n), tally, machine)
    longer_ns = max(tally.busy_ns(machine), tally.bus_ns())
    assert pim.price(product(tokens, k, n, 3)).latency_ns == pytest.approx(3 * longer_ns, rel=1e-12)


@settings(max_examples=60)
@given(st.sampled_from([SMALL, ONE_BANK]), st.integers(1, 9), st.integers(1, 24), st.integers(1, 200))
def test_products_take_what_their_commands_take(machine: Machine, tokens: int, k: int, n: int) -> None:
    assert_same_product(machine, tokens, k, n)


@pytest.mark.parametrize(
    ("tokens", "k", "n"),
    [
        (1, 64, 3072),  # one row of every MPU
        (4, 64, 3072),
        (5, 64, 3072),  # a second pass for one token, whose inputs alone are sent
        (4, 65, 3072),  # a second row for one column
        (4, 64, 3073),  # a second tile for one output
        (4, 64, 1024),  # one rank
        (4, 64, 1025),  # two ranks, the second for one output
        (1, 1, 1),
    ],
)
def test_products_on_the_papers_package(tokens: int, k: int, n: int) -> None:
    assert_same_product(LP_SPEC, tokens, k, n)


@settings(max_examples=60)
@given(
    st.sampled_from([SMALL, ONE_BANK, LP_SPEC]),
    st.integers(1, 4),
    st.integers(0, 300),
    st.sampled_from([8, 16, 24]),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(0, 8),
)
def test_attention_takes_what_its_commands_take(
    machine: Machine, tokens: int, context: int, head_dim: int, kv_heads: int, group: int, on_pim: int
) -> None:
    on_pim = min(on_pim, kv_heads)
    op, pim = heads_over(tokens, context, kv_heads * group, kv_heads, head_dim, count=2), BUILT[machine]
    shape = (machine, tokens * group, context + tokens, head_dim, kv_heads, on_pim)
    quantum = pim.kv_share(op).quantum
    share = on_pim / (-(-on_pim // quantum) * quantum) if on_pim else 1.0
    assert_same(pim.scores(op, on_pim), scores(*shape), machine, share)
    assert_same(pim.values(op, on_pim), values(*shape), machine, share)


def test_attention_of_the_7b_model_on_the_papers_package() -> None:
    op, pim = heads_over(4, 96, 32, 32, 128), BUILT[LP_SPEC]
    tallies = [made(LP_SPEC, 4, 100, 128, 32, 32) for made in (scores, values)]
    expected_ns = sum(max(tally.busy_ns(LP_SPEC), tally.bus_ns()) for tally in tallies)
    assert pim.price(op).latency_ns == pytest.approx(expected_ns, rel=1e-12)


def test_heads_that_channels_do_not_divide_are_spread_over_them() -> None:
    """Two heads on four channels: each channel has half of the positions of one."""
    pim, op = BUILT[LP_SPEC], heads_over(1, 4095, 12, 2, 128)
    share = pim.kv_share(op)
    assert (share.quantum, share.spread, share.on_channel) == (2, 2, 1)
    whole = pim.activity(pim.scores(op, 2)).column_bits
    assert pim.activity(pim.scores(op, 1)).column_bits == pytest.approx(whole / 2)
    assert pim.busy_ns(pim.scores(op, 1)) == pim.busy_ns(pim.scores(op, 2))  # a channel that helps saves no time


# The paper's closed form


@pytest.mark.parametrize(("tokens", "passes"), [(1, 1), (3, 1), (4, 1), (5, 2), (8, 2), (16, 4), (64, 16)])
def test_tiles_that_are_full_take_the_papers_time(tokens: int, passes: int) -> None:
    """T_PIM = N_params / BW_PIM x ceil(L / N_ALU), and besides it rows, switches, the readback, and refresh."""
    k, n = 4096, 4 * 3072
    paper_ns = k * n / TWELVE_DIES_GB_PER_S * passes
    overhead_ns = 3 * 100 + tokens * n * 4 / 51.2 + 4 * passes * (35.0 + 18.75 + 21.25)
    pim = BUILT[LP_SPEC]
    assert pim.busy_ns(pim.gemm(tokens, k, n)) == pytest.approx((paper_ns + overhead_ns) / (1 - 185 / 3125), rel=1e-12)
    assert overhead_ns < 0.06 * paper_ns


def test_overheads_vanish_with_depth() -> None:
    k, n = 10**6, 3072
    paper_ns, pim = k * n / TWELVE_DIES_GB_PER_S / (1 - 185 / 3125), BUILT[LP_SPEC]
    assert paper_ns <= pim.busy_ns(pim.gemm(4, k, n)) <= 1.001 * paper_ns


def test_the_next_output_after_a_full_tile_costs_a_tile() -> None:
    """The quantum that splits must respect: 12 dies x 8 MPUs x 32 lanes."""
    pim = BUILT[LP_SPEC]
    assert pim.tile_columns == 12 * 8 * 32
    full, next_one, two = (float(pim.busy_ns(pim.gemm(1, 4096, n))) for n in (3072, 3073, 6144))
    assert next_one - full > 4096 * 5
    assert two - next_one < 3072 * 4 / 51.2 / (1 - 185 / 3125) + 1


# Shape of the costs


@pytest.mark.parametrize("machine", [SMALL, ONE_BANK, LP_SPEC])
def test_nothing_costs_nothing(machine: Machine) -> None:
    pim, op = BUILT[machine], heads_over(3, 10, 4, 2, 8)
    for work in (pim.gemm(5, 16, 0), pim.scores(op, 0), pim.values(op, 0)):
        assert pim.busy_ns(work) == 0
        assert pim.bus_ns(work) == 0
        assert pim.activity(work) == Activity() * 0.0


@given(st.integers(1, 70), st.integers(1, 300), st.integers(0, 400), st.integers(0, 5), st.integers(0, 50))
def test_more_tokens_or_outputs_never_cost_less(tokens: int, k: int, n: int, more: int, wider: int) -> None:
    pim, profile = SMALL_PIM, load_profile("micron-y52p")
    few, many, deep = pim.gemm(tokens, k, n), pim.gemm(tokens + more, k, n + wider), pim.gemm(tokens, k + more, n)
    for work in (many, deep):
        assert pim.busy_ns(few) <= pim.busy_ns(work)
        assert pim.bus_ns(few, 100.0) <= pim.bus_ns(work, 100.0)
        less = pim.activity(few).energy_pj(profile)
        assert all(pj <= pim.activity(work).energy_pj(profile)[part] for part, pj in less.items())


@given(
    st.sampled_from([SMALL, LP_SPEC]),
    st.integers(1, 20),
    st.integers(0, 900),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 200),
)
def test_longer_and_larger_attention_never_costs_less(
    machine: Machine, tokens: int, context: int, heads: int, more: int, longer: int
) -> None:
    pim = BUILT[machine]
    for program in (pim.scores, pim.values):
        for on_pim in range(heads + 1):
            few = program(heads_over(tokens, context, heads, heads, 32), on_pim)
            many = program(heads_over(tokens + more, context + longer, heads, heads, 32), min(on_pim + more, heads))
            assert pim.busy_ns(few) <= pim.busy_ns(many)
            assert pim.bus_bytes(few) <= pim.bus_bytes(many)


def test_arrays_agree_with_numbers() -> None:
    tokens, columns = np.arange(1, 10)[:, None], np.array([0, 1, 31, 32, 33, 64, 150])
    grid = SMALL_PIM.gemm(tokens, 20, columns)
    grid_ns = np.asarray(SMALL_PIM.busy_ns(grid))
    assert grid_ns.shape == (9, 7)
    for i, t in enumerate(range(1, 10)):
        for j, c in enumerate([0, 1, 31, 32, 33, 64, 150]):
            one = SMALL_PIM.gemm(t, 20, c)
            assert grid_ns[i, j] == SMALL_PIM.busy_ns(one)
            for name in COUNTS:
                assert np.broadcast_to(getattr(grid, name), (9, 7))[i, j] == getattr(one, name)


@pytest.mark.parametrize("machine", [SMALL, LP_SPEC])
def test_grids_of_tokens_and_contexts_agree_with_numbers(machine: Machine) -> None:
    tokens, contexts, pim = np.array([1, 3, 4]), np.array([[0], [7], [100], [1000]]), BUILT[machine]
    op = Attention("attention", 2, tokens, contexts, tokens * (contexts + tokens), 12, 6, 8, 8, 8)
    on_pim = np.array([[0, 6, 2], [1, 2, 3], [4, 5, 6], [6, 6, 6]])
    for made in ("scores", "values"):
        grid = getattr(pim, made)(op, on_pim)
        for (i, j), heads in np.ndenumerate(on_pim):
            t, c = int(tokens[j]), int(contexts[i, 0])
            one = getattr(pim, made)(heads_over(t, c, 12, 6, 8, count=2), int(heads))
            for name in (*COUNTS, "share"):
                assert np.broadcast_to(getattr(grid, name), on_pim.shape)[i, j] == getattr(one, name)


# Energy


def rows_alone(pim: LpddrPim, work: PimWork) -> Activity:
    """The events without the rows that a refresh closes too early."""
    activity = pim.activity(work)
    row_bits = work.die_rows * pim.die.mpus * pim.channels * pim.die.organisation.row_bytes.n * 8
    assert row_bits <= activity.activate_bits <= 1.05 * row_bits
    return Activity(activate_bits=row_bits, column_bits=activity.column_bits)


@pytest.mark.parametrize("name", profile_names())
def test_whole_rows_cost_the_in_bank_energy_of_their_bits(name: str) -> None:
    """Two rows of each of the 96 MPUs, each row 64 columns of 32 bytes."""
    profile, pim = load_profile(name), BUILT[LP_SPEC]
    bits = 2 * 96 * 2048 * 8
    assert bits == 8 * 128 * 3072  # every weight once
    found = rows_alone(pim, pim.gemm(4, 128, 3072)).energy_pj(profile)["array"]
    assert found == pytest.approx(profile.in_bank_pj_per_bit * bits, rel=1e-12)


def test_published_in_bank_energy_of_a_row() -> None:
    pim = BUILT[LP_SPEC]
    row_pj = 16384 * 0.55  # AttAcc: 0.11 to open, 0.44 to read
    found = rows_alone(pim, pim.gemm(1, 64, 3072)).energy_pj(load_profile("attacc"))["array"]
    assert found == pytest.approx(96 * row_pj)


def test_part_of_a_row_still_opens_the_whole_row() -> None:
    one, full = (BUILT[LP_SPEC].gemm(1, k, 3072) for k in (1, 64))
    assert one.die_rows == full.die_rows
    assert 64 * one.die_macs == full.die_macs


def test_passes_read_the_weights_again() -> None:
    once, again = (BUILT[LP_SPEC].gemm(tokens, 64, 3072) for tokens in (4, 5))
    assert again.die_macs == 2 * once.die_macs
    assert again.token_macs == 1.25 * once.token_macs
    assert again.input_bursts == 1.25 * once.input_bursts  # nothing is sent for three tokens that are absent


# Precision


@pytest.mark.parametrize("bits", [(4, 8), (16, 8), (8, 16), (8, 4), (16, 16)])
def test_only_int8_is_computed(bits: tuple[int, int]) -> None:
    resident, activation = bits
    wrong = (
        Gemm("qkv", 1, 1, 8, 8, WeightFormat(resident), activation),
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
            option = "weights" if isinstance(op, Gemm) else "activations" if resident == 8 else "kv"
            assert f"--{option} 8" in line


def test_weights_with_scales_in_memory_are_refused() -> None:
    with pytest.raises(InputError, match=r"PIM adds products up unscaled: 'qkv'.*compare --weights"):
        SMALL_PIM.check_precision(Gemm("qkv", 1, 1, 64, 64, WeightFormat(8, 0, 16), 8))


# Other formats


SAMSUNG = {"memory.die": "lp5x-pim", "memory.pim_ranks": "1", "pim.concurrent_ranks": "1"}


def samsung(**changes: str) -> LpddrPim:
    return LpddrPim.of(load_platform("lp-spec", SAMSUNG | {key.replace("__", "."): v for key, v in changes.items()}))


def test_narrow_weights_double_the_lanes_and_wide_activations_the_inputs() -> None:
    """One token, 4096 x 8192: 16 MPUs of 32 or 64 lanes on each of four channels; a burst holds 32 bytes of inputs."""
    pim = samsung()
    work = {name: pim.gemm(1, 4096, 8192, PimFormat(*bits)) for name, bits in FORMATS.items()}
    tiles = {"w8a8": 4, "w4a8": 2, "w8a16": 4, "w4a16": 2}
    for name, one in work.items():
        assert one.macs == tiles[name] * 4096
        assert one.input_bursts == tiles[name] * 4096 * (2 if name.endswith("a16") else 1) / 32
        assert one.output_bursts == 8192 / 4 * 32 / 256  # results are INT32 whatever went in
        done = pim.activity(one)
        assert (done.macs_fp16 if name.endswith("a16") else done.pim_macs_int8) == 4096 * 8192
        assert done.column_bits == 4096 * 8192 * FORMATS[name][0]


FORMATS = {"w8a8": (8, 8), "w4a8": (4, 8), "w8a16": (8, 16), "w4a16": (4, 16)}


def test_peak_of_samsungs_units() -> None:
    """arXiv 2606.00636: 614 GB/s from the banks, 2.4 TOPS in W4A8."""
    pim = samsung()
    gb_per_s = pim.die.pim_gb_per_s * pim.channels
    assert gb_per_s == pytest.approx(614, rel=1e-3)
    bits = pim.activity(pim.gemm(1, 4096, 8192, PimFormat(4))).column_bits
    tops = 2 * 4096 * 8192 / (bits / 8 / gb_per_s) / 1e3
    assert tops == pytest.approx(2.4, rel=0.03)


@pytest.mark.parametrize("name", FORMATS)
def test_a_machine_says_which_formats_its_units_take(name: str) -> None:
    op = Gemm("qkv", 1, 1, 64, 64, WeightFormat(FORMATS[name][0]), FORMATS[name][1])
    assert samsung().price(op).latency_ns > 0
    assert samsung().phase_parts(op)[0].in_memory is not None
    narrow = samsung(pim__formats="w8a8,w4a8")
    if name in ("w8a8", "w4a8"):
        narrow.check_precision(op)
    else:
        with pytest.raises(InputError, match="PIM computes w8a8 and w4a8: 'qkv'"):
            narrow.check_precision(op)


@pytest.mark.parametrize(
    ("formats", "said"), [("w8a8 w2a8", "'w2a8' is no format"), ("w4a8", "w8a8 must be among them")]
)
def test_formats_that_no_unit_has_are_refused(formats: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        samsung(pim__formats=formats)
    assert "\n" not in str(caught.value)
