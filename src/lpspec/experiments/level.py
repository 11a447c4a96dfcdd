"""What one assumption set gives at one fidelity, on the published basis and on the fair ones.

On the published basis trees serve one objective, part of the assumption set, as a machine has one pruner. On a fair
basis every system's pruner serves the very quantity that is compared. At command level the steps are those that the
pruner took on the analytic level, so both levels price the same work; GPUs have no command level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from lpspec.experiments.assumption_sets import AssumptionSet
from lpspec.experiments.intervals import Interval, Resampling, interval
from lpspec.experiments.quantities import furthest_off, quantities
from lpspec.scenario.names import Basis, Fidelity, Objective
from lpspec.simulation.run import Run

FAIR_BASES: tuple[Basis, ...] = ("equal", "board")
"""INT8 and speculation on every system, by memory and MACs or by board and SoC power."""

Runs = Mapping[str, Run]
"""Runs of the five systems, by the name of the machine."""


@dataclass(frozen=True)
class Level:
    """What one assumption set gives at one fidelity.

    Attributes:
        assumption_set: The assumption set.
        fidelity: Analytic, or commands where a system has them.
        published: Runs on the published basis.
        fair: On each fair basis, runs whose pruners serve each objective.
        resampling: Draws turns anew.
    """

    assumption_set: AssumptionSet
    fidelity: Fidelity
    published: Runs
    fair: Mapping[Basis, Mapping[Objective, Runs]]
    resampling: Resampling

    @cached_property
    def simulated(self) -> dict[str, float]:
        """Every published quantity on the published basis, by id."""
        return self.on("published")

    @property
    def worst(self) -> tuple[str, float]:
        """The quantity on the published basis that is furthest off, and its ratio of simulated to published."""
        return furthest_off(self.simulated)

    def on(self, basis: Basis) -> dict[str, float]:
        """Every published quantity on a basis, by id."""
        return quantities(lambda name, objective: self.run(basis, name, objective).counted)

    def intervals(self, basis: Basis) -> dict[str, Interval]:
        """The interval of each of them over turns, by id."""
        found = quantities(lambda name, objective: self.resampling.efficiency(self.run(basis, name, objective)))
        return {name: interval(values) for name, values in found.items()}

    def run(self, basis: Basis, name: str, objective: Objective) -> Run:
        """A system's run on a basis; on the published one whatever the objective."""
        return self.published[name] if basis == "published" else self.fair[basis][objective][name]
