"""``lpspec reproduce``: every published number beside the simulated one."""

from itertools import count
from typing import TYPE_CHECKING

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

FIGURES = ("sensitivity", "lengths", "parts", "ranks", "contexts")
"""What the figures of the study are called behind the name that was given."""


def reproduce(
    *,
    energy_profile: str = "attacc",
    fidelity: str = "command",
    study: bool = False,
    json: JsonFile = None,
    figure: FigureFile = None,
) -> None:
    """Put every published number of LP-Spec beside the simulated one.

    Parameters
    ----------
    energy_profile
        attacc, specpim, pimscope or a TOML file.
    fidelity
        command (closed forms choose the reading, memory commands then price it and the plain one) or analytic.
    study
        Vary everything that the paper leaves open, energy profile and acceptance included, and repeat its other
        experiments: speculation lengths, parts taken away, PIM ranks, contexts. Takes half a minute.
    json
        Write the result as JSON to this file, with every reading; - prints it instead of the table.
    figure
        Write a figure to this path, as .pdf and .png; the study writes one per experiment.
    """
    if study:
        _study(energy_profile, fidelity, json, figure)
        return
    outputs = plan_outputs(json, figure)
    announce_compiling()
    from lpspec.experiments.reproduce import reproduce as run_reproduction
    from lpspec.report.reproduce_document import reproduction_document
    from lpspec.report.reproduce_table import reproduction_blocks

    with progress("simulating every reading of what the paper leaves open"):
        result = run_reproduction(energy_profile, fidelity)

    def draw() -> "Figure":
        from lpspec.report.reproduce_figure import reproduction_figure

        return reproduction_figure(result)

    deliver(outputs, reproduction_document(result), reproduction_blocks(result), draw)


def _study(energy_profile: str, fidelity: str, json: str | None, figure: str | None) -> None:
    if energy_profile != "attacc":
        raise InputError("--study varies the energy profile itself: leave --energy-profile out")
    outputs = plan_outputs(json, figure, FIGURES)
    announce_compiling()
    from lpspec.experiments.study import STAGES, study
    from lpspec.report.study_table import study_blocks, study_document
    from lpspec.simulation.workload import parse_fidelity

    what, done = "varying everything that the paper leaves open", count(1)
    with progress(what) as line:

        def advance() -> None:
            if line is not None:
                line.update(f"{what}: {next(done)} of {STAGES}")

        result = study(fidelity=parse_fidelity(fidelity), advance=advance)

    def draw() -> "Sequence[Figure]":
        from lpspec.report.study_figures import study_figures

        return study_figures(result)

    deliver(outputs, study_document(result), study_blocks(result), draw)
