"""Costs of the memory by commands: bounds that none beats, energy that adds up, streams that go on as they run."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.memory_timing import timing_of
from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.devices.stream_jobs import LONGEST_STREAM
from lpspec.dram.energy import activity_of, standing_by
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import place_weights
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM, PhaseCommands, PhaseWork, Session
from lpspec.dram.run.simulate import run_channel
from lpspec.dram.run.steady import (
    REFRESH_INTERVALS,
    Enough,
    in_the_long_run,
    is_long,
    per_refresh,
    refreshed,
    without_refresh,
)
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_platform, load_profile

LP_SPEC = load_platform("lp-spec")
PACKAGE = PackageCommands(LP_SPEC)
AT_ONCE = PACKAGE.jobs.computing(3)
assert PACKAGE.pim is not None
CHANNEL = PACKAGE.pim
SHARE = KvShare(kv_heads=32, head_dim=128, channels=4, concurrent=3, row_columns=64)
PEAK_GB_PER_S = 51.2


@pytest.mark.parametrize(
    "apart", [{}, {"nCCD_S": "3"}, {"nCCD_S": "28"}, {"nCCD_L": "9"}, {"nCCD_L": "40"}, {"nCCD_S": "4", "nCCD_L": "18"}]
)
def test_both_levels_read_as_fast_as_columns_may_follow_each_other(apart: dict[str, str]) -> None:
    platform = load_platform("mobile-npu", {f"memory.timing.{name}": ck for name, ck in apart.items()})
    assert platform.memory is not None
    by_commands = 20_000_000 / float(PackageCommands(platform).reads(20_000_000).latency_ns)
    assert timing_of(platform.memory).bus_gb_per_s == pytest.approx(by_commands, rel=0.01)


MAC_NS = 5.0


def repeated(phase: PhaseWork, device: DieSpec, controller: Controller) -> PhaseCommands:
    """A copy among copies that follow each other for ever."""
    alone = without_refresh(phase, device, controller)
    before = phase if is_long(alone, device) else None
    copies = refreshed(phase, device, controller, Enough(REFRESH_INTERVALS), before)
    return in_the_long_run(alone, per_refresh(copies, alone), device)


def test_gpus_have_no_command_level() -> None:
    with pytest.raises(InputError, match="no LPDDR memory"):
        PackageCommands(load_platform("rtx3090"))


@pytest.mark.parametrize("profile", ["attacc", "specpim", "micron-y52p"])
@pytest.mark.parametrize("written", ["data", "activations"])
def test_events_cost_what_the_commands_cost(profile: str, written: Literal["data", "activations"]) -> None:
    """By hand, command by command: rows of 2 KiB, bursts of 32 B, 8 MPUs of 32 lanes. What is written changes names."""
    constants = load_profile(profile)
    program = compile_gemm(place_weights(CHANNEL, 512, 768, split="never"), 3).lines
    requests = ReadStream(3, 900).requests(PACKAGE.device)
    requests[600:, 1] = 1
    mean = repeated(PhaseWork(program, requests), PACKAGE.device, PACKAGE.controller)
    die, bus, ck_ns = mean.rank_counts, mean.command_counts, 1.25
    rows = die["ACT2"] + 8 * die["PIM_ACT"]
    columns = die["RD"] + die["WR"] + 8 * die["PIM_MAC"]
    registers = 8 * die["PIM_MAC"] + die["PIM_IN"] + die["PIM_OUT"]
    out_bursts, in_bursts = bus["RD"] + bus["PIM_OUT"], bus["WR"] + bus["PIM_IN"]
    write_io = constants.write_io or constants.io
    expected_pj = rows * 2048 * 8 * constants.activate.pj_per_bit
    expected_pj += columns * 256 * constants.column.pj_per_bit
    expected_pj += registers * 256 * constants.pim_register.pj_per_bit
    expected_pj += 256 * (out_bursts * constants.io.pj_per_bit + in_bursts * write_io.pj_per_bit)
    expected_pj += mean.mac_tokens * 8 * 32 * constants.mac_int8.value
    if constants.refresh_power and constants.idle_power and constants.active_power:
        expected_pj += (die["REFAB"] + die.get("PIM_REFAB", 0)) * constants.refresh_power.watts * 1e3 * 210  # 8 Gb
        expected_pj += mean.active_ck * ck_ns * constants.active_power.watts * 1e3
        expected_pj += (4 * mean.ck - mean.active_ck) * ck_ns * constants.idle_power.watts * 1e3
    found = standing_by(activity_of(mean, PACKAGE.device, written), PACKAGE.device, 4 * mean.ck)
    found_pj = found.energy_pj(constants)
    assert sum(found_pj.values()) == pytest.approx(expected_pj, rel=1e-9)
    assert found_pj["mac"] == pytest.approx(3 * 512 * 768 * constants.mac_int8.value)
    activation_bursts = bus["PIM_IN"] + bus["PIM_OUT"] + (bus["WR"] if written == "activations" else 0)
    activation_bits = found.activation_io_bits + found.activation_input_bits + found.activation_memory_bits
    assert float(activation_bits) == pytest.approx(activation_bursts * 256)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1.5, 3.0])
def test_a_long_stream_is_as_long_as_when_every_burst_is_issued(times: float) -> None:
    bursts = int(LONGEST_STREAM * times)
    exact = run_channel(ReadStream(3, bursts).requests(PACKAGE.device), NO_PROGRAM, PACKAGE.device, Controller(ranks=4))
    cost = PACKAGE.reads(bursts * 32 * 4)
    assert cost.latency_ns == pytest.approx(exact.total_ck * PACKAGE.device.ck_ns, rel=5e-4)
    assert float(cost.activity.io_bits) == pytest.approx(bursts * 256 * 4)
    rows = exact.rank_counts["ACT2"] * 2048 * 8 * 4
    assert float(cost.activity.activate_bits) == pytest.approx(rows, rel=5e-3)


def test_assumption_set_takes_longer_the_more_there_is_and_never_beats_the_bus() -> None:
    sizes = [128, 4096, 10**5, 10**6, 12 * 10**6, 50 * 10**6, 131 * 10**6]
    times = np.array([float(PACKAGE.reads(size).latency_ns) for size in sizes])
    assert (np.diff(times) > 0).all()
    assert (times >= np.array(sizes) / PEAK_GB_PER_S).all()
    assert sizes[-1] / times[-1] == pytest.approx(0.93 * PEAK_GB_PER_S, rel=0.01)
    assert PACKAGE.reads(0).latency_ns == 0
    assert not PACKAGE.reads(0).works


@settings(max_examples=20)
@given(
    tokens=st.integers(1, 20),
    k=st.sampled_from([128, 512, 1000]),
    blocks=st.integers(1, 60),
    npu_bytes=st.integers(0, 300_000),
)
def test_no_product_beats_its_macs_nor_its_bursts(tokens: int, k: int, blocks: int, npu_bytes: int) -> None:
    columns = 128 * blocks
    cost = PACKAGE.product(tokens, k, columns, AT_ONCE, npu_bytes)
    tiles = -(-columns // 3072)
    assert cost.latency_ns >= tiles * k * -(-tokens // 4) * MAC_NS
    moved = cost.activity
    on_bus = float(moved.io_bits + moved.activation_io_bits + moved.activation_input_bits) / 8
    assert cost.latency_ns >= on_bus / PEAK_GB_PER_S
    assert float(cost.activity.io_bits) / 8 == pytest.approx(-(-npu_bytes // 128) * 128)
    assert on_bus - float(cost.activity.io_bits) / 8 >= columns * tokens * 4  # every accumulator is read back


@pytest.mark.parametrize("tokens", [1, 4, 7, 16])
def test_whole_tiles_cost_what_the_closed_form_says(tokens: int) -> None:
    """Two tiles of Llama2-7B's products."""
    assert LP_SPEC.pim is not None
    assert LP_SPEC.memory is not None
    pim = LpddrPim(LP_SPEC.pim, LP_SPEC.memory)
    closed_ns = float(pim.busy_ns(pim.gemm(tokens, 4096, 6144)))
    found_ns = float(PACKAGE.product(tokens, 4096, 6144, AT_ONCE, 0).latency_ns)
    assert found_ns == pytest.approx(closed_ns, rel=5e-3)


def test_attention_grows_with_keys_and_queries() -> None:
    def took_ns(queries: int, keys: int) -> float:
        heads = Heads(32, SHARE, queries, keys)
        return float(PACKAGE.scores(heads, 0).latency_ns) + float(PACKAGE.values(heads, 0).latency_ns)

    by_keys = [took_ns(4, keys) for keys in (32, 256, 288, 1024)]
    by_queries = [took_ns(queries, 256) for queries in (1, 4, 5, 32)]
    assert by_keys == sorted(by_keys)
    assert by_queries == sorted(by_queries)


def test_appending_to_pim_is_masked_writes_and_moving_reads_first() -> None:
    once = PACKAGE.append_to_pim(SHARE, 1, 4)
    burst_bits = 256
    assert float(once.activity.activation_memory_bits) / burst_bits == pytest.approx(4 * 8 * (128 + 4 * 4))
    moved = PACKAGE.append_to_pim(SHARE, 1, 4, read_first=True)
    assert float(moved.activity.io_bits) == pytest.approx(float(once.activity.activation_memory_bits))
    assert moved.latency_ns > once.latency_ns
    assert PACKAGE.append_to_pim(SHARE, 2, 4).latency_ns > once.latency_ns
    in_dram = PACKAGE.append_to_dram(4 * 2 * 4096)
    assert float(in_dram.activity.activation_memory_bits) / 8 == pytest.approx(4 * 2 * 4096)
    assert in_dram.latency_ns < once.latency_ns


def test_no_event_is_negative() -> None:
    for cost in (PACKAGE.reads(5000), PACKAGE.append_to_pim(SHARE, 1, 1), PACKAGE.product(2, 256, 3072, AT_ONCE, 1000)):
        assert all(float(count) >= 0 for count in cost.activity)


@pytest.mark.parametrize("activate", ["faw", "at_once"])
def test_quicker_macs_take_no_product_longer_whatever_is_read_beside(activate: str) -> None:
    """MACs every 7 CK fall out of step with reads: beside some the product took 9 % longer than with 8."""
    quick, slow = (
        PackageCommands(load_platform("lp-spec", {"pim.mac_interval": f"{ck} CK", "pim.activate": activate}))
        for ck in (7, 8)
    )
    paces = []
    for read_bytes in (0, 1_000_000, 2_000_000, 3_000_000, 4_000_000):
        with_quick, with_slow = (
            package.product(4, 1024, 3072, package.jobs.computing(3), read_bytes) for package in (quick, slow)
        )
        assert with_quick.latency_ns <= with_slow.latency_ns * 1.002  # a refresh more or less
        paces.append(with_quick.works[0].mac_ck)
        session = Session(quick.device, quick.controller)
        session.pace(paces[-1] or quick.device.mac_ck)
        for _ in range(64):
            session.run(with_quick.works[0].program(), with_quick.works[0].requests())
        assert session.now_ck / 64 * quick.device.ck_ns == pytest.approx(with_quick.latency_ns, rel=0.01)
    assert {None, 8} <= set(paces)
