"""What a network that drafts costs in a step: a pass over newly committed tokens, then one per further level.

A tree of n tokens, h levels deep, has at most (n + 1 - h) / 2 nodes with drafts behind them in a level: every other
level has one, and each of them has one behind it. Every level but the first is charged for so many, at least one; where
they share a pass over the weights, as up to N_ALU tokens do on PIM and many on an NPU, fewer would cost the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray, IntArray


def level_width(size: IntArray, depth: IntArray) -> IntArray:
    """Most nodes of a level that have drafts behind them, in trees of so many tokens, so deep; 1 at least."""
    width: IntArray = np.maximum((size + 1 - depth) // 2, 1)
    return width


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
    """

    first_ns: FloatArray
    first_pj: FloatArray
    further_ns: FloatArray
    further_pj: FloatArray

    def planned(self, depths: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Time and energy of drafting so many levels, by tree size: float64 [contexts, depths, sizes] each."""
        depth = np.array(depths, np.int64)[:, None]
        size = np.arange(1, self.first_ns.shape[1] + 1)
        reads, width = np.minimum(expected_reads(depth), len(size)) - 1, level_width(size, depth) - 1
        further = np.maximum(depth - 1, 0)
        ns = self.first_ns[:, reads] + further * self.further_ns[:, width]
        pj = self.first_pj.sum(axis=0)[:, reads] + further * self.further_pj.sum(axis=0)[:, width]
        return ns * (depth > 0), pj * (depth > 0)

    def of_steps(
        self, position: IntArray, l_spec: IntArray, committed: IntArray, depth: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Time, float64 [steps], and energy, float64 [components, steps], of drafting in steps that were taken."""
        reads, width = np.minimum(committed, self.first_ns.shape[1]) - 1, level_width(l_spec, depth) - 1
        further = np.maximum(depth - 1, 0)
        ns = self.first_ns[position, reads] + further * self.further_ns[position, width]
        pj = self.first_pj[:, position, reads] + further * self.further_pj[:, position, width]
        return ns * (depth > 0), pj * (depth > 0)
