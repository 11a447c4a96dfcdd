"""A new component is a constant, an event that names it, and the place that counts it: the example of the docs."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lpspec.machine.energy_profile import Activity
from lpspec.machine.loading import load_profile
from lpspec.machine.quantity import EnergyPerOperation

ROOT = Path(__file__).parents[2]


def edits() -> Iterator[tuple[str, str]]:
    """Every file that the example of docs/extending.md touches, and its text afterwards."""
    example = (ROOT / "docs" / "extending.md").read_text("utf-8").split("```diff\n")[1].split("```")[0]
    for part in example.removeprefix("--- ").split("\n--- "):
        heading, *lines = part.splitlines()
        name = heading.split()[0]
        yield name, changed((ROOT / name).read_text("utf-8"), lines)


def changed(text: str, lines: list[str]) -> str:
    """The text with lines added behind those that stay, and in the place of those taken out."""
    at = 0
    for line in lines:
        sign, body = line[0], line[1:] + "\n"
        if sign != "+":
            at = text.index(body)
            text, at = (text[:at] + text[at + len(body) :], at) if sign == "-" else (text, at + len(body))
        else:
            text, at = text[:at] + body + text[at:], at + len(body)
    return text


def test_the_example_of_a_component_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = dict(edits())
    schema, counted, values = texts
    assert len(texts) == 3
    module = ModuleType("energy_with_a_clock")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(texts[schema], schema, "exec"), module.__dict__)
    profile = module.EnergyProfile.model_validate(tomllib.loads(texts[values]))
    assert module.COMPONENTS[-1] == "clock"
    assert module.Activity(npu_cycles=3.0, io_bits=1.0).energy_pj(profile)["clock"] == pytest.approx(60.0)
    assert module.Activity(npu_cycles=3.0).by_event_pj(profile) == {"npu_cycles": pytest.approx(60.0)}
    compile(texts[counted], counted, "exec")
    assert "+ cycles" in texts[counted]


def test_a_copy_of_a_profile_prices_by_its_own_constants() -> None:
    profile, macs = load_profile("attacc"), Activity(macs_int8=3.0)
    before = macs.energy_pj(profile)["mac"]
    double = EnergyPerOperation(value=f"{2 * profile.mac_int8.value} pJ", source="twice")
    assert macs.energy_pj(profile.model_copy(update={"mac_int8": double}))["mac"] == 2 * before
    assert macs.energy_pj(profile)["mac"] == before
    assert not profile.has_standby
    assert load_profile("micron-y52p").has_standby
