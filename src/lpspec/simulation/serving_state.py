"""What the compiled loop over requests is given, what it works with, and what comes of it."""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.speculation.optimism import Runs
from lpspec.speculation.pass_prices import LevelPrices


class Asked(NamedTuple):
    """Requests in the order of their arrival."""

    arrival_ns: FloatArray  # [requests]
    context: IntArray  # [requests], tokens of the prompt, as a row of the prices
    wanted: IntArray  # [requests], tokens to generate
    limit: IntArray  # [requests], tokens after which it ends for certain, as far as anybody knows beforehand
    cache_bytes: IntArray  # [requests], that its cache may fill
    table: IntArray  # [requests], whose accuracies are its own
    first: IntArray  # [requests], row of its first token among the ranks
    begin: IntArray  # [requests], row where its trace begins
    rows: IntArray  # [requests], rows of its trace, after which it begins again
    log: IntArray  # [requests], where its steps are kept


class Busy(NamedTuple):
    """How long resources are busy, and all of them one after the other: the first axis is PIM, NPU, lanes, and any."""

    block: IntArray  # [contexts], the row of what a request has of its own
    shared: FloatArray  # [4, tokens + 1]
    first: FloatArray  # [4, tokens + 1]
    guess: FloatArray  # [4, requests + 1]
    further: FloatArray  # [4, tokens + 1]
    own: FloatArray  # [4, blocks, sizes]
    own_first: FloatArray  # [4, blocks, sizes]
    own_further: FloatArray  # [4, blocks, sizes]


_NOTHING = np.zeros((4, 1))

NO_BUSY = Busy(np.zeros(1, np.int64), *[_NOTHING] * 4, *[_NOTHING[:, None]] * 3)
"""The tables where nothing is done beside something else."""


class Clock(NamedTuple):
    """Time of what a pass does."""

    shared_ns: FloatArray  # [tokens + 1]
    own_ns: FloatArray  # [contexts, sizes]
    draft_ns: FloatArray  # [heads + 1, requests + 1]
    level_ns: LevelPrices
    compaction_ns: FloatArray  # [entries], of what is put in place
    prefill_ns: FloatArray  # [requests]
    busy: Busy


class Rules(NamedTuple):
    """How trees are found, and what is learned."""

    least: int  # tokens of a tree
    most: int
    fixed: bool  # the lists hold the one tree that everybody verifies
    all_heads: bool
    feedback: bool
    chain: bool
    memory: float
    errors: float  # standard errors by which the odds of heads are raised that ran less often than others
    by_limit: bool  # no tree is deeper than what is left to generate; not where all heads run
    batch: int  # requests that are there at a time, at most
    taking: int  # and in a pass
    cache_bytes: int  # room for caches
    waiting: tuple[int, int]  # tokens of the smallest and of the largest tree that waits in the scratchpad
    block: int  # accepted tokens that are written from there together
    first_context: int  # tokens of row 0 of the prices
    beside: bool  # some are drafted for while others are verified


class Learned(NamedTuple):
    """What is known of each table's heads."""

    accuracy: FloatArray  # [tables, heads, top_k]
    weight: FloatArray
    runs: Runs


class Served(NamedTuple):
    """What came of it."""

    joined_ns: FloatArray  # [requests]
    first_ns: FloatArray  # [requests], when the first token was there
    done_ns: FloatArray  # [requests]
    pass_ns: FloatArray  # [2, passes or more], begin and end
    step: IntArray  # [7, steps or more]: request, pass, position, tokens, committed, heads, moved
    most_bytes: IntArray  # [1], of caches at a time


class Live(NamedTuple):
    """Working memory of the loop."""

    running: IntArray  # [batch], those that have waited longest first
    order: IntArray  # [batch]
    table: IntArray  # [batch], of each running request
    context: IntArray  # [batch], row of the prices
    deepest: IntArray  # [batch], heads that are of use
    position: IntArray  # [requests], tokens committed
    steps: IntArray  # [requests]
    unscored: IntArray  # [requests, heads], the first step that a head is not scored for yet
    root: IntArray  # [tokens], of each step of each request
    ran: IntArray  # [tokens], heads of each step
    rows: FloatArray  # [rows, sizes], prices of a request alone
    busy: FloatArray  # [4], resources in drafting that is still to be done


def make_live(rules: Rules, heads: int, requests: int, tokens: int) -> Live:
    """Allocate the loop's memory for so many requests that want so many tokens together."""
    rows = min(heads, 1) + 1 if rules.all_heads else heads + 1
    return Live(
        running=np.zeros(rules.batch, np.int64),
        order=np.zeros(rules.batch, np.int64),
        table=np.zeros(rules.batch, np.int64),
        context=np.zeros(rules.batch, np.int64),
        deepest=np.zeros(rules.batch, np.int64),
        position=np.zeros(requests, np.int64),
        steps=np.zeros(requests, np.int64),
        unscored=np.zeros((requests, heads), np.int64),
        root=np.zeros(tokens, np.int64),
        ran=np.zeros(tokens, np.int64),
        rows=np.zeros((rows, rules.most)),
        busy=np.zeros(4),
    )


def make_served(requests: int, tokens: int) -> Served:
    """Allocate what comes of so many requests that want so many tokens together."""
    return Served(
        joined_ns=np.zeros(requests),
        first_ns=np.zeros(requests),
        done_ns=np.zeros(requests),
        pass_ns=np.zeros((2, tokens)),
        step=np.zeros((7, tokens), np.int64),
        most_bytes=np.zeros(1, np.int64),
    )
