"""Points of a study as a table and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any

from lpspec import __version__
from lpspec.engine_version import engine_version
from lpspec.explore.evaluate import METRICS
from lpspec.explore.results import OWN, Results
from lpspec.report.documents import json_text
from lpspec.report.wording import digits, new_table

SHOWN_METRICS = ("tokens_per_s", "tokens_per_j", "edp_s_mj", "average_power_w", "time_to_first_token_ms", "mean_l_spec")
"""Figures of the table; --export and --json have all."""

MOST_AXES = 4
"""Axes that have a column each; of more, a line under the table says all of a point, as no page is wide enough."""

HEADERS = {
    "tokens_per_s": "token/s",
    "tokens_per_j": "token/J",
    "edp_s_mj": "EDP\ns x mJ",
    "average_power_w": "W",
    "time_to_first_token_ms": "first token\nms",
    "mean_l_spec": "mean\nL_spec",
}


def results_blocks(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    total: int,
    origin: Mapping[str, Any],
    engine: str | None = None,
) -> Iterator[Any]:
    """A row for each point, then how many there are.

    Args:
        rows: Those to show.
        columns: Names of what tells points apart, and of figures.
        total: Points found.
        origin: Provenance of the document.
        engine: The version that was asked for; None for this one.
    """
    axes = [name for name in columns if name not in METRICS and name not in OWN]
    below = axes if len(axes) > MOST_AXES else []
    shown = [name for name in columns if name not in below and (name not in METRICS or name in SHOWN_METRICS)]
    table = new_table(
        f"{total} point{'s' * (total != 1)}",
        None,
        *(">" + HEADERS.get(name, name.replace(".", ".\n")) for name in (*(["point"] if below else []), *shown)),
    )
    for number, row in enumerate(rows, 1):
        table.add_row(*([str(number)] if below else []), *(cell(row[name]) for name in shown))
    if rows:
        yield table
    yield from point_lines([{name: row[name] for name in below} for row in rows])
    yield f"{len(rows)} of {total} points shown"
    wanted, engines = engine or engine_version(), origin["engines"]
    if engines and wanted not in engines:
        has = ", ".join(f"{version} ({count} points)" for version, count in engines.items())
        yield f"no point of version {wanted}: the store has {has}; --engine shows them, and lpspec sweep runs them anew"
    elif len(engines) > 1:
        yield "versions  " + ", ".join(f"{version}: {count}" for version, count in engines.items())
    if origin["studies"]:
        yield f"study     {', '.join(study['name'] for study in origin['studies'])} (text: --json, or lpspec report)"


def point_lines(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each point that says its axes, if it has any: numbered as in the table."""
    for number, axes in enumerate(points, 1):
        if axes:
            yield f"point {number:<3} {', '.join(f'{name} {cell(value)}' for name, value in axes.items())}"


def cell(value: Any) -> str:
    """A value as tables show it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return digits(value) if isinstance(value, float) else str(value)


def results_json(rows: Iterable[Mapping[str, Any]], results: Results) -> Iterator[str]:
    """The text of ``results_document``, piece by piece."""
    opening, ending = json_text(results_document((), results)).split("[]", 1)
    yield opening + "["
    between = "\n"
    for row in rows:
        yield between + indent(json_text(_point(row)).rstrip("\n"), "    ")
        between = ",\n"
    yield ("]" if between == "\n" else "\n  ]") + ending


def results_document(rows: Iterable[Mapping[str, Any]], results: Results) -> dict[str, Any]:
    """What ``lpspec results --json`` writes: each point with the scenario that repeats it."""
    return {
        "points": [_point(row) for row in rows],
        "metrics": {name: {"meaning": metric.meaning, "better": metric.better} for name, metric in METRICS.items()},
        "varied": list(results.varied),
        "provenance": store_origin(results),
    }


def store_origin(results: Results) -> dict[str, Any]:
    """What a store's points were made from: versions of the engine, and files of studies."""
    return {"lpspec": __version__, "engines": results.engines, "studies": results.studies}


def _point(row: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: row[name] for name in OWN}
    return {**own, "values": row["varied"], "scenario": row["scenario"], "metrics": row["metrics"]}
