"""The figures of a page, a column wide: they fit a phone's screen and a paper's column."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.report.compare_figure import REFERENCE, draw_edp, draw_energy, draw_throughput, label_systems
from lpspec.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SINGLE_COLUMN_IN,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
    legend_above,
    log_axis,
    short,
    write_value,
)
from lpspec.report.page.contents import Drawing
from lpspec.report.page.results import ServedSystem, SystemResult
from lpspec.report.wording import digits

Systems = Sequence[SystemResult]
LOOKS = [(colour, line) for line in ("-", "--", ":") for colour in (BLUE, VERMILION, GREEN, ORANGE, SKY, GREY)]
"""Colours, each solid before any is dashed."""


def of_systems(systems: Sequence[SystemResult | ServedSystem], more_in: float = 0.0) -> tuple[Figure, Axes, list[str]]:
    """A figure with a row for each system, its axes, and the names."""
    figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.8 + more_in + 0.2 * len(systems)), layout="constrained")
    axes, names = figure.subplots(), [one.system for one in systems]
    label_systems(axes, names)
    bare_axes(axes)
    return figure, axes, names


def throughput(systems: Systems) -> Drawing:
    """Tokens per second of each system."""
    with in_style():
        figure, axes, names = of_systems(systems)
        draw_throughput(axes, names, systems)
    return Drawing("throughput", figure, "Decode throughput.")


def energy(systems: Sequence[SystemResult | ServedSystem]) -> Drawing:
    """Where the joules of a token go."""
    with in_style():
        figure, axes, _ = of_systems(systems, 0.4)
        draw_energy(axes, systems)
        legend_above(figure, axes)
    return Drawing("energy", figure, "Where the joules of a token go; a bar that is cut short has its value beside it.")


def energy_delay(systems: Systems) -> Drawing:
    """Energy-delay product of each system."""
    with in_style():
        figure, axes, names = of_systems(systems)
        draw_edp(axes, names, systems)
    return Drawing("energy-delay", figure, "Energy-delay product of a token: smaller is better.")


def passes(systems: Systems) -> Drawing:
    """Where the time of a token goes: how long a pass lasts, and how many tokens it commits."""
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.8 + 0.2 * len(systems)), layout="constrained")
        lasting, committed = figure.subplots(1, 2, sharey=True)
        names = [one.system for one in systems]
        colours = [BLUE if name == REFERENCE else GREY for name in names]
        panels = (
            (lasting, [one.pass_ms for one in systems], "pass with drafts (ms)"),
            (committed, [one.mean_acceptance_length for one in systems], "tokens per pass"),
        )
        for axes, values, label in panels:
            axes.barh(range(len(systems)), values, 0.68, color=colours)
            for row, value in enumerate(values):
                write_value(axes, value, row, digits(value, 3))
            axes.set_xlim(0, 1.35 * max(values))
            axes.set_xlabel(label)
            bare_axes(axes)
        label_systems(lasting, names)
    return Drawing("passes", figure, "Where the time goes: tokens/s are the tokens of a pass over its time.")


def tree_sizes(systems: Systems) -> Drawing | None:
    """How many passes verified how many tokens, for each system that speculates; None where none does."""
    drawn = [one for one in systems if one.speculates and one.l_spec_histogram]
    if not drawn:
        return None
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.6 + 0.62 * len(drawn)), layout="constrained")
        panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, one in zip(panels, drawn, strict=True):
            total = sum(one.l_spec_histogram.values()) or 1
            shares = [100 * count / total for count in one.l_spec_histogram.values()]
            colour = BLUE if one.system == REFERENCE else GREY
            axes.bar(list(one.l_spec_histogram), shares, 0.8, color=colour)
            axes.set_title(f"{short(one.system)}: mean {one.mean_l_spec:.2f}", loc="left", fontsize=7, pad=2)
            axes.set_ylim(0, 1.05 * max(shares))
            bare_axes(axes)
        panels[-1].set_xlabel("L_spec: tokens verified in a pass, the root included")
        figure.supylabel("passes (%)", fontsize=8)
    return Drawing("tree-sizes", figure, "Tree sizes over all passes.")


def sizes_over_run(systems: Systems) -> Drawing | None:
    """Mean tree size along the run, for each system that speculates; None where none says."""
    drawn = [one for one in systems if one.speculates and one.l_spec_over_run]
    if not drawn:
        return None
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.3 + 0.12 * len(drawn)), layout="constrained")
        axes = figure.subplots()
        for one, (colour, line) in zip(drawn, cycle(LOOKS), strict=False):
            parts = len(one.l_spec_over_run)
            middles = [100 * (part + 0.5) / parts for part in range(parts)]
            axes.plot(middles, one.l_spec_over_run, line, color=colour, lw=1.1, label=short(one.system))
        axes.set_xlim(0, 100)
        axes.set_ylim(0, None)
        axes.set_xlabel("passes of the run (%)")
        axes.set_ylabel("mean L_spec")
        bare_axes(axes)
        legend_above(figure, axes)
    return Drawing("tree-sizes-over-run", figure, "Tree sizes from the first pass to the last: the pruner learns.")


def acceptance(name: str, first: Sequence[float], listed: Sequence[float], top_k: int) -> Drawing:
    """How often the head of each depth is right.

    Args:
        name: Of the trace.
        first: Share of positions at which its first guess is right, by depth.
        listed: Share at which the true token is anywhere on its list.
        top_k: Length of the list.
    """
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.2), layout="constrained")
        axes = figure.subplots()
        depths = range(1, len(first) + 1)
        axes.plot(depths, [100 * share for share in listed], "o-", ms=4, color=ORANGE, label=f"among {top_k} guesses")
        axes.plot(depths, [100 * share for share in first], "s-", ms=4, color=BLUE, label="first guess")
        axes.set_xticks(list(depths))
        axes.set_ylim(0, 100)
        axes.set_xlabel("depth: tokens ahead of the root")
        axes.set_ylabel("true token (%)")
        axes.legend(frameon=False)
        bare_axes(axes)
    return Drawing("acceptance", figure, f"Acceptance by depth: trace {name}.")


def gains(labels: Sequence[str], published: Sequence[float], simulated: Mapping[str, Sequence[float]]) -> Drawing:
    """Published quantities beside simulated ones, as ratios.

    Args:
        labels: Of the quantities.
        published: What is published.
        simulated: What each basis or level gives, by its name.
    """
    looks = (("o", BLUE), ("D", VERMILION), ("s", ORANGE), ("^", GREY))
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 1.0 + 0.2 * len(labels)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1, color="black", lw=0.6)
        for (name, values), (mark, colour) in zip(simulated.items(), looks, strict=False):
            ratios = [value / said for value, said in zip(values, published, strict=True)]
            axes.plot(ratios, range(len(labels)), mark, ms=4, mfc="none", mec=colour, label=name)
        axes.set_yticks(range(len(labels)), list(map(short, labels)))
        axes.set_ylim(len(labels) - 0.4, -0.6)
        log_axis(axes.xaxis, "simulated / published", (0.25, 0.5, 0.75, 1, 1.5, 2, 4))
        legend_above(figure, axes, 2)
        bare_axes(axes)
    return Drawing("published", figure, "Every published number: simulated over published.")
