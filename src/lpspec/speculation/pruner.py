"""The draft token pruner (DTP): what the heads got right lately decides which tree is worth verifying.

Two halves, as in LP-Spec section IV-B: an accuracy model, and a token-tree explorer that grows the tree greedily and
lets a hardware estimator price every size. The estimator comes in as a list of prices, one per size.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray
from lpspec.scenario.names import LearningRule
from lpspec.speculation.kernels import (
    Growth,
    depth_of,
    expected_length,
    first_guesses_right,
    grow_best_tree,
    heads_to_run,
    learn_rank,
    learn_verified,
    make_growth,
)
from lpspec.speculation.optimism import Runs, count_run, make_runs, raise_odds, standard_errors
from lpspec.speculation.token_tree import TokenTree

DEFAULT_MEMORY = 4096.0
"""Observations that a head remembers. Assumed: so long that noise does not switch between sizes of nearly equal price
(1024 lost 0.1 % of energy to it on vicuna-13b's trace), yet short against a session."""

PRIOR_WEIGHT = 64.0
"""Observations that the prior is worth. Assumed: a few requests overrule it."""


class Pruner(Protocol):
    """Chooses the tree of each step and learns from what the step committed.

    Two more are asked for where a pruner has them, as the DTP does: ``heads``, the draft heads to run for the tree that
    it chose last (as many as it is deep if there is no such attribute), and ``best_rate(price)``, the expected tokens
    per price of the tree that it would choose, by which weights move between ranks.
    """

    def choose(self, price: FloatArray) -> TokenTree:
        """Choose a tree; the first draft heads run, as many as it is deep.

        Args:
            price: float64 [heads + 1, sizes]: ``price[h, n - 1]`` is what running h heads and verifying n tokens (root
                included) costs; infinite forbids that. With fewer rows, the last one is for all heads, which then run
                together or not at all.
        """
        ...

    def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
        """Learn from a step.

        Args:
            position: Position of the root in the turn; 0 starts a new turn.
            ranks: int8 [heads that ran], rank of the true token in each one's list at this position; shorter where the
                turn ends before ``position + 1 + h``, the token that entry h concerns. Verification makes known the
                entries below ``committed``; later ones must not be used before their tokens are committed: with a
                real model they are -1 until then, and filled in before the step that learns of those tokens.
            tree: The tree that was verified.
            committed: Tokens that the step committed, root included.
        """
        ...


@dataclass(frozen=True)
class FixedTree:
    """Always the same tree, or as much of it as may be verified.

    Attributes:
        tree: The tree; a prefix of it is taken where the price of its size is infinite.
    """

    tree: TokenTree

    def choose(self, price: FloatArray) -> TokenTree:
        """Take the largest prefix that has a price; the root alone where none has."""
        rows, most = np.atleast_2d(price), min(self.tree.size, price.shape[-1])
        depth = np.maximum.accumulate(self.tree.depth[:most])
        sizes = np.flatnonzero(np.isfinite(rows[np.minimum(depth, len(rows) - 1), np.arange(most)])) + 1
        largest = int(sizes[-1]) if len(sizes) else 1
        return self.tree if largest == self.tree.size else self.tree.prefix(largest)

    def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
        """Learn nothing."""


@dataclass
class DraftTokenPruner:
    """LP-Spec's pruner.

    Attributes:
        accuracy: float64 [heads, top_k], probability that head h's k-th prediction is right; the start is the prior.
        max_size: Largest tree, root included.
        rule: ``full-feedback`` scores every head against every committed token, some of it a few steps late;
            ``chain-feedback`` only where the first guesses of all heads before it were right, which makes the product
            of a path's accuracies the probability of a chain; ``verified-nodes`` is the paper's rule and sees only
            nodes that were verified.
        memory: Observations that a head remembers; older ones fade.
        heads: Draft heads that run for the tree chosen last: as many as it is deep.
    """

    accuracy: FloatArray
    max_size: int = 64
    rule: LearningRule = "full-feedback"
    memory: float = DEFAULT_MEMORY
    heads: int = field(init=False, default=0)
    _weight: FloatArray = field(init=False, repr=False)
    _runs: Runs = field(init=False, repr=False)
    _growth: Growth = field(init=False, repr=False)
    _waiting: list[list[tuple[int, NDArray[np.int8]]]] = field(init=False, repr=False)
    _last: TokenTree = field(init=False, repr=False)
    _last_shape: tuple[bytes, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Copy the prior and allocate working memory."""
        self.accuracy = np.array(self.accuracy, dtype=np.float64)
        heads, top_k = self.accuracy.shape
        self._weight = np.full_like(self.accuracy, PRIOR_WEIGHT)
        self._runs = make_runs((1, heads, top_k), PRIOR_WEIGHT)
        self._growth = make_growth(heads, top_k, self.max_size)
        self._waiting = [[] for _ in range(heads)]
        self._last_shape = b"", b""

    def choose(self, price: FloatArray) -> TokenTree:
        """Grow the tree with the most expected tokens per price over all depths, and sizes up to ``max_size``.

        While it does not change, it is the same object: what is laid out for it can stay. A price list of one dimension
        is one for all heads.
        """
        growth, rows = self._growth, self._rows(price)
        size = self._grow(rows)
        self.heads = heads_to_run(rows, depth_of(growth, size), len(self.accuracy))
        parent, rank = growth.parent[:size], growth.rank[:size]
        shape = parent.tobytes(), rank.tobytes()
        if shape != self._last_shape:
            self._last_shape, self._last = shape, TokenTree.trusted(parent, growth.depth[:size], rank)
        return self._last

    def best_rate(self, price: FloatArray) -> float:
        """Expected tokens per price of the tree that ``choose`` would give."""
        rows = self._rows(price)
        size = self._grow(rows)
        row = min(depth_of(self._growth, size), len(rows) - 1)
        return float(expected_length(self._growth, size) / rows[row, size - 1])

    def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
        """Learn by the rule; heads that did not run teach nothing."""
        count_run(self._runs, 0, self.heads, self.memory)
        if position == 0:
            self._waiting = [[] for _ in self._waiting]
        if self.rule == "verified-nodes":
            self._load(tree)
            if tree.size > 1:
                learn_verified(self.accuracy, self._weight, self._growth, tree.size, ranks, committed - 1, self.memory)
            return
        for head, waiting in enumerate(self._waiting):
            if head < len(ranks):
                waiting.append((position + 1 + head, ranks))
            while waiting and waiting[0][0] < position + committed:
                known = waiting.pop(0)[1]
                if self.rule == "full-feedback" or first_guesses_right(known, head):
                    learn_rank(self.accuracy, self._weight, head, int(known[head]), self.memory)

    def _grow(self, rows: FloatArray) -> int:
        """Grow the best tree by what heads may be worth; its size."""
        raise_odds(self.accuracy, self._runs, 0, standard_errors(self.rule))
        return grow_best_tree(self._runs.optimistic[0], rows, self._growth)

    def _rows(self, price: FloatArray) -> FloatArray:
        return np.ascontiguousarray(np.atleast_2d(price)[: len(self.accuracy) + 1, : self.max_size])

    def _load(self, tree: TokenTree) -> None:
        self._growth.parent[: tree.size] = tree.parent
        self._growth.rank[: tree.size] = tree.rank


def heads_run(pruner: Pruner, tree: TokenTree, price: FloatArray, heads: int) -> int:
    """Draft heads that a step with the pruner's tree runs, of those that there are."""
    own: int | None = getattr(pruner, "heads", None)
    if own is not None:
        return own
    return heads if tree.max_depth >= len(np.atleast_2d(price)) - 1 else tree.max_depth
