"""``lpspec study``: comparisons of which one command makes every table and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import paced
from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile, flattened, given_options, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError, listed
from lpspec.scenario.description import Description
from lpspec.scenario.names import FIDELITIES, Fidelity
from lpspec.scenario.option import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lpspec.experiments.beyond import Case


@dataclass(frozen=True)
class Studying(Description):
    """Which part of a comparison is wanted, and how it is run."""

    KIND = "study"

    grid: bool = option(
        False, "180 settings in place of the comparison: models, contexts, profiles and batches, each piece alone."
    )
    models: tuple[str, ...] | None = option(
        None, "Models of the comparison that are wanted, with commas between them; all if left out."
    )
    fidelity: Fidelity = option(
        "command", "command (every memory command is timed) or analytic (closed forms).", choices=FIDELITIES
    )
    new_tokens: int | None = option(None, "Tokens to generate per turn at most; whole turns if left out.", least=1)
    workers: int | None = option(None, "Processes that compute; one for each core if left out.", least=1)


if TYPE_CHECKING:
    Options: TypeAlias = Any
else:
    Options = flattened(Studying)

FIGURES = ("gains", "pieces")
"""What the figures of ``lpspec study beyond`` are called behind the name that was given."""

app = App(
    name="study",
    help="Make every table and figure of a comparison: LP-Spec+ against LP-Spec.",
    version_flags=(),
)


@app.command
def beyond(
    *,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    store: str | None = None,
    json: JsonFile = None,
    figure: str | None = None,
) -> None:
    """Compare LP-Spec+ with LP-Spec on LP-Spec's own machine: all its pieces, each alone, and each left out.

    Parameters
    ----------
    store
        Keep what has run in this folder, so that a study that was ended goes on; made if it is not there.
    figure
        Write two figures, NAME-gains and NAME-pieces, as .pdf and .png; .pdf, .png or .svg at its end names one.
    """
    outputs = plan_outputs(json, figure, FIGURES)
    asked = Studying(**given_options(Studying, options))
    if asked.grid and figure is not None:
        raise InputError("--figure has no effect with --grid, which has no figures: leave it out")
    announce_compiling()
    from lpspec.explore.beyond import beyond as run_beyond
    from lpspec.explore.beyond import run_side
    from lpspec.explore.chosen_workers import workers
    from lpspec.report.beyond_grid_table import grid_blocks
    from lpspec.report.beyond_table import beyond_blocks, beyond_document

    wanted = _cases(asked.models, asked.grid)
    by = workers(asked.workers, run=run_side)
    points = len({case.scenario(p, "command").key for case in wanted for p in ((), *case.variants().values())})
    with paced("scenarios of LP-Spec+ and LP-Spec", points) as move:
        result = run_beyond(wanted, by, asked.fidelity, asked.new_tokens, store, move)

    def draw() -> "Sequence[Figure]":
        from lpspec.report.beyond_figure import beyond_figures

        return beyond_figures(result)

    blocks = grid_blocks(result) if asked.grid else beyond_blocks(result)
    deliver(outputs, with_command(beyond_document(result)), blocks, draw)


def _cases(models: Sequence[str] | None, is_grid: bool) -> "list[Case]":
    """Those of some models, of the comparison or of the grid.

    Raises:
        InputError: A model that has no case.
    """
    from lpspec.experiments.beyond import cases
    from lpspec.experiments.beyond_grid import grid

    every: Sequence[Case] = grid() if is_grid else cases()
    known = list(dict.fromkeys(case.model for case in every))
    wanted = known if models is None else split_names("--models", models) or known
    for name in wanted:
        if name not in known:
            raise InputError(f"--models {name} is not in this study: it has {listed(known, 120)}")
    return [case for case in every if case.model in wanted]
