"""The page of requests that arrive one by one, or several in a pass."""

from collections.abc import Sequence
from typing import Any

from lpspec.report.compare_figure import REFERENCE
from lpspec.report.figures import BLUE, GREY, in_style, legend_above
from lpspec.report.page.cloud import coded
from lpspec.report.page.comparison import (
    BASIS_WORDS,
    BOTH_BASES,
    NO_SCRIPT,
    Columns,
    energy_table,
    figures_of,
    metrics,
    remarks,
    upward,
)
from lpspec.report.page.contents import Drawing, Page, Section
from lpspec.report.page.figures import energy, of_systems
from lpspec.report.page.html import Html, table, tag
from lpspec.report.page.origin import Origin, closing
from lpspec.report.page.results import ServedResult, ServedSystem
from lpspec.report.serving_figure import MARKS, draw_waits
from lpspec.report.wording import digits

COLUMNS: Columns = {
    "served_tokens_per_s": ("token/s, all time", "higher"),
    "tokens_per_s": ("token/s, decoding", "higher"),
    **BOTH_BASES,
    "mean_batch": ("requests per pass", None),
    "mean_acceptance_length": ("tokens per request and pass", "higher"),
    "mean_l_spec": ("mean L_spec", None),
    "idle_share": ("share of time idle", None),
}
"""Figures of the main table and of the points, with the way that is better."""

WAITED = {
    "queueing_ms": "in the queue",
    "first_token_ms": "to the first token, from arrival",
    "between_tokens_ms": "between tokens",
}
"""What was waited for."""


def served_page(result: ServedResult, origin: Origin) -> Page:
    """Every section of it."""
    systems, provenance = result.systems, result.provenance
    lead = (
        f"{systems[0].requests} requests ({result.workload.get('served')}), up to {systems[0].batch} in a pass, first "
        f"come first served; verify passes only, per generated token. Trace {result.trace} ({provenance.trace_kind}); "
        f"trees {result.tree} for {result.objective}; basis: {BASIS_WORDS[result.basis]}."
    )
    short = [
        f"{one.system}: a full batch of the largest requests does not fit" for one in systems if one.waits_for_room
    ]
    drawn = (
        _waits(systems, "first-token", "to first token", "From a request's arrival to its first token"),
        _waits(systems, "between-tokens", "between tokens", "Between tokens of a request"),
    )
    sections = (
        Section("systems", "Systems", (_systems_table(systems), *remarks(result, short))),
        Section("waits", "How long requests waited", (*drawn, _waits_table(systems))),
        Section("points", "Front", (tag("div", id="cloud-here", _class="cloud"), NO_SCRIPT)),
        Section("where", "Where joules go", (energy(systems), energy_table(systems))),
        *closing(origin, "lpspec compare --scenario scenario.json", provenance.scenario, provenance.lpspec),
    )
    title = f"{result.model} serving requests on {len(systems)} system{'s' * (len(systems) != 1)}"
    return Page(title, lead, sections, _cloud(systems))


def _systems_table(systems: Sequence[ServedSystem]) -> Html:
    rows = []
    for one in systems:
        bound = "" if one.error_bound is None else f", within {one.error_bound:.2%}"
        cells = figures_of(one, COLUMNS)
        rows.append([one.system, *cells, f"{one.peak_bytes / 2**30:.2f}", f"{one.fidelity}{bound}"])
    return table(("system", *(label for label, _ in COLUMNS.values()), "peak, GiB", "level"), rows, _class="systems")


def _waits_table(systems: Sequence[ServedSystem]) -> Html:
    rows = [
        [one.system, said, *(digits(getattr(getattr(one, name), which)) for which in MARKS)]
        for one in systems
        for name, said in WAITED.items()
    ]
    return table(("system", "ms", *MARKS), rows, 2, _class="systems")


def _waits(systems: Sequence[ServedSystem], name: str, what: str, caption: str) -> Drawing:
    with in_style():
        figure, axes, names = of_systems(systems, 0.2 + 0.02 * len(systems))
        colours = [BLUE if one == REFERENCE else GREY for one in names]
        found = [getattr(one, f"{name.replace('-', '_')}_ms") for one in systems]
        draw_waits(axes, found, colours, f"time {what} (ms)")
        legend_above(figure, axes, len(MARKS))
    return Drawing(name, figure, f"{caption}: median to 99 of 100.")


def _cloud(systems: Sequence[ServedSystem]) -> dict[str, Any]:
    names = [one.system for one in systems]
    columns: list[dict[str, Any]] = [{"name": "system", "label": "system", "role": "axis", "values": coded(names)}]
    values = {name: [getattr(one, name) for one in systems] for name in COLUMNS}
    labels = dict(COLUMNS)
    for name, said in WAITED.items():
        values[name] = [getattr(one, name).p90 for one in systems]
        labels[name] = (f"ms {said}, p90", "lower")
    columns += metrics(labels, values)
    shared = {"names": names, "scenario": None}
    return {"what": "systems", "columns": columns, "x": "served_tokens_per_s", "y": upward(columns), **shared}
