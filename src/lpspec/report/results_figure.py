"""Points of a study over two figures, with those that no other beats."""

from typing import Literal

from matplotlib.figure import Figure

from lpspec.errors import InputError
from lpspec.explore.evaluate import METRICS
from lpspec.explore.pareto import Cloud
from lpspec.report.figures import GREY, SINGLE_COLUMN_IN, VERMILION, bare_axes, in_style
from lpspec.report.results_table import HEADERS

MOST_VECTORS = 2000
"""Points that a .pdf or .svg holds one by one; more are a picture within it, which opens at once."""


def results_figure(cloud: Cloud) -> Figure:
    """Every point of a cloud over its two figures, and its front as a line of steps.

    Raises:
        InputError: Not two figures, or no point has both.
    """
    if len(cloud.metrics) != 2:
        raise InputError(f"a figure has two axes: name two figures, not {len(cloud.metrics)}")
    across, up = cloud.metrics
    rows = [row for row in cloud.rows if row[across] is not None and row[up] is not None]
    if not rows:
        raise InputError("no point has both figures: there is nothing to draw")
    best = sorted(cloud.front, key=lambda row: float(row[across]))
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.6), layout="constrained")
        axes = figure.subplots()
        values = [row[across] for row in rows], [row[up] for row in rows]
        axes.scatter(*values, s=7, color=GREY, lw=0, label="points", rasterized=len(rows) > MOST_VECTORS)
        where: Literal["pre", "post"] = "pre" if METRICS[across].better == "higher" else "post"
        line = [row[across] for row in best], [row[up] for row in best]
        axes.step(*line, where=where, color=VERMILION, lw=1, marker="o", ms=3, label="no point beats these")
        axes.set_xlabel(_label(across))
        axes.set_ylabel(_label(up))
        bare_axes(axes)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def _label(name: str) -> str:
    return f"{HEADERS.get(name, name)} ({METRICS[name].better} is better)".replace("\n", " ")
