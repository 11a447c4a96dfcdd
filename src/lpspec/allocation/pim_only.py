"""The GEMV-PIM baseline: all that fits on PIM, and nothing on both sides."""

import numpy as np
from numpy.typing import NDArray

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.placement import PlacedGemm


class PimOnlyAllocator(BalancedAllocator):
    """Products and attention on PIM wherever its ranks have room; the NPU does the rest (GEMV-PIM baseline)."""

    _uses_dram = False

    def allowed_tiles(self, placed: PlacedGemm) -> NDArray[np.int64]:
        """All that PIM ranks hold."""
        return np.array([placed.most])
