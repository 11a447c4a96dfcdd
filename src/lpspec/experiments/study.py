"""Where the published numbers come from: every open choice varied, jointly and one by one.

``reproduce`` varies what the paper leaves open about the machine. The study adds what it leaves open about energy,
acceptance and speculation length, finds the best joint assumption set, and says how much
each choice moves each quantity.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lpspec.experiments.ablation import Reduced, ablation
from lpspec.experiments.assumption_sets import BUS_EFFICIENCIES, CONCURRENT_RANKS, MAC_INTERVALS_NS, AssumptionSet
from lpspec.experiments.bench import PAPER, AssumptionSetResult, Bench
from lpspec.experiments.provenance import provenance
from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.sweeps import (
    ContextPoint,
    LengthPoint,
    RankPoint,
    context_lengths,
    rank_split,
    speculation_lengths,
)
from lpspec.scenario import Scenario
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.simulation.workload import tree_policy

PROFILES = ("attacc", "specpim", "micron-y52p")
TRACE = "vicuna-7b"
TRACES = (TRACE, "vicuna-7b-spec-bench")
"""MT-bench's acceptance, and the harder mean of Spec-Bench; Alpaca's is not published."""

SIZES = (None, 2, 3, 4, 6, 8, 16)
"""The pruner's own choice, or one L_spec throughout, as the paper's closed forms have it."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """An assumption set, and what it assumes beside the machine.

    Attributes:
        assumption_set: What the paper leaves open about the machine and its pruner.
        profile: Energy profile.
        trace: Whose acceptance.
        size: One L_spec throughout; None for the pruner's choice.
    """

    assumption_set: AssumptionSet
    profile: str
    trace: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an assumption gives for every published quantity."""

    assumption: Assumption
    result: AssumptionSetResult


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One choice varied, all others as in the best joint assumption set.

    Attributes:
        parameter: What is varied.
        values: Its values as texts, the chosen one among them.
        chosen: The text of the chosen one.
        outcomes: One per value.
    """

    parameter: str
    values: tuple[str, ...]
    chosen: str
    outcomes: tuple[Outcome, ...]

    def spread(self, quantity: str) -> float:
        """Largest over smallest simulated value of a quantity."""
        found = [outcome.result.simulated[quantity] for outcome in self.outcomes]
        return max(found) / min(found)


@dataclass(frozen=True)
class Study:
    """Everything that ``lpspec reproduce --study`` reports.

    Attributes:
        best: The joint assumption set whose worst error is smallest.
        joint: How many joint assumption sets were tried.
        sensitivities: Each choice varied alone.
        lengths: Passes of L_spec 1 to 16 on three machines.
        objective: What the pruner optimises below.
        reduced: LP-Spec, and LP-Spec without each of its parts.
        ranks: PIM ranks against DRAM ranks.
        contexts: Context lengths.
        provenance: What the result was made from.
    """

    best: Outcome
    joint: int
    sensitivities: tuple[Sensitivity, ...]
    lengths: tuple[LengthPoint, ...]
    objective: Objective
    reduced: tuple[Reduced, ...]
    ranks: tuple[RankPoint, ...]
    contexts: tuple[ContextPoint, ...]
    provenance: dict[str, Any]

    @property
    def residuals(self) -> dict[str, float]:
        """Simulated over published under the best joint assumption set, by quantity."""
        return {p.id: self.best.result.simulated[p.id] / p.value for p in PUBLISHED}

    @property
    def unmatched(self) -> dict[str, float]:
        """Residuals outside 0.8 to 1.25, by quantity."""
        return {name: ratio for name, ratio in self.residuals.items() if not LOWEST_RATIO <= ratio <= HIGHEST_RATIO}


class Benches:
    """A bench per energy profile and trace, made when first asked for."""

    def __init__(self) -> None:
        """Make none yet."""
        self._benches: dict[tuple[str, str], Bench] = {}

    def bench(self, profile: str, trace: str) -> Bench:
        """The bench of a profile and a trace."""
        if (profile, trace) not in self._benches:
            self._benches[profile, trace] = Bench(PAPER.replace(energy_profile=profile, trace=trace))
        return self._benches[profile, trace]

    def outcome(self, assumption: Assumption) -> Outcome:
        """What an assumption gives."""
        bench = self.bench(assumption.profile, assumption.trace)
        return Outcome(assumption, bench.result(assumption.assumption_set, assumption.size))

    def joint(self, advance: Callable[[], None]) -> list[Outcome]:
        """Every assumption set under every profile and trace, best first."""
        found = []
        for profile in PROFILES:
            for trace in TRACES:
                results = self.bench(profile, trace).results()
                found += [Outcome(Assumption(result.assumption_set, profile, trace), result) for result in results]
                advance()
        return sorted(found, key=lambda outcome: round(outcome.result.worst_factor, 2))


STAGES = len(PROFILES) * len(TRACES) + 2
"""How often ``study`` calls ``advance``."""


OPTIONS = ("objective", "fidelity", "exact")
"""Options of the paper's scenario that may differ in a study, for its experiments beside the published quantities;
assumption sets are compared analytically."""


def study(scenario: Scenario = PAPER, advance: Callable[[], None] = lambda: None) -> Study:
    """Vary everything that is open.

    Args:
        scenario: The paper's, but for the ``OPTIONS`` that may differ.
        advance: Called after each of ``STAGES`` stages.

    Raises:
        InputError: Another option differs.
    """
    scenario = scenario.only(OPTIONS, "the study", PAPER)
    benches = Benches()
    joint = benches.joint(advance)
    sensitivities = tuple(_sensitivities(benches, joint[0]))
    advance()
    bench = benches.bench(PAPER.energy_profile, TRACE)
    model, trace = bench.model, bench.trace
    reduced = ablation(scenario, model, trace)
    result = Study(
        best=joint[0],
        joint=len(joint),
        sensitivities=sensitivities,
        lengths=speculation_lengths(scenario, model),
        objective=scenario.objective,
        reduced=reduced,
        ranks=rank_split(scenario, model, trace),
        contexts=context_lengths(scenario, model, trace),
        provenance=provenance(scenario, [part.run.system for part in reduced], trace, tree_policy(scenario)),
    )
    advance()
    return result


def _sensitivities(benches: Benches, best: Outcome) -> list[Sensitivity]:
    """Vary each choice around the best joint assumption set."""
    found = []
    for parameter, values in _alternatives(best.assumption).items():
        outcomes = tuple(benches.outcome(assumption) for assumption in values.values())
        chosen = next(text for text, assumption in values.items() if assumption == best.assumption)
        found.append(Sensitivity(parameter, tuple(values), chosen, outcomes))
    return found


def _alternatives(best: Assumption) -> dict[str, dict[str, Assumption]]:
    """For each parameter, the assumptions that differ from the best in it alone, by the text of its value."""
    assumption_set = best.assumption_set

    def read(**change: Any) -> Assumption:
        return replace(best, assumption_set=replace(assumption_set, **change))

    return {
        "PIM ranks at once": {str(n): read(concurrent_ranks=n) for n in CONCURRENT_RANKS},
        "MAC interval": {f"{ns:g} ns": read(mac_interval_ns=ns) for ns in MAC_INTERVALS_NS},
        "bus efficiency": {f"{share:g}": read(bus_efficiency=share) for share in BUS_EFFICIENCIES},
        "energy profile": {name: replace(best, profile=name) for name in PROFILES},
        "objective": {name: read(objective=name) for name in OBJECTIVES},
        "L_spec": {"DTP" if n is None else str(n): replace(best, size=n) for n in SIZES},
        "root counted": {text: read(root_counts=text == "yes") for text in ("yes", "no")},
        "acceptance": {name: replace(best, trace=name) for name in TRACES},
    }
