"""Allocators and pruners are known by what they can do: those that inherit nothing run as the shipped ones do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lpspec.allocation.allocator import ALLOCATORS, Layout, WeightMove
from lpspec.allocation.division import Division
from lpspec.allocation.exclusive import DynamicAllocator
from lpspec.allocation.sharing import Sharing
from lpspec.devices.cost import Cost
from lpspec.devices.expert_loads import price_on
from lpspec.devices.kinds import device_alone
from lpspec.devices.kv_append import put_in_dram
from lpspec.devices.memory_timing import timing_of
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Operator
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.scenario import DEFAULT
from lpspec.simulation.run import Run
from lpspec.simulation.workload import PRUNERS
from lpspec.speculation.pruner import DraftTokenPruner, FixedTree
from lpspec.speculation.token_tree import TokenTree


def run(fidelity: str | None, tree: str = "8", allocator: str = "replicated", **options: Any) -> Run:
    changes = {"allocator": allocator}
    given: dict[str, Any] = {"model": "tinyllama", "systems": ["lp-spec"], "new_tokens": 24, **options}
    return compare(DEFAULT.replace(tree=tree, fidelity=fidelity, changes=changes, **given)).runs[0]


def same(one: Run, other: Run) -> None:
    assert one.fidelity == other.fidelity
    assert one.decode_ns == other.decode_ns
    assert np.array_equal(one.decode_pj, other.decode_pj)
    assert (one.prefill_ns, one.prefill_pj, one.migration_ns) == (
        other.prefill_ns,
        other.prefill_pj,
        other.migration_ns,
    )


class Moving:
    """The protocol by composition: LP-Spec's moving columns inside, no base class."""

    def __init__(
        self,
        platform: PlatformSpec,
        model: ModelSpec,
        max_tokens: int,
        max_context: int,
        profile: EnergyProfile,
        passes: Sharing,
    ) -> None:
        self.inside = DynamicAllocator(platform, model, max_tokens, max_context, profile, passes)

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        return self.inside.decode_cost(operators)

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        return self.inside.prefill_cost(operators)

    def compaction_cost(self, op: Attention) -> Cost:
        return self.inside.compaction_cost(op)

    def append_cost(self, op: Attention) -> Cost:
        return self.inside.append_cost(op)

    @property
    def layouts(self) -> Sequence[Layout]:
        return self.inside.layouts

    def migration(self, start: int, goal: int) -> Cost:
        return self.inside.migration(start, goal)

    def moves(self, start: int, goal: int) -> Mapping[WeightMove, int]:
        return self.inside.moves(start, goal)


class Alone:
    """The protocol from nothing: all on the device that stands alone."""

    kv_on_dram = True

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        assert platform.memory is not None
        self.platform, self.device, self.timing = platform, device_alone(platform), timing_of(platform.memory)
        self.layouts = [self]

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        total = Cost()
        for op in operators:
            total += price_on(self.device, op)
        return self.timing.standing_by(total)

    prefill_cost = decode_cost

    def compaction_cost(self, op: Attention) -> Cost:
        return put_in_dram(self.platform, op, read_first=True)

    def append_cost(self, op: Attention) -> Cost:
        return put_in_dram(self.platform, op, read_first=False)

    def pim_cache(self, op: Attention) -> None:
        return None

    def divided(self, op: Operator, prompt: bool = False) -> Iterable[Division]:
        return [Division(op.count, ((self.device, None),))]


class PricesOnly:
    """What an allocator must have at least."""

    def __init__(self, *args: Any) -> None:
        self.inside = Alone(*args)

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        return self.inside.decode_cost(operators)

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        return self.inside.prefill_cost(operators)


@pytest.mark.parametrize("fidelity", ["analytic", "command"])
@pytest.mark.parametrize(("mine", "shipped"), [(Moving, "dynamic"), (Alone, "single")])
def test_an_allocator_without_a_base_class_runs_as_the_shipped_one(
    monkeypatch: pytest.MonkeyPatch, fidelity: str, mine: type, shipped: str
) -> None:
    monkeypatch.setitem(ALLOCATORS, "mine", mine)
    same(run(fidelity, allocator="mine"), run(fidelity, allocator=shipped))


def test_weights_move_as_under_the_shipped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sixteen(FixedTree):
        def __init__(self, accuracy: NDArray[np.float64]) -> None:
            super().__init__(TokenTree.from_paths([(rank,) for rank in range(10)] + [(0, rank) for rank in range(5)]))

    monkeypatch.setitem(ALLOCATORS, "mine", Moving)
    monkeypatch.setitem(PRUNERS, "sixteen", Sixteen)
    mine, shipped = (run("analytic", "sixteen", name, new_tokens=200) for name in ("mine", "dynamic"))
    assert mine.migrations == shipped.migrations > 0
    same(mine, shipped)


def test_one_that_only_prices_has_no_command_level_and_pays_for_moved_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOCATORS, "mine", PricesOnly)
    mine = run(None, allocator="mine")
    assert mine.fidelity == "analytic"
    assert mine.steps.moved.sum() > 0
    same(mine, run("analytic", allocator="single"))


class Wrapped:
    """The DTP by composition."""

    def __init__(self, accuracy: NDArray[np.float64]) -> None:
        self.inside = DraftTokenPruner(accuracy)

    def choose(self, price: NDArray[np.float64]) -> TokenTree:
        return self.inside.choose(price)

    def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
        self.inside.observe(position, ranks, tree, committed)

    def best_rate(self, price: NDArray[np.float64]) -> float:
        return self.inside.best_rate(price)

    @property
    def heads(self) -> int:
        return self.inside.heads


@pytest.mark.parametrize("fidelity", ["analytic", "command"])
@pytest.mark.parametrize("allocator", ["replicated", "dynamic"])
def test_a_pruner_without_a_base_class_runs_as_the_compiled_one(
    monkeypatch: pytest.MonkeyPatch, fidelity: str, allocator: str
) -> None:
    monkeypatch.setitem(PRUNERS, "mine", Wrapped)
    mine, shipped = (run(fidelity, tree, allocator, objective="throughput") for tree in ("mine", "dtp"))
    assert np.array_equal(mine.steps.heads, shipped.steps.heads)
    assert np.array_equal(mine.steps.placement, shipped.steps.placement)
    same(mine, shipped)


@pytest.mark.parametrize("heads", [0, 5, 2.5])
def test_heads_of_a_pruner_are_checked(monkeypatch: pytest.MonkeyPatch, heads: float) -> None:
    class Mine(Wrapped):
        @property
        def heads(self) -> Any:
            return heads

    monkeypatch.setitem(PRUNERS, "mine", Mine)
    with pytest.raises(InputError, match=rf"pruner 'mine' runs {heads} heads for a tree . deep: allowed is . to 4"):
        run("analytic", "mine")
