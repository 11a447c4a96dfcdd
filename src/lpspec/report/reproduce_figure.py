"""The figure of the reproduction: what LP-Spec gains on every basis, and what every assumption set gives."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.experiments.assumption_sets import CONCURRENT_RANKS, MAC_INTERVALS_NS, PLAIN
from lpspec.experiments.bench import AssumptionSetResult
from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.reproduce import SUFFIXES, Reproduction
from lpspec.report.figures import (
    BLACK,
    BLUE,
    DOUBLE_COLUMN_IN,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    bare_axes,
    in_style,
    log_axis,
)
from lpspec.report.wording import SHORT_NAMES
from lpspec.scenario.names import Basis

BAND = "#e4e4e4"
BASIS_LOOKS: dict[Basis, tuple[str, dict[str, Any]]] = {
    "published": ("simulated, published basis", {"marker": "o", "mfc": BLUE, "mec": BLUE}),
    "equal": ("fair: memory and MACs", {"marker": "D", "mfc": "white", "mec": VERMILION}),
    "board": ("fair: board or SoC power", {"marker": "s", "mfc": "white", "mec": GREEN}),
}
"""Name and marker of every basis."""

TICKS = (0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
RANK_MARKS = {3: "o", 2: "s", 1: "^"}
MAC_COLOURS = {5.0: ORANGE, 10.0: BLUE}


def reproduction_figure(reproduction: Reproduction) -> Figure:
    """What LP-Spec gains over each rival, published and on every basis, beside the trade-off of assumption sets."""
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 3.3), layout="constrained")
        gains, assumption_sets = figure.subplots(1, 2, width_ratios=(1.45, 1))
        _draw_gains(gains, reproduction)
        _draw_assumption_sets(assumption_sets, reproduction)
        for axes in (gains, assumption_sets):
            bare_axes(axes)
    return figure


def _draw_gains(axes: Axes, reproduction: Reproduction) -> None:
    by_id = {row.id: row.best[0] for row in reproduction.rows}
    gains = [published for published in PUBLISHED if published.unit == "x"]
    rows = range(len(gains))
    axes.axvline(1, color=BLACK, lw=0.6, zorder=1)
    axes.plot([p.value for p in gains], rows, "|", ms=12, mew=1.6, color=BLACK, label="published", zorder=4)
    for basis, (name, look) in BASIS_LOOKS.items():
        found = [by_id[p.id + SUFFIXES[basis]] for p in gains]
        axes.plot(found, rows, ls="", ms=5, mew=1, label=name, zorder=3, **look)
    values = [[p.value, *(by_id[p.id + SUFFIXES[basis]] for basis in BASIS_LOOKS)] for p in gains]
    axes.hlines(rows, list(map(min, values)), list(map(max, values)), color=GREY, lw=0.6, zorder=1)
    axes.set_yticks(rows, [SHORT_NAMES.get(p.id, p.id) for p in gains])
    axes.set_ylim(len(gains) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    log_axis(axes.xaxis, "gain of LP-Spec")
    axes.set_xlim(0.45 * min(map(min, values)), 1.5 * max(map(max, values)))
    axes.annotate("loses", (0.93, 1.0), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=7)
    axes.annotate("LP-Spec wins", (1.08, 1.0), xycoords=("data", "axes fraction"), ha="left", va="top", fontsize=7)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.02), ncols=2, frameon=False, columnspacing=1.0)


def _draw_assumption_sets(axes: Axes, reproduction: Reproduction) -> None:
    published = {quantity.id: quantity.value for quantity in PUBLISHED}

    def point(result: AssumptionSetResult) -> tuple[float, float]:
        simulated = result.simulated
        return (
            simulated["lp_spec_tokens_per_s"] / published["lp_spec_tokens_per_s"],
            simulated["lp_spec_tokens_per_j"] / published["lp_spec_tokens_per_j"],
        )

    axes.fill_between([LOWEST_RATIO, HIGHEST_RATIO], LOWEST_RATIO, HIGHEST_RATIO, color=BAND, lw=0, zorder=0)
    for interval in MAC_INTERVALS_NS:
        for ranks in CONCURRENT_RANKS:
            group = [
                point(result)
                for result in reproduction.assumption_sets
                if (result.assumption_set.concurrent_ranks, result.assumption_set.mac_interval_ns) == (ranks, interval)
            ]
            axes.plot(
                [x for x, _ in group],
                [y for _, y in group],
                RANK_MARKS[ranks],
                ms=4,
                mew=0.8,
                mec=MAC_COLOURS[interval],
                mfc="none" if interval == MAC_INTERVALS_NS[0] else MAC_COLOURS[interval],
                alpha=0.8,
                label=f"{ranks} rank{'s' if ranks > 1 else ''}, {interval:g} ns",
            )
    plain = next(result for result in reproduction.assumption_sets if result.assumption_set == PLAIN)
    for name, result, offset in (("chosen", reproduction.chosen, (-16, 20)), ("plain", plain, (-16, 20))):
        axes.plot(*point(result), "o", ms=8, mfc="none", mec=BLACK, mew=0.8)
        axes.annotate(
            name,
            point(result),
            xytext=offset,
            textcoords="offset points",
            ha="center",
            arrowprops={"arrowstyle": "-", "lw": 0.6, "shrinkB": 4},
        )
    log_axis(axes.xaxis, "token/s, simulated / published", TICKS)
    log_axis(axes.yaxis, "token/J, simulated / published", TICKS)
    axes.margins(0.08)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top * (top / bottom) ** 0.12)  # room for the two names
    axes.legend(
        title="LP-Spec under every assumption set",
        loc="lower center",
        bbox_to_anchor=(0.45, 1),
        ncols=2,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.0,
    )
