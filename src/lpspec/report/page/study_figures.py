"""Figures of a study's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lpspec.devices.cost import COMPONENTS
from lpspec.explore.sensitivity import OneAtATime, Share
from lpspec.report.compare_figure import draw_energy
from lpspec.report.figures import (
    BLUE,
    GREEN,
    GREY,
    SINGLE_COLUMN_IN,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
    legend_above,
    short,
)
from lpspec.report.page.contents import Drawing
from lpspec.report.results_table import cell

LOOKS = (("o", BLUE), ("s", VERMILION), ("^", GREEN))


@dataclass(frozen=True)
class PointTotals:
    """What a point took for a token."""

    tokens_per_s: float
    mj_per_token: float
    edp_s_mj: float
    energy_by_component_mj: Mapping[str, float]


MOST_VALUES = 9
"""Of an axis in the figure; the table has all."""


def energy_of_points(numbered: Sequence[tuple[int, Mapping[str, Any]]]) -> Drawing:
    """Where the joules of a token go at numbered points."""
    rows = [row for _, row in numbered]
    totals = [
        PointTotals(
            row["tokens_per_s"],
            row["mj_per_token"],
            row["edp_s_mj"],
            {name: row[f"{name}_mj_per_token"] or 0.0 for name in COMPONENTS},
        )
        for row in rows
    ]
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 1.1 + 0.2 * len(rows)), layout="constrained")
        axes = figure.subplots()
        draw_energy(axes, totals)
        axes.set_yticks(range(len(rows)), [str(number) for number, _ in numbered])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_ylabel("point of the front")
        bare_axes(axes)
        legend_above(figure, axes)
    return Drawing("energy", figure, "Where the joules of a token go, at points of the front.")


def one_at_a_time_figure(lines: Mapping[str, Sequence[OneAtATime]], best: Mapping[str, Any]) -> Drawing:
    """Each figure at every value of each axis, over its value at the point that stays.

    Args:
        lines: By name of the figure.
        best: The point.
    """
    first = next(iter(lines.values()))
    rows = [(one.axis, value) for one in first for value in _some(one.values, best[one.axis])]
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.8 + 0.14 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1, color=GREY, lw=0.6)
        for (name, each), (mark, colour) in zip(lines.items(), LOOKS, strict=False):
            outcome = {(one.axis, value): y for one in each for value, y in zip(one.values, one.outcomes, strict=True)}
            here = {one.axis: outcome[one.axis, best[one.axis]] for one in each}
            known = [i for i, row in enumerate(rows) if row in outcome]
            ratios = [outcome[rows[i]] / here[rows[i][0]] for i in known]
            axes.plot(ratios, known, mark, ms=3.5, color=colour, label=name)
        begins = [i == 0 or rows[i - 1][0] != axis for i, (axis, _) in enumerate(rows)]
        labels = [
            f"{short(axis)}: {short(cell(value))}" if new else short(cell(value))
            for new, (axis, value) in zip(begins, rows, strict=True)
        ]
        axes.set_yticks(range(len(rows)), labels, fontsize=7)
        for row, new in enumerate(begins):
            if new and row:
                axes.axhline(row - 0.5, color=GREY, lw=0.4)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("over its value at the\npoint of smallest EDP")
        axes.tick_params(axis="y", length=0)
        bare_axes(axes)
        legend_above(figure, axes)
    return Drawing("one-at-a-time", figure, "Each axis alone, from the point of smallest energy-delay product.")


def _some(values: Sequence[Any], always: Any) -> list[Any]:
    """Values evenly spread where there are many, the ends and one more always among them."""
    if len(values) <= MOST_VALUES:
        return list(values)
    kept = {round(i * (len(values) - 1) / (MOST_VALUES - 2)) for i in range(MOST_VALUES - 1)} | {values.index(always)}
    return [values[i] for i in sorted(kept)]


def shares_figure(shares: Mapping[str, Sequence[Share]]) -> Drawing:
    """First and total order Sobol indices of each figure.

    Args:
        shares: By name of the figure.
    """
    rows = [(name, share) for name, each in shares.items() for share in each]
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.8 + 0.17 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(rows)), [share.total for _, share in rows], 0.7, color=SKY, label="with others (total)")
        axes.barh(range(len(rows)), [share.alone for _, share in rows], 0.4, color=BLUE, label="alone (first order)")
        axes.set_yticks(range(len(rows)), [f"{name}: {short(share.axis)}" for name, share in rows], fontsize=7)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the variance over the grid")
        axes.tick_params(axis="y", length=0)
        bare_axes(axes)
        legend_above(figure, axes, 2)
    return Drawing("variance", figure, "Sobol indices over the grid.")
