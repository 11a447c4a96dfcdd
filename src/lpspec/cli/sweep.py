"""``lpspec sweep``: every point of a study, kept in a store as soon as it is finished."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import paced, say_notes
from lpspec.cli.options import WholeNumber


def sweep(
    study: Annotated[str, Parameter(show_default=False)],
    /,
    *,
    store: str,
    workers: WholeNumber | None = None,
    dask: str | None = None,
) -> None:
    """Run every point of a study, and keep each in a store as soon as it is finished.

    Points that the store holds are not run again. Ended at any moment and run again, it goes on where it was; several
    processes may share a store.

    Parameters
    ----------
    study
        A .toml file: [scenario], [axes] and, if wanted, [sample], constraints and [derived].
    store
        The folder that keeps the points; made if it is not there.
    workers
        Processes that compute; one for each core if left out, 1 for this process alone.
    dask
        Compute on the workers of this Dask scheduler, such as tcp://host:8786, or local for --workers of Dask's on
        this machine.
    """
    announce_compiling()
    from lpspec.explore.chosen_workers import workers as who
    from lpspec.explore.points import point_count
    from lpspec.explore.store import Store
    from lpspec.explore.study_file import load_study
    from lpspec.explore.sweep import Progress
    from lpspec.explore.sweep import sweep as run_sweep

    asked, by = load_study(study), who(workers, dask)
    with Store(store, create=True) as kept, paced(f"points of {Path(study).name}", point_count(asked)) as move:
        kept.keep_study(asked.text, Path(study).name)

        def advance(progress: Progress) -> None:
            move(progress.found + progress.computed)

        done = run_sweep(asked, kept, by, advance)
        earlier = {engine: count for engine, count in kept.engines().items() if engine != kept.engine}
    print(f"{done.computed} points computed, {done.found} found in {store}")
    notes = []
    if done.failed:
        notes.append(f"{done.failed} points cannot be run: lpspec results {store} --where 'error is not null' says why")
    if earlier:
        notes.append(
            f"{sum(earlier.values())} points of other versions are kept apart: lpspec results {store} --engine"
        )
    say_notes(notes)
