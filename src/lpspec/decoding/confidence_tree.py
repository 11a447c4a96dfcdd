"""Trees grown by a drafter's own confidence: EAGLE-2's beam of likeliest nodes, then the part worth its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.decoding.drafter import ROOT_ALONE, Draft
from lpspec.speculation.token_tree import TokenTree

FloatRows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Guesses:
    """The likeliest next tokens after some nodes.

    Args:
        tokens: int64 [nodes, k], likeliest first.
        probability: float32 [nodes, k], each at most 1, given the node.
    """

    tokens: IntArray
    probability: FloatRows


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes that a drafter is asked to look beyond, all of one depth.

    Args:
        tokens: int64 [nodes].
        depth: Of these nodes; the root has 0.
        source: int64 [nodes], the row of the level before from which each one was guessed.
        sees: bool [nodes, asked], which of all nodes asked about so far, these included, lie on each one's path.
    """

    tokens: IntArray
    depth: int
    source: IntArray
    sees: BoolArray


@dataclass(eq=False)
class _Nodes:
    """Candidates in the order they were found, so that parents come first."""

    parent: list[IntArray] = field(default_factory=list)
    rank: list[IntArray] = field(default_factory=list)
    depth: list[IntArray] = field(default_factory=list)
    tokens: list[IntArray] = field(default_factory=list)
    probability: list[FloatRows] = field(default_factory=list)
    count: int = 1  # the root is node 0

    def add(self, parents: IntArray, above: FloatRows, depth: int, guesses: Guesses) -> None:
        """Add the children that ``guesses`` gives each parent, whose own probabilities are ``above``."""
        rows, k = guesses.tokens.shape
        self.parent.append(np.repeat(parents, k))
        self.rank.append(np.tile(np.arange(k), rows))
        self.depth.append(np.full(rows * k, depth))
        self.tokens.append(guesses.tokens.ravel())
        self.probability.append((above[:, None] * guesses.probability).ravel())
        self.count += rows * k


def grow_by_confidence(
    first: Guesses, look_beyond: Callable[[Level], Guesses], width: int, depth: int, price: FloatArray
) -> Draft:
    """Grow a tree level by level, ``width`` nodes of each being looked beyond, and take the part worth verifying.

    Nothing is looked beyond that can bring no part of what is taken: the price changes what drafting costs, but never
    which nodes come first. Source: EAGLE-2 (arXiv 2406.16858), section 4.

    Args:
        first: One row, what may follow the root.
        look_beyond: Guesses what follows the nodes of a level.
        width: Nodes looked beyond at each depth.
        depth: Of the deepest node.
        price: float64 [sizes], what verifying 1, 2, ... tokens costs; infinite forbids a size.
    """
    nodes = _Nodes()
    nodes.add(np.zeros(1, np.int64), np.ones(1, np.float32), 1, first)
    sees = np.zeros((1, 0), np.bool_)
    price = price[: int(np.isfinite(price).nonzero()[0].max(initial=0)) + 1]
    for level in range(1, depth):
        found = nodes.probability[-1]
        likeliest = np.sort(np.concatenate(nodes.probability))[::-1][: len(price) - 1]
        if not _deeper_can_win(likeliest, found.max(), price):
            break
        chosen = np.argsort(-found, kind="stable")[:width]
        if len(likeliest) == len(price) - 1:
            chosen = chosen[found[chosen] >= likeliest[-1]]  # what follows a node is no likelier than the node
        source = chosen // (len(found) // len(sees))
        sees = np.hstack([sees[source], np.eye(len(chosen), dtype=np.bool_)])
        guesses = look_beyond(Level(nodes.tokens[-1][chosen], level, source, sees))
        nodes.add(nodes.count - len(found) + chosen, found[chosen], level + 1, guesses)
    return _best_part(nodes, price)


def best_size(probability: NDArray[np.floating], price: FloatArray) -> IntArray:
    """The size, root included, with the most expected tokens per price; of equals the smallest, 1 if none is allowed.

    Args:
        probability: [..., nodes], that each node after the root is accepted; no tree is larger than these.
        price: float64 [..., sizes], infinite where a size is forbidden.
    """
    nodes = min(probability.shape[-1], price.shape[-1] - 1)
    expected = np.cumsum(probability[..., :nodes], axis=-1, dtype=np.float64)
    root = np.ones((*expected.shape[:-1], 1))
    value = np.concatenate([root, 1.0 + expected], axis=-1) / price[..., : nodes + 1]
    size: IntArray = np.argmax(value, axis=-1) + 1
    return size


def chain(tokens: IntArray, probability: FloatArray, price: FloatArray) -> Draft:
    """The part worth verifying of tokens that follow one another, each with its probability from the root.

    Probabilities are rounded to float32, as a trace holds them, so that its replay sizes trees alike.
    """
    probability = probability.astype(np.float32).astype(np.float64)
    size = int(best_size(probability, price))
    places = np.arange(size)
    rank = np.where(places, 0, -1)
    tree = TokenTree.trusted((places - 1).astype(np.int16), places.astype(np.int8), rank.astype(np.int8))
    return Draft(tree, tokens[: size - 1], probability[: size - 1])


def _deeper_can_win(likeliest: FloatRows, gain: np.float32, price: FloatArray) -> bool:
    """Whether nodes below the last level, each of probability ``gain`` at most, can be in the part that is taken.

    ``likeliest`` holds the nodes found so far that may be taken, in falling order.
    """
    before = int(np.count_nonzero(likeliest >= gain))  # taken before any deeper node, whatever that brings
    if before >= len(price) - 1:
        return False
    now = 1.0 + np.concatenate([[0.0], np.cumsum(likeliest, dtype=np.float64)])
    best = (now / price[: len(now)]).max()
    more = np.arange(1, len(price) - before)
    return bool(((now[before] + more * gain) / price[before + 1 :] >= best).any())


def _best_part(nodes: _Nodes, price: FloatArray) -> Draft:
    """Order nodes by probability, parents before children, and cut where expected tokens per price peak."""
    probability = np.concatenate(nodes.probability)
    order = np.argsort(-probability, kind="stable")[: len(price) - 1]
    size = int(best_size(probability[order], price))
    if size == 1:
        return ROOT_ALONE
    order = order[: size - 1]
    place = np.zeros(nodes.count, np.int16)
    place[order + 1] = np.arange(1, size)
    parent = place[np.concatenate(nodes.parent)[order]]
    tree = TokenTree.trusted(
        np.concatenate([[-1], parent]).astype(np.int16),
        np.concatenate([[0], np.concatenate(nodes.depth)[order]]).astype(np.int8),
        np.concatenate([[-1], np.concatenate(nodes.rank)[order]]).astype(np.int8),
    )
    return Draft(tree, np.concatenate(nodes.tokens)[order], probability[order].astype(np.float64))
