"""The figure of the reproduction: every quantity against its published value, and what every reading gives."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.readings import CONCURRENT_RANKS, MAC_INTERVALS_NS, PLAIN
from lpspec.experiments.reproduce import ReadingResult, Reproduction
from lpspec.report.figures import (
    BLACK,
    BLUE,
    DOUBLE_COLUMN_IN,
    GREY,
    ORANGE,
    VERMILION,
    bare_axes,
    in_style,
    plain_log_labels,
)
from lpspec.report.wording import SHORT_NAMES

BAND = "#e4e4e4"
TICKS = (0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
RANK_MARKS = {3: "o", 2: "s", 1: "^"}
MAC_COLOURS = {5.0: ORANGE, 10.0: BLUE}


def reproduction_figure(reproduction: Reproduction) -> Figure:
    """Ratios of simulated to published on both bases, beside the trade-off between the readings."""
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 3.3), layout="constrained")
        ratios, readings = figure.subplots(1, 2, width_ratios=(1.45, 1))
        _draw_ratios(ratios, reproduction)
        _draw_readings(readings, reproduction)
        for axes in (ratios, readings):
            bare_axes(axes)
    return figure


def _draw_ratios(axes: Axes, reproduction: Reproduction) -> None:
    own = {row.published.id: row.ratio for row in reproduction.rows if not row.equal_basis}
    equal = {row.published.id: row.ratio for row in reproduction.rows if row.equal_basis}
    rows = range(len(own))
    axes.axvspan(LOWEST_RATIO, HIGHEST_RATIO, color=BAND, lw=0, zorder=0)
    axes.axvline(1, color=BLACK, lw=0.6, zorder=1)
    axes.hlines(rows, list(own.values()), list(equal.values()), color=GREY, lw=0.6, zorder=1)
    axes.plot(list(equal.values()), rows, "D", ms=4.5, mfc="white", mec=VERMILION, mew=1, label="equal basis", zorder=2)
    axes.plot(list(own.values()), rows, "o", ms=4.5, color=BLUE, label="published basis", zorder=3)
    axes.set_yticks(rows, [SHORT_NAMES.get(key, key) for key in own])
    axes.set_ylim(len(own) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    plain_log_labels(axes.xaxis)
    axes.set_xlabel("simulated / published (log)")
    for row, ratio in zip(rows, own.values(), strict=True):
        is_off = not LOWEST_RATIO <= ratio <= HIGHEST_RATIO
        axes.annotate(
            f"{ratio:.2f}",
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=BLUE,
            fontweight="bold" if is_off else "normal",
        )
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)


def _draw_readings(axes: Axes, reproduction: Reproduction) -> None:
    published = {quantity.id: quantity.value for quantity in PUBLISHED}

    def point(result: ReadingResult) -> tuple[float, float]:
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
                for result in reproduction.readings
                if (result.reading.concurrent_ranks, result.reading.mac_interval_ns) == (ranks, interval)
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
    plain = next(result for result in reproduction.readings if result.reading == PLAIN)
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
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_labels(axis, TICKS)
    axes.margins(0.08)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top * (top / bottom) ** 0.12)  # room for the two names
    axes.set_xlabel("token/s, simulated / published")
    axes.set_ylabel("token/J, simulated / published")
    axes.legend(
        title="LP-Spec under every reading",
        loc="lower center",
        bbox_to_anchor=(0.45, 1),
        ncols=2,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.0,
    )
