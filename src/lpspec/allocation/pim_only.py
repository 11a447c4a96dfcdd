"""The GEMV-PIM baseline: every matrix lies on one side, and NPU and PIM take turns."""

import numpy as np
from numpy.typing import NDArray

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.placement import PlacedGemm
from lpspec.llm.operators import Gemm


class PimOnlyAllocator(BalancedAllocator):
    """Matrices and cache on PIM ranks as far as there is room; what ends sooner computes them, the other one waits.

    What PIM ranks hold the NPU may read while PIM is idle, so room for one more matrix never costs time.
    """

    def allowed_tiles(self, placed: PlacedGemm) -> NDArray[np.int64]:
        """All that PIM ranks hold; that the NPU takes it is among the trials anyway."""
        return np.array([placed.most])

    def _tile_columns(self, gemm: Gemm) -> int:
        """The whole matrix: PIM takes as long for its last few columns as for a tile, which the NPU need not finish."""
        return gemm.n

    def _keeps_kv_on_dram(self, left_bytes: int) -> bool:
        """Attention is not divided."""
        return False
