"""The first layer of one step, resource by resource."""

from itertools import takewhile

from matplotlib.figure import Figure

from lpspec.experiments.step_timeline import StepTimeline
from lpspec.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SINGLE_COLUMN_IN,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
    short,
)
from lpspec.report.page.contents import Drawing
from lpspec.report.wording import digits
from lpspec.simulation.step_session import PhaseRun

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
NS_PER_US = 1e3
NAMED_SHARE = 0.05
"""Phases that last this share of the excerpt have their name in it."""


def first_layer(step: StepTimeline) -> tuple[PhaseRun, ...]:
    """Phases up to the first that comes again."""
    seen: set[str] = set()

    def is_new(done: PhaseRun) -> bool:
        new = done.phase.name not in seen
        seen.add(done.phase.name)
        return new

    return tuple(takewhile(is_new, step.phases))


def step_excerpt(step: StepTimeline) -> Drawing:
    """When each resource is busy in the first layer of a step."""
    shown = first_layer(step)
    resources = list(dict.fromkeys(one.resource for done in shown for one in done.intervals))
    end_us = shown[-1].end_ns / NS_PER_US
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 1.6 + 0.24 * len(resources)), layout="constrained")
        axes = figure.subplots()
        for row, resource in enumerate(resources):
            busy = [one for done in shown for one in done.intervals if one.resource == resource]
            bars = [(one.begin_ns / NS_PER_US, (one.end_ns - one.begin_ns) / NS_PER_US) for one in busy]
            axes.broken_barh(bars, (row - 0.34, 0.68), color=COLOURS[row % len(COLOURS)])
        for done in shown:
            begin_us, last_us = done.begin_ns / NS_PER_US, done.end_ns / NS_PER_US
            axes.axvline(begin_us, color=GREY, lw=0.3, zorder=0)
            if last_us - begin_us >= NAMED_SHARE * end_us:
                axes.annotate(
                    done.phase.name.replace("_", " "),
                    ((begin_us + last_us) / 2, -0.6),
                    rotation=60,
                    fontsize=7,
                    va="bottom",
                )
        axes.set_yticks(range(len(resources)), list(map(short, resources)))
        axes.set_ylim(len(resources) - 0.4, -0.6)
        axes.set_xlim(0, end_us)
        axes.set_xlabel("from the start of the step (µs)")
        axes.tick_params(axis="y", length=0)
        bare_axes(axes)
    said = (
        f"{step.system}: the first layer of the commonest kind of step ({step.l_spec} tokens verified, "
        f"{step.committed} committed, {step.context} before it), one of {step.channels} channels; the whole step takes "
        f"{digits(step.phases[-1].end_ns / 1e6)} ms. lpspec compare --timeline writes all of it for Perfetto."
    )
    return Drawing("step", figure, said)
