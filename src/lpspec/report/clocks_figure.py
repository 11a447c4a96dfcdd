"""The figure of clocks as a policy: energy of a token over the demand, and the clocks that give it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpspec.experiments.clocks import ClocksStudy, PointRun
from lpspec.report.figures import (
    BLUE,
    DOUBLE_COLUMN_IN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
    log_axis,
)

SAMPLES = 400
"""Demands along the curves."""


def clocks_figure(study: ClocksStudy) -> Figure:
    """Two panels over the demand: energy of a token, with the assumptions' range and commands; data rate and clock."""
    low = study.demands[0].tokens_per_s
    high = max(point.run.tokens_per_s for point in study.points)
    demands = np.geomspace(min(low, 0.9 * high), high, SAMPLES)
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 2.7), layout="constrained")
        energy, clocks = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _draw_energy(energy, study, demands.tolist())
        _draw_clocks(clocks, study, demands.tolist())
        for axes in (energy, clocks):
            bare_axes(axes)
            ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500) if demands[0] <= t <= high]
            log_axis(axes.xaxis, "demanded token/s", ticks)
    return figure


def cheapest(study: ClocksStudy, demand: float) -> PointRun | None:
    """The point of least energy for a demand at the analytic level, of those that are fast and prompt enough."""
    limit = study.first_token_ms
    fast = [
        point
        for point in study.points
        if point.reaches(demand) and (limit is None or point.run.time_to_first_token_ms <= limit)
    ]
    return min(fast, key=lambda point: point.rank_at(demand), default=None)


def _draw_energy(axes: Axes, study: ClocksStudy, demands: list[float]) -> None:
    own = study.demands[0].nominal
    best = [(demand, point) for demand in demands if (point := cheapest(study, demand)) is not None]
    reached = [demand for demand in demands if own.reaches(demand)]
    axes.plot(reached, [own.mj_at(d) for d in reached], color=GREY, lw=1.2, label="full clocks, then waiting")
    axes.plot([d for d, _ in best], [p.mj_at(d) for d, p in best], color=BLUE, lw=1.5, label="best clocks")
    met = [demand for demand in study.demands if demand.chosen is not None]
    ranges = [(demand.tokens_per_s, *demand.range_mj) for demand in met]
    if ranges:
        axes.vlines(*zip(*ranges, strict=True), color=SKY, lw=4, alpha=0.6, label="range of what is assumed")
    confirmed = [(d.tokens_per_s, d.confirmed.mj_at(d.tokens_per_s)) for d in met if d.confirmed is not None]
    if confirmed:
        axes.plot(*zip(*confirmed, strict=True), "o", ms=4, color=VERMILION, label="best clocks, command level")
    axes.set_ylim(0, 1.05 * max([own.mj_at(demands[0]), *(most for _, _, most in ranges)]))
    axes.set_ylabel("energy (mJ/token)")
    axes.legend(frameon=False, loc="upper right")


def _draw_clocks(axes: Axes, study: ClocksStudy, demands: list[float]) -> None:
    best = [(demand, point.clocks) for demand in demands if (point := cheapest(study, demand)) is not None]
    across = [demand for demand, _ in best]
    axes.step(across, [c.data_rate_mbps / 1e3 for _, c in best], where="post", color=BLUE, lw=1.5)
    axes.set_ylabel("data rate (Gb/s)", color=BLUE)
    axes.set_ylim(0, None)
    beside = axes.twinx()
    beside.step(across, [c.npu_ghz for _, c in best], where="post", color=ORANGE, lw=1.2, ls="--")
    beside.set_ylabel("NPU clock (GHz)", color=ORANGE)
    beside.set_ylim(0, 1.1 * max(point.clocks.npu_ghz for point in study.points))
    beside.spines["top"].set_visible(False)
