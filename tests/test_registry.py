"""One form of registry for all parts: of the package, of a script, of an installed package."""

import json
from collections.abc import Iterable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command

from lpspec import plugins
from lpspec.errors import InputError
from lpspec.plugins import Registry, made


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    points = EntryPoints([EntryPoint("installed", "math:tau", "lpspec.parts"), EntryPoint("not ours", "math:pi", "x")])
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))
    return Registry("part", "lpspec.parts", {"shipped": "math:e", "gone": "math:nothing"})


def test_parts_of_the_package_of_scripts_and_of_installed_packages_are_alike(parts: Registry[object]) -> None:
    import math

    parts["mine"] = 3
    assert [parts.load(name) for name in ("shipped", "mine", "installed")] == [math.e, 3, math.tau]
    assert list(parts) == ["shipped", "gone", "mine", "installed"]
    assert len(parts) == 4
    assert "installed" in parts
    assert "not ours" not in parts


def test_a_script_may_replace_a_part_and_forget_it(parts: Registry[object]) -> None:
    parts["shipped"] = 1
    assert parts["shipped"] == 1
    del parts["shipped"]
    assert "shipped" not in parts


def test_an_unknown_part_is_one_line_with_the_nearest_name(parts: Registry[object]) -> None:
    with pytest.raises(InputError, match="unknown part 'instaled': did you mean 'installed'"):
        parts.load("instaled")


def test_a_part_that_cannot_be_imported_is_one_line(parts: Registry[object]) -> None:
    with pytest.raises(InputError, match=r"part 'gone' \(math:nothing\) cannot be loaded: AttributeError"):
        parts.load("gone")


def test_every_shipped_part_can_be_loaded() -> None:
    pytest.importorskip("torch")
    from lpspec.allocation.allocator import ALLOCATORS
    from lpspec.decoding.drafters import DRAFTERS
    from lpspec.machine.device_kinds import DEVICES
    from lpspec.simulation.workload import PRUNERS

    registries: tuple[Registry[Any], ...] = (ALLOCATORS, DEVICES, DRAFTERS, PRUNERS)
    assert all(callable(registry.load(name)) for registry in registries for name in registry)


def shipped(registry: Registry[Any]) -> list[str]:
    """Without what other tests have added, from examples for instance."""
    return [name for name in registry if registry.load(name).__module__.startswith("lpspec.")]


def test_help_names_every_shipped_part() -> None:
    from lpspec.decoding.drafters import DRAFTERS
    from lpspec.machine.loading import profile_names
    from lpspec.scenario import Scenario
    from lpspec.scenario.option import options_of
    from lpspec.scenario.request import Request
    from lpspec.simulation.workload import PRUNERS

    helps = {option.name: option.help for described in (Scenario, Request) for option in options_of(described)}
    registries: tuple[tuple[str, Iterable[str]], ...] = (
        ("drafter", shipped(DRAFTERS)),
        ("tree", shipped(PRUNERS)),
        ("energy_profile", profile_names()),
    )
    assert [(name, part) for name, parts in registries for part in parts if part not in helps[name]] == []


def test_a_part_may_be_in_a_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine: pass\nraised = 1\n")
    (tmp_path / "broken.py").write_text("raise ValueError('no')\n")
    registry: Registry[object] = Registry("pruner", "no.such.group", {})
    name = f"{tmp_path}/mine.py:Mine"
    assert name in registry
    assert getattr(registry.load(name), "__name__", "") == "Mine"
    for part, why in (("mine.py:Other", "has no 'Other'"), ("broken.py:X", "ValueError: no"), ("none.py:X", "No such")):
        with pytest.raises(InputError, match=why) as said:
            registry.load(f"{tmp_path}/{part}")
        assert "\n" not in str(said.value)


def test_a_part_that_takes_other_things_is_one_line() -> None:
    assert made("pruner", "mine", lambda heads, *, more=1: heads + more, 1, more=2) == 3
    for part, why in ((object, "cannot be made"), (lambda: 1, "too many positional"), (7, "is not a callable")):
        with pytest.raises(InputError, match=rf"^pruner 'mine' cannot be made: .*{'' if part is object else why}"):
            made("pruner", "mine", part, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [("--tree", "{}"), ("--set", "allocator={}")])
def test_a_part_of_a_file_that_takes_other_things_is_one_line(tmp_path: Path, asked: tuple[str, str]) -> None:
    (tmp_path / "mine.py").write_text("class Mine: pass\n")
    option, value = asked[0], asked[1].format(f"{tmp_path}/mine.py:Mine")
    said = run_command(["compare", "--model", "tinyllama", "--systems", "npu-spec", "--new-tokens", "4", option, value])
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "cannot be made" in said.err


def test_the_table_says_whose_pruner_chose_the_trees() -> None:
    """One from a file is not the DTP, and has no objective that it is told."""
    pruner = Path(__file__).parent.parent / "examples/custom_pruner.py"
    asked = ["compare", "--model", "tinyllama", "--systems", "npu-spec", "--fidelity", "analytic", "--new-tokens", "4"]
    said = run_command([*asked, "--tree", f"{pruner}:ThresholdPruner"])
    assert said.code == 0, said.err
    assert "chosen by the pruner" in said.out
    assert "DTP" not in said.out


SLOW = """
from dataclasses import replace
from lpspec.allocation.single import SingleDevice

class Slow(SingleDevice):
    def decode_cost(self, operators):
        cost = super().decode_cost(operators)
        return replace(cost, latency_ns=2 * cost.latency_ns)
"""


def test_the_command_line_takes_an_allocator_from_a_file(tmp_path: Path) -> None:
    """One that takes twice as long for every pass gives half the tokens a second, whoever reads the file."""
    (tmp_path / "mine.py").write_text(SLOW)
    asked = ["compare", "--model", "tinyllama", "--systems", "npu", "--fidelity", "analytic", "--new-tokens", "8"]

    def tokens_per_s(*more: str) -> float:
        said = run_command([*asked, *more, "--json", "-"])
        assert said.code == 0, said.err
        return float(json.loads(said.out)["systems"][0]["tokens_per_s"])

    assert tokens_per_s("--set", f"allocator={tmp_path}/mine.py:Slow") == pytest.approx(tokens_per_s() / 2)
    said = run_command([*asked, "--set", f"allocator={tmp_path}/gone.py:Slow"])
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
