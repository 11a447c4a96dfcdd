"""What the passes of a network that drafts cost over several requests, analytically.

Its weights are read once for all requests: in the first pass, which reads what each has committed, and in that of every
further level, for those whose trees are so deep. Each request has its own cache of it.
"""

from dataclasses import dataclass, replace

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.llm.draft_work import level_head, network_of
from lpspec.simulation.draft_cache import DraftCache
from lpspec.simulation.level_costs import expected_reads, level_width, nodes_above, own_reads
from lpspec.simulation.pass_parts import (
    Parts,
    Span,
    by_tokens,
    drafts_by_levels,
    first_parts,
    further_parts,
    over_contexts,
    own_energy_pj,
)
from lpspec.simulation.workload import MAX_TREE_SIZE, System
from lpspec.speculation.pass_prices import LevelPrices

NOTHING = np.zeros(0)


@dataclass(frozen=True)
class LevelTally:
    """How often each part of the passes of a network occurred.

    Attributes:
        first: float64 [tokens + 1], first passes by the tokens that they read.
        guess: float64 [guesses + 1], heads by the tokens that they guess behind: one of each request in first passes.
        further: float64 [tokens + 1], further passes by their tokens.
        own: int64 [2, kinds] each, rows and columns of the price lists that requests met in first and further passes.
        own_counts: float64 [kinds] each.
    """

    first: FloatArray
    guess: FloatArray
    further: FloatArray
    own: tuple[IntArray, IntArray]
    own_counts: tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class BatchLevels:
    """Time and energy of all parts of these passes; energies are [components, ...] in ``COMPONENTS``' order.

    Attributes:
        system: What runs.
        allocator: Who computes what.
        span: What is priced.
        cache: Which drafts wait in the scratchpad.
        first_ns: float64 [tokens + 1], the layers of a first pass; 0 for none.
        first_pj: float64 [components, tokens + 1].
        guess_ns: float64 [guesses + 1], the head of a first pass, and of a further one of a network of its own.
        guess_pj: float64 [components, guesses + 1].
        further_ns: float64 [tokens + 1], a further pass, and its head unless the network is its own.
        further_pj: float64 [components, tokens + 1].
        own_ns: float64 [contexts, sizes], attention and the like of one request in a first pass and in a further one.
        own_pj: float64 [contexts, sizes], all components together.
    """

    system: System
    allocator: Allocator
    span: Span
    cache: DraftCache
    first_ns: FloatArray
    first_pj: FloatArray
    guess_ns: FloatArray
    guess_pj: FloatArray
    further_ns: FloatArray
    further_pj: FloatArray
    own_ns: tuple[FloatArray, FloatArray]
    own_pj: tuple[FloatArray, FloatArray]

    @property
    def times(self) -> LevelPrices:
        """Time of all parts."""
        return self.prices(self.first_ns, self.guess_ns, self.further_ns, self.own_ns)

    @property
    def energies(self) -> LevelPrices:
        """Energy of all parts, all components together."""
        first, guess, further = (pj.sum(axis=0) for pj in (self.first_pj, self.guess_pj, self.further_pj))
        return self.prices(first, guess, further, self.own_pj)

    def prices(
        self, first: FloatArray, guess: FloatArray, further: FloatArray, own: tuple[FloatArray, FloatArray]
    ) -> LevelPrices:
        """Tables of a time or an energy, and the least that drafting so deep takes by them."""
        reads, _ = planned_passes(self.span.levels, self.span.sizes)
        further_passes = np.maximum(np.arange(self.span.levels + 1) - 1, 0)
        floor = np.minimum.accumulate(first[::-1])[::-1][reads] + guess[1:].min() + further_passes * further[1:].min()
        floor[0] = 0.0
        return LevelPrices(first, guess, further, *own, floor)

    def energy_pj(self, tally: LevelTally) -> FloatArray:
        """Energy of all passes that occurred: float64 [components]."""
        total: FloatArray = self.first_pj @ tally.first + self.guess_pj @ tally.guess + self.further_pj @ tally.further
        spans = self.span, further_span(self.system, self.span)
        both = zip(level_parts(self.system, self.cache), spans, tally.own, tally.own_counts, strict=True)
        for parts, span, own, counts in both:
            total += own_energy_pj(self.system, self.allocator, span, parts, own, counts)
        return total


def no_levels(heads: int) -> LevelPrices:
    """The tables where no network drafts, and there are so many heads."""
    return LevelPrices(NOTHING, NOTHING, NOTHING, NOTHING[None], NOTHING[None], np.zeros(heads + 1))


def batch_levels(system: System, allocator: Allocator, span: Span, cache: DraftCache) -> BatchLevels | None:
    """Price every pass of a network that a run of several requests can meet; None where none drafts.

    Raises:
        InputError: The devices lack the precision, or the allocator gives what is no cost.
    """
    if not drafts_by_levels(system):
        return None
    model, most, name = system.model, most_level_tokens(system, span), "drafting passes"
    first, further = level_parts(system, cache)
    guesses = most if own_networks(system) else span.requests
    spans = span, further_span(system, span)
    grids = [over_contexts(system, allocator, *one) for one in zip(spans, (first, further), strict=True)]
    return BatchLevels(
        system,
        allocator,
        span,
        cache,
        *by_tokens(system, allocator, first.shared, most, name),
        *by_tokens(system, allocator, lambda guesses: level_head(model, guesses), guesses, name),
        *by_tokens(system, allocator, further.shared, most, name),
        (grids[0][0], grids[1][0]),
        (grids[0][1], grids[1][1]),
    )


def own_networks(system: System) -> bool:
    """Whether each level has a network of its own, which reads what was committed, too."""
    network = network_of(system.model)
    return network is not None and network.copies > 1


def further_span(system: System, span: Span) -> Span:
    """The same with as many sizes as a further pass may read of one request."""
    return replace(span, sizes=MAX_TREE_SIZE) if own_networks(system) else span


def most_level_tokens(system: System, span: Span) -> int:
    """Tokens of a drafting pass at most: those of all trees, or what all requests are planned to have committed."""
    planned = min(int(expected_reads(np.array(span.levels))), span.sizes)
    if own_networks(system):  # committed tokens and drafts of every request
        return span.tokens + span.requests * (span.levels + 1)
    return span.requests * planned if span.requests * planned > span.tokens else span.tokens + span.requests


def level_parts(system: System, cache: DraftCache) -> tuple[Parts, Parts]:
    """First passes, and further ones, which a network of its own takes as the first one is taken, head apart."""
    return first_parts(system), first_parts(system) if own_networks(system) else further_parts(system, cache)


def planned_passes(heads: int, sizes: int) -> tuple[IntArray, IntArray]:
    """Tokens that a first pass is planned to read, int64 [heads + 1], and a further one, [sizes + 1, heads + 1]."""
    deep = np.arange(heads + 1)
    reads: IntArray = np.minimum(expected_reads(deep), sizes)
    return reads, np.ascontiguousarray(np.minimum(level_width(np.arange(sizes + 1)[:, None], deep), sizes))


def planned_above(heads: int, sizes: int) -> IntArray:
    """Drafts that the own network of a level reads of a tree: int64 [sizes + 1, heads + 1, heads + 1]."""
    size, deep = np.arange(sizes + 1)[:, None], np.arange(heads + 1)
    above = np.zeros((sizes + 1, heads + 1, heads + 1), np.int64)
    for level in range(2, heads + 1):
        above[..., level] = np.where(deep >= level, nodes_above(size, deep, level), 0)
    return above


def level_tally(
    shape: tuple[int, int, int],
    step: tuple[IntArray, IntArray, IntArray, IntArray],
    row: IntArray,
    own_networks: bool = False,
) -> LevelTally:
    """Count the passes of a network that steps took.

    Args:
        shape: Verify passes, tokens of a drafting pass at most, and tokens that one guesses behind at most.
        step: int64 [steps] each: verify pass, tokens verified, committed, and levels drafted.
        row: int64 [steps], the context of each as a row of the price list.
        own_networks: Whether each level has a network of its own.
    """
    passes, most, guesses = shape
    verify_pass, l_spec, committed, deep = step
    drafted, width = deep > 0, level_width(l_spec, deep)

    def by_pass(weights: IntArray, chosen: BoolArray) -> IntArray:
        return np.bincount(verify_pass[chosen], weights[chosen], passes).astype(np.int64)

    def often(tokens: IntArray, length: int) -> FloatArray:
        counts = np.bincount(tokens, minlength=length + 1).astype(np.float64)
        counts[0] = 0.0
        return counts

    further, once = np.zeros(most + 1), np.ones_like(committed)
    guess = often(by_pass(once, drafted), guesses)
    own: list[IntArray] = []  # places of the price list, and how often
    for level in range(2, int(deep.max(initial=0)) + 1):
        there = deep >= level
        reads = own_reads((l_spec, deep), committed, level) if own_networks else width
        further += often(by_pass(reads, there), most)
        if own_networks:
            guess += often(by_pass(width, there), guesses)
            own.append(np.stack([row, reads - 1, once])[:, there])
    levels = np.concatenate(own, axis=1) if own else np.stack([row, width - 1, deep - 1])[:, deep > 1]
    found = _distinct(row[drafted], committed[drafted] - 1, once[drafted]), _distinct(*levels)
    return LevelTally(
        often(by_pass(committed, drafted), most),
        guess,
        further,
        (found[0][0], found[1][0]),
        (found[0][1], found[1][1]),
    )


def _distinct(row: IntArray, column: IntArray, times: IntArray) -> tuple[IntArray, FloatArray]:
    """Places of a price list that differ, int64 [2, kinds], and how often each was met: float64 [kinds]."""
    sizes = int(column.max(initial=0)) + 1
    found, which = np.unique(row * sizes + column, return_inverse=True)
    return np.stack([found // sizes, found % sizes]), np.bincount(which, times, len(found)).astype(np.float64)
