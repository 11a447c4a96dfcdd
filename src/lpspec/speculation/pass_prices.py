"""What a pass over several requests costs: what they share, what each has of its own, and what drafts for them."""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native

ONE_NETWORK = np.zeros((0, 0, 0), np.int64)
"""What networks of their own levels would read, where there are none."""

THROUGHPUT, ENERGY, EDP = 0, 1, 2
"""What a price is: time, energy, or the root of their product."""


class LevelPrices(NamedTuple):
    """Time or energy of the passes of a network that drafts level by level; all empty but the last where none does."""

    first: FloatArray  # [tokens + 1], layers of the first pass, which reads committed tokens
    guess: FloatArray  # [guesses + 1], its head, which guesses behind the last of each request
    further: FloatArray  # [tokens + 1], a further pass; its head with it where it guesses behind all that it reads
    own_first: FloatArray  # [contexts, sizes], attention and the like of one request in the first pass
    own_further: FloatArray  # [contexts, tokens of a further pass]
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
    width: IntArray  # [sizes + 1, heads + 1], drafts that each further pass guesses behind, of a tree
    above: IntArray  # [sizes + 1, heads + 1, heads + 1], drafts that the network of a level reads; empty for one
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
def level_reads(prices: PassPrices, reads: int, tree: tuple[int, int], level: int) -> int:
    """Tokens that a further pass reads of a tree, its size and depth, behind so many committed ones."""
    size, deep = tree
    tokens: int = prices.width[size, deep]
    if len(prices.above) > 0:
        tokens = min(reads + prices.above[size, deep, level], prices.level_ns.own_further.shape[1])
    return tokens


@native()
def put_levels(prices: PassPrices, level: IntArray, reads: int, tree: tuple[int, int], sign: int) -> None:
    """Add what one request reads and guesses behind in the passes of a network, or take it off: [2, heads + 2]."""
    size, deep = tree
    if deep > 0:
        level[0, 1] += sign * reads
        for further in range(2, deep + 1):
            level[0, further] += sign * level_reads(prices, reads, tree, further)
            level[1, further] += sign * prices.width[size, deep]


@native()
def shared_levels(prices: PassPrices, cost: LevelPrices, level: IntArray, at_depth: IntArray) -> float:
    """Time or energy of what requests share in the passes of a network, whose tokens are ``level`` from 1 on."""
    if at_depth[1] == 0:
        return 0.0
    total: float = cost.first[level[0, 1]] + cost.guess[at_depth[1]]
    for deep in range(2, level.shape[1]):
        if at_depth[deep] == 0:
            break
        total += cost.further[level[0, deep]]
        if len(prices.above) > 0:
            total += cost.guess[level[1, deep]]
    return total


@native()
def own_levels(prices: PassPrices, cost: LevelPrices, context: int, reads: int, tree: tuple[int, int]) -> float:
    """Time or energy of what one request has of its own in them."""
    size, deep = tree
    if deep == 0:
        return 0.0
    total: float = cost.own_first[context, reads - 1]
    if len(prices.above) == 0:
        return total + (deep - 1) * cost.own_further[context, prices.width[size, deep] - 1] if deep > 1 else total
    for level in range(2, deep + 1):
        total += cost.own_further[context, level_reads(prices, reads, tree, level) - 1]
    return total


@native()
def drafts_by_network(prices: PassPrices) -> bool:
    """Whether a network drafts level by level."""
    return len(prices.level_ns.first) > 0
