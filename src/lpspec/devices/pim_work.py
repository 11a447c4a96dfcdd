"""What a PIM program takes: counts of its commands."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lpspec.devices.cost import Real
from lpspec.llm.counts import Count, plain
from lpspec.machine.pim_format import INT8, PimFormat


@dataclass(frozen=True, slots=True)
class PimWork:
    """What the PIM ranks of the channel with the most to do have to do in one program; numbers or arrays over a grid.

    Attributes:
        passes: Passes over a tile, one after the other.
        macs: MAC commands, one after the other.
        rows: Rows that are opened one after the other.
        die_passes: Passes, summed over the dies that take part.
        die_macs: MAC commands, likewise.
        die_rows: Rows opened in every MPU, likewise.
        token_macs: MAC commands times the tokens that they serve, likewise.
        input_sets: Sets of input registers that are filled.
        input_bursts: Bursts that fill them.
        output_bursts: Bursts of accumulators.
        share: Part of the work of this channel that all channels have on average.
        form: Format of what is multiplied.
        in_turn: Whether ranks compute while others read back; then every pass is one run over tiles of the same heads.
    """

    passes: Real
    macs: Real
    rows: Real
    die_passes: Real
    die_macs: Real
    die_rows: Real
    token_macs: Real
    input_sets: Real
    input_bursts: Real
    output_bursts: Real
    share: Real = 1.0
    form: PimFormat = INT8
    in_turn: Count = 0


def chosen(first: PimWork, other: PimWork, better: Count) -> PimWork:
    """The other work where it is better, count by count."""

    def pick(name: str) -> Real:
        found: Real = plain(np.where(better, getattr(other, name), getattr(first, name)))
        return found

    counts: dict[str, Any] = {field.name: pick(field.name) for field in fields(PimWork) if field.name != "form"}
    return PimWork(**counts, form=first.form)


PROGRAM_COUNTS = (
    *("passes", "macs", "rows", "die_passes", "die_macs", "die_rows"),
    *("input_sets", "input_bursts", "output_bursts"),
)
"""Counts of a program, by their names in ``PimWork``, that decide how long it takes."""


def each_count(work: PimWork) -> list[Real]:
    """``PROGRAM_COUNTS``, and what MACs serve."""
    return [*(getattr(work, name) for name in PROGRAM_COUNTS), work.token_macs * work.form.lanes(1)]


def counts_of(work: PimWork, n: int) -> list[tuple[float, ...]]:
    """``each_count`` of so many programs: rows of numbers."""
    columns = [np.broadcast_to(count, n) for count in each_count(work)]
    return [tuple(row) for row in np.column_stack(columns).astype(np.float64).tolist()]
