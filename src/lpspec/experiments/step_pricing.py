"""What steps of real decoding would take on a platform: the same price list that simulated decoding is charged by."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from lpspec.decoding.drafter import Drafter
from lpspec.decoding.drafters.confidence import ConfidenceDrafter
from lpspec.decoding.drafters.draft_model import DraftModel
from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.drafters.mtp_levels import MtpLevels
from lpspec.decoding.generate import Step
from lpspec.devices.cost import Cost
from lpspec.llm.draft_work import undrafted, with_heads
from lpspec.llm.model_spec import ModelSpec
from lpspec.scenario.names import Fidelity
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.price_grid import GridEnergy, priced
from lpspec.simulation.run import Run, place_steps, price_by_commands, price_steps, put_in_place
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.steps import Steps
from lpspec.simulation.workload import MAX_TREE_SIZE, System, TreePolicy

LevelDrafter: TypeAlias = ConfidenceDrafter | MtpLevels
"""Those that grow trees by their confidence, level by level."""


def with_real_heads(system: System, drafter: Drafter) -> System:
    """A system with as many Medusa heads as really draft, where it speculates."""
    heads = drafter.depth if system.speculates and isinstance(drafter, Medusa) else 0
    return replace(system, model=with_heads(system.model, heads))


def live_costs(system: System, drafter: Drafter, first_context: int, contexts: int) -> StepCosts:
    """Price every step that a text can meet, what the drafter computes included.

    A drafter that grows its tree by confidence is charged for every level that it may look beyond, so at most too
    much; EAGLE's product that mixes embedding and hidden state (an eighth of its layer or less) is left out.

    Args:
        system: The model on its machine.
        drafter: Who drafted.
        first_context: Shortest context, tokens.
        contexts: How many consecutive contexts to price.

    Raises:
        InputError: The model does not fit the machine, or its context ends before.
    """
    costs = step_costs(system, first_context, contexts)
    if not system.speculates or not isinstance(drafter, LevelDrafter):
        return costs
    level = step_costs(replace(system, model=_drafting_model(system.model, drafter)), first_context, contexts)
    levels, width = drafter.depth - 1, min(drafter.most_read, level.latency_ns.shape[1])
    latency_ns, energy_pj = costs.latency_ns.copy(), costs.energy_pj.copy()
    latency_ns[:, 1:] += (level.latency_ns[:, 0] + levels * level.latency_ns[:, width - 1])[:, None]
    energy_pj[:, :, 1:] += (level.energy_pj[:, :, 0] + levels * level.energy_pj[:, :, width - 1])[:, :, None]
    return replace(costs, latency_ns=latency_ns, energy=GridEnergy.of(energy_pj))


def _drafting_model(model: ModelSpec, drafter: LevelDrafter) -> ModelSpec:
    """The network that drafts: a smaller model, or one layer of the same dimensions under the same LM head."""
    if not isinstance(drafter, DraftModel):
        return undrafted(model).model_copy(update={"layers": 1})
    precision = {"formats": model.formats, "activation_bits": model.activation_bits, "kv_bits": model.kv_bits}
    return drafter.model.config.spec.model_copy(update=precision)


def price_texts(
    system: System,
    costs: StepCosts,
    texts: Sequence[Sequence[Step]],
    policy: TreePolicy,
    drafter: Drafter | None = None,
    fidelity: Fidelity = "analytic",
) -> Run:
    """Charge a system for the steps of texts; one that does not speculate takes a step for every token.

    Where weights can move, they follow the trees, which were sized for where they lie at first.

    Args:
        system: The model on its machine.
        costs: Its price list.
        texts: Steps of each text.
        policy: Whose objective decides where weights lie.
        drafter: Who drafted; needed to charge the levels of its trees at command level.
        fidelity: ``command`` charges for the memory's commands where the system has a command level.
    """
    steps = _charged_steps(system, costs, texts, policy)
    closed = price_steps(system, costs, steps)
    return closed if fidelity == "analytic" else _by_commands(system, drafter, steps, closed, costs.first_context)


def _charged_steps(system: System, costs: StepCosts, texts: Sequence[Sequence[Step]], policy: TreePolicy) -> Steps:
    rows = [
        (step.context, step.tree.size, len(step.tokens), step.heads, step.moved)
        if system.speculates
        else (step.context + i, 1, 1, 0, 0)
        for steps in texts
        for step in steps
        for i in range(1 if system.speculates else len(step.tokens))
    ]
    context, l_spec, committed, heads, moved = np.array(rows, np.int64).reshape(-1, 5).T
    steps = Steps(context - costs.first_context, l_spec, committed, np.zeros_like(context), heads, moved)
    return place_steps(put_in_place(costs.cache, steps, costs.first_context), policy, costs)


def _by_commands(system: System, drafter: Drafter | None, steps: Steps, closed: Run, first_context: int) -> Run:
    """The same steps at command level, prefill as analytically; all of that where the system has no command level."""
    contexts = int(steps.position.max()) + 1
    commands = command_costs(system, first_context, contexts)
    if commands is None:
        return closed
    run = price_by_commands(system, commands, steps)
    run = replace(run, prefill_ns=closed.prefill_ns, prefill_pj=closed.prefill_pj)
    if not system.speculates or not isinstance(drafter, LevelDrafter):
        return run
    level = command_costs(replace(system, model=_drafting_model(system.model, drafter)), first_context, contexts)
    assert level is not None  # the machine is the same
    drafted_ns, drafted_pj = priced(system, _drafting(level, drafter, steps), (1, 1))
    decode_ns, decode_pj = run.decode_ns + float(drafted_ns[0, 0]), run.decode_pj + drafted_pj[:, 0, 0]
    return replace(run, decode_ns=decode_ns, decode_pj=decode_pj, by_turn=None)


def _drafting(level: CommandCosts, drafter: LevelDrafter, steps: Steps) -> Cost:
    """Cost of all levels of all trees: the first looks beyond the root, each further one reads as much as it may."""
    position = steps.position[steps.l_spec > 1]
    one, none = np.ones_like(position), np.zeros_like(position)
    further = level.decode(position, one * min(drafter.most_read, MAX_TREE_SIZE), none, none, none)
    return level.decode(position, one, none, none, none) + further * (drafter.depth - 1.0)
