"""What a PIM program takes: counts of its commands."""

from dataclasses import dataclass

from lpspec.devices.cost import Real
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
