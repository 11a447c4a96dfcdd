"""Assumption sets: what the paper leaves open, as parameters, and every combination of plausible values."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from lpspec.scenario import Scenario
from lpspec.scenario.names import OBJECTIVES, Objective


@dataclass(frozen=True, slots=True)
class AssumptionSet:
    """One way to read the published configuration. It holds for every phone-class system alike; GPUs are not read.

    Attributes:
        concurrent_ranks: PIM ranks that compute at once, 1 to 3 (a power limit that the paper does not state).
        mac_interval_ns: 5 ns follows from Table II's 200 MHz; 10 ns is the 8 cycles that PIMScope quotes.
        bus_efficiency: Sustained share of peak bandwidth on the off-chip LPDDR bus.
        objective: What the pruner optimises.
        root_counts: Whether the root is one of the L_spec tokens that a pass is charged for.
    """

    concurrent_ranks: int
    mac_interval_ns: float
    bus_efficiency: float
    objective: Objective
    root_counts: bool

    @property
    def changes(self) -> dict[str, str]:
        """The assumption set as changes to platforms, as ``lpspec compare --set`` takes them."""
        return {
            "pim.concurrent_ranks": str(self.concurrent_ranks),
            "pim.mac_interval": f"{self.mac_interval_ns:g} ns",
            "memory.bus_efficiency": f"{self.bus_efficiency:g}",
        }

    def applied(self, scenario: Scenario) -> Scenario:
        """A scenario under this assumption set."""
        return scenario.replace(changes=self.changes, objective=self.objective, root_counts=self.root_counts)

    @property
    def machine(self) -> tuple[int, float, float, bool]:
        """What decides the price of a step; assumption sets that differ in the objective alone share it."""
        return self.concurrent_ranks, self.mac_interval_ns, self.bus_efficiency, self.root_counts


CONCURRENT_RANKS = (3, 2, 1)
MAC_INTERVALS_NS = (5.0, 10.0)

FITTED_BUS_EFFICIENCY = 0.7
"""Fitted, to a published result: the NPU's 5.556 token/s times 6.6 GB per token is 0.72 of 51.2 GB/s."""

BUS_EFFICIENCIES = (1.0, 0.85, FITTED_BUS_EFFICIENCY)
"""Table II as printed; the AttAcc simulator's MAX_OFF_MEM_BW_UTIL; and the fitted one."""

PLAIN = AssumptionSet(3, 5.0, 1.0, "throughput", True)
"""Table II as printed, every rank at once, peak bandwidth."""


def all_assumption_sets() -> Iterator[AssumptionSet]:
    """Every combination, plain values first."""
    for values in product(CONCURRENT_RANKS, MAC_INTERVALS_NS, BUS_EFFICIENCIES, OBJECTIVES, (True, False)):
        yield AssumptionSet(*values)
