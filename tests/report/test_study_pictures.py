"""Pictures of studies: every text lies within the picture, and none lies over the points."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from lpspec.explore.pareto import Cloud
from lpspec.explore.sensitivity import OneAtATime
from lpspec.report.page.study_figures import one_at_a_time_figure
from lpspec.report.results_figure import results_figure

BEST = {"workload.prompt_tokens": 3424}


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is written but for the numbers of ticks, some of which are not drawn, and where."""
    figure.draw_without_rendering()
    found = [one for one in figure.findobj(Text) if isinstance(one, Text) and one.get_visible()]
    return [(one.get_text(), one.get_window_extent()) for one in found if one.get_text().strip("0123456789.−")]


def cut(figure: Figure) -> list[str]:
    """Texts that reach beyond the picture."""
    return [
        text
        for text, box in texts(figure)
        if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1
    ]


def test_the_legend_of_the_front_is_readable_over_a_dense_cloud() -> None:
    rows: list[dict[str, Any]] = [
        {"tokens_per_s": float(i % 100), "tokens_per_j": float(i // 100)} for i in range(10_000)
    ]
    figure = results_figure(Cloud(rows, ("tokens_per_s", "tokens_per_j"), rows[-1:]))
    assert cut(figure) == []
    (axes,) = figure.axes
    legend = [box for text, box in texts(figure) if text in ("points", "no point beats these")]
    assert len(legend) == 2
    assert not any(box.overlaps(axes.get_window_extent()) for box in legend)


def test_an_axis_with_a_long_name_leaves_room_for_what_is_shown() -> None:
    values = (0, 1486, 3424, 7997)
    line = OneAtATime("workload.prompt_tokens", values, (1.0, 2.0, 0.01, 400.0))
    figure = one_at_a_time_figure({"token/s": [line], "token/J": [line], "EDP, s·mJ": [line]}, BEST).figure
    assert cut(figure) == []
