"""In which order a step drafts and verifies: one after the other, or each beside the other.

With two or more requests, one is drafted for while another is verified. With one, the drafter runs ahead on the guess
that its whole first path is accepted and its next guess follows; where that is wrong, what it drafted is lost.
"""

from collections.abc import Sequence

import numpy as np

from lpspec.allocation.allocator import Layout
from lpspec.arrays import BoolArray, FloatArray
from lpspec.devices.cost import Real
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm.draft_work import level_operators, network_of
from lpspec.llm.operators import Elementwise, Operator, verify_operators
from lpspec.llm.work import by_load
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.level_costs import level_width, own_reads
from lpspec.simulation.steps import Steps
from lpspec.simulation.workload import System
from lpspec.speculation.rank_trace import RankTrace

PIM, NPU, LANES, ANY = range(4)
"""What a pass keeps busy: PIM ranks, what reads plain DRAM and multiplies, vector lanes, and any of them."""


def pipelined_ns(draft_ns: Real, verify_ns: Real, shared_ns: Real) -> Real:
    """Time in which one request is drafted for while another is verified.

    Args:
        draft_ns: Time of drafting alone.
        verify_ns: Time of verifying alone.
        shared_ns: How long both together keep the busiest of the resources that both need; 0 where they share none.
    """
    return np.maximum(np.maximum(draft_ns, verify_ns), shared_ns)


def is_pipelined(system: System) -> bool:
    """Whether a network drafts beside verification."""
    drafts = system.speculates and network_of(system.model) is not None
    return drafts and system.platform.step_order == "pipelined"


def check_order(system: System) -> None:
    """Refuse to run ahead where nothing can; who has drafters apart verifies what heads of the model guess, too.

    Raises:
        InputError: Steps are pipelined, and no network drafts.
    """
    is_wanted = system.platform.step_order == "pipelined" and "drafters" not in system.platform.device_tables
    if is_wanted and not is_pipelined(system):
        raise InputError(
            f"{system.name}: step_order is pipelined, and {system.model.name} has no network that could draft ahead; "
            "allowed is sequential, or another --drafter, such as eagle3"
        )


def right_ahead(trace: RankTrace, steps: Steps) -> BoolArray:
    """Whether what was drafted beside each step, for the next one, could be used: bool [steps].

    Right are the first path of the tree and the guess behind it; a trace that ends there is never right.
    """
    start = trace.turn_starts[steps.turn] + steps.position
    first_right = np.cumprod(trace.ranks[start] == 0, axis=1).sum(axis=1)
    ends = np.append(steps.position[1:] <= steps.position[:-1], True)
    right: BoolArray = (first_right > steps.heads) & (steps.committed == steps.heads + 1) & ~ends
    return right


def busy_ns(layout: Layout, operators: tuple[Operator, ...], kinds: int) -> FloatArray:
    """How long a pass keeps each resource: float64 [resources, kinds], of arrays over kinds of a step.

    What runs on drafters of its own is in none but the last.
    """
    busy, drafts = np.zeros((4, kinds)), getattr(layout, "drafts", None)
    is_apart = drafts is not None and drafts(operators)
    for op in operators:
        for part, share in by_load(op):
            ns = np.broadcast_to(layout.decode_cost((part,)).latency_ns * share, (1, kinds))[0]
            busy[ANY] += ns
            if is_apart:
                continue
            if isinstance(part, Elementwise):
                busy[LANES] += ns
                continue
            shares = [one for division in layout.divided(part) for one in division.shares]
            for resource in (PIM, NPU):
                mine = [amount for device, amount in shares if isinstance(device, LpddrPim) == (resource == PIM)]
                busy[resource] += (ns * _takes_part(mine)).reshape(kinds)
    return busy


def _takes_part(amounts: list[int | None]) -> Real:
    """1 where any of the amounts is not 0, all of an operator for None; numbers, or arrays over kinds."""
    parts = [np.asarray(1 if amount is None else amount) > 0 for amount in amounts]
    return np.any(np.broadcast_arrays(*parts), axis=0) * 1.0 if parts else 0.0


def shared_share(system: System, allocator: object, first_context: int, steps: Steps) -> FloatArray:
    """Time of the busiest resource over that of drafting and verifying one after the other, analytically: [steps].

    So much of both levels' times cannot overlap; all of it where an allocator does not say who computes what. Steps of
    as many tokens and levels over as many blocks are alike.
    """
    layouts: Sequence[Layout] = getattr(allocator, "layouts", ())
    if not layouts:
        return np.ones(len(steps.position))
    context = -(-(first_context + steps.position) // KEY_BLOCK) * KEY_BLOCK
    columns = np.column_stack([steps.l_spec, steps.heads, steps.committed, context])
    kinds, which = np.unique(columns, axis=0, return_inverse=True)
    size, depth, committed, before = (kinds[:, [i]].T for i in range(4))
    width, model = level_width(size, depth), system.model
    busy = np.zeros((4, len(kinds)))
    passes = [
        (verify_operators(model, system.charged(size), before), np.ones_like(depth[0])),
        (level_operators(model, committed, before, np.ones_like(committed), fills=True), np.minimum(depth[0], 1)),
    ]
    network = network_of(model)
    if network is None or network.copies == 1:
        passes.append((level_operators(model, width, before, width), np.maximum(depth[0] - 1, 0)))
    else:
        for level in range(2, int(depth.max(initial=0)) + 1):
            reads = own_reads((size, depth), committed, level)
            passes.append((level_operators(model, reads, before, width, fills=True), 1 * (depth[0] >= level)))
    for operators, times in passes:
        busy += busy_ns(layouts[0], operators, len(kinds)) * times
    share: FloatArray = (busy[:ANY].max(axis=0) / busy[ANY])[which.ravel()]
    return share


def run_ahead(
    right: BoolArray,
    shared: FloatArray,
    verify_ns: FloatArray,
    draft_ns: FloatArray,
    draft_pj: FloatArray,
    pj: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Time that running ahead saves in each step, float64 [steps], and energy that it loses, [components, steps].

    The drafter runs beside a step for the next one where the share of guesses that were right so far says that the
    product of time and energy falls. A wrong guess costs no time, since verification goes first.

    Args:
        right: bool [steps], as ``right_ahead`` has it.
        shared: float64 [steps], as ``shared_share`` has it.
        verify_ns: float64 [steps], time of all but drafting.
        draft_ns: float64 [steps], time of drafting for the step.
        draft_pj: float64 [components, steps], its energy.
        pj: float64 [components, steps], energy of the whole step.
    """
    following_ns, following_pj = np.append(draft_ns[1:], 0.0), np.append(draft_pj[:, 1:], draft_pj[:, :1] * 0, axis=1)
    both_ns = verify_ns + following_ns
    saved_ns = both_ns - pipelined_ns(following_ns, verify_ns, shared * both_ns)
    seen = np.arange(len(right))
    chance = np.where(seen > 0, (np.cumsum(right) - right) / np.maximum(seen, 1), 0.0)
    time = 1.0 - chance * saved_ns / both_ns
    energy = 1.0 + (1.0 - chance) * following_pj.sum(axis=0) / pj.sum(axis=0)
    runs = time * energy < 1.0
    return saved_ns * (runs & right), following_pj * (runs & ~right)
