"""AHASD's asynchronous drafting (MaZirui2001/AHASD @af6ab667) as a policy: the same machine, steps pipelined or not."""

from collections.abc import Iterator
from functools import cache

from lpspec.experiments.peer_row import Neighbour, PeerRow
from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.scenario import Scenario, Workload
from lpspec.simulation.run import simulate
from lpspec.simulation.workload import tree_policy
from lpspec.speculation.geometric import geometric_trace

AHASD = Neighbour("AHASD (MaZirui2001/AHASD @af6ab667), asynchronous drafting on PIM, over SpecPIM", "ahasd")
SPEED_UP = (1.24, 1.5)
SCENARIO = Scenario(
    model="llama3-8b", drafter="draft-model:llama3.2-1b", acceptance="0.8", tree="2", workload=Workload(128, 32)
)
"""Acceptance and pair of models are assumed: AHASD's own are others."""


def ahasd_rows() -> Iterator[PeerRow]:
    """The order of steps alone, of which the claim has more: another machine, and adaptive drafting."""
    found = speed_of("pipelined") / speed_of("sequential")
    note = (
        "Llama3-8B with Llama3.2-1B, 0.8 of guesses right, one request: drafts on PIM take 3 % of a step here, so "
        "there is little to hide; AHASD's drafters are slower beside its NPU"
    )
    what = "speed of pipelined steps over sequential ones"
    yield AHASD.row("ahasd_pipelined", what, SPEED_UP, found, note=note)


@cache
def speed_of(step_order: str) -> float:
    """Token/s with steps in that order, at the analytic level."""
    scenario = SCENARIO.replace(changes={"step_order": step_order})
    system = make_system("ahasd", load_model(scenario.model), scenario)
    trace = geometric_trace(scenario.acceptance or "")
    return simulate(system, trace, scenario.workload, tree_policy(scenario)).tokens_per_s
