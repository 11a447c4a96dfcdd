"""The GEMV-PIM baseline: every matrix lies on one side, and NPU and PIM take turns."""

import numpy as np

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.key_blocks import in_whole_blocks
from lpspec.allocation.placement import PlacedGemm
from lpspec.arrays import IntArray
from lpspec.llm.operators import Attention, Gemm


class PimOnlyAllocator(BalancedAllocator):
    """Matrices and cache on PIM ranks as far as there is room; what ends sooner computes them, the other one waits.

    What PIM ranks hold the NPU may read while PIM is idle, so room for one more matrix never costs time; nor does it
    change who computes the others, which is decided for each by itself.
    """

    weighs_whole_steps = False

    def _deal(self) -> None:
        """To as many dies as suit the last step of the run, of which PIM computes all heads or none."""
        for op in self._step(min(self.pim.spec.alus.n, self.max_tokens)):
            if isinstance(op, Attention):
                self.pim.deal(in_whole_blocks(op, self.pim.spec.lanes.n))

    def allowed_tiles(self, placed: PlacedGemm) -> IntArray:
        """All that PIM ranks hold; that the NPU takes it is among the trials anyway."""
        return np.array([placed.most])

    def _tile_columns(self, gemm: Gemm) -> int:
        """The whole matrix: PIM takes as long for its last few columns as for a tile, which the NPU need not finish."""
        return gemm.n

    def _keeps_kv_on_dram(self, left_bytes: int) -> bool:
        """Attention is not divided."""
        return False
