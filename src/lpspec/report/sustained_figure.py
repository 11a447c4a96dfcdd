"""The figure of sustained against peak: token/s over the power that may flow, and over the length of a session."""

import numpy as np
from matplotlib.figure import Figure

from lpspec.experiments.sustained import SustainedStudy
from lpspec.report.figures import (
    BLUE,
    DOUBLE_COLUMN_IN,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
    legend_above,
)

COLOURS = (ORANGE, GREEN, BLUE, VERMILION, PURPLE, SKY)
LONGEST_MINUTES = 30


def sustained_figure(study: SustainedStudy) -> Figure:
    """Two panels with a curve for each machine: the power that may flow in the mean, and a session's length."""
    thermal = study.thermal
    limit, package_w = thermal.sustained_power.watts, thermal.package_power.watts
    watts = np.linspace(0.6 * thermal.least_power.watts, 1.5 * thermal.most_power.watts, 200)
    minutes = np.linspace(0.1, LONGEST_MINUTES, 300)
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 2.6), layout="constrained")
        power, session = figure.subplots(1, 2, sharey=True)
        power.axvspan(thermal.least_power.watts, thermal.most_power.watts, color="#e4e4e4", lw=0)
        power.axvline(limit, color=GREY, lw=0.8)
        for i, machine in enumerate(study.machines):
            style = {"color": COLOURS[i % len(COLOURS)], "lw": 1.3, "label": machine.system.name}
            best = [machine.best(w, package_w).tokens_per_s_under(w) for w in watts.tolist()]
            power.plot(watts, best, **style)
            session.plot(minutes, [machine.mean_tokens_per_s(60 * m, limit) for m in minutes.tolist()], **style)
        power.set_xlabel("power that may flow in the mean, SoC and memory (W)")
        power.set_ylabel("token/s")
        power.set_ylim(0, None)
        session.set_xlabel("length of a session begun cold (min)")
        low, high = thermal.least_power.watts, thermal.most_power.watts
        power.set_title(f"what phones sustain: {limit:g} W (grey: {low:g} to {high:g}), assumed", fontsize=7)
        session.set_title(f"mean over a session where {limit:g} W are sustained", fontsize=7)
        legend_above(figure, session, min(len(study.machines), 4))
        for axes in (power, session):
            bare_axes(axes)
    return figure
