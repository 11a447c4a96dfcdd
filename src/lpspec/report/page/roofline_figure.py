"""Roofs of machines, and where each system's passes stand below them."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from lpspec.experiments.roofline import PassWork, Roofs
from lpspec.report.figures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SINGLE_COLUMN_IN,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
    log_axis,
    short,
)
from lpspec.report.page.contents import Drawing
from lpspec.report.page.results import SystemResult

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
MARKS = "osD^vPX*"
TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True)
class UnderRoofs:
    """A system, its machine's roofs, and a pass of its mean size.

    Attributes:
        system: Its name.
        platform: Its machine's.
        roofs: What that can do.
        work: What a pass asks for.
    """

    system: str
    platform: str
    roofs: Roofs
    work: PassWork


def roofline(placed: Sequence[UnderRoofs], systems: Sequence[SystemResult]) -> Drawing:
    """Tera-operations per second over operations per byte of weights."""
    pass_ms = {one.system: one.pass_ms for one in systems}
    speculating = {one.system for one in systems if one.speculates}
    platforms = list(dict.fromkeys(one.platform for one in placed))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(platforms)}
    intensities = [one.work.ops_per_byte for one in placed]
    low, high = 0.5 * min(intensities), 4 * max(intensities)
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.6 + 0.15 * len(placed)), layout="constrained")
        axes = figure.subplots()
        for name in platforms:
            found = next(one.roofs for one in placed if one.platform == name)
            ceiling = max(found.tops.values(), default=float("inf"))
            steepest = max(found.gb_per_s.values(), default=0.0) * GIGA / TERA
            if steepest:
                bend = min(max(ceiling / steepest, low), high)
                across = [low, bend, high]
                axes.plot(
                    across, [min(x * steepest, ceiling) for x in across], color=colours[name], lw=0.9, label=short(name)
                )
        for i, one in enumerate(placed):
            reached = one.work.tera_ops / (pass_ms[one.system] / 1e3)
            mark, colour = MARKS[i % len(MARKS)], colours[one.platform]
            filled = colour if one.system in speculating else "white"
            axes.plot(one.work.ops_per_byte, reached, mark, ms=4.5, mfc=filled, mec=colour, label=short(one.system))
        log_axis(axes.xaxis, "operations per byte of weights read")
        log_axis(axes.yaxis, "Top/s, weights alone")
        bare_axes(axes)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    said = (
        "Roofline: lines are the fastest road of weights to arithmetic, and the largest peak where one is described; "
        "marks are passes of mean size, filled where they verify trees."
    )
    return Drawing("roofline", figure, said)
