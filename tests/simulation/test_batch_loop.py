"""The compiled loop over requests beside its twin, which tries every division of every pass."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serving_twin import Machine, Network, Price, Request, serve_by_hand

from lpspec.simulation.batch_kernels import serve
from lpspec.simulation.batch_levels import no_levels, planned_passes
from lpspec.simulation.serving_state import NO_BUSY, Asked, Clock, Learned, Rules, make_live, make_served
from lpspec.speculation.budget_kernels import Lists, make_division, make_lists
from lpspec.speculation.kernels import make_growth
from lpspec.speculation.optimism import make_runs
from lpspec.speculation.pass_prices import EDP, ENERGY, ONE_NETWORK, THROUGHPUT, LevelPrices, PassPrices

CONTEXTS, SIZES, HEADS, TOP_K = 40, 3, 2, 2
FIXED: list[tuple[int, ...]] = [(0,), (1,)]


class Case:
    """Random requests on a random machine.

    What requests share goes up in steps, or each request's own price in its tokens: then greedy division is exact.
    """

    def __init__(
        self, seed: int, batch: int, objective: int, fixed: bool, steps_of: int, errors: float, network: bool = False
    ) -> None:
        dice = np.random.default_rng(seed)
        count = int(dice.integers(1, 6))
        self.batch, self.objective, self.fixed, self.errors = batch, objective, fixed, errors
        self.most_tokens = int(dice.integers(SIZES, SIZES * batch + 1)) if steps_of else SIZES * batch
        weights = dice.uniform(50, 200)
        tokens = np.arange(self.most_tokens + 1)
        steps = -(-tokens // steps_of) if steps_of else 1
        self.shared_ns = np.where(tokens > 0, weights * steps + dice.uniform(0, 2) * tokens, 0.0)
        self.shared_pj = np.where(tokens > 0, dice.uniform(50, 200) + dice.uniform(0, 20) * tokens, 0.0)
        slope = dice.uniform(0.01, 3, (2, CONTEXTS, 1)) * (steps_of == 0)
        self.own = dice.uniform(1, 30, (2, CONTEXTS, 1)) + slope * np.arange(SIZES)
        heads = np.cumsum(dice.uniform(1, 20, (2, HEADS + 1, 1)), axis=1) * np.ones(batch + 1)
        self.drafts = (heads - heads[:, :1]) * (not network)
        self.levels, self.level_clock = [no_levels(HEADS)] * 2, no_levels(HEADS)
        if network:  # planned with what depends on levels alone, so that greedy division is exact
            most = self.most_tokens + batch
            flat = [dice.uniform(1, 30, 3) for _ in range(2)]
            self.levels = [
                LevelPrices(
                    np.full(most + 1, one[0]),
                    np.full(batch + 1, one[1]),
                    np.full(most + 1, one[2]),
                    np.zeros((CONTEXTS, SIZES)),
                    np.zeros((CONTEXTS, SIZES)),
                    np.array([0.0, one[0] + one[1], one.sum()]),
                )
                for one in flat
            ]
            shapes = (most + 1, batch + 1, most + 1, (CONTEXTS, SIZES), (CONTEXTS, SIZES), HEADS + 1)
            self.level_clock = LevelPrices(*(dice.uniform(1, 30, shape) for shape in shapes))
        self.line = dice.uniform(0, 1), dice.uniform(0, 1)
        self.arrival_ns = np.sort(np.where(dice.uniform(size=count) < 0.5, 0.0, dice.uniform(0, 3000, count)))
        self.context = dice.integers(0, CONTEXTS - 12, count)
        self.wanted = dice.integers(1, 12, count)
        self.limit = self.wanted + dice.integers(0, 3, count)
        self.blocks = dice.integers(1, 4, count)
        self.room = int(self.blocks.max() + dice.integers(0, 5))
        self.table = dice.integers(0, 2, count)
        self.rows = 30
        self.ranks = dice.choice([-1, 0, 0, 0, 1], (2 * self.rows, HEADS)).astype(np.int8)
        self.first = self.table * self.rows + dice.integers(0, self.rows, count)
        self.accuracy = dice.uniform(0.1, 0.9, (2, HEADS, TOP_K))
        self.prefill_ns = dice.uniform(10, 300, count)
        self.compaction_ns = np.concatenate([[0.0], dice.uniform(0, 5, SIZES - 1)])

    def compiled(self) -> dict[str, Any]:
        count, total, order = len(self.wanted), int(self.wanted.sum()), np.arange(len(self.shared_ns))
        size = len(FIXED) + 1 if self.fixed else SIZES
        lists = make_lists(2, HEADS, SIZES)
        table = self.table
        if self.fixed:
            table = np.zeros_like(table)
            parent, depth, rank = np.array([-1, 0, 0]), np.array([0, 1, 1]), np.array([-1, 0, 1])
            shape = 1, 1, 3
            lists = Lists(
                parent.astype(np.int16).reshape(shape),
                depth.astype(np.int8).reshape(shape),
                rank.astype(np.int8).reshape(shape),
                np.ones(shape),
                np.full((1, 1), 3),
            )
        slopes = [
            np.array(
                [*(min((cost[i + 1 :] - cost[i]) / order[1 : len(cost) - i]) for i in range(len(cost) - 1)), np.inf]
            )
            for cost in (self.shared_ns, self.shared_pj)
        ]
        share, idle = (1.0, 0.0) if self.objective == THROUGHPUT else self.line
        reads, width = planned_passes(HEADS, SIZES)
        prices = PassPrices(
            self.shared_ns,
            self.shared_pj,
            np.maximum(slopes[0], 0.0),
            np.maximum(slopes[1], 0.0),
            np.minimum.accumulate(self.shared_ns[::-1])[::-1].copy(),
            np.minimum.accumulate(self.shared_pj[::-1])[::-1].copy(),
            np.ascontiguousarray(self.own[0]),
            np.ascontiguousarray(self.own[1]),
            np.ascontiguousarray(self.drafts[0]),
            np.ascontiguousarray(self.drafts[1]),
            self.levels[0],
            self.levels[1],
            reads,
            width,
            ONE_NETWORK,
            np.arange(SIZES + 1),
            share,
            idle,
            self.objective,
        )
        log = np.cumsum(self.wanted) - self.wanted
        begin, rows = self.table * self.rows, np.full(count, self.rows)
        asked = Asked(
            self.arrival_ns, self.context, self.wanted, self.limit, self.blocks, table, self.first, begin, rows, log
        )
        clock = Clock(
            self.shared_ns,
            prices.own_ns,
            prices.draft_ns,
            self.level_clock,
            self.compaction_ns,
            self.prefill_ns,
            NO_BUSY,
        )
        rules = Rules(
            least=size if self.fixed else 1,
            most=size,
            fixed=self.fixed,
            all_heads=False,
            feedback=True,
            chain=False,
            memory=16.0,
            errors=self.errors,
            by_limit=True,
            batch=self.batch,
            taking=self.batch,
            cache_bytes=self.room,
            waiting=(2, 0),
            block=1,
            first_context=0,
            beside=False,
        )
        learned = Learned(self.accuracy.copy(), np.full_like(self.accuracy, 4.0), make_runs((2, HEADS, TOP_K), 4.0))
        out = make_served(count, total)
        growth = make_growth(HEADS, TOP_K, SIZES)
        passes, steps = serve(
            asked,
            self.ranks,
            prices,
            clock,
            rules,
            learned,
            growth,
            lists,
            make_division(self.batch, HEADS, lists),
            make_live(rules, HEADS, count, total),
            out,
        )
        return {
            "joined": out.joined_ns.tolist(),
            "first": out.first_ns.tolist(),
            "done": out.done_ns.tolist(),
            "steps": [tuple(row) for row in out.step[:, :steps].T.tolist()],
            "passes": [tuple(row) for row in out.pass_ns[:, :passes].T.tolist()],
            "peak": int(out.most_bytes[0]),
        }

    def by_hand(self) -> dict[str, Any]:
        def counted(ns: float, pj: float) -> float:
            energy = float(self.line[0] * pj + self.line[1] * ns)
            return {THROUGHPUT: ns, ENERGY: energy, EDP: float((ns * energy) ** 0.5)}[self.objective]

        price = Price(
            lambda tokens: (float(self.shared_ns[tokens]), float(self.shared_pj[tokens])),
            lambda context, size: (float(self.own[0, context, size - 1]), float(self.own[1, context, size - 1])),
            lambda heads, n: (float(self.drafts[0, heads, n]), float(self.drafts[1, heads, n])),
            counted,
            self.most_tokens,
            self._network(self.levels[0], self.levels[1]),
        )
        machine = Machine(
            price,
            self.accuracy.tolist(),
            np.full_like(self.accuracy, 4.0).tolist(),
            self.batch,
            self.room,
            SIZES,
            self.compaction_ns.tolist(),
            self.prefill_ns.tolist(),
            16.0,
            self.errors,
            by_limit=True,
            fixed=FIXED if self.fixed else None,
            clock=replace(price, network=self._network(self.level_clock, self.level_clock)),
        )
        requests = []
        for i in range(len(self.wanted)):
            begin = int(self.table[i]) * self.rows
            places = [begin + (int(self.first[i]) - begin + k) % self.rows for k in range(int(self.wanted[i]))]
            requests.append(
                Request(
                    i,
                    float(self.arrival_ns[i]),
                    int(self.context[i]),
                    int(self.wanted[i]),
                    int(self.limit[i]),
                    int(self.blocks[i]),
                    [self.ranks[place].tolist() for place in places],
                    int(self.table[i]),
                )
            )
        return serve_by_hand(machine, requests)

    def _network(self, ns: LevelPrices, pj: LevelPrices) -> Network | None:
        if len(ns.first) == 0:
            return None
        return Network(
            lambda tokens: (float(ns.first[tokens]), float(pj.first[tokens])),
            lambda requests: (float(ns.guess[requests]), float(pj.guess[requests])),
            lambda tokens: (float(ns.further[tokens]), float(pj.further[tokens])),
            lambda context, tokens: (
                float(ns.own_first[context, tokens - 1]),
                float(pj.own_first[context, tokens - 1]),
            ),
            lambda context, n: (float(ns.own_further[context, n - 1]), float(pj.own_further[context, n - 1])),
        )


@settings(max_examples=150)
@example(seed=3645, batch=2, objective=THROUGHPUT, fixed=False, steps_of=1, errors=0.0, network=True)  # as good alone
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    objective=st.sampled_from([THROUGHPUT, ENERGY, EDP]),
    fixed=st.booleans(),
    steps_of=st.sampled_from([0, 1, 2, 4, 100]),
    errors=st.sampled_from([0.0, 2.0]),
    network=st.booleans(),
)
def test_every_pass_and_every_request_is_as_its_twin_has_it(
    seed: int, batch: int, objective: int, fixed: bool, steps_of: int, errors: float, network: bool
) -> None:
    if steps_of == 0 and objective == EDP:
        objective = THROUGHPUT  # the root of two straight lines is none
    case = Case(seed, batch, objective, fixed, steps_of, errors, network)
    found, wanted = case.compiled(), case.by_hand()
    assert found["steps"] == wanted["steps"]
    assert found["peak"] == wanted["peak"]
    for name in ("joined", "first", "done", "passes"):
        assert np.allclose(found[name], wanted[name], rtol=1e-12), name
    assert sum(row[4] for row in found["steps"]) == case.wanted.sum()
    assert found["peak"] <= case.room


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_same_twice_is_the_same(batch: int) -> None:
    case = Case(7, batch, EDP, False, 4, 2.0)
    assert case.compiled() == case.compiled()
