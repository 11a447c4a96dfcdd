"""Compiled drafting: the likeliest tokens, the tree they fill, and what they were worth, against plain Python."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_llama import grow_tree

from lpspec.decoding.drafters.medusa import ranks_in
from lpspec.decoding.head_kernels import fill_tree, likeliest, score_guesses


@settings(deadline=None)
@given(scores=st.lists(st.integers(-9, 9), min_size=5, max_size=40), count=st.integers(1, 5))
def test_the_highest_scores_in_order_the_first_of_equals(scores: list[int], count: int) -> None:
    tokens, probabilities = likeliest(np.array([scores], np.float32), count)
    order = sorted(range(len(scores)), key=lambda token: (-scores[token], token))
    assert tokens[0].tolist() == order[:count]
    total = sum(math.exp(score) for score in scores)
    assert probabilities[0].tolist() == pytest.approx([math.exp(scores[t]) / total for t in order[:count]], rel=1e-6)


def test_probabilities_are_torchs_for_a_whole_vocabulary() -> None:
    scores = torch.randn(4, 32_000, generator=torch.Generator().manual_seed(0)) * 4
    tokens, probabilities = likeliest(scores.numpy(), 10)
    top = scores.double().softmax(-1).topk(10)
    assert np.array_equal(tokens, top.indices.numpy())
    assert np.allclose(probabilities, top.values.numpy(), rtol=1e-6)


@settings(deadline=None)
@given(drawn=st.lists(st.integers(0, 1000), max_size=20), seed=st.integers(0, 99))
def test_a_draft_is_as_likely_as_all_guesses_on_its_path(drawn: list[int], seed: int) -> None:
    tree = grow_tree([number % (node + 1) for node, number in enumerate(drawn)])
    random, shape = np.random.default_rng(seed), (20, 20)
    lists, probability = random.integers(0, 99, shape), random.random(shape)
    tokens, likely = fill_tree(tree.parent, tree.depth, tree.rank, lists, probability)
    for node, path in enumerate(tree.paths()):
        assert tokens[node] == lists[len(path) - 1, path[-1]]
        assert likely[node] == pytest.approx(math.prod(probability[h, rank] for h, rank in enumerate(path)))


@settings(deadline=None)
@given(first=st.integers(0, 4), known=st.lists(st.integers(0, 9), max_size=8), seed=st.integers(0, 99))
def test_guesses_are_scored_from_the_first_head_that_can_be(first: int, known: list[int], seed: int) -> None:
    lists = np.random.default_rng(seed).permuted(np.tile(np.arange(10), (4, 1)), axis=1)[:, :6]
    ranks = np.full(4, 7, np.int8)
    score_guesses(lists, first, np.array(known, np.int64), ranks)
    for head in range(4):
        scored = first <= head < first + len(known)
        assert ranks[head] == (ranks_in(lists[head], np.array(known[head - first])) if scored else 7)
