"""LP-Spec+ over a grid of settings: in how many it is worse than LP-Spec, and where most."""

from collections.abc import Iterator, Sequence
from typing import Any

from lpspec.experiments.intervals import ROUNDING
from lpspec.explore.beyond import Beyond, Row
from lpspec.report.beyond_table import case_label
from lpspec.report.wording import new_table


def grid_blocks(result: Beyond) -> Iterator[Any]:
    """A row for all pieces together and each alone, what is worse anywhere, and what could not run."""
    rows = (*result.rows, *result.parts)
    table = new_table(f"LP-Spec+ over LP-Spec in {len(result.rows)} settings, in the mean over samples of turns", "=")
    for header in ("settings", "worse\nin EDP", "most", "where", "samples\nworse", "most", "slower", "least\ntoken/s"):
        table.add_column(header, justify="left" if header == "where" else "right")
    for piece in dict.fromkeys(row.piece for row in rows):
        mine = [row for row in rows if row.piece == piece]
        worst = max(mine, key=_mean_edp)
        table.add_row(
            piece,
            str(len(mine)),
            str(sum(_mean_edp(row) > ROUNDING for row in mine)),
            f"{_mean_edp(worst):.4f}",
            _where(worst),
            *_of_samples(mine),
            str(sum(_mean_tokens_per_s(row) * ROUNDING < 1 for row in mine)),
            f"{min(map(_mean_tokens_per_s, mine)):.3f}",
        )
    yield table
    yield from _samples_said(rows)
    for row in rows:
        if _mean_edp(row) > ROUNDING:
            yield f"worse in EDP  {row.piece}, {_where(row)}: {_said(row)}"
    for row in rows:
        if row.edp_ratio > ROUNDING and _mean_edp(row) <= ROUNDING:
            own = f"{row.edp_ratio - 1:+.3%}"
            yield f"worse with the trace's own turns  {row.piece}, {_where(row)}: {own}, {_said(row)}"
    for case, name, why in result.refused:
        yield f"left out  {case_label(case)}, {case.context} tokens, {name}: {why}"


def _mean_edp(row: Row) -> float:
    return row.samples[0].mean


def _mean_tokens_per_s(row: Row) -> float:
    return row.samples[1].mean


def _of_samples(rows: Sequence[Row]) -> tuple[str, str]:
    """The share of samples, settings alike, in which rows are worse, and the worst of them."""
    found = [row.samples[0] for row in rows]
    share = sum(one.above / one.count for one in found) / len(found)
    return f"{share:.1%}" if share else "0", f"{max(one.most for one in found):.4f}"


def _samples_said(rows: Sequence[Row]) -> Iterator[str]:
    """How many samples there are of what."""
    for is_shared in (False, True):
        what = "of batches, served" if is_shared else "of one request at a time, drawn from what turns took"
        of_rows = [row.samples[0] for row in rows if (row.case.batch > 1) == is_shared]
        worse = [one for one in of_rows if one.above]
        if of_rows:
            yield (
                f"samples  {of_rows[0].count} {what}, the same for both sides; worse in EDP in "
                f"{sum(one.above for one in worse)} of {sum(one.count for one in of_rows)}, in {len(worse)} of "
                f"{len(of_rows)} rows, by {max([0.0, *(one.most - 1 for one in worse)]):.3%} at most"
            )


def _said(row: Row) -> str:
    edp = row.samples[0]
    return (
        f"{edp.mean - 1:+.3%} in the mean of {edp.count} samples, 95 in 100 between {edp.low - 1:+.2%} and "
        f"{edp.high - 1:+.2%}, {edp.above} worse, by {max(edp.most - 1, 0):.3%} at most"
    )


def _where(row: Row) -> str:
    case = row.case
    return f"{case.model}, {case.context} tokens, batch {case.batch}, {case.profile}"
