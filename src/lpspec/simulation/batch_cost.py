"""The price list of passes over several requests: what they share, by tokens, and what each has of its own.

Weights are read once whoever they are for, so products and the like cost by the tokens of the whole pass. A cache is
its request's own: attention costs by its context and its tokens, one request after the other.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.allocation.checking import checked_cost
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS
from lpspec.llm.draft_work import draft_operators, draft_prompt_operators, heads_of
from lpspec.llm.operators import prefill_operators
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.simulation.batch_levels import (
    BatchLevels,
    batch_levels,
    no_levels,
    own_networks,
    planned_above,
    planned_passes,
)
from lpspec.simulation.draft_cache import DraftCache
from lpspec.simulation.energy_basis import counted_pj
from lpspec.simulation.pass_parts import (
    Span,
    by_tokens,
    drafts_by_levels,
    over_contexts,
    own_energy_pj,
    verify_parts,
)
from lpspec.simulation.price_grid import priced
from lpspec.simulation.put_in_place import put_in_place_prices, settled_cache
from lpspec.simulation.serving_state import NO_BUSY, Clock
from lpspec.simulation.workload import System
from lpspec.speculation.pass_prices import ONE_NETWORK, LevelPrices, PassPrices


@dataclass(frozen=True)
class BatchCosts:
    """Time and energy of all parts of passes, analytically; energies are [components, ...] in ``COMPONENTS``' order.

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
        cache: Which drafts wait in the scratchpad.
        levels: Of a network that drafts; None where none does.
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
    cache: DraftCache
    levels: BatchLevels | None = None

    def prices(self, objective: Objective) -> PassPrices:
        """What trees are divided by."""
        share, idle = _energy_line(self.system.platform)
        shared_pj, draft_pj = self.shared_pj.sum(axis=0), self.draft_pj.sum(axis=0)
        heads, context = len(self.draft_ns) - 1, self.span.first_context + np.arange(self.span.contexts)
        put_ns, put_pj = (
            self.cache.planned(cost, self.span.sizes, context)
            for cost in (self.compaction_ns, self.compaction_pj.sum(axis=0))
        )
        reads, width = planned_passes(heads, self.span.sizes)
        return PassPrices(
            shared_ns=self.shared_ns,
            shared_pj=shared_pj,
            least_ns=_least_slopes(self.shared_ns),
            least_pj=_least_slopes(shared_pj),
            floor_ns=np.minimum.accumulate(self.shared_ns[::-1])[::-1].copy(),
            floor_pj=np.minimum.accumulate(shared_pj[::-1])[::-1].copy(),
            own_ns=self.own_ns + put_ns,
            own_pj=self.own_pj + put_pj,
            draft_ns=self.draft_ns,
            draft_pj=draft_pj,
            level_ns=self.level_times,
            level_pj=no_levels(heads) if self.levels is None else self.levels.energies,
            reads=reads,
            width=width,
            above=planned_above(heads, self.span.sizes) if own_networks(self.system) else ONE_NETWORK,
            charged=np.concatenate([[0], self.system.charged(np.arange(1, self.span.sizes + 1))]),
            energy_share=share,
            idle_pj_per_ns=idle,
            objective=OBJECTIVES.index(objective),
        )

    def clock(self, prompts: IntArray) -> Clock:
        """Time of what passes do; of the prefill of each request, int64 [requests] as an index of a length."""
        levels = self.level_times
        prefill_ns = self.prefill_ns[prompts]
        return Clock(self.shared_ns, self.own_ns, self.draft_ns, levels, self.compaction_ns, prefill_ns, NO_BUSY)

    @property
    def level_times(self) -> LevelPrices:
        """Time of the passes of a network; nothing where none drafts."""
        return no_levels(len(self.draft_ns) - 1) if self.levels is None else self.levels.times

    def own_energy_pj(self, context: IntArray, size: IntArray, count: FloatArray) -> FloatArray:
        """Energy of attention and the like by component, of kinds that occur so often: float64 [components].

        Args:
            context: int64 [kinds], rows of the list.
            size: int64 [kinds], columns.
            count: float64 [kinds].
        """
        parts = verify_parts(self.system, self.cache)
        return own_energy_pj(self.system, self.allocator, self.span, parts, np.stack([context, size]), count)


def batch_costs(system: System, allocator: Allocator, span: Span) -> BatchCosts:
    """Price every pass that a run of several requests can meet.

    Args:
        system: The model on its machine.
        allocator: Made for all that lies in the memory at a time.
        span: What can occur.

    Raises:
        InputError: The devices lack the precision, or the allocator gives what is no cost.
    """
    cache = settled_cache(system, allocator, span.first_context, span.requests)
    verify = verify_parts(system, cache)
    moved_ns, moved_pj = put_in_place_prices(system, allocator, span.sizes, cache.most > 1, cache.block)
    name, shape = system.platform.allocator, (len(span.prompts), 1)
    prompts = prefill_operators(system.model, span.prompts[:, None])
    if drafts_by_levels(system):
        prompts += draft_prompt_operators(system.model, span.prompts[:, None])
    prompt = allocator.prefill_cost(prompts)
    prefill_ns, prefill_pj = priced(system, checked_cost(prompt, name, "prompts", shape), shape)
    return BatchCosts(
        system,
        allocator,
        span,
        *by_tokens(system, allocator, verify.shared, span.tokens, "verify passes"),
        *over_contexts(system, allocator, span, verify),
        *_drafts(system, allocator, span),
        moved_ns,
        moved_pj,
        prefill_ns[:, 0],
        prefill_pj[:, :, 0],
        cache,
        batch_levels(system, allocator, span, cache),
    )


def _drafts(system: System, allocator: Allocator, span: Span) -> tuple[FloatArray, FloatArray]:
    """Time and energy of the first 0, 1, ... draft heads for 0, 1, ... requests."""
    heads = heads_of(system.model)
    rows = max(heads, span.levels) + 1  # who drafts without heads has none to pay for
    ns = np.zeros((rows, span.requests + 1))
    pj = np.zeros((len(COMPONENTS), rows, span.requests + 1))
    for head in range(1, heads + 1):
        for requests in range(1, span.requests + 1):
            cost = allocator.decode_cost(draft_operators(system.model, head, requests))
            checked = checked_cost(cost, system.platform.allocator, "draft heads", (1, 1))
            one_ns, one_pj = priced(system, checked, (1, 1))
            ns[head, requests], pj[:, head, requests] = one_ns[0, 0], one_pj[:, 0, 0]
    return ns, pj


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
