"""The comparison: one model, one trace, several systems."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from lpspec.errors import InputError
from lpspec.experiments.notes import rounding_notes, run_notes
from lpspec.experiments.provenance import provenance
from lpspec.experiments.setting import Setting, load_setting, system_names
from lpspec.experiments.systems import KNOWN_SYSTEMS, REFERENCE, check_command_level
from lpspec.llm.model_spec import ModelSpec
from lpspec.scenario import Scenario
from lpspec.scenario.names import Fidelity
from lpspec.simulation.requests import refuse_served
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import System, TreePolicy, usable_drafts
from lpspec.speculation.rank_trace import RankTrace


class _Ran(Protocol):
    """What was run, and which level priced it."""

    @property
    def fidelity(self) -> Fidelity: ...


_Run = TypeVar("_Run", bound=_Ran)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What stands behind systems that had the same requests.

    Attributes:
        scenario: What was asked for.
        left_out: Systems that cannot run it, such as those that do not hold the model, with the reason.
        model: The decoder at the precision of the mobile systems.
        policy: How trees were found.
        provenance: What the result was made from.
        notes: Options that have no effect, one line each.
    """

    scenario: Scenario
    left_out: tuple[tuple[str, str], ...]
    model: ModelSpec
    policy: TreePolicy
    provenance: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison(Compared):
    """What each system made of the same requests: a run of each that can, in the order asked for, and whose acceptance.

    Attributes:
        asked: What each run was asked for as: a system, or a platform file.
    """

    runs: tuple[Run, ...]
    asked: tuple[str, ...]
    trace: RankTrace


def compare(scenario: Scenario) -> Comparison:
    """Run the systems of a scenario on the same requests, those that can.

    Raises:
        InputError: Any name, value or file that cannot be used, requests that are to be served, or no system can run.
    """
    setting, runs, left_out = run_scenario(scenario)
    ran = [run.system for run in runs]
    labels = {system.name for system in ran}
    named = zip(system_names(scenario), setting.systems, strict=True)
    notes = *run_notes(runs, scenario, setting.trace, setting.policy), *rounding_notes(runs)
    return Comparison(
        scenario=scenario,
        runs=tuple(runs),
        asked=tuple(name for name, system in named if system.name in labels),
        left_out=tuple(left_out),
        model=setting.model,
        trace=setting.trace,
        policy=setting.policy,
        provenance=provenance(scenario, ran, setting.trace, setting.policy, basis=scenario.basis),
        notes=notes,
    )


def run_scenario(scenario: Scenario) -> tuple[Setting, list[Run], list[tuple[str, str]]]:
    """What ``compare`` runs: what a scenario names, a run of each system that can, and why others cannot.

    Raises:
        InputError: As ``compare``.
    """
    refuse_served(scenario.workload)
    setting = load_setting(scenario)
    runs, left_out = run_all(
        setting,
        [setting.trace],
        lambda system: simulate(system, setting.trace, scenario.workload, setting.policy, scenario.level),
    )
    return setting, runs, left_out


def check_labels(names: Sequence[str], systems: Sequence[System]) -> None:
    """Refuse two rows of one name: a platform file that extends another inherits its name."""
    called: dict[str, str] = {}
    for name, system in zip(names, systems, strict=True):
        if system.name in called:
            file = called[system.name] if name in KNOWN_SYSTEMS else name
            raise InputError(f"two systems are called '{system.name}': give the platform in {file} a name of its own")
        called[system.name] = name


def run_all(
    setting: Setting, traces: Iterable[RankTrace], run: Callable[[System], _Run]
) -> tuple[list[_Run], list[tuple[str, str]]]:
    """Run every system of a setting that can, and say why the others cannot.

    Raises:
        InputError: None can; LP-Spec cannot where no system is named; a tree that no drafts fill; two of one name.
    """
    scenario = setting.scenario
    check_labels(system_names(scenario), setting.systems)
    for system in setting.systems:
        if system.speculates:
            usable_drafts(system.model, traces, setting.policy)
    several = len(setting.systems) > 1
    if several:
        check_command_level(scenario, setting.systems)
    runs: list[_Run] = []
    left_out: list[tuple[str, str]] = []
    for system in setting.systems:
        try:
            runs.append(run(system))
        except InputError as error:
            if scenario.systems is None and system.name == REFERENCE:
                raise
            left_out.append((system.name, str(error)))
    if not runs:
        raise InputError(left_out[0][1])
    if not several and any(run.fidelity != "command" for run in runs):  # a lone run soon says so itself
        check_command_level(scenario, setting.systems)
    return runs, left_out
