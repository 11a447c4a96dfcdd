"""``lpspec study``: tables, JSON and figures of LP-Spec+ against LP-Spec."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said

from lpspec.experiments.beyond import PIECES, SOONEST
from lpspec.experiments.intervals import ROUNDING

Lpspec = Callable[..., Said]
QUICK = ("study", "beyond", "--fidelity", "analytic", "--new-tokens", "4", "--workers", "1")


def test_one_command_makes_tables_json_and_figures(lpspec: Lpspec, tmp_path: Path) -> None:
    figure, result, store = tmp_path / "fig", tmp_path / "beyond.json", tmp_path / "store"
    models = ("--models", "llama3.2-1b,llama3.2-3b")
    said = lpspec(*QUICK, *models, "--store", str(store), "--figure", f"{figure}.pdf", "--json", str(result))
    assert said.code == 0, said.err
    document = json.loads(result.read_text("utf-8"))
    assert {"model", "drafter", "context", "batch", "edp_ratio", "tokens_per_s_ratio"} <= set(document["rows"][0])
    assert {row["model"] for row in document["rows"]} == {"llama3.2-1b", "llama3.2-3b"}
    assert {row["piece"] for row in document["rows"]} == {"all"}
    assert {row["batch"] for row in document["rows"]} == {1, 4, 16}
    names = [piece.name for piece in PIECES]
    assert [piece["name"] for piece in document["pieces"]] == names
    assert all(row["fidelity"] == "analytic" for row in (*document["rows"], *document["parts"]))
    for row in document["rows"]:
        assert row["edp_ratio_low"] <= row["edp_ratio"] <= row["edp_ratio_high"]
        assert row["edp_ratio"] == pytest.approx(row["edp_s_mj"] / row["baseline_edp_s_mj"])
        assert row["scenario"]["systems"] == ["lp-spec-plus"]
    for name in ("heads-by-depth", "split-for-edp"):
        assert f" {name}" in said.out
        assert f"{name}: " in said.out
    assert sorted(path.name for path in tmp_path.glob("*.pdf")) == ["fig-gains.pdf", "fig-pieces.pdf"]
    assert (store / "study.sqlite").is_file()


def test_a_row_repeats_by_its_scenario(lpspec: Lpspec, tmp_path: Path) -> None:
    row = json.loads(lpspec(*QUICK, "--models", "llama3.2-3b", "--json", "-").out)["rows"][0]
    (tmp_path / "row.json").write_text(json.dumps(row["scenario"]))
    (system,) = json.loads(lpspec("compare", "--scenario", str(tmp_path / "row.json"), "--json", "-").out)["systems"]
    assert system["edp_s_mj"] == pytest.approx(row["edp_s_mj"], rel=1e-12)


def test_a_grid_counts_where_pieces_are_worse(lpspec: Lpspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpspec.experiments.beyond_grid.CONTEXTS", {"llama3.2-1b": (128,), "llama2-7b": (4096,)})
    monkeypatch.setattr("lpspec.experiments.beyond_grid.PROFILES", ("attacc",))
    monkeypatch.setattr("lpspec.experiments.beyond_grid.BATCHES", (1, 4))
    store, result = tmp_path / "store", tmp_path / "grid.json"
    said = lpspec(*QUICK, "--grid", "--store", str(store))
    assert said.code == 0, said.err
    assert "LP-Spec+ over LP-Spec in 2 settings, in the mean over samples of turns" in said.out
    assert "samples  2000 of one request at a time" in said.out
    assert "samples  20 of batches, served, the same for both sides" in said.out
    assert "left out  llama2-7b, 4096 tokens, all" in said.out
    assert lpspec(*QUICK, "--grid", "--store", str(store), "--json", str(result)).code == 0
    document = json.loads(result.read_text("utf-8"))
    alone = {piece.name for piece in PIECES if not piece.drafts}
    assert {row["piece"] for row in document["parts"]} == {SOONEST, *alone}
    split = [row for row in document["parts"] if row["piece"] == "split-for-edp"]
    assert f"{max(row['edp_ratio_mean'] for row in split):.4f}" in said.out
    assert f"{max(row['edp_ratio_most'] for row in split):.4f}" in said.out
    for row in (*document["rows"], *document["parts"]):
        assert row["samples"] == (2000 if row["batch"] == 1 else 20)
        assert row["edp_ratio_low"] <= row["edp_ratio_mean"] <= row["edp_ratio_most"]
        assert (row["samples_worse_in_edp"] > 0) == (row["edp_ratio_most"] > ROUNDING)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("study", "beyond", "--grid", "--figure", "f.pdf"), "--figure has no effect with --grid"),
        (("study", "beyond", "--grid", "--models", "vicuna-13b"), "--models vicuna-13b is not in this study"),
        (("study", "beyond", "--models", "gpt5"), "--models gpt5 is not in this study: it has llama2-7b"),
        (("study", "beyond", "--new-tokens", "0"), "new_tokens"),
        (("study", "beyond", "--workers", "0"), "workers"),
        (("study", "beyond", "--fidelity", "exact"), "fidelity"),
        (("study", "elsewhere"), "elsewhere"),
    ],
)
def test_bad_input_is_one_line(lpspec: Lpspec, argv: tuple[str, ...], hint: str) -> None:
    said = lpspec(*argv)
    assert said.code == 2
    assert not said.out
    (line,) = said.err.splitlines()
    assert hint in line
    assert len(line) <= 200
