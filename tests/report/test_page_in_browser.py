"""Pages in a real browser: quiet, without requests, and with answers to the mouse. Skipped where there is none."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, find_browser
from pages import HOSTILE, fill_store, keep_failure, small_comparison

from lpspec.cli.main import run
from lpspec.experiments.compare import compare
from lpspec.explore.pareto import front
from lpspec.explore.results import Results
from lpspec.report.documents import comparison_document
from lpspec.scenario import Scenario
from lpspec.scenario.scenario import DEFAULT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")]

GRID = {"pim.alus": [2, 4, 8], "workload.prompt_tokens": list(range(1, 13)), "objective": ["edp", "energy"]}
ROWS = "[...document.querySelectorAll('.cloud > .wide tbody tr')]"
CHOOSE = """(i, name) => {
  const select = document.querySelectorAll('select')[i];
  select.value = name;
  select.dispatchEvent(new Event('change'));
}"""
SLIDE = """(() => {
  const slider = document.querySelectorAll('input[type=range]')[1];
  slider.value = 2;
  slider.dispatchEvent(new Event('input'));
})()"""
BOX = """(() => {
  const box = document.querySelector('canvas').getBoundingClientRect();
  return [box.x, box.y, box.width, box.height];
})()"""
SHOWN = "document.getElementById('shown').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    assert program is not None
    with Browser(program, tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 72 points, many alike, and one that cannot be run; its store beside it."""
    folder = tmp_path_factory.mktemp("study")
    fill_store(folder / "store", GRID, ties=True)
    keep_failure(folder / "store", HOSTILE)
    assert run(["report", str(folder / "store"), "-o", str(folder / "page.html")]) == 0
    return folder / "page.html"


def opened(browser: Browser, page: Path, width: int = 1280) -> Browser:
    browser.resize(width)
    browser.events.clear()
    browser.open(page.as_uri())
    return browser


def is_quiet(browser: Browser, page: Path) -> bool:
    assert browser.complaints == []
    assert set(browser.requests) == {page.as_uri()}
    return True


@pytest.mark.parametrize("width", [1280, 390])
def test_a_study_opens_quietly_and_fits(browser: Browser, study: Path, width: int) -> None:
    opened(browser, study, width)
    assert browser.evaluate(SHOWN).startswith("72 of 72 points shown, ")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelector('canvas').width") > 300
    assert HOSTILE in browser.evaluate("document.body.textContent")
    assert browser.evaluate("document.title") == "Study store"
    assert is_quiet(browser, study)


def test_the_front_is_that_of_the_store(browser: Browser, study: Path) -> None:
    rows = [row for row in Results(study.parent / "store").rows() if row["error"] is None]
    expected = int(front(rows, ["tokens_per_s", "tokens_per_j"]).sum())
    opened(browser, study)
    assert f", {expected} of them on the front" in browser.evaluate(SHOWN)
    browser.evaluate(f"({CHOOSE})(0, 'edp_s_mj'); ({CHOOSE})(1, 'mj_per_token')")
    expected = int(front(rows, ["edp_s_mj", "mj_per_token"]).sum())
    assert f", {expected} of them on the front" in browser.evaluate(SHOWN)
    browser.evaluate(f"({CHOOSE})(1, 'mean_l_spec')")
    assert "neither way of a figure is better" in browser.evaluate(SHOWN)


def centre(browser: Browser, expression: str) -> tuple[float, float]:
    box = browser.evaluate(
        f"(() => {{ const e = {expression}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return box[0], box[1]


def test_filters_change_plot_and_table_together(browser: Browser, study: Path) -> None:
    opened(browser, study)
    picture = "document.querySelector('canvas').toDataURL()"
    before = browser.evaluate(picture)
    browser.click(*centre(browser, "document.querySelector('.filters input[type=checkbox]')"))
    assert browser.evaluate(SHOWN).startswith("48 of 72 points shown, ")
    assert browser.evaluate(picture) != before
    browser.evaluate("document.querySelectorAll('.cloud > button')[0].click()")
    shown = browser.evaluate(f"{ROWS}.map(row => row.cells[0].textContent.replace('● ', ''))")
    assert len(shown) == 48
    assert "2" not in shown
    browser.evaluate(SLIDE)
    assert browser.evaluate(SHOWN).startswith("12 of 72 points shown, ")
    assert browser.evaluate("document.querySelector('output').textContent") == "1 to 3"
    assert is_quiet(browser, study)


def test_a_heading_sorts_both_ways(browser: Browser, study: Path) -> None:
    opened(browser, study)
    heading = "[...document.querySelectorAll('.cloud th button')].find(one => one.textContent === 'token/s')"
    column = f"{ROWS}.map(row => Number(row.cells[{heading}.parentNode.cellIndex].textContent))"
    browser.evaluate(f"{heading}.click()")
    assert (down := browser.evaluate(column)) == sorted(down, reverse=True)
    browser.evaluate(f"{heading}.click()")
    assert (up := browser.evaluate(column)) == sorted(up)
    assert up[0] < down[0]


def test_a_point_under_the_mouse_says_what_it_is_and_a_click_gives_its_scenario(browser: Browser, study: Path) -> None:
    opened(browser, study)
    rows = {json.dumps(row["scenario"], sort_keys=True): row for row in Results(study.parent / "store").rows()}
    box = browser.evaluate(BOX)
    tip = "document.querySelector('.tip')"
    for place in range(400):  # a point is somewhere on the way
        x, y = box[0] + 60 + place % 40 * (box[2] - 80) / 40, box[1] + 20 + place // 40 * (box[3] - 80) / 10
        browser.mouse("mouseMoved", x, y)
        if not browser.evaluate(f"{tip}.hidden"):
            break
    said = browser.evaluate(f"{tip}.textContent")
    assert "token/s: " in said
    assert "pim.alus: " in said
    browser.click(x, y)
    scenario = json.loads(browser.evaluate("document.getElementById('scenario').textContent"))
    row = rows[json.dumps(scenario, sort_keys=True)]
    assert f"pim.alus: {row['pim.alus']}" in said
    assert f"token/s: {row['tokens_per_s']:g}token/J: {row['tokens_per_j']:g}" in said
    assert Scenario.from_dict(scenario).key == Scenario.from_dict(row["scenario"]).key
    assert is_quiet(browser, study)


def test_a_comparison_with_hostile_names_runs_no_script(browser: Browser, tmp_path: Path) -> None:
    document = small_comparison()
    bad: dict[str, Any] = {**document, "model": HOSTILE, "trace": HOSTILE, "notes": [HOSTILE]}
    for one in bad["systems"]:
        one["system"] += HOSTILE
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    assert run(["report", str(tmp_path / "bad.json"), "-o", str(tmp_path / "bad.html")]) == 0
    opened(browser, tmp_path / "bad.html")
    assert browser.evaluate("document.title") == f"{HOSTILE} on 3 systems"
    assert browser.evaluate("document.images.length") == 0
    assert f"lp-spec{HOSTILE}" in browser.evaluate("document.querySelector('.cloud').textContent")
    assert is_quiet(browser, tmp_path / "bad.html")


WRITTEN = """(() => {
  const pen = CanvasRenderingContext2D.prototype, write = pen.fillText, found = [];
  pen.fillText = function (text, x, y, ...more) {
    const size = this.measureText(text).width, left = this.textAlign === "left" ? x : x - size;
    const name = this.fillStyle === "#1b1b1b" && this.textAlign !== "center";
    if (name) found.push([text, left, y - 10, left + size, y + 3]);
    write.call(this, text, x, y, ...more);
  };
  window.dispatchEvent(new Event("resize"));
  pen.fillText = write;
  return found;
})()"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_name_of_a_point_lies_over_another(browser: Browser, tmp_path: Path, width: int) -> None:
    document = compare(DEFAULT.replace(model="tinyllama", new_tokens=4, fidelity="analytic"))
    (tmp_path / "all.json").write_text(json.dumps(comparison_document(document)))
    assert run(["report", str(tmp_path / "all.json"), "-o", str(tmp_path / "all.html")]) == 0
    opened(browser, tmp_path / "all.html", width)
    written = browser.evaluate(WRITTEN)
    assert {"lp-spec", "attacc-spec"} <= {text for text, *_ in written}
    for (one, *a), (other, *b) in itertools.combinations(written, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, other)
    assert all(left >= 0 and right <= browser.evaluate(BOX)[2] for _, left, _, right, _ in written)


TARGETS = """(() => [...document.querySelectorAll('label, select, .cloud button, input[type=range]')]
  .map(one => one.getBoundingClientRect().height).filter(height => height > 0))()"""


def test_a_finger_finds_what_it_is_to_touch(browser: Browser, study: Path) -> None:
    """At least 24 px high, as WCAG 2.2 asks (2.5.8); a third more is what pages of this width have here."""
    opened(browser, study, 390)
    heights = browser.evaluate(TARGETS)
    assert len(heights) > 10
    assert min(heights) >= 32


def test_ten_thousand_points_are_a_light_file(browser: Browser, tmp_path: Path) -> None:
    fill_store(tmp_path / "store", {"pim.alus": [1, 2, 4, 8], "workload.prompt_tokens": list(range(1, 2501))})
    page = tmp_path / "page.html"
    assert run(["report", str(tmp_path / "store"), "-o", str(page)]) == 0
    assert page.stat().st_size < 10e6
    opened(browser, page)
    assert browser.evaluate(SHOWN).startswith("10,000 of 10,000 points shown, ")
    assert is_quiet(browser, page)
