"""Figures hold the numbers of their result, fit a column, and come out the same every time."""

import re
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import lpspec.report
from lpspec.experiments.compare import Comparison, compare
from lpspec.experiments.product import price_product
from lpspec.report.compare_figure import CUT_ABOVE, comparison_figure
from lpspec.report.figures import DOUBLE_COLUMN_IN, figure_bytes, log_axis
from lpspec.report.product_figure import product_figure
from lpspec.report.wording import digits
from lpspec.scenario.product import Product
from lpspec.scenario.scenario import DEFAULT


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(
        DEFAULT.replace(
            systems=["npu", "pim", "lp-spec", "attacc", "rtx3090"],
            new_tokens=10,
            basis="published",
            fidelity="analytic",
        )
    )


@pytest.fixture(scope="module")
def figure(comparison: Comparison) -> Figure:
    return comparison_figure(comparison.runs)


def test_every_value_is_written_in_the_figure(comparison: Comparison, figure: Figure) -> None:
    throughput, energy, edp = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert throughput == [digits(run.tokens_per_s, 3) for run in comparison.runs]
    assert energy == [digits(run.mj_per_token, 3) for run in comparison.runs]
    assert edp == [digits(run.edp_s_mj, 3) for run in comparison.runs]


def test_axes_say_their_units(figure: Figure) -> None:
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "throughput (token/s)",
        "energy (mJ/token)",
        "EDP (s·mJ per token, log)",
    ]


def test_a_bar_that_dwarfs_the_others_is_cut(comparison: Comparison, figure: Figure) -> None:
    longest = max(run.mj_per_token for run in comparison.runs)
    shown = figure.axes[1].get_xlim()[1]
    assert shown < longest / 2
    assert CUT_ABOVE > 1
    assert figure.axes[1].get_lines()


def test_one_system_alone_can_be_drawn() -> None:
    alone = compare(DEFAULT.replace(systems=["lp-spec"], new_tokens=2, fidelity="analytic"))
    assert figure_bytes(comparison_figure(alone.runs), ".png").startswith(b"\x89PNG")


def test_a_figure_is_as_wide_as_a_page_and_has_small_type(figure: Figure) -> None:
    assert figure.get_figwidth() == DOUBLE_COLUMN_IN
    assert {text.get_fontsize() for axes in figure.axes for text in axes.texts} <= {7.0, 8.0}


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_equal_results_give_equal_files(comparison: Comparison, suffix: str) -> None:
    first, second = (figure_bytes(comparison_figure(comparison.runs), suffix) for _ in range(2))
    assert first == second


def test_pyplot_is_never_loaded(figure: Figure) -> None:
    assert figure.axes
    assert "matplotlib.pyplot" not in sys.modules


def test_a_logarithmic_axis_says_so() -> None:
    axes = Figure().subplots()
    log_axis(axes.xaxis, "energy (mJ)")
    log_axis(axes.yaxis, "token/s", [1, 2, 5])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("energy (mJ, log)", "token/s (log)")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2", "5"]


def test_no_figure_has_a_logarithmic_axis_of_its_own() -> None:
    """Three did not say that they were: whoever wants one goes through ``log_axis``."""
    asks = re.compile(r"set_[xy]scale|[xy]scale=|semilog|loglog")
    own = [path.name for path in Path(lpspec.report.__path__[0]).rglob("*.py") if asks.search(path.read_text("utf-8"))]
    assert own == ["figures.py"]


def test_a_product_has_the_names_of_a_comparison() -> None:
    drawn = product_figure(price_product(Product(m=4, k=1024, n=1024)))
    handles = drawn.axes[0].get_legend_handles_labels()[1]
    assert handles == ["DRAM array", "off-chip I/O", "buffers", "MAC", "activations"]
