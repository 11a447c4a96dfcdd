"""The figures of the reproduction study, one per experiment."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.study import Sensitivity, Study
from lpspec.report.figures import (
    BLACK,
    BLUE,
    DOUBLE_COLUMN_IN,
    GREEN,
    GREY,
    ORANGE,
    SINGLE_COLUMN_IN,
    VERMILION,
    bare_axes,
    in_style,
    legend_above,
    log_axis,
    write_value,
)
from lpspec.report.wording import digits

BAND = "#e4e4e4"
LOOKS = {
    "pim-spec": ("GEMV PIM", ORANGE, "^"),
    "npu-spec": ("NPU", GREEN, "s"),
    "lp-spec": ("LP-Spec", BLUE, "o"),
}
"""Name, colour and mark of a system."""

QUANTITIES = (("lp_spec_tokens_per_s", "token/s", BLUE, "o"), ("lp_spec_tokens_per_j", "token/J", VERMILION, "s"))
RATIO_TICKS = (0.25, 0.5, 1.0, 2.0, 4.0)
PASS_TICKS = (10, 20, 50, 100, 200, 500)


def study_figures(study: Study) -> tuple[Figure, ...]:
    """Sensitivity, speculation lengths, parts taken away, ranks, contexts."""
    with in_style():
        return (
            _sensitivity_figure(study),
            _lengths_figure(study),
            _parts_figure(study),
            _ranks_figure(study),
            _contexts_figure(study),
        )


def _sensitivity_figure(study: Study) -> Figure:
    rows = [(sensitivity, i) for sensitivity in study.sensitivities for i in range(len(sensitivity.values))]
    figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.7 + 0.135 * len(rows)), layout="constrained")
    axes = figure.subplots()
    published = {quantity.id: quantity.value for quantity in PUBLISHED}
    axes.axvspan(LOWEST_RATIO, HIGHEST_RATIO, color=BAND, lw=0, zorder=0)
    axes.axvline(1, color=BLACK, lw=0.6, zorder=1)
    for key, name, colour, mark in QUANTITIES:
        ratios = [sensitivity.outcomes[i].result.simulated[key] / published[key] for sensitivity, i in rows]
        axes.plot(ratios, range(len(rows)), mark, ms=3.5, color=colour, label=name, zorder=2)
    axes.set_yticks(range(len(rows)), [_row_label(sensitivity, i) for sensitivity, i in rows], fontsize=7)
    for label, (sensitivity, i) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if sensitivity.values[i] == sensitivity.chosen else "normal")
    for row, (_, i) in enumerate(rows):
        if i == 0:
            axes.axhline(row - 0.5, color=GREY, lw=0.4)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    log_axis(axes.xaxis, "LP-Spec, simulated / published", RATIO_TICKS)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2, frameon=False)
    bare_axes(axes)
    axes.tick_params(axis="y", length=0)
    return figure


def _row_label(sensitivity: Sensitivity, i: int) -> str:
    return sensitivity.values[i] if i else f"{sensitivity.parameter}: {sensitivity.values[i]}"


def _lengths_figure(study: Study) -> Figure:
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 2.2), layout="constrained")
    latency, energy = figure.subplots(1, 2)
    for system, (name, colour, mark) in LOOKS.items():
        points = [point for point in study.lengths if point.system == system]
        lengths = [point.l_spec for point in points]
        style = {"color": colour, "marker": mark, "ms": 3, "lw": 1, "label": name}
        latency.plot(lengths, [point.latency_ms for point in points], **style)
        energy.plot(lengths, [point.energy_mj for point in points], **style)
    for axes, label in ((latency, "latency of a verify pass (ms)"), (energy, "energy of a verify pass (mJ)")):
        log_axis(axes.yaxis, label, PASS_TICKS)
        axes.set_xticks([1, 4, 8, 12, 16])
        axes.set_xlabel("speculation length L_spec")
        bare_axes(axes)
    legend_above(figure, latency)
    return figure


def _parts_figure(study: Study) -> Figure:
    names = [part.name for part in study.reduced]
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 0.6 + 0.24 * len(names)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    runs = [part.run for part in study.reduced]
    _bars(panels[0], "throughput (token/s)", [run.tokens_per_s for run in runs])
    _bars(panels[1], "energy efficiency (token/J)", [run.tokens_per_j for run in runs])
    _bars(panels[2], "EDP (s·mJ)", [run.edp_s_mj for run in runs], log=True)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _bars(axes: Axes, label: str, values: list[float], log: bool = False) -> None:
    colours = [BLUE, *[GREY] * (len(values) - 1)]
    if log:
        low = 0.5 * min(values)
        axes.hlines(range(len(values)), low, values, color=colours, lw=0.8)
        axes.scatter(values, range(len(values)), color=colours, s=16)
        log_axis(axes.xaxis, label)
        axes.set_xlim(low, max(values) * (max(values) / low) ** 0.3)
    else:
        axes.barh(range(len(values)), values, 0.68, color=colours)
        axes.set_xlim(0, 1.25 * max(values))
        axes.set_xlabel(label)
    for row, value in enumerate(values):
        write_value(axes, value, row, digits(value, 3))
    bare_axes(axes)
    axes.tick_params(axis="y", length=0)


def _ranks_figure(study: Study) -> Figure:
    figure = Figure(figsize=(SINGLE_COLUMN_IN, 1.8), layout="constrained")
    panels = figure.subplots(1, 2)
    ticks = [point.pim_ranks for point in study.ranks]
    labels = [f"{point.pim_ranks} + {point.dram_ranks}" for point in study.ranks]
    shown = (
        ("token/s", [p.run.tokens_per_s for p in study.ranks]),
        ("token/J", [p.run.tokens_per_j for p in study.ranks]),
    )
    for axes, (label, values) in zip(panels, shown, strict=True):
        axes.bar(ticks, values, 0.6, color=BLUE)
        for x, value in zip(ticks, values, strict=True):
            axes.annotate(
                digits(value, 3), (x, value), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=7
            )
        axes.set_ylim(0, 1.15 * max(values))
        axes.set_xticks(ticks, labels)
        axes.set_xlabel("PIM + DRAM ranks")
        axes.set_ylabel(label)
        bare_axes(axes)
    return figure


def _contexts_figure(study: Study) -> Figure:
    figure = Figure(figsize=(DOUBLE_COLUMN_IN, 2.2), layout="constrained")
    speed, energy = figure.subplots(1, 2)
    for system, (name, colour, mark) in LOOKS.items():
        points = [(point.context, point.run) for point in study.contexts if point.run.system.name == system]
        style = {"color": colour, "marker": mark, "ms": 3, "lw": 1, "label": name}
        contexts = [context for context, _ in points]
        speed.plot(contexts, [run.tokens_per_s for _, run in points], **style)
        energy.plot(contexts, [run.tokens_per_j for _, run in points], **style)
    for axes, label in ((speed, "token/s"), (energy, "token/J")):
        ticks = [point.context for point in study.contexts if point.run.system.name == "lp-spec"]
        log_axis(axes.xaxis, "context (tokens)", ticks, base=2)
        axes.set_ylim(0)
        axes.set_ylabel(label)
        bare_axes(axes)
    legend_above(figure, speed)
    return figure
