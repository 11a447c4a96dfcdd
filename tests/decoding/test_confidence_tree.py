"""Trees grown by confidence, against the plain growth that looks at everything and stops nowhere early."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from plain_drafters import Path, confident_tree, worthwhile

from lpspec.decoding.confidence_tree import Guesses, Level, best_size, chain, grow_by_confidence
from lpspec.decoding.drafter import Draft
from lpspec.speculation.token_tree import TokenTree

VOCABULARY = 5


class Oracle:
    """Guesses that depend on the path alone; remembers what it was asked, as a drafter's network does."""

    def __init__(self, seed: int, sharpness: float) -> None:
        self.seed, self.sharpness = seed, sharpness
        self.rows: list[list[Path]] = [[()]]

    def likely(self, path: Path) -> dict[int, float]:
        random = np.random.default_rng([self.seed, *path])
        share = random.dirichlet(np.full(VOCABULARY, self.sharpness)).astype(np.float32)
        return dict(enumerate(share.tolist()))

    def top(self, paths: list[Path], width: int) -> Guesses:
        best = [sorted(self.likely(path).items(), key=lambda item: -item[1])[:width] for path in paths]
        tokens, shares = zip(*(zip(*row, strict=True) for row in best), strict=True)
        return Guesses(np.array(tokens), np.array(shares, np.float32))

    def look_beyond(self, width: int, level: Level) -> Guesses:
        before = self.rows[-1]
        paths = [(*before[s], t) for s, t in zip(level.source.tolist(), level.tokens.tolist(), strict=True)]
        asked = [path for row in self.rows[1:] for path in row] + paths
        for path, sees in zip(paths, level.sees, strict=True):
            assert [asked[i] for i in np.flatnonzero(sees)] == [path[: n + 1] for n in range(len(path))]
            assert len(path) == level.depth
        self.rows.append(paths)
        return self.top(paths, width)


def token_paths(draft: Draft) -> list[Path]:
    found: list[Path] = [()]
    for parent, token in zip(draft.tree.parent[1:].tolist(), draft.tokens.tolist(), strict=True):
        found.append((*found[parent], token))
    return found[1:]


prices = st.lists(st.just(np.inf) | st.floats(0.5, 5.0), min_size=1, max_size=24).map(np.array)


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    sharpness=st.sampled_from([0.1, 0.5, 3.0]),
    width=st.integers(1, VOCABULARY),
    depth=st.integers(1, 5),
    price=prices,
)
def test_growth_that_ends_early_takes_what_full_growth_takes(
    seed: int, sharpness: float, width: int, depth: int, price: np.ndarray
) -> None:
    oracle = Oracle(seed, sharpness)
    draft = grow_by_confidence(oracle.top([()], width), partial(oracle.look_beyond, width), width, depth, price)
    expected = worthwhile(confident_tree(oracle.likely, width, depth, len(price) - 1), price.tolist())
    checked = TokenTree(draft.tree.parent, draft.tree.depth, draft.tree.rank)  # raises unless it is a tree
    assert sorted(token_paths(draft)) == sorted(path for path, _ in expected)
    assert np.allclose(draft.probability, [p for _, p in expected], atol=1e-6)
    assert len(checked.paths()) == len(expected)


def test_a_price_that_ends_early_spares_the_network() -> None:
    asked = []
    for price in (np.arange(1.0, 25.0), np.ones(24)):
        oracle = Oracle(seed=1, sharpness=0.1)
        grow_by_confidence(oracle.top([()], 3), partial(oracle.look_beyond, 3), 3, 5, price)
        asked.append(len(oracle.rows) - 1)
    assert asked[0] < asked[1] == 4


@given(
    probability=st.lists(st.floats(0.0, 1.0), max_size=20).map(lambda p: np.sort(p)[::-1]),
    price=prices,
)
def test_the_size_is_the_best_of_all(probability: np.ndarray, price: np.ndarray) -> None:
    size = int(best_size(probability, price))
    values = [(1 + probability[:n].sum()) / price[n] for n in range(min(len(probability) + 1, len(price)))]
    assert 1 <= size <= len(values)
    assert values[size - 1] >= max(values) * (1 - 1e-12)
    rows = best_size(np.tile(probability, (3, 1)), np.tile(price, (3, 1)))
    assert rows.tolist() == [size] * 3


def test_a_chain_is_cut_by_its_price() -> None:
    tokens, probability = np.array([7, 8, 9]), np.array([0.75, 0.5, 0.25])
    free = chain(tokens, probability, np.ones(9))
    assert (free.tokens.tolist(), free.probability.tolist()) == ([7, 8, 9], [0.75, 0.5, 0.25])
    assert free.tree == TokenTree.from_paths([(0,), (0, 0), (0, 0, 0)])
    assert chain(tokens, probability, np.array([1.0, 1.0, np.inf, np.inf])).tokens.tolist() == [7]
    assert chain(tokens, probability, np.full(4, np.inf)).tree.size == 1
