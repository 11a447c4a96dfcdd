"""``lpspec results``: the points of a store, filtered, sorted, drawn and exported."""

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.console import say_written, show
from lpspec.cli.deliver import write_figures
from lpspec.cli.options import flattened, given_options, split_names
from lpspec.cli.outputs import FilesTogether, plan_file, plan_outputs, print_json
from lpspec.scenario.description import Description
from lpspec.scenario.option import option

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from lpspec.explore.results import Query, Results

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
    json: str | None = None,
    figure: str | None = None,
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
    outputs = plan_outputs(json, figure)
    asked = Selection(**given_options(Selection, options))
    export = plan_file("--export", asked.export, outputs.paths)
    metrics = None if asked.pareto is None else split_names("--pareto", [asked.pareto])
    from lpspec.explore.results import Query, Results
    from lpspec.report.results_table import results_blocks, results_json, store_origin
    from lpspec.report.rows_files import row_form

    form = None if export is None else row_form(export)
    found = Results(store)
    query, figures = Query(asked.where, asked.sort, asked.limit, asked.engine), None
    if metrics is not None:
        keys, figures = _front(found, replace(query, limit=None), metrics)
        query = replace(query, keys=tuple(keys))
    columns = found.shown_columns(query)
    with FilesTogether() as files:
        if outputs.json is not None:
            pieces = results_json(found.rows(query), found)
            files.stream(outputs.json, lambda out: out.writelines(piece.encode() for piece in pieces))
        if export is not None and form is not None:
            files.stream(export, lambda out: form(out, found.table(query, columns), columns))
        if outputs.figures:
            write_figures(files, outputs, _drawn(found, query, metrics or AXES, figures), None)
    if outputs.json_to_stdout:
        for piece in results_json(found.rows(query), found):
            print_json(piece)
        return
    rows = list(found.rows(replace(query, limit=query.limit if query.limit or metrics else SHOWN_ROWS)))
    total = min(found.count(query), asked.limit or sys.maxsize)
    show(results_blocks(rows, columns, total, store_origin(found), asked.engine))
    say_written([*([] if export is None else [export]), *outputs.paths])


def _front(found: "Results", query: "Query", metrics: "Sequence[str]") -> "tuple[list[str], NDArray[np.float64]]":
    """Keys of the points that no other beats, and the figures of all."""
    from lpspec.explore.pareto import better, front_keys

    for name in metrics:
        better(name)
    return front_keys(found.table(query, ("key", *metrics)), metrics)


def _drawn(
    found: "Results", query: "Query", metrics: "Sequence[str]", figures: "NDArray[np.float64] | None"
) -> "Figure":
    """All points over two figures; of a query for the front, ``figures`` has those of all."""
    import numpy as np

    from lpspec.explore.pareto import Cloud
    from lpspec.report.results_figure import results_figure

    names, best = tuple(metrics), replace(query, limit=None)
    if figures is None:
        keys, figures = _front(found, query, names)
        best = replace(best, keys=tuple(keys))
    rows = [dict(zip(names, values, strict=True)) for values in figures[np.isfinite(figures).all(axis=1)].tolist()]
    front = [dict(zip(names, values, strict=True)) for values in found.table(best, names)]
    return results_figure(Cloud(rows, names, front))
