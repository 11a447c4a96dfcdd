"""The page of a reproduction of the paper."""

from collections.abc import Iterator

from lpspec.report.page import figures
from lpspec.report.page.comparison import NO_SCRIPT, acceptance, systems_cloud, systems_table, where
from lpspec.report.page.contents import Drawing, Page, Section
from lpspec.report.page.html import Html, table, tag
from lpspec.report.page.origin import Origin, closing
from lpspec.report.page.results import PublishedRow, ReproductionResult, SystemResult
from lpspec.report.wording import SHORT_NAMES, digits

ON = {"published": "published basis", "equal": "memory and MACs", "board": "board or SoC"}


def reproduction_page(result: ReproductionResult, origin: Origin) -> Page:
    """Every section of it."""
    systems = fair_systems(result)
    chosen = result.assumption_set
    lead = (
        f"Published numbers of LP-Spec beside simulated ones. Chosen among all assumption sets: "
        f"{chosen.concurrent_ranks} ranks at once, {chosen.mac_interval_ns:g} ns between MAC commands, trees for "
        f"{chosen.objective}; furthest off is {chosen.worst_id}, by {chosen.worst_ratio:.2f}."
    )
    provenance = result.provenance
    command = f"lpspec reproduce{'' if provenance.fidelity == 'command' else ' --fidelity analytic'}"
    options = {name: provenance.scenario.get(name) for name in ("energy_profile", "exact")}
    if options["energy_profile"] not in (None, "attacc"):
        command += f" --energy-profile {options['energy_profile']}"
    sections = (
        Section("published", "Published and simulated", (_gains(result), *_tables(result))),
        Section("systems", "Systems on equal terms, trees for EDP", (systems_table(systems),)),
        Section("points", "Front", (tag("div", id="cloud-here", _class="cloud"), NO_SCRIPT)),
        Section("where", "Where time and joules go", where(systems, origin)),
        Section("acceptance", "Acceptance and trees", acceptance(systems, origin, provenance)),
        *closing(origin, command, provenance.scenario, provenance.lpspec),
    )
    return Page("LP-Spec, published and simulated", lead, sections, systems_cloud(systems))


def fair_systems(result: ReproductionResult) -> tuple[SystemResult, ...]:
    """The systems on the equal basis, with trees for the energy-delay product."""
    by_objective = result.fair_systems.get("equal", {})
    return by_objective.get("edp") or next(iter(by_objective.values()))


def _gains(result: ReproductionResult) -> Drawing:
    rows = [row for row in result.rows if row.on == "published"]
    simulated = {"analytic": [row.simulated for row in rows]}
    if all(row.command is not None for row in rows):
        simulated["command level"] = [row.command or 0.0 for row in rows]
    return figures.gains([SHORT_NAMES.get(row.id, row.id) for row in rows], [row.published for row in rows], simulated)


def _tables(result: ReproductionResult) -> Iterator[Html]:
    head = ("quantity", "unit", "stands on", "published", "simulated", "from", "to", "ratio", "commands", "ratio")
    for on, title in ON.items():
        rows = [_cells(row) for row in result.rows if row.on == on]
        if rows:
            yield tag("h3", title)
            yield table(head, rows, 3, _class="systems prose")


def _cells(row: PublishedRow) -> list[str]:
    command = ["-", "-"] if row.command is None else [digits(row.command), f"{row.command_ratio or 0:.2f}"]
    simulated = [digits(value) for value in (row.published, row.simulated, row.low, row.high)]
    return [row.quantity, row.unit, row.basis, *simulated, f"{row.ratio:.2f}", *command]
