"""``lpspec compare``: several systems on the same requests."""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile, ScenarioFile, flattened, read_scenario
from lpspec.cli.outputs import Outputs, plan_file, plan_outputs
from lpspec.errors import InputError
from lpspec.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lpspec.experiments.compare import Comparison

    Options: TypeAlias = Any
else:
    Options = flattened(Scenario)

TIMELINE_SYSTEM = "lp-spec"
"""The system a step of which is drawn where it is among those that are compared; else the first."""


def compare(
    *,
    scenario: ScenarioFile = None,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: FigureFile = None,
    timeline: str | None = None,
) -> None:
    """Compare LP-Spec with other systems on the same requests.

    Parameters
    ----------
    timeline
        Write one representative step of lp-spec, or else of the first system named, as a timeline for Perfetto to this
        file (gzipped JSON); the system needs a command level.
    """
    outputs = plan_outputs(json, figure)
    timeline_path = plan_file("--timeline", timeline, outputs.paths)
    asked = read_scenario(scenario, options)
    if timeline_path is not None:
        _check_timeline(asked)
    announce_compiling()
    from lpspec.simulation.requests import is_served

    if is_served(asked.workload):
        _serve(asked, outputs)
        return
    from lpspec.experiments.compare import compare as run_comparison
    from lpspec.report.compare_table import comparison_blocks
    from lpspec.report.documents import comparison_document

    with progress(f"decoding on {len(asked.systems) if asked.systems else 'all'} systems"):
        result = run_comparison(asked)

    def draw() -> "Figure":
        from lpspec.report.compare_figure import comparison_figure

        return comparison_figure(result.runs)

    others = [] if timeline_path is None else [(timeline_path, lambda: _timeline(result))]
    deliver(outputs, comparison_document(result), comparison_blocks(result), draw, others)


def _serve(asked: Scenario, outputs: Outputs) -> None:
    """Serve requests that arrive one by one, or several in a pass."""
    from lpspec.experiments.serving import serve_requests
    from lpspec.report.serving_figure import serving_figure
    from lpspec.report.serving_table import serving_blocks, serving_document

    with progress(f"serving requests on {len(asked.systems) if asked.systems else 'all'} systems"):
        result = serve_requests(asked)
    deliver(outputs, serving_document(result), serving_blocks(result), lambda: serving_figure(result.runs))


def _check_timeline(scenario: Scenario) -> None:
    if scenario.workload.requests is not None or scenario.workload.batch > 1:
        raise InputError("--timeline shows a step of one request: it says nothing with --requests or --batch")
    if scenario.fidelity == "analytic":
        raise InputError("--timeline shows memory commands: it needs --fidelity command")


def _timeline(result: "Comparison") -> bytes:
    """One step as the content of a file."""
    from lpspec.experiments.step_timeline import representative_step
    from lpspec.report.step_timeline import timeline_bytes

    with progress("issuing every command of one step"):
        names = [run.system.name for run in result.runs]
        run = result.runs[names.index(TIMELINE_SYSTEM) if TIMELINE_SYSTEM in names else 0]
        return timeline_bytes(representative_step(run, result.scenario.workload))
