"""What computes points: this process, or processes of its own that stay warm."""

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_end
from typing import Any, Protocol, TypeAlias

from lpspec.errors import InputError
from lpspec.explore.evaluate import evaluate
from lpspec.explore.points import Point
from lpspec.explore.store import Outcome

WAITING_PER_WORKER = 3
"""Points handed out for each process: one that is computed, and two so that it need not wait."""

Run: TypeAlias = Callable[[dict[str, Any]], Outcome]
"""Runs a scenario that is plain data; a function of a module, so that processes find it."""

MOST_RESTARTS = 5
"""How often processes that were ended from outside are started again with no point finished between."""

SELDOM = 100_000, 20, 20
"""Objects between two looks for circles, and younger looks between older ones: a point leaves few, and the looks that
Python takes by itself were a twentieth of its time."""


class Workers(Protocol):
    """Computes points."""

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        """Every point with its outcome, as they are finished."""
        ...

    def close(self) -> None:
        """End what computes."""
        ...


class ThisProcess:
    """Computes one point after the other, here."""

    def __init__(self, run: Run = evaluate) -> None:
        """Say what runs a point."""
        self._run = run

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        """Every point with its outcome."""
        for point in points:
            yield point, self._run(point.scenario.to_dict())

    def close(self) -> None:
        """Nothing was started."""


class Processes:
    """Computes points in processes of its own, which keep what they know of machines from one point to the next."""

    def __init__(self, count: int, run: Run = evaluate) -> None:
        """Start them when they are first needed.

        Args:
            count: How many.
            run: What runs a point.
        """
        self.count, self._run = count, run
        self._pool: ProcessPoolExecutor | None = None

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        """Every point with its outcome, as they are finished.

        Raises:
            InputError: The processes are ended again and again, as by a machine that runs out of memory.
        """
        waiting: dict[Future[Outcome], Point] = {}
        source, restarts = iter(points), 0
        more = True
        while waiting or more:
            while more and len(waiting) < WAITING_PER_WORKER * self.count:
                point = next(source, None)
                more = point is not None
                if point is not None:
                    waiting[self._submit(point)] = point
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            try:
                for future in done:
                    outcome = future.result()
                    restarts = 0
                    yield waiting.pop(future), outcome
            except BrokenExecutor:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise InputError(
                        f"processes that compute points were ended {restarts} times in a row: too little memory? "
                        "try fewer --workers"
                    ) from None
                waiting = self._again(list(waiting.values()))

    def _submit(self, point: Point) -> "Future[Outcome]":
        values = point.scenario.to_dict()
        with deaf_children():
            try:
                return self._executor().submit(self._run, values)
            except BrokenExecutor:
                self._pool = None
                return self._executor().submit(self._run, values)

    def _executor(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, context, initializer=begin)
        return self._pool

    def _again(self, points: list[Point]) -> "dict[Future[Outcome], Point]":
        self.close()
        return {self._submit(point): point for point in points}

    def close(self) -> None:
        """End the processes at once."""
        if self._pool is None:
            return
        processes: dict[int, Any] = dict(self._pool._processes or {})  # no public name for them before Python 3.14
        for process in processes.values():
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None


@contextmanager
def deaf_children() -> Iterator[None]:
    """Let processes that are started here leave Ctrl-C to this one from their first moment; here it waits meanwhile."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield  # Windows has no mask, and Ctrl-C goes to the main thread alone
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # another thread may take it
    resource_tracker.ensure_running()  # which else would be started below, and let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if came and callable(handler):
            handler(came[0], None)


def begin() -> None:
    """In a new process: leave Ctrl-C to the parent, and end when it does, however it ends."""
    gc.set_threshold(*SELDOM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for_end([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
