"""The figure of requests served: throughput, and how long requests waited for their first token and between tokens."""

from collections.abc import Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.report.figures import (
    BLUE,
    DOUBLE_COLUMN_IN,
    GREY,
    bare_axes,
    in_style,
    legend_above,
    log_axis,
    write_value,
)
from lpspec.report.wording import digits
from lpspec.simulation.served_run import ServedRun

REFERENCE = "lp-spec"
MARKS = {"mean": "o", "p50": "|", "p90": ">", "p99": "x"}


def serving_figure(runs: Sequence[ServedRun]) -> Figure:
    """Three panels that share the systems on their vertical axis."""
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 1.1 + 0.24 * len(runs)), layout="constrained")
        throughput, first, between = figure.subplots(1, 3, sharey=True)
        values = [run.served_tokens_per_s for run in runs]
        colours = [BLUE if run.system.name == REFERENCE else GREY for run in runs]
        throughput.barh(range(len(runs)), values, 0.68, color=colours)
        for row, value in enumerate(values):
            write_value(throughput, value, row, digits(value, 3))
        throughput.set_xlim(0, 1.25 * max(values))
        throughput.set_xlabel("throughput (token/s, all time)")
        draw_waits(first, [run.first_token_ms for run in runs], colours, "time to first token (ms)")
        draw_waits(between, [run.between_tokens_ms for run in runs], colours, "time between tokens (ms)")
        throughput.set_yticks(range(len(runs)), [run.system.name for run in runs])
        throughput.set_ylim(len(runs) - 0.4, -0.6)
        for axes in (throughput, first, between):
            bare_axes(axes)
            axes.tick_params(axis="y", length=0)
        legend_above(figure, between, len(MARKS))
    return figure


class Waits(Protocol):
    """What a figure needs of how long something waited, ms."""

    @property
    def mean(self) -> float:
        """Of all."""
        ...

    @property
    def p50(self) -> float:
        """Median."""
        ...

    @property
    def p90(self) -> float:
        """What nine of ten do not exceed."""
        ...

    @property
    def p99(self) -> float:
        """What 99 of 100 do not exceed."""
        ...


def draw_waits(axes: Axes, found: Sequence[Waits], colours: Sequence[str], label: str) -> None:
    """A row for each system: from the median to what 99 of 100 do not exceed, with mean and 90."""
    for row, (waits, colour) in enumerate(zip(found, colours, strict=True)):
        values = {name: float(getattr(waits, name)) for name in MARKS}
        axes.plot([values["p50"], values["p99"]], [row, row], color=colour, lw=0.8, zorder=1)
        for name, mark in MARKS.items():
            axes.plot(values[name], row, mark, ms=5, color=colour, label=name if row == 0 else None, ls="none")
    log_axis(axes.xaxis, label)
