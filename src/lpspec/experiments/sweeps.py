"""The paper's other experiments: speculation length on three machines, PIM ranks against DRAM ranks, context length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lpspec.experiments.systems import make_system
from lpspec.llm.draft_work import heads_of
from lpspec.llm.model_spec import ModelSpec
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import Fidelity
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.price_grid import priced
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import System, tree_policy
from lpspec.speculation.rank_trace import RankTrace

LENGTHS = tuple(range(1, 17))
LENGTHS_CONTEXT = 128
"""Committed tokens in the key-value cache, where lengths vary."""
LENGTH_SYSTEMS = ("pim-spec", "npu-spec", "lp-spec")
PIM_RANKS = (1, 2, 3)
CONTEXTS = (64, 128, 256, 512, 1024, 2048, 3072)
CONTEXT_SYSTEMS = ("npu-spec", "pim-spec", "lp-spec")
ANSWER_TOKENS = 64
"""Tokens generated after a prompt as long as the context that is studied."""


@dataclass(frozen=True, slots=True)
class LengthPoint:
    """One verify pass of L_spec tokens.

    Attributes:
        system: Where.
        l_spec: Tokens verified, the root included.
        latency_ms: Time of the pass, without drafting where L_spec is 1.
        energy_mj: Energy of the pass.
    """

    system: str
    l_spec: int
    latency_ms: float
    energy_mj: float


@dataclass(frozen=True, slots=True)
class RankPoint:
    """LP-Spec with so many PIM ranks, the others of the four being plain DRAM."""

    pim_ranks: int
    dram_ranks: int
    run: Run


@dataclass(frozen=True, slots=True)
class ContextPoint:
    """A system at one context length."""

    context: int
    run: Run


def speculation_lengths(scenario: Scenario, model: ModelSpec) -> tuple[LengthPoint, ...]:
    """Latency and energy of a pass for L_spec 1 to 16 on GEMV PIM, NPU and LP-Spec.

    Args:
        scenario: Its energy profile and fidelity.
        model: The decoder.
    """
    return tuple(
        LengthPoint(name, length, latency_ns / 1e6, energy_pj / 1e9)
        for name in LENGTH_SYSTEMS
        for system in [make_system(name, model, scenario)]
        for length, (latency_ns, energy_pj) in zip(LENGTHS, _passes(system, scenario.level), strict=True)
    )


def _passes(system: System, fidelity: Fidelity) -> Iterator[tuple[float, float]]:
    """Latency, ns, and energy, pJ, of a step of each length."""
    commands = command_costs(system, LENGTHS_CONTEXT, 1) if fidelity == "command" else None
    if commands is None:
        costs = step_costs(system, LENGTHS_CONTEXT, 1)
        for length in LENGTHS:
            drafted = _heads(system, length)
            latency_ns = costs.latency_ns[0, length - 1] + costs.draft_ns[drafted]
            energy_pj = costs.energy_pj[:, 0, length - 1].sum() + costs.draft_pj[:, drafted].sum()
            yield float(latency_ns), float(energy_pj)
        return
    none = np.array([0])
    for length in LENGTHS:
        cost = commands.decode(none, np.array([length]), none, none, np.array([_heads(system, length)]))
        latency_ns, parts_pj = priced(system, cost, (1, 1))
        yield float(latency_ns[0, 0]), float(parts_pj.sum())


def _heads(system: System, length: int) -> int:
    """Draft heads that run: all for a tree, as in the paper."""
    return heads_of(system.model) if length > 1 else 0


def rank_split(scenario: Scenario, model: ModelSpec, trace: RankTrace) -> tuple[RankPoint, ...]:
    """LP-Spec with one to three of four ranks computing, all of them at once."""
    points = []
    for pim_ranks in PIM_RANKS:
        ranks = {"memory.pim_ranks": pim_ranks, "memory.dram_ranks": 4 - pim_ranks, "pim.concurrent_ranks": pim_ranks}
        changes = {key: str(value) for key, value in ranks.items()}
        system = make_system("lp-spec", model, scenario.replace(changes=changes))
        run = simulate(system, trace, scenario.workload, tree_policy(scenario), scenario.level)
        points.append(RankPoint(pim_ranks, 4 - pim_ranks, run))
    return tuple(points)


def context_lengths(
    scenario: Scenario, model: ModelSpec, trace: RankTrace, contexts: Sequence[int] = CONTEXTS
) -> tuple[ContextPoint, ...]:
    """Answers of 64 tokens after prompts of several lengths, on NPU, GEMV PIM and LP-Spec."""
    policy = tree_policy(scenario)
    return tuple(
        ContextPoint(context, simulate(system, trace, workload, policy, scenario.level))
        for name in CONTEXT_SYSTEMS
        for system in [make_system(name, model, scenario)]
        for context in contexts
        for workload in [Workload(context, ANSWER_TOKENS)]
    )
