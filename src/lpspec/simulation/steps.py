"""What every verify pass of a run did."""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import BoolArray, IntArray


@dataclass(frozen=True)
class Steps:
    """What every verify pass of a run did: int64 [steps] each, turn after turn.

    Attributes:
        position: Tokens of the turn committed before the step.
        l_spec: Tokens verified, the root included.
        committed: Tokens committed, the root included.
        placement: Where the weights lay, as an index into the placements of the price list.
        heads: Draft heads that ran.
        moved: Accepted drafts out of place, whose keys and values move up; of tokens that waited in the scratchpad the
            entry that ``DraftCache.put_in_place`` gives.
        right_ahead: Whether what was drafted ahead beside the step could be used, bool; None where nothing runs ahead.
    """

    position: IntArray
    l_spec: IntArray
    committed: IntArray
    placement: IntArray
    heads: IntArray
    moved: IntArray
    right_ahead: BoolArray | None = None

    @property
    def moves(self) -> IntArray:
        """Every change of placement between two steps: int64 [moves, 2], from where to where."""
        pairs: IntArray = np.column_stack([self.placement[:-1], self.placement[1:]])
        moved: IntArray = pairs[pairs[:, 0] != pairs[:, 1]]
        return moved

    @property
    def turn(self) -> IntArray:
        """int64 [steps], the turn of every step, counted from 0."""
        turn: IntArray = np.cumsum(self.position <= np.concatenate([self.position[:1], self.position[:-1]])) - 1
        return turn
