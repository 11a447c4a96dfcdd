"""The figure of a comparison: throughput, energy by component, and energy-delay product of every system."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.devices.cost import COMPONENTS
from lpspec.report.figures import (
    BLUE,
    DOUBLE_COLUMN_IN,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    bare_axes,
    in_style,
    legend_above,
    log_axis,
    short,
    write_value,
)
from lpspec.report.wording import digits
from lpspec.simulation.run import Run

REFERENCE = "lp-spec"
LOOKS = {
    "array": ("DRAM array", BLUE, ""),
    "io": ("off-chip I/O", SKY, "////"),
    "buffer": ("buffers", YELLOW, ""),
    "mac": ("MAC", VERMILION, "\\\\\\\\"),
    "activation": ("activations", GREEN, "...."),
    "migration": ("migration", ORANGE, "++++"),
    "static": ("static, board", PURPLE, "xxxx"),
}
"""Name, colour and hatch of every energy component."""

CUT_ABOVE = 4.0
"""Bars longer than this many medians are cut short where they would flatten all others; their values stay."""
BAR = 0.68


class Totals(Protocol):
    """What a system took for a token."""

    @property
    def tokens_per_s(self) -> float:
        """Decode throughput, tokens per second."""

    @property
    def mj_per_token(self) -> float:
        """Energy, mJ."""

    @property
    def edp_s_mj(self) -> float:
        """Energy-delay product, s x mJ."""

    @property
    def energy_by_component_mj(self) -> Mapping[str, float]:
        """Energy by component, mJ."""


def comparison_figure(runs: Sequence[Run]) -> Figure:
    """Three panels that share the systems on their vertical axis; every value is written beside its mark."""
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 1.0 + 0.21 * len(runs)), layout="constrained")
        throughput, energy, edp = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.45, 1))
        names = [run.system.name for run in runs]
        draw_throughput(throughput, names, runs)
        draw_energy(energy, runs)
        draw_edp(edp, names, runs)
        label_systems(throughput, names)
        for axes in (throughput, energy, edp):
            bare_axes(axes)
            axes.tick_params(axis="y", length=0)
        legend_above(figure, energy, len(COMPONENTS))
    return figure


def label_systems(axes: Axes, names: Sequence[str]) -> None:
    """Systems from top to bottom, the one that others are compared with in bold."""
    axes.set_yticks(range(len(names)), list(map(short, names)))
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == REFERENCE else "normal")
    axes.set_ylim(len(names) - 0.4, -0.6)


def draw_throughput(axes: Axes, names: Sequence[str], runs: Sequence[Totals]) -> None:
    """A bar of tokens per second for each system."""
    values = [run.tokens_per_s for run in runs]
    colours = [BLUE if name == REFERENCE else GREY for name in names]
    axes.barh(range(len(runs)), values, BAR, color=colours)
    for i, value in enumerate(values):
        write_value(axes, value, i, digits(value, 3))
    axes.set_xlim(0, 1.22 * max(values))
    axes.set_xlabel("throughput (token/s)")


def draw_energy(axes: Axes, runs: Sequence[Totals]) -> None:
    """A bar of energy per token for each system, by component."""
    limit = _longest_shown([run.mj_per_token for run in runs])
    parts = [run.energy_by_component_mj for run in runs]
    left = [0.0] * len(runs)
    for component in COMPONENTS:
        name, colour, hatch = LOOKS.get(component, (component, GREY, "||||"))
        widths = [min(part[component], limit - start) for part, start in zip(parts, left, strict=True)]
        if max(part[component] for part in parts) > 0:
            axes.barh(
                range(len(runs)), widths, BAR, left, label=name, color=colour, hatch=hatch, edgecolor="white", lw=0
            )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for i, run in enumerate(runs):
        is_cut = run.mj_per_token > limit
        if is_cut:
            axes.plot([0.93 * limit], [i], marker=(2, 0, -25), ms=13, mew=2, color="white")
        write_value(axes, min(run.mj_per_token, limit), i, digits(run.mj_per_token, 3))
    axes.set_xlim(0, 1.17 * limit)
    axes.set_xlabel("energy (mJ/token)")


def _longest_shown(values: Sequence[float]) -> float:
    """Length of the longest bar: where a few dwarf the others, the cut."""
    longest = max(value for value in values if value <= CUT_ABOVE * median(values))
    return 1.3 * longest if max(values) > 2 * longest else max(values)


def draw_edp(axes: Axes, names: Sequence[str], runs: Sequence[Totals]) -> None:
    """A mark of energy-delay product for each system."""
    values = [run.edp_s_mj for run in runs]
    low, high = 0.5 * min(values), max(values)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        colour = BLUE if name == REFERENCE else GREY
        axes.plot([low, value], [i, i], color=colour, lw=0.8, zorder=1)
        axes.plot(value, i, marker="o", ms=4, color=colour)
        write_value(axes, value, i, digits(value, 3))
    log_axis(axes.xaxis, "EDP (s·mJ per token)")
    axes.set_xlim(low, high * (high / low) ** 0.3)
