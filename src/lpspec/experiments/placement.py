"""What copies and migration are worth: static, dynamic and replicated placement on the same requests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpspec.errors import InputError
from lpspec.experiments.provenance import provenance
from lpspec.experiments.setting import model_of, trace_name
from lpspec.experiments.systems import REFERENCE, make_system
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import OBJECTIVES, Fidelity
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import (
    Run,
    decode_steps,
    place_steps,
    price_by_commands,
    price_steps,
    turn_bounds,
)
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.steps import Steps
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.rank_trace import RankTrace, load_trace

OPTIONS = (
    *("model", "weights", "kv", "routing", "trace", "prompt_tokens", "new_tokens", "changes"),
    *("energy_profile", "fidelity", "exact"),
)
"""Options of a scenario that this study takes; it varies placement and trees itself."""

PLACEMENTS = ("static", "dynamic", "replicated")
SIZES = (4, 8, 12, 16, 32)
WHOLE_TREE = "mc_sim_7b_63"
SMALL, LARGE = 4, 16
"""Sizes between which a controller switches that doesn't ask this machine: one pass on PIM, and four."""
LASTING = (1, 4, 16)
"""Turns after which it does so."""


@dataclass(frozen=True)
class PlacementRow:
    """One way to size trees.

    Attributes:
        case: Who sizes them, and how.
        objective: What moves of columns are to save.
        runs: In the order of ``PLACEMENTS``.
    """

    case: str
    objective: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class PlacementStudy:
    """All rows, and what they were made from."""

    rows: tuple[PlacementRow, ...]
    provenance: dict[str, Any]


def placement_study(scenario: Scenario) -> PlacementStudy:
    """Run LP-Spec under every placement for every way to size trees.

    Args:
        scenario: Its ``OPTIONS``; its fidelity prices steps, while the analytic level decides on sizes and moves.

    Raises:
        InputError: Any name, value or file that cannot be used, or a model that does not fit.
    """
    scenario = scenario.only(OPTIONS, "a study of placements")
    if "allocator" in scenario.changes:
        raise InputError("--set allocator: this study tries every placement, allowed are other constants")
    spec = model_of(scenario)
    acceptance = load_trace(trace_name(scenario, spec))
    changed = ({**scenario.changes, "allocator": name} for name in PLACEMENTS)
    systems = [make_system(REFERENCE, spec, scenario.replace(changes=changes)) for changes in changed]
    if min(systems[0].model.most_drafts, acceptance.heads) < named_tree(WHOLE_TREE).max_depth:
        raise InputError(f"{spec.name} with trace '{acceptance.name}' has too few draft heads for {WHOLE_TREE}")
    rows = tuple(_Study(systems, acceptance, scenario.workload, scenario.level).rows())
    return PlacementStudy(rows, provenance(scenario, systems, acceptance, TreePolicy()))


def switching(small: Steps, large: Steps, turns: int) -> Steps:
    """Steps of a controller that changes between two sizes after every few turns, from runs with either."""
    parts = []
    for which, steps in enumerate((small, large)):
        turn = np.cumsum(steps.position == 0) - 1
        mine = turn // turns % 2 == which
        columns = (turn, steps.position, steps.l_spec, steps.committed, steps.placement, steps.heads, steps.moved)
        parts.append([column[mine] for column in columns])
    turn, *joined = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(turn, kind="stable")
    return Steps(*(column[order] for column in joined))


class _Study:
    """Price lists of the three systems, made once."""

    def __init__(self, systems: list[System], trace: RankTrace, workload: Workload, fidelity: Fidelity) -> None:
        self.trace, self.workload = trace, workload
        longest, prompt = int(turn_bounds(trace, workload)[:, 0].max()), workload.prompt_tokens
        self.systems = [(system, step_costs(system, prompt, longest)) for system in systems]
        by_commands = fidelity == "command"
        self.commands = [command_costs(system, prompt, longest) if by_commands else None for system in systems]

    def rows(self) -> Iterator[PlacementRow]:
        """The pruner's own sizes for every objective; then sizes that others give."""
        for objective in OBJECTIVES:
            policy = TreePolicy(objective=objective)
            steps = [self._steps(system, costs, policy) for system, costs in self.systems]
            yield PlacementRow("sized by the pruner (DTP)", objective, self._priced(steps))
        first, costs = self.systems[0]
        sized = {size: self._steps(first, costs, TreePolicy(size=size)) for size in SIZES}
        for size in SIZES[1:]:
            yield self._given(f"{size} tokens", sized[size])
        yield self._given(
            "64 tokens, Medusa's tree", self._steps(first, costs, TreePolicy(fixed=named_tree(WHOLE_TREE)))
        )
        for turns in LASTING:
            mixed = switching(sized[SMALL], sized[LARGE], turns)
            yield self._given(f"{SMALL} or {LARGE} tokens, {turns} turn{'s' * (turns > 1)} each", mixed)

    def _given(self, case: str, steps: Steps) -> PlacementRow:
        """Sizes that no placement changes; columns move to save time."""
        policy = TreePolicy(objective="throughput")
        placed = [place_steps(steps, policy, costs) for _, costs in self.systems]
        return PlacementRow(case, policy.objective, self._priced(placed))

    def _priced(self, steps: list[Steps]) -> tuple[Run, ...]:
        """The runs of the three systems."""
        return tuple(
            price_steps(system, costs, taken) if commands is None else price_by_commands(system, commands, taken)
            for (system, costs), commands, taken in zip(self.systems, self.commands, steps, strict=True)
        )

    def _steps(self, system: System, costs: StepCosts, policy: TreePolicy) -> Steps:
        return decode_steps(system, self.trace, self.workload, policy, costs)
