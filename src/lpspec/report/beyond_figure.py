"""LP-Spec+ against LP-Spec as two figures: every case, and the pieces in those that are taken apart."""

import textwrap
from collections.abc import Sequence
from itertools import groupby, pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.experiments.beyond import PIECES, WITHOUT, Case
from lpspec.explore.beyond import Beyond, Row
from lpspec.report.beyond_table import case_label, taken_apart_in
from lpspec.report.figures import (
    BLACK,
    BLUE,
    DOUBLE_COLUMN_IN,
    GREY,
    ORANGE,
    VERMILION,
    bare_axes,
    in_style,
)

MOST_PANELS = 4


def beyond_figures(result: Beyond) -> tuple[Figure, ...]:
    """Every case, then the pieces."""
    with in_style():
        return _gains(result.rows), _pieces(result)


def _gains(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 0.9 + 0.17 * len(rows)), layout="constrained")
    edp, speed = figure.subplots(1, 2, sharey=True)
    places = range(len(rows))
    for axes, colour, ratios, index, label in (
        (edp, BLUE, [row.edp_ratio for row in rows], 0, "EDP over LP-Spec's (less is better)"),
        (speed, VERMILION, [row.tokens_per_s_ratio for row in rows], 1, "token/s over LP-Spec's (more is better)"),
    ):
        axes.axvline(1, color=BLACK, lw=0.6)
        axes.barh(places, ratios, height=0.7, color=colour)
        ends = [row.samples[index] for row in rows]
        axes.hlines(places, [end.low for end in ends], [end.high for end in ends], color=BLACK, lw=0.8)
        for place, ratio in zip(places, ratios, strict=True):
            axes.annotate(
                f"{ratio:.2f}",
                (0, place),
                (3, -0.5),
                textcoords="offset points",
                va="center",
                fontsize=6,
                color="white",
                weight="bold",
            )
        axes.set_xlim(0, 1.08 * max([1.0, *ratios]))
        axes.set_xlabel(label)
        bare_axes(axes)
    edp.set_yticks(places, [case_label(row.case) for row in rows], fontsize=6.5)
    edp.set_ylim(len(rows) - 0.4, -0.6)
    for place, (before, row) in enumerate(pairwise(rows), 1):
        if row.case.shows != before.case.shows:
            for axes in (edp, speed):
                axes.axhline(place - 0.5, color=GREY, lw=0.4)
    _name_groups(speed, [row.case.shows for row in rows])
    return figure


def _name_groups(axes: Axes, groups: Sequence[str]) -> None:
    """Beside the rows what those of a group show."""
    begin = 0
    for name, rows in groupby(groups):
        count = len(list(rows))
        at = (1, begin + (count - 1) / 2)
        said = textwrap.fill(name, 10)
        axes.annotate(said, at, (3, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=6)
        begin += count


def _pieces(result: Beyond) -> Figure:
    taken_apart = taken_apart_in(result)
    across = max(1, min(MOST_PANELS, len(taken_apart)))
    down = max(1, -(-len(taken_apart) // across))
    size = (DOUBLE_COLUMN_IN, 0.4 + down * (0.5 + 0.2 * len(PIECES)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for place, (axes, case) in enumerate(zip(panels, taken_apart, strict=False)):
        _panel(axes, result, case)
        axes.tick_params(labelbottom=place + across >= len(taken_apart))
    for axes in panels[len(taken_apart) :]:
        axes.set_visible(False)
    if taken_apart:
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel("EDP over LP-Spec's", fontsize=8)
    return figure


def _panel(axes: Axes, result: Beyond, case: Case) -> None:
    found = {row.piece: row.edp_ratio for row in result.parts if row.case == case}
    together = next((row.edp_ratio for row in result.rows if row.case == case), None)
    axes.axvline(1, color=BLACK, lw=0.6)
    if together is not None:
        axes.axvline(together, color=BLUE, lw=1, label="all together")
    for prefix, colour, mark, label in (("", ORANGE, "o", "alone"), (WITHOUT, VERMILION, "x", "all without it")):
        points = [(found[prefix + p.name], at) for at, p in enumerate(PIECES) if prefix + p.name in found]
        if points:
            axes.plot(*zip(*points, strict=True), mark, ms=4, color=colour, label=label)
    axes.set_yticks(range(len(PIECES)), [piece.name for piece in PIECES], fontsize=7)
    axes.set_ylim(len(PIECES) - 0.4, -0.6)
    axes.set_title(case_label(case), fontsize=7)
    bare_axes(axes)
