"""The compiled replay against the readable loop, and against a twin that knows only paths, lists and floats."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_twin import optimistic

from lpspec.arrays import FloatArray
from lpspec.scenario import Workload
from lpspec.scenario.names import LEARNING_RULES, LearningRule
from lpspec.simulation.decode_loop import decode
from lpspec.simulation.kernels import replay_fixed, replay_pruned
from lpspec.simulation.run import turn_bounds
from lpspec.speculation.kernels import make_growth
from lpspec.speculation.optimism import make_runs, standard_errors
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.rank_trace import RankTrace
from lpspec.speculation.settled import nothing_settled
from lpspec.speculation.token_tree import Path, TokenTree, accepted_lengths

Record = tuple[int, int, int, int, int]  # position, tokens verified, tokens committed, heads run, drafts moved
Placed = tuple[int, int, int, int, int, int]  # the same, with where the weights lay before the heads


@dataclass(frozen=True)
class Case:
    """A random decode."""

    trace: RankTrace
    prior: FloatArray
    price: FloatArray  # [placements, positions, rows, sizes]
    move: FloatArray  # [placements, placements]
    new_tokens: int | None
    rule: LearningRule
    memory: float


def random_trace(rng: np.random.Generator, heads: int, top_k: int, lengths: list[int]) -> RankTrace:
    """Ranks near the top, -1 here and there, and wherever the turn has ended."""
    ranks = np.minimum(rng.geometric(0.6, (sum(lengths), heads)) - 1, top_k)
    ranks[ranks == top_k] = -1
    left = np.concatenate([np.arange(length, 0, -1) for length in lengths])
    ranks[left[:, None] <= np.arange(1, heads + 1)] = -1
    return RankTrace(
        ranks.astype(np.int8),
        np.array(lengths, np.int32),
        top_k,
        tuple(f"turn {i}" for i in range(len(lengths))),
        name="random",
        model="none",
        kind="synthetic",
        description="",
        source="drawn in a test",
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    heads, top_k, sizes = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 16))
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    prior = rng.dirichlet(np.ones(top_k + 1), heads)[:, :top_k]
    tokens = np.arange(1, sizes + 1)
    steps = -(-tokens // draw(st.integers(1, 5))) * draw(st.floats(0.0, 3.0))
    price = (1 + steps + 0.3 * rng.random(sizes)) * (1 + 0.01 * np.arange(max(lengths)))[:, None, None]
    rows = draw(st.sampled_from([1, 2, heads + 1]))
    heads_price = np.concatenate([[0.0], rng.random(rows - 1)]).cumsum() * draw(st.sampled_from([0.0, 0.01, 0.5]))
    price = price + heads_price[:, None]
    spots = rng.random(draw(st.integers(1, 4)))
    slower = rng.uniform(1, 2, (len(spots), 1, 1, sizes)) if len(spots) > 1 else 1.0
    move = np.abs(spots - spots[:, None]) * draw(st.sampled_from([0.0, 1.0, 30.0]))
    return Case(
        random_trace(rng, heads, top_k, lengths),
        prior,
        price * slower if len(spots) > 1 else price[None],
        move,
        draw(st.none() | st.integers(1, 45)),
        draw(st.sampled_from(LEARNING_RULES)),
        draw(st.sampled_from([1.0, 4.0, 70.0, 1024.0])),
    )


# Three ways to decode


def compiled_placed(case: Case) -> tuple[list[Placed], FloatArray]:
    turns = turn_bounds(case.trace, Workload(new_tokens=case.new_tokens))
    accuracy, (heads, top_k) = case.prior.copy(), case.prior.shape
    out = np.zeros((6, int(turns[:, 0].sum())), np.int64)
    steps = replay_pruned(
        case.trace.ranks,
        turns,
        case.price,
        accuracy,
        np.full_like(accuracy, 64.0),
        case.rule != "verified-nodes",
        case.rule == "chain-feedback",
        case.memory,
        standard_errors(case.rule),
        make_runs((1, heads, top_k), 64.0),
        make_growth(heads, top_k, case.price.shape[3]),
        nothing_settled(case.price, heads, top_k),
        case.move,
        out,
    )
    sizes, committed, positions, placements, heads_run, moved = out
    columns = (positions, sizes, committed, placements, heads_run, moved)
    return list(zip(*(array[:steps].tolist() for array in columns), strict=True)), accuracy


def compiled(case: Case) -> tuple[list[Record], FloatArray]:
    steps, accuracy = compiled_placed(case)
    return [(*step[:3], *step[4:]) for step in steps], accuracy


def readable(case: Case) -> tuple[list[Placed], FloatArray]:
    pruner = DraftTokenPruner(case.prior, case.price.shape[3], case.rule, case.memory)
    steps = decode(case.trace, pruner, case.price, case.new_tokens, case.move)
    placed = [(s.position, s.l_spec, s.committed, s.placement, s.heads, s.moved) for s in steps]
    return placed, pruner.accuracy


class NaiveModel:
    """Running averages of what the heads got right, by (head, rank)."""

    def __init__(self, prior: FloatArray, memory: float) -> None:
        self.average = {(h, k): float(p) for h, row in enumerate(prior) for k, p in enumerate(row)}
        self.weight = dict.fromkeys(self.average, 64.0)
        self.memory = memory
        self.ran: list[int] = []  # heads, of every step

    def score(self, head: int, rank: int, correct: bool) -> None:
        weight = min(self.weight[head, rank] + 1, self.memory)
        self.weight[head, rank] = weight
        self.average[head, rank] = self.average[head, rank] * ((weight - 1) / weight) + correct / weight

    def optimistic(self, heads: int, top_k: int, errors: float) -> list[list[float]]:
        seen = [[self.average[head, k] for k in range(top_k)] for head in range(heads)]
        return optimistic(seen, self.ran, 64.0, self.memory, errors)

    def best_tree(self, heads: int, top_k: int, price: list[list[float]], errors: float) -> list[Path]:
        """The likeliest open path is taken next; of all depths and sizes, the one with the most tokens per price."""
        optimistic = self.optimistic(heads, top_k, errors)
        trees: list[list[Path]] = [[()]]
        values = [1.0 / price[0][0]]
        for limit in range(1, heads + 1):
            taken: dict[Path, float] = {(): 1.0}
            while len(taken) < len(price[0]):
                open_paths = {
                    (*path, rank): p * optimistic[len(path)][rank]
                    for path, p in taken.items()
                    for rank in range(top_k)
                    if len(path) < limit and (*path, rank) not in taken
                }
                if not open_paths:
                    break
                path = max(open_paths, key=lambda p: open_paths[p])
                taken[path] = open_paths[path]
                trees.append(list(taken))
                row = price[min(max(map(len, taken)), len(price) - 1)]
                values.append(sum(sorted(taken.values(), reverse=True)) / row[len(taken) - 1])
        return trees[values.index(max(values))]


def naive_turn(case: Case, model: NaiveModel, rows: list[list[int]], wanted: int) -> Iterator[Record]:
    heads, top_k = case.prior.shape
    waiting: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)  # by token: which head said it at which rank
    position = 0
    while position < wanted:
        price = case.price[0, position].tolist()
        tree = model.best_tree(heads, top_k, price, 0.0 if case.rule == "verified-nodes" else 0.75)
        depth = max(map(len, tree))
        ran = heads if depth >= len(price) - 1 else depth
        model.ran.append(ran)
        truth = [rank for h, rank in enumerate(rows[position]) if position + 1 + h < wanted]
        accepted = 0
        while accepted < len(truth) and tuple(truth[: accepted + 1]) in tree:
            accepted += 1
        end = position + accepted + 1
        if case.rule == "verified-nodes":
            for depth, rank in enumerate(truth[: accepted + 1]):
                for child in [path for path in tree if len(path) == depth + 1 and path[:-1] == tuple(truth[:depth])]:
                    model.score(depth, child[-1], child[-1] == rank)
        else:
            for h, rank in enumerate(truth[:ran]):
                if case.rule == "chain-feedback" and any(truth[:h]):
                    break  # a first guess was wrong
                waiting[position + 1 + h].append((h, rank))
        for token in [token for token in sorted(waiting) if token < end]:
            for h, rank in waiting.pop(token):
                for k in range(top_k):
                    model.score(h, k, k == rank)
        moved = sum(tree.index(tuple(truth[:place])) != place for place in range(1, accepted + 1))
        yield position, len(tree), end - position, ran, moved
        position = end


def naive(case: Case) -> tuple[list[Record], FloatArray]:
    model = NaiveModel(case.prior, case.memory)
    records: list[Record] = []
    rows: list[list[int]] = case.trace.ranks.tolist()
    for length in case.trace.turn_lengths.tolist():
        wanted = length if case.new_tokens is None else min(length, case.new_tokens)
        records += naive_turn(case, model, rows[:length], wanted)
        rows = rows[length:]
    heads, top_k = case.prior.shape
    return records, np.array([[model.average[h, k] for k in range(top_k)] for h in range(heads)])


@settings(max_examples=150)
@given(cases())
def test_the_compiled_replay_is_the_readable_loop(case: Case) -> None:
    (steps, accuracy), (expected, learned) = compiled_placed(case), readable(case)
    assert steps == expected
    assert np.array_equal(accuracy, learned)


@settings(max_examples=100)
@given(cases())
def test_the_compiled_replay_is_a_naive_one(case: Case) -> None:
    case = replace(case, memory=max(case.memory, 4.0))  # remembering one observation, all paths are equally likely
    case = replace(case, price=case.price[:1], move=np.zeros((1, 1)))
    (steps, accuracy), (expected, learned) = compiled(case), naive(case)
    assert steps == expected
    assert accuracy == pytest.approx(learned, abs=1e-12)


@given(cases())
def test_steps_cover_every_wanted_token_once(case: Case) -> None:
    wanted = turn_bounds(case.trace, Workload(new_tokens=case.new_tokens))[:, 0].tolist()
    steps, _ = compiled(case)
    for tokens in wanted:
        position = 0
        while position < tokens:
            root, l_spec, committed, heads, moved = steps.pop(0)
            assert root == position
            assert 1 <= committed <= min(l_spec, heads + 1)
            assert heads <= case.trace.heads
            assert 0 <= moved < committed
            position += committed
        assert position == tokens
    assert steps == []


# Only what is known is used


@settings(max_examples=150)
@given(cases(), st.data())
def test_later_tokens_never_change_earlier_decisions(case: Case, data: st.DataObject) -> None:
    """Draw anew every rank that concerns a token from some place on; steps rooted before it must not notice."""
    trace = case.trace
    turn = data.draw(st.integers(0, trace.turns - 1))
    length, start = int(trace.turn_lengths[turn]), int(trace.turn_starts[turn])
    token = data.draw(st.integers(1, length))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    ranks = trace.ranks.copy()
    for row in range(start, trace.positions):
        for head in range(trace.heads):
            if row >= start + length or row + 1 + head >= start + token:
                ranks[row, head] = -1 if ranks[row, head] < 0 else rng.integers(0, trace.top_k)
    other = replace(case, trace=replace(trace, ranks=ranks))

    def decisions(decoded: Case) -> list[tuple[int, int, int]]:
        """Root, size and heads of every step before the change."""
        found, turn_now = [], -1
        for position, l_spec, _, heads, _ in compiled(decoded)[0]:
            turn_now += position == 0
            if turn_now > turn or (turn_now == turn and position >= token):
                break
            found.append((position, l_spec, heads))
        return found

    assert decisions(case) == decisions(other)


@given(cases())
def test_a_limit_is_a_shorter_trace(case: Case) -> None:
    """What lies beyond the tokens asked for is neither committed nor learned from."""
    trace, limit = case.trace, case.new_tokens or 7
    rows = np.split(trace.ranks, trace.turn_starts[1:])
    lengths = np.minimum(trace.turn_lengths, limit)
    kept = []
    for turn, length in zip(rows, lengths.tolist(), strict=True):
        left = np.arange(length, 0, -1)
        kept.append(np.where(left[:, None] <= np.arange(1, trace.heads + 1), -1, turn[:length]))
    cut = replace(case, trace=replace(trace, ranks=np.concatenate(kept), turn_lengths=lengths), new_tokens=None)
    steps, accuracy = compiled(replace(case, new_tokens=limit))
    expected, learned = compiled(cut)
    assert steps == expected
    assert np.array_equal(accuracy, learned)


@given(cases())
def test_probabilities_stay_probabilities(case: Case) -> None:
    _, accuracy = compiled(case)
    assert (accuracy >= 0).all()
    assert (accuracy <= 1).all()
    if case.rule != "verified-nodes":
        assert (accuracy.sum(axis=1) <= 1 + 1e-12).all()


# One tree for all steps


@given(cases(), st.sets(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple), max_size=8))
def test_a_fixed_tree_is_replayed_as_by_hand(case: Case, some: set[Path]) -> None:
    paths = {path[:depth] for path in some for depth in range(1, len(path) + 1)}
    tree = TokenTree.from_paths(paths)
    turns = turn_bounds(case.trace, Workload(new_tokens=case.new_tokens))
    accepted, in_place = (accepted_lengths(part, case.trace.ranks).astype(np.int64) for part in (tree, tree.trunk()))
    sizes, committed, positions, moved = np.zeros((4, int(turns[:, 0].sum())), np.int64)
    steps = replay_fixed(accepted, in_place, turns, tree.size, sizes, committed, positions, moved)
    expected: list[tuple[int, int, int, int]] = []
    places = [(), *tree.paths()]
    for start, wanted in zip(case.trace.turn_starts.tolist(), turns[:, 0].tolist(), strict=True):
        position = 0
        while position < wanted:
            walked = 1
            row = case.trace.ranks[start + position].tolist()
            while walked <= len(row) and tuple(row[:walked]) in paths and position + walked < wanted:
                walked += 1
            out_of_place = sum(places.index(tuple(row[:j])) != j for j in range(1, walked))
            expected.append((position, tree.size, walked, out_of_place))
            position += walked
    columns = (column[:steps].tolist() for column in (positions, sizes, committed, moved))
    assert list(zip(*columns, strict=True)) == expected
