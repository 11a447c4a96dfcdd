"""The fixed part of the reproduction: model, trace and profile, with price lists shared between assumption sets."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from lpspec.experiments.assumption_sets import AssumptionSet, all_assumption_sets
from lpspec.experiments.intervals import Resampling
from lpspec.experiments.level import FAIR_BASES, Level
from lpspec.experiments.quantities import furthest_off, quantities
from lpspec.experiments.setting import trace_name
from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.machine.loading import load_profile
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import OBJECTIVES, Basis, Objective
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.run import Run, decode_steps, price_by_commands, price_steps, turn_bounds
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import System, TreePolicy, tree_policy
from lpspec.speculation.rank_trace import RankTrace, load_trace

PAPER = Scenario(model="llama2-7b", trace="vicuna-7b", workload=Workload(128, 256), heads="all")
"""The paper runs Llama2-7B with Medusa on Alpaca and gives no lengths; MT-bench acceptance stands in for Alpaca's."""

SPECULATING = {
    "lp-spec": "lp-spec",
    "npu": "npu-spec",
    "pim-spec": "pim-spec",
    "attacc": "attacc-spec",
    "rtx3090": "rtx3090-spec",
}
"""The system that speculates on each machine of the published basis."""


def paper_policy(assumption_set: AssumptionSet, **differences: Any) -> TreePolicy:
    """How trees are found on the published basis: all Medusa heads run at every step, as the paper has it."""
    return replace(tree_policy(assumption_set.applied(PAPER)), **differences)


@dataclass(frozen=True, slots=True)
class AssumptionSetResult:
    """What one assumption set gives for every published quantity, by id."""

    assumption_set: AssumptionSet
    simulated: dict[str, float]
    mean_l_spec: float

    @property
    def worst(self) -> tuple[str, float]:
        """The quantity that is furthest off, and its ratio of simulated to published."""
        return furthest_off(self.simulated)

    @property
    def worst_factor(self) -> float:
        """By which factor the worst quantity is off, 1 when everything fits."""
        ratio = self.worst[1]
        return max(ratio, 1 / ratio)


class Bench:
    """Runs systems under assumption sets, with price lists shared between assumption sets."""

    def __init__(self, scenario: Scenario) -> None:
        """Load model and trace of a scenario like the paper's, and refuse an energy profile that cannot be used."""
        self.scenario = scenario
        self.model = load_model(scenario.model)
        load_profile(scenario.energy_profile)
        self.trace: RankTrace = load_trace(trace_name(scenario, self.model))
        self.turns = turn_bounds(self.trace, scenario.workload)
        self._costs: dict[tuple[Any, ...], tuple[System, StepCosts]] = {}
        self._autoregressive: dict[tuple[Any, ...], Run] = {}
        self._commands: dict[tuple[Any, ...], CommandCosts | None] = {}

    def results(self) -> list[AssumptionSetResult]:
        """All published quantities under every assumption set; machines side by side."""
        by_machine = groupby(
            sorted(all_assumption_sets(), key=lambda r: r.machine, reverse=True), key=lambda r: r.machine
        )
        groups = [list(assumption_sets) for _, assumption_sets in by_machine]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [result for group in pool.map(self._results_of_machine, groups) for result in group]

    def _results_of_machine(self, assumption_sets: list[AssumptionSet]) -> list[AssumptionSetResult]:
        return [self.result(assumption_set) for assumption_set in assumption_sets]

    def result(self, assumption_set: AssumptionSet, size: int | None = None) -> AssumptionSetResult:
        """All published quantities under one assumption set, with trees of one size if it is given."""
        runs = self.published_runs(assumption_set, size)
        simulated = quantities(lambda name, _: runs[name].counted)
        return AssumptionSetResult(assumption_set, simulated, runs["lp-spec"].mean_l_spec)

    def published_runs(self, assumption_set: AssumptionSet, size: int | None = None) -> dict[str, Run]:
        """Runs on the published basis. GEMV-PIM verifies the very trees of LP-Spec, so only the hardware differs."""
        lp_spec = self.lp_spec(assumption_set, paper_policy(assumption_set, size=size))
        pim_spec, pim_costs = self._priced("pim-spec", assumption_set, "published")
        return {
            "lp-spec": lp_spec,
            "npu": self._plain("npu", assumption_set),
            "pim-spec": price_steps(pim_spec, pim_costs, lp_spec.steps),
            "attacc": self._plain("attacc", assumption_set),
            "rtx3090": self._plain("rtx3090", assumption_set),
        }

    def lp_spec(self, assumption_set: AssumptionSet, policy: TreePolicy) -> Run:
        """LP-Spec alone, its energy that of memory and MACs."""
        system, costs = self._priced("lp-spec", assumption_set, "equal")
        return self._run(system, policy, costs)

    def fair_runs(self, assumption_set: AssumptionSet, basis: Basis, objective: Objective) -> dict[str, Run]:
        """Runs on a fair basis: INT8, and on every machine a pruner that serves the objective, heads by depth."""
        runs = {}
        for machine, name in SPECULATING.items():
            system, costs = self._priced(name, assumption_set, basis)
            runs[machine] = self._run(system, TreePolicy(objective=objective), costs)
        return runs

    def level(self, assumption_set: AssumptionSet, bases: Sequence[Basis] = FAIR_BASES) -> Level:
        """What one assumption set gives on the published basis and on fair ones, analytically."""
        fair: dict[Basis, Mapping[Objective, dict[str, Run]]] = {
            basis: {objective: self.fair_runs(assumption_set, basis, objective) for objective in OBJECTIVES}
            for basis in bases
        }
        return Level(
            assumption_set, "analytic", self.published_runs(assumption_set), fair, Resampling(self.trace.turns)
        )

    def by_commands(self, closed: Level) -> Level:
        """The same steps priced at command level, where systems have them."""

        def priced(runs: Mapping[str, Run]) -> dict[str, Run]:
            return {name: self.priced_by_commands(run, closed.assumption_set) for name, run in runs.items()}

        fair = {
            basis: {objective: priced(runs) for objective, runs in by_objective.items()}
            for basis, by_objective in closed.fair.items()
        }
        return replace(closed, fidelity="command", published=priced(closed.published), fair=fair)

    def priced_by_commands(self, run: Run, assumption_set: AssumptionSet) -> Run:
        """The same steps priced at command level; the run itself where its system has no command level."""
        key = (run.system.name, *assumption_set.machine)
        if key not in self._commands:
            contexts = int(self.turns[:, 0].max())
            self._commands[key] = command_costs(run.system, self.scenario.workload.prompt_tokens, contexts)
        costs = self._commands[key]
        return run if costs is None else price_by_commands(run.system, costs, run.steps)

    def _plain(self, name: str, assumption_set: AssumptionSet) -> Run:
        """An autoregressive run, which only the bus efficiency can change."""
        key = (name, assumption_set.bus_efficiency)
        if key not in self._autoregressive:
            system, costs = self._priced(name, assumption_set, "published")
            self._autoregressive[key] = self._run(system, TreePolicy(), costs)
        return self._autoregressive[key]

    def _run(self, system: System, policy: TreePolicy, costs: StepCosts) -> Run:
        return price_steps(system, costs, decode_steps(system, self.trace, self.scenario.workload, policy, costs))

    def _priced(self, name: str, assumption_set: AssumptionSet, basis: Basis) -> tuple[System, StepCosts]:
        key = (name, basis, *assumption_set.machine)
        if key not in self._costs:
            system = make_system(name, self.model, assumption_set.applied(self.scenario).replace(basis=basis))
            self._costs[key] = (
                system,
                step_costs(system, self.scenario.workload.prompt_tokens, int(self.turns[:, 0].max())),
            )
        return self._costs[key]
