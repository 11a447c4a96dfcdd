"""``lpspec sustained``: a table, JSON and a figure."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said

from lpspec.cli.sustained import Lasting
from lpspec.experiments.sustained import BASE, SYSTEMS

Lpspec = Callable[..., Said]
QUICK = (
    "sustained",
    "--model",
    "tinyllama",
    "--new-tokens",
    "4",
    "--fidelity",
    "analytic",
    "--systems",
    "npu,npu-spec",
)


def test_what_the_help_says_is_what_runs() -> None:
    asked = Lasting()
    assert tuple(asked.systems.split(",")) == SYSTEMS == BASE.systems
    assert asked.energy_profile == BASE.energy_profile


def test_the_table_and_the_json_say_the_same(lpspec: Lpspec, tmp_path: Path) -> None:
    said = lpspec(*QUICK, "--figure", str(tmp_path / "fig.svg"), "--json", str(tmp_path / "out.json"))
    assert said.code == 0, said.err
    document = json.loads((tmp_path / "out.json").read_text())
    for row, system in zip(said.numbers, document["systems"], strict=True):
        assert row[0] == system["system"]
        assert float(row[1].replace(",", "")) == pytest.approx(system["peak"]["tokens_per_s"], rel=1e-3)
        assert float(row[4].replace(",", "")) == pytest.approx(system["sustained_tokens_per_s"], rel=1e-3)
        assert system["sustained_least_tokens_per_s"] <= system["sustained_tokens_per_s"]
        assert system["peak_by_commands"] is None
    assert all(each["source"] for each in document["thermal"].values())
    assert document["provenance"]["command"][:2] == ["lpspec", "sustained"]
    assert (tmp_path / "fig.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("--systems", "attacc"), "'attacc' has neither"),
        (("--operating-points", "desk"), "desk"),
        (("--systems", "lp-spec,lp-spec,"), "empty name"),
    ],
)
def test_bad_input_is_one_line(lpspec: Lpspec, argv: tuple[str, ...], hint: str) -> None:
    said = lpspec("sustained", *argv)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert hint in line
