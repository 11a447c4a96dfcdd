"""Rungs between the two levels: models with few key-value heads and large vocabularies, long contexts."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from lpspec.allocation.allocator import make_allocator
from lpspec.devices.cost import COMPONENTS
from lpspec.errors import InputError
from lpspec.experiments.one_step import both_levels
from lpspec.experiments.systems import make_system
from lpspec.experiments.validate_rung import Advance, Rung
from lpspec.llm.loading import load_model, model_names
from lpspec.llm.operators import verify_operators
from lpspec.machine.loading import profile_names
from lpspec.scenario import Scenario
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.run import Run
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import MAX_TREE_SIZE, System

MODELS = ("llama2-7b", "llama3-8b", "llama3.2-1b", "llama3.2-3b", "qwen2.5-1.5b")
"""32, 8, 8, 8 and 2 key-value heads; vocabularies of 32,000, then 128,256 and 151,936; the last three are tied."""

CONTEXTS = (140, 4096, 32768)
L_SPECS = (1, 2, 4, 5, 8, 9, 16, 17, 32, 64)
ALLOWED_DIFFERENCE = 0.10
"""By how much the levels may differ before what makes the difference is named."""
LARGEST_DIFFERENCE = 0.15
"""Beyond which the rung does not hold, named or not."""
NAMED = 0.01
"""Share of a step from which on a part of the difference is named."""
CLOSED_TOLERANCE = 1e-9
"""Rounding of floating-point numbers."""
COMMAND_TOLERANCE = 0.005
"""By which a larger tree may seem cheaper: a refresh more or less in the 32 intervals over which commands are averaged
is 0.17 %, on either side."""

OPERATOR_OF = {"scores": "attention", "values": "attention", "kv_append": "attention"}
"""Phases that are parts of an operator."""


@dataclass(frozen=True)
class Step:
    """A step by both levels under one profile.

    Attributes:
        model: Preset.
        l_spec: Tokens verified.
        context: Tokens in the cache.
        profile: Energy profile.
        runs: Analytic, then at command level.
    """

    model: str
    l_spec: int
    context: int
    profile: str
    runs: tuple[Run, Run]

    def __str__(self) -> str:
        """What it is, for a line."""
        return f"{self.model}, L_spec {self.l_spec}, context {self.context:,}, {self.profile}"

    @property
    def time_off(self) -> float:
        """Time at command level over the analytic one, less one."""
        closed, commands = self.runs
        return commands.decode_ns / closed.decode_ns - 1

    @property
    def energy_off(self) -> float:
        """Energy at command level over the analytic one, less one."""
        closed, commands = self.runs
        return float(commands.decode_pj.sum() / closed.decode_pj.sum()) - 1


def sweep(advance: Advance) -> list[Step]:
    """Steps of LP-Spec that both rungs look at, measured once."""
    return [
        step
        for model in MODELS
        for context in contexts_of(model)
        for l_spec in L_SPECS
        for step in _under_every_profile(model, context, l_spec, advance)
    ]


def contexts_of(model: str) -> list[int]:
    """Contexts to try, the last ones as long as the model can read beside the largest tree."""
    most = load_model(model).max_context - MAX_TREE_SIZE
    return list(dict.fromkeys(min(context, most) for context in CONTEXTS))


def _under_every_profile(model: str, context: int, l_spec: int, advance: Advance) -> list[Step]:
    advance(f"{model}, L_spec {l_spec}, context {context:,}")
    return [_step(model, l_spec, context, profile) for profile in profile_names()]


@cache
def _step(model: str, l_spec: int, context: int, profile: str) -> Step:
    closed, commands = both_levels(_system(model, profile), l_spec, context)
    return Step(model, l_spec, context, profile, (closed, commands))


@cache
def _system(model: str, profile: str) -> System:
    return make_system("lp-spec", load_model(model), Scenario(energy_profile=profile))


def closed_against_commands(name: str, advance: Advance) -> Rung:
    """LP-Spec's steps in time and energy; what differs by more than a tenth names what makes the difference."""
    steps = sweep(advance)
    time = {str(step): step.time_off for step in steps if step.profile == profile_names()[0]}
    energy = {str(step): step.energy_off for step in steps}
    values = {f"time: {key}": off for key, off in time.items()} | {f"energy: {key}": off for key, off in energy.items()}
    lines = [line for step in steps for line in _lines(step)]
    inside = [sum(abs(off) <= ALLOWED_DIFFERENCE for off in offs.values()) for offs in (time, energy)]
    worst = [max(offs.values(), key=abs) for offs in (time, energy)]
    figure = (
        f"time: {inside[0]} of {len(time)} steps within {ALLOWED_DIFFERENCE:.0%}, worst {worst[0]:+.1%}; energy: "
        f"{inside[1]} of {len(energy)}, worst {worst[1]:+.1%}"
    )
    passed = max(map(abs, values.values())) <= LARGEST_DIFFERENCE
    return Rung(name, figure, passed, values, tuple(lines))


def _lines(step: Step) -> Iterator[str]:
    """What makes a step differ by more than a tenth: operators in time, components in energy."""
    closed, commands = step.runs
    if abs(step.time_off) > ALLOWED_DIFFERENCE and step.profile == profile_names()[0]:
        longer = _longer_ns(closed.system, step.l_spec, step.context)
        yield f"{step}: time {step.time_off:+.1%}: {_named(longer, closed.decode_ns)}"
    if abs(step.energy_off) > ALLOWED_DIFFERENCE:
        more = dict(zip(COMPONENTS, (commands.decode_pj - closed.decode_pj).tolist(), strict=True))
        yield f"{step}: energy {step.energy_off:+.1%}: {_named(more, float(closed.decode_pj.sum()))}"


def _named(parts: dict[str, float], whole: float) -> str:
    shares = sorted(((part, value / whole) for part, value in parts.items()), key=lambda item: -abs(item[1]))
    return ", ".join(f"{part} {share:+.1%}" for part, share in shares if abs(share) >= NAMED)


def _longer_ns(system: System, l_spec: int, context: int) -> dict[str, float]:
    """What the operators of a verify pass take longer at command level than analytically, ns."""
    costs = command_costs(system, context, 1)
    assert costs is not None
    longer: dict[str, float] = {}
    for phase in costs.planner.verify(*costs.kind_of(l_spec, context)):
        operator = OPERATOR_OF.get(phase.name, phase.name)
        longer[operator] = longer.get(operator, 0.0) + float(phase.latency_ns) * float(phase.copies)
    allocator = make_allocator(system.platform, system.model, MAX_TREE_SIZE, context + 1, system.profile)
    for op in verify_operators(system.model, l_spec, context):
        longer[op.name] = longer.get(op.name, 0.0) - float(np.asarray(allocator.decode_cost((op,)).latency_ns))
    return longer


def larger_trees(name: str, advance: Advance) -> Rung:
    """No step is cheaper because its tree is larger: every size analytically, those of the sweep at command level."""
    closed = [line for system, context in _priced() for line in cheaper_closed(system, context)]
    steps = sweep(advance)
    commands = [
        line
        for step, larger in zip(steps, steps[len(profile_names()) :], strict=False)
        if (step.model, step.context) == (larger.model, larger.context)
        for line in _cheaper_by_commands(step, larger)
    ]
    models = len({system.model.name for system, _ in _priced()})
    figure = (
        f"cheaper: {len(closed)} of {models} models' sizes analytically, {len(commands)} of {len(steps)} steps by "
        "commands"
    )
    values = {"closed": float(len(closed)), "commands": float(len(commands))}
    return Rung(name, figure, not closed and not commands, values, (*closed, *commands))


@cache
def _priced() -> list[tuple[System, int]]:
    """Every preset that LP-Spec has room for, in every context and under every profile."""
    wanted = [
        (_system(model, profile), context)
        for model in model_names()
        for context in contexts_of(model)
        for profile in profile_names()
    ]
    return [(system, context) for system, context in wanted if has_room(system, context)]


def has_room(system: System, context: int) -> bool:
    """Whether the machine holds the model and so long a context."""
    try:
        make_allocator(system.platform, system.model, MAX_TREE_SIZE, context + 1, system.profile)
    except InputError:
        return False
    return True


def cheaper_closed(system: System, context: int) -> Iterator[str]:
    """The worst step of a system at which a tree larger by one token takes less time, and less energy."""
    costs = step_costs(system, context, 1)
    for quantity, cost in (("time", costs.latency_ns[0]), ("energy", costs.energy_pj.sum(axis=0)[0])):
        grown = cost[1:] / cost[:-1] - 1
        size = int(grown.argmin())
        if grown[size] < -CLOSED_TOLERANCE:
            where = f"{system.model.name}, context {context:,}, {system.profile.name}"
            yield f"{where}, analytic: {quantity} {grown[size]:+.2%} from L_spec {size + 1} to {size + 2}"


def _cheaper_by_commands(step: Step, larger: Step) -> Iterator[str]:
    before, after = step.runs[1], larger.runs[1]
    grown = {
        "time": after.decode_ns / before.decode_ns - 1,
        "energy": float(after.decode_pj.sum() / before.decode_pj.sum()) - 1,
    }
    for quantity, more in grown.items():
        if more < -COMMAND_TOLERANCE:
            yield f"{larger}, commands: {quantity} {more:+.2%} against L_spec {step.l_spec}"
