"""One product on every device, as a table, rows and JSON."""

from collections.abc import Iterator
from typing import Any

from lpspec import __version__
from lpspec.experiments.product import ProductPrice
from lpspec.machine.energy_profile import EVENTS
from lpspec.report.wording import digits, new_table


def product_blocks(price: ProductPrice) -> Iterator[Any]:
    """A row for each event of each device, then totals and what is left out."""
    asked = price.product
    size = f"{asked.m} x {asked.k:,} by {asked.k:,} x {asked.n:,}"
    table = new_table(
        f"{price.platform}: {size}\nweights of {asked.weights} bits, activations of {asked.activations}",
        "device|counted|>count|>energy nJ|>share",
    )
    for row in product_rows(price):
        share = row["energy_pj"] / max(row["device_pj"], 1e-30)
        counted, energy_nj = EVENTS[row["event"]].text, digits(row["energy_pj"] / 1e3)
        table.add_row(row["device"], counted, digits(row["count"]), energy_nj, f"{share:.1%}")
    yield table
    for cost in price.devices:
        time_us, energy_nj = digits(cost.latency_ns / 1e3), digits(cost.total_pj / 1e3)
        yield f"{cost.device:8} {time_us} us and {energy_nj} nJ, analytic, alone"
    for name, why in price.left_out:
        yield f"{name:8} {why}"
    operands = ", ".join(f"{name} {count:,}" for name, count in price.operand_bytes.items())
    yield f"bytes    {operands}; {price.macs:,} MACs; energy profile {asked.energy_profile}"


def product_rows(price: ProductPrice) -> list[dict[str, Any]]:
    """A row for each event of each device, for tables of data."""
    return [
        {
            "device": cost.device,
            "latency_ns": cost.latency_ns,
            "device_pj": cost.total_pj,
            "event": event,
            "component": EVENTS[event].component,
            "count": count,
            "energy_pj": cost.energy_pj.get(event, 0.0),
        }
        for cost in price.devices
        for event, count in cost.counts.items()
    ]


def product_document(price: ProductPrice) -> dict[str, Any]:
    """What ``lpspec price --json`` writes."""
    return {
        "platform": price.platform,
        "macs": price.macs,
        "operand_bytes": price.operand_bytes,
        "devices": [
            {
                "device": cost.device,
                "latency_ns": cost.latency_ns,
                "energy_pj": cost.total_pj,
                "counts": cost.counts,
                "energy_by_event_pj": cost.energy_pj,
            }
            for cost in price.devices
        ],
        "left_out": [{"device": name, "why": why} for name, why in price.left_out],
        "notes": list(price.notes),
        "provenance": {"lpspec": __version__, "fidelity": "analytic", "product": price.product.to_dict()},
    }
