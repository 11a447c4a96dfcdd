"""The page of a comparison."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from lpspec.report.compare_figure import REFERENCE
from lpspec.report.page import figures
from lpspec.report.page.cloud import coded
from lpspec.report.page.contents import Drawing, Page, Section
from lpspec.report.page.html import Html, table, tag
from lpspec.report.page.origin import Origin, closing
from lpspec.report.page.results import ComparisonResult, ServedResult, ServedSystem, SystemResult
from lpspec.report.page.roofline_figure import roofline
from lpspec.report.page.step_figure import step_excerpt
from lpspec.report.wording import digits

Columns: TypeAlias = Mapping[str, tuple[str, str | None]]
"""What figures are called, by name, with the way that is better."""

BOTH_BASES = {
    "tokens_per_j_memory_and_macs": ("token/J, memory and MACs", "higher"),
    "tokens_per_j_board": ("token/J, board or SoC", "higher"),
    "edp_memory_and_macs_s_mj": ("EDP, memory and MACs, s·mJ", "lower"),
    "edp_board_s_mj": ("EDP, board or SoC, s·mJ", "lower"),
    "power_memory_and_macs_w": ("W, memory and MACs", "lower"),
    "power_board_w": ("W, board or SoC", "lower"),
}
"""Energies of a system; None on the board's basis where nobody knows what the rest of its SoC draws."""

COLUMNS: Columns = {
    "tokens_per_s": ("token/s", "higher"),
    **BOTH_BASES,
    "time_to_first_token_ms": ("first token, ms", "lower"),
    "mean_acceptance_length": ("tokens per pass", "higher"),
    "mean_l_spec": ("mean L_spec", None),
}
"""Figures of the main table and of the points, with the way that is better."""

BASIS_WORDS = {
    "equal": "the energy of memory and MACs on every system",
    "board": "board or SoC power on every system",
    "published": "as published: board power for the RTX 3090, memory and MACs elsewhere",
}


def comparison_page(result: ComparisonResult, origin: Origin) -> Page:
    """Every section of it."""
    scenario = result.provenance.scenario
    work = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in result.workload.items() if value is not None
    )
    lead = (
        f"Decode steps only, per generated token. Trace {result.trace} ({result.provenance.trace_kind}); {work}; "
        f"trees {result.tree} for {result.objective}; basis: {BASIS_WORDS[result.basis]}."
    )
    sections = (
        Section("systems", "Systems", (systems_table(result.systems), *_remarks(result))),
        Section("points", "Front", (tag("div", id="cloud-here", _class="cloud"), NO_SCRIPT)),
        Section("where", "Where time and joules go", where(result.systems, origin)),
        Section("acceptance", "Acceptance and trees", acceptance(result.systems, origin, result.provenance)),
        *closing(origin, "lpspec compare --scenario scenario.json", scenario, result.provenance.lpspec),
    )
    title = f"{result.model} on {len(result.systems)} system{'s' * (len(result.systems) != 1)}"
    return Page(title, lead, sections, systems_cloud(result.systems))


NO_SCRIPT = tag("noscript", tag("p", "The points, with filters, need JavaScript; all else on this page does not."))


def systems_table(systems: Sequence[SystemResult]) -> Html:
    """A row for each system, with both energy bases."""
    rows = []
    for one in systems:
        bound = "" if one.error_bound is None else f", within {one.error_bound:.2%}"
        cells = figures_of(one, COLUMNS)
        rows.append([_name(one.system), *cells, f"{one.fidelity}{bound}"])
    return table(("system", *(label for label, _ in COLUMNS.values()), "level"), rows, _class="systems")


def figures_of(one: SystemResult | ServedSystem, columns: Iterable[str]) -> list[str]:
    """Cells of a row of systems."""
    values = (getattr(one, name) for name in columns)
    return ["-" if value is None else digits(value) for value in values]


def _name(system: str) -> str:
    return tag("strong", system) if system == REFERENCE else system


def _remarks(result: ComparisonResult) -> Iterable[Html]:
    moved = [
        f"weights of {one.system} changed ranks {one.migrations} times: {digits(one.migration_ms)} ms in all"
        for one in result.systems
        if one.migrations
    ]
    return remarks(result, moved)


def remarks(result: ComparisonResult | ServedResult, lines: Sequence[str]) -> Iterator[Html]:
    """What is to be said of systems, those that are left out, and notes, as a list."""
    lines = [
        *lines,
        *(f"{one.system} is left out: {one.why.removeprefix(f'{one.system}: ')}" for one in result.left_out),
        *(f"note: {note}" for note in result.notes),
    ]
    if lines:
        yield tag("ul", *(tag("li", line) for line in lines))


def systems_cloud(systems: Sequence[SystemResult]) -> dict[str, Any]:
    """Systems as points."""
    columns: list[dict[str, Any]] = [
        _axis("system", "system", [one.system for one in systems]),
        _axis("speculates", "speculates", [one.speculates for one in systems]),
    ]
    columns += metrics(COLUMNS, {name: [getattr(one, name) for one in systems] for name in COLUMNS})
    names = [one.system for one in systems]
    return {
        "what": "systems",
        "columns": columns,
        "x": "tokens_per_s",
        "y": upward(columns),
        "names": names,
        "scenario": None,
    }


def metrics(labels: Columns, values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Figures of points as columns, those that no system has left out."""
    for name, (label, better) in labels.items():
        if any(value is not None for value in values[name]):
            column = {"name": name, "label": label, "role": "metric", "better": better, "listed": True}
            yield {**column, "values": coded(values[name])}


def upward(columns: Iterable[Mapping[str, Any]]) -> str:
    """The figure that points are drawn over at first."""
    names = {column["name"] for column in columns}
    return next(name for name in (*BOTH_BASES, "mean_l_spec") if name in names)


def _axis(name: str, label: str, values: list[Any]) -> dict[str, Any]:
    return {"name": name, "label": label, "role": "axis", "values": coded(values)}


def where(systems: Sequence[SystemResult], origin: Origin) -> tuple[Html | Drawing, ...]:
    """Figures of time and energy, and the components as a table."""
    drawn = (
        figures.throughput(systems),
        figures.energy(systems),
        figures.energy_delay(systems),
        figures.passes(systems),
        *([roofline(origin.roofs, systems)] if origin.roofs else ()),
        *([step_excerpt(origin.step)] if origin.step is not None else ()),
    )
    said = [tag("p", origin.no_step)] if origin.no_step else []
    return (*drawn, *said, energy_table(systems))


def energy_table(systems: Sequence[SystemResult | ServedSystem]) -> Html:
    """The energy of a token by component, a row for each system."""
    by_system = [one.energy_by_component_mj for one in systems]
    parts = [name for name in by_system[0] if any(found.get(name) for found in by_system)]
    rows = [
        [one.system, *(digits(found.get(name, 0.0)) for name in parts), digits(one.mj_per_token), one.energy_counts]
        for one, found in zip(systems, by_system, strict=True)
    ]
    return table(("mJ per token", *parts, "all", "counts"), rows, _class="systems")


def acceptance(systems: Sequence[SystemResult], origin: Origin, provenance: Any) -> tuple[Html | Drawing, ...]:
    """How often heads are right, by depth, and how large trees were."""
    parts: list[Html | Drawing] = []
    if origin.trace is not None:
        found = {one.key: one.value for one in origin.trace.identities}
        top_k = next(int(fact.value or 0) for fact in origin.trace.facts if fact.key == "top_k")
        first = [value for key, value in found.items() if key.endswith("_top1")]
        listed = [value for key, value in found.items() if key.endswith(f"_top{top_k}")]
        if first:
            parts.append(figures.acceptance(origin.trace.name, first, listed, top_k))
    sizes = (figures.tree_sizes(systems), figures.sizes_over_run(systems))
    parts += [drawing for drawing in sizes if drawing is not None]
    about = (
        f"{provenance.trace}: {provenance.trace_kind}. {provenance.trace_description} Source: {provenance.trace_source}"
    )
    return (*parts, tag("p", about))
