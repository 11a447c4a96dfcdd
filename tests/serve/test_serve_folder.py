"""What a scenario of the page may name, and what is written: nothing outside the folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.scenario import Scenario
from lpspec.serve.folder import check_inside, from_folder, platform_files, save

OUTSIDE = [
    {"model": "/etc/hostname"},
    {"model": "../config.json"},
    {"model": "here/../../config.json"},
    {"drafter": "draft-model:/etc/hostname"},
    {"drafter": "draft-model:../config.json"},
    {"trace": "link/trace.npz"},
    {"systems": ["lp-spec", "../own.toml"]},
    {"energy_profile": "/dev/zero"},
    {"workload": {"requests": "../requests.jsonl"}},
    {"changes": {"memory.die": "/etc/passwd"}},
    {"model": "config\0.json"},
]
CODE = [{"tree": "mine.py:Pruner"}, {"changes": {"allocator": "./mine.py:Allocator"}}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "given"
    found.mkdir()
    (found / "link").symlink_to(tmp_path)
    return found.resolve()


@pytest.mark.parametrize("values", OUTSIDE)
def test_files_outside_are_refused_in_a_line(folder: Path, values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"lies outside the folder that lpspec serve was given$") as refused:
        check_inside(Scenario.from_dict(values), folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("values", CODE)
def test_code_is_refused(folder: Path, values: dict[str, object]) -> None:
    with pytest.raises(InputError, match="is code, which lpspec serve does not run"):
        check_inside(Scenario.from_dict(values), folder)


def test_names_units_and_files_inside_are_let_through(folder: Path) -> None:
    changes = {"memory.data_rate": "6400 MT/s", "gpu.bandwidth": "12.8 GB/s"}
    check_inside(Scenario(model="sub/config.json", systems=("own.toml", "lp-spec"), changes=changes), folder)


@given(st.text(max_size=40))
def test_whatever_is_let_through_lies_inside(text: str) -> None:
    """Against the system's own word: a path joined to the folder, links and dots resolved."""
    folder = Path("/usr/lib").resolve()
    try:
        check_inside(Scenario(model=text), folder)
    except InputError:
        return
    assert os.path.commonpath([os.path.realpath(os.path.join(folder, text)), folder]) == str(folder)  # noqa: PTH118


def test_paths_of_the_command_line_become_those_of_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert from_folder(Scenario(model="given/a/config.json"), folder).model == "./a/config.json"
    with pytest.raises(InputError, match="lies outside"):
        from_folder(Scenario(model="config.json"), folder)


def test_a_saved_scenario_is_the_one_that_was_shown(folder: Path) -> None:
    scenario = Scenario(model="tinyllama", systems=("lp-spec",), changes={"pim.mac_interval": "10 ns"}, tree="6")
    save(scenario, "mine.toml", folder)
    assert Scenario.load(folder / "mine.toml") == scenario


@pytest.mark.parametrize(
    "name", ["", "../x.toml", "/etc/x.toml", "x.json", ".x.toml", "a/b.toml", "x.toml\n", "é.toml"]
)
def test_names_that_could_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(InputError, match="is no file name"):
        save(Scenario(), name, folder)
    assert sorted(folder.parent.rglob("*")) == before


def test_nothing_is_written_over_or_through_a_link(folder: Path) -> None:
    (folder / "taken.toml").write_text("mine")
    (folder / "way-out.toml").symlink_to(folder.parent / "outside.toml")
    for name in ("taken.toml", "way-out.toml"):
        with pytest.raises(InputError, match="is there already"):
            save(Scenario(), name, folder)
    assert (folder / "taken.toml").read_text() == "mine"
    assert not (folder.parent / "outside.toml").exists()


def test_a_folder_that_cannot_be_written_is_said_in_a_line(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^'x.toml' cannot be written: No such file or directory$"):
        save(Scenario(), "x.toml", folder / "gone")


def test_platforms_are_told_from_other_files(folder: Path) -> None:
    (folder / "own.toml").write_text('extends = "lp-spec"\nname = "own"\n')
    (folder / "scenario.toml").write_text('model = "tinyllama"\n')
    (folder / "linked.toml").symlink_to("/etc/hostname")
    assert platform_files(folder) == ["own.toml"]
