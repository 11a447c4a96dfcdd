"""Whole programs against the rules that span many commands: input registers of any size, and the power budget."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pim_help import die, run

from lpspec.dram.check.checker import check_commands
from lpspec.dram.check.table import command_table
from lpspec.dram.pim.products import PimProgram, compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.checking import check_options
from lpspec.machine.die import DieSpec

DIES = [
    die(),
    die(alus=1),
    die(alus=8, input_depth=16),
    die(input_depth=24),
    die(input_depth=32, banks_per_mpu=1),
    die(input_depth=128, alus=2),
]
NAMES = [f"{d.pim.input_depth.n} k, {d.pim.alus.n} ALUs, {d.pim.banks_per_mpu.n} banks" for d in DIES]


def program(device: DieSpec, ranks: tuple[int, ...] = (0, 1), concurrent: int = 2) -> PimProgram:
    channel = PimChannel(device, ranks, concurrent, 4)
    return compile_gemm(place_weights(channel, 300, 1024), tokens_of(device))


def tokens_of(device: DieSpec) -> int:
    """Three, or as many as one pass takes."""
    return min(3, device.pim.alus.n)


def findings(table: NDArray[Any], device: DieSpec, concurrent: int = 2) -> dict[str, int]:
    options = check_options(device, 4, (0, 1, 2), refresh="all-bank", concurrent=concurrent)
    options = options.serving(tokens_of(device))
    columns: list[Any] = [table[name] for name in table.dtype.names or ()]
    return check_commands(command_table(*columns), options).counts


@pytest.fixture(params=DIES, ids=NAMES)
def stream(request: pytest.FixtureRequest) -> tuple[NDArray[Any], DieSpec]:
    commands = run(program(request.param)).commands
    assert commands is not None
    return commands, request.param


def test_a_program_loads_what_it_reads(stream: tuple[NDArray[Any], DieSpec]) -> None:
    table, device = stream
    macs = table[table["command"] == "PIM_MAC"]
    assert set(macs["bank_group"].tolist()) == {0, 1}
    assert findings(table, device) == {}


def test_a_program_that_names_no_set_is_legal_too(stream: tuple[NDArray[Any], DieSpec]) -> None:
    table, device = stream
    table["bank_group"][table["command"] == "PIM_MAC"] = -1
    assert findings(table, device) == {}


def test_macs_of_the_wrong_set_are_found(stream: tuple[NDArray[Any], DieSpec]) -> None:
    table, device = stream
    is_mac = table["command"] == "PIM_MAC"
    table["bank_group"][is_mac] = 1 - table["bank_group"][is_mac]
    assert set(findings(table, device)) <= {"input_ready", "input_overwrite"}
    assert findings(table, device)


def test_a_burst_into_the_other_set_is_found(stream: tuple[NDArray[Any], DieSpec]) -> None:
    """Every burst of the first row's inputs in turn: missing where it was due, or over what is being read."""
    table, device = stream
    half = device.slots_per_set
    sent = -(-tokens_of(device) * device.pim.input_depth.n // 32)
    for at in np.flatnonzero(table["command"] == "PIM_IN")[:sent]:
        wrong = table.copy()
        wrong["column"][at] = (wrong["column"][at] + half) % (2 * half)
        assert set(findings(wrong, device)) & {"input_ready", "input_overwrite"}, at


@pytest.mark.parametrize("concurrent", [1, 2, 3])
def test_no_more_ranks_compute_at_once_than_power_allows(concurrent: int) -> None:
    table = run(program(DIES[0], (0, 1, 2), concurrent)).commands
    assert table is not None
    assert findings(table, DIES[0], concurrent) == {}
    if concurrent > 1:
        assert set(findings(table, DIES[0], concurrent - 1)) == {"concurrent_ranks"}
