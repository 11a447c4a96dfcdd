"""The figure of decoding beside a CPU: what it costs the one, and what it costs the other."""

from matplotlib.figure import Figure

from lpspec.experiments.traffic import SharedDecoding, SharedRow
from lpspec.report.figures import BLUE, DOUBLE_COLUMN_IN, GREY, VERMILION, bare_axes, in_style, log_axis

COLOURS = (BLUE, VERMILION, GREY)
LINES = ("-", "--")
TICKS_US = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50)


def traffic_figure(found: SharedDecoding) -> Figure:
    """Token/s over the CPU's rate, and the 99th percentile of its reads beside decoding and alone."""
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 2.4), layout="constrained")
        speed, wait = figure.subplots(1, 2)
        kinds = list(dict.fromkeys((row.policy.fairness, row.traffic.pattern) for row in found.rows))
        policies = list(dict.fromkeys(fairness for fairness, _ in kinds))
        patterns = list(dict.fromkeys(pattern for _, pattern in kinds))
        for fairness, pattern in kinds:
            rows = [row for row in found.rows if (row.policy.fairness, row.traffic.pattern) == (fairness, pattern)]
            style = {
                "color": COLOURS[policies.index(fairness) % len(COLOURS)],
                "ls": LINES[patterns.index(pattern) % len(LINES)],
                "marker": "o",
                "ms": 3,
                "lw": 1,
            }
            rates = [row.traffic.gb_per_s for row in rows]
            relative = [row.tokens_per_s / found.run.tokens_per_s for row in rows]
            speed.plot(rates, relative, label=f"{fairness}, {pattern}", **style)
            wait.plot(rates, [_p99_us(row, beside=True) for row in rows], label=f"{fairness}, {pattern}", **style)
        for pattern in patterns:
            rows = [row for row in found.rows if row.traffic.pattern == pattern and row.policy.fairness == policies[0]]
            rates = [row.traffic.gb_per_s for row in rows]
            alone_us = [_p99_us(row, beside=False) for row in rows]
            wait.plot(rates, alone_us, ":", color="black", lw=1)
            at = (rates[-1], alone_us[-1])
            wait.annotate(
                f"idle memory, {pattern}", at, (0, 2), textcoords="offset points", ha="right", va="bottom", fontsize=6.5
            )
        speed.set_ylim(0, 1.05)
        speed.set_ylabel("token/s over those without a CPU")
        log_axis(wait.yaxis, "99 % of CPU reads within (us)", TICKS_US)
        for axes in (speed, wait):
            axes.set_xlabel("CPU asks for, GB/s")
            bare_axes(axes)
        speed.legend(frameon=False, fontsize=6.5, loc="lower left")
    return figure


def _p99_us(row: SharedRow, beside: bool) -> float:
    waits = row.cpu_wait_ns if beside else row.alone_wait_ns
    return float("nan") if waits["p99"] is None else waits["p99"] / 1e3
