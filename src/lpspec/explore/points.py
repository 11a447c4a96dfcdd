"""The points of a study, one after the other: scenarios of one system each, none twice."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.errors import InputError
from lpspec.explore.axis import Value
from lpspec.explore.named_files import point_key
from lpspec.explore.study_file import OPTIONS, Study, plain_number
from lpspec.scenario import Scenario
from lpspec.scenario.changes import as_text

_BLOCK = 4096
"""Points drawn at once."""


@dataclass(frozen=True)
class Point:
    """One scenario of a study.

    Attributes:
        scenario: What is run, of one system.
        values: What the study varies, by name, and what it derives.
        key: What tells it from every other point: the scenario, and what the files hold that it names.
    """

    scenario: Scenario
    values: Mapping[str, Value]
    key: str


def point_count(study: Study) -> int:
    """Points that a study has at most: constraints, and draws that agree, leave some out."""
    if study.sample.method != "grid":
        return study.sample.points * _systems_of(study)
    return math.prod(len(axis.values) for axis in study.axes) * _systems_of(study)


def _systems_of(study: Study) -> int:
    if any(axis.name == "systems" for axis in study.axes):
        return 1
    return len(study.scenario.systems or ())


def points(study: Study) -> Iterator[Point]:
    """Every point that fulfils the constraints.

    Raises:
        InputError: A value that a scenario cannot have, or an expression without a value.
    """
    for values in _chosen(study):
        yield from points_at(study, values)


def points_at(study: Study, values: Mapping[str, Value]) -> Iterator[Point]:
    """The points at one place of the space, one for each system; none where a constraint does not hold.

    Args:
        study: Whose space it is.
        values: Of each axis, by name.

    Raises:
        InputError: As for ``points``.
    """
    named = _named_values(study, dict(values))
    if named is not None:
        scenario = _scenario(study, named)
        for system in scenario.systems or ():
            alone = scenario if len(scenario.systems or ()) == 1 else scenario.replace(systems=[system])
            yield Point(alone, {**named, "systems": system}, point_key(alone))


def _chosen(study: Study) -> Iterator[dict[str, Value]]:
    sizes = [len(axis.values) for axis in study.axes]
    for indices in _indices(study, sizes):
        yield {axis.name: axis.values[index] for axis, index in zip(study.axes, indices, strict=True)}


def _indices(study: Study, sizes: list[int]) -> Iterator[tuple[int, ...]]:
    if study.sample.method == "grid":  # constants of the machine vary slowest: its points follow each other
        order = sorted(range(len(sizes)), key=lambda axis: study.axes[axis].name not in study.constants)
        for number in range(math.prod(sizes)):
            places = dict(zip(order, np.unravel_index(number, [sizes[axis] for axis in order]), strict=True))
            yield tuple(int(places[axis]) for axis in range(len(sizes)))
        return
    for block in _uniform(study, len(sizes)):
        for row in (block * sizes).astype(np.int64).tolist():
            yield tuple(row)


def _uniform(study: Study, dimensions: int) -> Iterator[FloatArray]:
    """Blocks of float64 [points, dimensions], from 0 up to 1."""
    left, sample = study.sample.points, study.sample
    if sample.method == "random":
        random = np.random.default_rng(sample.seed)
        draw: Any = lambda count: random.random((count, dimensions))  # noqa: E731
    else:
        try:
            from scipy.stats.qmc import Sobol
        except ModuleNotFoundError:
            raise InputError("sample method sobol needs scipy: pip install 'lpspec[explore]'") from None
        draw = Sobol(dimensions, seed=sample.seed).random
    while left > 0:
        yield draw(min(_BLOCK, left))
        left -= _BLOCK


def _named_values(study: Study, values: dict[str, Value]) -> dict[str, Value] | None:
    """What varies with what is derived; None where a constraint does not hold."""
    if not study.derived and not study.constraints:
        return values
    numbers = {name: plain_number(value) for name, value in {**_shared(study), **values}.items()}
    named = dict(values)
    for name, expression in study.derived.items():
        named[name] = numbers[name] = expression.value(numbers)
    return named if all(constraint.value(numbers) for constraint in study.constraints) else None


def _shared(study: Study) -> dict[str, Any]:
    """What every point has, by the path of the option or the key of the constant."""
    scenario = study.scenario.to_dict()
    groups = {f"{group}.{name}": v for group in ("workload",) for name, v in scenario.pop(group).items()}
    return {**scenario, **groups, **study.scenario.changes}


def _scenario(study: Study, named: Mapping[str, Value]) -> Scenario:
    changes, given = dict(study.scenario.changes), {}
    for name, value in named.items():
        if name in OPTIONS:
            given[OPTIONS[name].name] = value
        elif name in study.constants:
            changes[name] = as_text(value)
    return study.scenario.replace(**given, changes=changes)
