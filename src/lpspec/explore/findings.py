"""What the points of a study say together: the front, the best point, and what figures depend on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lpspec.errors import InputError
from lpspec.explore.pareto import Cloud
from lpspec.explore.sensitivity import OneAtATime, Share, independent_axes, one_at_a_time, variance_shares

Row = Mapping[str, Any]

ACROSS, UP, BEST = "tokens_per_s", "tokens_per_j", "edp_s_mj"
"""Figures of the front, and the one whose smallest value is the best point's."""

DEPENDENT = ("tokens_per_s", "tokens_per_j", "edp_s_mj")
"""Figures of which is said what they depend on."""

OWN_AXES = ("system", "fidelity")


@dataclass(frozen=True)
class Findings:
    """Points, and what they say together.

    Attributes:
        rows: Every point by column.
        able: Those that could be run.
        varied: Names of what varies or is derived, in order, and of what else tells points apart.
        axes: Those of them that the others do not determine.
        cloud: The points that could be run, with their front.
        best: The one of smallest energy-delay product.
        lines: By figure, along each axis through the best point.
        shares: By figure, of its variance; empty where the points are no whole grid.
        faults: Why points could not be run, and how many.
    """

    rows: Sequence[Row]
    able: Sequence[Row]
    varied: tuple[str, ...]
    axes: tuple[str, ...]
    cloud: Cloud
    best: Row
    lines: Mapping[str, tuple[OneAtATime, ...]]
    shares: Mapping[str, tuple[Share, ...]]
    faults: Mapping[str, int]


def find(rows: Sequence[Row], varied: Sequence[str]) -> Findings:
    """Look at all points at once.

    Raises:
        InputError: No point could be run.
    """
    able = [row for row in rows if row[BEST] is not None]
    if not able:
        raise InputError("no point could be run: there is nothing to show")
    telling = [name for name in (*OWN_AXES, *varied) if len({repr(row[name]) for row in rows}) > 1]
    axes = independent_axes(rows, telling)
    best = min(able, key=lambda row: float(row[BEST]))
    return Findings(
        rows,
        able,
        tuple(telling),
        axes,
        Cloud.of(able, (ACROSS, UP)),
        best,
        {metric: one_at_a_time(able, axes, metric, best) for metric in DEPENDENT},
        {metric: variance_shares(rows, axes, metric) for metric in DEPENDENT},
        Counter(row["error"] for row in rows if row["error"] is not None),
    )
