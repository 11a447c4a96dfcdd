"""A machine's address mapping: where what NPU and CPU read lies, what it costs by commands, and who sees none of it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.run_lengths import LONGER
from lpspec.devices.steady_prices import ALLOWED_ERROR
from lpspec.dram.check.checker import check_commands
from lpspec.dram.check.table import HEADER, command_table
from lpspec.dram.platform_channel import addresses_of_platform
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.simulate import run_requests
from lpspec.dram.run.steady import REFRESH_INTERVALS
from lpspec.dram.run.traffic import LINE_BYTES, Traffic
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.machine.loading import load_platform
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario import Scenario, Workload
from lpspec.simulation.command_cost import command_costs

KEY = "memory.controller.address_mapping"
FIELDS = ("ra", "ro", "ba", "co", "bg")


def machine(text: str | None = None) -> PlatformSpec:
    """An NPU with four plain ranks of LPDDR5 on each of four channels."""
    return load_platform("mobile-npu", {} if text is None else {KEY: text})


def stream(text: str | None, bursts: int) -> Any:
    platform = machine(text)
    return ReadStream(3, bursts, mapping=addresses_of_platform(platform, platform.die)).requests(platform.die)


def places_by_hand(order: tuple[str, ...], bursts: int) -> Any:
    """Bank of the channel, row, column of bursts, digit by digit with whole numbers; ranks from the last down."""
    sizes = {"ra": 4, "ro": 32768, "ba": 4, "co": 64, "bg": 4}
    found = []
    for number in range(bursts):
        digits, left = {}, number
        for field in reversed(order):
            left, digits[field] = divmod(left, sizes[field])
        found.append((((3 - digits["ra"]) * 4 + digits["bg"]) * 4 + digits["ba"], digits["ro"], 16 * digits["co"]))
    return np.array(found)


@settings(max_examples=30, deadline=None)
@given(st.permutations(FIELDS), st.integers(0, 5))
def test_bursts_lie_as_the_fields_say_wherever_the_channel_stands(order: list[str], channel_at: int) -> None:
    text = "-".join([*order[:channel_at], "ch", *order[channel_at:]])
    requests = stream(text, 700)
    assert (requests[:, 2:] == places_by_hand(tuple(order), 700)).all()
    assert (requests[:, :2] == 0).all()


def test_nothing_said_is_a_rank_after_the_other_filled_row_by_row() -> None:
    """As the NPU's streams lay before there was a choice: groups, columns, banks of a group, rows of the last rank."""
    requests, n = stream(None, 5000), np.arange(5000)
    by_hand = np.stack([48 + n % 4 * 4 + n // 256 % 4, n // 1024, n // 4 % 64 * 16], 1)
    assert (requests[:, 2:] == by_hand).all()


def reads_ns(text: str, read_bytes: int = 4 << 20) -> float:
    return float(PackageCommands(machine(text), exact=True).reads(read_bytes).latency_ns)


def test_one_bank_group_after_the_other_halves_the_rate() -> None:
    """nCCD_L 4 in place of 2: 1 MiB a channel takes 32,768 x 4 CK of 1.25 ns.

    Once per nREFI 3125 it stops for nRTP 8 + nRPab 17 + nRFCab 168 + ACT 2 + nRCD 15 = 210.
    """
    refreshed = 1 / (1 - 210 / 3125)
    assert reads_ns("ra-bg-ro-ba-co-ch") == pytest.approx(32_768 * 4 * 1.25 * refreshed, rel=0.004)
    assert reads_ns("ra-ro-ba-co-bg-ch") == pytest.approx(32_768 * 2 * 1.25 * refreshed, rel=0.004)


def test_a_row_for_every_burst_takes_a_row_cycle() -> None:
    """Rows lowest: nRC 49 from ACT-2 to ACT-1, and 1 CK to its ACT-2, for each burst of one bank."""
    assert reads_ns("ra-ba-bg-co-ro-ch", 1 << 18) == pytest.approx(2048 * 50 * 1.25 * 1.06, rel=0.02)


def test_new_keys_and_values_are_written_in_the_same_order() -> None:
    """In plain DRAM; one group after the other writes at half the rate."""
    turns, one_by_one = (PackageCommands(machine(text), exact=True) for text in (None, "ra-bg-ro-ba-co-ch"))
    took = [float(memory.append_to_dram(1 << 20).latency_ns) for memory in (turns, one_by_one)]
    assert took[1] / took[0] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("text", ["ro-ra-ba-co-bg-ch", "ra-bg-ro-ba-co-ch", "ro-co-ra-bg-ba-co3-ch-ra1"])
def test_streams_of_any_order_are_legal(text: str) -> None:
    requests, die, controller = stream(text, 4000), machine().die, Controller(ranks=4)
    done = run_requests(requests, die, controller, keep_commands=True)
    assert done.commands is not None
    ck, command, rank, group, bank, row, column = (done.commands[name] for name in HEADER)
    table = command_table(ck, command, rank, group, bank, row, column)
    assert check_commands(table, check_options(die, 4, refresh="all-bank"), done.end_ck).legal


def asked(text: str | None, **options: Any) -> Scenario:
    changes = {} if text is None else {KEY: text}
    return Scenario(
        model="tinyllama", systems=("npu-spec",), changes=changes, workload=Workload(new_tokens=2), **options
    )


def test_commands_follow_it_and_the_analytic_level_says_that_it_does_not() -> None:
    plain, other = (compare(asked(text, fidelity="command")) for text in (None, "ra-bg-ro-ba-co-ch"))
    assert other.runs[0].tokens_per_s < 0.6 * plain.runs[0].tokens_per_s
    assert not any(KEY in note for note in other.notes)
    closed = [compare(asked(text, fidelity="analytic")) for text in (None, "ra-bg-ro-ba-co-ch")]
    assert closed[0].runs[0].tokens_per_s == closed[1].runs[0].tokens_per_s
    assert any(f"--set {KEY} has no effect on mobile-npu" in note for note in closed[1].notes)


def test_phases_are_combined_for_the_order_alone_that_this_was_shown_for() -> None:
    """In another one phases that are alike may take other times, so each runs by itself."""
    combined, other = (
        make_system("npu-spec", load_model("tinyllama"), asked(text)) for text in (None, "ra-ro-ba-bg-co-ch")
    )
    exact = command_costs(dataclasses.replace(other, exact=True), 128, 2, refresh_intervals=LONGER * REFRESH_INTERVALS)
    costs, found = command_costs(combined, 128, 2), command_costs(other, 128, 2)
    assert costs is not None
    assert found is not None
    assert exact is not None
    assert costs.error_bound is not None
    assert (found.error_bound, exact.error_bound) == (ALLOWED_ERROR, None)
    none = np.zeros(2, np.int64)
    at = np.array([0, 1]), np.array([1, 8]), none, none, none
    np.testing.assert_array_equal(found.decode(*at).latency_ns, exact.decode(*at).latency_ns)


def test_lines_of_a_cpu_lie_in_that_order_with_both_bursts_in_a_row() -> None:
    """A line is two bursts of one row; lines one after the other go where the mapping sends every second burst."""
    platform = machine("ra-ba-ro-bg-co-ch")
    addresses = addresses_of_platform(platform, platform.die)
    table = np.concatenate(list(Traffic(5.0, "stream").requests(platform.die, 4, 3, 200_000, addresses)))
    assert len(table) > 200
    first, second = table[::2], table[1::2]
    assert (first[:, :4] == second[:, :4]).all()
    assert (second[:, 4] == first[:, 4] + 16).all()
    lines = addresses.capacity_bytes // LINE_BYTES
    expected = addresses.places((lines // 2 + np.arange(len(first))) * LINE_BYTES)  # columns are lowest: as they come
    assert (first[:, 3] == expected.row).all()
    assert (first[:, 4] == expected.column).all()
    assert (first[:, 2] % 16 == expected.bank % 16).all()
    assert (first[:, 2] // 16 == 3 - expected.bank // 16).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ro-ba-co-bg-ch", "ra missing, or not all of it there"),
        ("ro-ra-ba-co-bg", "ch missing, or not all of it there"),
        ("ro-ra0-ba-co-bg-ch", "'ra0' is no field"),
        ("ro-ra3-ba-co-bg-ch", "ra3 takes more than the 4 values that there are"),
        ("x" * 300, "is no field"),
    ],
)
def test_what_is_no_mapping_of_the_machine_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        machine(text)
    assert said in str(refused.value)
    assert "address_mapping" in str(refused.value)
    assert len(str(refused.value)) <= 200
    assert "\n" not in str(refused.value)


def test_a_rank_alone_need_not_be_named() -> None:
    assert load_platform("lp-spec", {KEY: "ro-ba-co-bg-ch"}).memory is not None
