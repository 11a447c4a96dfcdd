"""A scenario is text in and text out, is told apart by its content, and says every fault at once with its path."""

import contextlib
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import BASES, FIDELITIES, HEAD_USES, LEARNING_RULES, OBJECTIVES
from lpspec.scenario.option import options_of
from lpspec.scenario.scenario import DEFAULT

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip())
NAMES = TEXTS.filter(lambda text: "," not in text)
COUNTS = st.integers(1, 10**9)


def scenarios() -> st.SearchStrategy[Scenario]:
    """Any values that the types allow; what they name need not exist."""
    return st.builds(
        Scenario,
        model=TEXTS,
        weights=st.none() | COUNTS,
        trace=st.none() | TEXTS,
        systems=st.none() | st.lists(NAMES, min_size=1, max_size=4),
        objective=st.sampled_from(OBJECTIVES),
        tree=TEXTS,
        workload=st.builds(Workload, prompt_tokens=COUNTS, new_tokens=st.none() | COUNTS),
        basis=st.sampled_from(BASES),
        energy_profile=TEXTS,
        changes=st.dictionaries(TEXTS, TEXTS, max_size=3),
        learning=st.sampled_from(LEARNING_RULES),
        root_counts=st.booleans(),
        fidelity=st.sampled_from(FIDELITIES),
        heads=st.sampled_from(HEAD_USES),
    )


def refusal(values: Any) -> list[str]:
    with pytest.raises(InputError) as refused:
        Scenario.from_dict(values)
    return str(refused.value).splitlines()


# Text in, text out


@given(scenarios())
def test_toml_json_and_plain_data_say_the_same(scenario: Scenario) -> None:
    assert Scenario.from_dict(scenario.to_dict()) == scenario
    assert Scenario.from_json(scenario.to_json()) == scenario
    assert Scenario.from_toml(scenario.to_toml()) == scenario
    assert pickle.loads(pickle.dumps(scenario)) == scenario


@given(scenarios(), scenarios())
def test_a_key_and_a_hash_tell_scenarios_apart_as_their_content_does(one: Scenario, other: Scenario) -> None:
    again = Scenario.from_toml(one.to_toml())
    assert (again.key, hash(again)) == (one.key, hash(one))
    assert (one.key == other.key) == (one == other)


@pytest.mark.parametrize("option", options_of(Scenario), ids=lambda option: option.path)
def test_every_option_counts_in_the_key(option: Any) -> None:
    others = {"tree": "8", "systems": ["npu"], "changes": {"pim.alus": "2"}, "root_counts": False}
    chosen = [choice for choice in option.choices if choice != option.default]
    value = others.get(option.name) or (chosen or [7 if option.kind is int else "another"])[0]
    value = not option.default if option.kind is bool else value
    changed = DEFAULT.replace(**{option.name: value})
    assert changed != DEFAULT
    assert changed.key != DEFAULT.key


def test_the_key_is_the_same_in_every_process() -> None:
    code = "from lpspec.scenario import Scenario; print(Scenario(changes={'b': '1', 'a': '2'}).key)"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == Scenario(changes={"a": "2", "b": "1"}).key


def test_nothing_of_it_can_be_changed() -> None:
    systems, changes = ["npu", "lp-spec", "npu"], {"pim.alus": "2"}
    scenario = Scenario(systems=systems, changes=changes)  # type: ignore[arg-type]
    systems.append("pim")
    changes["pim.alus"] = "4"
    assert scenario.systems == ("npu", "lp-spec")  # a name twice is the system once
    assert dict(scenario.changes) == {"pim.alus": "2"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.tree = "8"  # type: ignore[misc]
    with pytest.raises(TypeError):
        scenario.changes["pim.alus"] = "4"  # type: ignore[index]


def test_it_loads_nothing_heavy() -> None:
    code = "import sys, lpspec.scenario; print({'numpy', 'pydantic', 'numba', 'cyclopts', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_constants_may_be_written_as_toml_has_dotted_keys() -> None:
    quoted = Scenario.from_toml('[changes]\n"pim.mac_interval" = "10 ns"\n"memory.channels" = "2"\n')
    assert Scenario.from_toml('[changes]\npim.mac_interval = "10 ns"\n[changes.memory]\nchannels = "2"\n') == quoted


# One value in place of another


def test_options_of_a_group_are_named_alone_or_with_it() -> None:
    base = Scenario(workload=Workload(64, 8), tree="8")
    assert base.replace(new_tokens=9) == Scenario(workload=Workload(64, 9), tree="8")
    assert base.replace(workload=Workload(5)) == Scenario(workload=Workload(5), tree="8")
    assert base.replace(workload={"prompt_tokens": 5}) == Scenario(workload=Workload(5), tree="8")
    assert base.replace() == base


def test_what_takes_few_options_refuses_the_others() -> None:
    base = DEFAULT.replace(new_tokens=3, trace="t")
    assert DEFAULT.replace(tree="8").only(["tree"], "this", base) == base.replace(tree="8")
    assert base.only(["tree"], "this", base) == base
    with pytest.raises(InputError, match=r'^basis: this takes no other value than "equal", not "board"$'):
        DEFAULT.replace(tree="8", basis="board").only(["tree"], "this")
    with pytest.raises(InputError, match=r"^workload.new_tokens: this takes no other value than 3, not 4$"):
        base.replace(new_tokens=4).only(["tree"], "this", base)


# Faults


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"objectve": "edp"}, "objectve: is no known key: did you mean 'objective'? known are model, weights, "),
        ({"prompt_tokens": 5}, "prompt_tokens: is no known key: did you mean 'workload.prompt_tokens'? known"),
        ({"workload": {"promt_tokens": 5}}, "workload.promt_tokens: is no known key: did you mean 'workload.prompt_"),
        (
            {"objective": "enrgy"},
            "objective: unknown value 'enrgy': did you mean 'energy'? known are edp, ",
        ),
        ({"objective": 3}, "objective: must be a text, not 3"),
        ({"model": None}, "model: must be a text, not None"),
        ({"workload": {"prompt_tokens": 0}}, "workload.prompt_tokens: must be at least 1, not 0"),
        (
            {"workload": {"prompt_tokens": 10**10}},
            "workload.prompt_tokens: must be at most 1000000000, not",
        ),
        ({"workload": {"new_tokens": 1.5}}, "workload.new_tokens: must be a whole number, not 1.5"),
        ({"workload": {"new_tokens": True}}, "workload.new_tokens: must be a whole number, not true"),
        ({"workload": {"new_tokens": "8"}}, "workload.new_tokens: must be a whole number, not the text '8'"),
        ({"workload": 8}, "workload: must be a table, not 8"),
        ({"root_counts": "no"}, "root_counts: must be true or false, not the text 'no'"),
        ({"systems": "lp-spec"}, 'systems: must be a list of names, such as ["npu-spec", "lp-spec"], not the text'),
        ({"systems": ["npu,lp-spec"]}, "systems[0]: each name is a text of its own, such as "),
        ({"systems": ["npu", 3]}, "systems[1]: must be a text, not 3"),
        ({"systems": ["npu", " "]}, "systems[1]: is an empty name"),
        ({"systems": []}, "systems: is empty: name one at least, or leave it out"),
        ({"changes": "pim.alus=2"}, "changes: must be a table such as "),
        ({"changes": {"pim.alus": [2]}}, 'changes.pim.alus: must be a text or a number, such as "10 ns" or 4, not '),
        ({"changes": {"pim.alus": float("nan")}}, "changes.pim.alus: must be a text or a number"),
        ({"changes": {"pim.alus": 10**400}}, "changes.pim.alus: must be a text or a number"),
        ({"changes": {"pim.alus": -(10**5000)}}, "changes.pim.alus: must be a text or a number"),
        ({"workload": {"prompt_tokens": 10**5000}}, "workload.prompt_tokens: must be at most 1000000000, not a number"),
        ({"changes": {"pim.alus": " "}}, "changes.pim.alus: must be a text or a number"),
        ({"changes": {"": "2"}}, "changes: the text '' is the name of no constant"),
    ],
)
def test_a_fault_is_one_line_with_its_path(values: dict[str, Any], line: str) -> None:
    (found,) = refusal(values)
    assert found.startswith(line)
    assert len(found) <= 190


def test_numbers_of_changes_are_the_texts_of_the_command_line() -> None:
    numbers = Scenario.from_dict({"changes": {"pim.alus": 2, "pim": {"adds_up": True}, "npu.clock": 1.5}})
    texts = Scenario(changes={"npu.clock": "1.5", "pim.adds_up": "true", "pim.alus": "2"})
    assert numbers == texts
    assert hash(numbers) == hash(texts)
    assert numbers.to_dict() == texts.to_dict()


def test_all_faults_are_said_at_once_each_with_its_path() -> None:
    first, *others = refusal({"objectve": "edp", "basis": "equl", "workload": {"new_tokens": 0, "prompt_tokens": "9"}})
    assert first == "scenario: 4 faults"
    paths = [line.partition(":")[0] for line in others]
    assert paths == ["objectve", "basis", "workload.new_tokens", "workload.prompt_tokens"]
    with pytest.raises(InputError, match=r"(?s)2 faults.*objective: must be a text.*fidelity: unknown value"):
        Scenario(objective=3, fidelity="exact")  # type: ignore[arg-type]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["model", "systems", "workload", "changes", "x"]), JUNK))
def test_whatever_is_given_is_taken_or_refused(values: dict[str, Any]) -> None:
    with contextlib.suppress(InputError):
        assert Scenario.from_dict(values).to_dict().keys() == DEFAULT.to_dict().keys()


# Files


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_relative_paths_of_a_file_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'model = "my/config.json"\ntrace = "t.npz"\nsystems = ["npu", "own.toml", "/abs/x.toml"]\n'
    (tmp_path / "folder").mkdir()
    file = write(tmp_path / "folder" / "s.toml", text)
    folder = str(tmp_path / "folder")
    found = Scenario.load(file)
    assert (found.model, found.trace) == (f"{folder}/my/config.json", f"{folder}/t.npz")
    assert found.systems == ("npu", f"{folder}/own.toml", "/abs/x.toml")
    assert found.energy_profile == "attacc"
    monkeypatch.chdir(tmp_path)
    assert Scenario.load("folder/s.toml").trace == "folder/t.npz"
    monkeypatch.chdir(folder)
    assert Scenario.load("s.toml").trace == "t.npz"


def test_json_files_and_results_are_read(tmp_path: Path) -> None:
    scenario = Scenario(tree="8", changes={"pim.alus": "2"})
    assert Scenario.load(write(tmp_path / "s.json", scenario.to_json())) == scenario
    result = {"systems": [], "provenance": {"lpspec": "0", "scenario": scenario.to_dict()}}
    assert Scenario.load(write(tmp_path / "r.json", json.dumps(result))) == scenario


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("s.toml", "tree = ", "is not valid TOML: "),
        ("s.toml", b"\xff\xfe", "is no text in UTF-8"),
        ("s.toml", "tree = 3", ": tree: must be a text, not 3"),
        ("s.json", "{", "is not JSON: "),
        ("s.json", "[]", "must hold a JSON object, not a list"),
        ("s.json", '{"tree": "8", "tree": "4"}', "is not JSON: key 'tree' is given twice"),
        ("s.yaml", "tree: 8", "must end in .toml or .json"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str | bytes, line: str) -> None:
    file = write(tmp_path / name, content)
    with pytest.raises(InputError) as refused:
        Scenario.load(file)
    assert "scenario file '" in str(refused.value)
    assert name in str(refused.value)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name in ("gone.toml", "folder.toml"):
        with pytest.raises(InputError, match="cannot be read: "):
            Scenario.load(tmp_path / name)


def test_toml_is_as_people_would_write_it() -> None:
    text = Scenario(systems=("npu", "lp-spec"), changes={"pim.mac_interval": "10 ns"}).to_toml()
    assert tomllib.loads(text)["workload"] == {"prompt_tokens": 128, "batch": 1}
    for line in ('systems = ["npu", "lp-spec"]', "root_counts = true", "[workload]", '"pim.mac_interval" = "10 ns"'):
        assert line in text.splitlines()
