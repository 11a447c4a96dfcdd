"""The pruner's price list: what every size costs with every number of heads in every context, filled in one loop."""

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.native.functions import native
from lpspec.scenario.names import Objective

KINDS: dict[Objective, int] = {"throughput": 0, "energy": 1, "edp": 2}
"""Numbers of what is to be had for a price."""


def list_prices(
    objective: Objective,
    counted: tuple[float, float],
    verify: tuple[FloatArray, FloatArray],
    drafts: tuple[FloatArray, FloatArray],
    placements: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Price of every step: float64 [placements, contexts, rows, sizes].

    Args:
        objective: What is to be had for the price.
        counted: What 1 pJ of memory and MACs counts, and 1 ns, pJ.
        verify: Time and energy of memory and MACs of passes: float64 [contexts, sizes] each.
        drafts: The same of drafting: float64 that broadcasts to [contexts, rows, sizes], rows given.
        placements: What a placement adds to passes: float64 [placements, sizes] each.
    """
    (latency_ns, energy_pj), (contexts, sizes) = verify, verify[0].shape
    rows = drafts[0].shape[-2]
    draft_ns, draft_pj = (
        np.ascontiguousarray(np.broadcast_to(part, (contexts if part.ndim == 3 else 1, rows, sizes))) for part in drafts
    )
    price = np.empty((len(placements[0]), contexts, rows, sizes))
    fill_prices(KINDS[objective], *counted, latency_ns, energy_pj, draft_ns, draft_pj, *placements, price)
    return price


@native()
def price_of(kind: int, own: float, per_ns: float, latency_ns: float, energy_pj: float) -> float:
    """Time, counted energy, or the root of their product; arguments are as for ``fill_prices``, numbers."""
    if kind == 0:
        return latency_ns
    total_pj = energy_pj * own + latency_ns * per_ns
    if kind == 1:
        return total_pj
    root: float = np.sqrt(latency_ns * total_pj)
    return root


@native()
def fill_prices(
    kind: int,
    own: float,
    per_ns: float,
    latency_ns: FloatArray,
    energy_pj: FloatArray,
    draft_ns: FloatArray,
    draft_pj: FloatArray,
    placed_ns: FloatArray,
    placed_pj: FloatArray,
    price: FloatArray,
) -> None:
    """Fill a price list.

    Args:
        kind: What for, as in ``KINDS``.
        own: What 1 pJ of memory and MACs counts.
        per_ns: What 1 ns counts, pJ.
        latency_ns: float64 [contexts, sizes], time of a pass.
        energy_pj: float64 [contexts, sizes], its energy.
        draft_ns: float64 [contexts or 1, rows, sizes], time of drafting.
        draft_pj: float64 [contexts or 1, rows, sizes], its energy.
        placed_ns: float64 [placements, sizes], what a placement adds to the time.
        placed_pj: float64 [placements, sizes], what it adds to the energy.
        price: float64 [placements, contexts, rows, sizes] out.
    """
    for placement in range(price.shape[0]):
        more_ns, more_pj = placed_ns[placement], placed_pj[placement]
        for context in range(price.shape[1]):
            pass_ns, pass_pj = latency_ns[context], energy_pj[context]
            drafts = min(context, draft_ns.shape[0] - 1)
            for row in range(price.shape[2]):
                own_ns, own_pj, out = draft_ns[drafts, row], draft_pj[drafts, row], price[placement, context, row]
                for size in range(price.shape[3]):
                    took_ns = pass_ns[size] + more_ns[size] + own_ns[size]
                    out[size] = price_of(kind, own, per_ns, took_ns, pass_pj[size] + more_pj[size] + own_pj[size])
