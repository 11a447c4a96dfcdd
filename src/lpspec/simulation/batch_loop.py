"""The compiled loop over requests with its inputs laid out, and what came of it counted by parts of passes."""

from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray, IntArray
from lpspec.llm.draft_work import drafter_kind, heads_of
from lpspec.simulation.batch_busy import batch_busy
from lpspec.simulation.batch_commands import Tally
from lpspec.simulation.batch_cost import BatchCosts
from lpspec.simulation.batch_kernels import serve
from lpspec.simulation.batch_levels import LevelTally, level_tally, most_level_tokens, own_networks
from lpspec.simulation.batch_room import Room
from lpspec.simulation.pass_parts import MOST_PASS_TOKENS
from lpspec.simulation.requests import Requests
from lpspec.simulation.run import most_depth
from lpspec.simulation.served_run import ServedSteps
from lpspec.simulation.serving_state import NO_BUSY, Asked, Clock, Learned, Rules, Served, make_live, make_served
from lpspec.simulation.workload import MAX_TREE_SIZE, System, TreePolicy, usable_drafts
from lpspec.speculation.budget_kernels import Lists, make_division, make_lists
from lpspec.speculation.kernels import make_growth
from lpspec.speculation.measured import prior_for
from lpspec.speculation.optimism import make_runs
from lpspec.speculation.pruner import PRIOR_WEIGHT
from lpspec.speculation.token_tree import TokenTree

ROOT_ALONE = TokenTree.from_paths([])


@dataclass(frozen=True)
class Trees:
    """What trees a run may verify.

    Attributes:
        fixed: The very tree of every request and pass; None where they are grown.
        heads: Draft heads that trees may use, or levels.
        levels: Levels that there are where no heads draft, used or not.
        least: Tokens of a tree at least, the root included.
        most: Tokens at most.
    """

    fixed: TokenTree | None
    heads: int
    least: int
    most: int
    levels: int = 0


def trees_of(system: System, requests: Requests, policy: TreePolicy, batch: int) -> Trees:
    """What trees a policy has on a system; where a pruner sizes them, the largest of a full batch fit a pass together.

    Raises:
        InputError: The heads of model or traces cannot fill the tree.
    """
    if not system.speculates:
        return Trees(ROOT_ALONE, 0, 1, 1)
    heads = usable_drafts(system.model, requests.traces, policy)
    levels = 0 if heads_of(system.model) else heads
    if policy.fixed is not None:
        return Trees(policy.fixed, heads, policy.fixed.size, policy.fixed.size, levels)
    if policy.size is not None:
        return Trees(None, most_depth(policy, heads), policy.size, policy.size, levels)
    return Trees(None, heads, 1, min(MAX_TREE_SIZE, MOST_PASS_TOKENS // batch), levels)


@dataclass(frozen=True)
class Outcome:
    """What the loop gave.

    Attributes:
        served: When requests joined, had their first token and were done; the most bytes of caches in use.
        steps: Every request in every verify pass.
        pass_begin_ns: float64 [passes].
        pass_end_ns: float64 [passes].
    """

    served: Served
    steps: ServedSteps
    pass_begin_ns: FloatArray
    pass_end_ns: FloatArray


class Loop:
    """Serves the same requests with any clock."""

    def __init__(
        self, requests: Requests, room: Room, costs: BatchCosts, policy: TreePolicy, trees: Trees, batch: int
    ) -> None:
        """Lay out requests, prices, and how trees are found."""
        self.costs, self.trees, self.requests, self.busy = costs, trees, requests, NO_BUSY
        self.prices = costs.prices(policy.objective)
        all_heads = policy.heads == "all" and trees.heads > 0
        self.rules = Rules(
            least=trees.least,
            most=trees.most,
            fixed=trees.fixed is not None,
            all_heads=all_heads,
            feedback=policy.rule != "verified-nodes",
            chain=policy.rule == "chain-feedback",
            memory=policy.memory,
            errors=policy.standard_errors,
            by_limit=policy.size is None and not all_heads,
            batch=costs.span.requests if batch > 1 else 1,
            taking=costs.span.requests if batch > 1 else 1,
            cache_bytes=room.cache_bytes,
            beside=False,
            waiting=(costs.cache.least, costs.cache.most),
            block=costs.cache.block,
            first_context=costs.span.first_context,
        )
        self.ranks = np.ascontiguousarray(np.concatenate([trace.ranks[:, : trees.heads] for trace in requests.traces]))
        self.asked = self._asked(requests, room.needed_bytes)
        self._needed_bytes = room.needed_bytes
        self._fixed = None if trees.fixed is None else _listed(trees.fixed)

    def _asked(self, requests: Requests, needed_bytes: IntArray) -> Asked:
        rows = np.array([len(trace.ranks) for trace in requests.traces])
        begin = np.cumsum(rows) - rows
        starts = [trace.turn_starts for trace in requests.traces]
        turns = zip(requests.trace.tolist(), requests.turn.tolist(), strict=True)
        first = np.array([begin[trace] + starts[trace][turn] for trace, turn in turns], np.int64)
        return Asked(
            arrival_ns=requests.arrival_ns,
            context=requests.prompt_tokens - self.costs.span.first_context,
            wanted=requests.new_tokens,
            limit=requests.limit,
            cache_bytes=needed_bytes,
            table=np.zeros_like(requests.trace) if self.rules.fixed else requests.trace,
            first=first,
            begin=begin[requests.trace],
            rows=rows[requests.trace],
            log=np.cumsum(requests.new_tokens) - requests.new_tokens,
        )

    def drawn(self, which: IntArray) -> "Loop":
        """The same with a sample of the requests, as of ``Requests.drawn``."""
        other, requests = copy(self), self.requests.drawn(which)
        other.requests, other.asked = requests, other._asked(requests, self._needed_bytes[which])
        return other

    def beside(self) -> "Loop":
        """The same where twice as many requests are there as a pass takes: some are drafted for, others verified.

        Raises:
            InputError: The system's allocator does not say who computes what.
        """
        other = copy(self)
        other.busy, other.rules = (
            batch_busy(self.costs),
            self.rules._replace(beside=True, batch=min(2 * self.rules.taking, len(self.requests))),
        )
        return other

    def run(self, clock: Clock) -> Outcome:
        """Serve all requests, the pruner beginning from its prior."""
        clock = clock._replace(busy=self.busy)
        trees, count, total = self.trees, len(self.requests), int(self.requests.new_tokens.sum())
        traces = self.requests.traces[:1] if self.rules.fixed else self.requests.traces
        tables, top_k = len(traces), max(trace.top_k for trace in self.requests.traces)
        kind = drafter_kind(self.costs.system.model)
        accuracy = np.stack([prior_for(kind, trace, trees.heads, top_k) for trace in traces])
        served = make_served(count, total)
        lists = make_lists(tables, trees.heads, trees.most) if self._fixed is None else self._fixed
        passes, steps = serve(
            self.asked,
            self.ranks,
            self.prices,
            clock,
            self.rules,
            Learned(accuracy, np.full_like(accuracy, PRIOR_WEIGHT), make_runs(accuracy.shape, PRIOR_WEIGHT)),
            make_growth(trees.heads, top_k, trees.most),
            lists,
            make_division(self.rules.batch, self.costs.draft_ns.shape[0] - 1, lists),
            make_live(self.rules, trees.heads, count, total),
            served,
        )
        begin_ns, end_ns = served.pass_ns[:, :passes]
        return Outcome(served, ServedSteps(*served.step[:, :steps]), begin_ns, end_ns)

    def tally(self, outcome: Outcome, prompts: IntArray) -> Tally:
        """How often each part of a pass occurred; int64 [requests], which length each prompt has."""
        steps, span = outcome.steps, self.costs.span
        passes = len(outcome.pass_end_ns)
        charged = self.prices.charged[steps.l_spec]
        tokens = np.bincount(steps.verify_pass, charged, passes).astype(np.int64)
        rows = self.asked.context[steps.request] + steps.position
        own, counts = np.unique(rows * span.sizes + steps.l_spec - 1, return_counts=True)
        drafts = np.zeros(self.costs.draft_ns.shape)
        for head in range(1, heads_of(self.costs.system.model) + 1):
            running = np.bincount(steps.verify_pass[steps.heads >= head], minlength=passes)
            often = np.bincount(running, minlength=len(drafts[0]))[1:]
            drafts[head, 1:] += often
            drafts[head - 1, 1:] -= often
        drafts[0] = 0.0
        return Tally(
            tokens=np.bincount(tokens, minlength=span.tokens + 1).astype(np.float64),
            own=np.stack([own // span.sizes, own % span.sizes]),
            own_counts=counts.astype(np.float64),
            drafts=drafts,
            moved=np.bincount(steps.moved, minlength=len(self.costs.compaction_ns)).astype(np.float64),
            prompts=np.bincount(prompts, minlength=len(span.prompts)).astype(np.float64),
            levels=None if self.costs.levels is None else self._levels(outcome, rows),
        )

    def _levels(self, outcome: Outcome, rows: IntArray) -> LevelTally:
        steps, span = outcome.steps, self.costs.span
        levels, own = self.costs.levels, own_networks(self.costs.system)
        assert levels is not None
        shape = len(outcome.pass_end_ns), most_level_tokens(self.costs.system, span), len(levels.guess_ns) - 1
        return level_tally(shape, (steps.verify_pass, steps.l_spec, steps.committed, steps.heads), rows, own)


def _listed(tree: TokenTree) -> Lists:
    """One tree that everybody verifies, as the only list; its nodes count alike."""
    shape = 1, 1, tree.size
    node: NDArray[np.float64] = np.ones(shape)
    return Lists(
        tree.parent.astype(np.int16).reshape(shape),
        tree.depth.astype(np.int8).reshape(shape),
        tree.rank.astype(np.int8).reshape(shape),
        node,
        np.full((1, 1), tree.size),
    )
