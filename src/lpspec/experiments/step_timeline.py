"""One step of a run, resource by resource, for whoever wants to look at it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpspec.errors import InputError
from lpspec.scenario import Workload
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import Run
from lpspec.simulation.step_session import PhaseRun, run_step


@dataclass(frozen=True)
class StepTimeline:
    """A step with its phases in order.

    Attributes:
        system: What ran.
        l_spec: Tokens verified.
        context: Tokens before the step.
        committed: Tokens committed.
        channels: Channels, of which one was run.
        burst_bytes: Bytes of one burst.
        phases: Every copy of every phase, in order.
        energy_pj: Energy of each of them, of the whole package and the NPU.
    """

    system: str
    l_spec: int
    context: int
    committed: int
    channels: int
    burst_bytes: int
    phases: tuple[PhaseRun, ...]
    energy_pj: tuple[float, ...]


def representative_step(runs: Sequence[Run], workload: Workload, system: str) -> StepTimeline:
    """Issue every command of the commonest kind of step of one system's run, in the middle of its contexts.

    Raises:
        InputError: The system has no command level.
    """
    run = next(run for run in runs if run.system.name == system)
    steps = run.steps
    position, l_spec, committed, heads, moved = _commonest(run)
    costs = command_costs(run.system, workload.prompt_tokens, int(steps.position.max()) + 1)
    if costs is None:
        raise InputError(f"a timeline shows memory commands: {system} has no command level")
    context = workload.prompt_tokens + position
    memory, profile = costs.planner.memory, run.system.profile
    phases = tuple(run_step(costs.step_phases(l_spec, context, moved, heads), memory))
    energy = tuple(float(sum(done.phase.activity.energy_pj(profile).values())) for done in phases)
    burst_bytes = memory.device.organisation.burst_bytes.n
    return StepTimeline(system, l_spec, context, committed, memory.channels, burst_bytes, phases, energy)


def _commonest(run: Run) -> tuple[int, ...]:
    """Position, tokens verified and committed, heads, and drafts moved of the commonest kind, at its median context."""
    steps = run.steps
    kinds, which, counts = np.unique(
        np.stack([steps.l_spec, steps.committed, steps.heads], 1),
        axis=0,
        return_inverse=True,
        return_counts=True,
    )
    best = int(counts.argmax())
    alike = np.flatnonzero(which.ravel() == best)
    middle = alike[np.argsort(steps.position[alike], kind="stable")[len(alike) // 2]]
    return int(steps.position[middle]), *map(int, kinds[best]), int(steps.moved[middle])
