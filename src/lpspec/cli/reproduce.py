"""``lpspec reproduce``: every published number beside the simulated one."""

from typing import TYPE_CHECKING

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile
from lpspec.cli.outputs import plan_outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reproduce(*, energy_profile: str = "attacc", json: JsonFile = None, figure: FigureFile = None) -> None:
    """Put every published number of LP-Spec beside the simulated one.

    Parameters
    ----------
    energy_profile
        attacc, specpim, pimscope or a TOML file.
    json
        Write the result as JSON to this file, with every reading; - prints it instead of the table.
    figure
        Write a figure to this path, as .pdf and .png.
    """
    outputs = plan_outputs(json, figure)
    announce_compiling()
    from lpspec.experiments.reproduce import reproduce as run_reproduction
    from lpspec.report.documents import reproduction_document
    from lpspec.report.reproduce_table import reproduction_blocks

    with progress("simulating every reading of what the paper leaves open"):
        result = run_reproduction(energy_profile)

    def draw() -> "Figure":
        from lpspec.report.reproduce_figure import reproduction_figure

        return reproduction_figure(result)

    deliver(outputs, reproduction_document(result), reproduction_blocks(result), draw)
