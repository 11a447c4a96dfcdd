"""Who computes points, as asked for by numbers and names."""

import os

from lpspec.errors import InputError, shown
from lpspec.explore.dask_workers import LOCAL, Cluster
from lpspec.explore.evaluate import evaluate
from lpspec.explore.workers import Processes, Run, ThisProcess, Workers


def workers(count: int | None, dask: str | None = None, run: Run = evaluate) -> Workers:
    """Those that are asked for.

    Args:
        count: How many processes; None for one for each core.
        dask: Address of a Dask scheduler, or ``local`` for a cluster of so many processes; None for processes alone.
        run: What runs a point.

    Raises:
        InputError: Fewer than one, a number for workers that a scheduler has, or Dask is not installed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = cores if count is None else count
    if wanted < 1:
        raise InputError(f"{wanted} workers are not possible: allowed is 1 and more")
    if dask is not None:
        if count is not None and dask != LOCAL:
            raise InputError(f"--workers has no effect with --dask {shown(dask, 60)}: a scheduler has its own workers")
        return Cluster(dask, wanted, run)
    return ThisProcess(run) if wanted == 1 else Processes(wanted, run)
