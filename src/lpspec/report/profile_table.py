"""Energy profiles beside each other, as a table and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from lpspec.devices.stream_prices import StreamPrices
from lpspec.experiments.energy_profiles import SideBySide
from lpspec.machine.die import DieSpec
from lpspec.report.wording import digits, new_table

MACHINE = {
    "mac_int8": "INT8 multiply-accumulate, pJ",
    "mac_fp16": "FP16 multiply-accumulate, pJ",
    "pim_register": "registers of a PIM unit, pJ/b",
    "scratchpad": "scratchpad, pJ/b",
    "local_buffer": "local buffer, pJ/b",
    "core_register": "registers of a core, pJ/b",
}
NOT_PRICED = "-"


def figures_of(prices: StreamPrices) -> dict[str, float | None]:
    """Every number of a column of the table, by what it is; None for what is not priced."""
    waiting = prices.waiting
    return {
        "stream of reads, pJ/b": prices.read_stream_pj_per_bit,
        "stream of writes, pJ/b": prices.write_stream_pj_per_bit,
        "read burst, pJ/b": prices.read_pj_per_bit["columns"] + prices.read_pj_per_bit["way"],
        "write burst, pJ/b": prices.write_pj_per_bit["columns"] + prices.write_pj_per_bit["way"],
        "a row's bit to the bank edge, pJ/b": prices.in_bank_pj_per_bit,
        "a row opened and closed, nJ": prices.row_nj,
        "all-bank refresh of a die, nJ": waiting.refresh_nj,
        "refresh of a die, mW": waiting.refresh_mw,
        "die with a row open, mW": waiting.active_mw,
        "die with all rows closed, mW": waiting.idle_mw,
        "die in power-down, mW": waiting.power_down_mw,
        **{text: prices.machine.get(name) for name, text in MACHINE.items()},
    }


def prices_name(prices: StreamPrices) -> str:
    """What a column or row is called: a platform's own memory by what it is."""
    return prices.name if prices.machine else f"{prices.technology} ({prices.name})"


def die_text(die: DieSpec) -> str:
    """The die in a few words."""
    gbit = die.organisation.die_bytes / 2**27
    return (
        f"a x{die.organisation.data_pins.n} die of {gbit:g} Gb at {die.data_rate.mbps:,.0f} Mb/s alone on its channel"
    )


def beside_blocks(found: SideBySide) -> Iterator[Any]:
    """The table: a column for each profile, then for memories that platforms have of their own."""
    table = new_table("beside each other", "=", *(f">{prices_name(prices)}" for prices in found.prices))
    table.add_row("memory", *(prices.technology if prices.machine else "" for prices in found.prices))
    columns = [figures_of(prices) for prices in found.prices]
    for text in columns[0]:
        numbers = (column[text] for column in columns)
        table.add_row(text, *(NOT_PRICED if number is None else digits(number, 3) for number in numbers))
    yield table
    yield (
        f"on {die_text(found.die)} ({found.die.name}): whole rows, refresh and its own standby included where priced; "
        f"{NOT_PRICED} is not priced; in brackets, a platform that has a memory of its own"
    )


def beside_document(found: SideBySide) -> dict[str, Any]:
    """The same as JSON: numbers by profile, units in their names."""
    return {
        "die": found.die.name,
        "data_rate_mbps": found.die.data_rate.mbps,
        "tRFCab_ns": found.die.timing.nRFCab.n * found.die.ck_ns,
        "prices": {prices.name: _prices_document(prices) for prices in found.prices if prices.machine},
        "own_memories": {prices.name: _prices_document(prices) for prices in found.prices if not prices.machine},
    }


def _prices_document(prices: StreamPrices) -> dict[str, Any]:
    return {
        "technology": prices.technology,
        "read_stream_pj_per_bit": prices.read_stream_pj_per_bit,
        "write_stream_pj_per_bit": prices.write_stream_pj_per_bit,
        "read_parts_pj_per_bit": dict(prices.read_pj_per_bit),
        "write_parts_pj_per_bit": dict(prices.write_pj_per_bit),
        "in_bank_pj_per_bit": prices.in_bank_pj_per_bit,
        "row_nj": prices.row_nj,
        **asdict(prices.waiting),
        **dict(prices.machine),
    }
