"""``lpspec results``: the points of a store, filtered, sorted, drawn and exported."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile, flattened, given_options, split_names
from lpspec.cli.outputs import plan_file, plan_outputs
from lpspec.scenario.description import Description
from lpspec.scenario.option import option

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

AXES = ("tokens_per_s", "tokens_per_j")
"""Figures that points are drawn over where none are named."""


@dataclass(frozen=True)
class Selection(Description):
    """Which points of a store are wanted."""

    KIND = "selection"

    where: str = option("", 'Rows that fulfil this condition in SQL, such as "tokens_per_s > 80 and pim.alus = 4".')
    sort: str = option("", "Column to sort by; with :desc behind it, the largest first.")
    limit: int | None = option(None, "Rows at most.", least=1)
    pareto: str | None = option(
        None, "Only points that no other beats in these figures at once, such as tokens_per_s,tokens_per_j."
    )
    engine: str | None = option(None, "Points of this version; this one's if left out.")
    export: str | None = option(None, "Write the rows to this file: .csv, .md, .tex or .parquet.")


if TYPE_CHECKING:
    Options: TypeAlias = Any
else:
    Options = flattened(Selection)

SHOWN_ROWS = 20
"""Rows of a table where no limit is given."""


def results(
    store: Annotated[str, Parameter(show_default=False)],
    /,
    *,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: FigureFile = None,
) -> None:
    """Show, filter, draw and export the points of a store.

    Parameters
    ----------
    store
        The folder that lpspec sweep filled.
    json
        Write the points as JSON to this file; - prints it instead of the table.
    figure
        Draw the points over two figures (of --pareto, or tokens_per_s and tokens_per_j), to this path, as for compare.
    """
    from lpspec.explore.pareto import Cloud
    from lpspec.explore.results import Query, Results
    from lpspec.report.results_table import results_blocks, results_document

    outputs = plan_outputs(json, figure)
    asked = Selection(**given_options(Selection, options))
    export = plan_file("--export", asked.export, outputs.paths)
    form = None if export is None else _row_form(export)
    metrics = None if asked.pareto is None else split_names("--pareto", [asked.pareto])
    found = Results(store)
    every = list(found.rows(Query(asked.where, asked.sort, None if metrics else asked.limit, asked.engine)))
    rows = every if metrics is None else [dict(row) for row in Cloud.of(every, metrics).front][: asked.limit]
    columns = found.shown_columns(rows)

    def draw() -> "Figure":
        from lpspec.report.results_figure import results_figure

        return results_figure(Cloud.of(every, metrics or AXES))

    shown = rows if asked.limit is not None or metrics else rows[:SHOWN_ROWS]
    blocks = results_blocks(shown, columns, len(rows), found.engines)
    others = [] if export is None or form is None else [(export, lambda: form(rows, columns))]
    deliver(outputs, results_document(rows, found), blocks, draw, others)


def _row_form(path: "Path") -> "Callable[..., bytes]":
    """What makes the content of an export of rows and columns."""
    from lpspec.report.rows_files import row_form

    return row_form(path)
