"""Numbers and phrases as every table says them."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, Published
from lpspec.machine.platform_spec import PlatformSpec

OUT_OF_RANGE = "!"
"""Stands after a ratio outside the range, beside its colour."""


SHORT_NAMES = {
    "speedup_vs_npu": "speed-up over NPU",
    "energy_vs_npu": "energy gain over NPU",
    "edp_vs_npu": "EDP gain over NPU",
    "edp_vs_attacc": "EDP gain over AttAcc",
    "edp_vs_rtx3090": "EDP gain over RTX 3090",
    "energy_vs_pim_spec": "energy gain over GEMV-PIM",
    "lp_spec_tokens_per_s": "LP-Spec token/s",
    "lp_spec_tokens_per_j": "LP-Spec token/J",
    "lp_spec_edp_s_mj": "LP-Spec EDP",
    "npu_tokens_per_s": "NPU token/s",
    "npu_tokens_per_j": "NPU token/J",
    "attacc_edp_s_mj": "AttAcc EDP",
    "rtx3090_edp_s_mj": "RTX 3090 EDP",
}
"""Published quantities by id, where there is little room."""


class Command(str):
    """A line to be copied into a shell, so never broken in two."""

    __slots__ = ()


def digits(value: float, significant: int = 4) -> str:
    """A number with four significant digits and no exponent where it can be helped."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = significant - 1 - math.floor(math.log10(abs(value)))
    if places > significant + 3 or places < -9:
        return f"{value:.{significant - 1}e}"
    return f"{value:,.{max(0, places)}f}"


def named(published: Published) -> tuple[str, str]:
    """A published quantity with its unit, and what is left to stand behind its numbers."""
    if published.unit == "x":
        return published.quantity, "x"
    return f"{published.quantity}, {published.unit}", ""


def carried(value: float, half_width: float) -> str:
    """A number without digits below its uncertainty, of which the first counts, or the first two where it is a 1.

    Args:
        value: The number.
        half_width: Half of its interval; at most four digits are given however small it is.
    """
    if value == 0 or half_width <= 0:
        return digits(value)
    last = math.floor(math.log10(half_width))
    last -= round(half_width / 10**last, 9) < 2
    places = min(-last, 3 - math.floor(math.log10(abs(value))))
    return f"{round(value, places):,.{max(0, places)}f}"


def plus_minus(value: float, half_width: float) -> str:
    """A number with half of its interval, both to the digits that they carry."""
    shown = carried(value, half_width)
    places = len(shown.partition(".")[2])
    width = f"{half_width:,.{places}f}" if places else carried(half_width, half_width)
    return f"{shown} ± {width}" if float(width.replace(",", "")) else shown


def energy_counts(platform: PlatformSpec) -> str:
    """What the energy of a machine counts."""
    return "memory and MACs" if platform.energy_basis == "model" else "board or SoC power"


def in_range(ratio: float) -> bool:
    """Whether simulated over published is near enough to one."""
    return LOWEST_RATIO <= ratio <= HIGHEST_RATIO


def ratio_text(ratio: float, agrees: bool = False) -> Text:
    """A ratio, marked by colour and by a sign where it is out of range, but where ranges meet that agree."""
    text = f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
    return Text(f"{text}  ") if agrees or in_range(ratio) else Text(f"{text} {OUT_OF_RANGE}", style="yellow")


def trace_line(provenance: Mapping[str, Any]) -> str:
    """Whose acceptance a result rests on, and whether anyone measured it."""
    said, fitted = provenance["trace_description"], ""
    if "fitted to" in said:
        by_depth = "survival by depth" in said
        fitted = f", fitted to {'survival by depth' if by_depth else 'measured accuracies and passes'}"
    return f"{provenance['trace']}: {provenance['trace_kind']}{fitted}"


def new_table(title: str | None, columns: str | None = None, *more: str) -> Table:
    """A table with one rule under its head.

    Args:
        title: Above it.
        columns: Their heads, with ``|`` between them; behind ``>`` one whose cells stand right, behind ``=`` (which
            comes first) one that is never broken; None for none.
        more: Heads of further columns.
    """
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="bold",
        header_style="bold",
    )
    for column in (*([] if columns is None else columns.split("|")), *more):
        never_broken, name = column.startswith("="), column.removeprefix("=")
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, no_wrap=never_broken)
    return table
