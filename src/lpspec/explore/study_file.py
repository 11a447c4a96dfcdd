"""The file of a study: a scenario, the axes along which it varies, and what its points must fulfil."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lpspec.errors import InputError, listed, shown, unknown_name
from lpspec.experiments.systems import REFERENCE, check_changes, system_constants
from lpspec.explore.axis import Axis, read_axis
from lpspec.explore.expression import Expression
from lpspec.llm.dimensions import KEYS, check_dimensions, split_changes
from lpspec.scenario import Scenario
from lpspec.scenario.checking import is_path
from lpspec.scenario.option import options_of
from lpspec.text_files import read_text

SAMPLERS = ("grid", "random", "sobol")
TABLES = ("scenario", "axes", "sample", "constraints", "derived")
OPTIONS = {option.path: option for option in options_of(Scenario)}
"""Of a scenario, by path: each may be an axis."""


@dataclass(frozen=True)
class Sample:
    """Which points of the space are taken.

    Attributes:
        method: All of the grid, or points drawn from it: at random, or as a scrambled Sobol sequence.
        points: How many are drawn.
        seed: Of the drawing.
    """

    method: str = "grid"
    points: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Study:
    """What a study's file says.

    Attributes:
        scenario: What every point shares; of one system or several, each of which is a point of its own.
        axes: What varies.
        sample: Which points are taken.
        constraints: What a point must fulfil to be one.
        derived: Values that follow from others: options of a scenario, constants, or names of the study's own.
        constants: Those of the axes and derived values that are constants of a machine.
        text: Of its file; empty where there is none.
    """

    scenario: Scenario
    axes: tuple[Axis, ...]
    sample: Sample = Sample()
    constraints: tuple[Expression, ...] = ()
    derived: Mapping[str, Expression] = field(default_factory=dict)
    constants: frozenset[str] = frozenset()
    text: str = ""


def load_study(path: str | Path) -> Study:
    """Read a study; relative paths in it start at its folder.

    Raises:
        InputError: It cannot be read, or says something that is not known.
    """
    path, where = Path(path), f"study '{shown(str(path))}'"
    try:
        text = read_text(path)
        content = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid TOML: {error}") from None

    def place(text: str) -> str:
        return str((path.parent / text).absolute()) if is_path(text) else text

    return replace(parse_study(content, where, place), text=text)


def parse_study(content: Mapping[str, Any], where: str = "study", place: Any = str) -> Study:
    """A study from plain data, as a file holds it.

    Args:
        content: Tables by name.
        where: Begins what is said of any fault.
        place: Gives the path for a text that may name a file.

    Raises:
        InputError: A table, key or value that is not known.
    """
    for name in content:
        if name not in TABLES:
            raise InputError(f"{where}: {unknown_name('table', name, TABLES)}")
    scenario = Scenario.from_dict(_table(content, "scenario", where), f"{where}, scenario").with_paths(place)
    if scenario.systems is None:
        scenario = scenario.replace(systems=[REFERENCE])
    axes = tuple(_axes(_table(content, "axes", where), where, place))
    study = Study(
        scenario,
        axes,
        _sample(content, where),
        _constraints(content, where),
        _derived(_table(content, "derived", where)),
    )
    return _with_constants(study, where)


def _table(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: {name} must be a table")
    return table


def _axes(table: Mapping[str, Any], where: str, place: Any) -> Iterator[Axis]:
    found: dict[str, Axis] = {}
    for key, values in _dotted(table):
        name = key.removeprefix("changes.")
        if name in found:
            raise InputError(f"{where}: axis '{shown(name, 60)}' is given twice")
        option = OPTIONS.get(name)
        found[name] = read_axis(name, values, option, f"{where}, axis '{shown(name, 60)}'")
        if option is not None and option.is_path:
            found[name] = Axis(name, tuple(place(v) if isinstance(v, str) else v for v in found[name].values))
    if not found:
        raise InputError(f'{where}: no axes: write a table such as [axes] "pim.alus" = [2, 4, 6]')
    yield from found.values()


def _dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with dots, whether a file writes them so or as nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not {"from", "to"} & set(value):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _sample(content: Mapping[str, Any], where: str) -> Sample:
    table = _table(content, "sample", where)
    for key in table:
        if key not in ("method", "points", "seed"):
            raise InputError(f"{where}, sample: {unknown_name('key', key, ('method', 'points', 'seed'))}")
    method, points, seed = table.get("method", "grid"), table.get("points", 0), table.get("seed", 0)
    if method not in SAMPLERS:
        raise InputError(f"{where}, sample: {unknown_name('method', str(method), SAMPLERS)}")
    if type(points) is not int or type(seed) is not int or points < 0 or seed < 0:
        raise InputError(f"{where}, sample: points and seed must be whole numbers, 0 or more")
    if (method == "grid") != (points == 0):
        raise InputError(f"{where}, sample: points must be given for random and sobol, and for no other method")
    return Sample(method, points, seed)


def _constraints(content: Mapping[str, Any], where: str) -> tuple[Expression, ...]:
    texts = content.get("constraints", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f'{where}: constraints must be a list of texts such as ["pim.alus * memory.pim_dies <= 24"]')
    return tuple(Expression(text) for text in texts)


def _derived(table: Mapping[str, Any]) -> dict[str, Expression]:
    found: dict[str, Expression] = {}
    for key, text in _dotted(table):
        if not isinstance(text, str):
            raise InputError(f"derived '{shown(key, 60)}' must be a text such as \"pim.alus * 2\"")
        found[key.removeprefix("changes.")] = Expression(text)
    return found


def _with_constants(study: Study, where: str) -> Study:
    """Tell constants of the machines from names of the study's own; refuse axes that no system has, and other names."""
    systems = _system_names(study)
    own = [axis.name for axis in study.axes if axis.name not in OPTIONS]
    dimensions, machines = split_changes(dict.fromkeys(own, ""))
    check_dimensions(dimensions)
    die = study.scenario.changes.get("memory.die")
    check_changes(systems, machines if die is None else {"memory.die": die, **machines})
    constants = {key for name in systems for key in system_constants(name, die)} | set(KEYS)
    known = [*OPTIONS, *study.scenario.changes, *(axis.name for axis in study.axes)]
    for name, expression in study.derived.items():
        if name in known and (name not in OPTIONS or any(axis.name == name for axis in study.axes)):
            raise InputError(f"{where}: '{shown(name, 60)}' is derived, and given besides: take one of them out")
        _check_known(expression, known, where)
        known.append(name)
    for expression in study.constraints:
        _check_known(expression, known, where)
    return replace(study, constants=frozenset(own) | {name for name in study.derived if name in constants})


def _system_names(study: Study) -> list[str]:
    listed_systems = [axis.values for axis in study.axes if axis.name == "systems"]
    groups = listed_systems[0] if listed_systems else (study.scenario.systems or (),)
    return [name for group in groups if isinstance(group, tuple) for name in group]


def _check_known(expression: Expression, known: list[str], where: str) -> None:
    unknown = [name for name in expression.names if name not in known]
    if unknown:
        raise InputError(
            f"{where}: '{shown(unknown[0], 40)}' in '{shown(expression.text, 40)}' is no axis, option or derived name: "
            f"known are {listed(known[::-1], 60)}"
        )


def plain_number(value: Any) -> float | int | bool | str:
    """A value as expressions compute with it: of a text such as ``6400 Mbps`` its number."""
    if not isinstance(value, str):
        number: float | int | bool | str = value
        return number
    start = value.split(" ")[0]
    try:
        return int(start)
    except ValueError:
        pass
    try:
        return float(start)
    except ValueError:
        return value
