"""Figures hold the numbers of their result, fit a column, and come out the same every time."""

import sys

import pytest
from matplotlib.figure import Figure

from lpspec.experiments.compare import Comparison, compare
from lpspec.report.compare_figure import CUT_ABOVE, comparison_figure
from lpspec.report.figures import DOUBLE_COLUMN_IN, figure_bytes
from lpspec.report.wording import digits
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
