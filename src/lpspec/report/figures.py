"""What all figures share: sizes, type, colours, and how a figure becomes a file. Drawn without pyplot."""

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from lpspec.errors import shown

SINGLE_COLUMN_IN, DOUBLE_COLUMN_IN = 3.5, 7.16
"""Widths of a column and of a page in the field's two-column papers, inches."""

PNG_DPI = 200
LONGEST_NAME = 26
"""Letters of a name in a figure."""

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
"""Okabe and Ito's palette, which people with any colour vision can tell apart."""

GREY = "#8c8c8c"

STYLE: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 8,
    "legend.fontsize": 7,
    "legend.title_fontsize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "text.parse_math": False,
    "svg.hashsalt": "lpspec",
}
"""Eight-point type throughout; fonts embedded as TrueType, as publishers ask; a dollar sign in a name is one."""


def in_style() -> AbstractContextManager[None]:
    """Draw in this style, whatever the user's own settings are."""
    return style.context(["default", dict(STYLE)])


UNTOLD = {".pdf": "CreationDate", ".png": "Software", ".svg": "Date"}
"""By suffix, what a file would say that differs from day to day."""


def figure_bytes(figure: Figure, suffix: str, scenario: str | None = None, letters: bool = False) -> bytes:
    """A figure as the bytes of a file, the same for the same figure.

    Args:
        figure: What to write.
        suffix: ``.pdf``, ``.png`` or ``.svg``.
        scenario: JSON text of what gives the result again, to be kept as keywords (.pdf) or description (others).
        letters: Leave the letters of an ``.svg`` text, in a font that the reader has, not outlines.
    """
    metadata: dict[str, str | None] = {UNTOLD[suffix]: None}
    if scenario is not None:
        metadata["Keywords" if suffix == ".pdf" else "Description"] = scenario
    buffer = io.BytesIO()
    with in_style(), rc_context({"svg.fonttype": "none" if letters else "path"}):
        figure.savefig(buffer, format=suffix[1:], dpi=PNG_DPI, metadata=metadata)
    return buffer.getvalue()


def log_axis(axis: Axis, label: str, ticks: Sequence[float] | None = None, base: float = 10) -> None:
    """Make an axis logarithmic, say so in its label, and write 0.1, 1, 10 instead of powers of ten.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        label: What it shows, with a unit in brackets at its end where it has one.
        ticks: Where to write numbers; None for the powers of ten.
        base: Of the scale.
    """
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log", base=base)
    axis.set_major_locator(LogLocator() if ticks is None else FixedLocator(list(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if ticks is not None:
        axis.set_minor_locator(NullLocator())
    axis.set_label_text(f"{label[:-1]}, log)" if label.endswith(")") else f"{label} (log)")


def write_value(axes: Axes, x: float, place: float, text: str, points: float = 7) -> None:
    """A value in letters of so many points behind what shows it."""
    axes.annotate(text, (x, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=points)


def legend_above(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """What is drawn in some axes, above all of a figure."""
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=columns, frameon=False)


def short(name: str) -> str:
    """A name that leaves room beside it for what is drawn; of a long one the end."""
    return shown(name, LONGEST_NAME)


def bare_axes(axes: Axes) -> None:
    """Leave only the axes that carry numbers."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2.5)
