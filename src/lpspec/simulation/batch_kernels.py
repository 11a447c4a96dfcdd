"""Compiled loop over requests: admit and prefill, divide a pass over trees, verify, accept, let finished ones go.

``tests/simulation/serving_twin.py`` says the same readably.
"""

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray
from lpspec.native.functions import native
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.serving_state import Asked, Busy, Clock, Learned, Live, Rules, Served
from lpspec.simulation.workload import MAX_TREE_SIZE
from lpspec.speculation.budget_kernels import Division, Lists, divide, list_drafts
from lpspec.speculation.kernels import (
    Growth,
    accepted_in,
    depth_of,
    first_guesses_right,
    grow_best_tree,
    heads_to_run,
    learn_rank,
    learn_verified,
)
from lpspec.speculation.optimism import count_run, raise_odds
from lpspec.speculation.pass_prices import (
    LevelPrices,
    PassPrices,
    drafting,
    drafts_by_network,
    level_reads,
    own_levels,
    pass_price,
    put_levels,
    shared_levels,
)


@native()
def _alone_levels(prices: PassPrices, cost: LevelPrices, context: int, reads: int, tree: tuple[int, int]) -> float:
    """Time or energy of drafting for one request alone, whose tree has such a size and depth."""
    size, deep = tree
    shared: float = cost.first[reads] + cost.guess[1]
    if len(prices.above) == 0:
        shared += (deep - 1) * (cost.further[prices.width[size, deep]] if deep > 1 else 0.0)
    else:
        for level in range(2, deep + 1):
            shared += cost.further[level_reads(prices, reads, tree, level)] + cost.guess[prices.width[size, deep]]
    return shared + own_levels(prices, cost, context, reads, tree)


@native()
def _alone_rows(prices: PassPrices, rules: Rules, context: int, left: int, rows: FloatArray) -> None:
    """Prices of a pass of one request, for each number of heads and tokens: float64 [rows, sizes] out."""
    last = rows.shape[0] - 1
    for row in range(rows.shape[0]):
        heads = prices.draft_ns.shape[0] - 1 if rules.all_heads and row == last else row
        for i in range(rows.shape[1]):
            tokens = prices.charged[i + 1]
            ns = prices.shared_ns[tokens] + prices.own_ns[context, i] + prices.draft_ns[heads, 1]
            pj = prices.shared_pj[tokens] + prices.own_pj[context, i] + prices.draft_pj[heads, 1]
            if drafts_by_network(prices) and heads > 0:
                reads, tree = prices.reads[heads], (i + 1, heads)
                ns += _alone_levels(prices, prices.level_ns, context, reads, tree)
                pj += _alone_levels(prices, prices.level_pj, context, reads, tree)
            rows[row, i] = pass_price(prices, ns, pj)
            if ((rules.least > 1 or rules.most == 1) and i + 1 != rules.least) or (rules.by_limit and row > left):
                rows[row, i] = np.inf


@native()
def _load(lists: Lists, table: int, limit: int, size: int, growth: Growth) -> None:
    """Put a listed tree where the explorer puts it."""
    for node in range(size):
        growth.parent[node] = lists.parent[table, limit, node]
        growth.depth[node] = lists.depth[table, limit, node]
        growth.rank[node] = lists.rank[table, limit, node]


@native()
def _learn(rules: Rules, learned: Learned, asked: Asked, ranks: NDArray[np.int8], live: Live, request: int) -> None:
    """Score every head against what a request has committed, as ``replay_pruned`` does."""
    table, end, steps = asked.table[request], live.position[request], live.steps[request]
    accuracy, weight = learned.accuracy[table], learned.weight[table]
    begin, rows, log = asked.begin[request], asked.rows[request], asked.log[request]
    for head in range(accuracy.shape[0]):
        while live.unscored[request, head] < steps:
            step = log + live.unscored[request, head]
            root = live.root[step]
            if root + 1 + head >= end:
                break
            known = ranks[begin + (asked.first[request] - begin + root) % rows]
            if head < live.ran[step] and (not rules.chain or first_guesses_right(known, head)):
                learn_rank(accuracy, weight, head, known[head], rules.memory)
            live.unscored[request, head] += 1


@native()
def _plan(
    asked: Asked,
    prices: PassPrices,
    rules: Rules,
    learned: Learned,
    growth: Growth,
    lists: Lists,
    room: Division,
    live: Live,
    of: tuple[int, int],
) -> int:
    """Find the trees of the next pass, and the heads that run; how many of the running requests take part.

    ``of`` is how many are running, and how many may take part.

    One alone has its tree from the explorer itself, which then holds it.
    """
    count, most = of
    heads = learned.accuracy.shape[1]
    for i in range(count):
        request = live.running[i]
        live.table[i], live.context[i] = asked.table[request], asked.context[request] + live.position[request]
        left = asked.limit[request] - 1 - live.position[request]
        live.deepest[i] = min(heads, left) if rules.by_limit else heads
    if count == 1 and not rules.fixed:
        left = asked.limit[live.running[0]] - 1 - live.position[live.running[0]]
        _alone_rows(prices, rules, live.context[0], left, live.rows)
        table = live.table[0]
        raise_odds(learned.accuracy[table], learned.runs, table, rules.errors)
        size = grow_best_tree(learned.runs.optimistic[table], live.rows, growth)
        run = heads_to_run(live.rows, depth_of(growth, size), heads)
        if rules.all_heads and run > 0:
            run = prices.draft_ns.shape[0] - 1
        room.size[0], room.deep[0] = size, run
        room.at_depth[:] = 0
        room.at_depth[: run + 1] = 1
        return 1
    if not rules.fixed:
        for table in range(learned.accuracy.shape[0]):
            raise_odds(learned.accuracy[table], learned.runs, table, rules.errors)
            list_drafts(learned.runs.optimistic[table], table, lists.gain.shape[2], growth, lists)
    sizes = rules.least, rules.most
    return divide(prices, lists, live.table, live.context, live.deepest, most, sizes, rules.all_heads, room)


@native()
def _put_in_place(rules: Rules, context: int, size: int, accepted: int, moved: int) -> int:
    """The entry of what is put in place after a tree was verified behind so many tokens, as ``DraftCache`` has it."""
    least, most = rules.waiting
    waits = least <= size <= most
    if most == 0 or (rules.block == 1 and not waits):
        return moved
    if rules.block == 1:
        reaches = context % KEY_BLOCK + accepted
        more = reaches // KEY_BLOCK > accepted // KEY_BLOCK
        return (2 * MAX_TREE_SIZE if more else MAX_TREE_SIZE) + accepted
    if not waits:
        return 2 * MAX_TREE_SIZE + moved
    full = ((context + accepted + 1) // rules.block - context // rules.block) * rules.block
    return MAX_TREE_SIZE - 1 + min(full, MAX_TREE_SIZE) if full > 0 else 0


@native()
def _verify(
    asked: Asked,
    ranks: NDArray[np.int8],
    rules: Rules,
    learned: Learned,
    growth: Growth,
    room: Division,
    live: Live,
    served: Served,
    place: tuple[int, int, int],
) -> None:
    """Accept what is right of one request's tree, which the explorer holds, and learn.

    ``place`` is which of the running ones it is, the number of the pass, and that of the step.
    """
    i, verify_pass, step = place
    request, size = live.running[i], room.size[i]
    position, begin = live.position[request], asked.begin[request]
    at = begin + (asked.first[request] - begin + position) % asked.rows[request]
    row = ranks[at, : asked.wanted[request] - position - 1]  # beyond the end is nothing to accept or learn
    accepted, moved = accepted_in(growth, size, row)
    moved = _put_in_place(rules, rules.first_context + asked.context[request] + position, size, accepted, moved)
    served.step[0, step], served.step[1, step], served.step[2, step] = request, verify_pass, position
    served.step[3, step], served.step[4, step] = size, accepted + 1
    served.step[5, step], served.step[6, step] = room.deep[i], moved
    slot = asked.log[request] + live.steps[request]
    live.root[slot], live.ran[slot] = position, room.deep[i]
    live.steps[request] += 1
    live.position[request] += accepted + 1
    if not rules.fixed:
        count_run(learned.runs, live.table[i], room.deep[i], rules.memory)
    if not rules.fixed and rules.feedback:
        _learn(rules, learned, asked, ranks, live, request)
    elif not rules.fixed and size > 1:
        accuracy, weight = learned.accuracy[live.table[i]], learned.weight[live.table[i]]
        learn_verified(accuracy, weight, growth, size, row, accepted, rules.memory)


@native()
def _times(
    clock: Clock, prices: PassPrices, room: Division, live: Live, served: Served, of: tuple[int, int]
) -> tuple[int, float, float]:
    """Tokens of a pass, time of what its requests have of their own, and that of a network, which has read them.

    ``of`` is how many took part, and the first of their steps.
    """
    taking, step = of
    tokens, ns, drafts_ns = 0, 0.0, 0.0
    network = drafts_by_network(prices)
    room.level[:] = 0
    for i in range(taking):
        size, deep, read = room.size[i], room.deep[i], served.step[4, step + i]
        ns += clock.own_ns[live.context[i], size - 1] + clock.compaction_ns[served.step[6, step + i]]
        tokens += prices.charged[size]
        if network:
            put_levels(prices, room.level, read, (size, deep), 1)
            drafts_ns += own_levels(prices, clock.level_ns, live.context[i], read, (size, deep))
    if network:
        drafts_ns += shared_levels(prices, clock.level_ns, room.level, room.at_depth)
    return tokens, ns, drafts_ns


@native()
def _shared_share(
    busy: Busy, prices: PassPrices, room: Division, live: Live, served: Served, of: tuple[int, int]
) -> float:
    """Time of the busiest resource over that of a pass and drafting for others, one after the other.

    What this pass will have drafted is remembered. ``of`` is as for ``_times``.
    """
    taking, step = of
    tokens, longest, every = 0, 0.0, 0.0
    for i in range(taking):
        tokens += prices.charged[room.size[i]]
    for resource in range(4):
        total = live.busy[resource] + busy.shared[resource, tokens]
        later = 0.0
        if room.at_depth[1] > 0:
            later += busy.first[resource, room.level[0, 1]] + busy.guess[resource, room.at_depth[1]]
        for level in range(2, room.at_depth.shape[0]):
            if room.at_depth[level] > 0:
                later += busy.further[resource, room.level[0, level]]
        for i in range(taking):
            block, size, deep = busy.block[live.context[i]], room.size[i], room.deep[i]
            total += busy.own[resource, block, size - 1]
            if deep > 0:
                later += busy.own_first[resource, block, served.step[4, step + i] - 1]
            if deep > 1:
                later += (deep - 1) * busy.own_further[resource, block, prices.width[size, deep] - 1]
        live.busy[resource] = later
        if resource < 3:
            longest = max(longest, total)
        else:
            every = total
    return longest / every


@native()
def _let_go(asked: Asked, live: Live, served: Served, count: int, taking: int, now: float) -> tuple[int, int]:
    """Let those go that are done, the others in the order of how long they have waited; how many stay, bytes freed."""
    kept, freed = 0, 0
    for i in range(count):  # those that did not take part have waited longest
        live.order[i] = live.running[(taking + i) % count]
    for i in range(count):
        request = live.order[i]
        if live.position[request] < asked.wanted[request]:
            live.running[kept] = request
            kept += 1
        else:
            served.done_ns[request] = now
            freed += asked.cache_bytes[request]
    return kept, freed


@native()
def serve(
    asked: Asked,
    ranks: NDArray[np.int8],
    prices: PassPrices,
    clock: Clock,
    rules: Rules,
    learned: Learned,
    growth: Growth,
    lists: Lists,
    room: Division,
    live: Live,
    served: Served,
) -> tuple[int, int]:
    """Serve every request.

    Args:
        asked: Requests, one at least.
        ranks: int8 [rows, heads], those of all traces one after the other.
        prices: What trees are divided by.
        clock: How long things take.
        rules: How trees are found.
        learned: The prior; holds the last state afterwards.
        growth: Working memory of the explorer.
        lists: Working memory, or the one tree that everybody verifies.
        room: Working memory.
        live: Working memory, zeros.
        served: What comes of it, out.

    Returns:
        Passes and steps.
    """
    requests, now = len(asked.wanted), 0.0
    count, coming, used, passes, step = 0, 0, 0, 0, 0
    ahead, pending = 0, 0.0  # requests that did not take part in the last pass, and its drafting, where it is put off
    while count > 0 or coming < requests:
        if count == 0:
            now, pending = max(now, asked.arrival_ns[coming]), 0.0  # nothing happens before
        while coming < requests and count < rules.batch and asked.arrival_ns[coming] <= now:
            if used + asked.cache_bytes[coming] > rules.cache_bytes:
                break  # those behind wait, too
            served.joined_ns[coming] = now
            now += clock.prefill_ns[coming]
            served.first_ns[coming] = now
            used += asked.cache_bytes[coming]
            live.running[count] = coming
            count, coming = count + 1, coming + 1
        served.most_bytes[0] = max(served.most_bytes[0], used)
        most = min(count, rules.taking)
        if rules.beside and count > rules.taking:  # fewer share one reading of the weights
            most = min(most, (count + 1) // 2, ahead if ahead > 0 else count)
        taking = _plan(asked, prices, rules, learned, growth, lists, room, live, (count, most))
        for i in range(taking):
            if count > 1 or rules.fixed:
                table = 0 if rules.fixed else live.table[i]
                _load(lists, table, 0 if rules.fixed else room.limit[i], room.size[i], growth)
            _verify(asked, ranks, rules, learned, growth, room, live, served, (i, passes, step + i))
        tokens, ns, drafts_ns = _times(clock, prices, room, live, served, (taking, step))
        served.pass_ns[0, passes] = now
        if rules.beside:
            ns, share = (
                clock.shared_ns[tokens] + ns,
                _shared_share(clock.busy, prices, room, live, served, (taking, step)),
            )
            now += max(ns, pending, share * (ns + pending)) if ahead > 0 else ns + pending
            pending = drafts_ns
        else:
            now += clock.shared_ns[tokens] + drafting(clock.draft_ns, room.at_depth) + (ns + drafts_ns)
        ahead = count - taking
        count, freed = _let_go(asked, live, served, count, taking, now)
        served.pass_ns[1, passes] = now
        passes, step, used = passes + 1, step + taking, used - freed
    return passes, step
