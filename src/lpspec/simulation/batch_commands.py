"""What passes over several requests cost at command level: each part priced once, and only those that occur.

Products are phases of all tokens of a pass; attention of several requests is phases one after the other, each over its
own cache. When passes begin depends on how long they take, so requests are served again until every part has its price.
"""

from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Cost, cost_from
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.draft_work import draft_operators, level_head
from lpspec.simulation.batch_cost import BatchCosts
from lpspec.simulation.batch_levels import LevelTally, further_span, level_parts
from lpspec.simulation.command_cost import CommandCosts, Kinds, command_costs
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.pass_parts import Parts, Span, verify_parts
from lpspec.simulation.price_grid import priced
from lpspec.simulation.serving_state import NO_BUSY, Clock
from lpspec.simulation.step_phases import Phase, PhasePlanner
from lpspec.simulation.workload import MAX_TREE_SIZE
from lpspec.speculation.pass_prices import LevelPrices

SHARED, OWN, COMPACTION, DRAFT, WRITTEN, FIRST, GUESS, FURTHER, OWN_FIRST, OWN_FURTHER = range(10)
"""Parts of a verify pass, and of the passes of a network that drafts."""

Rows = list[tuple[int, ...]]
Asked = tuple[Rows, list[float]]
"""Kinds of a part that occurred, and how often each."""


@dataclass(frozen=True)
class Tally:
    """How often each part of a pass occurred.

    Attributes:
        tokens: float64 [tokens + 1], verify passes by their tokens.
        own: int64 [2, kinds], rows and columns of the price list that requests met.
        own_counts: float64 [kinds].
        drafts: float64 [heads + 1, requests + 1], the first heads for so many requests; such sums may take some off.
        moved: float64 [entries], what was put in place, as for ``DraftCache.put_in_place``.
        prompts: float64 [prompts].
        levels: Of a network that drafts; None where none does.
    """

    tokens: FloatArray
    own: IntArray
    own_counts: FloatArray
    drafts: FloatArray
    moved: FloatArray
    prompts: FloatArray
    levels: LevelTally | None = None


class OwnKinds:
    """Kinds of what a request has of its own in a pass, and which of them each context and size is."""

    def __init__(self, span: Span, parts: Parts) -> None:
        """Find those that differ: rows of whether they wait, tokens, positions in whole blocks, and more.

        That is the blocks that are appended to, or the positions in memory in whole blocks where nothing is.
        """
        sizes = np.arange(1, span.sizes + 1)
        charged, waits = parts.charged(sizes), parts.waits(sizes)
        context = span.first_context + np.arange(span.contexts)[:, None]
        last, held = context + charged, ceil_div(parts.cache.held(context), KEY_BLOCK)
        more = np.where(waits, held, (last - 1) // KEY_BLOCK - context // KEY_BLOCK + 1)
        ends = -(-np.where(waits, context, last) // KEY_BLOCK)
        limits = int(charged.max()) + 1, int(ends.max()) + 1, int(more.max()) + 1
        each = (np.broadcast_to(part, ends.shape) for part in (waits.astype(np.int64), charged, ends, more))
        found, code = np.unique(np.ravel_multi_index(tuple(each), (2, *limits)), return_inverse=True)
        flag, tokens, end, count = np.unravel_index(found, (2, *limits))
        rows = np.column_stack([flag, tokens, end * KEY_BLOCK, np.where(flag, count * KEY_BLOCK, count)])
        self.rows: Rows = [tuple(row) for row in rows.tolist()]
        self.code: IntArray = code.reshape(ends.shape)
        self.ns: FloatArray = np.full(len(self.rows), np.nan)

    def times(self, closed_ns: FloatArray) -> FloatArray:
        """Time of each context and size, analytically where it is not priced: float64 [contexts, sizes]."""
        own_ns = self.ns[self.code]
        return np.where(np.isnan(own_ns), closed_ns, own_ns)

    def learn(self, table: dict[tuple[int, ...], FloatArray]) -> None:
        """Take the times of those that are priced."""
        for i, row in enumerate(self.rows):
            if row in table:
                self.ns[i] = _ns(table[row])

    def asked(self, own: IntArray, counts: FloatArray) -> Asked:
        """Kinds of places of the price list, int64 [2, places], that occurred so often."""
        codes, which = np.unique(self.code[tuple(own)], return_inverse=True)
        return [self.rows[code] for code in codes.tolist()], np.bincount(which, counts).tolist()


class BatchCommands:
    """Prices the passes of one system."""

    def __init__(self, costs: BatchCosts, commands: CommandCosts) -> None:
        """Take the analytic costs, which stand in until a part is priced, and whose memory commands are issued."""
        self.costs, self.commands = costs, commands
        planner, system, arrays = commands.planner, costs.system, commands.arrays
        memory, cache = planner.memory, costs.cache
        verify, (first, further) = verify_parts(system, cache), level_parts(system, cache)

        def shared(parts: Parts, _: int, tokens: Count) -> tuple[Phase, ...]:
            return planner.chain(parts.shared(tokens), 0)

        def draft(_: int, heads: int, requests: int) -> tuple[Phase, ...]:
            return planner.chain(draft_operators(system.model, heads, requests), 1)

        self._kinds = (
            Kinds(partial(shared, verify), memory, arrays),
            Kinds(partial(_own_phases, planner, verify), memory, arrays),
            Kinds(lambda _, moved: planner.compaction(moved), memory, arrays),
            Kinds(draft, memory, arrays=False),
            commands.written,
            Kinds(partial(shared, first), memory, arrays),
            Kinds(lambda _, requests: planner.chain(level_head(system.model, requests), 0), memory, arrays),
            Kinds(partial(shared, further), memory, arrays),
            Kinds(partial(_own_phases, planner, first), memory, arrays),
            Kinds(partial(_own_phases, planner, further), memory, arrays),
        )
        self._tables: list[dict[tuple[int, ...], FloatArray]] = [{} for _ in self._kinds]
        own = {OWN: verify} if costs.levels is None else {OWN: verify, OWN_FIRST: first, OWN_FURTHER: further}
        spans = {OWN_FURTHER: further_span(system, costs.span)}
        self._own = {part: OwnKinds(spans.get(part, costs.span), parts) for part, parts in own.items()}
        self._prompts: dict[int, Cost] = {}

    @property
    def error_bound(self) -> float | None:
        """Largest relative error of what was priced, in time, against exact runs; None where every phase was one."""
        return self.commands.error_bound

    def clock(self, prompts: IntArray) -> Clock:
        """Time of all parts, analytically where they are not priced yet; arguments as for ``BatchCosts.clock``."""
        shared_ns, draft_ns = self.costs.shared_ns.copy(), self.costs.draft_ns.copy()
        compaction_ns, prefill_ns = self.costs.compaction_ns.copy(), self.costs.prefill_ns.copy()
        for (_, tokens), row in self._tables[SHARED].items():
            shared_ns[tokens] = _ns(row)
        for (_, heads, requests), row in self._tables[DRAFT].items():
            draft_ns[heads, requests] = _ns(row)
        for (_, moved), row in self._tables[COMPACTION].items():
            compaction_ns[moved] = _ns(row)
        for (_, tokens, blocks), row in self._tables[WRITTEN].items():
            kind = 1 + blocks - ceil_div(tokens, KEY_BLOCK)
            compaction_ns[kind * MAX_TREE_SIZE - 1 + tokens] = _ns(row)
        if (block := self.costs.cache.block) > 1:
            behind_ns = compaction_ns[:MAX_TREE_SIZE] + compaction_ns[MAX_TREE_SIZE - 1 + block]
            compaction_ns[2 * MAX_TREE_SIZE :] = behind_ns
        for place, cost in self._prompts.items():
            prefill_ns[place] = float(np.sum(cost.latency_ns))
        own_ns, level_ns = self._own[OWN].times(self.costs.own_ns), self._level_times()
        return Clock(shared_ns, own_ns, draft_ns, level_ns, compaction_ns, prefill_ns[prompts], NO_BUSY)

    def _level_times(self) -> LevelPrices:
        """Time of the passes of a network."""
        closed = self.costs.level_times
        if self.costs.levels is None:
            return closed
        found = []
        for part, closed_ns in ((FIRST, closed.first), (GUESS, closed.guess), (FURTHER, closed.further)):
            found.append(closed_ns.copy())
            for (_, tokens), row in self._tables[part].items():
                found[-1][tokens] = _ns(row)
        first, guess, further = found
        own_first = self._own[OWN_FIRST].times(closed.own_first)
        own_further = self._own[OWN_FURTHER].times(closed.own_further)
        return LevelPrices(first, guess, further, own_first, own_further, closed.floor)

    def price(self, tally: Tally) -> bool:
        """Price what occurred and has no price yet; whether there was anything."""
        asked = self._asked(tally)
        new = [
            [(row, count) for row, count in zip(rows, counts, strict=True) if row not in table]
            for (rows, counts), table in zip(asked, self._tables, strict=True)
        ]
        for parts in (range(FIRST), range(FIRST, len(new))):  # verification before drafting, as of one request
            for part in parts:
                if new[part]:
                    rows, counts = zip(*new[part], strict=True)
                    self._kinds[part].expect(np.array(rows), np.abs(np.array(counts)))
            for part in parts:
                if new[part]:
                    rows, _ = zip(*new[part], strict=True)
                    priced_now = self._kinds[part].table(np.array(rows))
                    self._tables[part] |= dict(zip(rows, priced_now, strict=True))
        for place in np.flatnonzero(tally.prompts).tolist():
            if place not in self._prompts:
                self._prompts[place] = self.commands.prefill(int(self.costs.span.prompts[place]))
        for part, own in self._own.items():
            own.learn(self._tables[part])
        return any(new)

    def energy_pj(self, tally: Tally) -> tuple[FloatArray, FloatArray]:
        """Energy of all verify passes, and of all prompts: float64 [components] each."""
        totals = []
        for kind, (rows, counts) in enumerate(self._asked(tally)):
            parts = [self._tables[kind][row] * count for row, count in zip(rows, counts, strict=True)]
            totals.append(cost_from(np.sum(parts, axis=0)) if parts else Cost())
        prompts = reduce(add, (cost * float(tally.prompts[place]) for place, cost in self._prompts.items()))
        found = [priced(self.costs.system, cost, (1, 1))[1][:, 0, 0] for cost in (reduce(add, totals, Cost()), prompts)]
        return found[0], found[1]

    def _asked(self, tally: Tally) -> list[Asked]:
        """Kinds that occurred, and how often, part by part."""
        put = np.flatnonzero(tally.moved)
        up, written, blocks = self.costs.cache.entries(put)
        drafts = np.argwhere(tally.drafts)
        drafts = drafts[drafts.min(axis=1) > 0]
        return [
            _by_tokens(tally.tokens),
            self._own[OWN].asked(tally.own, tally.own_counts),
            _by_rows(up[:, None], tally.moved[put]),
            ([(0, heads, n) for heads, n in drafts.tolist()], tally.drafts[tuple(drafts.T)].tolist()),
            _by_rows(np.column_stack([written, blocks]), tally.moved[put]),
            *self._asked_of_levels(tally.levels),
        ]

    def _asked_of_levels(self, levels: LevelTally | None) -> list[Asked]:
        if levels is None:
            return [([], [])] * (OWN_FURTHER - WRITTEN)
        shared = [_by_tokens(counts) for counts in (levels.first, levels.guess, levels.further)]
        own = (
            self._own[part].asked(places, counts)
            for part, places, counts in zip((OWN_FIRST, OWN_FURTHER), levels.own, levels.own_counts, strict=True)
        )
        return [*shared, *own]


def _ns(row: FloatArray) -> float:
    return float(row[0])


def _by_tokens(counts: FloatArray) -> Asked:
    """Kinds by their tokens, float64 [tokens + 1]; those of more than a tree are laid out for themselves."""
    tokens = np.flatnonzero(counts)
    return [(int(n > MAX_TREE_SIZE), n) for n in tokens.tolist()], counts[tokens].tolist()


def _by_rows(rows: IntArray, often: FloatArray) -> Asked:
    """Kinds of what is put in place, int64 [entries, ...] that begin with tokens, and how often, float64 [entries]."""
    some = rows[:, 0] > 0
    kinds, which = np.unique(rows[some], axis=0, return_inverse=True)
    counts = np.bincount(which.reshape(-1), often[some], len(kinds))
    return [(0, *row) for row in kinds.tolist()], counts.tolist()


def _own_phases(
    planner: PhasePlanner, parts: Parts, waits: int, tokens: Count, keys: Count, more: Count
) -> tuple[Phase, ...]:
    """What one request has of its own, over whole blocks of keys; those of waiting tokens are not among them.

    Rows are as ``OwnKinds`` has them.
    """
    if waits:
        return planner.chain(parts.put_off(tokens, keys, more), 0)
    return planner.chain(parts.own(tokens, keys - tokens), more)


def batch_commands(costs: BatchCosts) -> BatchCommands | None:
    """Prices at command level; None for a system without one.

    Raises:
        InputError: The command level does not know its dies.
    """
    span, cache = costs.span, costs.cache
    commands = command_costs(costs.system, span.first_context, span.contexts, costs.allocator, cache=cache)
    return None if commands is None else BatchCommands(costs, commands)
