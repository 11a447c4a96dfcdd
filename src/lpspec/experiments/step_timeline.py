"""One step of a run, resource by resource, for whoever wants to look at it."""

from dataclasses import dataclass

import numpy as np

from lpspec.devices.package_commands import PackageCommands
from lpspec.errors import InputError
from lpspec.scenario import Workload
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import Run
from lpspec.simulation.step_phases import Phase
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


def representative_step(run: Run, workload: Workload) -> StepTimeline:
    """Issue every command of the commonest kind of step of a run, in the middle of its contexts.

    Raises:
        InputError: The system has no command level.
    """
    step = commonest_step(run, workload)
    memory, profile = step.memory, run.system.profile
    phases = tuple(run_step(step.phases, memory))
    energy = tuple(float(sum(done.phase.activity.energy_pj(profile).values())) for done in phases)
    burst_bytes = memory.device.organisation.burst_bytes.n
    made = run.system.name, step.l_spec, step.context, step.committed
    return StepTimeline(*made, memory.channels, burst_bytes, phases, energy)


@dataclass(frozen=True)
class CommonStep:
    """The commonest kind of step of a run, in the middle of its contexts.

    Attributes:
        l_spec: Tokens verified.
        context: Tokens before the step.
        committed: Tokens committed.
        phases: What it consists of.
        memory: Whose commands they are.
    """

    l_spec: int
    context: int
    committed: int
    phases: tuple[Phase, ...]
    memory: PackageCommands


def commonest_step(run: Run, workload: Workload) -> CommonStep:
    """Find it, and lay it out as phases.

    Raises:
        InputError: The system has no command level.
    """
    position, l_spec, committed, heads, moved = _commonest(run)
    costs = command_costs(run.system, workload.prompt_tokens, int(run.steps.position.max()) + 1)
    if costs is None:
        raise InputError(f"a step is shown by its memory commands: {run.system.name} has no command level")
    context = workload.prompt_tokens + position
    phases = costs.step_phases(l_spec, context, moved, heads)
    return CommonStep(l_spec, context, committed, phases, costs.planner.memory)


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
