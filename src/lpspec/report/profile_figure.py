"""The figure of energy profiles: what a bit of a stream costs by part, what a die draws while it waits, and a MAC."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lpspec.devices.stream_prices import PARTS, StreamPrices
from lpspec.experiments.energy_profiles import SideBySide
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
    write_value,
)
from lpspec.report.profile_table import die_text, prices_name
from lpspec.report.wording import digits

LOOKS = {
    "rows": ("rows opened", BLUE, ""),
    "columns": ("columns", GREEN, "...."),
    "way": ("way on or off the chip", SKY, "////"),
    "refresh": ("refresh", ORANGE, "++++"),
    "standby": ("standby", PURPLE, "xxxx"),
}
"""Name, colour and hatch of every part of a stream."""

DRAWN = ("active_mw", "idle_mw", "refresh_mw", "power_down_mw")
WAITING = ("row open", "all rows closed", "refresh, on average", "power-down")
BAR = 0.36


def profiles_figure(found: SideBySide) -> Figure:
    """Three panels: streams by part, powers of a die, multiply-accumulates."""
    priced = [prices for prices in found.prices if prices.waiting.idle_mw is not None]
    profiles = [prices for prices in found.prices if prices.machine]
    with in_style():
        figure = Figure(figsize=(DOUBLE_COLUMN_IN, 1.35 + 0.34 * len(found.prices)), layout="constrained")
        streams, waits, macs = figure.subplots(1, 3, width_ratios=(2.0, 1.0, 1.0))
        _draw_streams(streams, found.prices)
        _draw_waiting(waits, priced)
        _draw_macs(macs, profiles)
        for axes in (streams, waits, macs):
            bare_axes(axes)
            axes.tick_params(axis="y", length=0)
        looks = [
            Patch(facecolor=colour, hatch=hatch, ec="white", lw=0, label=name) for name, colour, hatch in LOOKS.values()
        ]
        figure.legend(handles=looks, loc="outside upper left", ncols=len(PARTS), frameon=False)
        figure.supxlabel(f"on {die_text(found.die)}", fontsize=7)
    return figure


def _draw_streams(axes: Axes, prices: Sequence[StreamPrices]) -> None:
    longest = max(max(p.read_stream_pj_per_bit, p.write_stream_pj_per_bit) for p in prices)
    for row, one in enumerate(prices):
        for parts, place, way in ((one.read_pj_per_bit, row - 0.2, "read"), (one.write_pj_per_bit, row + 0.2, "write")):
            left = 0.0
            for part in PARTS:
                _, colour, hatch = LOOKS[part]
                axes.barh(place, parts[part], BAR, left, color=colour, hatch=hatch, edgecolor="white", lw=0)
                left += parts[part]
            write_value(axes, left, place, f"{digits(left, 3)} {way}", points=6)
    axes.set_yticks(range(len(prices)), [prices_name(p) for p in prices])
    axes.set_ylim(len(prices) - 0.4, -0.6)
    axes.set_xlim(0, 1.25 * longest)
    axes.set_xlabel("energy of a stream (pJ/bit)")


def _draw_waiting(axes: Axes, priced: Sequence[StreamPrices]) -> None:
    """A group of bars for each power, one bar for each profile that prices it."""
    width = 0.72 / max(1, len(priced))
    bars = [
        (i, row, mw)
        for i, one in enumerate(priced)
        for row, name in enumerate(DRAWN)
        if (mw := getattr(one.waiting, name)) is not None
    ]
    for i, row, mw in bars:
        place = row + (i - (len(priced) - 1) / 2) * width
        label = priced[i].name if row == 0 else None
        axes.barh(place, mw, 0.9 * width, color=(PURPLE, GREY, ORANGE)[i % 3], label=label)
        write_value(axes, mw, place, digits(mw, 3), points=6)
    axes.set_yticks(range(len(WAITING)), WAITING)
    axes.set_ylim(len(WAITING) - 0.4, -0.6)
    axes.set_xlim(0, 1.35 * max((mw for _, _, mw in bars), default=1.0))
    axes.set_xlabel(f"a die of {priced[0].name} (mW)" if len(priced) == 1 else "a die (mW)")
    if len(priced) > 1:
        axes.legend(frameon=False, loc="lower right")


def _draw_macs(axes: Axes, profiles: Sequence[StreamPrices]) -> None:
    for row, prices in enumerate(profiles):
        for name, place, colour in (("mac_int8", row - 0.2, VERMILION), ("mac_fp16", row + 0.2, BLUE)):
            pj = prices.machine[name]
            axes.barh(place, pj, BAR, color=colour)
            write_value(axes, pj, place, f"{digits(pj, 2)} {name[4:].upper()}", points=6)
    axes.set_yticks(range(len(profiles)), [prices.name for prices in profiles])
    axes.set_ylim(len(profiles) - 0.4, -0.6)
    axes.set_xlim(0, 1.7 * max(prices.machine["mac_fp16"] for prices in profiles))
    axes.set_xlabel("a MAC (pJ)")
