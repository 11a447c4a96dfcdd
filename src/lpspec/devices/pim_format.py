"""Which format an operator asks PIM units for, and whether a machine has it."""

from lpspec.errors import InputError
from lpspec.llm.work import Attention, Gemm
from lpspec.machine.pim_die import PimDie
from lpspec.machine.pim_format import INT8, PimFormat


def format_of(op: Gemm | Attention) -> PimFormat:
    """What an operator asks for."""
    return PimFormat(op.weight_bits if isinstance(op, Gemm) else op.kv_bits, op.activation_bits)


def check_format(pim: PimDie, op: Gemm | Attention) -> None:
    """Refuse operands that the units cannot take.

    Raises:
        InputError: Another format than the machine names, or weights with scales.
    """
    form, allowed = format_of(op), pim.formats.split()
    if form.name not in allowed:
        narrowed = "activations" if form.weight_bits == INT8.weight_bits else "kv"
        raise InputError(
            f"PIM computes {' and '.join(allowed)}: '{op.name}' has {form.weight_bits}-bit and "
            f"{form.activation_bits}-bit operands; allowed are other units (pim.formats), or "
            f"--{'weights' if isinstance(op, Gemm) else narrowed} 8"
        )
    if isinstance(op, Gemm) and op.stored.beside:
        raise InputError(
            f"PIM adds products up unscaled: '{op.name}' has weights with scales in memory, "
            "allowed are weights without: see compare --weights"
        )
