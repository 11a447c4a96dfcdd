"""Formats of what PIM units multiply.

A column read brings an MPU 32 B: as many lanes as it holds weights, so narrower weights make wider tiles (Samsung's
LPDDR5X-PIM reaches 2.4 TOPS in W4A8 with 614 GB/s from the banks, which is two weights a byte: arXiv 2606.00636).
Input registers hold bytes, so wider activations fill more sets of them. Of attention the cache is what lies in the
banks: keys and values are weights, queries and probabilities activations.
"""

from typing import NamedTuple


class PimFormat(NamedTuple):
    """Bits of what lies in the banks, and of what is multiplied with it."""

    weight_bits: int = 8
    activation_bits: int = 8

    @property
    def name(self) -> str:
        """As a machine's ``pim.formats`` has it."""
        return f"w{self.weight_bits}a{self.activation_bits}"

    @property
    def input_bytes(self) -> int:
        """Bytes of an activation."""
        return -(-self.activation_bits // 8)

    @property
    def is_wide(self) -> bool:
        """Whether MACs take floating-point inputs of 16 bits, and sum them up so."""
        return self.activation_bits > 8

    @property
    def shares_bytes(self) -> bool:
        """Whether a byte in the banks holds several weights."""
        return self.weight_bits < 8

    def lanes(self, int8_lanes: int) -> int:
        """Weights that a column read brings, where so many are INT8."""
        return int8_lanes * 8 // self.weight_bits


INT8 = PimFormat()
