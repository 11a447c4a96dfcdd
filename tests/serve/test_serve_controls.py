"""Controls come from the schema: every constant that has a range or names, with ends that the schema allows."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.experiments.systems import KNOWN_SYSTEMS, system_constants
from lpspec.llm.dimensions import DIMENSIONS, with_dimensions
from lpspec.llm.loading import load_model
from lpspec.machine.loading import load_platform
from lpspec.scenario import Scenario
from lpspec.scenario.option import options_of
from lpspec.serve.controls import HIDDEN, controls_of


class ContradictionError(Exception):
    """A value that is possible, but not beside the others of the machine."""


def load(key: str, text: str) -> None:
    """Change one constant.

    Raises:
        InputError: The value is of another kind than the constant, or out of its range.
    """
    try:
        load_platform("lp-spec", {key: text})
    except InputError as error:
        if any(word in str(error) for word in ("out of range", "unit", "whole number", "no number")):
            raise
        raise ContradictionError from error


def constants(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {control["path"]: control for table in content["tables"] for control in table["controls"]}


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_option_has_one_control() -> None:
    content = controls_of(Scenario(), "lp-spec")
    shown = {control["path"] for control in content["options"]} | set(HIDDEN)
    assert shown == {option.path for option in options_of(Scenario)}
    assert {one["name"] for one in content["systems"]} == set(KNOWN_SYSTEMS)


def test_every_constant_of_a_machine_has_one_but_those_without_a_choice() -> None:
    """Nor have texts in a form of their own, formats and the order of an address, a list to choose from."""
    known = system_constants("lp-spec")
    missing = set(known) - set(constants(controls_of(Scenario(), "lp-spec")))
    assert missing <= {"npu.dataflow"} | {key for key in known if key.endswith(("formats", "address_mapping"))}


@pytest.mark.parametrize("end", ["from", "to"])
def test_ends_of_sliders_lie_in_the_range_of_the_schema(end: str) -> None:
    """Alone an end may contradict another constant, but it is in its own range and unit."""
    for key, control in constants(controls_of(Scenario(), "lp-spec")).items():
        if control["kind"] != "number":
            continue
        assert control["from"] <= control["value"] <= control["to"], key
        with contextlib.suppress(ContradictionError):
            load(key, f"{control[end]:.12g} {control['unit']}".strip())


def test_values_are_those_of_the_machine_and_changes_move_them() -> None:
    content = controls_of(Scenario(changes={"npu.clock": "500 MHz", "npu.scratchpad": "4 MiB"}), "lp-spec")
    found = constants(content)
    assert (found["npu.clock"]["value"], found["npu.clock"]["default"], found["npu.clock"]["unit"]) == (0.5, 1, "GHz")
    assert (found["npu.scratchpad"]["value"], found["npu.scratchpad"]["unit"]) == (4, "MiB")
    platform = load_platform("lp-spec")
    assert platform.pim is not None
    assert found["pim.alus"]["value"] == platform.pim.alus.n
    assert found["pim.alus"]["help"] == type(platform.pim).model_fields["alus"].description


def test_dimensions_of_the_model_move_and_stand_beside_its_weights() -> None:
    content = controls_of(Scenario(model="tinyllama", changes={"model.layers": "30", "pim.alus": "2"}), "lp-spec")
    found = {control["path"]: control for control in content["model"]}
    assert set(found) == {f"model.{name}" for name in DIMENSIONS}
    assert (found["model.layers"]["value"], found["model.layers"]["default"]) == (30, 22)
    assert (found["model.kv_heads"]["value"], found["model.kv_heads"]["default"]) == (4, 4)
    for path, control in found.items():
        name = path.removeprefix("model.")
        assert 1 <= control["from"] <= control["value"] <= control["to"] <= DIMENSIONS[name].most
        for end in ("from", "to"):
            with contextlib.suppress(InputError):  # alone, heads may be no multiple of those of keys
                assert getattr(with_dimensions(load_model("tinyllama"), {name: str(control[end])}), name)
    beside = {control["path"] for control in content["options"] if control["of_workload"]}
    assert {"model", "weights", "workload.prompt_tokens"} <= beside


def test_a_machine_file_of_the_folder_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'extends = "lp-spec"\nname = "own"\n[pim]\nalus = { value = 2, source = "mine" }\n'
    )
    content = controls_of(Scenario(), "own.toml")
    assert constants(content)["pim.alus"]["value"] == 2
    assert constants(content)["pim.alus"]["source"] == "mine"
    assert content["systems"][-1]["name"] == "own.toml"


def test_gpus_have_sliders_too() -> None:
    assert constants(controls_of(Scenario(), "rtx3090"))["gpu.bandwidth"]["unit"] == "GB/s"
