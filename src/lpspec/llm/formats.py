"""In which formats weights are stored."""

from typing import NamedTuple

from lpspec.llm.counts import Count, ceil_div, packed_bytes


class WeightFormat(NamedTuple):
    """How the numbers of a weight tensor are stored: each in ``bits``, and beside each group of them ``group_bits``.

    A group is ``group_size`` neighbours of one row, or the whole row where that is 0; its bits are a scale and, where
    there is one, a zero point. Each row of numbers starts on a whole byte."""

    bits: int
    group_size: int = 0
    group_bits: int = 0

    def size_bytes(self, rows: Count, columns: int) -> Count:
        """Bytes of ``rows`` x ``columns`` numbers with all that is stored beside them."""
        groups = ceil_div(columns, self.group_size or columns)
        return rows * packed_bytes(columns, self.bits) + packed_bytes(rows * groups, self.group_bits)
