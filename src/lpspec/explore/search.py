"""Search for the best points of a study: many analytically, the best of them again by commands.

Every point is kept in the store as in a sweep. The order in which points are tried follows from the seed and from what
was found, so a search that was ended goes on when it is run again: what the store holds is not computed again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpspec.errors import InputError
from lpspec.explore.axis import Axis, Value
from lpspec.explore.objective import Goal
from lpspec.explore.pareto import fronts
from lpspec.explore.points import Point, points_at
from lpspec.explore.results import Results
from lpspec.explore.store import Store
from lpspec.explore.study_file import Study, plain_number
from lpspec.explore.sweep import Progress, compute
from lpspec.explore.workers import Workers

GENERATION = 32
"""Points that are tried before what they gave is looked at: enough for many workers, few enough to learn often."""


@dataclass(frozen=True)
class Found:
    """A point at both levels.

    Attributes:
        values: What the study varies, by name.
        analytic: Goals at the analytic level, by name.
        command: Goals by commands; None where it was not run, or cannot be.
        confirmed: Whether it is on the front by commands, too.
        row: The row of the level that counts, with its scenario.
    """

    values: Mapping[str, Any]
    analytic: Mapping[str, float]
    command: Mapping[str, float] | None
    confirmed: bool
    row: Mapping[str, Any]


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        goals: What was optimised.
        tried: Points at the analytic level.
        found: The best of them, each at both levels, front first.
    """

    goals: tuple[Goal, ...]
    tried: int
    found: tuple[Found, ...]

    def disagreement(self, goal: str) -> float:
        """Largest relative difference between the levels, commands over analytic less one; 0 with none compared."""
        pairs = [(found.analytic[goal], found.command[goal]) for found in self.found if found.command is not None]
        return max((value / base - 1 for base, value in pairs if base), key=abs, default=0.0)


@dataclass(frozen=True)
class Effort:
    """How much is tried.

    Attributes:
        trials: Points at the analytic level.
        confirm: Of the best, by commands.
        seed: Of the search.
    """

    trials: int = 500
    confirm: int = 20
    seed: int = 0


def search(
    study: Study, goals: Sequence[Goal], effort: Effort, store: Store, by: Workers, advance: Callable[[int], None]
) -> SearchResult:
    """Look for points that no other beats in the goals.

    Args:
        study: The space; its sample says nothing here.
        goals: One or several.
        effort: How much is tried.
        store: Where points are kept.
        by: Who computes.
        advance: Told how many points are done.

    Raises:
        InputError: Optuna is not installed, or the study has several systems that are no axis.
    """
    if len(study.scenario.systems or ()) > 1 and not any(axis.name == "systems" for axis in study.axes):
        raise InputError("a search is of one system: name one, or make systems an axis")
    quick = replace(study, scenario=study.scenario.replace(fidelity="analytic", exact=False))
    try:
        tried = _Trials(quick, goals, effort, store, by, advance).run()
        best = _best(tried, goals, effort.confirm)
        slow = replace(study, scenario=study.scenario.replace(fidelity=None))
        again = [point for row in best for point in points_at(slow, _axis_values(study, row))]
        rows = _rows(store, again, by, lambda done: advance(effort.trials + done))
    finally:
        by.close()
    return SearchResult(tuple(goals), len(tried), _both(best, [rows.get(point.key) for point in again], goals))


def _axis_values(study: Study, row: Mapping[str, Any]) -> dict[str, Value]:
    given = row["varied"]
    found: dict[str, Value] = {}
    for axis in study.axes:
        value = given[axis.name]
        found[axis.name] = (value,) if axis.name == "systems" else tuple(value) if isinstance(value, list) else value
    return found


class _Trials:
    """Points at the analytic level, chosen by Optuna."""

    def __init__(
        self, study: Study, goals: Sequence[Goal], effort: Effort, store: Store, by: Workers, advance: Any
    ) -> None:
        self.study, self.goals, self.effort = study, goals, effort
        self.store, self.by, self.advance = store, by, advance
        try:
            import optuna
        except ModuleNotFoundError:
            raise InputError("a search needs optuna: pip install 'lpspec[explore]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.failed = optuna.trial.TrialState.FAIL
        sampler = optuna.samplers.NSGAIISampler(population_size=GENERATION, seed=effort.seed)
        self.choices = optuna.create_study(directions=["minimize"] * len(goals), sampler=sampler)

    def run(self) -> list[dict[str, Any]]:
        """Every point that was tried and can be run, each once, as rows."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, self.effort.trials, GENERATION):
            count = min(GENERATION, self.effort.trials - start)
            trials = [self.choices.ask() for _ in range(count)]
            places = [list(points_at(self.study, self._values(trial))) for trial in trials]
            rows = _rows(self.store, [point for place in places for point in place], self.by, lambda _: None)
            for trial, place in zip(trials, places, strict=True):
                row = rows.get(place[0].key) if place else None
                self._tell(trial, row)
                if row is not None and row["metrics"] is not None:
                    found[row["key"]] = row
            self.advance(start + count)
        return list(found.values())

    def _values(self, trial: Any) -> dict[str, Value]:
        """Numbers are ordered, names are not."""
        return {axis.name: axis.values[_suggested(trial, axis)] for axis in self.study.axes}

    def _tell(self, trial: Any, row: Mapping[str, Any] | None) -> None:
        if row is None or row["metrics"] is None:
            self.choices.tell(trial, state=self.failed)
        else:
            self.choices.tell(trial, [goal.loss(row["varied"], row["metrics"]) for goal in self.goals])


def _suggested(trial: Any, axis: Axis) -> int:
    numbers = [plain_number(value) for value in axis.values]
    if all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return int(trial.suggest_int(axis.name, 0, len(numbers) - 1))
    return int(trial.suggest_categorical(axis.name, list(range(len(numbers)))))


def _rows(store: Store, wanted: Sequence[Point], by: Workers, advance: Any) -> dict[str, dict[str, Any]]:
    """The rows of points by key, computed where the store has none."""
    compute(
        iter(wanted), store, by, Progress(len(wanted)), lambda progress: advance(progress.found + progress.computed)
    )
    results = Results(store.path.parent)
    try:
        return results.of_keys([point.key for point in wanted])
    finally:
        results.close()


def _losses(rows: Iterable[Mapping[str, Any]], goals: Sequence[Goal]) -> Any:
    return np.array([[goal.loss(row["varied"], row["metrics"]) for goal in goals] for row in rows], np.float64)


def _best(rows: list[dict[str, Any]], goals: Sequence[Goal], most: int) -> list[dict[str, Any]]:
    """The front, then the front of the others, and so on."""
    if not rows:
        raise InputError("no point that was tried can be run: lpspec results --where 'error is not null' says why")
    order = fronts(_losses(rows, goals))
    return [rows[i] for i in np.argsort(order, kind="stable")[:most].tolist()]


def _both(
    best: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any] | None], goals: Sequence[Goal]
) -> tuple[Found, ...]:
    ran = [i for i, row in enumerate(again) if row is not None and row["metrics"] is not None]
    rows = [row for row in again if row is not None and row["metrics"] is not None]
    on_front = {i for i, front in zip(ran, fronts(_losses(rows, goals)) if rows else [], strict=True) if front == 0}
    found = []
    for i, (row, other) in enumerate(zip(best, again, strict=True)):
        analytic = {goal.name: goal.value(row["varied"], row["metrics"]) for goal in goals}
        has_run = other is not None and other["metrics"] is not None
        command = {g.name: g.value(other["varied"], other["metrics"]) for g in goals} if other and has_run else None
        found.append(Found(row["varied"], analytic, command, i in on_front, other if other and has_run else row))
    first = goals[0]
    sign = -1 if first.better == "higher" else 1
    return tuple(
        sorted(found, key=lambda each: (not each.confirmed, sign * (each.command or each.analytic)[first.name]))
    )
