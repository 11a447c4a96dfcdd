"""Points computed by Dask: on this machine, or on whatever machines a scheduler has."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from lpspec.engine_version import engine_version
from lpspec.errors import InputError, shown
from lpspec.explore.points import Point
from lpspec.explore.store import Outcome
from lpspec.explore.workers import MOST_RESTARTS, WAITING_PER_WORKER, Run, deaf_children

LOCAL = "local"
"""In place of a scheduler's address: workers of our own on this machine."""

CONNECT_S = 10.0
"""How long a scheduler, and the first of its workers, may take to answer."""

LOOK_AGAIN_S = 5.0
"""How often workers are counted."""

_ONE_AT_ONCE = threading.Lock()


class Cluster:
    """Computes points on the workers of a Dask scheduler, which keep what they know of machines between points."""

    def __init__(self, address: str, count: int, run: Run) -> None:
        """Say where; nothing is started or reached before the first point.

        Args:
            address: Such as ``tcp://host:8786``, or ``local``.
            count: How many workers, where they are our own.
            run: What runs a point.

        Raises:
            InputError: Dask is not installed.
        """
        try:
            import distributed
        except ModuleNotFoundError:
            raise InputError("--dask needs distributed: pip install 'lpspec[dask]'") from None
        self._distributed: Any = distributed
        self.address, self.count, self._run = address, count, run
        self._client: Any = None
        self._own: Any = None
        self._known, self._look_s = 1, 0.0

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        """Every point with its outcome, as they are finished.

        Raises:
            InputError: The scheduler cannot be reached or goes away, has no worker, or workers of another version.
        """
        try:
            source = iter(points)
            for first in source:  # whatever has none to compute starts nothing
                yield from self._outcomes(chain([first], source))
        except self._distributed.KilledWorker:
            raise InputError(
                f"Dask workers that compute points were ended {MOST_RESTARTS} times in a row: too little memory?"
            ) from None
        except (OSError, TimeoutError, self._distributed.client.FutureCancelledError) as error:
            raise InputError(
                f"--dask {shown(self.address, 60)}: the scheduler is gone: {shown(str(error), 60)}"
            ) from None

    def _outcomes(self, source: Iterator[Point]) -> Iterator[tuple[Point, Outcome]]:
        waiting: dict[Any, Point] = {}
        done = self._distributed.as_completed(loop=self._reached().loop)
        more = True
        while True:
            while more and len(waiting) < WAITING_PER_WORKER * self._workers():
                point = next(source, None)
                more = point is not None
                if point is not None:
                    future = self._client.submit(
                        _computed, self._run, point.scenario.to_dict(), engine_version(), pure=False
                    )
                    waiting[future] = point
                    done.add(future)
            if not waiting:
                return
            future = next(done)
            outcome, point = future.result(), waiting.pop(future)
            if isinstance(outcome, str):
                raise InputError(f"--dask {shown(self.address, 60)}: {outcome}")
            yield point, outcome

    def _reached(self) -> Any:
        """The client, once there is a worker."""
        if self._client is None:
            self._client = self._started() if self.address == LOCAL else self._connected()
        return self._client

    def _started(self) -> Any:
        quiet = {"silence_logs": logging.CRITICAL, "dashboard_address": None}
        with deaf_children():
            self._own = self._distributed.LocalCluster(self.count, threads_per_worker=1, processes=True, **quiet)
        return self._distributed.Client(self._own)

    def _connected(self) -> Any:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        client = None
        try:
            client = self._distributed.Client(self.address, timeout=CONNECT_S, set_as_default=False)
            client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            if client is not None:
                client.close()
            why = "it has no worker" if client is not None else shown(str(error) or type(error).__name__, 60)
            raise InputError(f"--dask {shown(self.address, 60)} cannot be used: {why}") from None
        return client

    def _workers(self) -> int:
        """Points that may be computed at once: workers of a scheduler come and go."""
        if time.monotonic() >= self._look_s:
            self._look_s = time.monotonic() + LOOK_AGAIN_S
            self._known = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        return self._known

    def close(self) -> None:
        """End our own workers at once; leave those of a scheduler, and cancel what they had to do."""
        for part in (self._client, self._own):
            if part is not None:
                part.close(timeout=CONNECT_S)
        self._client = self._own = None


def _computed(run: Run, values: dict[str, Any], engine: str) -> Outcome | str:
    """On a worker: the outcome of a scenario, or why it would be another engine's; one at once in a process."""
    if engine_version() != engine:
        return f"a worker has version {engine_version()}, and this is {engine}: install the same on all"
    with _ONE_AT_ONCE:
        return run(values)
