"""The paper's other experiments: speculation length on three machines, PIM ranks against DRAM ranks, context length."""

from collections.abc import Sequence
from dataclasses import dataclass

from lpspec.experiments.systems import make_system
from lpspec.hardware.energy_profile import EnergyProfile
from lpspec.llm.model_spec import ModelSpec
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import TreePolicy, Workload
from lpspec.speculation.rank_trace import RankTrace

LENGTHS = tuple(range(1, 17))
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


def speculation_lengths(model: ModelSpec, profile: EnergyProfile, context: int = 128) -> tuple[LengthPoint, ...]:
    """Latency and energy of a pass for L_spec 1 to 16 on GEMV PIM, NPU and LP-Spec.

    Args:
        model: The decoder.
        profile: Energy constants.
        context: Committed tokens in the key-value cache.
    """
    points = []
    for name in LENGTH_SYSTEMS:
        costs = step_costs(make_system(name, model, profile), context, 1)
        latency_ms, energy_mj = costs.latency_ns[0] / 1e6, costs.energy_pj[:, 0].sum(axis=0) / 1e9
        points += [LengthPoint(name, n, float(latency_ms[n - 1]), float(energy_mj[n - 1])) for n in LENGTHS]
    return tuple(points)


def rank_split(
    model: ModelSpec, trace: RankTrace, workload: Workload, profile: EnergyProfile, policy: TreePolicy
) -> tuple[RankPoint, ...]:
    """LP-Spec with one to three of four ranks computing, all of them at once."""
    points = []
    for pim_ranks in PIM_RANKS:
        ranks = {"memory.pim_ranks": pim_ranks, "memory.dram_ranks": 4 - pim_ranks, "pim.concurrent_ranks": pim_ranks}
        changes = {key: str(value) for key, value in ranks.items()}
        system = make_system("lp-spec", model, profile, changes=changes)
        points.append(RankPoint(pim_ranks, 4 - pim_ranks, simulate(system, trace, workload, policy)))
    return tuple(points)


def context_lengths(
    model: ModelSpec,
    trace: RankTrace,
    profile: EnergyProfile,
    policy: TreePolicy,
    contexts: Sequence[int] = CONTEXTS,
) -> tuple[ContextPoint, ...]:
    """Answers of 64 tokens after prompts of several lengths, on NPU, GEMV PIM and LP-Spec."""
    return tuple(
        ContextPoint(context, simulate(make_system(name, model, profile), trace, workload, policy))
        for name in CONTEXT_SYSTEMS
        for context in contexts
        for workload in [Workload(context, ANSWER_TOKENS)]
    )
