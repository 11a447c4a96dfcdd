"""A command bus for PIM ranks beside that of the others: by hand, legal under the checker, never slower than one."""

from typing import Any

import numpy as np
import pytest
from engine_help import DIE, commands_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.pim import LpddrPim
from lpspec.dram.check.checker import CheckReport, check_commands
from lpspec.dram.check.table import command_table as checkable
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.simulate import ChannelRun, run_channel
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die, load_platform

OWN = (0, 1, 2)
STEPS = load_die("lpddr5-6400-8gb", {"pim.mode_steps": "2"})


def product(device: DieSpec, tokens: int, k: int = 256, ranks: int = 3) -> NDArray[np.int64]:
    channel = PimChannel(device, OWN, ranks, 4)
    return compile_gemm(place_weights(channel, k, 768, split="never"), tokens).lines


def checked(run: ChannelRun, device: DieSpec, refresh: Any, buses: int, wck: Any = "on-demand") -> CheckReport:
    table = commands_of(run)
    fields: Any = [table[name] for name in table.dtype.names or ()]
    return check_commands(checkable(*fields), check_options(device, 4, OWN, wck, refresh).on_buses(buses))


@settings(max_examples=30)
@given(
    tokens=st.integers(1, 9),
    device=st.sampled_from([DIE, STEPS, load_die("lp5x-pim")]),
    bursts=st.sampled_from([0, 40, 900]),
    scattered=st.integers(0, 400),
    seed=st.integers(0, 1 << 20),
    refresh=st.sampled_from(["none", "all-bank", "per-bank"]),
    wck=st.sampled_from(["on-demand", "always-on"]),
    fairness=st.sampled_from(["pim-first", "npu-first", "round-robin"]),
)
def test_every_command_is_legal(
    tokens: int, device: DieSpec, bursts: int, scattered: int, seed: int, refresh: Any, wck: Any, fairness: Any
) -> None:
    """Reads of the DRAM rank, and requests all over the channel, which wait for the program where its ranks compute."""
    rng = np.random.default_rng(seed)
    reads = ReadStream(3, bursts).requests(device)
    at = np.cumsum(rng.integers(0, 12, scattered))
    places = [rng.integers(0, 64, scattered), rng.integers(0, 9, scattered), rng.integers(0, 64, scattered) * 16]
    others = np.stack([at, rng.integers(0, 2, scattered), *places], 1)
    requests = np.concatenate([reads, others])
    controller = Controller(ranks=4, refresh=refresh, wck=wck, fairness=fairness, own_bus=OWN)
    run = run_channel(requests, product(device, tokens), device, controller, keep_commands=True)
    report = checked(run, device, refresh, 2, wck)
    assert [str(found) for found in report.violations] == []
    assert run.requests == len(requests)


def test_both_buses_take_a_command_in_one_ck() -> None:
    """What one bus may not do; and it takes no longer than on one."""
    requests, program = ReadStream(3, 2000).requests(DIE), product(DIE, 4)
    runs = [
        run_channel(requests, program, DIE, Controller(ranks=4, refresh="none", own_bus=own), keep_commands=True)
        for own in ((), OWN)
    ]
    one, two = (commands_of(run)["ck"] for run in runs)
    assert len(np.unique(one)) == len(one)
    assert len(two) - len(np.unique(two)) > 50
    assert runs[1].total_ck <= runs[0].total_ck
    assert checked(runs[0], DIE, "none", 1).legal
    assert set(checked(runs[1], DIE, "none", 1).counts) == {"CA"}
    assert checked(runs[1], DIE, "none", 2).legal
    for name in ("PIM_MAC", "PIM_IN", "PIM_OUT", "RD"):
        assert runs[0].command_counts[name] == runs[1].command_counts[name]


def test_without_a_program_a_second_bus_changes_nothing() -> None:
    requests = ReadStream(3, 2000).requests(DIE)
    runs = [
        run_channel(requests, product(DIE, 1)[:0], DIE, Controller(ranks=4, own_bus=own), keep_commands=True)
        for own in ((), OWN)
    ]
    assert commands_of(runs[0]).tolist() == commands_of(runs[1]).tolist()


def test_ranks_that_are_none_have_no_bus() -> None:
    with pytest.raises(InputError, match=r"own_bus names ranks \[4\]: allowed are 0 to 3"):
        Controller(ranks=4, own_bus=(4,))


def test_only_pim_ranks_have_a_bus_of_their_own() -> None:
    assert load_platform("lp-spec").memory.command_buses.n == 2  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"memory\.command_buses = 2 is for PIM ranks"):
        load_platform("mobile-npu", {"memory.command_buses": "2"})
    with pytest.raises(InputError, match="command_buses"):
        load_platform("lp-spec", {"memory.command_buses": "3"})


@pytest.mark.parametrize(("mac", "least", "most"), [("4 CK", 1, 1.002), ("3 CK", 1.1, 4 / 3), ("2 CK", 1.02, 1.1)])
def test_what_one_bus_costs_depends_on_how_macs_meet_reads(mac: str, least: float, most: float) -> None:
    """A product beside reads that take 95 % of the data bus.

    With a MAC every third CK a read that comes 2 CK after the last one finds its slot taken and comes 3 after it, every
    time; MACs may go a CK further apart instead, so it costs 4/3 at most. Two MACs every 4 CK leave a read its slot.
    """
    took = []
    for buses in ("1", "2"):
        platform = load_platform("lp-spec", {"pim.mac_interval": mac, "memory.command_buses": buses})
        memory, pim = PackageCommands(platform), LpddrPim.of(platform)
        work = pim.gemm(4, 4096, 6144)
        read_bytes = 0.95 * float(pim.busy_ns(work)) * pim.timing.bus_gb_per_s - float(pim.bus_bytes(work))
        took.append(float(memory.product(4, 4096, 6144, memory.jobs.computing(3), read_bytes).latency_ns))
    assert least - 1e-9 <= took[0] / took[1] <= most
