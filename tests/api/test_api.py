"""The Python API: stable names, the command line's defaults and JSON, and results that one can go on working with."""

import inspect
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import lpspec
from lpspec.api import Comparison
from lpspec.cli.compiled import NOTICE
from lpspec.cli.main import run as command_line
from lpspec.errors import InputError
from lpspec.scenario import Scenario
from lpspec.scenario.option import options_of

ROOT = Path(__file__).parents[2]
QUICK: dict[str, Any] = {"systems": ["npu-spec", "lp-spec"], "new_tokens": 8, "fidelity": "analytic"}

OPTIONS: dict[str, Any] = {
    "model": "llama2-7b",
    "weights": None,
    "routing": None,
    "trace": None,
    "acceptance": None,
    "drafter": "medusa",
    "systems": None,
    "objective": "edp",
    "tree": "dtp",
    "prompt_tokens": 128,
    "new_tokens": None,
    "requests": None,
    "batch": 1,
    "basis": "equal",
    "energy_profile": "attacc",
    "changes": {},
    "learning": "full-feedback",
    "root_counts": True,
    "fidelity": None,
    "exact": False,
    "heads": "by-depth",
    "activations": None,
    "kv": None,
}
SIGNATURES = {
    "compare": ["scenario", *OPTIONS],
    "load_machine": ["name_or_path", "changes"],
    "load_model": ["name_or_path", "weights", "routing"],
    "price": ["options"],
    "reproduce": ["scenario", "energy_profile", "fidelity", "exact"],
    "results": ["store", "where", "sort", "limit"],
    "run": ["system", "scenario", *(name for name in OPTIONS if name != "systems")],
}


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return lpspec.compare(**QUICK)


def written(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command line prints."""
    capsys.readouterr()
    assert command_line(argv) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was said of bad input, without the word that loops are compiled, which is chance; nothing was printed."""
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.replace(f"{NOTICE}\n", "").splitlines()


# Names


def test_the_public_names_and_signatures_are_these() -> None:
    """Whoever builds on them relies on it: a change here is a change for them."""
    assert lpspec.__all__ == ["Scenario", "Trace", *sorted(SIGNATURES)]
    assert set(lpspec.__all__) <= set(dir(lpspec))
    for name, expected in SIGNATURES.items():
        assert list(inspect.signature(getattr(lpspec, name)).parameters) == expected
    parameters = inspect.signature(lpspec.compare).parameters
    assert {name: parameters[name].default for name in OPTIONS} == OPTIONS
    assert lpspec.Scenario.__name__ == "Scenario"
    assert lpspec.Trace.__name__ == "RankTrace"
    with pytest.raises(AttributeError, match="no attribute 'compar': public are Scenario, Trace, compare, "):
        lpspec.compar  # noqa: B018


def test_help_has_every_option_with_its_default_and_meaning() -> None:
    text = inspect.getdoc(lpspec.compare) or ""
    for option in options_of(Scenario):
        assert f"{option.name} (default {option.default!r}): {option.help}" in text


def test_importing_loads_nothing_that_takes_time() -> None:
    heavy = ("numpy", "numba", "pydantic", "matplotlib", "rich", "cyclopts", "lpspec.scenario")
    code = f"import sys, lpspec; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The command line's results


def test_json_is_that_of_the_command_line(compared: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    words = "compare --systems npu-spec,lp-spec --new-tokens 8 --fidelity analytic --json -"
    assert compared.to_json() == written(capsys, *words.split())


@pytest.mark.slow
def test_nothing_said_is_the_same_for_both(capsys: pytest.CaptureFixture[str]) -> None:
    """Once the one priced analytically and the other by commands."""
    one = lpspec.compare(systems=["lp-spec"], new_tokens=4)
    assert one.runs[0].fidelity == "command"
    assert one.to_json() == written(capsys, *["compare", "--systems", "lp-spec", "--new-tokens", "4", "--json", "-"])


def test_a_result_says_what_repeats_it(
    compared: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, scenario = tmp_path / "result.json", tmp_path / "scenario.toml"
    result.write_text(compared.to_json(), encoding="utf-8")
    scenario.write_text(compared.scenario.to_toml(), encoding="utf-8")
    for file in (result, scenario):
        assert written(capsys, "compare", "--scenario", str(file), "--json", "-") == compared.to_json()
        assert lpspec.compare(file).to_json() == compared.to_json()


def test_a_scenario_of_files_repeats_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Relative paths start at the scenario's folder, and what is emitted means the same in any other."""
    folder = tmp_path / "mine"
    folder.mkdir()
    lpspec.Trace.load("vicuna-7b").with_heads(2).save(folder / "two.npz")
    (folder / "wide.toml").write_text(
        'extends = "lp-spec"\nname = "wide"\n[pim]\nalus = { value = 8, source = "a test" }\n'
    )
    text = 'trace = "two.npz"\nsystems = ["npu", "./wide.toml"]\nfidelity = "analytic"\nworkload.new_tokens = 8\n'
    (folder / "scenario.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    first = written(capsys, "compare", "--scenario", "mine/scenario.toml", "--json", "-")
    assert [system["system"] for system in json.loads(first)["systems"]] == ["npu", "wide"]
    (tmp_path / "result.json").write_text(first)
    monkeypatch.chdir(folder)
    assert written(capsys, "compare", "--scenario", "../result.json", "--json", "-") == first
    assert lpspec.compare("scenario.toml").to_json() == first


def test_options_replace_what_the_file_says_and_changes_are_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.toml"
    base = Scenario().replace(**QUICK | {"systems": ["lp-spec"], "tree": "8", "changes": {"pim.alus": "2"}})
    file.write_text(base.to_toml())
    words = ["--tree", "6", "--set", "pim.concurrent_ranks=1"]
    document = json.loads(written(capsys, "compare", "--scenario", str(file), *words, "--json", "-"))
    expected = base.replace(tree="6", changes={"pim.alus": "2", "pim.concurrent_ranks": "1"})
    assert document["provenance"]["scenario"] == expected.to_dict()
    assert document["systems"] == json.loads(lpspec.compare(expected).to_json())["systems"]


def test_figures_hold_the_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    words = "compare --systems npu --new-tokens 4 --fidelity analytic --figure"
    written(capsys, *words.split(), str(tmp_path / "f"))
    asked = Scenario().replace(systems=["npu"], new_tokens=4, fidelity="analytic")
    with Image.open(tmp_path / "f.png") as image:
        assert Scenario.from_json(str(image.info["Description"])) == asked
    assert b"/Keywords" in (tmp_path / "f.pdf").read_bytes()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('objectve = "edp"\n', ["objectve: is no known key: did you mean 'objective'?"]),
        ("root_counts = 3\n", ["root_counts: must be true or false, not 3"]),
        ('systems = "lp-spec"\n', ["systems: must be a list of names"]),
        ('systems = ["npu,lp-spec"]\n', ["systems[0]: each name is a text of its own"]),
        ('tree = "dpt"\nmodel = "llama2"\n', ["2 faults", "tree: unknown tree 'dpt'", "model: unknown model 'llama2'"]),
        ("basis = 3\nworkload.new_tokens = 0\n", ["2 faults", "basis: must be a text", "workload.new_tokens: must be"]),
    ],
)
def test_a_file_with_faults_is_refused_a_line_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, lines: list[str]
) -> None:
    (tmp_path / "s.toml").write_text(text)
    assert command_line(["compare", "--scenario", str(tmp_path / "s.toml"), "--json", str(tmp_path / "out.json")]) == 2
    for line, part in zip(refused(capsys), lines, strict=True):
        assert line.startswith("lpspec: ")
        assert part in line
        assert len(line) <= 200
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


@pytest.mark.parametrize("command", ["compare", "placement", "reproduce"])
def test_a_file_that_is_missing_is_refused(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert command_line([command, "--scenario", "gone.toml"]) == 2
    (line,) = refused(capsys)
    assert line.startswith("lpspec: scenario file 'gone.toml' cannot be read: ")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("placement", 'tree: a study of placements takes no other value than "dtp", not "8"'),
        ("reproduce", 'tree: the reproduction takes no other value than "dtp", not "8"'),
    ],
)
def test_a_command_refuses_what_it_would_ignore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, line: str
) -> None:
    (tmp_path / "s.toml").write_text('tree = "8"\n')
    assert command_line([command, "--scenario", str(tmp_path / "s.toml")]) == 2
    assert refused(capsys) == [f"lpspec: {line}"]


# What results can do


def test_one_system_is_a_run(compared: Comparison) -> None:
    run = lpspec.run("lp-spec", new_tokens=8, fidelity="analytic")
    assert run.tokens_per_s == compared.runs[1].tokens_per_s
    document = json.loads(run.to_json())
    assert document["tokens_per_s"] == run.tokens_per_s
    assert Scenario.from_json(run.to_json()) == run.scenario == Scenario().replace(**QUICK | {"systems": ["lp-spec"]})
    with pytest.raises(InputError, match="systems: run takes one system"):
        lpspec.run("lp-spec", systems=["npu"])


def test_runs_say_what_repeats_them_though_a_system_is_left_out() -> None:
    compared = lpspec.compare(**QUICK | {"systems": ["ahasd", "lp-spec"]})
    assert [name for name, _ in compared.left_out] == ["ahasd"]
    assert [run.scenario.systems for run in compared.runs] == [("lp-spec",)]


def test_rows_are_systems_and_steps(compared: Comparison) -> None:
    systems = compared.to_rows()
    assert [row["system"] for row in systems] == ["npu-spec", "lp-spec"]
    parts = {"array", "io", "buffer", "mac", "activation", "migration", "static"}
    for row, run in zip(systems, compared.runs, strict=True):
        assert row["tokens_per_s"] == run.tokens_per_s
        assert sum(row[f"{part}_mj_per_token"] for part in parts) == pytest.approx(run.mj_per_token)
    run = compared.runs[1]
    steps = run.to_rows()
    assert len(steps) == len(run.steps.l_spec)
    assert sum(step["committed"] for step in steps) == run.tokens
    assert [step["turn"] for step in steps] == sorted(step["turn"] for step in steps)


def test_data_frames(compared: Comparison) -> None:
    polars = pytest.importorskip("polars")
    table, steps = compared.to_dataframe(), compared.runs[1].to_dataframe()
    assert isinstance(table, polars.DataFrame)
    assert table.rows(named=True) == compared.to_rows()
    assert steps["committed"].sum() == compared.runs[1].tokens


def test_what_data_frames_need_is_named(compared: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match=r"^to_dataframe needs polars: pip install 'lpspec\[frames\]'$"):
        compared.to_dataframe()


def test_results_show_themselves(compared: Comparison) -> None:
    console = Console(width=130, record=True, file=io.StringIO())
    console.print(compared)
    text = console.export_text()
    assert "lp-spec" in text
    assert "tokens per" in text
    html = compared._repr_html_()
    assert html.startswith("<pre")
    assert "lp-spec" in html
    assert repr(compared).startswith("<Comparison on llama2-7b, token/s: npu-spec ")
    assert repr(compared.runs[1]).startswith("<Run of lp-spec: ")
    for figure in (compared.plot(), compared.runs[1].plot()):
        assert len(figure.axes) == 3


def test_fields_that_are_unknown_are_refused() -> None:
    with pytest.raises(InputError, match=r"^fidelty: is no known key: did you mean 'fidelity'"):
        lpspec.compare(fidelty="analytic")
    with pytest.raises(InputError, match=r"^systems: must be a list of names"):
        lpspec.compare(systems="lp-spec")
    with pytest.raises(InputError, match=r"^fidelity: unknown value 'exact'"):
        lpspec.reproduce(fidelity="exact")
    with pytest.raises(InputError, match=r"^basis: the reproduction takes no other value than "):
        lpspec.reproduce(basis="board")


# The page


def test_the_page_names_every_name() -> None:
    text = (ROOT / "docs/api.md").read_text("utf-8")
    for name in lpspec.__all__:
        assert f"| `{name}" in text


# Requests that are served


def test_requests_are_served_as_the_command_line_serves_them(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"requests": "poisson:4/s:12", "batch": 3, "new_tokens": 6}
    served = lpspec.compare(systems=["npu", "lp-spec"], workload=asked, fidelity="analytic")
    options = ("--requests", "poisson:4/s:12", "--batch", "3", "--new-tokens", "6", "--fidelity", "analytic")
    said = json.loads(written(capsys, "compare", "--systems", "npu,lp-spec", *options, "--json", "-"))
    assert json.loads(served.to_json()) == said
    assert said["systems"][0]["tokens"] == 12 * 6
    assert [row["first_token_ms_p90"] for row in served.to_rows()] == [
        run["first_token_ms"]["p90"] for run in said["systems"]
    ]
    assert repr(served).startswith("<Serving of 12 requests on llama2-7b, token/s: npu ")
    assert served.plot().axes


def test_one_system_is_run_on_one_request_at_a_time() -> None:
    with pytest.raises(InputError, match="takes one request at a time"):
        lpspec.run("npu", batch=2)
