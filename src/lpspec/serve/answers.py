"""What the processes behind the page compute: controls, a scenario's table, and its pictures."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.explore.workers import begin
from lpspec.report.documents import comparison_document
from lpspec.report.figures import figure_bytes
from lpspec.report.page import figures
from lpspec.report.page.comparison import COLUMNS
from lpspec.report.page.results import SystemResult
from lpspec.report.wording import digits
from lpspec.scenario import Scenario
from lpspec.scenario.names import Fidelity
from lpspec.serve.controls import controls_of
from lpspec.serve.folder import check_inside
from lpspec.serve.guard import Guard

DRAWN = (figures.throughput, figures.energy, figures.energy_delay, figures.passes, figures.tree_sizes)
"""Figures of the page, as in the report of a comparison."""

KEPT = 8
"""Results that a process keeps for their pictures."""

_guard: Guard | None = None


def begin_answering(folder: str) -> None:
    """In a new process: go to the folder, load all that is needed, and be on guard from then on."""
    global _guard
    begin()
    os.chdir(folder)
    compare(Scenario(systems=("lp-spec",), fidelity="analytic"))
    _guard = Guard(Path(folder))


def controls(scenario: str, machine: str) -> dict[str, Any]:
    """Everything that can be moved, with a scenario's values.

    Args:
        scenario: As JSON.
        machine: The system whose constants are wanted.
    """
    return _guarded(lambda: controls_of(_read(scenario, (machine,)), machine))


def table(scenario: str, level: Fidelity) -> dict[str, Any]:
    """The figures of a scenario's systems.

    Args:
        scenario: As JSON.
        level: Analytic, or commands for the systems that have them.
    """
    return _guarded(lambda: _answer(scenario, level))


def drawings(scenario: str, level: Fidelity) -> dict[str, Any]:
    """Its pictures, each with its SVG text."""
    answer = _guarded(lambda: _answer(scenario, level))
    if "error" in answer:
        return answer
    systems = [SystemResult.model_validate(one) for one in answer["systems"]]
    drawn = [drawing for draw in DRAWN if (drawing := draw(systems)) is not None]
    return {
        "figures": [
            {
                "name": one.name,
                "caption": one.caption,
                "svg": figure_bytes(one.figure, ".svg", letters=True).decode(),
            }
            for one in drawn
        ]
    }


def _guarded(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is computed, or why it cannot be: a line, and further faults."""
    assert _guard is not None
    try:
        with _guard.on():
            return compute()
    except InputError as error:
        first, *faults = str(error).splitlines()
        return {"error": first, **({"faults": faults} if faults else {})}
    except OSError as error:
        return {"error": str(InputError(f"{error.filename or 'a file'}: {error.strerror or error}"))}


def _read(text: str, others: tuple[str, ...] = ()) -> Scenario:
    """A scenario whose files, and those of further systems, lie in the folder.

    Raises:
        InputError: It is none, or they do not.
    """
    scenario = Scenario.from_json(text)
    check_inside(scenario.replace(systems=(*(scenario.systems or ()), *others) or None), Path.cwd())
    return scenario


@lru_cache(KEPT)
def _answer(text: str, level: Fidelity) -> dict[str, Any]:
    scenario = _read(text)
    priced = scenario.replace(fidelity="analytic", exact=False) if level == "analytic" else scenario
    document = comparison_document(compare(priced))
    for one in document["systems"]:
        one["cells"] = {name: "-" if one[name] is None else digits(one[name]) for name in COLUMNS}
    return {name: document[name] for name in ("systems", "left_out", "model", "trace", "notes")} | {
        "toml": scenario.to_toml()
    }
