"""The page of requests that arrive one by one, or several in a pass."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from lpspec.report.compare_figure import REFERENCE, draw_energy, label_systems
from lpspec.report.figures import BLUE, GREY, SINGLE_COLUMN_IN, bare_axes, in_style
from lpspec.report.page.cloud import coded
from lpspec.report.page.comparison import BASIS_WORDS, NO_SCRIPT, remarks
from lpspec.report.page.contents import Drawing, Page, Section
from lpspec.report.page.html import Html, table, tag
from lpspec.report.page.origin import Origin, cite, constants, repeat
from lpspec.report.page.results import ServedResult, ServedSystem
from lpspec.report.serving_figure import MARKS, draw_waits
from lpspec.report.wording import digits

COLUMNS = {
    "served_tokens_per_s": ("token/s, all time", "higher"),
    "tokens_per_s": ("token/s, decoding", "higher"),
    "tokens_per_j": ("token/J", "higher"),
    "edp_s_mj": ("EDP, s·mJ", "lower"),
    "average_power_w": ("W", "lower"),
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
    sections = (
        Section("systems", "Systems", (_systems_table(systems), *remarks(result, short))),
        Section("waits", "How long requests waited", (_first(systems), _between(systems), _waits_table(systems))),
        Section("points", "Front", (tag("div", id="cloud-here", _class="cloud"), NO_SCRIPT)),
        Section("where", "Where joules go", (_energy(systems), _energy_table(systems))),
        Section("constants", "Constants and their sources", constants(origin.sheets, origin.gaps)),
        Section(
            "repeat",
            "Repeat",
            repeat(["lpspec compare --scenario scenario.json"], provenance.scenario, provenance.lpspec),
        ),
        Section("cite", "Cite", cite()),
    )
    title = f"{result.model} serving requests on {len(systems)} system{'s' * (len(systems) != 1)}"
    return Page(title, lead, sections, _cloud(systems))


def _systems_table(systems: Sequence[ServedSystem]) -> Html:
    rows = []
    for one in systems:
        bound = "" if one.error_bound is None else f", within {one.error_bound:.2%}"
        cells = [digits(getattr(one, name)) for name in COLUMNS]
        rows.append([one.system, *cells, f"{one.peak_bytes / 2**30:.2f}", f"{one.fidelity}{bound}"])
    return table(("system", *(label for label, _ in COLUMNS.values()), "peak, GiB", "level"), rows, _class="systems")


def _waits_table(systems: Sequence[ServedSystem]) -> Html:
    rows = [
        [one.system, said, *(digits(getattr(getattr(one, name), which)) for which in MARKS)]
        for one in systems
        for name, said in WAITED.items()
    ]
    return table(("system", "ms", *MARKS), rows, 2, _class="systems")


def _first(systems: Sequence[ServedSystem]) -> Drawing:
    figure = _waits_figure(systems, "first_token_ms", "time to first token (ms, log)")
    return Drawing("first-token", figure, "From a request's arrival to its first token: median to 99 of 100.")


def _between(systems: Sequence[ServedSystem]) -> Drawing:
    figure = _waits_figure(systems, "between_tokens_ms", "time between tokens (ms, log)")
    return Drawing("between-tokens", figure, "Between tokens of a request: median to 99 of 100.")


def _waits_figure(systems: Sequence[ServedSystem], name: str, label: str) -> Figure:
    names = [one.system for one in systems]
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 1.0 + 0.22 * len(systems)), layout="constrained")
        axes = figure.subplots()
        colours = [BLUE if one == REFERENCE else GREY for one in names]
        draw_waits(axes, [getattr(one, name) for one in systems], colours, label)
        label_systems(axes, names)
        bare_axes(axes)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(MARKS), frameon=False)
    return figure


def _energy(systems: Sequence[ServedSystem]) -> Drawing:
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 1.2 + 0.2 * len(systems)), layout="constrained")
        axes = figure.subplots()
        draw_energy(axes, systems)
        label_systems(axes, [one.system for one in systems])
        bare_axes(axes)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return Drawing("energy", figure, "Where the joules of a token go; a bar that is cut short has its value beside it.")


def _energy_table(systems: Sequence[ServedSystem]) -> Html:
    parts = [name for name in systems[0].energy_by_component_mj if any(_part(one, name) for one in systems)]
    rows = [
        [one.system, *(digits(_part(one, name)) for name in parts), digits(one.mj_per_token), one.energy_counts]
        for one in systems
    ]
    return table(("mJ per token", *parts, "all", "counts"), rows, _class="systems")


def _part(one: ServedSystem, name: str) -> float:
    return one.energy_by_component_mj.get(name, 0.0)


def _cloud(systems: Sequence[ServedSystem]) -> dict[str, Any]:
    names = [one.system for one in systems]
    columns: list[dict[str, Any]] = [{"name": "system", "label": "system", "role": "axis", "values": coded(names)}]
    values = {name: [getattr(one, name) for one in systems] for name in COLUMNS}
    labels = dict(COLUMNS)
    for name, said in WAITED.items():
        values[name] = [getattr(one, name).p90 for one in systems]
        labels[name] = (f"ms {said}, p90", "lower")
    for name, (label, better) in labels.items():
        about = {"name": name, "label": label, "role": "metric", "better": better, "listed": True}
        columns.append({**about, "values": coded(values[name])})
    shared = {"names": names, "scenario": None}
    return {"what": "systems", "columns": columns, "x": "served_tokens_per_s", "y": "tokens_per_j", **shared}
