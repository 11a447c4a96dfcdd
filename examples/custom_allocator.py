"""An allocator of your own: half of the tiles to PIM, half to the NPU, whatever the tree.

Run it: python examples/custom_allocator.py
"""

import numpy as np
from numpy.typing import NDArray

from lpspec import compare
from lpspec.allocation.allocator import ALLOCATORS
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.placement import PlacedGemm


class HalvesAllocator(BalancedAllocator):
    """Every product split in the middle."""

    def allowed_tiles(self, placed: PlacedGemm) -> NDArray[np.int64]:
        """One choice: the middle, as far as both sides hold the columns."""
        middle = min(max(placed.tiles // 2, placed.fewest), placed.most)
        return np.array([middle])


def main() -> None:
    """Compare it with the DAU on LP-Spec."""
    ALLOCATORS["halves"] = HalvesAllocator
    for allocator in ("replicated", "halves"):
        run = compare(systems=["lp-spec"], fidelity="analytic", changes={"allocator": allocator}).runs[0]
        print(f"{allocator:10} {run.tokens_per_s:6.1f} token/s, {run.tokens_per_j:5.1f} token/J")


if __name__ == "__main__":
    main()
