"""LP-Spec+ over a grid of settings: in how many it is worse than LP-Spec, and where most."""

from collections.abc import Iterator
from typing import Any

from lpspec.experiments.beyond_grid import ROUNDING
from lpspec.experiments.intervals import Interval
from lpspec.explore.beyond import Beyond, Row
from lpspec.report.beyond_table import case_label
from lpspec.report.wording import new_table


def grid_blocks(result: Beyond) -> Iterator[Any]:
    """A row for all pieces together and each alone, and what could not run."""
    rows = (*result.rows, *result.parts)
    table = new_table(f"LP-Spec+ over LP-Spec in {len(result.rows)} settings", "=")
    for header in ("settings", "worse\nin EDP", "most", "where", "slower", "least\ntoken/s"):
        table.add_column(header, justify="left" if header == "where" else "right")
    for piece in dict.fromkeys(row.piece for row in rows):
        mine = [row for row in rows if row.piece == piece]
        worst = max(mine, key=lambda row: row.edp_ratio)
        slowest = min(row.tokens_per_s_ratio for row in mine)
        table.add_row(
            piece,
            str(len(mine)),
            str(sum(map(is_worse, mine))),
            f"{worst.edp_ratio:.4f}",
            _where(worst),
            str(sum(row.tokens_per_s_ratio * ROUNDING < 1 for row in mine)),
            f"{slowest:.3f}",
        )
    yield table
    for row in filter(is_worse, rows):
        said = "no samples" if row.intervals is None else _in_samples(row.intervals[0])
        yield f"worse in EDP  {row.piece}: {row.edp_ratio - 1:+.2%}, {_where(row)}; {said}"
    for case, name, why in result.refused:
        yield f"left out  {case_label(case)}, {case.context} tokens, {name}: {why}"


def is_worse(row: Row) -> bool:
    """Whether a row's product is larger than LP-Spec's, beyond rounding."""
    return row.edp_ratio > ROUNDING


def _in_samples(of: Interval) -> str:
    return f"of other samples of the turns 95 in 100 lie between {of.low - 1:+.2%} and {of.high - 1:+.2%}"


def _where(row: Row) -> str:
    case = row.case
    return f"{case.model}, {case.context} tokens, batch {case.batch}, {case.profile}"
