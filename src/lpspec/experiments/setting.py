"""What the names of a scenario stand for, loaded; everything that cannot be used is said at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lpspec.errors import InputError
from lpspec.experiments.systems import SYSTEMS, check_changes, make_system
from lpspec.llm.dimensions import split_changes, with_dimensions
from lpspec.llm.draft_work import drafted
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.routing import read_routing
from lpspec.llm.weights_table import weights_text
from lpspec.machine.loading import load_profile
from lpspec.scenario import Scenario
from lpspec.simulation.workload import System, TreePolicy, tree_policy
from lpspec.speculation.geometric import geometric_trace
from lpspec.speculation.rank_trace import RankTrace, load_trace

FALLBACK_TRACE = "vicuna-7b"
"""The trace for models that name none of their own."""

EAGLE3_TRACES = {"llama": "llama3.1-8b-eagle3", "qwen3": "qwen3-8b-eagle3"}
"""Traces of EAGLE-3: that of Qwen3 for its family, that of Llama for all others."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Setting:
    """A scenario with what it names.

    Attributes:
        scenario: The words.
        model: The decoder at the precision of the mobile systems.
        trace: Whose acceptance is replayed.
        policy: How trees are found.
        systems: What runs, in the order asked for.
    """

    scenario: Scenario
    model: ModelSpec
    trace: RankTrace
    policy: TreePolicy
    systems: tuple[System, ...]


class _Faults:
    """Collects what cannot be loaded, by the option that asked for it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def take(self, path: str, load: Callable[[], _T]) -> _T | None:
        """What loads, or None, the reason kept."""
        try:
            return load()
        except InputError as error:
            self.found.append((path, str(error)))
            return None

    def refusal(self) -> InputError:
        """The one fault as it is, or all of them, each with its option."""
        if len(self.found) == 1:
            return InputError(self.found[0][1])
        return InputError(f"scenario: {len(self.found)} faults", *(f"{path}: {why}" for path, why in self.found))


def load_setting(scenario: Scenario) -> Setting:
    """Load everything that a scenario names.

    Raises:
        InputError: A name, value or file that cannot be used; a line for each.
    """
    faults = _Faults()
    policy = faults.take("tree", lambda: tree_policy(scenario))
    model = faults.take("model", lambda: model_of(scenario))
    if model is not None:
        known = model
        faults.take("drafter", lambda: drafted(known, scenario.drafter))
    faults.take("energy_profile", lambda: load_profile(scenario.energy_profile))
    accepted_by = "trace" if scenario.acceptance is None else "acceptance"
    trace = faults.take(accepted_by, lambda: trace_of(scenario, model))
    names = system_names(scenario)
    faults.take("systems", lambda: check_changes(names, split_changes(scenario.changes)[1]))
    if faults.found:
        raise faults.refusal()
    assert policy is not None and model is not None and trace is not None  # noqa: PT018
    systems = tuple(make_system(name, model, scenario) for name in names)
    return Setting(scenario, model, trace, policy, systems)


def model_of(scenario: Scenario) -> ModelSpec:
    """The model in the precision that a scenario gives it.

    Raises:
        InputError: The model or a precision cannot be used.
    """
    model = load_model(scenario.model, scenario.weights)
    dimensions, _ = split_changes(scenario.changes)
    if dimensions:
        model = with_dimensions(model, dimensions)
        if scenario.weights is not None:
            model = model.with_weights(weights_text(scenario.weights))  # do its rows fill?
    if scenario.routing is not None:
        model = model.with_routing(read_routing(scenario.routing))
    return model.with_bits(activation=scenario.activations, kv=scenario.kv)


def system_names(scenario: Scenario) -> tuple[str, ...]:
    """The systems that a scenario names, or all."""
    return tuple(SYSTEMS) if scenario.systems is None else scenario.systems


def trace_of(scenario: Scenario, model: ModelSpec | None) -> RankTrace:
    """Whose acceptance a scenario replays.

    Raises:
        InputError: There is no such trace, or its number is none.
    """
    return (
        load_trace(trace_name(scenario, model)) if scenario.acceptance is None else geometric_trace(scenario.acceptance)
    )


def trace_name(scenario: Scenario, model: ModelSpec | None) -> str:
    """The trace that a scenario names, or the one that suits its drafter and model."""
    if scenario.trace is not None:
        return scenario.trace
    if scenario.drafter == "eagle3":
        is_qwen3 = model is not None and model.name.lower().startswith("qwen3")
        return EAGLE3_TRACES["qwen3" if is_qwen3 else "llama"]
    return FALLBACK_TRACE if model is None else model.default_trace or FALLBACK_TRACE
