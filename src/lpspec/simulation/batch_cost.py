"""The price list of passes over several requests: what they share, by tokens, and what each has of its own.

Weights are read once whoever they are for, so products and the like cost by the tokens of the whole pass. A cache is
its request's own: attention costs by its context and its tokens, one request after the other.
"""

from dataclasses import dataclass, replace

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.allocation.checking import checked_cost
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS
from lpspec.llm.counts import Count
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import (
    Attention,
    Elementwise,
    Operator,
    StateUpdate,
    draft_operators,
    prefill_operators,
    verify_operators,
)
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.simulation.batch_kernels import Clock
from lpspec.simulation.draft_cache import draft_cache_of, waiting
from lpspec.simulation.energy_basis import counted_pj
from lpspec.simulation.price_grid import GridEnergy, grid_prices, priced
from lpspec.simulation.step_cost import put_in_place_prices
from lpspec.simulation.workload import MAX_TREE_SIZE, System
from lpspec.speculation.budget_kernels import PassPrices

MOST_PASS_TOKENS = 512
"""Tokens that one pass takes at most, of all its requests, and a full batch with the largest trees has. Assumed, 256 to
1024: beyond, time rises with the tokens on every machine here."""

CONTEXTS_AT_ONCE = 4096
"""Contexts that are priced together, so that a long one needs no more memory than a short one."""


@dataclass(frozen=True)
class Span:
    """What a run of several requests can meet.

    Attributes:
        first_context: Shortest context, tokens.
        contexts: How many consecutive ones there are.
        sizes: Largest tree, the root included.
        requests: Requests of a pass at most.
        prompts: int64 [prompts], lengths of prompts that occur, ascending.
    """

    first_context: int
    contexts: int
    sizes: int
    requests: int
    prompts: IntArray

    @property
    def tokens(self) -> int:
        """Tokens of a pass at most."""
        return max(self.sizes, min(self.sizes * self.requests, MOST_PASS_TOKENS))


def by_whom(model: ModelSpec, tokens: Count, context: Count) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
    """Operators of a verify pass that its requests share, and those that each has of its own.

    Shared is what reads weights or touches tokens only: products, and vector work that does not grow with the context.
    """
    one, other = verify_operators(model, 1, 1), verify_operators(model, 1, 2)
    own = [isinstance(op, Attention | StateUpdate) or op != longer for op, longer in zip(one, other, strict=True)]
    operators = verify_operators(model, tokens, context)
    return (
        tuple(op for op, mine in zip(operators, own, strict=True) if not mine),
        tuple(op for op, mine in zip(operators, own, strict=True) if mine),
    )


def drafting_operators(model: ModelSpec, heads: int, requests: int) -> tuple[Operator, ...]:
    """The first draft heads for so many requests at once: their weights are read once, too."""
    one = draft_operators(model, heads)
    return tuple(
        replace(op, elements=op.elements * requests)
        if isinstance(op, Elementwise)
        else replace(op, tokens=op.tokens * requests)
        for op in one
    )


@dataclass(frozen=True)
class BatchCosts:
    """Time and energy of all parts of passes by closed forms; energies are [components, ...] in ``COMPONENTS``' order.

    Attributes:
        system: What runs.
        allocator: Who computes what.
        span: What is priced.
        shared_ns: float64 [tokens + 1]; 0 for none.
        shared_pj: float64 [components, tokens + 1].
        own_ns: float64 [contexts, sizes], attention and the like of one request.
        own_pj: float64 [contexts, sizes], all components together.
        draft_ns: float64 [heads + 1, requests + 1].
        draft_pj: float64 [components, heads + 1, requests + 1].
        compaction_ns: float64 [entries], as that of ``StepCosts``.
        compaction_pj: float64 [components, entries].
        prefill_ns: float64 [prompts].
        prefill_pj: float64 [components, prompts].
    """

    system: System
    allocator: Allocator
    span: Span
    shared_ns: FloatArray
    shared_pj: FloatArray
    own_ns: FloatArray
    own_pj: FloatArray
    draft_ns: FloatArray
    draft_pj: FloatArray
    compaction_ns: FloatArray
    compaction_pj: FloatArray
    prefill_ns: FloatArray
    prefill_pj: FloatArray

    def prices(self, objective: Objective) -> PassPrices:
        """What trees are divided by."""
        share, idle = _energy_line(self.system.platform)
        shared_pj, draft_pj = self.shared_pj.sum(axis=0), self.draft_pj.sum(axis=0)
        return PassPrices(
            shared_ns=self.shared_ns,
            shared_pj=shared_pj,
            least_ns=_least_slopes(self.shared_ns),
            least_pj=_least_slopes(shared_pj),
            floor_ns=np.minimum.accumulate(self.shared_ns[::-1])[::-1].copy(),
            floor_pj=np.minimum.accumulate(shared_pj[::-1])[::-1].copy(),
            own_ns=self.own_ns,
            own_pj=self.own_pj,
            draft_ns=self.draft_ns,
            draft_pj=draft_pj,
            charged=np.concatenate([[0], self.system.charged(np.arange(1, self.span.sizes + 1))]),
            energy_share=share,
            idle_pj_per_ns=idle,
            objective=OBJECTIVES.index(objective),
        )

    def clock(self, prompts: IntArray) -> Clock:
        """Time of what passes do; of the prefill of each request, int64 [requests] as an index of a length."""
        return Clock(self.shared_ns, self.own_ns, self.draft_ns, self.compaction_ns, self.prefill_ns[prompts])

    def own_energy_pj(self, context: IntArray, size: IntArray, count: FloatArray) -> FloatArray:
        """Energy of attention and the like by component, of kinds that occur so often: float64 [components].

        Args:
            context: int64 [kinds], rows of the list.
            size: int64 [kinds], columns.
            count: float64 [kinds].
        """
        total = np.zeros(len(COMPONENTS))
        for start, stop in _chunks(self.span.contexts):
            mine = (context >= start) & (context < stop)
            if mine.any():
                _, pj = _own_grid(self.system, self.allocator, self.span, start, stop)
                total += pj[:, context[mine] - start, size[mine]] @ count[mine]
        return total


def batch_costs(system: System, allocator: Allocator, span: Span) -> BatchCosts:
    """Price every pass that a run of several requests can meet.

    Args:
        system: The model on its machine.
        allocator: Made for all that lies in the memory at a time.
        span: What can occur.

    Raises:
        InputError: The devices lack the precision, or the allocator gives what is no cost.
    """
    shared_ns, shared_pj = _shared(system, allocator, span)
    own_ns, own_pj = np.empty((span.contexts, span.sizes)), np.empty((span.contexts, span.sizes))
    for start, stop in _chunks(span.contexts):
        ns, pj = _own_grid(system, allocator, span, start, stop)
        own_ns[start:stop], own_pj[start:stop] = ns, pj.sum(axis=0)
    cache = draft_cache_of(system.platform, system.model, span.requests)
    moved_ns, moved_pj = put_in_place_prices(system, allocator, span.sizes, cache.most > 1)
    name, shape = system.platform.allocator, (len(span.prompts), 1)
    prompt = allocator.prefill_cost(prefill_operators(system.model, span.prompts[:, None]))
    prefill_ns, prefill_pj = priced(system, checked_cost(prompt, name, "prompts", shape), shape)
    return BatchCosts(
        system,
        allocator,
        span,
        shared_ns,
        shared_pj,
        own_ns,
        own_pj,
        *_drafts(system, allocator, span),
        moved_ns,
        moved_pj,
        prefill_ns[:, 0],
        prefill_pj[:, :, 0],
    )


def _shared(system: System, allocator: Allocator, span: Span) -> tuple[FloatArray, FloatArray]:
    """Time and energy of what requests share, of 0, 1, ... tokens.

    Up to the largest tree a pass costs as that of one request; beyond, each number of tokens is split for itself.
    """
    name = system.platform.allocator
    ns, pj = np.zeros(span.tokens + 1), np.zeros((len(COMPONENTS), span.tokens + 1))
    largest = MAX_TREE_SIZE if system.speculates else 1
    for first, last in ((1, min(largest, span.tokens)), (largest + 1, span.tokens)):
        if first <= last:
            shape = (1, last - first + 1)
            shared, _ = by_whom(system.model, np.arange(first, last + 1)[None, :], 0)
            cost = checked_cost(allocator.decode_cost(shared), name, "verify passes", shape)
            some_ns, some_pj = priced(system, cost, shape)
            ns[first : last + 1], pj[:, first : last + 1] = some_ns[0], some_pj[:, 0]
    return ns, pj


def _own_grid(system: System, allocator: Allocator, span: Span, start: int, stop: int) -> tuple[FloatArray, FloatArray]:
    """Time and energy of what one request has of its own, for some of the contexts: float64 [..., contexts, sizes]."""
    context = span.first_context + np.arange(start, stop)[:, None]
    cache = draft_cache_of(system.platform, system.model, span.requests)

    def own(size: IntArray, waits: bool) -> tuple[FloatArray, GridEnergy]:
        _, operators = by_whom(system.model, system.charged(size[None, :]), context)
        shape = (stop - start, len(size))
        cost = checked_cost(
            allocator.decode_cost(waiting(operators, waits)), system.platform.allocator, "attention", shape
        )
        return grid_prices(system, cost, shape)

    latency_ns, energy = cache.priced(cache.waits(np.arange(1, span.sizes + 1)), own)
    return latency_ns, energy.whole_pj


def _drafts(system: System, allocator: Allocator, span: Span) -> tuple[FloatArray, FloatArray]:
    """Time and energy of the first 0, 1, ... draft heads for 0, 1, ... requests."""
    heads = system.model.medusa_heads
    ns = np.zeros((heads + 1, span.requests + 1))
    pj = np.zeros((len(COMPONENTS), heads + 1, span.requests + 1))
    for head in range(1, heads + 1):
        for requests in range(1, span.requests + 1):
            cost = allocator.decode_cost(drafting_operators(system.model, head, requests))
            checked = checked_cost(cost, system.platform.allocator, "draft heads", (1, 1))
            one_ns, one_pj = priced(system, checked, (1, 1))
            ns[head, requests], pj[:, head, requests] = one_ns[0, 0], one_pj[:, 0, 0]
    return ns, pj


def _chunks(contexts: int) -> list[tuple[int, int]]:
    starts = range(0, contexts, CONTEXTS_AT_ONCE)
    return [(start, min(start + CONTEXTS_AT_ONCE, contexts)) for start in starts]


def _least_slopes(cost: FloatArray) -> FloatArray:
    """The least that each further token adds in the mean, from every number of tokens on: float64 [tokens + 1]."""
    least = np.full(len(cost), np.inf)
    for tokens in range(len(cost) - 1):
        least[tokens] = ((cost[tokens + 1 :] - cost[tokens]) / np.arange(1, len(cost) - tokens)).min()
    rising: FloatArray = np.maximum(least, 0.0)
    return rising


def _energy_line(platform: PlatformSpec) -> tuple[float, float]:
    """Counted energy is so much of that of memory and MACs, and so many pJ per ns."""
    idle = float(counted_pj(platform, 0.0, 1.0))
    return float(counted_pj(platform, 1.0, 1.0)) - idle, idle
