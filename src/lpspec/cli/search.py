"""``lpspec search``: the best points of a study, found analytically and confirmed by commands."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import paced
from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile, flattened, given_options
from lpspec.cli.outputs import plan_outputs
from lpspec.scenario.description import Description
from lpspec.scenario.option import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Searching(Description):
    """What is looked for, and how hard."""

    KIND = "search"

    goals: str = option(
        "tokens_per_s,tokens_per_j",
        "Figures to optimise together, or arithmetic over figures and axes: 'min:mj_per_token * pim.alus' (then with ; "
        "between goals).",
    )
    trials: int = option(500, "Points to try analytically.", least=1)
    confirm: int = option(20, "Of the best, points to run again by commands.", least=1)
    seed: int = option(0, "Of the search.", least=0)
    workers: int | None = option(None, "Processes that compute; one for each core if left out.", least=1)
    dask: str | None = option(
        None, "Compute on the workers of this Dask scheduler, or local for --workers of Dask's, as for lpspec sweep."
    )


if TYPE_CHECKING:
    Options: TypeAlias = Any
else:
    Options = flattened(Searching)


def search(
    study: Annotated[str, Parameter(show_default=False)],
    /,
    *,
    store: str,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: str | None = None,
) -> None:
    """Search a study for the points that no other beats, and confirm the best by commands.

    Parameters
    ----------
    study
        A .toml file: [scenario], [axes] and, if wanted, constraints and [derived]; its [sample] says nothing here.
    store
        The folder that keeps the points, as for lpspec sweep; a search that was ended goes on from it.
    figure
        Draw the two goals at both levels, as .pdf and .png; .pdf, .png or .svg at its end names one.
    """
    outputs = plan_outputs(json, figure)
    asked = Searching(**given_options(Searching, options))
    announce_compiling()
    from lpspec.explore.chosen_workers import workers
    from lpspec.explore.objective import read_goals
    from lpspec.explore.search import Effort
    from lpspec.explore.search import search as run_search
    from lpspec.explore.store import Store
    from lpspec.explore.study_file import load_study
    from lpspec.report.search_table import search_blocks, search_document

    space, goals = load_study(study), read_goals(asked.goals)
    effort, total = Effort(asked.trials, asked.confirm, asked.seed), asked.trials + asked.confirm
    with Store(store, create=True) as kept, paced(f"points of {Path(study).name}", total) as move:
        kept.keep_study(space.text, Path(study).name)
        result = run_search(space, goals, effort, kept, workers(asked.workers, asked.dask), move)

    def draw() -> "Figure":
        from lpspec.report.search_figure import search_figure

        return search_figure(result)

    deliver(outputs, with_command(search_document(result)), search_blocks(result), draw)
