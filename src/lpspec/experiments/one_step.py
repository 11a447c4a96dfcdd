"""One step of a system analytically and at command level, to be compared: same tree, same split, same profile."""

from dataclasses import replace
from functools import cache

import numpy as np

from lpspec.dram.run.steady import REFRESH_INTERVALS
from lpspec.llm.draft_work import heads_of
from lpspec.scenario import Workload
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.price_grid import priced
from lpspec.simulation.run import Run, decode_steps, price_steps
from lpspec.simulation.step_cost import allocator_of, step_costs
from lpspec.simulation.workload import MAX_TREE_SIZE, System, TreePolicy
from lpspec.speculation.rank_trace import RankTrace


def both_levels(
    system: System, l_spec: int, context: int, by_commands: bool = True, refresh_intervals: int = REFRESH_INTERVALS
) -> list[Run]:
    """A step of which the root alone is committed, all draft heads running with a tree: analytic, then command level.

    Commands of the prompt are left out.

    Args:
        system: The model on its machine, with draft heads.
        l_spec: Tokens verified, the root included.
        context: Tokens in the cache.
        by_commands: Whether commands are wanted.
        refresh_intervals: As for ``PackageCommands``.

    Raises:
        InputError: The model does not fit the machine.
    """
    policy = TreePolicy(size=l_spec, objective="throughput", heads="all")
    trace, system = _nothing_accepted(heads_of(system.model)), system.under(policy)
    allocator = allocator_of(system, context + 1)
    prices = step_costs(system, context, 1, allocator)
    steps = decode_steps(system, trace, Workload(context, 1), policy, prices)
    closed = price_steps(system, prices, steps)
    costs = command_costs(system, context, 1, allocator, refresh_intervals) if by_commands else None
    if costs is None:
        return [closed]
    cost = costs.decode(steps.position, steps.l_spec, steps.moved, steps.placement, steps.heads)
    decode_ns, decode_pj = priced(system, cost, (1, 1))
    return [closed, replace(closed, decode_ns=float(decode_ns[0, 0]), decode_pj=decode_pj[:, 0, 0], fidelity="command")]


@cache
def _nothing_accepted(heads: int) -> RankTrace:
    """One token of which no head knows the next, with lists that fill any tree."""
    return RankTrace(
        np.full((1, heads), -1, np.int8),
        np.ones(1, np.int32),
        top_k=MAX_TREE_SIZE - 1,
        labels=("one token",),
        name="nothing accepted",
        model="any",
        kind="synthetic",
        description="one token of which no head knows the next",
        source="made up",
    )
