"""Whether the programs of all channels together compute a whole product: random INT8 data against int64 arithmetic."""

import numpy as np

from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, Split, place_weights, share_of_channel


def count_wrong(
    channel: PimChannel, channels: int, tokens: int, k: int, n: int, *, split: Split = "auto", seed: int = 0
) -> int:
    """Compute (tokens, k) x (k, n) through every channel's program, and count results that are not the integer ones.

    Args:
        channel: What each channel is.
        channels: How many there are.
        tokens: Tokens.
        k: Inputs.
        n: Outputs of all channels.
        split: As ``place_weights`` takes it.
        seed: Of the data.

    Raises:
        InputError: A sum leaves INT32.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.integers(-128, 128, (1, tokens, k)).astype(np.int8)
    wrong = 0
    for c in range(channels):
        _, outputs = share_of_channel(n, channels, c, channel.lanes)
        if not outputs:
            continue
        weights = rng.integers(-128, 128, (k, outputs)).astype(np.int8)
        placement = place_weights(channel, k, outputs, 0, split)
        cells = channel.cells(placement.end_row)
        placement.write(cells, weights)
        results = execute(compile_gemm(placement, tokens), cells, inputs)[0]
        exact = inputs[0].astype(np.float64) @ weights.astype(np.float64)  # sums stay far below 2^53
        wrong += int((results != exact).sum())
    return wrong
