"""The Python API: the questions of the command line, with results that one can go on working with.

This module stands above every block, as the command line does, and no block imports it; ``lpspec`` itself loads it
when one of its names is first used.
"""

import inspect
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lpspec import __version__
from lpspec.errors import InputError
from lpspec.experiments import compare as comparing
from lpspec.experiments import reproduce as reproducing
from lpspec.experiments import serving
from lpspec.experiments.bench import PAPER
from lpspec.experiments.provenance import repeatable
from lpspec.report.compare_table import comparison_blocks, systems_table
from lpspec.report.documents import comparison_document, json_text, run_document
from lpspec.report.reproduce_document import reproduction_document
from lpspec.report.reproduce_table import reproduction_blocks
from lpspec.report.serving_table import served_document, serving_blocks, serving_document
from lpspec.report.wording import digits
from lpspec.scenario.option import options_of
from lpspec.scenario.scenario import DEFAULT, Scenario
from lpspec.simulation import run as simulating
from lpspec.simulation.requests import is_served

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HTML_WIDTH = 130
"""Letters in a line of a result in a notebook."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Result(ABC):
    """What every result can do: become JSON, a table of data or a figure, and show itself."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The content of ``to_json``."""

    @abstractmethod
    def to_rows(self) -> list[dict[str, Any]]:
        """The rows of ``to_dataframe``."""

    @abstractmethod
    def blocks(self) -> Iterable[Any]:
        """Tables and lines, as the command line prints them."""

    @abstractmethod
    def plot(self) -> "Figure":
        """The figure of the command line, as a matplotlib Figure."""

    def to_json(self) -> str:
        """JSON text; what the command line's ``--json`` writes, where it has the same result."""
        return json_text(self.to_dict())

    def to_dataframe(self) -> Any:
        """A polars DataFrame.

        Raises:
            InputError: polars is not installed.
        """
        try:
            import polars
        except ModuleNotFoundError:
            raise InputError("to_dataframe needs polars: pip install 'lpspec[frames]'") from None
        return polars.DataFrame(self.to_rows(), infer_schema_length=None)

    def __rich__(self) -> Any:
        """What rich prints."""
        from rich.console import Group

        return Group(*self.blocks())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from rich.console import Console

        console = Console(record=True, file=io.StringIO(), width=HTML_WIDTH, highlight=False, markup=False)
        console.print(self)
        return console.export_html(inline_styles=True, code_format='<pre style="line-height:normal">{code}</pre>')


@dataclass(frozen=True, eq=False, repr=False)
class Run(simulating.Run, Result):
    """What one system made of the requests; its figures are attributes such as ``tokens_per_s``.

    Attributes:
        scenario: What repeats it.
    """

    scenario: Scenario = DEFAULT

    def to_dict(self) -> dict[str, Any]:
        """Totals, and the scenario that gives them again."""
        origin = {"lpspec": __version__, "scenario": repeatable(self.scenario).to_dict()}
        return {**run_document(self), "provenance": origin}

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per step: its turn, tokens before it, tokens verified and committed, and what else it did."""
        steps = self.steps
        named = {"turn": steps.turn, **{f.name: getattr(steps, f.name) for f in fields(steps)}}
        columns = {name: column for name, column in named.items() if column is not None}
        lists = [column.tolist() for column in columns.values()]
        return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]

    def blocks(self) -> Iterable[Any]:
        """A table of one row."""
        yield systems_table(f"{self.system.model.name}: decode steps only, per generated token", [self])

    def plot(self) -> "Figure":
        """The figure of a comparison, with this system alone."""
        from lpspec.report.compare_figure import comparison_figure

        return comparison_figure([self])

    def __repr__(self) -> str:
        """One line."""
        return (
            f"<Run of {self.system.name}: {digits(self.tokens_per_s)} token/s, {digits(self.tokens_per_j)} token/J, "
            f"{len(self.steps.committed)} steps>"
        )


class Comparison(comparing.Comparison, Result):
    """What each system made of the same requests: ``runs``, and what they were made from."""

    runs: tuple[Run, ...]

    def to_dict(self) -> dict[str, Any]:
        """What ``lpspec compare --json`` writes."""
        return comparison_document(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per system."""
        return [_flat(run_document(run)) for run in self.runs]

    def blocks(self) -> Iterable[Any]:
        """What ``lpspec compare`` prints."""
        return comparison_blocks(self)

    def plot(self) -> "Figure":
        """What ``lpspec compare --figure`` draws."""
        from lpspec.report.compare_figure import comparison_figure

        return comparison_figure(self.runs)

    def __repr__(self) -> str:
        """One line."""
        speeds = ", ".join(f"{run.system.name} {digits(run.tokens_per_s)}" for run in self.runs)
        return f"<Comparison on {self.model.name}, token/s: {speeds}>"


class Serving(serving.Serving, Result):
    """What each system made of requests that arrive one by one, or several in a pass: ``runs``, and what is theirs."""

    def to_dict(self) -> dict[str, Any]:
        """What ``lpspec compare --json`` writes."""
        return serving_document(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per system."""
        return [_flat_waits(served_document(run)) for run in self.runs]

    def blocks(self) -> Iterable[Any]:
        """What ``lpspec compare`` prints."""
        return serving_blocks(self)

    def plot(self) -> "Figure":
        """What ``lpspec compare --figure`` draws."""
        from lpspec.report.serving_figure import serving_figure

        return serving_figure(self.runs)

    def __repr__(self) -> str:
        """One line."""
        speeds = ", ".join(f"{run.system.name} {digits(run.served_tokens_per_s)}" for run in self.runs)
        return f"<Serving of {len(self.requests)} requests on {self.model.name}, token/s: {speeds}>"


class Reproduction(reproducing.Reproduction, Result):
    """Every published quantity beside the simulated one: ``rows``, and what else ``lpspec reproduce`` says."""

    def to_dict(self) -> dict[str, Any]:
        """What ``lpspec reproduce --json`` writes."""
        return reproduction_document(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per published quantity and basis."""
        rows: list[dict[str, Any]] = self.to_dict()["rows"]
        return rows

    def blocks(self) -> Iterable[Any]:
        """What ``lpspec reproduce`` prints."""
        return reproduction_blocks(self)

    def plot(self) -> "Figure":
        """What ``lpspec reproduce --figure`` draws."""
        from lpspec.report.reproduce_figure import reproduction_figure

        return reproduction_figure(self)

    def __repr__(self) -> str:
        """One line."""
        name, ratio = self.level.worst
        return f"<Reproduction of {len(self.rows)} quantities; furthest off on the published basis: {name} {ratio:.2f}>"


def _with_options(*names: str) -> Callable[[_Function], _Function]:
    """Give a function options of a scenario as its signature and in its text, from the one place that has them."""
    options = [option for option in options_of(Scenario) if option.name in names]

    def describe(function: _Function) -> _Function:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        keyword = inspect.Parameter.KEYWORD_ONLY
        own += [inspect.Parameter(o.name, keyword, default=o.default, annotation=o.hint) for o in options]
        returned = inspect.signature(function).return_annotation
        function.__signature__ = inspect.Signature(own, return_annotation=returned)  # type: ignore[attr-defined]
        lines = [f"    {option.name} (default {option.default!r}): {option.help}" for option in options]
        function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Options:", *lines])
        return function

    return describe


EVERY_OPTION = tuple(option.name for option in options_of(Scenario))


@_with_options(*EVERY_OPTION)
def compare(scenario: Scenario | str | Path | None = None, /, **options: Any) -> Comparison | Any:
    """Run systems on the same requests, as ``lpspec compare`` does.

    A workload with ``requests``, or with a ``batch`` above 1, is served: the result is then a ``Serving``.

    Args:
        scenario: What to run, or a file that says it; None for the defaults.
        options: Options of the scenario in place of what it says, by name.

    Raises:
        InputError: A name, value or file that cannot be used; a line for each.
    """
    asked = _asked(scenario, options)
    if is_served(asked.workload):
        return Serving(**_own(serving.serve_requests(asked)))
    return _comparison(comparing.compare(asked))


@_with_options(*(name for name in EVERY_OPTION if name != "systems"))
def run(system: str, scenario: Scenario | str | Path | None = None, /, **options: Any) -> Run:
    """Run one system.

    Args:
        system: Its name, or a platform file.
        scenario: What else to run, or a file that says it; None for the defaults. Its systems do not count.
        options: Options of the scenario in place of what it says, by name.

    Raises:
        InputError: A name, value or file that cannot be used; a line for each.
    """
    if "systems" in options:
        raise InputError("systems: run takes one system, as its first argument")
    return _comparison(comparing.compare(_asked(scenario, {**options, "systems": [system]}))).runs[0]


@_with_options(*reproducing.OPTIONS)
def reproduce(scenario: Scenario | str | Path | None = None, /, **options: Any) -> Reproduction:
    """Put every published number of LP-Spec beside the simulated one, as ``lpspec reproduce`` does.

    Args:
        scenario: The paper's, or a file that says it; None for the paper's.
        options: Options of the scenario in place of what it says, by name.

    Raises:
        InputError: Another option, or a value that cannot be used.
    """
    found = reproducing.reproduce(_asked(scenario, options, PAPER))
    return Reproduction(**_own(found))


def _asked(scenario: Scenario | str | Path | None, options: Mapping[str, Any], base: Scenario = DEFAULT) -> Scenario:
    if isinstance(scenario, str | Path):
        scenario = Scenario.load(scenario)
    return (scenario or base).replace(**options)


def _comparison(found: comparing.Comparison) -> Comparison:
    scenario = found.scenario
    scenarios = [scenario if scenario.systems == (name,) else scenario.replace(systems=[name]) for name in found.asked]
    runs = [Run(**_own(run), scenario=its) for run, its in zip(found.runs, scenarios, strict=True)]
    return Comparison(**{**_own(found), "runs": tuple(runs)})


def _own(found: Any) -> dict[str, Any]:
    return {f.name: getattr(found, f.name) for f in fields(found)}


def _flat_waits(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document whose distributions are columns of their own, such as ``first_token_ms_p90``."""
    waits = {name: value for name, value in document.items() if name.endswith("_ms") and isinstance(value, Mapping)}
    columns = {f"{name}_{which}": number for name, value in waits.items() for which, number in value.items()}
    return _flat(document) | columns


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document whose tables are columns of their own, without histograms and lists, which differ from row to row."""
    parts = document["energy_by_component_mj"]
    plain = {key: value for key, value in document.items() if not isinstance(value, Mapping | list)}
    return plain | {f"{name}_mj_per_token": value for name, value in parts.items()}
