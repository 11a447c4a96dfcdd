"""Numbers and findings read the same everywhere."""

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.text import Text

import lpspec
from lpspec.experiments.assumption_sets import PLAIN, AssumptionSet
from lpspec.experiments.peer_row import PeerRow
from lpspec.experiments.reproduce import LSpecPoint
from lpspec.report.documents import json_text
from lpspec.report.peers_table import rows_table
from lpspec.report.reproduce_table import assumption_set_words, compare_command, scan_line
from lpspec.report.wording import carried, digits, plus_minus, ratio_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (73.4, "73.40"), (0.36207, "0.3621"), (131.42, "131.4"), (5890.2, "5,890"), (1e-7, "1.000e-07")],
)
def test_four_digits(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(
    ("value", "half_width", "text"),
    [
        (62.373, 0.714, "62.4 ± 0.7"),
        (76.53, 1.76, "76.5 ± 1.8"),
        (245.5, 5.64, "246 ± 6"),
        (0.40097, 0.0092, "0.401 ± 0.009"),
        (0.0123, 0.0019, "0.0123 ± 0.0019"),
        (1234.0, 123.0, "1,230 ± 120"),
        (7.15446, 0.00087, "7.154 ± 0.001"),
        (2.90865, 0.00023, "2.909"),  # four digits carry no interval as narrow as that
        (5.556, 0.0, "5.556"),
    ],
)
def test_no_digit_is_printed_that_its_interval_does_not_carry(value: float, half_width: float, text: str) -> None:
    assert plus_minus(value, half_width) == text
    assert carried(value, half_width) == text.split(" ±")[0]


@pytest.mark.parametrize(
    ("ratio", "is_marked"), [(0.79, True), (0.8, False), (1.25, False), (1.26, True), (4e-3, True)]
)
def test_a_ratio_out_of_range_is_marked_without_colour_too(ratio: float, is_marked: bool) -> None:
    text = ratio_text(ratio)
    assert ("!" in text.plain) is is_marked
    assert bool(text.style) is is_marked


def test_a_ratio_of_ranges_that_meet_is_not_marked() -> None:
    """CoSine's -20 % lies within its -34 to -17 %, and was marked for being off the middle of that."""
    met = PeerRow("one", "peer", "throughput", (-34.0, -17.0), (-20.3, -20.3), "%", "analytic")
    table = rows_table("peer", [met])
    assert list(table.columns[4].cells) == [Text("0.80  ")]
    assert ratio_text(met.ratio).plain == "0.80 !"


def test_no_result_can_hold_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"ratio": math.nan})


def test_the_scan_names_the_nearest_size_for_each_quantity() -> None:
    scan = (LSpecPoint(1, 73.4, 32.6, 0.418), LSpecPoint(2, 73.0, 16.0, 0.9), LSpecPoint(3, 150.0, 32.0, 0.5))
    line = scan_line(scan)
    assert "throughput 2 (73.0 token/s), energy 3 (32.0 token/J), EDP 3 (0.500 s·mJ)" in line
    assert "no single one fits; 3 comes nearest" in line
    assert "without drafts (L_spec 1) 73.4 token/s" in line


def test_the_scan_admits_a_size_that_fits() -> None:
    line = scan_line((LSpecPoint(2, 73.0, 32.0, 0.42), LSpecPoint(3, 150.0, 32.0, 0.5)))
    assert "2 fits all three" in line
    assert "no single one" not in line


def test_a_assumption_set_in_words_and_as_a_command() -> None:
    assumption_set = AssumptionSet(1, 10.0, 0.7, "edp", root_counts=False)
    assert assumption_set_words(assumption_set).startswith("1 PIM rank at once, one MAC per 10 ns, bus efficiency 0.7")
    assert "does not count" in assumption_set_words(assumption_set)
    assert '--set pim.mac_interval="10 ns"' in compare_command(assumption_set)
    assert compare_command(PLAIN).endswith("--set memory.bus_efficiency=1")


def literals(path: Path) -> Iterator[str]:
    """Texts of a module that are no docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_levels_are_called_analytic_and_command_level_wherever_results_show() -> None:
    package = Path(lpspec.__file__).parent
    shown = {path.name: " ".join(literals(path)) for path in (package / "report").rglob("*.py")}
    shown |= {path.name: path.read_text("utf-8") for path in package.rglob("serve.js")}
    other = re.compile(r"closed[ -]forms?|by commands", re.IGNORECASE)
    assert {name: found for name, text in shown.items() if (found := other.findall(text))} == {}
