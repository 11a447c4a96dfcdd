"""What passes over several requests cost at command level: each part priced once, and only those that occur.

Products are phases of all tokens of a pass; attention of several requests is phases one after the other, each over its
own cache. When passes begin depends on how long they take, so requests are served again until every part has its price.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Cost, cost_from
from lpspec.simulation.batch_cost import BatchCosts, by_whom, drafting_operators
from lpspec.simulation.batch_kernels import Clock
from lpspec.simulation.command_cost import CommandCosts, Kinds, command_costs
from lpspec.simulation.draft_cache import KEY_BLOCK, draft_cache_of, waiting
from lpspec.simulation.price_grid import priced
from lpspec.simulation.step_phases import Phase, cost_of
from lpspec.simulation.workload import MAX_TREE_SIZE

SHARED, OWN, COMPACTION, DRAFT, WRITTEN = range(5)
"""Parts of a verify pass."""


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
    """

    tokens: FloatArray
    own: IntArray
    own_counts: FloatArray
    drafts: FloatArray
    moved: FloatArray
    prompts: FloatArray


class BatchCommands:
    """Prices the passes of one system."""

    def __init__(self, costs: BatchCosts, commands: CommandCosts) -> None:
        """Take the closed forms, which stand in until a part is priced, and whose memory commands are issued."""
        self.costs, self.commands = costs, commands
        planner, model, arrays = commands.planner, costs.system.model, commands.arrays

        def shared(_: int, tokens: IntArray | int) -> tuple[Phase, ...]:
            return planner.chain(by_whom(model, tokens, 0)[0], 0)

        def own(waits: int, tokens: IntArray | int, keys: IntArray | int, blocks: IntArray | int) -> tuple[Phase, ...]:
            return planner.chain(
                waiting(by_whom(model, tokens, keys if waits else keys - tokens)[1], bool(waits)), blocks
            )

        def draft(_: int, heads: int, requests: int) -> tuple[Phase, ...]:
            return planner.chain(drafting_operators(model, heads, requests), 1)

        self._kinds = (
            Kinds(shared, planner.memory, arrays),
            Kinds(own, planner.memory, arrays),
            Kinds(lambda _, moved: planner.compaction(moved), planner.memory, arrays),
            Kinds(draft, planner.memory, arrays=False),
            Kinds(lambda _, tokens: planner.written(tokens), planner.memory, arrays),
        )
        self._tables: list[dict[tuple[int, ...], FloatArray]] = [{} for _ in self._kinds]
        self._rows, self._code = self._own_kinds()
        self._own_ns = np.full(len(self._rows), np.nan)
        self._prompts: dict[int, Cost] = {}

    @property
    def error_bound(self) -> float | None:
        """Largest relative error of what was priced, in time, against exact runs; None where every phase was one."""
        return self.commands.error_bound

    def clock(self, prompts: IntArray) -> Clock:
        """Time of all parts, by closed forms where they are not priced yet; arguments as for ``BatchCosts.clock``."""
        shared_ns, draft_ns = self.costs.shared_ns.copy(), self.costs.draft_ns.copy()
        compaction_ns, prefill_ns = self.costs.compaction_ns.copy(), self.costs.prefill_ns.copy()
        for (_, tokens), row in self._tables[SHARED].items():
            shared_ns[tokens] = self._ns(row)
        for (_, heads, requests), row in self._tables[DRAFT].items():
            draft_ns[heads, requests] = self._ns(row)
        for (_, moved), row in self._tables[COMPACTION].items():
            compaction_ns[moved] = self._ns(row)
        for (_, tokens), row in self._tables[WRITTEN].items():
            compaction_ns[MAX_TREE_SIZE - 1 + tokens] = self._ns(row)
        for place, cost in self._prompts.items():
            prefill_ns[place] = float(np.sum(cost.latency_ns))
        own_ns = self._own_ns[self._code]
        return Clock(
            shared_ns,
            np.where(np.isnan(own_ns), self.costs.own_ns, own_ns),
            draft_ns,
            compaction_ns,
            prefill_ns[prompts],
        )

    def price(self, tally: Tally) -> bool:
        """Price what occurred and has no price yet; whether there was anything."""
        asked = self._asked(tally)
        new = [
            [(row, count) for row, count in zip(rows, counts, strict=True) if row not in table]
            for (rows, counts), table in zip(asked, self._tables, strict=True)
        ]
        for kinds, found in zip(self._kinds, new, strict=True):
            if found:
                rows, counts = zip(*found, strict=True)
                kinds.expect(np.array(rows), np.abs(np.array(counts)))
        for kinds, found, known in zip(self._kinds, new, self._tables, strict=True):
            if found:
                rows, _ = zip(*found, strict=True)
                known |= dict(zip(rows, kinds.table(np.array(rows)), strict=True))
        planner = self.commands.planner
        for place in np.flatnonzero(tally.prompts).tolist():
            if place not in self._prompts:
                tokens = int(self.costs.span.prompts[place])
                self._prompts[place] = cost_of(planner.prefill(tokens), planner.memory)
        for i, own in enumerate(self._rows):
            if own in self._tables[OWN]:
                self._own_ns[i] = self._ns(self._tables[OWN][own])
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

    def _asked(self, tally: Tally) -> list[tuple[list[tuple[int, ...]], list[float]]]:
        """Kinds that occurred, and how often, part by part."""
        tokens, put = np.flatnonzero(tally.tokens), np.flatnonzero(tally.moved)
        moved, written = put[(put > 0) & (put < MAX_TREE_SIZE)], put[put >= MAX_TREE_SIZE]
        drafts = np.argwhere(tally.drafts)
        drafts = drafts[drafts.min(axis=1) > 0]
        codes, which = np.unique(self._code[tuple(tally.own)], return_inverse=True)
        return [
            ([(int(n > MAX_TREE_SIZE), n) for n in tokens.tolist()], tally.tokens[tokens].tolist()),
            ([self._rows[code] for code in codes.tolist()], np.bincount(which, tally.own_counts).tolist()),
            ([(0, n) for n in moved.tolist()], tally.moved[moved].tolist()),
            ([(0, heads, n) for heads, n in drafts.tolist()], tally.drafts[tuple(drafts.T)].tolist()),
            ([(0, n - MAX_TREE_SIZE + 1) for n in written.tolist()], tally.moved[written].tolist()),
        ]

    def _own_kinds(self) -> tuple[list[tuple[int, ...]], IntArray]:
        """Kinds of attention that there are, and which of them each context and size is: int64 [contexts, sizes]."""
        span = self.costs.span
        charged = self.costs.system.charged(np.arange(1, span.sizes + 1))
        context = span.first_context + np.arange(span.contexts)[:, None]
        last = context + charged
        waits = draft_cache_of(self.costs.system.platform, self.costs.system.model, span.requests).waits(
            np.arange(1, span.sizes + 1)
        )
        blocks = np.where(waits, 0, (last - 1) // KEY_BLOCK - context // KEY_BLOCK + 1)
        ends = -(-np.where(waits, context, last) // KEY_BLOCK)
        most, longest = int(blocks.max()) + 1, int(ends.max()) + 1
        number = (charged * longest + ends) * most + blocks
        found, code = np.unique(number, return_inverse=True)
        tokens_ends, block = np.divmod(found, most)
        tokens, end = np.divmod(tokens_ends, longest)
        rows = np.column_stack([(block == 0).astype(np.int64), tokens, end * KEY_BLOCK, block])
        return [tuple(row) for row in rows.tolist()], code.reshape(number.shape)

    def _ns(self, row: FloatArray) -> float:
        return float(row[0])


def batch_commands(costs: BatchCosts) -> BatchCommands | None:
    """Prices at command level; None for a system without one.

    Raises:
        InputError: The command level does not know its dies.
    """
    commands = command_costs(costs.system, costs.span.first_context, costs.span.contexts, costs.allocator)
    return None if commands is None else BatchCommands(costs, commands)
