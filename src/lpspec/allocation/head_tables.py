"""What one layer of attention takes by key-value heads on PIM: all that may be decided for a run, timed at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lpspec.allocation.larger_trees import no_dearer_than_larger
from lpspec.arrays import FloatArray, IntArray

ROUNDING = 1.0 + 1e-12
"""Keeps what is compared apart where sums are rounded in another order."""

Energy: TypeAlias = Callable[[IntArray, IntArray, FloatArray], FloatArray]
"""Energy of one layer, float64, given numbers of keys, int64 [rows, 1], and heads on PIM and the time that these take,
which broadcast to [..., rows, sizes]."""


@dataclass(frozen=True, eq=False)
class HeadTable:
    """Time of one layer over some numbers of keys, for trees of 1, 2, 3 and more tokens.

    Attributes:
        keys: int64 [keys, 1].
        heads: int64 [choices], those on PIM, ascending.
        latency_ns: float64 [choices, keys, sizes].
        best: int64 [keys, sizes], the choice that ends soonest, of equals that with most heads.
    """

    keys: IntArray
    heads: IntArray
    latency_ns: FloatArray
    best: IntArray

    def decided(self, rows: IntArray, layers: int, beside: FloatArray, energy: Energy) -> tuple[FloatArray, IntArray]:
        """Time, float64 [rows, sizes], and heads, int64 [rows, sizes], so that no tree costs more than a larger one.

        Args:
            rows: int64 [rows], which numbers of keys.
            layers: Layers that are divided alike.
            beside: float64 [2, sizes], time and energy that a step has beside them.
            energy: Prices what was timed.
        """
        chosen = self.best[rows]
        own_ns = np.take_along_axis(self.latency_ns[:, rows], chosen[None], 0)[0]
        own = np.stack([own_ns, energy(self.keys[rows], self.heads[chosen], own_ns)]) * layers
        falls = (np.diff(own + beside[:, None]) < 0).any(axis=(0, 2))  # elsewhere each size has its own
        if falls.any():
            costs = self._costs(np.arange(len(self.heads)), rows[falls], energy) * layers + beside[:, None, None]
            chosen[falls] = no_dearer_than_larger(chosen[falls], *costs)
            own_ns = np.take_along_axis(self.latency_ns[:, rows], chosen[None], 0)[0]
        return own_ns, self.heads[chosen]

    def no_worse(
        self, rows: IntArray, layers: int, beside: FloatArray, energy: Energy, usual: IntArray
    ) -> tuple[FloatArray, IntArray]:
        """The same so that no step's product of time and energy is larger than with the usual heads besides.

        Those whose ranks compute scores in turn are faster, so more heads would go to PIM, whatever energy they take
        there.

        Args:
            rows: As for ``decided``.
            layers: Likewise.
            beside: Likewise.
            energy: Likewise.
            usual: int64 [rows, sizes], heads that PIM has where its ranks stay together.
        """
        costs = self._costs(np.arange(len(self.heads)), rows, energy) * layers + beside[:, None, None]
        its = np.take_along_axis(costs, np.searchsorted(self.heads, usual)[None, None], 1)[:, 0]
        falls = np.asarray((np.diff(its) < 0).any(axis=(0, 2)))  # where these are no way, any other will do
        larger = np.greater(costs.prod(axis=0), its.prod(axis=0) * ROUNDING) & ~falls[:, None]
        costs = np.where(larger, np.inf, costs)
        last = len(self.heads) - 1
        chosen = no_dearer_than_larger(last - costs[0, ::-1].argmin(axis=0), *costs)  # of equals, most heads on PIM
        return np.take_along_axis(self.latency_ns[:, rows], chosen[None], 0)[0], self.heads[chosen]

    def _costs(self, choices: IntArray, rows: IntArray, energy: Energy) -> FloatArray:
        """Time and energy of one layer with some choices: float64 [2, choices, rows, sizes]."""
        latency_ns = self.latency_ns[choices][:, rows]
        return np.stack([latency_ns, energy(self.keys[rows], self.heads[choices][:, None, None], latency_ns)])
