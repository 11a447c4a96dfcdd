"""Draft heads for one hidden state on a CPU: their scores, and the likeliest tokens by these."""

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit
from lpspec.decoding.block_product import Float32, Weight, add_outputs
from lpspec.decoding.exponential import exp, silu


@cached_njit(nogil=True)
def guesses_of(
    hidden: Float32, weights: Weight, biases: Float32, out: Weight, heads: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ``likeliest`` tokens by ``head_scores``, in one call."""
    return likeliest(head_scores(hidden, weights, biases, out, heads), count)


@cached_njit(nogil=True)
def head_scores(hidden: Float32, weights: Weight, biases: Float32, out: Weight, heads: int) -> Float32:
    """Scores [heads, vocabulary] of the first Medusa heads.

    Args:
        hidden: [1, width], a hidden state.
        weights: [blocks, heads, width, width], of the residual blocks.
        biases: [blocks, heads, 1, width].
        out: [heads, vocabulary, width], each head's output layer, or [1, vocabulary, width], one for all.
        heads: How many of them.
    """
    blocks, _, width, _ = weights.shape
    x, residual = np.empty((heads, width), np.float32), np.empty((1, width), np.float32)
    scores = np.zeros((heads, out.shape[1]), np.float32)
    for head in range(heads):
        row = x[head : head + 1]
        row[:] = hidden
        for block in range(blocks):
            residual[:] = biases[block, head]
            add_outputs(row, weights[block, head], residual, 0, len(weights[block, head]))
            _add_silu(residual[0], row[0])
        if len(out) > 1:
            add_outputs(row, out[head], scores[head : head + 1], 0, len(out[head]))
    if len(out) == 1:
        add_outputs(x, out[0], scores, 0, len(out[0]))
    return scores


@cached_njit(nogil=True, allocates=False)
def _add_silu(x: Float32, out: Float32) -> None:
    """Add silu(x), [width], to out."""
    for i in range(len(x)):
        out[i] += silu(x[i])


@cached_njit(nogil=True)
def likeliest(scores: Float32, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The highest of each row and their probabilities, descending, int64 and float64 [rows, count].

    Args:
        scores: [rows, tokens].
        count: How many, at most as many as there are tokens; of equals, the first are taken.
    """
    rows = len(scores)
    tokens, probabilities = np.zeros((rows, count), np.int64), np.zeros((rows, count))
    best = np.empty(count, np.float32)
    for row in range(rows):
        _find_best(scores[row], best, tokens[row])
        total = _sum_of_exp(scores[row], best[0])
        for place in range(count):
            probabilities[row, place] = exp(best[place] - best[0]) / total
    return tokens, probabilities


@cached_njit(nogil=True, allocates=False)
def _find_best(scores: Float32, best: Float32, tokens: NDArray[np.int64]) -> None:
    """Fill ``best`` and ``tokens`` with the highest scores and where they stand, in descending order."""
    best[:] = -np.inf
    last = len(best) - 1
    for token in range(len(scores)):
        score = scores[token]
        if score <= best[last]:
            continue
        place = last
        while place > 0 and best[place - 1] < score:
            best[place], tokens[place] = best[place - 1], tokens[place - 1]
            place -= 1
        best[place], tokens[place] = score, token


@cached_njit(nogil=True, allocates=False, any_order=True)
def _sum_of_exp(scores: Float32, largest: np.float32) -> float:
    total = 0.0
    for token in range(len(scores)):
        total += float(exp(scores[token] - largest))
    return total


@cached_njit(nogil=True)
def fill_tree(
    parent: NDArray[np.int16],
    depth: NDArray[np.int8],
    rank: NDArray[np.int8],
    tokens: NDArray[np.int64],
    probability: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every draft's token, and the probability of its path, int64 and float64 [nodes - 1].

    Args:
        parent: [nodes], as in ``TokenTree``.
        depth: [nodes].
        rank: [nodes].
        tokens: [heads, top_k], each head's guesses.
        probability: [heads, top_k], how likely it finds them.
    """
    nodes = len(parent)
    drafted, likely = np.empty(nodes - 1, np.int64), np.empty(nodes - 1)
    for node in range(1, nodes):
        head, place = depth[node] - 1, rank[node]
        drafted[node - 1] = tokens[head, place]
        likely[node - 1] = probability[head, place] * (likely[parent[node] - 1] if parent[node] else 1.0)
    return drafted, likely


@cached_njit(nogil=True, allocates=False)
def score_guesses(lists: NDArray[np.int64], first: int, tokens: NDArray[np.int64], ranks: NDArray[np.int8]) -> None:
    """Write into ranks [heads] where lists [heads, top_k] hold ``tokens``, head ``first`` the first; -1 for nowhere."""
    for head in range(first, min(first + len(tokens), len(lists))):
        ranks[head] = -1
        for place in range(lists.shape[1]):
            if lists[head, place] == tokens[head - first]:
                ranks[head] = place
                break
