"""The price list of a run: what a step costs for every context and every number of verified tokens.

Computed once, vectorised over the whole grid, then looked up at every step: this is the hardware estimator of the
pruner as well as the bookkeeping of the simulation, so both see the same machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from lpspec.allocation.allocator import Allocator, Commanded, make_allocator
from lpspec.allocation.checking import checked_cost
from lpspec.allocation.sharing import Sharing
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS
from lpspec.errors import InputError
from lpspec.llm.draft_work import (
    draft_operators,
    draft_prompt_operators,
    heads_of,
    level_head,
    level_layers,
    level_operators,
    network_of,
)
from lpspec.llm.operators import ExpertGemm, Gemm, Operator, prefill_operators, verify_operators
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.scenario.names import Objective
from lpspec.simulation.draft_cache import IN_PLACE, DraftCache, waiting
from lpspec.simulation.energy_basis import counted_of
from lpspec.simulation.kept_grid import Kept, Prices, grid_of, once
from lpspec.simulation.level_costs import LevelCosts, OwnLevels
from lpspec.simulation.price_grid import GridEnergy, grid_prices, priced
from lpspec.simulation.price_list import list_prices
from lpspec.simulation.put_in_place import put_in_place_prices, settled_cache
from lpspec.simulation.workload import MAX_TREE_SIZE, System

ROUNDING = 1 + 1e-9
"""Keeps what is compared apart where sums are rounded in another order."""


@dataclass(frozen=True)
class PlacementCosts:
    """What changes with the placement of the weights, of which the first is where a run starts.

    Products alone depend on where weights lie, and they don't depend on the context.

    Attributes:
        latency_ns: float64 [placements, sizes], time of a step beyond that under the first placement.
        energy_pj: float64 [components, placements, sizes], likewise.
        move_ns: float64 [placements, placements], time to move all columns from one placement (row) to another.
        move_pj: float64 [components, placements, placements], its energy.
    """

    latency_ns: FloatArray
    energy_pj: FloatArray
    move_ns: FloatArray
    move_pj: FloatArray


@dataclass(frozen=True)
class StepCosts:
    """Costs of steps: of the verify pass, and of the draft heads that run beside it.

    Attributes:
        first_context: Context of row 0, tokens.
        latency_ns: float64 [contexts, sizes]; column n - 1 verifies n tokens, the root included.
        energy: Of memory and MACs on the same grid, in the order of ``COMPONENTS``.
        draft_ns: float64 [heads + 1], time of the first 0, 1, ... draft heads; 0 alone where there are none.
        draft_pj: float64 [components, heads + 1], their energy.
        compaction_ns: float64 [entries], time to put keys and values of accepted tokens in place, entries as for
            ``DraftCache.put_in_place``.
        compaction_pj: float64 [components, entries], its energy.
        prefill_ns: Time of the pass over the prompt.
        prefill_pj: float64 [components], its energy.
        placements: How all this changes when weights move; None where they stay.
        platform: Whose energy basis prices follow; None for memory and MACs.
        allocator: What said who computes what.
        levels: Costs of a network that drafts level by level; None where there is none.
        cache: Which drafts wait in the scratchpad.
    """

    first_context: int
    latency_ns: FloatArray
    energy: GridEnergy
    draft_ns: FloatArray
    draft_pj: FloatArray
    compaction_ns: FloatArray
    compaction_pj: FloatArray
    prefill_ns: float
    prefill_pj: FloatArray
    placements: PlacementCosts | None = None
    platform: PlatformSpec | None = None
    allocator: Allocator | None = None
    levels: LevelCosts | None = None
    cache: DraftCache = IN_PLACE

    @property
    def energy_pj(self) -> FloatArray:
        """float64 [components, contexts, sizes]."""
        return self.energy.whole_pj

    def prices(self, objective: Objective, heads: Sequence[int] | None = None, sizes: int | None = None) -> FloatArray:
        """What the pruner divides expected tokens by: float64 [placements, contexts, rows, sizes].

        Tokens per price is tokens per second, tokens per joule, or the root of the inverse energy-delay product. Moving
        accepted drafts into place is left out: a few steps in a hundred do, and no tree is known to before. Writing
        what waits in the scratchpad is planned for.

        Args:
            objective: What is to be had for the price.
            heads: Draft heads that run, or levels drafted, for each row; 0, 1, ... up to all heads if left out.
            sizes: The first ones that are priced; all if left out.
        """
        rows = list(range(len(self.draft_ns)) if heads is None else heads)
        nothing = np.zeros((1, self.latency_ns.shape[1]))
        moved = nothing, nothing
        if self.placements is not None:
            moved = self.placements.latency_ns, self.placements.energy_pj.sum(axis=0)
        passes = self.latency_ns, self.latency_ns if objective == "throughput" else self.energy.total_pj
        if self.cache.most:
            entries, sizes = (self.compaction_ns, self.compaction_pj.sum(axis=0)), self.latency_ns.shape[1]
            context = self.first_context + np.arange(len(self.latency_ns))
            after_ns, after_pj = (self.cache.planned(cost, sizes, context) for cost in entries)
            passes = passes[0] + after_ns, passes[1] + after_pj
        first = [(ns[..., :sizes], pj[..., :sizes]) for ns, pj in (passes, self._drafting(rows), moved)]
        return list_prices(objective, counted_of(self.platform), *first)

    def sizes_worth(self, most_tokens: float) -> int:
        """Sizes beyond which no tree brings more per price than a lone token, if none brings more than so many tokens.

        Whatever the price is for, it rises with time and energy, which drafts and putting in place only add to.
        """
        if self.placements is not None or self.cache.most:
            return int(self.latency_ns.shape[1])
        dear = np.ones(self.latency_ns.shape[1], np.bool_)
        for passes in (self.latency_ns, self.energy.total_pj):
            dear &= (passes > passes[:, :1] * (most_tokens * ROUNDING)).all(axis=0)
        return int(np.flatnonzero(~dear).max()) + 1

    def _drafting(self, rows: list[int]) -> tuple[FloatArray, FloatArray]:
        """Time and energy of so many heads, or so many levels: float64 [contexts, rows, sizes] each."""
        if self.levels is not None:
            return self.levels.planned(rows)
        if len(self.draft_ns) == 1:
            return np.zeros((len(rows), 1)), np.zeros((len(rows), 1))
        return self.draft_ns[rows, None], self.draft_pj.sum(axis=0)[rows, None]

    def drafted(
        self, position: IntArray, l_spec: IntArray, committed: IntArray, heads: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Time, float64 [steps], and energy, float64 [components, steps], of drafting in steps that were taken."""
        if self.levels is not None:
            return self.levels.of_steps(position, l_spec, committed, heads)
        ran = np.minimum(heads, len(self.draft_ns) - 1)
        return self.draft_ns[ran], self.draft_pj[:, ran]

    def move_price(self, objective: Objective) -> FloatArray:
        """What moving from one placement to another costs, priced like a step: float64 [placements, placements]."""
        if self.placements is None:
            return np.zeros((1, 1))
        moves, nothing = (self.placements.move_ns, self.placements.move_pj.sum(axis=0)), np.zeros((1, 1))
        beside = (np.zeros((1, moves[0].shape[1])),) * 2
        return list_prices(objective, counted_of(self.platform), moves, (nothing, nothing), beside)[0, :, 0]


def step_costs(system: System, first_context: int, contexts: int, allocator: Allocator | None = None) -> StepCosts:
    """Price every step that a run can meet.

    Args:
        system: The model on its machine.
        first_context: Shortest context, which is also the length of the prompt.
        contexts: How many consecutive contexts to price.
        allocator: That of the system for these contexts, if it exists already.

    Raises:
        InputError: The model does not fit the machine, or its devices lack the precision.
    """
    model = system.model
    sizes = MAX_TREE_SIZE if system.speculates else 1
    last_context = first_context + contexts
    if last_context > model.max_context:
        raise InputError(
            f"{model.name} reads at most {model.max_context} tokens: a prompt of {first_context} with "
            f"{contexts} new tokens needs {last_context}"
        )
    allocator = allocator or allocator_of(system, last_context)
    cache = settled_cache(system, allocator, first_context)
    kept: Kept = getattr(allocator, "kept_prices", {})
    beside: Kept = getattr(allocator, "kept_of_drafts", {})
    machine = sizes, system.root_counts, system.platform.static_power.watts, cache

    def verify(first: int, count: int) -> Prices:
        return _verify_prices(system, allocator, cache, sizes, np.arange(first, first + count)[:, None])

    asked = first_context, contexts
    latency_ns, energy = grid_of(kept, machine, asked, model.max_context, verify)
    draft_at: tuple[FloatArray, FloatArray] = once(
        beside, ("drafts", *machine), lambda: _draft_prices(system, allocator)
    )
    several: Any = allocator if len(getattr(allocator, "layouts", ())) > 1 else None
    moving = None
    if several is not None:
        moving = _placement_costs(system, several, system.charged(np.arange(1, sizes + 1)[None, :]))
    compaction: tuple[FloatArray, FloatArray] = once(
        beside,
        ("in place", *machine),
        lambda: put_in_place_prices(system, allocator, sizes, cache.most > 1, cache.block),
    )
    one_prompt: tuple[float, FloatArray] = once(
        beside, ("a prompt", first_context, *machine), lambda: _prompt_prices(system, allocator, first_context)
    )
    at_first = first_context, latency_ns, energy
    levels = _level_costs(system, allocator, np.arange(first_context, last_context)[:, None], cache)
    return StepCosts(*at_first, *draft_at, *compaction, *one_prompt, moving, system.platform, allocator, levels, cache)


def _verify_prices(system: System, allocator: Allocator, cache: DraftCache, sizes: int, context: IntArray) -> Prices:
    """Price verify passes of so many sizes; context is int64 [contexts, 1]."""

    def verify(size: IntArray, waits: bool) -> Prices:
        operators = verify_operators(system.model, system.charged(size[None, :]), context)
        operators = waiting(operators, waits, cache.held(context), cache.beside)
        cost, grid = allocator.decode_cost(operators), (len(context), len(size))
        return grid_prices(system, checked_cost(cost, system.platform.allocator, "verify passes", grid), grid)

    return cache.priced(cache.waits(np.arange(1, sizes + 1)), verify)


def _prompt_prices(system: System, allocator: Allocator, tokens: int) -> tuple[float, FloatArray]:
    """Price the pass over a prompt of so many tokens: its time, and energy, float64 [components]."""
    prompt = prefill_operators(system.model, tokens) + draft_prompt_operators(system.model, tokens)
    cost = checked_cost(allocator.prefill_cost(prompt), system.platform.allocator, "a prompt", (1, 1))
    prefill_ns, prefill_pj = priced(system, cost, (1, 1))
    return float(prefill_ns[0, 0]), prefill_pj[:, 0, 0]


def _draft_prices(system: System, allocator: Allocator) -> tuple[FloatArray, FloatArray]:
    """Time, float64 [heads + 1], and energy, float64 [components, heads + 1], of the first 0, 1, ... draft heads."""
    model, name = system.model, system.platform.allocator
    drafts = [
        checked_cost(allocator.decode_cost(draft_operators(model, heads)), name, "draft heads", (1, 1))
        for heads in range(heads_of(model) + 1)
    ]
    draft_ns, draft_pj = zip(*(priced(system, cost, (1, 1)) for cost in drafts), strict=True)
    return np.concatenate(draft_ns)[:, 0], np.concatenate(draft_pj, axis=1)[:, :, 0]


def _level_costs(system: System, allocator: Allocator, context: IntArray, cache: DraftCache) -> LevelCosts | None:
    """Price every pass of the network that drafts; context is int64 [contexts, 1]."""
    if not system.speculates or network_of(system.model) is None:
        return None

    def passes(tokens: IntArray, fills: bool, waits: bool) -> Prices:
        guessing = np.ones_like(tokens) if fills else tokens
        operators = level_operators(system.model, tokens[None, :], context, guessing[None, :], fills)
        cost = allocator.decode_cost(waiting(operators, waits))
        grid = len(context), len(tokens)
        return grid_prices(system, checked_cost(cost, system.platform.allocator, "drafting passes", grid), grid)

    tokens = np.arange(1, MAX_TREE_SIZE + 1)
    first_ns, first = passes(tokens, fills=True, waits=False)
    waits = cache.level_waits(tokens)
    further_ns, further = cache.priced(waits, lambda width, waits: passes(width, fills=False, waits=waits))
    own = _own_levels(system, allocator, context)
    return LevelCosts(first_ns, first.whole_pj, further_ns, further.whole_pj, own)


def _own_levels(system: System, allocator: Allocator, context: IntArray) -> OwnLevels | None:
    """The same of networks of which each drafts one level: what is drafted lies in place."""
    network = network_of(system.model)
    if network is None or network.copies == 1:
        return None

    def passes(operators: tuple[Operator, ...], grid: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        cost = checked_cost(allocator.decode_cost(operators), system.platform.allocator, "drafting passes", grid)
        ns, energy = grid_prices(system, cost, grid)
        return ns, energy.whole_pj

    sizes = np.arange(1, MAX_TREE_SIZE + 1)
    layers = level_layers(system.model, sizes[None, :], context, fills=True)
    head = level_head(system.model, sizes[None, :])
    layers_ns, layers_pj = passes(layers, (len(context), len(sizes)))
    head_ns, head_pj = passes(head, (1, len(sizes)))
    return OwnLevels(layers_ns, layers_pj, head_ns[0], head_pj[:, 0])


def allocator_of(system: System, last_context: int, requests: int = 1) -> Allocator:
    """The allocator of a system for contexts up to the last one, and for as many tokens as a tree may have.

    ``requests`` is how many share a pass at most.

    Raises:
        InputError: The model does not fit the machine.
    """
    sizes = MAX_TREE_SIZE if system.speculates else 1
    tree_size = None if system.tree_size is None else int(system.charged(np.array(system.tree_size)))
    passes = Sharing(tree_size, requests)
    return make_allocator(system.platform, system.model, sizes, last_context, system.profile, passes)


def _placement_costs(system: System, allocator: Commanded, tokens: IntArray) -> PlacementCosts:
    """Price the products of a step under every placement, and every move."""
    model, count = system.model, len(allocator.layouts)
    products = [op for op in verify_operators(model, tokens, 0) if isinstance(op, Gemm | ExpertGemm)]
    costs = [layout.decode_cost(tuple(products)) for layout in allocator.layouts]
    by_choice = [priced(system, cost, tokens.shape) for cost in costs]
    latency_ns = np.concatenate([ns - by_choice[0][0] for ns, _ in by_choice])
    energy_pj = np.concatenate([pj - by_choice[0][1] for _, pj in by_choice], axis=1)
    move_ns, move_pj = np.zeros((count, count)), np.zeros((len(COMPONENTS), count, count))
    for start, goal in product(range(count), repeat=2):
        ns, pj = priced(system, allocator.migration(start, goal), (1, 1))
        move_ns[start, goal], move_pj[:, start, goal] = ns[0, 0], pj[:, 0, 0]
    return PlacementCosts(latency_ns, energy_pj, move_ns, move_pj)
