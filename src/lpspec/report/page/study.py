"""The page of a study's points."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lpspec.devices.cost import COMPONENTS
from lpspec.explore.evaluate import METRICS
from lpspec.explore.findings import ACROSS, UP, Findings
from lpspec.report.page.cloud import coded, shared_scenario
from lpspec.report.page.comparison import NO_SCRIPT
from lpspec.report.page.contents import Drawing, Page, Section
from lpspec.report.page.html import Html, table, tag
from lpspec.report.page.origin import Origin, cite, constants, repeat
from lpspec.report.page.study_figures import energy_of_points, one_at_a_time_figure, shares_figure
from lpspec.report.results_figure import results_figure
from lpspec.report.results_table import cell

LABELS = {
    "tokens_per_s": "token/s",
    "tokens_per_j": "token/J",
    "tokens_per_j_memory_and_macs": "token/J, memory and MACs",
    "tokens_per_j_board": "token/J, board or SoC",
    "edp_s_mj": "EDP, s·mJ",
    "mj_per_token": "mJ per token",
    "average_power_w": "W",
    "time_to_first_token_ms": "first token, ms",
    "prefill_mj": "prompt, mJ",
    "mean_acceptance_length": "tokens per pass",
    "mean_l_spec": "mean L_spec",
}
LISTED = (
    "tokens_per_s",
    "tokens_per_j_memory_and_macs",
    "tokens_per_j_board",
    "edp_s_mj",
    "average_power_w",
    "time_to_first_token_ms",
    "mean_acceptance_length",
    "mean_l_spec",
)
"""Figures of the tables; the point that is picked shows all."""

SHOWN_FRONT, DRAWN_FRONT = 40, 12
"""Points of the front at most in the table, and in the figure of energy."""


@dataclass(frozen=True)
class StudyPoints:
    """A study's points with what they say.

    Attributes:
        name: Of the store's folder.
        findings: About the points.
        engine: Version that priced them.
        where: The condition that chose them; empty for all.
        files: Name and text of every study's file whose points the store keeps.
    """

    name: str
    findings: Findings
    engine: str
    where: str
    files: Sequence[Mapping[str, str]] = ()


def study_page(study: StudyPoints, origin: Origin) -> Page:
    """Every section of it."""
    found = study.findings
    levels = ", ".join(sorted({row["fidelity"] for row in found.able}))
    lead = (
        f"{len(found.rows):,} points, {len(found.able):,} of which could be run ({levels}); "
        f"varied: {', '.join(found.varied) or 'nothing'}."
    )
    commands = [f"lpspec results {study.name}" + (f" --where '{study.where}'" if study.where else "")]
    scenario = found.best["scenario"]
    sections = (
        Section("points", "Points", (tag("div", id="cloud-here", _class="cloud"), NO_SCRIPT, *_faults(found))),
        Section("front", "Front", _front(found)),
        Section("where", "Where joules go", _where(found)),
        Section("sensitivity", "Sensitivity", tuple(_sensitivity(found))),
        Section(
            "constants", "Constants and their sources", (tag("p", AT_BEST), *constants(origin.sheets, origin.gaps))
        ),
        Section("repeat", "Repeat", (tag("p", REPEAT), *_files(study), *repeat(commands, scenario, study.engine))),
        Section("cite", "Cite", cite()),
    )
    return Page(f"Study {study.name}", lead, sections, _cloud(found))


def _files(study: StudyPoints) -> Iterator[Html]:
    for file in study.files:
        yield tag("details", tag("summary", f"the study's file: {file['name']}"), tag("pre", file["text"]))


AT_BEST = "As the point of smallest energy-delay product has them; what the study varies is other at other points."
REPEAT = (
    "The store keeps every point with its scenario: pick a point above, or take the best one's from here; lpspec "
    "compare --scenario repeats it. The study's file, run again with lpspec sweep, gives all."
)


def _cloud(found: Findings) -> dict[str, Any]:
    columns = [
        {"name": name, "label": name, "role": "axis", "values": coded([_plain(row[name]) for row in found.able])}
        for name in found.varied
    ]
    for name, metric in METRICS.items():
        values = [row[name] for row in found.able]
        if all(value is None for value in values):
            continue
        about = {"label": LABELS.get(name, name.replace("_", " ")), "meaning": metric.meaning, "better": metric.better}
        columns.append({"name": name, "role": "metric", **about, "listed": name in LISTED, "values": coded(values)})
    base, changed = shared_scenario([row["scenario"] for row in found.able])
    shared = {"names": None, "scenario": base, "changed": changed}
    return {"what": "points", "columns": columns, "x": ACROSS, "y": UP, **shared}


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) or value is None else cell(value)


def _faults(found: Findings) -> Iterator[Html]:
    if found.faults:
        yield tag("p", "Points that could not be run:")
        yield tag("ul", *(tag("li", f"{count:,}: {why}") for why, count in found.faults.items()))


def _front(found: Findings) -> tuple[Html | Drawing, ...]:
    """Points that no other beats in both figures, and all points as a figure."""
    best = _numbered_front(found)
    names = [name for name in LISTED if any(row[name] is not None for _, row in best)]
    head = ("point", *found.varied, *(LABELS[name] for name in names))
    shown = _spread(best, SHOWN_FRONT)
    rows = [[str(number), *(cell(row[name]) for name in (*found.varied, *names))] for number, row in shown]
    said = f"{len(best)} points that no other beats in {LABELS[ACROSS]} and {LABELS[UP]} at once"
    if len(best) > len(shown):
        said += f"; {len(shown)} of them, spread over all"
    drawing = Drawing("front", results_figure(found.cloud), "Every point, and the front.")
    return (tag("p", f"{said}."), table(head, rows, 1 + len(found.varied), _class="systems"), drawing)


def _numbered_front(found: Findings) -> list[tuple[int, Mapping[str, Any]]]:
    """Points of the front, the fastest first, numbered from 1."""
    return list(enumerate(sorted(found.cloud.front, key=lambda row: -float(row[ACROSS])), 1))


def _where(found: Findings) -> tuple[Html | Drawing, ...]:
    best = _spread(_numbered_front(found), DRAWN_FRONT)
    parts = [name for name in COMPONENTS if any(row[f"{name}_mj_per_token"] for _, row in best)]
    rows = [
        [str(number), *(cell(row[f"{name}_mj_per_token"]) for name in parts), cell(row["mj_per_token"])]
        for number, row in best
    ]
    if not parts:
        return (tag("p", "These points were kept without the energy of each component."),)
    head = ("point of the front: mJ per token", *parts, "all")
    return (energy_of_points(best), table(head, rows, _class="systems"))


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread, both ends among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _sensitivity(found: Findings) -> Iterator[Html | Drawing]:
    lines = {metric: each for metric, each in found.lines.items() if each}
    if lines:
        yield tag("p", "One at a time: each axis alone, all others as at the point of smallest energy-delay product.")
        yield one_at_a_time_figure({LABELS[metric]: each for metric, each in lines.items()}, found.best)
        yield from _lines_table(lines)
    shares = {metric: each for metric, each in found.shares.items() if each}
    if not shares:
        yield tag("p", NO_SHARES)
        return
    yield tag("p", SHARES)
    yield shares_figure({LABELS[metric]: each for metric, each in shares.items()})
    rows = [
        [LABELS[metric], share.axis, f"{share.alone:.3f}", f"{share.total:.3f}"]
        for metric, each in shares.items()
        for share in each
    ]
    yield table(("figure", "axis", "alone", "with others"), rows, 2)


NO_SHARES = (
    "No Sobol indices: they need every combination of the axes' values, each run, and a figure that varies; these "
    "points are a sample or lack some."
)
SHARES = (
    "Sobol indices: shares of the variance over all of the grid, every value of an axis as likely as the others. They "
    "are sums over all points, not estimates; they hold for these values of the axes and no others."
)


def _lines_table(lines: Mapping[str, Sequence[Any]]) -> Iterator[Html]:
    rows = [
        [LABELS[metric], one.axis, cell(value), cell(outcome)]
        for metric, each in lines.items()
        for one in each
        for value, outcome in zip(one.values, one.outcomes, strict=True)
    ]
    inside = table(("figure", "axis", "value", "outcome"), rows, 3)
    yield tag("details", tag("summary", "the numbers"), inside)
