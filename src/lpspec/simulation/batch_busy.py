"""How long each resource is busy in passes over several requests, half of which are drafted for beside the others.

What NPU, PIM ranks and vector lanes do for both cannot overlap; it is known analytically, in whole blocks of keys.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lpspec.allocation.allocator import Layout
from lpspec.arrays import FloatArray
from lpspec.errors import InputError
from lpspec.llm.counts import Count
from lpspec.llm.draft_work import level_head
from lpspec.llm.operators import Operator
from lpspec.simulation.batch_cost import BatchCosts
from lpspec.simulation.batch_levels import most_level_tokens
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.pass_parts import Parts, Span, first_parts, further_parts, verify_parts
from lpspec.simulation.serving_state import Busy
from lpspec.simulation.step_order import busy_ns
from lpspec.simulation.workload import MAX_TREE_SIZE


def batch_busy(costs: BatchCosts) -> Busy:
    """The tables of a system.

    Raises:
        InputError: Its allocator does not say who computes what.
    """
    system, span = costs.system, costs.span
    layouts: Sequence[Layout] = getattr(costs.allocator, "layouts", ())
    if not layouts:
        raise InputError(
            f"{system.name}: step_order is pipelined, and allocator {system.platform.allocator} does not say what can "
            "overlap: requests and batches take --set step_order=sequential"
        )
    verify, first, further = (
        verify_parts(system, costs.cache),
        first_parts(system),
        further_parts(system, costs.cache),
    )
    most, layout = most_level_tokens(system, span), layouts[0]
    return Busy(
        -(-(span.first_context + np.arange(span.contexts)) // KEY_BLOCK) - -(-span.first_context // KEY_BLOCK),
        _by_tokens(layout, verify.shared, span.tokens),
        _by_tokens(layout, first.shared, most),
        _by_tokens(layout, lambda requests: level_head(system.model, requests), span.requests),
        _by_tokens(layout, further.shared, most),
        *(_own(layout, parts, span) for parts in (verify, first, further)),
    )


def _by_tokens(layout: Layout, of: Callable[[Count], tuple[Operator, ...]], most: int) -> FloatArray:
    """What requests share, of 0, 1, ... tokens: float64 [resources, tokens + 1]."""
    busy = np.zeros((4, most + 1))
    for first, last in ((1, min(MAX_TREE_SIZE, most)), (MAX_TREE_SIZE + 1, most)):
        if first <= last:
            tokens = np.arange(first, last + 1)
            busy[:, first : last + 1] = busy_ns(layout, of(tokens[None, :]), len(tokens))
    return busy


def _own(layout: Layout, parts: Parts, span: Span) -> FloatArray:
    """What a request has of its own: float64 [resources, blocks of context, sizes]."""
    last = span.first_context + span.contexts - 1
    context = np.arange(-(-span.first_context // KEY_BLOCK), -(-last // KEY_BLOCK) + 1) * KEY_BLOCK
    sizes = np.arange(1, span.sizes + 1)
    busy = np.zeros((4, len(context), span.sizes))
    waits = parts.waits(sizes)
    for flag in np.unique(waits).tolist():
        mine = sizes[waits == flag]
        size, before = (grid.reshape(1, -1) for grid in np.meshgrid(mine, context))
        tokens = parts.charged(size)
        operators = parts.put_off(tokens, before, parts.cache.held(before)) if flag else parts.own(tokens, before)
        busy[:, :, mine - 1] = busy_ns(layout, operators, size.size).reshape(4, len(context), len(mine))
    return busy
