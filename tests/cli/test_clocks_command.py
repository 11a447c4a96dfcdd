"""``lpspec clocks``: demands from a list or a range, a table, JSON and a figure."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said

from lpspec.cli.clocks import OWN, Clocking, demands_of
from lpspec.errors import InputError
from lpspec.experiments.clocks import BASE, DEMANDS

Lpspec = Callable[..., Said]
QUICK = ("--model", "tinyllama", "--new-tokens", "4", "--fidelity", "analytic", "--set", "npu.clock=300 MHz")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5", [5]),
        ("5,10,20", [5, 10, 20]),
        ("5:40", [5, 10, 15, 20, 25, 30, 35, 40]),
        ("5:40:10", [5, 15, 25, 35]),
        ("1,10:30:10", [1, 10, 20, 30]),
        ("0.5:0.5", [0.5]),
    ],
)
def test_demands_are_lists_and_ranges(text: str, found: list[float]) -> None:
    assert demands_of(text) == pytest.approx(found)


@pytest.mark.parametrize(
    "text", ["", "five", "5:", "40:5", "5:40:0", "5:40:-1", "5:6:7", "1:2:3:4", "1:1000:0.1", "nan:5"]
)
def test_demands_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--tokens-per-s .*(is no number|must rise|more than 200)"):
        demands_of(text)


def test_what_the_help_says_is_what_runs(lpspec: Lpspec) -> None:
    asked = Clocking()
    assert demands_of(asked.tokens_per_s) == DEMANDS
    assert BASE.replace(systems=[asked.systems], **{name: getattr(asked, name) for name in OWN[1:]}) == BASE
    said = lpspec("clocks", "--help").out
    for default in ("lp-spec", "energy", "micron-y52p", "phone", "5,10,20,40,60,80"):
        assert f"[default: {default}]" in " ".join(said.replace("│", " ").split())


def test_the_table_and_the_json_say_the_same(lpspec: Lpspec, tmp_path: Path) -> None:
    figure, result = tmp_path / "clocks", tmp_path / "clocks.json"
    asked = ("clocks", *QUICK, "--tokens-per-s", "10,100")
    said = lpspec(*asked, "--figure", str(figure), "--json", str(result))
    assert said.code == 0, said.err
    document = json.loads(result.read_text("utf-8"))
    rows = [row for row in said.numbers if row[0] in ("10", "100")]
    for row, demand in zip(rows, document["demands"], strict=True):
        chosen = demand["chosen"]
        assert float(row[0]) == demand["tokens_per_s"]
        assert row[1].replace(",", "") == f"{chosen['data_rate_mbps']:.0f}"
        assert float(row[2]) == pytest.approx(chosen["npu_ghz"])
        assert demand["by_commands"] is None
    assert len(document["points"]) == 5
    assert document["provenance"]["command"][:2] == ["lpspec", "clocks"]
    assert document["provenance"]["scenario"]["objective"] == "energy"
    assert {path.name for path in tmp_path.iterdir()} == {"clocks.pdf", "clocks.png", "clocks.json"}


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("--systems", "rtx3090", "--fidelity", "analytic"), "has neither"),
        (("--tokens-per-s", "0"), "a demand of 0 token/s"),
        (("--first-token-ms", "0"), "a first token after 0 ms"),
        (("--operating-points", "fone"), "did you mean 'phone'"),
        (("--systems", "npu,lp-spec"), "one system"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(lpspec: Lpspec, argv: tuple[str, ...], hint: str) -> None:
    said = lpspec("clocks", *argv)
    assert (said.code, said.out) == (2, "")
    assert hint in said.err.splitlines()[-1]


@pytest.mark.parametrize("command", ["clocks", "sustained"])
def test_what_a_comparison_would_note_is_noted_here(lpspec: Lpspec, command: str) -> None:
    """Of a drafter that the trace is not of, and of what commands alone follow, neither said a word."""
    given = ("--set", "memory.controller.page=closed", "--drafter", "eagle", "--trace", "vicuna-7b")
    quick = ("--model", "tinyllama", "--systems", "lp-spec", "--new-tokens", "4", "--fidelity", "analytic")
    said = lpspec(command, *quick, *given, *(("--tokens-per-s", "5") if command == "clocks" else ()), "--json", "-")
    assert said.code == 0, said.err
    notes = json.loads(said.out)["notes"]
    assert "--set memory.controller.page has no effect on lp-spec: the analytic level has no commands" in notes
    assert any(note.startswith("trace 'vicuna-7b' is of drafter medusa, but eagle is paid for") for note in notes)


@pytest.mark.parametrize(
    ("limit", "said"), [((), "none is fast enough"), (("--first-token-ms", "1"), "fast and prompt")]
)
def test_a_demand_that_no_clocks_meet_says_what_was_asked(lpspec: Lpspec, limit: tuple[str, ...], said: str) -> None:
    """A first token within a millisecond is not a matter of token/s."""
    demand = "5" if limit else "900"
    quick = ("--systems", "npu", "--tokens-per-s", demand, "--new-tokens", "2", "--fidelity", "analytic")
    assert said in lpspec("clocks", *quick, *limit).out
