"""A page holds its result's figures, asks nothing of any host, and lets no text of a result become part of it."""

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, small_comparison, small_serving

from lpspec.errors import InputError
from lpspec.report.page.cloud import coded, shared_scenario
from lpspec.report.page.comparison import BOTH_BASES, comparison_page
from lpspec.report.page.document import page_bytes
from lpspec.report.page.html import data_block, tag
from lpspec.report.page.origin import PAPER, Origin
from lpspec.report.page.results import ComparisonResult, ServedResult, read_result
from lpspec.report.page.served import served_page
from lpspec.report.wording import digits

ASKING = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")


class Elements(HTMLParser):
    """Names, attributes and texts of a page, as a browser would take them apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return small_comparison()


def page_of(document: dict[str, Any]) -> str:
    found = read_result(json.dumps(document), "result")
    assert isinstance(found, ComparisonResult)
    return page_bytes(comparison_page(found, Origin())).decode()


def test_every_figure_stands_in_the_table(document: dict[str, Any]) -> None:
    texts = Elements(page_of(document)).texts
    for one in document["systems"]:
        shown = (
            "tokens_per_s",
            "tokens_per_j_memory_and_macs",
            "tokens_per_j_board",
            "edp_board_s_mj",
            "power_board_w",
        )
        assert one["system"] in texts
        assert {digits(one[name]) for name in shown} <= set(texts)
        assert {digits(mj) for mj in one["energy_by_component_mj"].values() if mj} <= set(texts)


def test_a_page_of_served_requests_has_every_wait() -> None:
    served = small_serving()
    found = read_result(json.dumps(served), "result")
    assert isinstance(found, ServedResult)
    page = page_bytes(served_page(found, Origin())).decode()
    texts = Elements(page).texts
    for one in served["systems"]:
        for name in ("queueing_ms", "first_token_ms", "between_tokens_ms"):
            assert {digits(value) for value in one[name].values()} <= set(texts)
        assert {digits(one["served_tokens_per_s"]), digits(one["tokens_per_j"])} <= set(texts)
        assert {digits(one[name]) for name in BOTH_BASES if one[name] is not None} <= set(texts)
    assert {"token/J, board or SoC", "W, memory and MACs"} <= set(texts)
    assert page.count("<figure>") == 3
    assert {value for name, value in Elements(page).attributes if name == "aria-label"} >= {
        "first-token",
        "between-tokens",
    }


def test_a_reason_does_not_say_its_system_twice(document: dict[str, Any]) -> None:
    left_out = [{"system": "ahasd", "why": "ahasd: nothing drafts"}]
    assert "ahasd is left out: nothing drafts" in page_of({**document, "left_out": left_out})


def test_tree_sizes_are_those_of_the_run(document: dict[str, Any]) -> None:
    """Means of equal parts, weighted by how many passes they have, are the mean of all."""
    for one in document["systems"]:
        parts, steps = one["l_spec_over_run"], one["steps"]
        counts = [steps // len(parts) + (i < steps % len(parts)) for i in range(len(parts))]
        mean = sum(part * count for part, count in zip(parts, counts, strict=True)) / steps
        assert mean == pytest.approx(one["mean_l_spec"])
    assert 'aria-label="tree-sizes-over-run"' in page_of(document)
    for one in (earlier := copy.deepcopy(document))["systems"]:
        del one["l_spec_over_run"]  # as results of earlier versions
    assert 'aria-label="tree-sizes-over-run"' not in page_of(earlier)


@pytest.mark.parametrize(("system", "has_step"), [("lp-spec", True), ("rtx3090", False), ("own.toml", True)])
def test_a_step_is_shown_where_there_are_commands(system: str, has_step: bool, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('extends = "lp-spec"\nname = "own"\n')
    name = str(tmp_path / system) if system.endswith(".toml") else system
    asked = ["--model", "tinyllama", "--systems", name, "--new-tokens", "4", "--fidelity", "analytic"]
    result, page = tmp_path / "result.json", tmp_path / "page.html"
    assert run_command(["compare", *asked, "--json", str(result)]).code == 0
    assert run_command(["report", str(result), "-o", str(page)]).code == 0
    assert ('aria-label="step"' in page.read_text()) is has_step
    assert ("has no command level" in page.read_text()) is not has_step


def test_a_page_asks_nothing_of_any_host(document: dict[str, Any]) -> None:
    page = page_of(document)
    asked = {value for name, value in Elements(page).attributes if name in ASKING}
    assert all(value.startswith(("#", "data:")) for value in asked), asked
    style = files("lpspec.report.page").joinpath("page.css").read_text("utf-8")
    script = files("lpspec.report.page").joinpath("page.js").read_text("utf-8")
    assert not re.search(r"url\(|@import|//", style)
    assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|insertAdjacent|document\.write|eval|Function\(", script)


def test_the_policy_allows_the_script_of_this_package_alone(document: dict[str, Any]) -> None:
    page = page_of(document)
    (policy,) = (value for name, value in Elements(page).attributes if "default-src" in value)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"


def spoil(value: Any) -> Any:
    """The same with every text hostile that a result takes from its user."""
    if isinstance(value, dict):
        return {key: spoil(each) for key, each in value.items()}
    if isinstance(value, list):
        return [spoil(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_no_text_of_a_result_becomes_part_of_the_page(document: dict[str, Any]) -> None:
    bad = copy.deepcopy(document)
    bad = {**spoil(bad), "basis": "equal", "left_out": [{"system": HOSTILE, "why": HOSTILE}], "notes": [HOSTILE]}
    names = Elements(page_of(bad)).names
    assert set(names) <= set(Elements(page_of(document)).names) | {"ul", "li"}
    assert names.count("script") == 2
    assert "img" not in names
    assert any(HOSTILE in text for text in Elements(page_of(bad)).texts)


@given(st.text(), st.text())
def test_texts_and_attributes_come_out_as_they_went_in(text: str, value: str) -> None:
    text, value = (
        each.replace("\r", " ").replace("\0", " ") for each in (text, value)
    )  # a parser takes them otherwise
    found = Elements(tag("p", text, title=value))
    assert found.names == ["p"]
    assert "".join(found.texts) == text
    assert found.attributes == [("title", value)]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_data_cannot_end_its_element(content: Any) -> None:
    block = data_block("x", [content, HOSTILE])
    inside = block.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert "<" not in inside
    assert json.loads(inside) == [content, HOSTILE]


def changed(path: str, value: Any) -> Any:
    def change(document: dict[str, Any]) -> dict[str, Any]:
        document = copy.deepcopy(document)
        *way, last = path.split(".")
        within: Any = document
        for name in way:
            within = within[int(name) if name.isdecimal() else name]
        within[last] = value
        return document

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("systems", []), "systems: "),
        (changed("systems.1.tokens_per_s", float("nan")), "systems.1.tokens_per_s: "),
        (changed("systems.0.tokens_per_j", -1), "systems.0.tokens_per_j: "),
        (changed("systems.0.l_spec_histogram", {"x": 1}), "l_spec_histogram.x.[key]: "),
        (changed("systems.0.l_spec_histogram", {"99999999": 1}), "l_spec_histogram.99999999.[key]: "),
        (changed("systems.0.energy_by_component_mj", {"io": float("inf")}), "energy_by_component_mj.io: "),
        (changed("provenance", None), "provenance: "),
        (changed("basis", "other"), "basis: "),
        (changed("workload.served", "poisson"), "systems.0.requests: "),
        (changed("systems.0.l_spec_over_run", [0]), "systems.0.l_spec_over_run.0: "),
        (lambda document: [document], "is no result that a page can show"),
        (lambda document: {"systems": 1}, "is no result that a page can show"),
        (lambda document: {"assumption_sets": 1}, "rows: "),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(change: Any, said: str, document: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        read_result(json.dumps(change(document)), "result 'x.json'")
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "{'a': 1}"])
def test_what_is_no_json_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^result is no JSON: [^\n]*$"):
        read_result(text, "result")


Value = st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 1) | st.sampled_from(["a", "1", "True"])


@given(st.lists(Value, max_size=40))
def test_coded_values_are_the_values(values: list[Any]) -> None:
    found = coded(values)
    plain = found if isinstance(found, list) else [found["of"][i] for i in found["at"]]
    assert list(map(repr, plain)) == list(map(repr, values))


scenarios = st.fixed_dictionaries(
    {
        "model": st.sampled_from("ab"),
        "workload": st.fixed_dictionaries({"prompt_tokens": st.integers(1, 3)}),
        "changes": st.dictionaries(st.sampled_from(["pim.alus", "memory.data_rate"]), st.sampled_from("12")),
        "systems": st.lists(st.sampled_from("xy"), max_size=2),
        "exact": st.booleans(),
    }
)


def put_together(base: dict[str, Any], differing: list[dict[str, Any]], i: int) -> dict[str, Any]:
    """A scenario as the script of the page makes it."""
    found: dict[str, Any] = json.loads(json.dumps(base))
    for one in differing:
        values = one["values"]
        value = values[i] if isinstance(values, list) else values["of"][values["at"][i]]
        if value is None and one["path"][0] == "changes":
            continue
        within = found
        for name in one["path"][:-1]:
            within = within.setdefault(name, {})
        within[one["path"][-1]] = value
    return found


@given(st.lists(scenarios, min_size=1, max_size=6))
def test_scenarios_put_together_are_the_scenarios(every: list[dict[str, Any]]) -> None:
    base, differing = shared_scenario(every)
    for i, scenario in enumerate(every):
        found = put_together(base, differing, i)
        assert {**found, "changes": found.get("changes", {})} == scenario


def test_the_citation_is_that_of_the_repository() -> None:
    cited = (Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8")
    assert "10.48550/arXiv.2508.07227" in PAPER
    assert "10.48550/arXiv.2508.07227" in cited
    assert " ".join(re.findall(r"title: >-\n((?: {4}.*\n)+)", cited)[0].split()) in PAPER
