"""What placements are worth, as a table and as a JSON document."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from lpspec.experiments.placement import PLACEMENTS, PlacementRow, PlacementStudy
from lpspec.report.compare_table import exactness
from lpspec.report.documents import run_document
from lpspec.report.wording import digits, new_table, trace_line

MEANING = {
    "static": "every column on one side, split for one pass on PIM",
    "dynamic": "columns migrate between DRAM and PIM ranks when that pays",
    "replicated": "columns on both sides as far as there is room: any split is free",
}


def placement_blocks(study: PlacementStudy) -> Iterator[Any]:
    """The table, then what its words mean."""
    yield _table(study)
    for name in PLACEMENTS:
        yield f"{name:10}  {MEANING[name]}"
    yield f"costs       {study.provenance['fidelity']}{exactness([run for row in study.rows for run in row.runs])}"
    yield f"trace       {trace_line(study.provenance)}"


def _table(study: PlacementStudy) -> Table:
    table = new_table(
        f"{study.rows[0].runs[0].system.model.name}: LP-Spec under three placements",
        "trees|=saving",
        *(f"=>{name}\n{unit}" for unit in ("token/s", "token/J") for name in PLACEMENTS),
        "=>moves",
        "=>time\nmoving",
    )
    for row in study.rows:
        table.add_row(row.case, row.objective, *_cells(row))
    return table


def _cells(row: PlacementRow) -> Iterator[str]:
    yield from (digits(run.tokens_per_s) for run in row.runs)
    yield from (digits(run.tokens_per_j) for run in row.runs)
    moving = row.runs[PLACEMENTS.index("dynamic")]
    yield str(moving.migrations)
    yield f"{moving.migration_ns / moving.decode_ns:.2%}"


def placement_document(study: PlacementStudy) -> dict[str, Any]:
    """What ``lpspec placement --json`` writes."""
    return {"rows": [_row(row) for row in study.rows], "provenance": study.provenance}


def _row(row: PlacementRow) -> dict[str, Any]:
    runs = [{"placement": name} | run_document(run) for name, run in zip(PLACEMENTS, row.runs, strict=True)]
    return {"trees": row.case, "objective": row.objective, "runs": runs}
