"""What plug-ins return is checked: one line that names the plug-in and what is allowed."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from lpspec.allocation.allocator import ALLOCATORS
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.single import SingleDevice
from lpspec.devices.cost import Activity, Cost
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.plugins import load_plugin
from lpspec.scenario.scenario import DEFAULT
from lpspec.simulation.workload import PRUNERS
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.token_tree import TokenTree


def refused(**options: Any) -> str:
    with pytest.raises(InputError) as caught:
        compare(DEFAULT.replace(model="tinyllama", new_tokens=8, fidelity="analytic", **options))
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) <= 190
    return line


# Allocators


def allocator_giving(verify: Callable[[Cost], Any]) -> type:
    class Mine(SingleDevice):
        def decode_cost(self, operators: Any) -> Any:
            cost = super().decode_cost(operators)
            return verify(cost)

    return Mine


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda cost: None, "gave None for verify passes: a Cost is needed"),
        (lambda cost: 3.0, "gave 3.0 for verify passes: a Cost is needed"),
        (lambda cost: replace(cost, activity=None), "gave a Cost for verify passes: a Cost is needed"),
        (lambda cost: replace(cost, latency_ns=None), "gave a latency_ns for verify passes that cannot be"),
        (lambda cost: replace(cost, latency_ns=cost.latency_ns * -1.0), "gave a latency_ns for verify passes"),
        (lambda cost: replace(cost, latency_ns=cost.latency_ns * np.nan), "gave a latency_ns for verify passes"),
        (lambda cost: replace(cost, latency_ns=np.full((3, 64), 1.0)), "gave a latency_ns for verify passes"),
        (lambda cost: replace(cost, latency_ns=np.full((8, 64, 1), 1.0)), "gave a latency_ns for verify passes"),
        (lambda cost: replace(cost, latency_ns="fast"), "gave a latency_ns for verify passes"),
        (lambda cost: cost + Cost(0.0, Activity(io_bits=np.inf)), "gave a io_bits for verify passes"),
        (lambda cost: cost + Cost(0.0, Activity(io_bits=-1e30)), "gave a io_bits for verify passes"),
    ],
)
def test_costs_of_an_allocator_are_checked(
    monkeypatch: pytest.MonkeyPatch, given: Callable[[Cost], Any], said: str
) -> None:
    monkeypatch.setitem(ALLOCATORS, "mine", allocator_giving(given))
    line = refused(systems=["npu-spec"], changes={"allocator": "mine"})
    assert line.startswith(f"allocator 'mine' {said}")


def test_costs_of_a_prompt_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(SingleDevice):
        def prefill_cost(self, operators: Any) -> Any:
            return Cost(np.array([1.0, 2.0]))

    monkeypatch.setitem(ALLOCATORS, "mine", Mine)
    assert "gave a latency_ns for a prompt" in refused(systems=["npu"], changes={"allocator": "mine"})


@pytest.mark.parametrize("made", [None, 3, "static"])
def test_an_allocator_must_price(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    monkeypatch.setitem(ALLOCATORS, "mine", lambda *args: made)
    line = refused(systems=["npu"], changes={"allocator": "mine"})
    assert line.startswith(
        f"allocator 'mine' is a {type(made).__name__}: methods decode_cost and prefill_cost are needed"
    )


@pytest.mark.parametrize(
    ("tiles", "said"),
    [
        (None, "gave None: int64 [choices] is needed"),
        ([], "gave a list: int64 [choices] is needed"),
        ([0.5], "gave a list: int64 [choices] is needed"),
        (np.zeros((2, 2), int), "gave a ndarray: int64 [choices] is needed"),
        ([-1], "gave -1 to -1 tiles of 'qkv': allowed is 0 to "),
        ([0, 1000], "gave 0 to 1000 tiles of 'qkv': allowed is 0 to "),
    ],
)
def test_tiles_of_an_allocator_are_checked(monkeypatch: pytest.MonkeyPatch, tiles: Any, said: str) -> None:
    class Mine(BalancedAllocator):
        def allowed_tiles(self, placed: Any) -> Any:
            return tiles

    monkeypatch.setitem(ALLOCATORS, "mine", Mine)
    line = refused(systems=["lp-spec"], changes={"allocator": "mine"})
    assert line.startswith(f"Mine.allowed_tiles {said}")


# Pruners


class Choosing:
    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def choose(self, price: Any) -> Any:
        return self.tree

    def observe(self, *args: Any) -> None:
        pass


def chain(depth: int) -> TokenTree:
    return TokenTree.from_paths([(0,) * n for n in range(1, depth + 1)])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Choosing(None), "chose a NoneType: a TokenTree is needed"),
        (Choosing([0, 1]), "chose a list: a TokenTree is needed"),
        (Choosing(chain(5)), "chose a tree 5 deep: allowed is 4, one level a head"),
        (Choosing(TokenTree.from_paths([(n,) for n in range(64)])), "chose a tree of 65 tokens: allowed is 1 to 64"),
        (Choosing(TokenTree.from_paths([(100,)])), "chose guess 100 of a head: its list ends at "),
        (None, "is a NoneType: methods choose and observe are needed"),
        (chain(2), "is a TokenTree: methods choose and observe are needed"),
    ],
)
def test_trees_of_a_pruner_are_checked(monkeypatch: pytest.MonkeyPatch, made: Any, said: str) -> None:
    monkeypatch.setitem(PRUNERS, "mine", lambda accuracy: made)
    assert refused(systems=["npu-spec"], tree="mine").startswith(f"pruner 'mine' {said}")


def test_a_sound_pruner_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRUNERS, "chain", lambda accuracy: Choosing(chain(4)))
    run = compare(
        DEFAULT.replace(model="tinyllama", new_tokens=8, systems=["npu-spec"], tree="chain", fidelity="analytic")
    ).runs[0]
    assert run.mean_l_spec == 5


def test_the_dtp_under_another_name_stays_the_dtp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRUNERS, "again", DraftTokenPruner)
    again, own = (
        compare(
            DEFAULT.replace(model="tinyllama", new_tokens=8, systems=["npu-spec"], tree=tree, fidelity="analytic")
        ).runs[0]
        for tree in ("again", "dtp")
    )
    assert again.tokens_per_s == pytest.approx(own.tokens_per_s)


# Entry points


def test_a_package_that_cannot_be_imported_is_one_line() -> None:
    for value in ("no_such_package:Pruner", "json:NoSuchName"):
        with pytest.raises(InputError) as caught:
            load_plugin("pruner", EntryPoint("mine", value, "lpspec.pruners"))
        line = str(caught.value)
        assert line.startswith(f"pruner 'mine' ({value}) cannot be loaded: ")
        assert "\n" not in line
