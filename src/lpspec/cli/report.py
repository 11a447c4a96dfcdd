"""``lpspec report``: a result or a study as one page that needs nothing besides itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lpspec.cli.console import say_written
from lpspec.cli.outputs import FilesTogether, plan_file
from lpspec.errors import InputError, shown
from lpspec.text_files import text_of

if TYPE_CHECKING:
    from lpspec.report.page.contents import Page
    from lpspec.report.page.results import ReproductionResult

MOST_POINTS = 50_000
"""Points of a page; of more, a browser and its reader see nothing."""

FIGURE_FILES = (".pdf", ".svg", ".png")


def report(
    result: Annotated[str, Parameter(show_default=False)],
    /,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"])],
    figures: str | None = None,
    where: str = "",
    engine: str | None = None,
) -> None:
    """Write a result or the points of a store as one page of HTML that needs nothing besides itself.

    Parameters
    ----------
    result
        What compare --json or reproduce --json wrote, or the folder that lpspec sweep filled.
    output
        The page, such as page.html.
    figures
        Write every figure of the page into this folder, too, each as .pdf, .svg and .png.
    where
        Only points of the store that fulfil this condition in SQL, as for lpspec results.
    engine
        Points of this version; this one's if left out.
    """
    page_path = plan_file("--output", output)
    assert page_path is not None
    page = _store_page(result, where, engine) if Path(result).is_dir() else _result_page(result, where, engine)
    names = [] if figures is None else [(drawing, suffix) for drawing in page.drawings for suffix in FIGURE_FILES]
    paths = [plan_file("--figures", str(Path(figures or "") / f"{d.name}{suffix}"), [page_path]) for d, suffix in names]
    from lpspec.report.figures import figure_bytes
    from lpspec.report.page.document import page_bytes

    with FilesTogether() as files:
        files.write(page_path, page_bytes(page))
        for path, (drawing, suffix) in zip(paths, names, strict=True):
            if path is not None:
                files.write(path, figure_bytes(drawing.figure, suffix))
    say_written([page_path, *(path for path in paths if path is not None)])


def _result_page(file: str, where: str, engine: str | None) -> "Page":
    from lpspec.report.page.comparison import comparison_page
    from lpspec.report.page.reproduction import reproduction_page
    from lpspec.report.page.results import ReproductionResult, ServedResult, read_result
    from lpspec.report.page.served import served_page

    said = f"result '{shown(file)}'"
    for option, value in (("--where", where), ("--engine", engine)):
        if value:
            raise InputError(f"{option} chooses points of a store, and {said} is no folder of one")
    found = read_result(text_of(file, said), said)
    if isinstance(found, ReproductionResult):
        return reproduction_page(found, _origin(*_reproduced(found)))
    sizes = {one.system: one.mean_l_spec for one in found.systems}
    origin = _origin(found.provenance.scenario, found.provenance.config, sizes)
    if isinstance(found, ServedResult):
        return served_page(found, origin)
    return comparison_page(found, _with_step(origin, found.provenance.scenario, list(sizes)))


def _with_step(origin: Any, scenario: dict[str, Any], names: Sequence[str]) -> Any:
    """The origin with one step of the first of the systems, or of lp-spec where it is among them, or why there is none.

    A step is one that was taken, whatever priced it: both levels price the same.
    """
    from lpspec.experiments.compare import compare
    from lpspec.experiments.step_timeline import representative_step
    from lpspec.scenario import Scenario

    if origin.gaps:
        return replace(origin, no_step="No step is shown, as the machines cannot be described as they were then.")
    asked = Scenario.from_dict(scenario)
    files = dict(zip(names, asked.systems or names, strict=True)) if len(names) == len(asked.systems or names) else {}
    name = "lp-spec" if "lp-spec" in names else names[0]
    try:
        (run,) = compare(asked.replace(systems=[files.get(name, name)], fidelity="analytic", exact=False)).runs
        return replace(origin, step=representative_step(run, asked.workload))
    except InputError as error:
        return replace(origin, no_step=f"No step is shown: {error}.")


def _reproduced(found: "ReproductionResult") -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """The scenario of a reproduction under its chosen assumption set, as the systems of its fair basis had it."""
    from lpspec.report.page.reproduction import fair_systems

    scenario = {**found.provenance.scenario, "changes": found.assumption_set.changes, "basis": "equal"}
    return scenario, found.provenance.config, {one.system: one.mean_l_spec for one in fair_systems(found)}


def _store_page(folder: str, where: str, engine: str | None) -> "Page":
    from lpspec.engine_version import engine_version
    from lpspec.explore.findings import find
    from lpspec.explore.results import Query, Results
    from lpspec.report.page.study import StudyPoints, study_page

    results = Results(folder)
    try:
        rows = list(results.rows(Query(where, "", MOST_POINTS + 1, engine)))
        if not rows and not where:
            others = ", ".join(results.engines) or "none"
            raise InputError(f"'{shown(folder)}' has no point of version {engine or engine_version()}: it has {others}")
        if not rows:
            raise InputError(f"no point of '{shown(folder)}' fulfils --where '{shown(where, 60)}'")
        if len(rows) > MOST_POINTS:
            raise InputError(f"'{shown(folder)}' has more than {MOST_POINTS:,} points: choose some by --where")
        points = StudyPoints(
            Path(folder).name, find(rows, results.varied), engine or engine_version(), where, results.studies
        )
    finally:
        results.close()
    best = points.findings.best
    return study_page(points, _origin(best["scenario"], {}, {best["system"]: best["mean_l_spec"]}))


def _origin(scenario: Mapping[str, Any], config: Mapping[str, Any], sizes: Mapping[str, float]) -> Any:
    """The machines of a scenario as they are described now, if they are those that the result was made with.

    Args:
        scenario: As plain data.
        config: What a result says of its machines; empty where it says nothing.
        sizes: Mean tokens of a pass, by system.
    """
    from lpspec.experiments.setting import load_setting
    from lpspec.report.page.origin import Origin
    from lpspec.report.sheets import trace_sheet
    from lpspec.scenario import Scenario

    try:
        setting = load_setting(Scenario.from_dict(dict(scenario)))
    except InputError as error:
        why = shown(str(error).splitlines()[0], 160)
        return Origin(gaps=(f"The machines cannot be described by this version: {why}",))
    ran = [system for system in setting.systems if system.name in sizes]
    same = [system for system in ran if _is_as_then(system, config)]
    gaps = [
        f"The machine or model of {system.name} is described otherwise now than when the result was made."
        for system in ran
        if system not in same
    ]
    then = config.get("trace_sha256")
    trace = trace_sheet(setting.trace) if then in (None, setting.trace.content_hash) else None
    return Origin(tuple(_sheets(same)), trace, tuple(gaps), tuple(_under_roofs(same, sizes)))


def _is_as_then(system: Any, config: Mapping[str, Any]) -> bool:
    """Whether a result's systems have one of the same platform; true where it says nothing of systems."""
    described = [one for one in config.get("systems", ()) if isinstance(one, dict) and one.get("name") == system.name]
    if "systems" not in config:
        return True
    now = system.platform.model_dump(mode="json", exclude_none=True), system.model.model_dump(mode="json")
    return any((one.get("platform"), one.get("model")) == now for one in described)


def _sheets(systems: Sequence[Any]) -> Any:
    """A sheet for each machine, energy profile and model, once."""
    from lpspec.devices.kinds import devices_of
    from lpspec.report.sheets import platform_sheet, profile_sheet

    platforms = {system.platform.name: system.platform for system in systems}
    profiles = {system.profile.name: system.profile for system in systems}
    yield from (platform_sheet(platform, devices_of(platform).values()) for platform in platforms.values())
    yield from map(profile_sheet, profiles.values())


def _under_roofs(systems: Sequence[Any], sizes: Mapping[str, float]) -> Any:
    from lpspec.experiments.roofline import pass_work, roofs
    from lpspec.report.page.roofline_figure import UnderRoofs

    for system in systems:
        work = pass_work(system.model, max(1, round(sizes[system.name])))
        yield UnderRoofs(system.name, system.platform.name, roofs(system.platform), work)
