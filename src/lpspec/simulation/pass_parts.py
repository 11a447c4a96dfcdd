"""The parts that passes over several requests are made of: what these share, and what each has of its own.

Weights are read once whoever they are for, so products and the like cost by the tokens of the whole pass. A cache is
its request's own: attention costs by its context and its tokens, one request after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.allocation.checking import checked_cost
from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS
from lpspec.llm.counts import Count
from lpspec.llm.draft_work import level_head, level_layers, network_of
from lpspec.llm.operators import Attention, Operator, StateUpdate, verify_operators
from lpspec.simulation.draft_cache import IN_PLACE, DraftCache, waiting
from lpspec.simulation.price_grid import GridEnergy, grid_prices, priced
from lpspec.simulation.workload import MAX_TREE_SIZE, System

MOST_PASS_TOKENS = 512
"""Tokens that one pass takes at most, of all its requests, and a full batch with the largest trees has. Assumed, 256 to
1024: beyond, time rises with the tokens on every machine here."""

CONTEXTS_AT_ONCE = 4096
"""Contexts that are priced together, so that a long one needs no more memory than a short one."""

Prices = tuple[FloatArray, FloatArray]
"""Time, float64 [...], and energy of memory and MACs, float64 [components, ...]."""

OfPass = Callable[[Count, Count], tuple[Operator, ...]]
"""Operators of a pass of so many tokens behind so many."""


@dataclass(frozen=True)
class Span:
    """What a run of several requests can meet.

    Attributes:
        first_context: Shortest context, tokens.
        contexts: How many consecutive ones there are.
        sizes: Largest tree, the root included.
        requests: Requests of a pass at most.
        prompts: int64 [prompts], lengths of prompts that occur, ascending.
        levels: Levels of a tree at most, where no heads draft.
    """

    first_context: int
    contexts: int
    sizes: int
    requests: int
    prompts: IntArray
    levels: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of a pass at most."""
        return max(self.sizes, min(self.sizes * self.requests, MOST_PASS_TOKENS))

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Contexts that are priced together, from and to, as places among all."""
        starts = range(0, self.contexts, CONTEXTS_AT_ONCE)
        return [(start, min(start + CONTEXTS_AT_ONCE, self.contexts)) for start in starts]


@dataclass(frozen=True)
class Parts:
    """A kind of pass.

    Attributes:
        shared: What its requests share, of so many tokens.
        own: What each has of its own, of so many tokens behind so many.
        waits: Whether keys and values of so many tokens, int64 [...], wait in the scratchpad.
        cache: Where those of accepted tokens wait, too.
        charged: Tokens that passes are charged for, int64 [...], of those that they take.
    """

    shared: Callable[[Count], tuple[Operator, ...]]
    own: OfPass
    waits: Callable[[IntArray], BoolArray]
    charged: Callable[[IntArray], IntArray]
    cache: DraftCache = IN_PLACE

    def put_off(self, tokens: Count, context: Count, held: Count) -> tuple[Operator, ...]:
        """What a request has of its own whose tokens wait in the scratchpad, of those before so many in memory."""
        return waiting(self.own(tokens, context), held=held, beside=self.cache.beside)


def by_whom(of: OfPass, tokens: Count, context: Count) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
    """Operators of a pass that its requests share, and those that each has of its own.

    Shared is what reads weights or touches tokens only: products, and vector work that does not grow with the context.
    """
    own = [isinstance(op, Attention | StateUpdate) or op != more for op, more in zip(of(1, 1), of(1, 2), strict=True)]
    operators = of(tokens, context)
    return (
        tuple(op for op, mine in zip(operators, own, strict=True) if not mine),
        tuple(op for op, mine in zip(operators, own, strict=True) if mine),
    )


def verify_parts(system: System, cache: DraftCache) -> Parts:
    """A verify pass."""
    return replace(_parts(partial(verify_operators, system.model), cache.waits, system.charged), cache=cache)


def first_parts(system: System) -> Parts:
    """The pass of a network over committed tokens, without its head."""
    return _parts(partial(level_layers, system.model, fills=True), lambda tokens: np.zeros(np.shape(tokens), np.bool_))


def further_parts(system: System, cache: DraftCache) -> Parts:
    """A pass of a network over the drafts of a level, its head included; drafts wait, or none does."""
    layers = _parts(partial(level_layers, system.model), cache.level_waits)
    return replace(layers, shared=lambda tokens: layers.shared(tokens) + level_head(system.model, tokens))


def _parts(
    of: OfPass,
    waits: Callable[[IntArray], BoolArray],
    charged: Callable[[IntArray], IntArray] = lambda tokens: tokens,
) -> Parts:
    def shared(tokens: Count) -> tuple[Operator, ...]:
        return by_whom(of, tokens, 0)[0]

    def own(tokens: Count, context: Count) -> tuple[Operator, ...]:
        return by_whom(of, tokens, context)[1]

    return Parts(shared, own, waits, charged)


def drafts_by_levels(system: System) -> bool:
    """Whether a network drafts for the requests of a system."""
    return system.speculates and network_of(system.model) is not None


def by_tokens(
    system: System, allocator: Allocator, of: Callable[[Count], tuple[Operator, ...]], most: int, what: str
) -> Prices:
    """Time and energy of what requests share, of 0, 1, ... tokens.

    Up to the largest tree a pass costs as that of one request; beyond, each number of tokens is split for itself.
    """
    ns, pj = np.zeros(most + 1), np.zeros((len(COMPONENTS), most + 1))
    largest = MAX_TREE_SIZE if system.speculates else 1
    for first, last in ((1, min(largest, most)), (largest + 1, most)):
        if first <= last:
            shape = (1, last - first + 1)
            cost = allocator.decode_cost(of(np.arange(first, last + 1)[None, :]))
            some_ns, some_pj = priced(system, checked_cost(cost, system.platform.allocator, what, shape), shape)
            ns[first : last + 1], pj[:, first : last + 1] = some_ns[0], some_pj[:, 0]
    return ns, pj


def over_contexts(system: System, allocator: Allocator, span: Span, parts: Parts) -> tuple[FloatArray, FloatArray]:
    """Time and energy, all components together, of what one request has of its own: float64 [contexts, sizes] each."""
    ns, pj = np.empty((span.contexts, span.sizes)), np.empty((span.contexts, span.sizes))
    for start, stop in span.chunks:
        some_ns, some_pj = _own_grid(system, allocator, span, parts, (start, stop))
        ns[start:stop], pj[start:stop] = some_ns, some_pj.sum(axis=0)
    return ns, pj


def own_energy_pj(
    system: System, allocator: Allocator, span: Span, parts: Parts, own: IntArray, counts: FloatArray
) -> FloatArray:
    """Energy of attention and the like by component: float64 [components].

    Args:
        system: What runs.
        allocator: Who computes what.
        span: What is priced.
        parts: Of the pass.
        own: int64 [2, kinds], rows and columns of the price list.
        counts: float64 [kinds], how often each occurred.
    """
    total = np.zeros(len(COMPONENTS))
    for start, stop in span.chunks:
        mine = (own[0] >= start) & (own[0] < stop)
        if mine.any():
            _, pj = _own_grid(system, allocator, span, parts, (start, stop))
            total += pj[:, own[0][mine] - start, own[1][mine]] @ counts[mine]
    return total


def _own_grid(system: System, allocator: Allocator, span: Span, parts: Parts, some: tuple[int, int]) -> Prices:
    """Time and energy of what one request has of its own, for some of the contexts: float64 [..., contexts, sizes]."""
    context = span.first_context + np.arange(*some)[:, None]

    def own(size: IntArray, waits: bool) -> tuple[FloatArray, GridEnergy]:
        tokens, shape = parts.charged(size[None, :]), (len(context), len(size))
        operators = parts.put_off(tokens, context, parts.cache.held(context)) if waits else parts.own(tokens, context)
        cost = checked_cost(allocator.decode_cost(operators), system.platform.allocator, "attention", shape)
        return grid_prices(system, cost, shape)

    latency_ns, energy = parts.cache.priced(parts.waits(np.arange(1, span.sizes + 1)), own)
    return latency_ns, energy.whole_pj
