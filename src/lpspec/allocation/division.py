"""How operators are divided over devices, copy by copy, as command level lays them out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpspec.allocation.placement import PlacedGemm
from lpspec.devices.device import Device


@dataclass(frozen=True, slots=True)
class GemmSplit:
    """How the copies of one placement of a product are divided, per entry of a grid of token counts."""

    placed: PlacedGemm
    pim_columns: NDArray[np.int64]
    latency_ns: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Division:
    """Copies of an operator that are divided alike.

    Attributes:
        copies: How many.
        shares: Who computes how many columns or heads of each copy; None for all of it.
    """

    copies: int
    shares: tuple[tuple[Device, int | None], ...]
