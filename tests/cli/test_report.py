"""``lpspec report`` writes a page and its figures, or one line and nothing."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from pages import fill_store, keep_failure, small_comparison

AXES = {"pim.alus": [2, 4], "workload.prompt_tokens": [16, 32]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (folder / "result.json").write_text(json.dumps(small_comparison()))
    fill_store(folder / "store", AXES)
    keep_failure(folder / "failures", "does not fit")
    return folder


@pytest.fixture
def lpspec_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lpspec: Callable[..., Said]) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)
    return lpspec


def test_a_comparison_becomes_a_page_with_the_constants_of_its_machines(
    results: Path, tmp_path: Path, lpspec_in: Callable[..., Said]
) -> None:
    said = lpspec_in("report", str(results / "result.json"), "-o", "page.html", "--figures", "figures")
    assert (said.code, said.err) == (0, "")
    written = said.out.splitlines()
    assert written[0] == "wrote page.html"
    names = {
        "throughput",
        "energy",
        "energy-delay",
        "passes",
        "roofline",
        "acceptance",
        "tree-sizes",
        "tree-sizes-over-run",
        "step",
    }
    assert {Path(line).name for line in written[1:]} == {f"{n}{s}" for n in names for s in (".pdf", ".svg", ".png")}
    assert all((tmp_path / line.removeprefix("wrote ")).stat().st_size > 1000 for line in written)
    page = (tmp_path / "page.html").read_text("utf-8")
    for part in ("pim.mac_interval", "LP-Spec section V-A: 32-wide INT8 SIMD [P]", "energy profile attacc", "head"):
        assert part in page
    assert "described otherwise" not in page


def test_a_machine_that_has_changed_since_is_not_shown_as_the_results(
    results: Path, tmp_path: Path, lpspec_in: Callable[..., Said]
) -> None:
    document = json.loads((results / "result.json").read_text())
    for one in document["provenance"]["config"]["systems"]:
        if one["name"] == "lp-spec":
            one["platform"]["pim"]["alus"]["value"] = 5
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert lpspec_in("report", "old.json", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "The machine or model of lp-spec is described otherwise now" in page
    assert "platform lp-spec</strong>" not in page
    assert "platform mobile-npu</strong>" in page


def test_a_store_becomes_a_page(results: Path, tmp_path: Path, lpspec_in: Callable[..., Said]) -> None:
    said = lpspec_in("report", str(results / "store"), "--output", "page.html", "--where", "pim.alus = 4")
    assert (said.code, said.out) == (0, "wrote page.html\n")
    assert "2 points, 2 of which could be run (analytic); varied: workload.prompt_tokens." in (
        tmp_path / "page.html"
    ).read_text("utf-8")
    lpspec_in("report", str(results / "store"), "-o", "all.html")
    assert "Sobol indices: shares of the variance" in (tmp_path / "all.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["result.json"], "--output"),
        (["gone.json", "-o", "p.html"], "'gone.json' cannot be read"),
        (["result.json", "-o", "."], "is a folder"),
        (["result.json", "-o", "p.html", "--where", "a = 1"], "--where chooses points of a store"),
        (["result.json", "-o", "p.html", "--engine", "x"], "--engine chooses points of a store"),
        (["result.json", "-o", "p.html", "--figures", "result.json"], "is not a folder"),
        (["store", "-o", "p.html", "--where", "pim.alus = 9"], "no point of 'store' fulfils"),
        (["store", "-o", "p.html", "--where", "pim.alus ="], "--where 'pim.alus ='"),
        (["store", "-o", "p.html", "--engine", "older"], "has no point of version older"),
        (["failures", "-o", "p.html"], "no point could be run"),
        ([".", "-o", "p.html"], "holds no study"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    argv: list[str], said: str, results: Path, monkeypatch: pytest.MonkeyPatch, lpspec: Callable[..., Said]
) -> None:
    monkeypatch.chdir(results)
    before = sorted(path.name for path in results.iterdir())
    found = lpspec("report", *argv)
    assert (found.code, found.out, len(found.err.splitlines())) == (2, "", 1)
    assert said in found.err
    assert sorted(path.name for path in results.iterdir()) == before
