"""Compute every point of a study that its store does not hold yet."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from lpspec.explore.points import Point, point_count, points
from lpspec.explore.store import Store
from lpspec.explore.study_file import Study
from lpspec.explore.workers import Workers

CLAIMED_AT_ONCE = 8
"""Points claimed together: few, so that another process finds work until the end."""

LOOK_AGAIN_S = 0.2
"""How often points that another process computes are looked for."""


@dataclass
class Progress:
    """How far a sweep is.

    Attributes:
        total: Points at most.
        found: Points that the store held already.
        computed: Points computed now.
        failed: Of these, those that cannot be run.
    """

    total: int
    found: int = 0
    computed: int = 0
    failed: int = 0


def sweep(study: Study, store: Store, by: Workers, advance: Callable[[Progress], None] = lambda _: None) -> Progress:
    """Compute every point of a study that is missing; each is kept as soon as it is finished.

    Args:
        study: Which points there are.
        store: Where they are kept.
        by: Who computes; ended afterwards.
        advance: Told after every point.

    Raises:
        InputError: The study has a value that no scenario can have, or the store cannot be written.
    """
    progress = Progress(point_count(study))
    try:
        compute(points(study), store, by, progress, advance)
    finally:
        by.close()
    return progress


def compute(
    wanted: Iterator[Point], store: Store, by: Workers, progress: Progress, advance: Callable[[Progress], None]
) -> None:
    """Compute those points that the store does not hold.

    Args:
        wanted: Points.
        store: Where they are kept.
        by: Who computes; left running.
        progress: Counts them.
        advance: Told after every point.

    Raises:
        InputError: As for ``sweep``.
    """
    run = _Run(store, by, progress, advance)
    try:
        others = run.compute(wanted)
        while others:  # wait for who computes them, or until it has ended without
            time.sleep(LOOK_AGAIN_S)
            others = run.compute(iter(others))
    finally:
        store.release(run.claimed.values())


class _Run:
    """Points on their way from the study to the store."""

    def __init__(self, store: Store, by: Workers, progress: Progress, advance: Callable[[Progress], None]) -> None:
        self.store, self.by, self.progress, self.advance = store, by, progress, advance
        self.claimed: dict[str, Point] = {}
        self.others: list[Point] = []

    def compute(self, candidates: Iterator[Point]) -> list[Point]:
        """Compute those that nobody has or computes; give those that somebody computes."""
        self.others = []
        for point, outcome in self.by.outcomes(self._unfinished(candidates)):
            self.store.keep(point, outcome)
            del self.claimed[point.key]
            self.progress.computed += 1
            self.progress.failed += outcome.error is not None
            self.advance(self.progress)
        return self.others

    def _unfinished(self, candidates: Iterator[Point]) -> Iterator[Point]:
        while block := list(islice(candidates, CLAIMED_AT_ONCE)):
            mine, theirs = self.store.claim(block)
            self.others += [point for point in theirs if point.key not in self.claimed]
            self.claimed.update({point.key: point for point in mine})
            self.progress.found += len(block) - len(mine) - len(theirs)
            yield from mine
            self.advance(self.progress)
