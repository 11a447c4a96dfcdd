"""Serve requests on a system: continuous batching, priced analytically or by memory commands.

A new request is prefilled alone, first come first served, while decoding pauses; then it takes part in passes until it
is done. A pass takes as many of the running requests as serve the objective best, those that have waited longest.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.arrays import FloatArray, IntArray
from lpspec.errors import InputError
from lpspec.scenario.names import Fidelity, Objective
from lpspec.simulation.batch_commands import BatchCommands, Tally, batch_commands
from lpspec.simulation.batch_cost import BatchCosts, batch_costs
from lpspec.simulation.batch_levels import own_networks
from lpspec.simulation.batch_loop import Loop, Outcome, trees_of
from lpspec.simulation.batch_room import Room, activation_bytes, make_room
from lpspec.simulation.cooperating import accepted_by
from lpspec.simulation.energy_basis import counted_pj
from lpspec.simulation.pass_parts import Span
from lpspec.simulation.requests import Requests
from lpspec.simulation.served_run import ServedRun
from lpspec.simulation.step_order import check_order, is_pipelined
from lpspec.simulation.workload import System, TreePolicy


def serve(
    system: System,
    requests: Requests,
    batch: int,
    policy: TreePolicy,
    fidelity: Fidelity = "analytic",
    draws: Sequence[IntArray] = (),
) -> ServedRun:
    """Serve requests on a system.

    Args:
        system: The model on its machine.
        requests: What arrives when.
        batch: Requests of a pass at most.
        policy: How trees are found; ignored when the system does not speculate.
        fidelity: ``command`` prices passes by the memory's commands, where the system has a command level.
        draws: Samples of the requests that are served, too, each for itself, as of ``Requests.drawn``.

    Raises:
        InputError: A request does not fit, the heads of model or trace cannot fill the tree, or the system or policy
            is one for single requests only.
    """
    system = system.under(policy)
    _check_drafting(system, policy)
    _check_contexts(system, requests)
    requests = replace(requests, traces=tuple(accepted_by(system, trace) for trace in requests.traces))
    prompt = np.unique(requests.prompt_tokens, return_inverse=True)[1]
    room, loop = _laid_out(system, requests, batch, policy)
    if is_pipelined(system):
        orders = (room, loop), _laid_out(system, requests, batch, policy, pipelined=True)
        room, loop = min(orders, key=lambda one: _objective(one[1], policy.objective, prompt))
    costs = loop.costs
    commands = batch_commands(costs) if fidelity == "command" else None
    found, tally = _served(loop, prompt, commands)
    decode_pj, prefill_pj = _energy(costs, tally) if commands is None else commands.energy_pj(tally)
    samples = [_sample(loop.drawn(which), prompt[which], commands) for which in draws]
    return ServedRun(
        system=system,
        requests=requests,
        batch=batch,
        steps=found.steps,
        joined_ns=found.served.joined_ns,
        first_ns=found.served.first_ns,
        done_ns=found.served.done_ns,
        pass_begin_ns=found.pass_begin_ns,
        pass_end_ns=found.pass_end_ns,
        decode_pj=decode_pj,
        prefill_pj=prefill_pj,
        peak_bytes=_peak_bytes(room, costs, found, tally),
        is_short=room.is_short,
        at_once=2 * batch if loop.rules.beside else batch,
        fidelity="analytic" if commands is None else "command",
        error_bound=None if commands is None else commands.error_bound,
        samples=np.array(samples) if samples else None,
    )


def _served(loop: Loop, prompt: IntArray, commands: BatchCommands | None) -> tuple[Outcome, Tally]:
    """Serve until every part of a pass that occurs has a price."""
    found = loop.run(loop.costs.clock(prompt) if commands is None else commands.clock(prompt))
    while commands is not None and commands.price(loop.tally(found, prompt)):
        found = loop.run(commands.clock(prompt))
    return found, loop.tally(found, prompt)


def _sample(loop: Loop, prompt: IntArray, commands: BatchCommands | None) -> tuple[float, float, float]:
    """Tokens of other requests, time of their passes, and energy."""
    found, tally = _served(loop, prompt, commands)
    decode_pj, _ = _energy(loop.costs, tally) if commands is None else commands.energy_pj(tally)
    ns = float((found.pass_end_ns - found.pass_begin_ns).sum())
    return float(found.steps.committed.sum()), ns, float(decode_pj.sum())


def _laid_out(
    system: System, requests: Requests, batch: int, policy: TreePolicy, pipelined: bool = False
) -> tuple[Room, Loop]:
    """Memory and prices, drafting before verification or, of twice as many requests, beside it."""
    trees = trees_of(system, requests, policy, min(batch, len(requests)))
    room = make_room(system, requests, 2 * batch if pipelined else batch, trees.most)
    _check_placement(system, room.allocator)
    prompts = np.unique(requests.prompt_tokens)
    first = int(prompts[0])
    span = Span(first, requests.last_context - first, trees.most, min(batch, len(requests)), prompts, trees.levels)
    loop = Loop(requests, room, batch_costs(system, room.allocator, span), policy, trees, batch)
    return room, loop.beside() if pipelined else loop


def _objective(loop: Loop, objective: Objective, prompt: IntArray) -> float:
    """Time of all passes, their energy, or the product, analytically."""
    outcome = loop.run(loop.costs.clock(prompt))
    ns = float((outcome.pass_end_ns - outcome.pass_begin_ns).sum())
    decode_pj, _ = _energy(loop.costs, loop.tally(outcome, prompt))
    pj = float(counted_pj(loop.costs.system.platform, float(decode_pj.sum()), ns))
    return {"throughput": ns, "energy": pj, "edp": ns * pj}[objective]


def _check_drafting(system: System, policy: TreePolicy) -> None:
    check_order(system)
    if system.speculates and policy.pruner is not None:
        raise InputError(
            "a pruner of your own sees one request at a time: requests and batches take dtp, a size or a tree"
        )
    if is_pipelined(system) and own_networks(system):
        raise InputError(
            f"step_order is pipelined, and {system.model.name} has a layer for each level: requests and batches take "
            "--set step_order=sequential, or a drafter with one network, such as eagle3"
        )


def _check_contexts(system: System, requests: Requests) -> None:
    ends = requests.prompt_tokens + requests.new_tokens
    worst = int(ends.argmax())
    if ends[worst] > system.model.max_context:
        raise InputError(
            f"{system.model.name} reads at most {system.model.max_context} tokens: a prompt of "
            f"{requests.prompt_tokens[worst]} with {requests.new_tokens[worst]} new tokens needs {ends[worst]}"
        )


def _check_placement(system: System, allocator: Allocator) -> None:
    if len(getattr(allocator, "layouts", ())) > 1:
        raise InputError(
            f"allocator {system.platform.allocator} of {system.platform.name} moves weights for one request at a time: "
            "requests and batches take static or replicated"
        )


def _energy(costs: BatchCosts, tally: Tally) -> tuple[FloatArray, FloatArray]:
    """Energy of all verify passes, and of all prompts: float64 [components] each."""
    decode_pj = costs.shared_pj @ tally.tokens + costs.own_energy_pj(tally.own[0], tally.own[1], tally.own_counts)
    decode_pj = decode_pj + (costs.draft_pj * tally.drafts).sum(axis=(1, 2)) + costs.compaction_pj @ tally.moved
    if costs.levels is not None and tally.levels is not None:
        decode_pj = decode_pj + costs.levels.energy_pj(tally.levels)
    return decode_pj, costs.prefill_pj @ tally.prompts


def _peak_bytes(room: Room, costs: BatchCosts, found: Outcome, tally: Tally) -> int:
    """Most memory in use at a time."""
    most_tokens, longest = int(np.flatnonzero(tally.tokens)[-1]), int(costs.span.prompts[-1])
    working = activation_bytes(costs.system.model, longest, most_tokens)
    return room.weights_bytes + working + int(found.served.most_bytes[0])
