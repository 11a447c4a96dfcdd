"""Numbers and phrases as every table says them."""

import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO

OUT_OF_RANGE = "!"
"""Stands after a ratio outside the range, beside its colour."""


def digits(value: float, significant: int = 4) -> str:
    """A number with four significant digits and no exponent where it can be helped."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = significant - 1 - math.floor(math.log10(abs(value)))
    if places > significant + 3 or places < -9:
        return f"{value:.{significant - 1}e}"
    return f"{value:,.{max(0, places)}f}"


def in_range(ratio: float) -> bool:
    """Whether simulated over published is near enough to one."""
    return LOWEST_RATIO <= ratio <= HIGHEST_RATIO


def ratio_text(ratio: float) -> Text:
    """A ratio, marked by colour and by a sign where it is out of range."""
    text = f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
    return Text(f"{text}  ") if in_range(ratio) else Text(f"{text} {OUT_OF_RANGE}", style="yellow")


def trace_line(provenance: Mapping[str, Any]) -> str:
    """Whose acceptance a result rests on, and whether anyone measured it."""
    fitted = ", fitted to measured accuracies and passes" if "fitted to" in provenance["trace_description"] else ""
    return f"{provenance['trace']}: {provenance['trace_kind']}{fitted}"


def new_table(title: str | None = None) -> Table:
    """A table with one rule under its head."""
    return Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False, header_style="bold"
    )
