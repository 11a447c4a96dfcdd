"""What a network that drafts costs in a step: a pass over newly committed tokens, then one per further level.

A tree of n tokens, h levels deep, has at most (n + 1 - h) / 2 nodes with drafts behind them in a level: every other
level has one, and each of them has one behind it. Every level but the first is charged for so many, at least one; where
they share a pass over the weights, as up to N_ALU tokens do on PIM and many on an NPU, fewer would cost the same.

Where each level has a network of its own, its pass reads what was committed and the drafts of all levels above that
have drafts behind them. So that level k drafts, and h - k levels follow, h - k nodes of n - 1 lie below it, and of the
others, N, at least one of k is a leaf: N - ceil(N / k) have drafts behind them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.simulation.workload import MAX_TREE_SIZE


def level_width(size: IntArray, depth: IntArray) -> IntArray:
    """Most nodes of a level that have drafts behind them, in trees of so many tokens, so deep; 1 at least."""
    width: IntArray = np.maximum((size + 1 - depth) // 2, 1)
    return width


def nodes_above(size: IntArray, depth: IntArray, level: int) -> IntArray:
    """Most nodes above a level, the root left out, that have drafts behind them, in trees of so many tokens, so deep.

    At least one for each level between.
    """
    others = np.maximum(size - 1 - (depth - level), level)
    nodes: IntArray = others - -(-others // level)
    return nodes


def own_reads(trees: tuple[IntArray, IntArray], committed: IntArray, level: int) -> IntArray:
    """Tokens that the one network of a level reads in trees of some sizes and depths: committed ones, and drafts.

    At most as many as the largest tree has, which only those deeper than eight levels come to.
    """
    reads: IntArray = np.minimum(committed + nodes_above(*trees, level), MAX_TREE_SIZE)
    return reads


def expected_reads(depth: IntArray) -> IntArray:
    """Tokens that the first pass is planned to read, before it is known how many were committed: half of the depth.

    What is charged afterwards is what was committed.
    """
    return 1 + depth // 2


@dataclass(frozen=True)
class LevelCosts:
    """Costs of the passes of a network that drafts.

    Attributes:
        first_ns: float64 [contexts, sizes]; column n - 1 reads n committed tokens and guesses behind the last.
        first_pj: float64 [components, contexts, sizes], its energy.
        further_ns: float64 [contexts, sizes]; column n - 1 reads n drafts and guesses behind all.
        further_pj: float64 [components, contexts, sizes], its energy.
        own: Where each level has a network of its own; None where one drafts every level.
    """

    first_ns: FloatArray
    first_pj: FloatArray
    further_ns: FloatArray
    further_pj: FloatArray
    own: "OwnLevels | None" = None

    def planned(self, depths: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Time and energy of drafting so many levels, by tree size: float64 [contexts, depths, sizes] each."""
        depth = np.array(depths, np.int64)[:, None]
        size = np.arange(1, self.first_ns.shape[1] + 1)
        reads, all_of = expected_reads(depth), np.s_[:]
        ns = self._passes(self.first_ns, self.further_ns, all_of, reads, (size, depth))
        pj = self._passes(self.first_pj.sum(axis=0), self.further_pj.sum(axis=0), all_of, reads, (size, depth))
        if self.own is not None:
            ns = ns + own_levels(self.own.layers_ns, self.own.head_ns, all_of, reads, (size, depth))
            layers_pj, head_pj = self.own.layers_pj.sum(axis=0), self.own.head_pj.sum(axis=0)
            pj = pj + own_levels(layers_pj, head_pj, all_of, reads, (size, depth))
        return ns * (depth > 0), pj * (depth > 0)

    def of_steps(
        self, position: IntArray, l_spec: IntArray, committed: IntArray, depth: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Time, float64 [steps], and energy, float64 [components, steps], of drafting in steps that were taken."""
        trees = l_spec, depth
        ns = self._passes(self.first_ns, self.further_ns, position, committed, trees)
        found = zip(self.first_pj, self.further_pj, strict=True)
        pj = np.stack([self._passes(first, further, position, committed, trees) for first, further in found])
        if self.own is not None:
            ns = ns + own_levels(self.own.layers_ns, self.own.head_ns, position, committed, trees)
            own = zip(self.own.layers_pj, self.own.head_pj, strict=True)
            pj = pj + np.stack([own_levels(layers, head, position, committed, trees) for layers, head in own])
        return ns * (depth > 0), pj * (depth > 0)

    def _passes(
        self,
        first: FloatArray,
        further: FloatArray,
        position: Any,
        committed: IntArray,
        trees: tuple[IntArray, IntArray],
    ) -> FloatArray:
        """The first pass, and those of further levels that the same network drafts."""
        size, depth = trees
        once: FloatArray = first[position, np.minimum(committed, first.shape[1]) - 1]
        if self.own is not None:
            return once + 0.0 * size
        all_passes: FloatArray = once + np.maximum(depth - 1, 0) * further[position, level_width(size, depth) - 1]
        return all_passes


@dataclass(frozen=True)
class OwnLevels:
    """Costs of networks of which each drafts one level, from the second on.

    Attributes:
        layers_ns: float64 [contexts, tokens]; column n - 1 reads n committed tokens and drafts, up to the head.
        layers_pj: float64 [components, contexts, tokens], its energy.
        head_ns: float64 [sizes]; column n - 1 guesses behind n of them.
        head_pj: float64 [components, sizes], its energy.
    """

    layers_ns: FloatArray
    layers_pj: FloatArray
    head_ns: FloatArray
    head_pj: FloatArray


def own_levels(
    layers: FloatArray, head: FloatArray, position: Any, committed: IntArray, trees: tuple[IntArray, IntArray]
) -> FloatArray:
    """Time or energy of all levels beyond the first: float64 [..., trees].

    Args:
        layers: As ``OwnLevels`` has them.
        head: Likewise.
        position: Contexts, one for each tree; or all of them, of which each then has all trees.
        committed: Tokens committed.
        trees: Their sizes and depths.
    """
    size, depth = trees
    guessing = head[level_width(size, depth) - 1]
    total: FloatArray = 0.0 * guessing
    for level in range(2, int(depth.max(initial=0)) + 1):
        total = total + (depth >= level) * (layers[position, own_reads(trees, committed, level) - 1] + guessing)
    return total
