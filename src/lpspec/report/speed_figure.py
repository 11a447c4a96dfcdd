"""The figure of real speed against tree size: measured, predicted, and where the DTP and plain decoding stand."""

from matplotlib.figure import Figure

from lpspec.experiments.speed_curve import DTP, NONE, SpeedCurve
from lpspec.report.figures import (
    BLUE,
    GREY,
    SINGLE_COLUMN_IN,
    VERMILION,
    bare_axes,
    in_style,
    log_axis,
)

TICKS = (1, 2, 4, 8, 16, 32, 63)


def speed_figure(curve: SpeedCurve) -> Figure:
    """Tokens per second over the tokens verified per pass, both axes from zero or one."""
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 2.4), layout="constrained")
        axes = figure.subplots()
        fixed, none, dtp = curve.fixed, curve.of(NONE), curve.of(DTP)
        sizes = [point.l_spec for point in fixed]
        axes.plot(sizes, [point.predicted for point in fixed], "--", color=GREY, lw=1, label="predicted")
        axes.plot(sizes, [point.measured for point in fixed], "o-", color=BLUE, ms=3, lw=1, label="measured")
        axes.axhline(none.measured, color=GREY, lw=0.8)
        axes.text(sizes[-1], none.measured, "plain decoding", ha="right", va="bottom", fontsize=7)
        axes.plot(dtp.l_spec, dtp.measured, "*", color=VERMILION, ms=9, label="sized by the DTP")
        log_axis(axes.xaxis, "tokens verified per pass (L_spec)", TICKS, base=2)
        axes.set_ylim(0, 1.25 * max(point.measured for point in curve.points))
        axes.set_ylabel("token/s on this machine")
        axes.set_title(f"{curve.model}, {curve.machine}", fontsize=7)
        axes.legend(frameon=False, loc="lower left", fontsize=6.5)
        bare_axes(axes)
    return figure
