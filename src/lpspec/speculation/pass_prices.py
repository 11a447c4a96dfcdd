"""What a pass over several requests costs: what they share, what each has of its own, and what drafts for them."""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native

THROUGHPUT, ENERGY, EDP = 0, 1, 2
"""What a price is: time, energy, or the root of their product."""


class LevelPrices(NamedTuple):
    """Time or energy of the passes of a network that drafts level by level; all empty but the last where none does."""

    first: FloatArray  # [tokens + 1], layers of the first pass, which reads committed tokens
    guess: FloatArray  # [requests + 1], its head, which guesses behind the last of each request
    further: FloatArray  # [tokens + 1], a further pass, which reads and guesses behind the drafts of a level
    own_first: FloatArray  # [contexts, sizes], attention and the like of one request in the first pass
    own_further: FloatArray  # [contexts, sizes]
    floor: FloatArray  # [heads + 1], the least that drafting so deep takes; 0 where none does


class PassPrices(NamedTuple):
    """Closed forms of a pass: what all requests share by its tokens, and what each has of its own."""

    shared_ns: FloatArray  # [tokens + 1]
    shared_pj: FloatArray
    least_ns: FloatArray  # [tokens + 1], least slope from there on, per token
    least_pj: FloatArray
    floor_ns: FloatArray  # [tokens + 1], the least of all from there on
    floor_pj: FloatArray
    own_ns: FloatArray  # [contexts, sizes]
    own_pj: FloatArray
    draft_ns: FloatArray  # [heads + 1, requests + 1], the first heads for so many requests
    draft_pj: FloatArray
    level_ns: LevelPrices
    level_pj: LevelPrices
    reads: IntArray  # [heads + 1], tokens that the first pass of a network is planned to read, by levels drafted
    width: IntArray  # [sizes + 1, heads + 1], drafts that each further pass reads of a tree
    charged: IntArray  # [sizes + 1], tokens that a tree is charged for
    energy_share: float  # counted energy = energy_share * energy + idle_pj_per_ns * time
    idle_pj_per_ns: float
    objective: int


@native()
def pass_price(prices: PassPrices, ns: float, pj: float) -> float:
    """What tokens are divided by, of a time and an energy of memory and MACs."""
    if prices.objective == THROUGHPUT:
        return ns
    counted = prices.energy_share * pj + prices.idle_pj_per_ns * ns
    return counted if prices.objective == ENERGY else np.sqrt(ns * counted)


@native()
def drafting(cost: FloatArray, at_depth: IntArray) -> float:
    """Time or energy of draft heads, as many requests at each depth as ``at_depth`` has from 1 on."""
    requests = at_depth[0]
    total = 0.0
    for head in range(1, cost.shape[0]):
        count = at_depth[head]
        if count == requests:
            total = cost[head, count]
        elif count > 0:
            total += cost[head, count] - cost[head - 1, count]
        else:
            break
    return total


@native()
def put_levels(level: IntArray, reads: int, width: int, deep: int) -> None:
    """Add what one request reads in the passes of a network to their tokens; negative numbers take it off."""
    if deep > 0:
        level[1] += reads
        for further in range(2, deep + 1):
            level[further] += width


@native()
def shared_levels(cost: LevelPrices, level: IntArray, at_depth: IntArray) -> float:
    """Time or energy of what requests share in the passes of a network, whose tokens are ``level`` from 1 on."""
    if at_depth[1] == 0:
        return 0.0
    total: float = cost.first[level[1]] + cost.guess[at_depth[1]]
    for deep in range(2, len(level)):
        if at_depth[deep] == 0:
            break
        total += cost.further[level[deep]]
    return total


@native()
def own_levels(cost: LevelPrices, context: int, reads: int, width: int, deep: int) -> float:
    """Time or energy of what one request has of its own in them."""
    if deep == 0:
        return 0.0
    first: float = cost.own_first[context, reads - 1]
    return first + (deep - 1) * cost.own_further[context, width - 1] if deep > 1 else first


@native()
def drafts_by_network(prices: PassPrices) -> bool:
    """Whether a network drafts level by level."""
    return len(prices.level_ns.first) > 0
