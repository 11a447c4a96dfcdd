"""What ``lpspec doctor`` finds."""

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import pytest
from command_line import run_command

from lpspec.cli import doctor


def test_it_reports_what_is_installed_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "frames", ("no-such-package",))
    found = json.loads(run_command(["doctor", "--json", "-"]).out)
    for name in doctor.REQUIRED:
        assert found["packages"][name] == importlib.metadata.version(name)
    assert found["extras"]["frames"] == {"no-such-package": None}
    assert found["cores"] >= 1
    text = run_command(["doctor"]).out
    assert "no-such-package missing; for all of it: pip install 'lpspec[frames]'" in text


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=~ ]", each)[0] for each in requirements}

    assert {name: set(packages) for name, packages in doctor.EXTRAS.items()} == {
        name: names(each) for name, each in project["optional-dependencies"].items()
    }
    assert set(doctor.REQUIRED) == names(project["dependencies"])
