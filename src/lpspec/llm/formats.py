"""In which formats weights are stored, one for each class of tensors, and how people write them down."""

import re
from collections.abc import Mapping
from math import gcd
from typing import NamedTuple, Self

from lpspec.errors import InputError, listed, shown, unknown_name
from lpspec.llm.counts import Count, ceil_div, packed_bytes
from lpspec.llm.gguf import BLOCK_TYPES
from lpspec.llm.stored_tensors import CLASSES, TensorClass


class WeightFormat(NamedTuple):
    """How the numbers of a weight tensor are stored: each in ``bits``, and beside each group of them ``group_bits``.

    A group is ``group_size`` neighbours of one row, or the whole row where that is 0; its bits are a scale and, where
    there is one, a zero point. Each row of numbers starts on a whole byte. Where ``per_weights`` is given, so many
    weights fill ``per_bytes`` instead, with all that is stored beside them: of blocks that span rows, and of a class
    whose tensors differ, on average.
    """

    bits: int
    group_size: int = 0
    group_bits: int = 0
    name: str = ""
    per_bytes: int = 0
    per_weights: int = 0

    def size_bytes(self, rows: Count, columns: int) -> Count:
        """Bytes of ``rows`` x ``columns`` numbers with all that is stored beside them."""
        if self.per_weights:
            whole, rest = divmod(columns * self.per_bytes, self.per_weights)
            return rows * whole + ceil_div(rows * rest, self.per_weights)
        groups = ceil_div(columns, self.group_size or columns)
        return rows * packed_bytes(columns, self.bits) + packed_bytes(rows * groups, self.group_bits)

    def filling(self, size_bytes: int, weights: int) -> "WeightFormat":
        """The same format of a file's tensors, whose true bytes are known."""
        common = gcd(size_bytes, weights)
        return self._replace(per_bytes=size_bytes // common, per_weights=weights // common)

    @property
    def beside(self) -> bool:
        """Whether anything is stored beside the numbers."""
        return self.group_bits > 0 or self.per_weights > 0

    @property
    def text(self) -> str:
        """What tables call it."""
        return self.name or f"{'int' if self.bits <= 8 else 'fp'}{self.bits}"


def plain(bits: int, name: str = "") -> WeightFormat:
    """Numbers of so many bits with nothing beside them."""
    return WeightFormat(bits, name=name)


def block_format(name: str, weights: int, size_bytes: int) -> WeightFormat:
    """A block type of GGUF: whole bits per number, and what is left of the block beside them."""
    bits = size_bytes * 8 // weights
    return WeightFormat(bits, weights if weights > 1 else 0, size_bytes * 8 - bits * weights, name)


NVFP4 = WeightFormat(4, 16, 8, "nvfp4")
MXFP4 = WeightFormat(4, 32, 8, "mxfp4")
TERNARY = WeightFormat(2, name="ternary")
"""Four weights a byte, as BitNet's files have them; the one scale of a tensor is not counted."""

NAMED = {
    **{name: block_format(name, weights, size) for name, weights, size in BLOCK_TYPES.values() if weights > 1},
    **{f"int{bits}": plain(bits, f"int{bits}") for bits in (2, 3, 4, 8)},
    **{f"fp{bits}": plain(bits, f"fp{bits}") for bits in (8, 16, 32)},
    "bf16": plain(16, "bf16"),
    **{block.name: block for block in (NVFP4, MXFP4, TERNARY)},
}
"""Formats by the names that people give them."""

BARE_BITS = (4, 8, 16, 32)
"""Numbers that stand for a format with nothing beside the weights."""

_GROUPED = re.compile(r"(2|3|4|8)g([1-9]\d{0,4})(z?)")

SCALE_BITS = 16
"""Bits of a group's scale: half precision in AutoAWQ, AutoGPTQ and compressed-tensors 0.20.0."""


class Formats(NamedTuple):
    """The format of each class of tensors."""

    embedding: WeightFormat = plain(8)
    head: WeightFormat = plain(8)
    attention_in: WeightFormat = plain(8)
    attention_out: WeightFormat = plain(8)
    ffn_up: WeightFormat = plain(8)
    ffn_down: WeightFormat = plain(8)
    expert: WeightFormat = plain(8)
    other: WeightFormat = plain(8)

    def of(self, tensor_class: str) -> WeightFormat:
        """That of one class."""
        found: WeightFormat = getattr(self, tensor_class)
        return found

    def with_formats(self, changed: Mapping[TensorClass, WeightFormat]) -> Self:
        """The same with other formats for some classes."""
        return type(self)(*(changed.get(name, found) for name, found in zip(CLASSES, self, strict=True)))


LINEAR: tuple[TensorClass, ...] = ("attention_in", "attention_out", "ffn_up", "ffn_down", "expert")
"""Classes of the layers' products, which checkpoints quantise first."""


def all_alike(stored: WeightFormat) -> Formats:
    """Every class in one format."""
    return Formats(*(stored for _ in CLASSES))


def read_format(text: str) -> WeightFormat:
    """A format as people write it: bits, a name, or bits and group as in ``4g128`` (``4g128z`` with zero points).

    Raises:
        InputError: It is none.
    """
    if text.isascii() and text.isdecimal() and len(text) < 3 and int(text) in BARE_BITS:
        return plain(int(text))
    if text.lower() in NAMED:
        return NAMED[text.lower()]
    if grouped := _GROUPED.fullmatch(text):
        number, size, zero = int(grouped[1]), int(grouped[2]), grouped[3]
        return WeightFormat(number, size, SCALE_BITS + (number if zero else 0), text)
    if text.isascii() and text.isdecimal():
        bits = ", ".join(map(str, BARE_BITS))
        raise InputError(
            f"weights of {shown(text, 20)} bits: allowed are {bits}, groups such as 4g128, and names such as q4_k"
        )
    raise unknown_name("weight format", text, [*NAMED, "4g128", "4g128z"])


def read_formats(text: str) -> dict[TensorClass, WeightFormat]:
    """Formats by class from a text such as ``4``, or ``attention_in=8,expert=mxfp4``.

    Raises:
        InputError: A class or format is not known, or a class is given twice.
    """
    if "=" not in text:
        return dict.fromkeys(CLASSES, read_format(text.strip()))
    found: dict[TensorClass, WeightFormat] = {}
    for part in text.split(","):
        word, _, value = (piece.strip() for piece in part.partition("="))
        name = next((known for known in CLASSES if known == word), None)
        if name is None:
            raise InputError(f"weights: '{shown(word, 40)}' is no class of tensors: known are {listed(CLASSES, 110)}")
        if name in found:
            raise InputError(f"weights: {name} is given twice")
        found[name] = read_format(value)
    return found
