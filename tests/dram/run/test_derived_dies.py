"""Dies at a rate or capacity that nobody ships: between their neighbours in time, and legal to the checker."""

from functools import cache

import pytest
from engine_help import streaming
from engine_help import violations as broken
from pim_help import run, violations

from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import place_weights
from lpspec.dram.platform_channel import channel_of_platform
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import run_requests
from lpspec.machine.loading import load_die, load_platform
from lpspec.machine.platform_spec import PlatformSpec

SLOWER: dict[str, str] = {}
BETWEEN = {"memory.data_rate": "7500 Mbps"}
FASTER = ({"memory.data_rate": "8533 Mbps"}, {"memory.die": "lpddr5x-8533"})
DERIVED = (
    BETWEEN,
    {"memory.data_rate": "8533 Mbps"},
    {"memory.data_rate": "5500 Mbps", "memory.organisation.rows": "49152"},
    {"memory.data_rate": "10667 Mbps", "memory.organisation.rows": "131072"},
    {"memory.timing.nRCD": "31", "memory.timing.nFAW": "40 ns", "memory.timing.nRRD": "9"},
    {"memory.pim_ranks": "2", "pim.concurrent_ranks": "2", "memory.dram_ranks": "3", "memory.data_rate": "7500 Mbps"},
)


@cache
def platform_of(changes: tuple[tuple[str, str], ...]) -> PlatformSpec:
    return load_platform("lp-spec", dict(changes))


def reads_ns(changes: dict[str, str]) -> float:
    """8 MiB by the NPU, which is 164 us or 13 refreshes at 6400 Mbps."""
    return float(PackageCommands(platform_of(tuple(changes.items()))).reads(8 << 20).latency_ns)


def product_ns(changes: dict[str, str]) -> float:
    """Four tokens times 1024 x 3072 weights in the PIM ranks."""
    platform = platform_of(tuple(changes.items()))
    assert platform.pim is not None
    memory = PackageCommands(platform)
    at_once = memory.jobs.computing(platform.pim.concurrent_ranks.n)
    return float(memory.product(4, 1024, 3072, at_once, 0.0).latency_ns)


@pytest.mark.parametrize("faster", FASTER)
@pytest.mark.parametrize("took_ns", [reads_ns, product_ns])
def test_7500_lies_between_the_6400_and_the_8533_die(took_ns: object, faster: dict[str, str]) -> None:
    """Derived 8533 (8 Gb) or shipped (16 Gb, which refreshes longer): both are faster than 7500, which beats 6400."""
    assert callable(took_ns)
    slow, between, fast = (took_ns(changes) for changes in (SLOWER, BETWEEN, faster))
    assert fast < between < slow
    assert between / slow == pytest.approx(6400 / 7500, rel=0.03)  # near the rates: most of it are bursts and MACs


@pytest.mark.parametrize("changes", DERIVED)
@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
def test_streams_of_derived_dies_pass_the_checker(changes: dict[str, str], refresh: str) -> None:
    die = platform_of(tuple(changes.items())).die
    controller = Controller(ranks=2, refresh=refresh)  # type: ignore[arg-type]
    done = run_requests(streaming(3000, write_share=0.3), die, controller, keep_commands=True)
    assert done.command_counts["RD"] + done.command_counts["WR"] == 3000
    assert broken(done, die, controller) == []


@pytest.mark.parametrize("changes", DERIVED)
def test_products_of_derived_dies_pass_the_checker(changes: dict[str, str]) -> None:
    channel = channel_of_platform(platform_of(tuple(changes.items())))
    program = compile_gemm(place_weights(channel, 300, 700), 5)
    done = run(program, streaming(500, rank=channel.ranks - 1))
    assert done.command_counts["PIM_MAC"] > 0
    assert violations(done, program) == []


@pytest.mark.parametrize(("key", "less"), [("nRCD", 4), ("nCCD_L", 1), ("nRP", 4), ("nRFCab", 40)])
def test_the_checker_sees_where_a_stream_took_less_than_its_die_asks(key: str, less: int) -> None:
    """A stream of a die with one timing shorter, held to the die as it ships."""
    keys = ("nRPpb", "nRPab") if key == "nRP" else (key,)
    strict, controller = load_die(), Controller(ranks=1)
    shorter = {f"memory.timing.{name}": str(strict.timing.counts()[name] - less) for name in keys}
    hasty = load_die(changes=shorter)
    requests = streaming(3000)
    requests[:, 2] = 0  # one bank, whose rows follow each other
    done = run_requests(requests, hasty, controller, keep_commands=True)
    assert broken(done, hasty, controller) == []
    assert broken(done, strict, controller) != []
