"""Dies on the page of ``lpspec inspect``, their own and their platform's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Said

from lpspec.machine.die import Lpddr6Mode, Organisation
from lpspec.machine.loading import die_names
from lpspec.machine.pim_die import PimDie
from lpspec.machine.timing import LPDDR6_TIMINGS, Timing

Lpspec = Callable[..., Said]


def values(said: Any, kind: str) -> dict[str, dict[str, Any]]:
    assert said.code == 0
    found: dict[str, dict[str, Any]] = json.loads(said.out)[kind]["values"]
    return found


@pytest.mark.parametrize("name", die_names())
def test_every_constant_of_a_die_has_unit_and_source(lpspec: Lpspec, name: str) -> None:
    found = values(lpspec("inspect", name, "--json", "-"), "die")
    keys = {"memory.standard", "memory.data_rate"}
    keys |= {f"memory.organisation.{key}" for key in Organisation.model_fields}
    keys |= {f"memory.timing.{key}" for key in Timing.model_fields} | {f"pim.{key}" for key in PimDie.model_fields}
    if name.startswith("lpddr6"):
        keys |= {f"memory.mode.{key}" for key in Lpddr6Mode.model_fields}
    else:
        keys -= {f"memory.timing.{key}" for key in LPDDR6_TIMINGS} | {"memory.organisation.metadata_bits"}
    assert set(found) == keys
    assert all(fact["source"] for fact in found.values())
    assert {fact["unit"] for key, fact in found.items() if key.startswith("memory.timing.")} == {"CK"}


def test_a_platforms_page_shows_its_die(lpspec: Lpspec) -> None:
    die = values(lpspec("inspect", "lpddr5-6400-8gb", "--json", "-"), "die")
    platform = values(lpspec("inspect", "lp-spec", "--json", "-"), "platform")
    own = {"pim.mode_steps"}  # what the platform has otherwise
    assert {key: platform[key] for key in die.keys() - own} == {key: die[key] for key in die.keys() - own}
    assert (die["pim.mode_steps"]["value"], platform["pim.mode_steps"]["value"]) == (1, 2)
    assert platform["memory.die"]["value"] == "lpddr5-6400-8gb"


def test_what_is_set_in_ns_is_rounded_up_and_said(lpspec: Lpspec) -> None:
    for name, kind in (("lp-spec", "platform"), ("lpddr5-6400-8gb", "die")):
        said = lpspec("inspect", name, "--set", "memory.timing.nRCD=18.5 ns", "--json", "-")
        fact = values(said, kind)["memory.timing.nRCD"]
        assert (fact["value"], fact["unit"], fact["text"]) == (15.0, "CK", "15 CK (18.5 ns rounded up)")
        assert fact["source"] == "set by the user to 18.5 ns"


def test_a_derived_die_says_what_is_derived(lpspec: Lpspec) -> None:
    found = values(lpspec("inspect", "lp-spec", "--set", "memory.data_rate=7500 Mbps", "--json", "-"), "platform")
    assert found["memory.die"]["value"] == "lpddr5-6400-8gb at 7500 Mbps"
    assert found["memory.timing.nRCD"]["source"].startswith("derived from lpddr5-6400-8gb at 7500 Mbps: its time")
    assert found["memory.timing.nCCD_L"]["source"].startswith("derived from lpddr5-6400-8gb at 7500 Mbps: its count")


@pytest.mark.parametrize(
    "text",
    [
        'extends = "lpddr5x-9600"\nname = "mine"\n',
        'extends = "base.toml"\nname = "mine"\n[timing]\nnRCD = { value = 20, source = "a test" }\n',
    ],
)
def test_a_file_of_a_die_is_known_as_one(lpspec: Lpspec, tmp_path: Path, text: str) -> None:
    (tmp_path / "base.toml").write_text('extends = "lpddr5-6400-8gb"\n')
    (tmp_path / "mine.toml").write_text(text)
    said = lpspec("inspect", str(tmp_path / "mine.toml"))
    assert said.code == 0
    assert said.out.startswith("die mine: ")


def test_dies_are_listed(lpspec: Lpspec) -> None:
    listed = json.loads(lpspec("inspect", "--json", "-").out)
    assert set(listed["dies"]) == set(die_names())
