"""Who controls EAGLE-2's trees best on LP-Spec's machine: CAPIM's gate and route, or prices; on real drafts.

The drafts are those of the demo model's EAGLE layer on its own text, and so is the acceptance; dimensions, machine and
prices are those of the model that is priced, with an EAGLE layer of its dimensions.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from lpspec.allocation.allocator import make_allocator
from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.decoding.draft_trace import DraftTrace, ReplayedSteps, gated_sizes, replay_drafts, replay_sizes
from lpspec.devices.cost import Cost
from lpspec.llm.draft_work import drafted, level_operators
from lpspec.llm.operators import verify_operators
from lpspec.scenario.names import Fidelity, Objective
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.price_grid import priced
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import MAX_TREE_SIZE, System

WIDTH = 10
"""Nodes of a level that EAGLE-2 looks beyond at most."""


@dataclass(frozen=True, slots=True)
class Gate:
    """CAPIM's controller: what is worth verifying, and where.

    Attributes:
        sigma: Nodes of a smaller cumulative log-probability are dropped while the tree grows; -inf keeps all.
        mu: Passes of fewer tokens, the root included, run on PIM alone; others are split between PIM and NPU.
    """

    sigma: float
    mu: int


@dataclass(frozen=True, slots=True)
class Priced:
    """Trees sized by their own confidence for most tokens per price, as LP-Spec's pruner does it; always split."""

    objective: Objective


Control = Gate | Priced


class DraftPasses(NamedTuple):
    """Passes through the EAGLE layer, int64 [passes] each.

    ``position``: tokens of the turn, and nodes, read before. ``tokens``: read by the pass. ``guessing``: of those, the
    ones whose successors are guessed.
    """

    position: IntArray
    tokens: IntArray
    guessing: IntArray


Columns = TypeVar("Columns", ReplayedSteps, DraftPasses)


@dataclass(frozen=True, slots=True)
class ControlRun:
    """What a controller makes of a trace, on average over all steps.

    Attributes:
        control: Who decided.
        steps: Every verify pass.
        tokens_per_s: Decode throughput.
        tokens_per_j: Energy efficiency.
        drafting_share: Part of the time that EAGLE's passes take.
        fidelity: Which level priced it.
    """

    control: Control
    steps: ReplayedSteps
    tokens_per_s: float
    tokens_per_j: float
    drafting_share: float
    fidelity: Fidelity

    @property
    def mean_nodes(self) -> float:
        """Drafts verified per step, the root not counted."""
        return float(self.steps.l_spec.mean()) - 1

    @property
    def mean_accepted(self) -> float:
        """Drafts accepted per step."""
        return float(self.steps.committed.mean()) - 1

    @property
    def passes_per_s(self) -> float:
        """Steps per second, in which acceptance has no part."""
        return self.tokens_per_s / float(self.steps.committed.mean())

    @property
    def passes_per_j(self) -> float:
        """Steps per joule."""
        return self.tokens_per_j / float(self.steps.committed.mean())


def eagle_system(system: System) -> System:
    """The system with an EAGLE layer instead of Medusa heads."""
    return replace(system, model=drafted(system.model, "eagle"))


class ControlBench:
    """Prices controllers on one machine over one trace."""

    def __init__(self, system: System, trace: DraftTrace, prompt_tokens: int) -> None:
        """Take the machine, its model with an EAGLE layer, and what was drafted.

        Raises:
            InputError: The model does not fit the machine, or its context ends before.
        """
        self.trace = trace
        contexts = int(trace.turn_lengths.max())
        self.split = _Route(system, "replicated", prompt_tokens, contexts)
        self.pim = _Route(system, "pim-only", prompt_tokens, contexts)
        self._prompt_tokens, self._contexts = prompt_tokens, contexts

    def run(self, control: Control, fidelity: Fidelity = "analytic") -> ControlRun:
        """Replay the trace under a controller and add up what its passes cost.

        Every step verifies a tree, then drafts the next one: its first level reads what was committed. The pass that
        first reads the prompt belongs to prefill, which is not charged.
        """
        steps = self.steps(control)
        drafting = draft_passes(self.trace, steps, control)
        mu = control.mu if isinstance(control, Gate) else 0
        verified, drafted = np.zeros(2), np.zeros(2)
        for route, small in ((self.pim, True), (self.split, False)):
            verified += route.verify(_where(steps, (steps.l_spec < mu) == small), fidelity)
            drafted += route.draft(_where(drafting, (drafting.tokens < mu) == small), fidelity)
        tokens = int(steps.committed.sum())
        ns, pj = (verified + drafted).tolist()
        return ControlRun(control, steps, tokens / ns * 1e9, tokens / pj * 1e12, float(drafted[0]) / ns, fidelity)

    def steps(self, control: Control) -> ReplayedSteps:
        """Size every tree and decode every turn."""
        if isinstance(control, Gate):
            return replay_sizes(self.trace, gated_sizes(self.trace, control.sigma))
        costs = step_costs(self.split.system, self._prompt_tokens, self._contexts)
        return replay_drafts(self.trace, costs.prices(control.objective)[0, :, 0, : self.trace.nodes + 1])


class _Route:
    """One way to put passes on the machine."""

    def __init__(self, system: System, allocator: str, prompt_tokens: int, contexts: int) -> None:
        platform = system.platform.model_copy(update={"allocator": allocator})
        self.system, self._prompt_tokens, self._contexts = replace(system, platform=platform), prompt_tokens, contexts
        last_context = prompt_tokens + contexts
        self.allocator = make_allocator(platform, system.model, MAX_TREE_SIZE, last_context, system.profile)

    @cached_property
    def _commands(self) -> CommandCosts:
        commands = command_costs(self.system, self._prompt_tokens, self._contexts)
        assert commands is not None, "both routes have a command level"
        return commands

    def verify(self, steps: ReplayedSteps, fidelity: Fidelity) -> FloatArray:
        """Time, ns, and energy, pJ, of all verify passes."""
        if fidelity == "command":
            none = np.zeros_like(steps.position)
            cost = self._commands.decode(steps.position, steps.l_spec, steps.moved, placement=none, heads=none)
            return self._total(cost, 1)
        context = self._prompt_tokens + steps.position
        cost = self.allocator.decode_cost(verify_operators(self.system.model, steps.l_spec, context))
        return self._total(cost, len(context))

    def draft(self, passes: DraftPasses, fidelity: Fidelity) -> FloatArray:
        """The same of passes through the EAGLE layer."""
        if fidelity == "command":
            return self._total(self._commands.levels(*passes), 1)
        context = self._prompt_tokens + passes.position
        operators = level_operators(self.system.model, passes.tokens, context, passes.guessing)
        return self._total(self.allocator.decode_cost(operators), len(context))

    def _total(self, cost: Cost, passes: int) -> FloatArray:
        latency_ns, energy_pj = priced(self.system, cost, (1, passes))
        return np.array([latency_ns.sum(), energy_pj.sum()])


def sigma_for(trace: DraftTrace, nodes: float) -> float:
    """The gate under which trees have so many nodes on average over the steps of a replay, on a grid of 0.05."""
    sigmas = np.arange(-4.0, 0.0, 0.05).round(2)
    means = [replay_sizes(trace, gated_sizes(trace, sigma)).l_spec.mean() - 1 for sigma in sigmas]
    return float(sigmas[np.abs(np.array(means) - nodes).argmin()])


def draft_passes(trace: DraftTrace, steps: ReplayedSteps, control: Control) -> DraftPasses:
    """Every pass through the EAGLE layer: a first level per step, then a pass per level that is looked beyond.

    A gate leaves only what passed it to look beyond. Otherwise EAGLE-2 looks beyond the ten likeliest nodes of a level,
    charged as deep as the verified tree goes.
    """
    rows = trace.turn_starts[np.cumsum(steps.position == 0) - 1] + steps.position
    kept = np.arange(trace.nodes) < steps.l_spec[:, None] - 1
    passes = [DraftPasses(steps.position, steps.committed, np.ones_like(steps.position))]
    before = steps.position + steps.committed
    for depth in range(1, trace.true_path.shape[1]):
        nodes = (kept & (trace.depth[rows] == depth)).sum(axis=1)
        gated = isinstance(control, Gate) and control.sigma > -np.inf
        nodes = np.minimum(nodes, WIDTH) if gated else np.where(nodes, WIDTH, 0)
        passes.append(_where(DraftPasses(before, nodes, nodes), nodes > 0))
        before = before + nodes
    return DraftPasses(*(np.concatenate(parts) for parts in zip(*passes, strict=True)))


def _where(columns: Columns, chosen: BoolArray) -> Columns:
    """The chosen rows of equally long arrays."""
    return type(columns)(*(column[chosen] for column in columns))
