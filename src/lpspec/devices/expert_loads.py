"""What operators cost on one device; of products with experts, what each expert may be sent counts by its chance."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lpspec.devices.cost import Activity, Cost
from lpspec.devices.device import Device
from lpspec.llm.counts import plain
from lpspec.llm.work import ExpertGemm, Gemm, Operator


def over_loads(op: ExpertGemm, price: Callable[[Gemm], Cost]) -> Cost:
    """Expected cost of products with experts, one after the other.

    Args:
        op: The products; tokens may be an array over a grid.
        price: Cost of plain products whose tokens are an array: of all experts, each sent so many.
    """
    loads = op.loads
    each = price(op.with_load(loads))
    chance = replace(op, tokens=np.asarray(op.tokens)[..., None]).chance(loads)  # [..., loads]

    def expected(value: Any) -> Any:
        return plain((chance * value).sum(axis=-1)) if np.any(value) else 0.0

    activity = Activity._make(map(expected, each.activity))
    return Cost(expected(each.latency_ns), activity)


def price_on(device: Device, op: Operator) -> Cost:
    """Cost of all copies of an operator computed by one device alone."""
    return over_loads(op, device.price) if isinstance(op, ExpertGemm) else device.price(op)
