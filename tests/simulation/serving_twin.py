"""Continuous batching written a second time, readably: every division of a pass is tried, nothing is compiled.

Nothing of the loop is used; prices are functions, trees are lists of paths, and accuracies are nested lists.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

Path = tuple[int, ...]


@dataclass
class Price:
    """Time and energy of the parts of a pass, each as a function."""

    shared: Callable[[int], tuple[float, float]]
    own: Callable[[int, int], tuple[float, float]]  # context, tokens
    drafts: Callable[[int, int], tuple[float, float]]  # heads, requests
    counted: Callable[[float, float], float]  # what tokens are divided by, of ns and pJ
    most_tokens: int
    network: "Network | None" = None


@dataclass
class Network:
    """Time and energy of the passes of a network that drafts level by level, each as a function."""

    first: Callable[[int], tuple[float, float]]  # tokens that it reads
    guess: Callable[[int], tuple[float, float]]  # requests
    further: Callable[[int], tuple[float, float]]  # tokens
    own_first: Callable[[int, int], tuple[float, float]]  # context, tokens
    own_further: Callable[[int, int], tuple[float, float]]


@dataclass
class Request:
    """One request, and how far it is."""

    number: int
    arrival_ns: float
    context: int
    wanted: int
    limit: int
    blocks: int
    ranks: list[list[int]]  # of its own positions
    table: int
    position: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)  # root, heads that ran
    scored: list[int] = field(default_factory=list)


@dataclass
class Machine:
    """How it is served."""

    price: Price
    accuracy: list[list[list[float]]]
    weight: list[list[list[float]]]
    batch: int
    blocks: int
    most: int
    compaction_ns: Sequence[float]
    prefill_ns: Sequence[float]
    memory: float
    errors: float
    by_limit: bool
    fixed: list[Path] | None = None
    clock: Price | None = None  # where time is another than what trees are divided by
    prior_weight: float = 4.0
    ran: dict[int, list[int]] = field(default_factory=dict)  # by table, heads of every step

    def optimistic(self, table: int) -> list[list[float]]:
        """Accuracies of a table, raised for heads that did not always run."""
        return optimistic(self.accuracy[table], self.ran.get(table, []), self.prior_weight, self.memory, self.errors)


def optimistic(
    accuracy: list[list[float]], ran: list[int], prior_weight: float, memory: float, errors: float
) -> list[list[float]]:
    """Odds of a head's list raised by the standard errors that it lacks; ``ran`` is how many heads ran in each step."""
    found = []
    for head, row in enumerate(accuracy):
        share, steps = 1.0, prior_weight
        for count in ran:
            steps = min(steps + 1, memory)
            share = share * (1 - 1 / steps) + (count > head) / steps
        chance = min(max(sum(row), 0.001), 0.999)
        error = (1 / share**0.5 - 1) / (steps * chance * (1 - chance)) ** 0.5 if share < 1 else 0.0
        odds = chance / (1 - chance) * (1 + errors * error)
        found.append([min(one * odds / (1 + odds) / chance, 1.0) for one in row])
    return found


def drafts_cost(price: Price, heads: Sequence[int]) -> tuple[float, float]:
    """Head by head: each runs for the requests that want it, its weights read once."""
    ns, pj = 0.0, 0.0
    for head in range(1, max(heads, default=0) + 1):
        count = sum(one >= head for one in heads)
        more, less = price.drafts(head, count), price.drafts(head - 1, count)
        ns, pj = ns + more[0] - less[0], pj + more[1] - less[1]
    return ns, pj


def pass_cost(
    price: Price,
    contexts: Sequence[int],
    sizes: Sequence[int],
    heads: Sequence[int],
    committed: Sequence[int] | None = None,
) -> tuple[float, float]:
    """Of a pass that is planned, or of one whose requests have committed so much."""
    parts = [price.shared(sum(sizes)), drafts_cost(price, heads)]
    parts += [price.own(context, size) for context, size in zip(contexts, sizes, strict=True)]
    if price.network is not None:
        reads = [1 + deep // 2 for deep in heads] if committed is None else committed
        parts += network_passes(price.network, list(zip(contexts, sizes, heads, reads, strict=True)))
    return sum(ns for ns, _ in parts), sum(pj for _, pj in parts)


def network_passes(network: Network, requests: Sequence[tuple[int, int, int, int]]) -> Iterator[tuple[float, float]]:
    """The first pass and one for each further level; of requests by context, tree size, levels, and tokens read."""
    drafted = [one for one in requests if one[2] > 0]
    if drafted:
        yield network.first(sum(reads for *_, reads in drafted))
        yield network.guess(len(drafted))
        for context, _, _, reads in drafted:
            yield network.own_first(context, reads)
    for level in range(2, max((one[2] for one in requests), default=0) + 1):
        wide = [(context, max((size + 1 - deep) // 2, 1)) for context, size, deep, _ in requests if deep >= level]
        yield network.further(sum(width for _, width in wide))
        for context, width in wide:
            yield network.own_further(context, width)


def likeliest(accuracy: Sequence[Sequence[float]], depth: int, nodes: int) -> list[tuple[float, Path]]:
    """The likeliest drafts that are at most so deep, in the order of their probability."""
    found = []
    for level in range(1, depth + 1):
        for path in product(*(range(len(accuracy[head])) for head in range(level))):
            chance = 1.0
            for head, rank in enumerate(path):
                chance *= accuracy[head][rank]
            found.append((chance, path))
    return sorted(found, key=lambda one: -one[0])[:nodes]


def divisions(
    machine: Machine, running: Sequence[Request]
) -> Iterator[tuple[float, tuple[int, ...], list[list[Path]]]]:
    """Every division of a pass: expected tokens per price, sizes, and the trees of the first requests."""
    heads = len(machine.accuracy[0])
    tables = [machine.optimistic(table) for table in range(len(machine.accuracy))]
    for count in range(1, len(running) + 1):
        mine = running[:count]
        for level in range(heads + 1):
            lists = []
            for one in mine:
                left = one.limit - 1 - one.position if machine.by_limit else heads
                lists.append(likeliest(tables[one.table], min(level, left), machine.most - 1))
            for drafts in product(*(range(len(each) + 1) for each in lists)):
                sizes = tuple(n + 1 for n in drafts)
                if sum(sizes) > machine.price.most_tokens:
                    continue
                length = count + sum(
                    sum(chance for chance, _ in each[:n]) for each, n in zip(lists, drafts, strict=True)
                )
                trees = [[path for _, path in each[:n]] for each, n in zip(lists, drafts, strict=True)]
                deep = [max((len(path) for path in tree), default=0) for tree in trees]
                contexts = [one.context + one.position for one in mine]
                price = machine.price.counted(*pass_cost(machine.price, contexts, sizes, deep))
                yield length / price, sizes, trees


def divided(machine: Machine, running: Sequence[Request]) -> list[list[Path]]:
    """The best division; among equals the most requests, and the first ones get the most."""
    if machine.fixed is not None:
        tree, heads = machine.fixed, max((len(path) for path in machine.fixed), default=0)
        found = []
        for count in range(1, len(running) + 1):
            sizes = [len(tree) + 1] * count
            contexts = [one.context + one.position for one in running[:count]]
            if sum(sizes) <= machine.price.most_tokens:
                price = machine.price.counted(*pass_cost(machine.price, contexts, sizes, [heads] * count))
                found.append((sum(sizes) / price, count))
        return [tree] * max(found)[1]
    every = list(divisions(machine, running))
    best = max(rate for rate, _, _ in every)
    near = [(len(sizes), sizes, trees) for rate, sizes, trees in every if rate >= best * (1 - 1e-12)]
    most = max(count for count, _, _ in near)
    return max((sizes, trees) for count, sizes, trees in near if count == most)[1]


def accepted_paths(tree: list[Path], ranks: Sequence[int]) -> tuple[int, int]:
    """Drafts accepted, and how many of them are not where they would be if all drafts were."""
    accepted, moved = 0, 0
    while accepted < len(ranks) and tuple(ranks[: accepted + 1]) in tree:
        accepted += 1
        moved += tree.index(tuple(ranks[:accepted])) + 1 != accepted
    return accepted, moved


def learn(machine: Machine, one: Request) -> None:
    """Every head that ran is scored once the token that it guessed is committed."""
    accuracy, weight = machine.accuracy[one.table], machine.weight[one.table]
    for head in range(len(accuracy)):
        while one.scored[head] < len(one.steps):
            root, ran = one.steps[one.scored[head]]
            if root + 1 + head >= one.position:
                break
            if head < ran:
                for rank in range(len(accuracy[head])):
                    weight[head][rank] = min(weight[head][rank] + 1, machine.memory)
                    hit = float(rank == one.ranks[root][head])
                    accuracy[head][rank] += (hit - accuracy[head][rank]) / weight[head][rank]
            one.scored[head] += 1


def serve_by_hand(machine: Machine, requests: Sequence[Request]) -> dict[str, Any]:
    """When each request joined, had its first token and was done, and every step: as the compiled loop says it."""
    waiting, running = list(requests), list[Request]()
    heads = len(machine.accuracy[0])
    joined, first, done = ([0.0] * len(requests) for _ in range(3))
    rows: list[tuple[int, ...]] = []
    passes: list[tuple[float, float]] = []
    peak = 0
    now = 0.0
    while waiting or running:
        if not running:
            now = max(now, waiting[0].arrival_ns)
        while waiting and len(running) < machine.batch and waiting[0].arrival_ns <= now:
            if sum(one.blocks for one in running) + waiting[0].blocks > machine.blocks:
                break
            one = waiting.pop(0)
            one.scored = [0] * heads
            joined[one.number] = now
            now += machine.prefill_ns[one.number]
            first[one.number] = now
            running.append(one)
        peak = max(peak, sum(one.blocks for one in running))
        trees = divided(machine, running)
        taking, others = running[: len(trees)], running[len(trees) :]
        sizes = [len(tree) + 1 for tree in trees]
        contexts = [one.context + one.position for one in taking]
        ran = [max((len(path) for path in tree), default=0) for tree in trees]
        begin, committed = now, list[int]()
        for one, tree, n in zip(taking, trees, ran, strict=True):
            left = one.wanted - one.position - 1
            accepted, moved = accepted_paths(tree, one.ranks[one.position][:left])
            rows.append((one.number, len(passes), one.position, len(tree) + 1, accepted + 1, n, moved))
            now += machine.compaction_ns[moved]
            one.steps.append((one.position, n))
            one.position += accepted + 1
            committed.append(accepted + 1)
            if machine.fixed is None:
                machine.ran.setdefault(one.table, []).append(n)
                learn(machine, one)
        now += pass_cost(machine.clock or machine.price, contexts, sizes, ran, committed)[0]
        passes.append((begin, now))
        for one in taking:
            if one.position >= one.wanted:
                done[one.number] = now
        running = others + [one for one in taking if one.position < one.wanted]
    return {"joined": joined, "first": first, "done": done, "steps": rows, "passes": passes, "peak": peak}
