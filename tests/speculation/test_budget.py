"""The division of a pass over several trees beside all divisions there are."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.arrays import FloatArray
from lpspec.speculation.budget_kernels import Lists, divide, list_drafts, make_division, make_lists
from lpspec.speculation.kernels import make_growth
from lpspec.speculation.pass_prices import EDP, ENERGY, ONE_NETWORK, THROUGHPUT, LevelPrices, PassPrices

HEADS, TOP_K, SIZES = 2, 2, 4


READS = np.array([1, 1, 2])
WIDTH = np.array([[max((size + 1 - deep) // 2, 1) for deep in range(HEADS + 1)] for size in range(SIZES + 1)])
"""Tokens that the passes of a network are planned to read, by levels: the first one, and the others by tree size."""


NOTHING: FloatArray = np.zeros(0)
NO_NETWORK = LevelPrices(NOTHING, NOTHING, NOTHING, NOTHING[None], NOTHING[None], np.zeros(HEADS + 1))


def network_prices(dice: np.random.Generator, requests: int, alus: int) -> LevelPrices:
    """A network of a layer or so on that machine."""
    tokens, sizes = np.arange(requests * SIZES + 1), np.arange(1, SIZES + 1)
    first, further = (dice.uniform(2, 20) * -(-tokens // alus) + dice.uniform(0, 1) * tokens for _ in range(2))
    guess: FloatArray = float(dice.uniform(1, 10)) + float(dice.uniform(0, 1)) * np.arange(requests + 1.0)
    own_first, own_further = (dice.uniform(0, 4, (requests, 1)) + dice.uniform(0, 1) * sizes for _ in range(2))
    least = first[1] + guess[1]
    return LevelPrices(first, guess, further, own_first, own_further, np.array([0.0, least, least + further[1]]))


def prices_of(dice: np.random.Generator, requests: int, objective: int, alus: int, network: bool = False) -> PassPrices:
    """A machine whose products and attention both take whole passes of so many tokens, and heads for each request."""
    tokens, sizes = np.arange(requests * SIZES + 1), np.arange(1, SIZES + 1)
    weights, keys = dice.uniform(50, 200), dice.uniform(0, 60, (requests, 1))
    shared_ns = weights * -(-tokens // alus) + dice.uniform(0, 3) * tokens
    shared_pj = np.where(tokens > 0, dice.uniform(50, 200) + dice.uniform(0, 20) * tokens, 0.0)
    own_ns = keys * -(-sizes // alus) + dice.uniform(0, 2) * sizes
    own_pj = dice.uniform(0, 60, (requests, 1)) + dice.uniform(0, 3) * sizes
    heads = np.arange(HEADS + 1)[:, None] * (dice.uniform(1, 20) + dice.uniform(0, 2) * np.arange(requests + 1))
    heads[:, 0] = 0.0
    level_ns, level_pj = (network_prices(dice, requests, alus) if network else NO_NETWORK for _ in range(2))
    heads *= not network
    slopes = [
        np.array(
            [*(((cost[i + 1 :] - cost[i]) / tokens[1 : len(cost) - i]).min() for i in range(len(cost) - 1)), np.inf]
        )
        for cost in (shared_ns, shared_pj)
    ]
    return PassPrices(
        shared_ns,
        shared_pj,
        np.maximum(slopes[0], 0.0),
        np.maximum(slopes[1], 0.0),
        np.minimum.accumulate(shared_ns[::-1])[::-1].copy(),
        np.minimum.accumulate(shared_pj[::-1])[::-1].copy(),
        own_ns,
        own_pj,
        heads,
        heads * dice.uniform(0.1, 1),
        level_ns,
        level_pj,
        READS,
        WIDTH,
        ONE_NETWORK,
        np.arange(SIZES + 1),
        dice.uniform(0.1, 1),
        dice.uniform(0, 1),
        objective,
    )


def by_network(cost: LevelPrices, trees: list[tuple[int, int]]) -> float:
    """Pass by pass: the first for all that draft, one more for each further level of those that are so deep."""
    drafted = [(i, size, deep) for i, (size, deep) in enumerate(trees) if deep > 0]
    if not drafted:
        return 0.0
    total = cost.first[sum(READS[deep] for *_, deep in drafted)] + cost.guess[len(drafted)]
    total += sum(cost.own_first[i, READS[deep] - 1] for i, _, deep in drafted)
    for level in range(2, HEADS + 1):
        mine = [(i, WIDTH[size, deep]) for i, size, deep in drafted if deep >= level]
        if mine:
            total += cost.further[sum(width for _, width in mine)]
            total += sum(cost.own_further[i, width - 1] for i, width in mine)
    return float(total)


def best_rate(prices: PassPrices, lists: Lists, table: list[int], deepest: list[int]) -> float:
    """Every number of requests, limit of depth, and tokens of each tree."""
    best = 0.0
    for requests in range(1, len(table) + 1):
        for level in range(HEADS + 1):
            limits = [min(level, deep) for deep in deepest[:requests]]
            most = [int(lists.size[t, limit]) for t, limit in zip(table[:requests], limits, strict=True)]
            for sizes in product(*(range(1, n + 1) for n in most)):
                here = list(enumerate(zip(table, limits, sizes, strict=False)))
                length = sum(lists.gain[t, limit, :n].sum() for _, (t, limit, n) in here)
                deep = [int(lists.depth[t, limit, :n].max()) for _, (t, limit, n) in here]
                ns = prices.shared_ns[sum(sizes)] + sum(prices.own_ns[i, n - 1] for i, (_, _, n) in here)
                pj = prices.shared_pj[sum(sizes)] + sum(prices.own_pj[i, n - 1] for i, (_, _, n) in here)
                for head in range(1, HEADS + 1):
                    count = sum(one >= head for one in deep)
                    ns += prices.draft_ns[head, count] - prices.draft_ns[head - 1, count]
                    pj += prices.draft_pj[head, count] - prices.draft_pj[head - 1, count]
                if len(prices.level_ns.first):
                    trees = list(zip(sizes, deep, strict=True))
                    ns, pj = ns + by_network(prices.level_ns, trees), pj + by_network(prices.level_pj, trees)
                counted = prices.energy_share * pj + prices.idle_pj_per_ns * ns
                best = max(
                    best, length / {THROUGHPUT: ns, ENERGY: counted, EDP: np.sqrt(ns * counted)}[prices.objective]
                )
    return best


def found_rate(seed: int, requests: int, objective: int, alus: int, network: bool = False) -> tuple[float, float]:
    dice = np.random.default_rng(seed)
    prices = prices_of(dice, requests, objective, alus, network)
    lists, growth = make_lists(2, HEADS, SIZES), make_growth(HEADS, TOP_K, SIZES)
    for which in range(2):
        list_drafts(dice.uniform(0.05, 0.95, (HEADS, TOP_K)), which, SIZES, growth, lists)
    table, deepest = dice.integers(0, 2, requests), dice.integers(0, HEADS + 1, requests)
    room = make_division(requests, HEADS, lists)
    taking = divide(prices, lists, table, np.arange(requests), deepest, requests, (1, SIZES), False, room)
    assert 1 <= taking <= requests
    return float(room.best[0]), best_rate(prices, lists, table.tolist(), deepest.tolist())


@settings(max_examples=200)
@given(
    seed=st.integers(0, 10**6),
    requests=st.integers(1, 3),
    objective=st.sampled_from([THROUGHPUT, ENERGY, EDP]),
    alus=st.sampled_from([1, 2, 4]),
    network=st.booleans(),
)
def test_it_is_near_the_best_even_where_own_prices_have_steps(
    seed: int, requests: int, objective: int, alus: int, network: bool
) -> None:
    found, best = found_rate(seed, requests, objective, alus, network)
    assert found <= best * (1 + 1e-12)
    assert found >= 0.9 * best


@pytest.mark.parametrize("network", [False, True])
def test_on_the_whole_it_loses_next_to_nothing(network: bool) -> None:
    lost = [1 - found / best for found, best in (found_rate(seed, 3, seed % 3, 4, network) for seed in range(150))]
    assert np.mean(lost) < 0.003
    assert np.mean(np.array(lost) < 1e-9) > 0.8


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize("objective", [THROUGHPUT, ENERGY, EDP])
def test_another_request_never_makes_the_best_rate_fall(objective: int, network: bool) -> None:
    """Those that are there may go on without it, since it comes behind them."""
    for seed in range(40):
        dice = np.random.default_rng(seed)
        prices = prices_of(dice, 4, objective, 4, network)
        lists, growth = make_lists(1, HEADS, SIZES), make_growth(HEADS, TOP_K, SIZES)
        list_drafts(dice.uniform(0.05, 0.95, (HEADS, TOP_K)), 0, SIZES, growth, lists)
        rates = []
        for requests in range(1, 5):
            room = make_division(4, HEADS, lists)
            none, all_heads = np.zeros(4, np.int64), np.full(4, HEADS)
            divide(prices, lists, none, np.arange(4), all_heads, requests, (1, SIZES), False, room)
            rates.append(float(room.best[0]))
        assert rates == sorted(rates)
