"""Formats of weights and activations in PIM units, and what changes with them.

A column read brings an MPU 32 B: as many lanes as it holds weights, so narrower weights make wider tiles (Samsung's
LPDDR5X-PIM reaches 2.4 TOPS in W4A8 with 614 GB/s from the banks, which is two weights a byte: arXiv 2606.00636).
Input registers hold bytes, so wider activations fill more sets of them. Programs are written for INT8.
"""

from typing import NamedTuple

from lpspec.errors import InputError
from lpspec.llm.counts import ceil_div
from lpspec.llm.work import Attention, Gemm
from lpspec.machine.die import PimDie


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
        return ceil_div(self.activation_bits, 8)

    def lanes(self, int8_lanes: int) -> int:
        """Weights that a column read brings, where so many are INT8."""
        return int8_lanes * 8 // self.weight_bits


INT8 = PimFormat()


def format_of(op: Gemm | Attention) -> PimFormat:
    """What an operator asks for."""
    return PimFormat(op.weight_bits if isinstance(op, Gemm) else op.kv_bits, op.activation_bits)


def check_format(pim: PimDie, op: Gemm | Attention) -> None:
    """Refuse operands that the units cannot take.

    Raises:
        InputError: Another format than the machine names, attention that is not INT8, or weights with scales.
    """
    form, allowed = format_of(op), pim.formats if isinstance(op, Gemm) else INT8.name
    if form.name not in allowed.split():
        raise InputError(
            f"PIM computes {' and '.join(allowed.split())}: '{op.name}' has {form.weight_bits}-bit and "
            f"{form.activation_bits}-bit operands; allowed are other units (pim.formats), or --weights 8"
        )
    if isinstance(op, Gemm) and op.stored.beside:
        raise InputError(
            f"PIM adds products up unscaled: '{op.name}' has weights with scales in memory, "
            "allowed are weights without: see compare --weights"
        )
