"""What one layer of attention costs by key-value heads on PIM: all that may be decided for a run, priced at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lpspec.allocation.larger_trees import no_dearer_than_larger
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, each_count

ROUNDING = 1.0 + 1e-12
"""Keeps what is compared apart where sums are rounded in another order."""


@dataclass(frozen=True, eq=False)
class HeadTable:
    """Costs of one layer over some numbers of keys, for trees of 1, 2, 3 and more tokens: [choices, keys, sizes].

    Attributes:
        heads: int64 [choices], those on PIM, ascending.
        latency_ns: float64, its time.
        energy_pj: float64, its energy and that of all dies meanwhile.
        best: int64 [keys, sizes], the choice that ends soonest, of equals that with most heads.
        events: Those of the NPU, and those of PIM, arrays that broadcast; None where there are too many keys.
    """

    heads: IntArray
    latency_ns: FloatArray
    energy_pj: FloatArray
    best: IntArray
    events: tuple[Activity, Activity] | None

    def decided(self, rows: IntArray, layers: int, beside: FloatArray) -> tuple[FloatArray, IntArray]:
        """Time, float64 [rows, sizes], and heads, int64 [rows, sizes], so that no tree costs more than a larger one.

        Args:
            rows: int64 [rows], which numbers of keys.
            layers: Layers that are divided alike.
            beside: float64 [2, sizes], time and energy that a step has beside them.
        """
        chosen = self.best[rows]
        costs = np.stack([self.latency_ns[:, rows], self.energy_pj[:, rows]]) * layers
        own = np.take_along_axis(costs, chosen[None, None], 1)[:, 0]
        falls = (np.diff(own + beside[:, None]) < 0).any(axis=(0, 2))  # elsewhere each size has its own
        if falls.any():
            chosen[falls] = no_dearer_than_larger(chosen[falls], *(costs[:, :, falls] + beside[:, None, None]))
        return np.take_along_axis(self.latency_ns[:, rows], chosen[None], 0)[0], self.heads[chosen]

    def no_worse(self, rows: IntArray, layers: int, beside: FloatArray, usual: IntArray) -> tuple[FloatArray, IntArray]:
        """The same so that no step's product of time and energy is larger than with the usual heads besides.

        Those whose ranks compute scores in turn are faster, so more heads would go to PIM, whatever energy they take
        there.

        Args:
            rows: As for ``decided``.
            layers: Likewise.
            beside: Likewise.
            usual: int64 [rows, sizes], heads that PIM has where its ranks stay together.
        """
        costs = np.stack([self.latency_ns[:, rows], self.energy_pj[:, rows]]) * layers + beside[:, None, None]
        its = np.take_along_axis(costs, np.searchsorted(self.heads, usual)[None, None], 1)[:, 0]
        falls = np.asarray((np.diff(its) < 0).any(axis=(0, 2)))  # where these are no way, any other will do
        larger = np.greater(costs.prod(axis=0), its.prod(axis=0) * ROUNDING) & ~falls[:, None]
        costs = np.where(larger, np.inf, costs)
        last = len(self.heads) - 1
        chosen = no_dearer_than_larger(last - costs[0, ::-1].argmin(axis=0), *costs)  # of equals, most heads on PIM
        return np.take_along_axis(self.latency_ns[:, rows], chosen[None], 0)[0], self.heads[chosen]

    def events_of(self, heads: IntArray, rows: IntArray, sizes: IntArray, layers: int) -> Activity:
        """Events of so many layers with some heads on PIM, by places of keys and sizes; arrays of one shape."""
        assert self.events is not None
        place, shape = (np.searchsorted(self.heads, heads), rows, sizes), self.latency_ns.shape
        at: Callable[[FloatArray], FloatArray] = lambda count: np.broadcast_to(count, shape)[place]  # noqa: E731
        on_npu, on_pim = (each_count(events, at) * float(layers) for events in self.events)
        return on_npu + on_pim
