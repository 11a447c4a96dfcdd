"""How long requests waited, counted in bins, so that memory doesn't grow with them."""

import numpy as np

from lpspec.arrays import IntArray

Waits = dict[str, float | None]
"""CK by name: ``mean``, ``p50``, ``p99`` and ``max``; None where nobody has waited."""

EXACT_BITS = 12
"""Waits below 2^12 CK have a bin for each CK; above, each doubling has 2^11 bins: one part in 4096 either way."""
_HALF = 1 << (EXACT_BITS - 1)
_LONGEST_BITS = 52


class Latencies:
    """Waits in CK; their mean and the longest are exact, percentiles as exact as the bins."""

    def __init__(self) -> None:
        """Nobody has waited yet."""
        self._counts = np.zeros((_LONGEST_BITS - EXACT_BITS + 2) * _HALF, np.int64)
        self._sum_ck = 0
        self._longest_ck = 0

    def add(self, waited_ck: IntArray) -> None:
        """Count some requests, int64 [requests]."""
        if not len(waited_ck):
            return
        bins = np.bincount(_bins(waited_ck))
        self._counts[: len(bins)] += bins
        self._sum_ck += int(waited_ck.sum())
        self._longest_ck = max(self._longest_ck, int(waited_ck.max()))

    def summary_ck(self) -> Waits:
        """Mean, median, 99th percentile and maximum; None for each where nobody has waited."""
        n = int(self._counts.sum())
        if not n:
            return {"mean": None, "p50": None, "p99": None, "max": None}
        mean = self._sum_ck / n
        return {"mean": mean, "p50": self._at(0.5, n), "p99": self._at(0.99, n), "max": float(self._longest_ck)}

    def _at(self, share: float, n: int) -> float:
        """A percentile, linear between the two waits beside it."""
        place = share * (n - 1)
        low = int(place)
        ends = np.cumsum(self._counts)
        below, above = (_wait_ck(int(np.searchsorted(ends, k, "right"))) for k in (low, min(low + 1, n - 1)))
        return min(below + (place - low) * (above - below), float(self._longest_ck))


def _bins(waited_ck: IntArray) -> IntArray:
    """The bin of each wait."""
    doublings = np.maximum(np.frexp(waited_ck.astype(np.float64))[1] - EXACT_BITS, 0)
    return np.asarray((waited_ck >> doublings) + doublings * _HALF, np.int64)


def _wait_ck(place: int) -> float:
    """The middle of a bin."""
    doublings = max(place // _HALF - 1, 0)
    return float(((place - doublings * _HALF) << doublings) + ((1 << doublings) - 1) / 2)
