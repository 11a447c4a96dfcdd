"""What computes points: this process, or processes of its own that stay warm."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_end
from typing import Any, Protocol, TypeAlias

from lpspec.errors import InputError
from lpspec.explore.evaluate import evaluate
from lpspec.explore.points import Point
from lpspec.explore.store import Outcome

WAITING_PER_WORKER = 3
"""Points handed out for each process: one that is computed, and two so that it need not wait."""

IN_A_ROW = 8
"""Points that follow each other and go to one process: often they are of one machine, and it is met once then."""

Run: TypeAlias = Callable[[dict[str, Any]], Outcome]
"""Runs a scenario that is plain data; a function of a module, so that processes find it."""

MOST_RESTARTS = 5
"""How often each process, once ended from outside, is started again with no point finished between."""

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
        """Start each when it is first needed.

        Args:
            count: How many.
            run: What runs a point.
        """
        self.count, self._run = count, run
        self._pools: list[ProcessPoolExecutor | None] = [None] * count

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        """Every point with its outcome, as they are finished.

        Raises:
            InputError: The processes are ended again and again, as by a machine that runs out of memory.
        """
        waiting: dict[Future[Outcome], tuple[int, Point]] = {}
        rows, restarts = Rows(points, self.count), 0
        while True:
            for who in range(self.count):
                for _ in range(WAITING_PER_WORKER - sum(one == who for one, _ in waiting.values())):
                    if (point := rows.next_for(who)) is not None:
                        waiting[self._submit(who, point)] = who, point
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    restarts += 1
                    self._submit_again(waiting, waiting[future][0], restarts)
                    break
                restarts = 0
                yield waiting.pop(future)[1], outcome

    def _submit(self, who: int, point: Point) -> "Future[Outcome]":
        values = point.scenario.to_dict()
        with deaf_children():
            try:
                return self._process(who).submit(self._run, values)
            except BrokenExecutor:
                self._pools[who] = None
                return self._process(who).submit(self._run, values)

    def _process(self, who: int) -> ProcessPoolExecutor:
        """One process, so that it is known which points it has had."""
        pool = self._pools[who]
        if pool is None:
            context = multiprocessing.get_context("spawn")
            pool = self._pools[who] = ProcessPoolExecutor(1, context, initializer=begin)
        return pool

    def _submit_again(self, waiting: "dict[Future[Outcome], tuple[int, Point]]", who: int, restarts: int) -> None:
        """Start another process for the points of one that has ended."""
        if restarts > MOST_RESTARTS * self.count:
            raise InputError(
                f"processes that compute points were ended {restarts} times in a row: too little memory? "
                "try fewer --workers"
            )
        lost = [future for future, (one, _) in waiting.items() if one == who]
        points = [waiting.pop(future)[1] for future in lost]
        _end(self._pools[who])
        self._pools[who] = None
        waiting.update({self._submit(who, point): (who, point) for point in points})

    def close(self) -> None:
        """End the processes at once."""
        for pool in self._pools:
            _end(pool)
        self._pools = [None] * self.count


def _end(pool: ProcessPoolExecutor | None) -> None:
    if pool is None:
        return
    processes: dict[int, Any] = dict(pool._processes or {})  # no public name for them before Python 3.14
    for process in processes.values():
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


class Rows:
    """Points dealt to workers, some that follow each other at a time; who finds none left gets another's last."""

    def __init__(self, points: Iterable[Point], workers: int) -> None:
        """Say what is dealt, and to how many."""
        self._source = iter(points)
        self._of: list[deque[Point]] = [deque() for _ in range(workers)]

    def next_for(self, who: int) -> Point | None:
        """The next point of a worker; None where there is none for anybody."""
        own = self._of[who]
        if not own:
            own.extend(islice(self._source, IN_A_ROW))
        if own:
            return own.popleft()
        most = max(self._of, key=len)
        return most.pop() if most else None


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
