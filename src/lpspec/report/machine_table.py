"""A machine's price list, and the speed that it predicts against the speed measured, as people read them."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from lpspec.decoding.machine_prices import MachinePrices
from lpspec.experiments.speed_curve import SpeedCurve
from lpspec.report.wording import digits, new_table

SHOWN = (1, 2, 4, 8, 16, 32, 64)
"""Tree sizes in the table."""


def machine_blocks(prices: MachinePrices, curve: SpeedCurve | None) -> Iterator[Any]:
    """The prices, the curve if there is one, and what stands behind them."""
    yield _prices_table(prices)
    if curve is not None:
        yield _curve_table(curve)
    machine = prices.machine
    how = f"backend {machine['backend']}, threads: {machine['threads']}, {machine['dtype']}, torch {machine['torch']}"
    yield f"machine   {machine['processor']}, {how}"
    beside = f"{prices.overhead_ns / 1e6:.2f} ms a step beside the pass"
    yield f"passes    fastest of {prices.rounds} each, made monotone; {beside}"


def _prices_table(prices: MachinePrices) -> Table:
    table = new_table(
        f"{prices.model} with {prices.drafter}: milliseconds of a step, by tokens in the tree",
        ">context",
        *(f">{size}" for size in SHOWN),
    )
    for context, row in zip(prices.contexts, prices.step_ns, strict=True):
        table.add_row(str(context), *(digits(row[size - 1] / 1e6, 3) for size in SHOWN))
    return table


def _curve_table(curve: SpeedCurve) -> Table:
    table = new_table(
        f"token/s over {curve.prompts} prompts of {curve.new_tokens} tokens, each the fastest of {curve.rounds}",
        ">tree|>predicted|>measured|>ratio|>tokens/pass",
    )
    for point in curve.points:
        ratio = f"{point.measured / point.predicted:.2f}"
        table.add_row(
            point.tree, digits(point.predicted), digits(point.measured), ratio, f"{point.tokens_per_pass:.2f}"
        )
    return table
