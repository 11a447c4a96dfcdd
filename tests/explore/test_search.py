"""Searches: the front of a space that is known whole, both levels, resumed with nothing computed twice."""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command

from lpspec.cli.console import show
from lpspec.errors import InputError
from lpspec.explore.evaluate import METRICS
from lpspec.explore.objective import read_goals
from lpspec.explore.points import Point
from lpspec.explore.search import Effort, Found, SearchResult, search
from lpspec.explore.store import Outcome, Store
from lpspec.explore.study_file import Study, parse_study
from lpspec.report.results_table import results_blocks
from lpspec.report.search_table import search_blocks

pytest.importorskip("optuna")
GOALS = "tokens_per_s,min:mj_per_token * pim.alus"
AXES: dict[str, Any] = {
    "pim.alus": [1, 2, 3, 4, 5, 6],
    "tree": ["dtp", "4", "8"],
    "workload.prompt_tokens": [1, 2, 4, 8],
}


class Formula:
    """Workers that know the figures of a point without a simulation; commands are 1 % slower, and 4 ALUs by half."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        for point in points:
            self.computed.append(point.key)
            alus, level = int(point.scenario.changes["pim.alus"]), point.scenario.level
            speed = alus * {"dtp": 3.0, "4": 2.0, "8": 1.0}[point.scenario.tree]
            slower = (1.5 if alus == 4 else 1.01) if level == "command" else 1.0
            if alus == 5:
                yield point, Outcome(None, None, "five cannot be run", 0.0)
            else:
                metrics = {"tokens_per_s": speed / slower, "mj_per_token": 1.0 + point.scenario.workload.prompt_tokens}
                yield point, Outcome(metrics, level, None, 0.0)

    def close(self) -> None:
        """Nothing was started."""


def found(folder: Path, by: Formula, **effort: int) -> SearchResult:
    space: Study = parse_study({"axes": AXES, "constraints": ["pim.alus != 6"]})
    with Store(folder, create=True) as store:
        return search(space, read_goals(GOALS), Effort(**effort), store, by, lambda _: None)


def test_the_front_of_a_known_space_is_found(tmp_path: Path) -> None:
    result = found(tmp_path, Formula(), trials=400, confirm=8)
    names = ("pim.alus", "tree", "workload.prompt_tokens")
    best = {tuple(each.values[name] for name in names) for each in result.found}
    front = {(alus, "dtp", 1) for alus in (1, 2, 3, 4)}  # more ALUs are faster and cost more; five and six are none
    assert front <= best
    assert result.tried <= sum(1 for alus, *_ in itertools.product(*AXES.values()) if alus < 5)
    # at four ALUs commands are slower than three ALUs are, which cost less: beaten
    confirmed = {each.values["pim.alus"] for each in result.found if each.confirmed}
    assert confirmed == {1, 2, 3}
    assert [each.confirmed for each in result.found] == sorted((each.confirmed for each in result.found), reverse=True)
    assert result.disagreement("tokens_per_s") == pytest.approx(1 / 1.5 - 1)
    for each in result.found:
        assert each.command is not None
        assert each.row["scenario"]["fidelity"] is None


def test_it_goes_on_where_it_was_and_follows_its_seed(tmp_path: Path) -> None:
    first, second, third = Formula(), Formula(), Formula()
    whole = found(tmp_path / "a", first, trials=96, confirm=4)
    assert len(first.computed) == len(set(first.computed))
    found(tmp_path / "b", second, trials=32, confirm=4)
    again = found(tmp_path / "b", second, trials=96, confirm=4)
    assert again == whole
    assert len(second.computed) == len(set(second.computed))
    assert found(tmp_path / "a", third, trials=96, confirm=4) == whole
    assert third.computed == []


@pytest.mark.parametrize(
    ("goals", "why"),
    [
        ("speed", "is none of"),
        ("migrations", "is none of"),
        ("", "is none of"),
        ("best:edp_s_mj", "must begin with min: or max:"),
        ("min:1 +", "is no arithmetic"),
        ("edp_s_mj,edp_s_mj", "names one goal twice"),
    ],
)
def test_goals_that_are_none_are_refused(goals: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_goals(goals)


def test_goals_are_figures_or_arithmetic() -> None:
    speed, cost = read_goals("tokens_per_s; min:max(mj_per_token, 2) * pim.alus")
    assert (speed.better, cost.better) == ("higher", "lower")
    assert speed.loss({}, {"tokens_per_s": 3.0}) == -3.0
    assert cost.value({"pim.alus": 4}, {"mj_per_token": 5.0}) == 20.0
    with pytest.raises(InputError, match="unknown name 'pim"):
        cost.value({}, {"mj_per_token": 5.0})


def test_a_space_without_a_point_and_two_systems_are_said(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        for tables, why in (
            ({"axes": AXES, "constraints": ["pim.alus > 6"]}, "no point that was tried"),
            ({"axes": AXES, "scenario": {"systems": ["npu", "lp-spec"]}}, "a search is of one system"),
        ):
            with pytest.raises(InputError, match=why):
                search(parse_study(tables), read_goals(GOALS), Effort(32, 2), store, Formula(), lambda _: None)


@pytest.mark.parametrize(("axes", "is_below"), [(4, False), (9, True)])
def test_no_name_of_an_axis_or_goal_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, axes: int, is_below: bool
) -> None:
    """A page has no room for nine columns of axes beside the goals: they stand below it, in full."""
    monkeypatch.delenv("COLUMNS", raising=False)
    names = [f"memory.organisation.axis_{number}" for number in range(axes)]
    found = [
        Found(dict.fromkeys(names, f"a-long-value-{i}"), {"edp_s_mj": 1.5, "tokens_per_s": 2.5}, None, False, {})
        for i in range(3)
    ]
    show(search_blocks(SearchResult(read_goals("edp_s_mj,tokens_per_s"), 9, tuple(found))))
    said = capsys.readouterr().out
    assert "\u2026" not in said
    if is_below:
        lines = [line for line in said.splitlines() if line.startswith("point ")]
        assert lines == [f"point {i + 1}   {', '.join(f'{name} a-long-value-{i}' for name in names)}" for i in range(3)]
    rows = [{**dict.fromkeys(METRICS, 1.5), **one.values} for one in found]
    show(results_blocks(rows, [*names, *METRICS], 3, {"engines": {}, "studies": []}))
    again = capsys.readouterr().out
    assert "\u2026" not in again
    assert again.count("a-long-value-2") == axes


@pytest.mark.slow
def test_the_command_says_what_repeats_each_point(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        '[scenario]\nmodel = "tinyllama"\nworkload = { new_tokens = 2 }\n'
        '[axes]\npim.alus = [2, 4]\ntree = ["dtp", "2"]\n'
    )
    asked = ["search", str(tmp_path / "study.toml"), "--store", str(tmp_path / "s"), "--trials", "8", "--confirm", "2"]
    said = run_command([*asked, "--workers", "1", "--json", "-", "--figure", str(tmp_path / "figure")])
    assert said.code == 0, said.err
    document = json.loads(said.out)
    for point in document["points"]:
        assert point["fidelity"] == "command"
        assert point["command"]["tokens_per_s"] == point["metrics"]["tokens_per_s"]
    assert abs(document["disagreement"]["tokens_per_s"]) < 0.1
    assert (tmp_path / "figure.png").exists()


def test_a_search_that_confirms_nothing_is_refused(tmp_path: Path) -> None:
    said = run_command(["search", "study.toml", "--store", str(tmp_path / "s"), "--confirm", "0"])
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "at least 1" in said.err
