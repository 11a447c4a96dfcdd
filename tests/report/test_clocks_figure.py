"""The figure of clocks: curves of the least energy, and its own clocks."""

import numpy as np
import pytest

from lpspec.experiments.clocks import BASE, clocks_study
from lpspec.report.clocks_figure import cheapest, clocks_figure

QUICK = BASE.replace(model="tinyllama", new_tokens=4, fidelity="analytic", changes={"npu.clock": "300 MHz"})
STUDY = clocks_study(QUICK, (10.0, 100.0))


def test_the_curve_of_the_best_clocks_lies_on_what_was_chosen() -> None:
    energy, clocks, *_ = clocks_figure(STUDY).axes
    full, best = (line.get_xydata() for line in energy.get_lines()[:2])
    assert isinstance(full, np.ndarray)
    assert isinstance(best, np.ndarray)
    for x, y in best:
        point = cheapest(STUDY, x)
        assert point is not None
        assert y == pytest.approx(point.mj_at(x))
    assert (np.interp(full[:, 0], best[:, 0], best[:, 1]) <= full[:, 1] * 1.001).all()
    assert energy.get_ylabel() == "energy (mJ/token)"
    assert clocks.get_ylabel() == "data rate (Gb/s)"


def test_the_best_of_the_figure_is_the_best_of_the_table() -> None:
    for demand in STUDY.demands:
        assert demand.chosen is cheapest(STUDY, demand.tokens_per_s)
