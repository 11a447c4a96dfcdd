"""``lpspec reproduce``: every published number beside the simulated one."""

from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import ScenarioFile, flattened, read_scenario
from lpspec.cli.outputs import Outputs, plan_outputs
from lpspec.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    Options: TypeAlias = Any
else:
    Options = flattened(Scenario, "energy_profile", "fidelity", "exact")

FIGURES = ("sensitivity", "lengths", "parts", "ranks", "contexts")
"""What the figures of the study are called behind the name that was given."""


def reproduce(
    *,
    scenario: ScenarioFile = None,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    study: bool = False,
    json: str | None = None,
    figure: str | None = None,
) -> None:
    """Put every published number of LP-Spec beside the simulated one.

    Parameters
    ----------
    study
        Vary everything that the paper leaves open, energy profile and acceptance included, and repeat its other
        experiments: speculation lengths, parts taken away, PIM ranks, contexts. Takes half a minute.
    json
        Write the result as JSON to this file, with every assumption set; - prints it instead of the table.
    figure
        Write a figure to this path, as .pdf and .png; the study writes one per experiment.
    """
    outputs = plan_outputs(json, figure, FIGURES if study else ())
    announce_compiling()
    from lpspec.experiments.bench import PAPER

    asked = read_scenario(scenario, options, PAPER)
    if study:
        _study(outputs, asked)
        return
    from lpspec.experiments.reproduce import reproduce as run_reproduction
    from lpspec.report.reproduce_document import reproduction_document
    from lpspec.report.reproduce_table import reproduction_blocks

    with progress("simulating every assumption set of what the paper leaves open"):
        result = run_reproduction(asked)

    def draw() -> "Figure":
        from lpspec.report.reproduce_figure import reproduction_figure

        return reproduction_figure(result)

    deliver(outputs, reproduction_document(result), reproduction_blocks(result), draw)


def _study(outputs: Outputs, scenario: Scenario) -> None:
    from lpspec.experiments.study import STAGES, study
    from lpspec.report.study_table import study_blocks, study_document

    done = count(1)
    with progress("varying everything that the paper leaves open") as say:
        result = study(scenario, lambda: say(f"{next(done)} of {STAGES}"))

    def draw() -> "Sequence[Figure]":
        from lpspec.report.study_figures import study_figures

        return study_figures(result)

    deliver(outputs, study_document(result), study_blocks(result), draw)
