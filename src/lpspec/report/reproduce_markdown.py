"""The main table of the reproduction in Markdown, for a README."""

from lpspec.experiments.level import FAIR_BASES
from lpspec.experiments.reproduce import SUFFIXES, Reproduction, Row
from lpspec.report.wording import carried, named, plus_minus

HEADER = (
    "Llama2-7B, decode steps only",
    "published",
    "command level",
    "ratio",
    "analytic",
    "ratio",
    "fair: memory and MACs",
    "fair: board or SoC power",
)


def markdown_table(reproduction: Reproduction) -> str:
    """Every published quantity on its own basis, by both levels, and on the fair ones at command level."""
    by_id = {row.id: row for row in reproduction.rows}
    lines = [HEADER, ("---", *["--:"] * (len(HEADER) - 1))]
    lines += [
        _cells(row, [by_id[row.id + SUFFIXES[b]] for b in FAIR_BASES])
        for row in by_id.values()
        if row.on == "published"
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _cells(row: Row, fair: list[Row]) -> tuple[str, ...]:
    assert row.command is not None
    assert row.command_interval is not None
    assert row.command_ratio is not None
    name, sign = named(row.published)
    return (
        name,
        f"{row.published.value:g}{sign}",
        plus_minus(row.command, row.command_interval.half_width) + sign,
        f"{row.command_ratio:.2f}",
        carried(row.simulated, row.interval.half_width) + sign,
        f"{row.ratio:.2f}",
        *(plus_minus(twin.best[0], twin.best[1].half_width) + sign for twin in fair),
    )
