"""A platform's attention in PIM as a line: what LLMServingSim takes, and how far the line is from what was measured."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lpspec.experiments.pim_attention import MODEL, AttentionLine
from lpspec.report.wording import digits, new_table

EVERY = 4
"""Of the lengths, so many are stepped over in the table; the JSON has all."""


def attention_document(line: AttentionLine, energy_profile: str) -> dict[str, Any]:
    """What ``lpspec dram attention --json`` writes."""
    worst = int(np.abs(line.errors).argmax())
    return {
        "slope": line.slope_ns,
        "intercept": line.intercept_ns,
        "largest_error": float(np.abs(line.errors).max()),
        "largest_error_at": int(line.lengths[worst]),
        "mean_error": float(np.abs(line.errors).mean()),
        "channels": line.channels,
        "idle_power_mw": line.idle_mw,
        "peak_power_mw": line.peak_mw,
        "lengths": line.lengths.tolist(),
        "measured_ns": line.measured_ns.tolist(),
        "model": MODEL,
        "platform": line.platform.name,
        "energy_profile": energy_profile,
    }


def attention_blocks(line: AttentionLine) -> Iterator[Any]:
    """The entry, the error of the line, and some lengths."""
    yield f'"{line.platform.name}": {{"slope": {line.slope_ns:.4f}, "intercept": {line.intercept_ns:.4f}}},'
    yield f"ns of one layer of {MODEL}'s attention on one channel; {line.channels} channels share it"
    table = new_table("of the whole package", ">positions|>measured ns|>line ns|>error")
    rows = zip(line.lengths, line.measured_ns, line.errors, strict=True)
    for length, measured, error in list(rows)[EVERY - 1 :: EVERY]:
        table.add_row(f"{length:,}", digits(measured), digits(measured * (1 + error)), f"{error:+.1%}")
    yield table
    worst = int(np.abs(line.errors).argmax())
    yield (
        f"error  {abs(line.errors[worst]):.1%} at most, at {line.lengths[worst]} positions; "
        f"{np.abs(line.errors).mean():.1%} on average: tiles are filled in steps"
    )
