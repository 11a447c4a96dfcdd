"""Files of studies: axes, samples, constraints and derived values, and what is wrong with them."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.explore.points import Point, point_count, points
from lpspec.explore.study_file import load_study, parse_study

AXES: dict[str, Any] = {"pim": {"alus": [2, 4, 6]}, "workload.prompt_tokens": [128, 512], "tree": ["dtp", "8"]}


def made(**tables: Any) -> list[Point]:
    return list(points(parse_study(tables)))


def test_a_grid_is_every_combination_in_order() -> None:
    found = made(axes=AXES)
    expected = list(itertools.product([2, 4, 6], [128, 512], ["dtp", "8"]))
    assert [
        tuple(point.values[name] for name in ("pim.alus", "workload.prompt_tokens", "tree")) for point in found
    ] == expected
    for point, (alus, prompt, tree) in zip(found, expected, strict=True):
        assert point.scenario.changes["pim.alus"] == str(alus)
        assert point.scenario.workload.prompt_tokens == prompt
        assert point.scenario.tree == tree
        assert point.scenario.systems == ("lp-spec",)
    assert len({point.key for point in found}) == point_count(parse_study({"axes": AXES})) == 12


def test_points_of_one_machine_follow_each_other_in_whatever_order_axes_are() -> None:
    found = made(axes={"tree": ["dtp", "8"], "pim.alus": [2, 4], "objective": ["edp", "energy"], "npu.cores": [8, 16]})
    names = ("pim.alus", "npu.cores", "tree", "objective")
    expected = list(itertools.product([2, 4], [8, 16], ["dtp", "8"], ["edp", "energy"]))
    assert [tuple(point.values[name] for name in names) for point in found] == expected
    assert list(found[0].values)[:4] == ["tree", "pim.alus", "objective", "npu.cores"]


def test_constants_may_be_written_as_changes() -> None:
    plain, nested = made(axes={"pim.alus": [2]}), made(axes={"changes": {"pim.alus": [2]}})
    assert [point.scenario for point in plain] == [point.scenario for point in nested]


def test_dimensions_of_the_model_may_be_axes() -> None:
    found = made(
        scenario={"model": "tinyllama", "changes": {"model.vocab_size": "64"}},
        axes={"model": {"layers": [2, 3]}},
        derived={"model.intermediate_size": "model.layers * 100"},
    )
    wanted = [{"model.layers": n, "model.intermediate_size": f"{n}00", "model.vocab_size": "64"} for n in "23"]
    assert [dict(point.scenario.changes) for point in found] == wanted
    with pytest.raises(InputError, match=r"unknown dimension of a model 'model\.layer'"):
        made(axes={"model.layer": [2]})


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({"from": 2, "to": 6, "steps": 3}, [2, 4, 6]),
        ({"from": 1, "to": 4, "steps": 7}, [1, 2, 3, 4]),
        ({"from": 1.0, "to": 2.0, "steps": 3}, [1.0, 1.5, 2.0]),
        ({"from": 128, "to": 2048, "steps": 5, "scale": "log"}, [128, 256, 512, 1024, 2048]),
        ({"from": "6400 Mbps", "to": "8000 Mbps", "steps": 3}, ["6400 Mbps", "7200 Mbps", "8000 Mbps"]),
    ],
)
def test_ranges(steps: Mapping[str, Any], expected: list[Any]) -> None:
    (axis,) = parse_study({"axes": {"memory.data_rate": steps}}).axes
    assert list(axis.values) == expected


def test_constraints_and_derived_values() -> None:
    found = made(
        scenario={"changes": {"pim.mac_interval": "10 ns"}},
        axes={"pim.alus": [2, 4, 6], "workload.prompt_tokens": [128, 512]},
        constraints=["pim.alus * workload.prompt_tokens <= 1024", "pim.mac_interval == 10"],
        derived={"workload.new_tokens": "pim.alus * 8", "area": "1.5 * pim.alus"},
    )
    kept = [(a, p) for a in (2, 4, 6) for p in (128, 512) if a * p <= 1024]
    assert [(point.values["pim.alus"], point.values["workload.prompt_tokens"]) for point in found] == kept
    for point in found:
        assert point.scenario.workload.new_tokens == 8 * int(str(point.values["pim.alus"]))
        assert point.values["area"] == 1.5 * int(str(point.values["pim.alus"]))
        assert "area" not in point.scenario.changes


def test_samples_are_of_the_grid_and_follow_their_seed() -> None:
    def drawn(method: str, seed: int) -> list[tuple[Any, ...]]:
        found = made(axes=AXES, sample={"method": method, "points": 64, "seed": seed})
        return [tuple(point.values[name] for name in ("pim.alus", "workload.prompt_tokens", "tree")) for point in found]

    everything = set(itertools.product([2, 4, 6], [128, 512], ["dtp", "8"]))
    pytest.importorskip("scipy")
    for method in ("random", "sobol"):
        assert set(drawn(method, 1)) == everything
        assert drawn(method, 1) == drawn(method, 1) != drawn(method, 2)
    sobol = drawn("sobol", 1)
    assert {sobol.count(each) for each in everything} <= {4, 5, 6, 7}  # 64 / 12, evenly


def test_each_of_several_systems_is_a_point() -> None:
    found = made(scenario={"systems": ["npu", "lp-spec"]}, axes={"tree": ["dtp", "4"]})
    assert [(point.values["tree"], point.scenario.systems) for point in found] == [
        (tree, (system,)) for tree in ("dtp", "4") for system in ("npu", "lp-spec")
    ]
    axis = made(axes={"systems": ["npu", "lp-spec"]})
    assert [point.scenario.systems for point in axis] == [("npu",), ("lp-spec",)]


def test_paths_start_at_the_file_and_a_changed_file_is_another_point(tmp_path: Path) -> None:
    platform = tmp_path / "mine.toml"
    platform.write_text('extends = "lp-spec"\nname = "mine"\n')
    (tmp_path / "study.toml").write_text('[scenario]\nsystems = ["./mine.toml"]\n[axes]\ntree = ["dtp"]\n')
    (point,) = points(load_study(tmp_path / "study.toml"))
    assert point.scenario.systems == (str(platform),)
    platform.write_text('extends = "lp-spec"\nname = "mine"\n[pim]\nalus = { value = 2, source = "test" }\n')
    (changed,) = points(load_study(tmp_path / "study.toml"))
    assert changed.scenario == point.scenario
    assert changed.key != point.key


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({}, "no axes"),
        ({"axes": {"pim.alu": [1]}}, "unknown constant 'pim.alu'"),
        ({"axes": {"pim.alus": []}}, "must be a list of values"),
        ({"axes": {"pim.alus": 3}}, "must be a list of values"),
        ({"axes": {"pim.alus": [None]}}, "is no value"),
        ({"axes": {"pim.alus": [float("nan")]}}, "is no value"),
        ({"axes": {"pim.alus": {"from": 1, "to": "x"}}}, "must be numbers"),
        ({"axes": {"pim.alus": {"from": 1, "to": 2, "steps": 1}}}, "steps must be"),
        ({"axes": {"pim.alus": {"from": 1, "to": 2, "step": 1}}}, "unknown key 'step'"),
        ({"axes": {"pim.alus": {"from": 0, "to": 2, "scale": "log"}}}, "above 0"),
        ({"axes": {"memory.data_rate": {"from": "6400 Mbps", "to": "8 Gbps"}}}, "one unit"),
        ({"axes": AXES, "axis": {}}, "unknown table 'axis'"),
        ({"axes": AXES, "sample": {"method": "grid", "points": 3}}, "points must be given"),
        ({"axes": AXES, "sample": {"method": "sobol"}}, "points must be given"),
        ({"axes": AXES, "sample": {"method": "halton", "points": 3}}, "unknown method 'halton'"),
        ({"axes": AXES, "sample": {"points": -3}}, "whole numbers"),
        ({"axes": AXES, "constraints": "pim.alus < 3"}, "must be a list of texts"),
        ({"axes": AXES, "constraints": ["pim.alu < 3"]}, "no axis, option or derived name"),
        ({"axes": AXES, "derived": {"pim.alus": "2"}}, "given besides"),
        ({"axes": AXES, "derived": {"area": 2}}, "must be a text"),
        ({"axes": {"pim.alus": [2], "changes": {"pim.alus": [2]}}}, "given twice"),
        ({"axes": AXES, "scenario": {"modle": "x"}}, "modle"),
        ({"axes": AXES, "scenario": 3}, "must be a table"),
    ],
)
def test_faults_are_said_in_one_line(tables: Mapping[str, Any], why: str) -> None:
    with pytest.raises(InputError) as said:
        made(**tables)
    assert why in str(said.value)
    assert "\n" not in str(said.value)


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_study(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="is not valid TOML"):
        load_study(tmp_path / "bad.toml")
