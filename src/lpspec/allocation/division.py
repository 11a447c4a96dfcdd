"""How operators are divided over devices, copy by copy, as command level lays them out."""

from dataclasses import dataclass
from typing import Any

from lpspec.allocation.placement import PlacedGemm
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.device import Device


@dataclass(frozen=True, slots=True)
class GemmSplit:
    """How the copies of one placement of a product are divided, per entry of a grid of token counts."""

    placed: PlacedGemm
    pim_columns: IntArray
    latency_ns: FloatArray


@dataclass(frozen=True, slots=True)
class Division:
    """Copies of an operator that are divided alike.

    Attributes:
        copies: How many.
        shares: Who computes how many columns or heads of each copy, a number or an array as the operator's counts are;
            None for all of it.
    """

    copies: int
    shares: tuple[tuple[Device, Any], ...]
