"""The GEMV-PIM baseline takes turns with the NPU and never gets slower by room, whatever the size of the tree."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from medusa_model import medusa_model
from numpy.typing import NDArray

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.pim_only import PimOnlyAllocator
from lpspec.devices.package_commands import PackageCommands
from lpspec.errors import InputError
from lpspec.llm import draft_operators, model_names, verify_operators
from lpspec.llm.operators import Gemm
from lpspec.machine.loading import load_platform, load_profile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.simulation.step_phases import PhasePlanner, cost_of

SIZES = np.arange(1, 65)
CONTEXT = 480


def made(name: str, platform: PlatformSpec, longest: int = 2048, profile: str | None = "attacc") -> PimOnlyAllocator:
    model = medusa_model(name).model_copy(update={"max_context": 1 << 20})
    priced = None if profile is None else load_profile(profile)
    allocator = make_allocator(platform, model, 64, longest, priced)
    assert isinstance(allocator, PimOnlyAllocator)
    return allocator


def pass_ns(allocator: PimOnlyAllocator) -> NDArray[np.float64]:
    """Time of a pass and of all draft heads, by tokens verified."""
    verify = allocator.decode_cost(verify_operators(allocator.model, SIZES[None], np.array([[CONTEXT]])))
    draft = allocator.decode_cost(draft_operators(allocator.model))
    whole_ns: NDArray[np.float64] = np.ravel(verify.latency_ns + draft.latency_ns)
    return whole_ns


def packages(alus: int, at_once: int) -> Iterator[PlatformSpec]:
    """Packages with more and more ranks of equal dies, so of equal refresh, of which some compute at once."""
    for ranks in (1, 2, 3, 4, 6, 8):
        if ranks >= at_once:
            sizes = {"memory.pim_ranks": str(ranks), "pim.concurrent_ranks": str(at_once)}
            yield load_platform("lp-spec", sizes | {"allocator": "pim-only", "pim.alus": str(alus)})


def assert_never_slower(costs: Iterable[NDArray[np.float64]]) -> int:
    """Costs under more and more room; how often the next one was lower for some size."""
    lower = 0
    for before, after in pairwise(costs):
        assert (after <= before * (1 + 1e-12)).all()
        lower += bool((after < before * (1 - 1e-6)).any())
    return lower


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize(("alus", "at_once"), [(1, 1), (1, 2), (1, 3), (4, 1)])
def test_more_ranks_never_cost_time(name: str, alus: int, at_once: int) -> None:
    """Llama2-7B took 1.9 times as long on two ranks as on one, Vicuna-13B 1.2 times as long on four as on three."""
    fitting: list[PimOnlyAllocator] = []
    for platform in packages(alus, at_once):
        try:
            fitting.append(made(name, platform))
        except InputError:
            assert not fitting  # what fits a package fits a larger one
    assert_never_slower(map(pass_ns, fitting))


@pytest.mark.parametrize(("name", "longest"), [("llama2-7b", 32_000), ("vicuna-13b", 5_000), ("qwen2.5-7b", 235_000)])
@pytest.mark.parametrize("profile", [None, "specpim"])
def test_room_that_a_shorter_cache_leaves_never_costs_time(name: str, longest: int, profile: str | None) -> None:
    platform = load_platform("lpddr5-pim", {"memory.pim_ranks": "3"})
    room = np.linspace(longest, longest // 2, 16).astype(int).tolist()
    lower = assert_never_slower(pass_ns(made(name, platform, tokens, profile)) for tokens in room)
    assert lower > 8  # matrices did move to the PIM ranks, one after the other


def test_more_room_never_costs_time_by_commands() -> None:
    platform = load_platform("lpddr5-pim", {"pim.concurrent_ranks": "1"})
    memory = PackageCommands(platform)
    took_ns = []
    for longest in (5_000, 3_000, 1_024):
        allocator = made("vicuna-13b", platform, longest)
        planner = PhasePlanner(allocator.model, memory, allocator)
        took = [cost_of(planner.verify(size, CONTEXT + 32, 1), memory).latency_ns for size in (1, 3, 16)]
        took_ns.append(np.array(took, np.float64))
    assert assert_never_slower(took_ns) == 2


@pytest.mark.parametrize("name", ["vicuna-13b", "llama3-8b"])
@pytest.mark.parametrize("alus", [1, 4])
def test_each_product_is_the_work_of_the_faster_of_those_that_hold_it(name: str, alus: int) -> None:
    changes = {"allocator": "pim-only", "pim.alus": str(alus), "memory.pim_ranks": "2", "pim.concurrent_ranks": "2"}
    changes |= {"memory.dram_ranks": "2"}
    allocator = made(name, load_platform("lp-spec", changes), profile=None)
    assert 0 < sum(p.most for p in allocator.placements) < len(allocator.placements)
    for size in (1, 3, 4, 12, 64):
        for op in verify_operators(allocator.model, size, CONTEXT):
            if not isinstance(op, Gemm):
                continue
            expected_ns = 0.0
            for placed in (p for p in allocator.placements if p.gemm.name == op.name):
                copies = replace(op, count=placed.gemm.count)
                by_npu, by_pim = (float(device.price(copies).latency_ns) for device in (allocator.npu, allocator.pim))
                expected_ns += min(by_npu, by_pim) if placed.most else by_npu
            assert float(allocator.decode_cost((op,)).latency_ns) == pytest.approx(expected_ns, rel=1e-9)


def test_one_device_works_at_a_time() -> None:
    allocator = made("llama2-7b", load_platform("lpddr5-pim", {"memory.pim_ranks": "2", "pim.concurrent_ranks": "2"}))
    for size in (1, 8, 64):
        for op in verify_operators(allocator.model, size, CONTEXT):
            for division in allocator.divided(op):
                assert sum(amount != 0 for _, amount in division.shares) == 1
