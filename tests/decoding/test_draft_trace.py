"""What a draft trace holds and refuses, and its replay against one that knows only lists."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.decoding.draft_trace import DraftTrace, gated_sizes, load_draft_trace, replay_drafts, replay_sizes
from lpspec.errors import InputError
from lpspec.speculation.token_tree import TokenTree


def small_trace(**changes: Any) -> DraftTrace:
    """Two turns, of two and of one position; trees of three drafts, of one and of none."""
    fields: dict[str, Any] = {
        "parent": np.array([[0, 1, 0], [0, -1, -1], [-1, -1, -1]]),
        "rank": np.array([[0, 0, 1], [0, -1, -1], [-1, -1, -1]]),
        "probability": np.array([[0.5, 0.25, 0.25], [0.75, 0, 0], [0, 0, 0]]),
        "true_path": np.array([[1, 2], [-1, -1], [-1, -1]]),
        "turn_lengths": np.array([2, 1]),
        "labels": ("first", ""),
        "name": "small",
        "model": "none",
        "drafter": "by hand",
        "description": "",
        "source": "written in a test",
    }
    return DraftTrace(**fields | changes)


def random_trace(random: np.random.Generator, lengths: list[int], nodes: int, depth: int) -> DraftTrace:
    positions = sum(lengths)
    parent = np.full((positions, nodes), -1)
    rank = np.full((positions, nodes), -1)
    probability = np.zeros((positions, nodes))
    path = np.full((positions, depth), -1)
    for row in range(positions):
        levels = [0]
        for node in range(1, int(random.integers(0, nodes + 1)) + 1):
            above = int(random.choice([n for n, level in enumerate(levels) if level < depth]))
            rank[row, node - 1] = np.count_nonzero(parent[row] == above)
            parent[row, node - 1] = above
            levels.append(levels[above] + 1)
        there = len(levels) - 1
        probability[row, :there] = np.sort(random.random(there))[::-1]
        last = 0
        for level in range(depth):
            children = np.flatnonzero(parent[row] == last) + 1
            if not len(children) or random.random() < 0.3:
                break
            last = path[row, level] = int(random.choice(children))
    changed = {"parent": parent, "rank": rank, "probability": probability.astype(np.float32), "true_path": path}
    return small_trace(**changed, turn_lengths=np.array(lengths), labels=("",) * len(lengths))


def naive_replay(trace: DraftTrace, price: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Position, size, committed tokens and drafts out of place of every step, from Python lists."""
    steps, start = [], 0
    for length in trace.turn_lengths.tolist():
        position = 0
        while position < length:
            row = start + position
            chances = [p for p, above in zip(trace.probability[row], trace.parent[row], strict=True) if above >= 0]
            costs = price[position, : len(chances) + 1].tolist()
            worth = [(1 + sum(map(float, chances[:n]))) / cost for n, cost in enumerate(costs)]
            size = worth.index(max(worth)) + 1
            accepted = 0
            for node in trace.true_path[row].tolist():
                if node < 0 or node >= size:
                    break
                accepted += 1
            committed = min(accepted + 1, length - position)
            path = trace.true_path[row].tolist()[: committed - 1]
            steps.append((position, size, committed, sum(node != place for place, node in enumerate(path, 1))))
            position += committed
        start += length
    return steps


@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    nodes=st.integers(0, 7),
    depth=st.integers(1, 4),
    forbidden=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_replay_takes_the_steps_of_the_naive_one(
    seed: int, lengths: list[int], nodes: int, depth: int, forbidden: float
) -> None:
    random = np.random.default_rng(seed)
    trace = random_trace(random, lengths, nodes, depth)
    price = np.where(random.random((9, nodes + 1)) < forbidden, np.inf, 0.5 + random.random((9, nodes + 1)))
    replayed = replay_drafts(trace, price)
    assert list(zip(*(array.tolist() for array in replayed), strict=True)) == naive_replay(trace, price)


@given(seed=st.integers(0, 2**32 - 1), sigma=st.floats(-3, 0.1))
def test_a_gate_keeps_the_nodes_that_are_likely_enough(seed: int, sigma: float) -> None:
    """Against EAGLE-2's growth with every branch dropped where it falls below the gate."""
    trace = random_trace(np.random.default_rng(seed), [5], 7, 3)
    for row, size in enumerate(gated_sizes(trace, sigma).tolist()):
        grown = {0}
        for node, parent in enumerate(trace.parent[row].tolist(), 1):
            if parent in grown and trace.probability[row, node - 1] >= np.exp(sigma):
                grown.add(node)
        assert grown == set(range(size))


def test_given_sizes_replay_like_the_prices_that_ask_for_them() -> None:
    trace = random_trace(np.random.default_rng(3), [9, 4], 7, 3)
    only_three = np.full((9, 8), np.inf)
    only_three[:, [0, 2]] = 1e9, 1.0
    there = np.count_nonzero(trace.parent >= 0, axis=1)
    by_price, by_size = replay_drafts(trace, only_three, 6), replay_sizes(trace, np.where(there >= 2, 3, 1), 6)
    for found, due in zip(by_size, by_price, strict=True):
        assert found.tolist() == due.tolist()


def test_depths_are_those_of_the_trees() -> None:
    assert small_trace().depth.tolist() == [[1, 2, 1], [1, 0, 0], [0, 0, 0]]


def test_larger_trees_than_recorded_cannot_be_replayed() -> None:
    with pytest.raises(InputError, match="'small' holds trees of up to 4 tokens, but the price list allows larger"):
        replay_drafts(small_trace(), np.ones((2, 5)))
    replay_drafts(small_trace(), np.append(np.ones((2, 4)), np.full((2, 3), np.inf), axis=1))


def test_a_trace_gives_its_trees_back() -> None:
    trace = small_trace()
    assert (trace.positions, trace.nodes) == (3, 3)
    assert trace.tree(0) == TokenTree(np.array([-1, 0, 1, 0]), np.array([0, 1, 2, 1]), np.array([-1, 0, 0, 1]))
    assert [trace.tree(position).size for position in range(3)] == [4, 2, 1]
    with pytest.raises(ValueError, match="read-only"):
        trace.parent[0] = 0


def test_a_trace_survives_its_file(tmp_path: Path) -> None:
    trace = small_trace()
    trace.save(tmp_path / "a.npz")
    trace.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert load_draft_trace(tmp_path / "a.npz").content_hash == trace.content_hash
    assert replace(trace, name="other").content_hash != trace.content_hash
    with pytest.raises(InputError, match="cannot be written: No such file"):
        trace.save(tmp_path / "nowhere" / "a.npz")


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no trace")
    with pytest.raises(InputError, match=r"damaged or no trace; allowed are \.npz files in the format"):
        load_draft_trace(tmp_path / "text.npz")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_draft_trace(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parent": np.zeros((3, 2), int)}, "must be of one shape"),
        ({"true_path": np.full((2, 2), -1)}, "true_path of a trace must be of shape"),
        ({"turn_lengths": np.array([2, 2])}, "sum to 4, but parent has 3 positions"),
        ({"labels": ("one",)}, "one per turn, not 1 for 2 turns"),
        ({"drafter": None}, "drafter of a trace must be a text"),
        ({"parent": np.array([[0, 1, 0], [0, -1, -1], [-1, 0, -1]])}, "nodes without a parent, a rank or a prob"),
        ({"rank": np.array([[0, 0, 1], [0, 0, -1], [-1, -1, -1]])}, "nodes without a parent, a rank or a prob"),
        ({"parent": np.array([[0, 2, 0], [0, -1, -1], [-1, -1, -1]])}, "a node before its parent"),
        ({"probability": np.array([[0.5, 0.75, 0.25], [0.75, 0, 0], [0, 0, 0]])}, "never rise along a tree"),
        ({"probability": np.array([[1.5, 0.25, 0.25], [0.75, 0, 0], [0, 0, 0]])}, "between 0 and 1"),
        ({"true_path": np.array([[2, 1], [-1, -1], [-1, -1]])}, "from the root to child after child"),
        ({"true_path": np.array([[3, 2], [-1, -1], [-1, -1]])}, "from the root to child after child"),
        ({"true_path": np.array([[-1, 2], [-1, -1], [-1, -1]])}, "from the root to child after child"),
        ({"true_path": np.array([[4, -1], [-1, -1], [-1, -1]])}, "nodes of its tree, or -1"),
        ({"true_path": np.array([[0, -1], [-1, -1], [-1, -1]])}, "nodes of its tree, or -1"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        small_trace(**changes)
    assert message in str(error.value)
