"""What a search found, as a table and as JSON."""

from collections.abc import Iterator
from typing import Any

from lpspec.explore.search import Found, SearchResult
from lpspec.report.results_table import HEADERS, MOST_AXES, cell, point_lines
from lpspec.report.wording import digits, new_table


def search_blocks(result: SearchResult) -> Iterator[Any]:
    """A row for each of the best points, those of the front first, then how far the levels are apart."""
    table = new_table(f"{len(result.found)} best of {result.tried} points")
    varied = [name for name in result.found[0].values if len({str(found.values[name]) for found in result.found}) > 1]
    below = varied if len(varied) > MOST_AXES else []
    beside = [name for name in varied if name not in below]
    for name in ("point",) if below else beside:
        table.add_column(name.replace(".", ".\n"), justify="right")
    for goal in result.goals:
        table.add_column(HEADERS.get(goal.name, goal.name), justify="right")
        table.add_column("analytic", justify="right")
    table.add_column("front")
    for number, found in enumerate(result.found, 1):
        first = [str(number)] if below else [cell(found.values[name]) for name in beside]
        goals = [text for goal in result.goals for text in _levels(found, goal.name)]
        table.add_row(*first, *goals, _standing(found))
    yield table
    yield from point_lines([{name: found.values[name] for name in below} for found in result.found])
    apart = ", ".join(f"{goal.name} {result.disagreement(goal.name):+.2%}" for goal in result.goals)
    yield f"levels    command level against analytic, furthest apart: {apart}"
    yield f"search    {result.tried} points analytically, {len(result.found)} again at command level"


def _levels(found: Found, goal: str) -> tuple[str, str]:
    return ("-" if found.command is None else digits(found.command[goal])), digits(found.analytic[goal])


def _standing(found: Found) -> str:
    if found.command is None:
        return "no command level"
    return "confirmed" if found.confirmed else "beaten at command level"


def search_document(result: SearchResult) -> dict[str, Any]:
    """The same as JSON, each point with the scenario that repeats it."""
    return {
        "goals": [{"name": goal.name, "better": goal.better} for goal in result.goals],
        "tried": result.tried,
        "points": [
            {
                "values": dict(found.values),
                "analytic": dict(found.analytic),
                "command": None if found.command is None else dict(found.command),
                "on_front": found.confirmed,
                "scenario": found.row["scenario"],
                "metrics": found.row["metrics"],
                "fidelity": found.row["fidelity"],
            }
            for found in result.found
        ],
        "disagreement": {goal.name: result.disagreement(goal.name) for goal in result.goals},
    }
